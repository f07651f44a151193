"""Keras weights for the variables of a graph."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import keras
import tensorflow as tf

from export_v1.format import checkpoints, plain_path
from load_v2.errors import LoadError, quoted
from load_v2.program import artefact

# Variables restored by one RestoreV2: reading many at once lets TensorFlow use its threads. Values are not copied on
# the way into a variable, so this costs no memory; the bound is for strategies, which do copy them for each replica.
_CHUNK_BYTES = 512 * 2**20


class Penalty(Protocol):
    """Regularization losses that a weight has a part in."""

    def is_due(self) -> bool:
        """Whether one of them counts with the weight as things are."""

    def __call__(self, value, /) -> tf.Tensor:
        """Returns the sum of those that do; it reads the variables by itself."""


class Weight(keras.Variable):
    """A Keras variable under its TensorFlow 1 name.

    `name` is the graph's name, slashes and all, which Keras's own constructor does not take; `path` is the layer's
    name and that name. It is never autocast: the graph computes in the types it was built with.

    Attributes:
        frozen: whether it keeps its value in training: no gradient is for it, no op of the graph changes it, and batch norm
            goes by it. Setting `trainable` to False means that, too, for moving averages as well.
        suspended: whether its layer does not train.
        penalty: computes the regularization losses of the graph that count with this weight.
    """

    frozen = False
    suspended = False
    penalty: "Penalty | None" = None

    def __init__(self, graph_name: str, layer_name: str, **kwargs):
        self._graph_name = graph_name
        self._layer_name = layer_name
        super().__init__(name=graph_name.replace("/", "_"), autocast=False, **kwargs)

    @property
    def trainable(self) -> bool:
        return super().trainable and not self.frozen and not self.suspended

    @trainable.setter
    def trainable(self, value: bool):
        self.frozen = not value
        if value:
            keras.Variable.trainable.fset(self, True)

    @property
    def regularizer(self):
        own, penalty = super().regularizer, self.penalty
        if penalty is None or not penalty.is_due():
            return own
        return penalty if own is None else lambda value: penalty(value) + own(value)

    @regularizer.setter
    def regularizer(self, value):
        keras.Variable.regularizer.fset(self, value)

    @property
    def name(self) -> str:
        return self._graph_name

    @property
    def path(self) -> str:
        return f"{self._layer_name}/{self._graph_name}"


def create(
    variables: Sequence[artefact.Variable], layer_name: str, written: Iterable[str], bundle: str | None
) -> list[Weight]:
    """Returns one Keras weight for each variable, with the values of `bundle`, or zeros where that is None.

    Inside a tf.distribute scope the weights are what the strategy makes of them. A variable that the graph itself
    writes (`written`: moving averages, counters) is then read locally by each replica and averaged when it is saved
    or read from outside, as a BatchNormalization of Keras 2 had it; integers take the first replica's value. It
    cannot be mirrored: the graph writes each replica's copy by itself, so the copies differ between two savings.

    Raises:
        LoadError: values are missing, or have another type or shape than the graph wants; all are listed at once.
    """
    written = set(written)
    weights = []
    for chunk in _chunks(variables):
        values = _restore(chunk, bundle) if bundle else [None] * len(chunk)
        for variable, value in zip(chunk, values, strict=True):
            weights.append(_create_one(variable, layer_name, variable.name in written, value))
    return weights


def _create_one(variable: artefact.Variable, layer_name: str, is_written: bool, value: tf.Tensor | None) -> Weight:
    def initial(shape, dtype=None):
        return tf.zeros(shape, variable.dtype) if value is None else value

    synchronization = {}
    if is_written and tf.distribute.has_strategy():
        aggregation = "mean" if tf.as_dtype(variable.dtype).is_floating else "only_first_replica"
        synchronization = {"synchronization": "on_read", "aggregation": aggregation}
    return Weight(
        variable.name,
        layer_name,
        initializer=initial,
        shape=variable.shape,
        dtype=variable.dtype,
        trainable=variable.trainable and not synchronization,
        **synchronization,
    )


def restored(variables: Sequence[artefact.Variable], bundle: str | None) -> Iterator[tf.Tensor]:
    """Yields the value of each variable in a bundle; a bounded number of bytes is in memory at a time."""
    for chunk in _chunks(variables):
        assert bundle is not None, "variables have a bundle"
        yield from _restore(chunk, bundle)


def _chunks(variables: Sequence[artefact.Variable]) -> Iterable[list[artefact.Variable]]:
    chunk, size = [], 0
    for variable in variables:
        chunk.append(variable)
        size += tf.TensorShape(variable.shape).num_elements() * max(tf.as_dtype(variable.dtype).size, 1)
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def check(variables: Sequence[artefact.Variable], source: artefact.Artefact) -> None:
    """Raises LoadError unless the bundle has every variable, in the graph's type and shape."""
    if not variables:
        return
    if source.bundle is None:
        names = quoted(variable.name for variable in variables)
        raise LoadError(
            f"{source.path!r} has no variables/ folder.\n  Its graph needs: {names}.\n  Copy the whole folder."
        )
    _, shapes, dtypes = checkpoints.opened(source.bundle, LoadError)
    problems = []
    for variable in variables:
        if variable.key not in shapes:
            problems.append(f"{variable.name!r} is missing")
        elif dtypes[variable.key].name != variable.dtype:
            problems.append(
                f"{variable.name!r}: {variable.dtype} in the graph, {dtypes[variable.key].name} in variables/"
            )
        elif not variable.part and tuple(shapes[variable.key]) != variable.shape:
            shape = list(shapes[variable.key])
            problems.append(f"{variable.name!r}: {list(variable.shape)} in the graph, {shape} in variables/")
    if problems:
        listed = "\n".join(f"    {problem}" for problem in sorted(problems)[:20])
        raise LoadError(
            f"{len(problems)} of {len(variables)} variables of {source.path!r} cannot be restored:\n{listed}\n"
            "  Run step 1 on what it was made from: python -m export_v1 --help"
        )


def check_stored(weights: Sequence[Weight], store: Mapping, layer_name: str) -> None:
    """Raises LoadError unless a file's weights, by their index as text, are as many and of the shapes of these."""
    missing = [weight.name for index, weight in enumerate(weights) if str(index) not in store]
    wrong = []
    for index, weight in enumerate(weights):
        shape = tuple(store[str(index)].shape) if str(index) in store else tuple(weight.shape)
        if shape != tuple(weight.shape):
            wrong.append(f"{weight.name!r}: {list(weight.shape)} in the layer, {list(shape)} in the file")
    if missing or wrong or len(store.keys()) != len(weights):
        listed = "\n".join(
            [f"    {name!r} is missing" for name in missing[:10]] + [f"    {item}" for item in wrong[:10]]
        )
        raise LoadError(
            f"The saved weights do not fit layer {layer_name!r}: {len(store.keys())} in the file, "
            f"{len(weights)} in the layer.\n{listed}\n"
            "  Load a file that was saved from a model with the same export."
        )


def _restore(variables: Sequence[artefact.Variable], bundle: str) -> list[tf.Tensor]:
    with tf.init_scope(), tf.device("CPU:0"):
        try:
            return tf.raw_ops.RestoreV2(
                prefix=plain_path.of(bundle),
                tensor_names=[variable.key for variable in variables],
                shape_and_slices=[variable.part for variable in variables],
                dtypes=[tf.as_dtype(variable.dtype) for variable in variables],
            )
        except tf.errors.OpError as error:
            raise LoadError(f"The variables in {bundle!r} cannot be read: {error.message}\n  Export again.") from error
