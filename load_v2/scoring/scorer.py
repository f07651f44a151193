"""One signature over many rows: what `predict`, Beam, Spark, Ray and a server have in common.

Every row gets one answer or one reason, whatever becomes of its neighbours, and in its place.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import tensorflow as tf

from load_v2.errors import LoadError
from load_v2.layer.signature_layer import SignatureLayer
from load_v2.program.signature import Spec
from load_v2.scoring import elements, memory

# Rows at a time, where nobody says otherwise and the graph has no batch size of its own.
BATCH_SIZE = 256


def check_batch_size(size: object, name: str = "batch_size") -> None:
    """Checks a number of rows at a time that somebody chose; None is no choice.

    Raises:
        LoadError: it is no whole number above 0.
    """
    if size is not None and (isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1):
        raise LoadError(f"{name}={size!r} is not a positive whole number.\n  For example {name}={BATCH_SIZE}.")


@dataclasses.dataclass(frozen=True)
class Failure:
    """What stands for the answer to a row that has none: the reason."""

    reason: str


class Scorer:
    """Answers rows with one signature of an export.

    Args:
        layer: the signature.
    """

    def __init__(self, layer: SignatureLayer):
        self._layer = layer
        self.fixed = fixed_batch(layer.input_specs)

    @classmethod
    def of(cls, path: str, signature: str = "serving_default", allow_ops: Collection[str] = ()) -> "Scorer":
        """Returns a scorer of an export.

        Raises:
            LoadError: the export or the signature is not there, or has ops that are refused.
        """
        return cls(SignatureLayer(path, signature, allow_ops=allow_ops))

    @property
    def inputs(self) -> Mapping[str, Spec]:
        """The inputs of the signature, in call order."""
        return self._layer.input_specs

    @property
    def outputs(self) -> Mapping[str, Spec]:
        """The outputs of the signature."""
        return self._layer.output_specs

    def batch(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the answers to a batch of rows: by output key, an array with one answer for each row.

        Where the graph has a fixed batch size, more rows are answered in several batches, and a smaller last batch is
        filled up by repeating its last row.

        Args:
            arrays: by input key; those that have a batch dimension are of one length.

        Raises:
            LoadError: an output is not one answer for each row.
            tf.errors.OpError: the graph fails on a row.
        """
        count = row_count(arrays, self.inputs)
        if self.fixed is None or count == self.fixed:
            return self._answered(arrays, count)
        parts = [self._part(arrays, at, self.fixed, count) for at in range(0, max(count, 1), self.fixed)]
        return {key: np.concatenate([part[key] for part in parts])[:count] for key in parts[0]}

    def _part(self, arrays: Mapping[str, np.ndarray], start: int, size: int, count: int) -> dict[str, np.ndarray]:
        rows = np.minimum(np.arange(start, start + size), count - 1)
        part = {key: np.asarray(value)[rows] if self.inputs[key].has_rows else value for key, value in arrays.items()}
        return self._answered(part, size)

    def call(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns what the signature answers, by output key, whether or not that is one answer for each row.

        The graph may read the arrays where they lie: nobody writes to them as long as the answers are used.

        Raises:
            LoadError: the arrays do not fit the signature.
            tf.errors.OpError: the graph fails on them.
        """
        given = {
            key: memory.tensor(value, self.inputs[key].dtype) for key, value in arrays.items() if key in self.inputs
        }
        answer = self._layer({**arrays, **given})
        answer = answer if isinstance(answer, dict) else {next(iter(self.outputs)): answer}
        return {key: np.asarray(value) for key, value in answer.items()}

    def _answered(self, arrays: Mapping[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        answers = self.call(arrays)
        for key, value in answers.items():
            if value.ndim == 0 or len(value) != count:
                raise LoadError(
                    f"Output {key!r} has shape {list(value.shape)} for {count} rows: it is not one answer for each "
                    "row.\n  Call the layer yourself: load_v2.SignatureLayer(DIR)."
                )
        return answers

    def rows(self, rows: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray] | Failure]:
        """Returns the answer to each of some rows, by output key; a Failure for those that the graph fails on.

        Rows of different shapes, or with different values of an input that has no rows, go into batches of their own.

        Args:
            rows: as `elements.row` makes them, without the batch dimension.
        """
        answers: list = [None] * len(rows)
        for positions in _alike(rows, self.inputs):
            for at, answer in zip(positions, self._halved([rows[at] for at in positions]), strict=True):
                answers[at] = answer
        return answers

    def _halved(self, rows: list[Mapping[str, np.ndarray]]) -> list[dict[str, np.ndarray] | Failure]:
        """Returns the answer to each row of one shape; those that the graph fails on are found by halving the batch."""
        arrays = {
            key: np.stack([row[key] for row in rows]) if spec.has_rows else rows[0][key]
            for key, spec in self.inputs.items()
        }
        try:
            answers = self.batch(arrays)
        except (tf.errors.OpError, ValueError) as error:
            if len(rows) == 1:
                return [Failure(_reason(error))]
            half = len(rows) // 2
            return self._halved(rows[:half]) + self._halved(rows[half:])
        return [{key: value[at] for key, value in answers.items()} for at in range(len(rows))]

    def each(self, arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str | None]]:
        """Returns the answers to those rows of a batch that have one, by output key, and for each row why it has none.

        Raises:
            LoadError: the arrays do not fit the signature, an output is not one answer for each row, or answers differ in
                shape.
        """
        count = row_count(arrays, self.inputs)
        try:
            return self.batch(arrays), [None] * count
        except tf.errors.OpError:
            # Which rows these are comes out by halving.
            plain = {key: np.asarray(value) for key, value in arrays.items()}
            is_of_rows = {key: spec.has_rows for key, spec in self.inputs.items()}
        answers = self.rows(
            [{key: value[at] if is_of_rows[key] else value for key, value in plain.items()} for at in range(count)]
        )
        answered = [answer for answer in answers if not isinstance(answer, Failure)]
        reasons = [answer.reason if isinstance(answer, Failure) else None for answer in answers]
        try:
            return {
                key: np.stack([answer[key] for answer in answered]) for key in answered[0]
            } if answered else {}, reasons
        except ValueError as error:
            raise LoadError(f"The answers to rows that were computed apart differ in shape: {error}.") from error

    def elements(self, given: Sequence) -> list[dict[str, np.ndarray] | Failure]:
        """Returns the answer to each element, in its place; a Failure, which names the element, where there is none.

        Args:
            given: dicts of array-likes by key, one row each; tf.train.Examples; see `elements.row`.
        """
        answers: list = [None] * len(given)
        rows = {}
        for at, element in enumerate(given):
            try:
                rows[at] = elements.row(element, self.inputs)
            except LoadError as error:
                answers[at] = Failure(str(error))
        for at, answer in zip(rows, self.rows(list(rows.values())), strict=True):
            if isinstance(answer, Failure):
                answer = Failure(f"Record {elements.shown(given[at])}: {answer.reason}")
            answers[at] = answer
        return answers


def fixed_batch(specs: Mapping[str, Spec]) -> int | None:
    """Returns the batch size that a graph has of its own, None where it takes any."""
    sizes = {spec.shape[0] for spec in specs.values() if spec.shape}
    return sizes.pop() if len(sizes) == 1 else None


def row_count(arrays: Mapping[str, np.ndarray], specs: Mapping[str, Spec]) -> int:
    """Returns how many rows a batch has; one where no input has a batch dimension."""
    return next((len(arrays[key]) for key, spec in specs.items() if spec.has_rows), 1)


def _alike(rows: Sequence[Mapping[str, np.ndarray]], specs: Mapping[str, Spec]) -> list[list[int]]:
    """Returns the positions of rows that go into a batch: of one shape, and one value where an input has no rows."""
    scalars = [key for key, spec in specs.items() if not spec.has_rows]
    groups: dict[tuple, list[int]] = {}
    for at, row in enumerate(rows):
        shapes = tuple(value.shape for value in row.values())
        groups.setdefault((shapes, *(row[key].item() for key in scalars)), []).append(at)
    return list(groups.values())


def _reason(error: Exception) -> str:
    if isinstance(error, LoadError):
        return str(error)
    lines = [line.strip() for line in getattr(error, "message", str(error)).splitlines() if line.strip()]
    # TensorFlow names the node right after the fact; what comes before is about Python stacks.
    node = next((at for at, line in enumerate(lines) if line.startswith("[[{{node")), 0)
    return "the graph fails: " + (lines[node - 1] if node else lines[0] if lines else type(error).__name__)
