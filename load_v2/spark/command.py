"""`python -m load_v2.spark`: Parquet files scored with an export, on Apache Spark."""

import argparse
import re
from collections.abc import Mapping, Sequence

from load_v2.commands import allowing, parsing
from load_v2.commands.parsing import Parser
from load_v2.errors import LoadError, quoted

_SCORED, _REASON = "__scored", "reason"
_RAISED = re.compile(r"\[USER_RAISED_EXCEPTION\] (.*?)(?: SQLSTATE: \w+|$)", re.DOTALL)
_OURS = "load_v2.errors.LoadError: "


_DESCRIPTION = """
Scores Parquet files with an export, on Apache Spark.

Columns that are named like the signature's inputs are answered; all others are kept beside the answers, and so are
inputs that --keep names. Rows that have no answer stop the job, or go to --failed with their reasons.
"""
_EXAMPLES = (
    "python -m load_v2.spark export/1 --input='data/*.parquet' --output=scored --failed=failed "
    "--master=spark://HOST:7077",
    "spark-submit --master=spark://HOST:7077 load_v2/spark/__main__.py export/1 --input=data --output=scored",
)
_READ, _WRITTEN, _HOW = "What is read", "What is written", "How"


def parser() -> Parser:
    """Returns the parser of the command's flags."""
    made = Parser("python -m load_v2.spark", _DESCRIPTION, _EXAMPLES)
    add = made.add_argument
    made.add_export("--export_dir of step 1; the same path on every worker")
    add("--input", group=_READ, required=True, metavar="PATTERN", help="Parquet files, or folders of them")
    made.add_signature("run")
    add("--output", group=_WRITTEN, required=True, metavar="FOLDER", help="a new folder of Parquet files")
    add("--failed", group=_WRITTEN, metavar="FOLDER",
        help="a new folder of rows without an answer, as JSON; default: they stop the job")  # fmt: skip
    add("--keep", group=_WRITTEN, action="append", default=[], metavar="KEY",
        help="an input to keep in the output; repeatable")  # fmt: skip
    add("--batch_size", group=_HOW, type=parsing.batch_size, metavar="N",
        help="rows at a time; default: 256, or the graph's own where it is fixed")  # fmt: skip
    add("--master", group=_HOW, metavar="URL",
        help="Spark's master; default: what spark-submit says, else this machine")  # fmt: skip
    add("--conf", group=_HOW, action="append", default=[], metavar="KEY=VALUE",
        help="a setting of Spark's; repeatable")  # fmt: skip
    allowing.add_flag(made)
    made.finish()
    return made


def run(argv: Sequence[str]) -> int:
    """Runs the job to its end; returns 0.

    Raises:
        LoadError: something that the user can put right.
    """
    args = parser().parse_args(argv)
    # Before Spark is started, which takes seconds: what can be wrong with the export.
    interface = _checked(args)
    session = _session(args)
    try:
        score(session, args, interface)
    except Exception as error:
        message = explained(str(error))
        if message is None:
            raise
        raise LoadError(message) from error
    finally:
        session.stop()
    return 0


def _checked(args: argparse.Namespace):
    from load_v2 import spark

    spark.udf  # noqa: B018 - says what is missing
    from load_v2.spark import columns

    interface = columns.interface_of(args.dir, args.signature)
    columns.struct_type(interface.outputs, _REASON)
    for key in args.keep:
        if key not in interface.inputs:
            raise LoadError(f"--keep={key} is no input of the signature; it has {quoted(interface.inputs)}.")
    return interface


def _session(args: argparse.Namespace):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.appName("load_v2.spark")
    if args.master:
        builder = builder.master(args.master)
    # A Python worker answers one task, so one thread each; a setting of the user's own comes after.
    builder = builder.config("spark.executorEnv.TF_NUM_INTRAOP_THREADS", "1")
    builder = builder.config("spark.executorEnv.TF_CPP_MIN_LOG_LEVEL", "3")
    for setting in args.conf:
        key, equals, value = setting.partition("=")
        if not equals:
            raise LoadError(f"--conf={setting} is not KEY=VALUE.\n  For example --conf=spark.executor.memory=4g.")
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except Exception as error:  # pyspark has a class for each way in which Java does not start
        reason = str(error).strip().splitlines()[0]
        raise LoadError(f"Spark does not start: {reason}\n  It needs Java 17 or later: java -version.") from error


def score(session, args: argparse.Namespace, interface) -> None:
    """Reads, scores and writes; `--output` is finished last.

    Raises:
        LoadError: the files are not there, lack a column, or the output is there already.
    """
    from pyspark.sql import functions as sf
    from pyspark.storagelevel import StorageLevel

    from load_v2.scoring import elements
    from load_v2.spark import columns

    for flag, path in (("output", args.output), ("failed", args.failed)):
        if path and _is_there(session, path):
            raise LoadError(f"--{flag}={path} already exists.\n  Name a new folder.")
    table = session.read.parquet(args.input)
    missing = [key for key in interface.inputs if key not in table.columns]
    if missing:
        raise LoadError(f"There is no column {missing[0]!r} in {args.input!r}; it has {quoted(table.columns)}.")
    kept = [name for name in table.columns if name not in interface.inputs or name in args.keep]
    answer = columns.udf(args.dir, args.signature, batch_size=args.batch_size, allow_ops=args.allow_ops)
    scored = table.withColumn(_SCORED, answer())
    result, reason = sf.col(_SCORED), sf.col(_SCORED)[_REASON]
    outputs = {key: elements.output_name(key, kept) for key in interface.outputs}
    if not args.failed:
        raised = sf.when(reason.isNull(), result).otherwise(sf.raise_error(reason))
        _answers(scored.withColumn(_SCORED, raised), kept, outputs).write.parquet(args.output)
        return
    # Both folders are of the same answers: what is lost with a worker is computed again, the rest is not.
    scored = scored.persist(StorageLevel.DISK_ONLY)
    failures = scored.where(reason.isNotNull()).select(
        *map(_named, table.columns), reason.alias(elements.free_name(_REASON, table.columns))
    )
    failures.write.json(args.failed)
    _answers(scored.where(reason.isNull()), kept, outputs).write.parquet(args.output)


def _answers(scored, kept: Sequence[str], outputs: Mapping[str, str]):
    from pyspark.sql import functions as sf

    result = sf.col(_SCORED)
    return scored.select(*map(_named, kept), *(result.getField(key).alias(name) for key, name in outputs.items()))


def _named(name: str):
    from pyspark.sql import functions as sf

    return sf.col("`" + name.replace("`", "``") + "`")


def _is_there(session, path: str) -> bool:
    """Returns whether there is something at a path of one of Spark's file systems."""
    java = session.sparkContext._jvm.org.apache.hadoop.fs.Path(path)
    return java.getFileSystem(session.sparkContext._jsc.hadoopConfiguration()).exists(java)


def explained(text: str) -> str | None:
    """Returns what the text of an error of Spark's means to the user, None where nothing is known about it."""
    if _OURS in text:
        return text.rpartition(_OURS)[2].partition("\n\n")[0].partition("\n\tat ")[0].rstrip()
    if raised := _RAISED.search(text):
        return f"{raised[1].rstrip()}\n  --failed=FOLDER lets the job go on and writes such rows there."
    if "PATH_NOT_FOUND" in text or "UNABLE_TO_INFER_SCHEMA" in text:
        return "There is no Parquet file where --input names them: " + text.strip().splitlines()[0]
    return None
