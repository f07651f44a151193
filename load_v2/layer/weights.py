"""Keras weights for the variables of a graph."""

from collections.abc import Iterable, Iterator, Sequence

import keras
import tensorflow as tf

from export_v1.format import plain_path
from load_v2.errors import LoadError, quoted
from load_v2.program import artefact

# Variables restored by one RestoreV2: reading many at once lets TensorFlow use its threads. Values are not copied on
# the way into a variable, so this costs no memory; the bound is for strategies, which do copy them for each replica.
_CHUNK_BYTES = 512 * 2**20


class Weight(keras.Variable):
    """A Keras variable under its TensorFlow 1 name.

    `name` is the graph's name, slashes and all, which Keras's own constructor does not take; `path` is the layer's
    name and that name. It is never autocast: the graph computes in the types it was built with.
    """

    def __init__(self, graph_name: str, layer_name: str, **kwargs):
        self._graph_name = graph_name
        self._layer_name = layer_name
        super().__init__(name=graph_name.replace("/", "_"), autocast=False, **kwargs)

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
    reader = tf.train.load_checkpoint(plain_path.of(source.bundle))
    shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
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
