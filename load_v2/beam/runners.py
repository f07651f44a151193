"""Beam's runners by name, and what each needs."""

import importlib
import shutil

from load_v2.errors import LoadError

# Runner -> (the module that it needs, what to do where that is missing, Beam's whole name for it).
_NEEDS = {
    "dataflowrunner": ("google.cloud.storage", "pip install 'apache-beam[gcp]'", ""),
    "daskrunner": (
        "dask.distributed", "pip install 'apache-beam[dask]'", "apache_beam.runners.dask.dask_runner.DaskRunner"
    ),
    "interactiverunner": ("IPython", "pip install 'apache-beam[interactive]'", ""),
}  # fmt: skip
_JOB_SERVERS = ("flinkrunner", "sparkrunner")


def named(name: str, options):
    """Returns a runner, by Beam's name for it.

    Args:
        name: in any case, as Beam has it.
        options: Beam's PipelineOptions.

    Raises:
        LoadError: it is not known, or what it needs is not there; what to install or to pass.
    """
    from apache_beam.runners import runner

    short = name.rpartition(".")[2].lower().removesuffix("runner") + "runner"
    module, remedy, qualified = _NEEDS.get(short, ("", "", ""))
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise LoadError(f"{name} is not installed: {error}.\n  {remedy}") from error
    _check_job_server(name, short, options)
    try:
        return runner.create_runner(qualified or name)
    except (ValueError, ImportError, AttributeError) as error:
        raise LoadError(f"--runner={name} is not there: {error}") from error


def _check_job_server(name: str, short: str, options) -> None:
    from apache_beam.options import pipeline_options

    if options.view_as(pipeline_options.PortableOptions).job_endpoint:
        return
    if short == "portablerunner":
        raise LoadError(
            f"{name} talks to a job server, and none is named.\n"
            "  Pass --job_endpoint=HOST:PORT of one that runs, or --runner=FlinkRunner or SparkRunner, which start one."
        )
    flink = options.view_as(pipeline_options.FlinkRunnerOptions).flink_submit_uber_jar
    spark = options.view_as(pipeline_options.SparkRunnerOptions).spark_submit_uber_jar
    if short in _JOB_SERVERS and not flink and not spark and not shutil.which("java"):
        raise LoadError(
            f"{name} starts a job server, which needs Java, and there is no program `java`.\n"
            "  Install a Java runtime (apt-get install default-jre-headless), or pass --job_endpoint=HOST:PORT of a job "
            "server that runs."
        )
