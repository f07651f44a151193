"""Graphs with the control flow of TensorFlow 1, what they answer, and what their conversion answers."""

import contextlib
import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from export_v1.passes import functional
from export_v1.passes.result import Result

v1 = tf.compat.v1

V1_OPS = re.compile(r"(Ref)?(Enter|Exit|NextIteration|Merge|Switch)|LoopCond|TensorArray.*|Stack(V2|PushV2|PopV2)")

_SERIAL = itertools.count()


@contextlib.contextmanager
def graph():
    """A graph in which `tf.compat.v1` builds what TensorFlow 1 built; the process is put back as it was."""
    v1.disable_control_flow_v2()
    try:
        with tf.Graph().as_default() as result:
            v1.set_random_seed(7)
            yield result
    finally:
        v1.enable_control_flow_v2()


@dataclasses.dataclass
class Model:
    """A v1 graph with the values of its variables, and its answers to `feeds`.

    Attributes:
        graph_def: pruned to the outputs.
        outputs: tensor names.
        feeds: placeholder tensor name -> value.
        variables: name -> value.
        values: what the outputs are.
        gradients: variable name, or name of a fed float tensor -> gradient of `loss` of the outputs, or None.
    """

    graph_def: v1.GraphDef
    outputs: Sequence[str]
    feeds: Mapping[str, np.ndarray]
    variables: Mapping[str, np.ndarray]
    values: list[np.ndarray]
    gradients: dict[str, np.ndarray | None]


def loss(outputs):
    """A scalar that no output and no element can change without changing it."""
    parts = [
        tf.reduce_sum(out * tf.cast(tf.reshape(tf.range(tf.size(out)) % 7 + 1, tf.shape(out)), out.dtype))
        for out in outputs
        if out.dtype.is_floating
    ]
    return tf.add_n([tf.cast(part, tf.float64) for part in parts]) if parts else None


def build(make: Callable, *feeds: np.ndarray, static: bool = True, gradients: bool = True) -> Model:
    """Returns the model that `make` builds from a placeholder for each of `feeds`, answered in a v1 Session."""
    with graph() as original:
        inputs = [
            v1.placeholder(feed.dtype, feed.shape if static else [None] * feed.ndim, name=f"x{at}")
            for at, feed in enumerate(feeds)
        ]
        outputs = make(*inputs)
        outputs = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
        outputs = [tf.identity(out, name=f"y{at}") for at, out in enumerate(outputs)]
        named = dict(zip([x.name for x in inputs], feeds, strict=True))
        graph_def = v1.graph_util.extract_sub_graph(original.as_graph_def(), [out.op.name for out in outputs])
        values, found, variables = _answers(outputs, inputs, v1.global_variables(), named, gradients)
    return Model(graph_def, [out.name for out in outputs], named, variables, values, found)


def _answers(outputs, inputs, variables, named, with_gradients):
    """Values, gradients and variables; the gradients are built first, since that changes While nodes already run."""
    targets = {x.name: x for x in inputs if x.dtype.is_floating} | {v.op.name: v for v in variables}
    targets = targets if with_gradients else {}
    total = loss(outputs)
    found = v1.gradients(total, list(targets.values())) if total is not None else [None] * len(targets)
    found = [tf.convert_to_tensor(g) if g is not None else None for g in found]
    gradients: dict[str, np.ndarray | None] = {}
    with v1.Session() as session:
        session.run([v1.global_variables_initializer(), v1.tables_initializer()])
        start = session.run({v.op.name: v for v in variables})
        values = session.run(outputs, named)
        for name, gradient in zip(targets, found, strict=True):
            # What the graph assigned is undone, so that each run starts from the same values.
            for variable in variables:
                variable.load(start[variable.op.name], session)
            gradients[name] = None if gradient is None else session.run(gradient, named)
    return values, gradients, start


def converted(model: Model, complete: bool = True) -> Result:
    """Returns the conversion of a model; by default everything has to be converted."""
    before = model.graph_def.SerializeToString(deterministic=True)
    result = functional.convert(model.graph_def, keep=model.outputs)
    assert model.graph_def.SerializeToString(deterministic=True) == before
    if complete:
        assert result.notes.unconverted == []
        assert left(result.graph_def) == []
    return result


def left(graph_def) -> list[str]:
    """Returns the v1 control-flow nodes of a graph and its functions."""
    functions = [node for function in graph_def.library.function for node in function.node_def]
    return [node.name for node in [*graph_def.node, *functions] if V1_OPS.fullmatch(node.op)]


def _renamed(graph_def):
    """Returns the graph with function names used nowhere else in this process, as tf.saved_model.load gives them.

    TensorFlow registers the functions that a gradient rewrites process-wide, under names derived from these.
    """
    result = v1.GraphDef()
    result.CopyFrom(graph_def)
    old = [function.signature.name for function in result.library.function]
    names = {name: f"{name}_{next(_SERIAL)}" for name in old}
    for function in result.library.function:
        function.signature.name = names[function.signature.name]
    nodes = [node for function in result.library.function for node in function.node_def]
    for node in [*result.node, *nodes]:
        for value in node.attr.values():
            if value.HasField("func"):
                value.func.name = names.get(value.func.name, value.func.name)
    return result


def answers(graph_def, model: Model):
    """Returns the values and gradients (where the model has them) of a graph, fed as the model was, in a Session."""
    with tf.Graph().as_default():
        variables = [
            v1.get_variable(name, initializer=value, use_resource=True) for name, value in model.variables.items()
        ]
        inputs = [
            v1.placeholder(feed.dtype, feed.shape, name="fed/" + name.split(":")[0])
            for name, feed in model.feeds.items()
        ]
        there = {node.name for node in graph_def.node}
        mapping = {f"{v.op.name}:0": v.handle for v in variables if v.op.name in there}
        mapping |= {name: x for name, x in zip(model.feeds, inputs, strict=True) if name.split(":")[0] in there}
        outputs = tf.import_graph_def(_renamed(graph_def), mapping, return_elements=list(model.outputs), name="")
        named = {x.name: feed for x, feed in zip(inputs, model.feeds.values(), strict=True)}
        values, gradients, _ = _answers(outputs, inputs, variables, named, bool(model.gradients))
    return values, {name.removeprefix("fed/"): gradient for name, gradient in gradients.items()}


def check(model: Model, rtol: float = 1e-5, complete: bool = True) -> Result:
    """Asserts that the conversion of a model has the model's values and gradients; returns the conversion."""
    result = converted(model, complete)
    values, gradients = answers(result.graph_def, model)
    for name, want, got in zip(model.outputs, model.values, values, strict=True):
        np.testing.assert_allclose(got, want, rtol, 1e-6, err_msg=name) if want.dtype.kind == "f" else (
            np.testing.assert_array_equal(got, want, name)
        )
    assert gradients.keys() == model.gradients.keys()
    for name, want in model.gradients.items():
        got = gradients[name]
        if want is None or got is None:
            # No gradient and a gradient of zeros are the same; TensorFlow 1 and 2 differ in which they give.
            assert not np.any(want if got is None else got), name
        else:
            np.testing.assert_allclose(got, want, rtol, 1e-5 * max(1.0, float(np.abs(want).max())), err_msg=name)
    return result


def load(model: Model, graph_def, folder: str):
    """Returns the graph as a loaded SavedModel: the object, and its signature."""
    with tf.Graph().as_default():
        variables = [
            v1.get_variable(name, initializer=value, use_resource=True) for name, value in model.variables.items()
        ]
        there = {node.name for node in graph_def.node}
        mapping = {f"{v.op.name}:0": v.handle for v in variables if v.op.name in there}
        elements = tf.import_graph_def(graph_def, mapping, name="", return_elements=[*model.feeds, *model.outputs])
        inputs, outputs = elements[: len(model.feeds)], elements[len(model.feeds) :]
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.saved_model.simple_save(
                session,
                folder,
                {f"x{at}": x for at, x in enumerate(inputs)},
                {f"y{at}": y for at, y in enumerate(outputs)},
            )
    loaded = tf.saved_model.load(folder)
    return loaded, loaded.signatures["serving_default"]


def train_step(model: Model, loaded, signature, compiled: bool):
    """Returns the values of a loaded model and the gradients of `loss` by variable name, from one tf.function."""
    inputs = {f"x{at}": tf.constant(feed) for at, feed in enumerate(model.feeds.values())}
    variables = {variable.name.split(":")[0]: variable for variable in loaded.variables}

    @tf.function(jit_compile=compiled)
    def step():
        with tf.GradientTape() as tape:
            outputs = signature(**inputs)
            outputs = [outputs[f"y{at}"] for at in range(len(model.outputs))]
            total = loss(outputs)
        return outputs, tape.gradient(total, variables)

    with _shapes_stay(compiled):
        return step()


@contextlib.contextmanager
def _shapes_stay(on: bool):
    """Compiling a gradient needs this TensorFlow switch: without it, TensorFlow moves the shapes that the gradient of
    a loaded loop needs into the forward loop, and passes them on in lists, where XLA cannot see them."""
    v1.experimental.output_all_intermediates(on)
    try:
        yield
    finally:
        v1.experimental.output_all_intermediates(None)
