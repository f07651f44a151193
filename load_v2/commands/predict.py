"""`predict`: a signature over files, batch by batch, in memory that does not grow with them."""

import argparse
import dataclasses
import time
from collections.abc import Callable, Mapping

from export_v1.console import progress
from load_v2.commands import allowing, parsing
from load_v2.commands.parsing import Parser
from load_v2.errors import LoadError

DESCRIPTION = """
Runs a signature over files, batch by batch, in memory that does not grow with them.

With a * in --outputs each file of --inputs gets an output of its own name. Such a job can be stopped or killed at any
time: the same command goes on with what is missing.
"""
EXAMPLES = (
    "python -m load_v2 predict export/1 --inputs=in.npz --outputs=out.npz",
    "python -m load_v2 predict export/1 --inputs='data/*.parquet' --outputs='scored/*.parquet' --failed='failed/*.parquet'",
)


def add_flags(parser: Parser) -> None:
    """Declares the flags of `predict`."""
    parser.add_export()
    kinds = ".npz, .npy (one input), a folder of KEY.npy, .tfrecord of tf.Example, .parquet, .csv; a pattern, a folder"
    parser.add_argument(
        "--inputs", group="What is read", required=True, metavar="IN.npz", help=f"one array for each input: {kinds}"
    )
    kinds = (
        ".npz, .npy (one output), a new folder, or .tfrecord; of tables .parquet or .csv; * is the name of each input"
    )
    parser.add_argument(
        "--outputs", group="What is written", required=True, metavar="OUT.npz", help=f"where the answers go: {kinds}"
    )
    parser.add_signature("run")
    parser.add_argument("--batch_size", group="How", type=parsing.batch_size, default=None, metavar="N",
                        help="rows at a time; default: 256, or the graph's own where it is fixed")  # fmt: skip
    parser.add_argument("--column", group="What is read", action="append", default=[], metavar="KEY=NAME", type=_pair,
                        help="the column, array or feature of an input that has another name; repeatable; "
                        "default: its own")  # fmt: skip
    parser.add_argument("--failed", group="What is written", metavar="FILE",
                        help="where rows without an answer go, with their reasons: of tables .parquet or .csv, else "
                        ".jsonl; default: they are an error")  # fmt: skip
    allowing.add_flag(parser)


def _pair(text: str) -> tuple[str, str]:
    key, equals, name = text.partition("=")
    if not (key and equals and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=NAME; for example --column=x=pixels")
    return key, name


def run(args: argparse.Namespace) -> int:
    """Runs the signature over the files; returns 0."""
    from load_v2.layer.signature_layer import SignatureLayer
    from load_v2.scoring import jobs

    # What is wrong with names is said before a model is loaded.
    tasks = jobs.tasks(args.inputs, args.outputs, args.failed, args.dir)
    layer = SignatureLayer(args.dir, args.signature, allow_ops=args.allow_ops)
    done = _answered(layer, tasks, args.outputs, args.batch_size, args.failed, dict(args.column))
    text = f"{args.outputs}: {done.rows} rows, {done.rows / max(done.seconds, 1e-9):,.0f} a second"
    if "*" in args.outputs:
        text += f", of {done.files} files; {done.before} more had been answered before"
    if args.failed:
        text += f"; {args.failed}: {done.failed} of these rows, which have no answer"
    print(text)
    return 0


@dataclasses.dataclass(frozen=True)
class Done:
    """What came of a job.

    Attributes:
        rows: how many there were in files that were answered now.
        failed: how many of them have no answer.
        files: how many outputs were written.
        before: how many a run before this one had written.
        seconds: from the first row to the last.
    """

    rows: int
    failed: int
    files: int
    before: int
    seconds: float


def predict(
    layer,
    inputs: str,
    outputs: str,
    batch_size: int | None = None,
    *,
    failed: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Done:
    """Runs a SignatureLayer over files; an output appears whole, or not at all.

    A last, smaller batch is run as it is; where the graph has a fixed batch size it is filled up by repeating its last
    row, and the surplus answers are dropped.

    Args:
        layer: the signature.
        inputs: a file, a folder of files or a pattern.
        outputs: where the answers go; with a `*`, a file for each of `inputs`, and those that are there stay as they are.
        batch_size: rows at a time; default 256, or the graph's own.
        failed: where rows without an answer go; default: they are an error.
        columns: input -> name of its column, array or feature, where that is another.

    Raises:
        LoadError: files are missing, do not fit or cannot be written; a row has no answer; `batch_size` is no positive
            number.
    """
    from load_v2.scoring import jobs
    from load_v2.scoring.scorer import check_batch_size

    check_batch_size(batch_size)
    return _answered(layer, jobs.tasks(inputs, outputs, failed), outputs, batch_size, failed, columns or {})


def _answered(
    layer, tasks: list, outputs: str, batch_size: int | None, failed: str | None, columns: Mapping[str, str]
) -> Done:
    from load_v2.scoring import array_files, jobs
    from load_v2.scoring.scorer import Scorer

    score = _tables() if tasks[0].is_of_tables else array_files.score
    ledger = None
    if "*" in outputs:
        settings = {**jobs.of_layer(layer), "columns": dict(columns), "failed": failed}
        ledger = jobs.Ledger(outputs, tasks, settings)
    left = ledger.left if ledger else tasks
    scorer, start, rows, refused = Scorer(layer), time.monotonic(), 0, 0

    def told(count: int, total: int | None) -> None:
        total = total if len(left) == 1 else None
        progress.count_up("answering", rows + count, total, time.monotonic() - start, "rows")

    options = jobs.Options(columns, batch_size, told)
    for task in left:
        counts = score(scorer, task, options)
        if ledger:
            ledger.check_unchanged(task)
        rows, refused = rows + counts[0], refused + counts[1]
    return Done(rows, refused, len(left), len(tasks) - len(left), time.monotonic() - start)


def _tables() -> Callable:
    try:
        from load_v2.scoring import table_files
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        raise LoadError(f"Tables need pyarrow: {error}.\n  pip install pyarrow, or the extra `parquet`.") from error
    return table_files.score
