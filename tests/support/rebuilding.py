"""Small graphs, rebuilt: what of them is a layer, and whether the model answers as TensorFlow does for the graph itself."""

import dataclasses
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from export_v1.ir import graph as ir
from export_v1.ir.graph import Tensor
from load_v2.opening import canonical, cover, graph, rebuilding, repertoire, source, statements, values
from load_v2.opening.context import Context
from load_v2.opening.cover import Cover
from load_v2.opening.sizes import Sizes
from load_v2.program.signature import Spec

# What stands for a function of `keras.ops`; a test that is about other layers does not count it.
_FUNCTIONS = frozenset("Activation Add Concatenate LeakyReLU Permute ReLU".split())

Build = Callable[[], tuple[Mapping[str, tf.Tensor], Mapping[str, tf.Tensor]]]


@dataclasses.dataclass(frozen=True)
class Case:
    """A graph that code built, with what is known of it."""

    context: Context
    imported: tf.Graph
    inputs: Mapping[str, tf.Tensor]
    outputs: Mapping[str, tf.Tensor]

    def answers(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns what TensorFlow computes in the graph as it was built."""
        with tf.compat.v1.Session(graph=self.imported) as session:
            return session.run(dict(self.outputs), {self.inputs[key]: value for key, value in feeds.items()})


def case(build: Build) -> Case:
    """Returns the canonical graph of what a function builds; its weights are constants."""
    with tf.Graph().as_default() as imported:
        inputs, outputs = build()
    ends = {key: Tensor(tensor.op.name) for key, tensor in inputs.items()}
    found = {key: ir.parse(tensor.name) for key, tensor in outputs.items()}
    graph_def = imported.as_graph_def()
    simple = canonical.simplified(graph.without_aliases(graph_def, ends, found, {}), _no_variable)
    known = values.Values(simple, _no_variable)
    return Case(Context(simple, known, Sizes(simple, known), repertoire.ALL), imported, inputs, outputs)


def _no_variable(variable):
    raise AssertionError(variable)


def covered(built: Case) -> Cover:
    """Returns the pieces of a graph; nothing of it may be refused."""
    result = cover.cover(built.context)
    assert not result.refusals, list(map(str, result.refusals))
    return result


def code_of(built: Case) -> tuple[str, list]:
    """Returns the source of a graph's model, and its layers."""
    body = statements.program(built.context, covered(built).pieces)
    specs = {key: Spec(t.name, t.dtype.name, tuple(t.shape.as_list())) for key, t in built.inputs.items()}
    return source.write(body, built.context, specs, "A test."), statements.layers_of(body.statements)


def assert_rebuilt(build: Build, feeds: Mapping[str, np.ndarray], *kinds: str) -> str:
    """Asserts that the model of a graph has just these layers, and answers as the graph does; returns its source.

    Layers in the place of a function count where `kinds` has one of them.
    """
    built = case(build)
    code, layers = code_of(built)
    counted = [layer.kind for layer in layers if layer.kind not in _FUNCTIONS - set(kinds)]
    assert sorted(counted) == sorted(kinds), code
    keras.backend.clear_session()
    model = rebuilding.execute(code)
    rebuilding.fill(model, layers)
    got = model(dict(feeds), training=False)
    got = got if isinstance(got, dict) else {next(iter(built.outputs)): got}
    for key, want in built.answers(feeds).items():
        have = keras.ops.convert_to_numpy(got[key])
        assert have.dtype == want.dtype and have.shape == want.shape, f"{key}: {have.dtype}{have.shape}\n{code}"
        np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5, err_msg=f"{key}\n{code}")
    return code


def placeholder(name: str, shape, dtype: str = "float32") -> tf.Tensor:
    """Returns a placeholder."""
    return tf.compat.v1.placeholder(dtype, shape, name=name)


def numbers(*shape: int, seed: int = 1) -> np.ndarray:
    """Returns random numbers of a shape, always the same."""
    return np.random.default_rng(seed).normal(size=shape).astype("float32")
