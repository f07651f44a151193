"""Records of files for Score: read as (kept values, row), written as kept values and answers together."""

from collections.abc import Collection, Mapping

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.io import filesystems

from load_v2.errors import LoadError, quoted
from load_v2.program.signature import Spec
from load_v2.scoring import elements

TFRECORD = (".tfrecord", ".tfrecords", ".tfrecord.gz", ".tfrecords.gz")
PARQUET = (".parquet",)


def kind(flag: str, path: str) -> str:
    """Returns "tfrecord" or "parquet", by a path's ending.

    Raises:
        LoadError: it has neither ending.
    """
    for name, endings in (("tfrecord", TFRECORD), ("parquet", PARQUET)):
        if path.endswith(endings):
            return name
    raise LoadError(
        f"--{flag}={path} is neither TFRecord nor Parquet.\n"
        f"  Let it end in {', '.join(TFRECORD[:3])} or {PARQUET[0]}: --{flag}='/data/part-*.parquet'."
    )


class Keyed(beam.DoFn):
    """Makes pairs of a record: what to keep of it, and the element for the signature.

    Args:
        specs: inputs of the signature.
        keep: values to keep though they are inputs; all others are kept anyway.
    """

    def __init__(self, specs: Mapping[str, Spec], keep: Collection[str] = ()):
        self._specs, self._keep = specs, frozenset(keep)

    def process(self, record):
        serialized = isinstance(record, bytes)
        try:
            values = elements.features(elements.parsed(record)) if serialized else record
        except LoadError:
            # What is wrong is said by the handler, which is given the record as it is.
            values = {}
        kept = {key: value for key, value in values.items() if key not in self._specs or key in self._keep}
        yield kept, record if serialized else _flat(record, self._specs)


def _flat(record: Mapping, specs: Mapping[str, Spec]) -> elements.Flat:
    """Returns the inputs of a table's row, lists as arrays, which travel better; and what it can be recognised by."""
    flat = elements.Flat()
    # Where an input is missing, what there is instead says which column was meant.
    whole = any(key not in record for key in specs)
    for key, value in record.items():
        if not isinstance(value, list):
            flat[key] = value
        elif key in specs or whole:
            try:
                flat[key] = np.asarray(value)
            except ValueError:
                # Lists of different lengths: the handler says what is wrong with them.
                flat[key] = value
    return flat


def merged(kept: Mapping[str, object], inference: Mapping[str, np.ndarray]) -> dict[str, object]:
    """Returns a record of what was kept and the answers, flat; an output of a kept name is under `out/NAME`."""
    answers = {elements.output_name(key, kept): np.asarray(value).ravel() for key, value in inference.items()}
    return {**kept, **answers}


def example(record: Mapping[str, object]) -> bytes:
    """Returns a record as a serialized tf.train.Example: floats as float32, integers and booleans as int64."""
    made = tf.train.Example()
    for key, value in sorted(record.items()):
        if value is None:
            continue
        flat = np.asarray(value).ravel() if not isinstance(value, (bytes, str)) else np.asarray([value], dtype=object)
        feature = made.features.feature[key]
        if flat.dtype.kind in "iub":
            feature.int64_list.value.extend(int(item) for item in flat)
        elif flat.dtype.kind in "OSU":
            feature.bytes_list.value.extend(item.encode() if isinstance(item, str) else bytes(item) for item in flat)
        elif flat.size:
            feature.float_list.value.extend(flat.astype(np.float32).tolist())
    return made.SerializeToString(deterministic=True)


def matching(pattern: str) -> list[str]:
    """Returns the files that a pattern matches, on any file system that Beam knows.

    Raises:
        LoadError: there is none.
    """
    (matches,) = filesystems.FileSystems.match([pattern])
    if not matches.metadata_list:
        raise LoadError(f"No file matches --input={pattern}.")
    return sorted(file.path for file in matches.metadata_list)


def first_schema(pattern: str):
    """Returns the pyarrow schema of the first file that matches."""
    from pyarrow import parquet

    with filesystems.FileSystems.open(matching(pattern)[0]) as stream:
        return parquet.read_schema(stream)


def table_schema(source, kept: Collection[str], outputs: Mapping[str, Spec]):
    """Returns the pyarrow schema of the answers to a table: its kept columns, then a column for each output."""
    import pyarrow

    fields = [source.field(name) for name in kept]
    for key, spec in outputs.items():
        dtype = pyarrow.binary() if spec.dtype == "string" else pyarrow.from_numpy_dtype(_stored(spec.dtype))
        name = elements.output_name(key, kept)
        fields.append(pyarrow.field(name, dtype if _is_single(spec) else pyarrow.list_(dtype)))
    return pyarrow.schema(fields)


def cells(record: Mapping[str, object], outputs: Mapping[str, Spec]) -> dict[str, object]:
    """Returns a record as a row of the table: single answers as they are, others as flat lists."""
    row = {}
    for key, value in record.items():
        spec = outputs.get(key.removeprefix("out/"))
        if spec is None or not isinstance(value, np.ndarray):
            row[key] = value
            continue
        flat = value.astype(_stored(spec.dtype)).tolist() if spec.dtype != "string" else value.tolist()
        row[key] = flat[0] if _is_single(spec) else flat
    return row


def _stored(dtype: str) -> str:
    # Parquet has no such type.
    return "float32" if dtype in ("bfloat16", "float16") else dtype


def _is_single(spec: Spec) -> bool:
    return spec.shape is not None and len(spec.shape) == 1


def check_kept(keep: Collection[str], known: Collection[str], place: str) -> None:
    """Checks that what is to be kept is there."""
    missing = set(keep) - set(known)
    if missing:
        raise LoadError(f"--keep={sorted(missing)[0]} is not in {place}; it has {quoted(known)}.")
