"""Scores TFRecord or Parquet files with an export, on any runner of Apache Beam."""

import argparse
import functools
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence

from export_v1.console import colour
from load_v2.commands import allowing, parsing
from load_v2.commands.parsing import Parser
from load_v2.errors import LoadError

_DESCRIPTION = """
Scores TFRecord or Parquet files with an export, on any runner of Apache Beam.

Each record comes out with the answers to it: what the signature does not take, such as an id, is kept beside them,
and so is what --keep names. Records that have no answer stop the job, or go to --failed with their reasons.

Flags that are not listed here go to Beam: --runner, --direct_num_workers, --flink_master, --project, and others.
"""
_EXAMPLES = (
    "python -m load_v2.beam export/1 --input='data/*.tfrecord' --output=scored/part.tfrecord",
    "python -m load_v2.beam export/1 --input='data/*.parquet' --output=scored/part.parquet --failed=scored/failed.jsonl "
    "--direct_num_workers=4 --direct_running_mode=multi_processing",
)
_READ, _WRITTEN, _HOW = "What is read", "What is written", "How"


def parser() -> Parser:
    """Returns the parser of the command's own flags."""
    made = Parser("python -m load_v2.beam", _DESCRIPTION, _EXAMPLES)
    add = made.add_argument
    made.add_export("--export_dir of step 1; the same path on every worker")
    add(
        "--input",
        group=_READ,
        required=True,
        metavar="PATTERN",
        help="files of tf.Example, .tfrecord, or tables, .parquet",
    )
    made.add_signature("run")
    add(
        "--output",
        group=_WRITTEN,
        required=True,
        metavar="FILE",
        help="what the shards are called, .tfrecord or .parquet",
    )
    add(
        "--failed",
        group=_WRITTEN,
        metavar="FILE",
        help="JSON lines of records without an answer; default: they stop the job",
    )
    add("--keep", group=_WRITTEN, action="append", default=[], metavar="KEY",
        help="an input to keep in the output; repeatable; default: none")  # fmt: skip
    add(
        "--batch_size",
        group=_HOW,
        type=parsing.batch_size,
        metavar="N",
        help="rows at a time; default: 256, or the graph's own where it is fixed",
    )
    allowing.add_flag(made)
    made.finish()
    return made


def run(argv: Sequence[str]) -> int:
    """Runs the job to its end; returns 0.

    Raises:
        LoadError: something that the user can put right; a runner or a package is missing, say.
    """
    args, beam_flags = parser().parse_known_args(argv)
    beam = imported()
    from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, WorkerOptions

    from load_v2.beam import runners

    _check_files(args)
    options = PipelineOptions(beam_flags)
    # What is in this module's main session is of no use to a worker.
    options.view_as(SetupOptions).save_main_session = False
    workers = options.view_as(WorkerOptions)
    workers.default_sdk_harness_log_level = workers.default_sdk_harness_log_level or "WARNING"
    runner = runners.named(options.get_all_options().get("runner") or "DirectRunner", options)
    pipeline = beam.Pipeline(runner=runner, options=options)
    build(pipeline, args)
    result = pipeline.run()
    result.wait_until_finish()
    print(colour.report(_written(args, result), sys.stdout), flush=True)
    return 0


def _written(args: argparse.Namespace, result) -> str:
    """Returns what there is to say of a job that ended: what was written where, and how many records had no answer."""
    from load_v2.beam import score

    answered, failed = (_counted(result, name) for name in (score.ANSWERED, score.FAILED))
    text = f"{args.output}: {answered} records with their answers{_files(args.output)}"
    if args.failed:
        text += f"; {args.failed}: {failed} records without an answer{_files(args.failed)}"
    return text


def _counted(result, name: str) -> str:
    from apache_beam.metrics import MetricsFilter

    from load_v2.beam import score

    try:
        counters = result.metrics().query(MetricsFilter().with_namespace(score.NAMESPACE).with_name(name))["counters"]
    except (NotImplementedError, AttributeError, ValueError):
        # Not every runner tells.
        return "the"
    return f"{sum(counter.result for counter in counters):,}"


def _files(output: str) -> str:
    """Returns how many shards and bytes were written, where they can be seen from here."""
    from apache_beam.io.filesystems import FileSystems

    stem, ending = _split(output)
    try:
        files = FileSystems.match([f"{stem}-*-of-*{ending}"])[0].metadata_list
    except Exception:  # Each file system has errors of its own, and the job is done.
        return ""
    return (
        f", {len(files)} {'file' if len(files) == 1 else 'files'}, {sum(file.size_in_bytes for file in files):,} bytes"
    )


def _split(output: str) -> tuple[str, str]:
    """Returns the name of an output without its ending, and the ending; shards have their numbers between the two."""
    from load_v2.beam import rows as records

    endings = (".parquet", *records.TFRECORD[::-1])
    ending = next((ending for ending in endings if output.endswith(ending)), "")
    if not ending:
        stem, dot, rest = output.rpartition(".")
        return (stem, dot + rest) if stem else (output, "")
    return output.removesuffix(ending), ending


def imported():
    """Returns the package apache_beam.

    Raises:
        LoadError: it is not installed; what to install.
    """
    try:
        return importlib.import_module("apache_beam")
    except ModuleNotFoundError as error:
        from load_v2.beam import MISSING

        raise LoadError(MISSING.format(error)) from error


def _check_files(args: argparse.Namespace) -> None:
    """Checks that Beam can read and write such files here; it would find out in the middle of the job."""
    from load_v2.beam import rows as records

    read_kind, write_kind = records.kind("input", args.input), records.kind("output", args.output)
    if (read_kind, write_kind) == ("tfrecord", "parquet"):
        raise LoadError(
            f"--output={args.output} needs to know its columns beforehand, and --input={args.input} has none.\n"
            "  Write TFRecord from TFRecord: --output=FILE.tfrecord."
        )
    kinds = {read_kind, write_kind}
    checksums = ("google_crc32c", "crcmod", "snappy")
    if "tfrecord" in kinds and not any(importlib.util.find_spec(name) for name in checksums):
        raise LoadError("Beam needs a checksum package for TFRecord files.\n  pip install google-crc32c")
    if "parquet" in kinds and not importlib.util.find_spec("pyarrow"):
        raise LoadError("Beam needs pyarrow for Parquet files.\n  pip install pyarrow")


def build(pipeline, args: argparse.Namespace) -> None:
    """Adds the job to a pipeline: read, score, write."""
    import apache_beam as beam

    from load_v2.beam import handler, score
    from load_v2.beam import rows as records
    from load_v2.program import artefact

    read_kind, write_kind = records.kind("input", args.input), records.kind("output", args.output)
    specs = handler.specs_of(args.dir, args.signature)
    outputs = artefact.read(args.dir).signatures[args.signature].outputs
    records.check_kept(args.keep, specs, "the signature's inputs")
    records.matching(args.input)
    read = beam.io.ReadFromTFRecord(args.input) if read_kind == "tfrecord" else beam.io.ReadFromParquet(args.input)
    pairs = pipeline | "Read" >> read | "Keep" >> beam.ParDo(records.Keyed(specs, args.keep))
    answers, failed = pairs | "Score" >> score.Score(
        args.dir, args.signature, keyed=True, max_batch_size=args.batch_size, allow_ops=args.allow_ops
    )
    merged = answers | "Merge" >> beam.MapTuple(lambda kept, result: records.merged(kept, result.inference))
    _write(merged, args, write_kind, specs, outputs)
    if args.failed:
        lines = failed | "Explain" >> beam.MapTuple(_line)
        name, suffix = _split(args.failed)
        lines | "WriteFailed" >> beam.io.WriteToText(name, file_name_suffix=suffix)  # noqa: B018
    else:
        failed | "Stop" >> beam.MapTuple(_stop)  # noqa: B018


def _write(merged, args: argparse.Namespace, write_kind: str, specs: Mapping, outputs: Mapping) -> None:
    import apache_beam as beam

    from load_v2.beam import rows as records

    if write_kind == "tfrecord":
        stem, ending = _split(args.output)
        examples = merged | "Serialize" >> beam.Map(records.example)
        examples | "Write" >> beam.io.WriteToTFRecord(stem, file_name_suffix=ending)  # noqa: B018
        return
    source = records.first_schema(args.input)
    kept = [name for name in source.names if name not in specs or name in args.keep]
    schema = records.table_schema(source, kept, outputs)
    rows = merged | "Cells" >> beam.Map(functools.partial(records.cells, outputs=dict(outputs)))
    stem = args.output.removesuffix(".parquet")
    rows | "Write" >> beam.io.WriteToParquet(stem, schema, file_name_suffix=".parquet")  # noqa: B018


def _line(element, reason: str) -> str:
    """Returns a record without an answer as a line of JSON: what was kept of it, and the reason."""
    kept, _ = element
    return json.dumps({"record": kept, "reason": reason}, default=_plain, ensure_ascii=False)


def _plain(value):
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _stop(element, reason: str) -> None:
    raise LoadError(f"{reason}\n  --failed=FILE.jsonl lets the job go on and writes such records there.")
