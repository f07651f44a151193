"""A signature over a Dataset of Ray Data. Needs the extra `ray`.

    import ray
    from load_v2.ray import Predictor

    scored = ray.data.read_parquet("data/").map_batches(
        Predictor, fn_constructor_args=["/models/mlp/1"], batch_format="pyarrow", batch_size=4096, concurrency=2
    )
    failed = scored.filter(expr="reason is not null")

Each actor loads the model once; `num_gpus=1` gives each a GPU of its own.
"""

import os
from collections.abc import Collection, Mapping

import pyarrow

from load_v2.errors import LoadError, unknown
from load_v2.scoring import elements, tables
from load_v2.scoring.scorer import Scorer, check_batch_size


class Predictor:
    """Answers batches of a Dataset: what `Dataset.map_batches` calls in its actors.

    A batch comes out with its columns that are no inputs, a column for each output and one for the reason. A row with a
    null, with values that do not fit, or that the graph fails on, has null outputs and a reason; all others have answers
    and a null for the reason. An output with the name of a column that is kept is called `out/NAME`.

    With `batch_format="pyarrow"`, which has nulls and lists as they are, tables come out, of the same schema for each
    batch. A batch of arrays, Ray's default, comes out as arrays; an output in which a row has no answer, or whose
    answers differ in shape, is an array of objects then.

    Args:
        path: folder of an export, the same on every machine.
        signature: which of its signatures.
        columns: input -> name of its column, where that is another.
        keep: columns to keep though they are inputs.
        batch_size: rows at a time; default 256, or the graph's own where that is fixed.
        allow_ops: ops to let run although they could touch files, network or Python.
        reason: name of the column for the reason.

    Raises:
        LoadError: the export or the signature is not there; a name or `batch_size` is wrong; an output is not one answer
            for each row.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        signature: str = "serving_default",
        *,
        columns: Mapping[str, str] | None = None,
        keep: Collection[str] = (),
        batch_size: int | None = None,
        allow_ops: Collection[str] = (),
        reason: str = "reason",
    ):
        check_batch_size(batch_size)
        self._scorer = Scorer.of(os.fspath(path), signature, allow_ops)
        self._columns = elements.columns_of(self._scorer.inputs, columns)
        for key, spec in self._scorer.outputs.items():
            tables.arrow_type(key, spec)
        if reason in self._scorer.outputs:
            raise LoadError(
                f"{reason!r} is the name of an output, and cannot be that of the reasons.\n  Pass another name: reason='why'."
            )
        self._kept, self._size, self._reason = frozenset(keep), batch_size, reason

    def __call__(self, batch):
        """Returns a batch with the answers to its rows.

        Args:
            batch: a pyarrow.Table, or a dict of arrays by column.

        Raises:
            LoadError: a column is missing, is there twice, or has the name of the reason; the batch is something else.
        """
        is_table = isinstance(batch, pyarrow.Table)
        if not is_table and not isinstance(batch, Mapping):
            raise LoadError(
                f"A batch is a {type(batch).__name__}; it has to be a pyarrow.Table, or a dict of arrays.\n"
                "  Pass batch_format='pyarrow' to map_batches."
            )
        names = batch.column_names if is_table else list(batch)
        twice = next((name for at, name in enumerate(names) if name in names[:at]), None)
        if twice is not None:
            raise LoadError(f"There are two columns {twice!r}.\n  Rename one of them, or leave it out.")
        for name in sorted(self._kept):
            if name not in names:
                raise unknown("Column", name, "the data", names, "Pass others: keep=['NAME'].")
        given = {key: batch[column] for key, column in self._columns.items() if column in names}
        for key, column in self._columns.items():
            if key not in given:
                raise unknown("Column", column, "the data", names, f"Pass columns={{{key!r}: 'NAME'}}.")
        answers = tables.answer(self._scorer, given, self._size)
        inputs = set(self._columns.values()) - self._kept
        kept = {name: batch[name] for name in names if name not in inputs}
        if self._reason in kept:
            raise LoadError(f"There is a column {self._reason!r} already.\n  Pass another name: reason='why'.")
        made = {elements.output_name(key, kept): array for key, array in answers.outputs.items()}
        made[self._reason] = answers.reasons
        if is_table:
            return pyarrow.table({**kept, **made})
        return {**kept, **{name: tables.as_array(array) for name, array in made.items()}}
