"""Batches from files and answers into files, in memory that does not grow: .npz, .npy, folders of .npy, TFRecord.

A reader gives `count` (examples, None where it is not known beforehand) and `batches(size)`, dicts of arrays by key;
inputs without a batch dimension come whole with each batch. A writer takes dicts of arrays with `write` and is a
context manager: what it writes appears whole when the block ends well, and not at all otherwise.
"""

import os
from collections.abc import Mapping

from load_v2.errors import LoadError
from load_v2.program.signature import Spec
from load_v2.scoring.jobs import RECORDS


def reader(path: str, specs: Mapping[str, Spec]):
    """Returns a reader for `path`, chosen by its ending.

    Raises:
        LoadError: the file is missing, is of no known kind, or its arrays are not the signature's inputs.
    """
    from load_v2.scoring import arrays, tfrecords

    if not os.path.exists(path):
        keys = ", ".join(map(repr, specs))
        raise LoadError(f"There is no file {path!r}.\n  Pass --inputs=IN.npz with one array for each of {keys}.")
    if path.endswith(RECORDS):
        return tfrecords.Reader(path, specs)
    if path.endswith(".npz"):
        return arrays.ArchiveReader(path, specs)
    if path.endswith(".npy") or os.path.isdir(path):
        return arrays.MapReader(path, specs)
    raise LoadError(
        f"{path!r} is not a kind of file that inputs are read from.\n"
        f"  Known: .npz, .npy, a folder of .npy files, .tfrecord, .parquet, .csv."
    )


def writer(path: str, keys: list[str]):
    """Returns a writer for `path`, chosen by its ending; a path with no ending becomes a folder of .npy files.

    Raises:
        LoadError: the ending is of no known kind, or one .npy cannot hold several outputs.
    """
    from load_v2.scoring import arrays, tfrecords

    if path.endswith(RECORDS):
        return tfrecords.writer(path)
    if path.endswith(".npz"):
        return arrays.archive_writer(path)
    if path.endswith(".npy"):
        if len(keys) > 1:
            raise LoadError(
                f"{path!r} holds one array, the signature has {len(keys)} outputs: {', '.join(keys)}.\n"
                "  Pass --outputs=OUT.npz, or a folder for one .npy each."
            )
        return arrays.array_writer(path)
    if not os.path.splitext(path)[1]:
        return arrays.folder_writer(path)
    raise LoadError(
        f"{path!r} is not a kind of file that answers are written to.\n"
        f"  Known: .npz, .npy, a folder, .tfrecord; of tables .parquet, .csv."
    )
