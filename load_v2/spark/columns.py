"""A signature as a function of Spark columns.

It is an Arrow function over iterators, not `predict_batch_udf`, which is made of pandas: there a null becomes NaN before the
function sees it, each list of a row becomes an object, and one row that fails takes the whole task with it. Arrow has
nulls, and lists of numbers as one piece of memory.
"""

import functools
import os
from collections.abc import Callable, Collection, Iterator, Mapping

import pyarrow
from pyspark.sql import Column, types
from pyspark.sql import functions as sf
from pyspark.sql.functions import arrow_udf

from load_v2.errors import LoadError, quoted, unknown
from load_v2.program import artefact
from load_v2.program.signature import Signature, Spec
from load_v2.scoring import tables
from load_v2.scoring.scorer import Scorer, check_batch_size

# Spark has no unsigned integers: the next wider type holds them.
_SPARK = {
    "bool": types.BooleanType(),
    "int8": types.ByteType(),
    "uint8": types.ShortType(),
    "int16": types.ShortType(),
    "uint16": types.IntegerType(),
    "int32": types.IntegerType(),
    "uint32": types.LongType(),
    "int64": types.LongType(),
    "uint64": types.DecimalType(20, 0),
    "float16": types.FloatType(),
    "bfloat16": types.FloatType(),
    "float32": types.FloatType(),
    "float64": types.DoubleType(),
    "string": types.BinaryType(),
}
_WIDER = {
    pyarrow.uint8(): pyarrow.int16(),
    pyarrow.uint16(): pyarrow.int32(),
    pyarrow.uint32(): pyarrow.int64(),
    pyarrow.uint64(): pyarrow.decimal128(20, 0),
}


def udf(
    path: str | os.PathLike,
    signature: str = "serving_default",
    *,
    batch_size: int | None = None,
    allow_ops: Collection[str] = (),
    reason: str = "reason",
) -> Callable[..., Column]:
    """Returns a function of columns whose answer is a struct: a field for each output, and the reason where there is none.

        score = load_v2.spark.udf("/models/mlp/1")
        table.withColumn("scored", score())                    # columns named like the inputs
        table.select(score(images=table.pixels).alias("scored")).select("scored.*")

    Outputs of one number for each row are plain fields, others arrays within arrays, strings are binary; of an output of
    unknown rank the array is flat. A row with a null, with values that do not fit, or that the graph fails on, has null
    outputs and a reason; all others have answers, and a null for the reason. The model is loaded once in each Python
    worker, which Spark uses again for later tasks; workers import this package and find the export at the same path.

    Args:
        path: folder of an export.
        signature: which of its signatures.
        batch_size: rows at a time; default 256, or the graph's own where that is fixed.
        allow_ops: ops to let run although they could touch files, network or Python.
        reason: name of the field for the reason.

    Raises:
        LoadError: the export or the signature is not there; an output has the name of the reason, is a scalar, or has a
            type that Spark lacks; `batch_size` is no positive number.
    """
    check_batch_size(batch_size)
    path, allowed = os.fspath(path), tuple(allow_ops)
    interface = interface_of(path, signature)
    returned = struct_type(interface.outputs, reason)

    def scored(structs: Iterator[pyarrow.Array]) -> Iterator[pyarrow.Array]:
        scorer = _scorer(path, signature, allowed)
        for rows in structs:
            names = [field.name for field in rows.type]
            # As the struct is never null itself, its fields are its columns.
            answers = tables.answer(scorer, dict(zip(names, rows.flatten(), strict=True)), batch_size)
            arrays = [_signed(array) for array in answers.outputs.values()] + [answers.reasons]
            yield pyarrow.StructArray.from_arrays(arrays, [*answers.outputs, reason])

    function = arrow_udf(scored, returned)

    def score(*columns: Column | str, **by_name: Column | str) -> Column:
        return function(sf.struct(*_aliased(interface.inputs, columns, by_name)))

    return score


def interface_of(path: str, signature: str) -> Signature:
    """Returns what a signature of an export takes and gives.

    Raises:
        LoadError: the export or the signature is not there, or it takes no inputs.
    """
    declared = artefact.read(path).signature_named(signature)
    if not declared.inputs:
        raise LoadError(f"Signature {signature!r} takes no inputs, so it has no answer to a row.")
    return declared


def struct_type(outputs: Mapping[str, Spec], reason: str) -> types.StructType:
    """Returns Spark's type of the answers.

    Raises:
        LoadError: an output has the name of the reason, or a type that Spark lacks.
    """
    if reason.lower() in map(str.lower, outputs):
        raise LoadError(
            f"{reason!r} is the name of an output, and cannot be that of the reasons.\n"
            f"  Pass another name: udf(DIR, reason='why')."
        )
    fields = [types.StructField(key, _spark_type(key, spec)) for key, spec in outputs.items()]
    return types.StructType([*fields, types.StructField(reason, types.StringType())])


def _spark_type(key: str, spec: Spec) -> types.DataType:
    if spec.dtype not in _SPARK:
        raise LoadError(f"Output {key!r} is {spec}, a type that Spark does not have.")
    tables.arrow_type(key, spec)
    made: types.DataType = _SPARK[spec.dtype]
    for _ in range(1 if spec.shape is None else len(spec.shape) - 1):
        made = types.ArrayType(made)
    return made


def _signed(array: pyarrow.Array) -> pyarrow.Array:
    return array.cast(_wider(array.type))


def _wider(kind: pyarrow.DataType) -> pyarrow.DataType:
    return pyarrow.list_(_wider(kind.value_type)) if pyarrow.types.is_list(kind) else _WIDER.get(kind, kind)


def _aliased(inputs: Mapping[str, Spec], columns: tuple, by_name: Mapping[str, Column | str]) -> list[Column]:
    """Returns a column for each input, with its key for a name."""
    if len(columns) > len(inputs):
        raise LoadError(
            f"There are {len(columns)} columns; the signature takes {len(inputs)} inputs: {quoted(inputs)}."
        )
    given = dict(zip(inputs, columns, strict=False))
    for key, column in by_name.items():
        if key not in inputs:
            raise unknown("Input", key, "the signature", inputs)
        if key in given:
            raise LoadError(f"Input {key!r} is given twice.")
        given[key] = column
    for key, column in given.items():
        if not isinstance(column, str | Column):
            raise LoadError(f"Input {key!r} is given {column!r}; give a column, or the name of one.")
    # A name is a name, whatever is in it: a dot would be a field of a struct.
    named = {key: given.get(key, "`" + key.replace("`", "``") + "`") for key in inputs}
    return [(sf.col(column) if isinstance(column, str) else column).alias(key) for key, column in named.items()]


@functools.lru_cache(maxsize=4)
def _scorer(path: str, signature: str, allow_ops: tuple[str, ...]) -> Scorer:
    """Returns a signature that rows are answered with, loaded once in a process."""
    return Scorer.of(path, signature, allow_ops)
