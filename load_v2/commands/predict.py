"""`predict`: a signature over a file, batch by batch, in memory that does not grow with the file."""

import argparse
import os
import time
from collections.abc import Iterator

from export_v1.console import progress
from load_v2.commands import allowing
from load_v2.commands.parsing import Parser

_REMEDY = "Look at these rows; `python -m load_v2 show DIR` tells what the signature takes."

DESCRIPTION = """
Runs a signature over a file, batch by batch, in memory that does not grow with the file.
"""
EXAMPLES = ("python -m load_v2 predict export/1 --inputs=in.npz --outputs=out.npz",)


def add_flags(parser: Parser) -> None:
    """Declares the flags of `predict`."""
    parser.add_export()
    kinds = ".npz, .npy (one input), a folder of KEY.npy, .tfrecord of tf.Example; tables: .parquet, .csv, patterns"
    parser.add_argument(
        "--inputs", group="What is read", required=True, metavar="IN.npz", help=f"one array for each input: {kinds}"
    )
    kinds = ".npz, .npy (one output), a new folder, or .tfrecord; from tables .parquet or .csv"
    parser.add_argument(
        "--outputs", group="What is written", required=True, metavar="OUT.npz", help=f"where the answers go: {kinds}"
    )
    parser.add_signature("run")
    parser.add_argument("--batch_size", group="How", type=_positive, default=None, metavar="N",
                        help="rows at a time; default: 256, or the graph's own where it is fixed")  # fmt: skip
    parser.add_argument("--column", group="What is read", action="append", default=[], metavar="KEY=NAME", type=_pair,
                        help="tables: the column of an input that has another name; repeatable; default: its own")  # fmt: skip
    parser.add_argument("--failed", group="What is written", metavar="FILE.parquet",
                        help="tables: where rows without an answer go; default: they are an error")  # fmt: skip
    allowing.add_flag(parser)


def _pair(text: str) -> tuple[str, str]:
    key, equals, name = text.partition("=")
    if not (key and equals and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=NAME; for example --column=x=pixels")
    return key, name


def _positive(text: str) -> int:
    value = int(text) if text.lstrip("-").isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number; for example --batch_size=256")
    return value


def run(args: argparse.Namespace) -> int:
    """Runs the signature over the file; returns 0."""
    from load_v2.errors import LoadError
    from load_v2.layer.signature_layer import SignatureLayer

    layer = SignatureLayer(args.dir, args.signature, allow_ops=args.allow_ops)
    if _is_table(args.inputs):
        rows, seconds = _predict_tables(layer, args)
    else:
        for flag, value in (("column", args.column), ("failed", args.failed)):
            if value:
                raise LoadError(f"--{flag} is for tables, and {args.inputs!r} is no .parquet or .csv.")
        rows, seconds = predict(layer, args.inputs, args.outputs, args.batch_size)
    print(f"{args.outputs}: {rows} rows, {rows / max(seconds, 1e-9):,.0f} a second")
    return 0


def _is_table(path: str) -> bool:
    """Returns whether inputs are tables: by the ending, or by what is in the folder."""
    endings = (".parquet", ".csv")
    return path.endswith(endings) or (os.path.isdir(path) and any(name.endswith(endings) for name in os.listdir(path)))


def _predict_tables(layer, args: argparse.Namespace) -> tuple[int, float]:
    from load_v2.errors import LoadError
    from load_v2.scoring.scorer import Scorer

    try:
        from load_v2.scoring import table_files
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        raise LoadError(f"Tables need pyarrow: {error}.\n  pip install pyarrow, or the extra `parquet`.") from error
    start = time.monotonic()

    def told(rows: int) -> None:
        progress.count_up("answering", rows, None, time.monotonic() - start, "rows")

    rows = table_files.score(
        Scorer(layer), args.inputs, args.outputs, failed=args.failed, columns=dict(args.column),
        batch_size=args.batch_size, progress=told,
    )  # fmt: skip
    return rows, time.monotonic() - start


def predict(layer, inputs: str, outputs: str, batch_size: int | None = None) -> tuple[int, float]:
    """Runs a SignatureLayer over a file; the output file appears whole, or not at all.

    The next batches are read while one is computed. A last, smaller batch is run as it is; where the graph has a fixed
    batch size it is filled up by repeating its last row, and the surplus answers are dropped.

    Returns:
        How many rows, and how many seconds after the first batch was read.
    """
    import tensorflow as tf

    from load_v2 import errors, scoring
    from load_v2.errors import LoadError
    from load_v2.scoring import scorer

    if os.path.realpath(inputs) == os.path.realpath(outputs):
        raise LoadError(
            f"{outputs!r} holds the inputs, and would be replaced by the answers.\n  Name another --outputs."
        )
    specs = layer.input_specs
    model = scorer.Scorer(layer)
    source = scoring.reader(inputs, specs)
    start, rows = time.monotonic(), 0
    with scoring.writer(outputs, list(layer.output_specs)) as target:
        for batch in _prefetched(source.batches(model.fixed or batch_size or scorer.BATCH_SIZE)):
            count = scorer.row_count(batch, specs)
            try:
                answers = model.batch(batch)
            except tf.errors.OpError as error:
                where = f"rows {rows} to {rows + count - 1} of {inputs!r}"
                raise LoadError(f"The graph fails on {where}: {errors.reason(error)}\n  {_REMEDY}") from error
            target.write(answers)
            rows += count
            progress.count_up("answering", rows, source.count, time.monotonic() - start, "rows")
        if not rows:
            raise LoadError(f"{inputs!r} holds no rows, so there is nothing to answer.")
    return rows, time.monotonic() - start


def _prefetched(batches: Iterator) -> Iterator:
    """Yields what `batches` yields, reading up to two ahead in a thread while kernels keep the cores busy."""
    import queue
    import threading

    waiting: queue.Queue = queue.Queue(maxsize=2)
    stopped = threading.Event()

    def put(item) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def fill():
        try:
            for batch in batches:
                if not put((batch, None)):
                    return
            put((None, None))
        except BaseException as error:  # it belongs to the thread that consumes the batches
            put((None, error))

    threading.Thread(target=fill, daemon=True).start()
    try:
        while True:
            batch, error = waiting.get()
            if error is not None:
                raise error
            if batch is None:
                return
            yield batch
    finally:
        stopped.set()
