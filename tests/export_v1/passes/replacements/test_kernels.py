"""Every replacement beside the kernel of TensorFlow 1.15.5, whose answers are in fixtures/replacements."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, NodeDef
from export_v1.passes import portable, prune, replace
from export_v1.passes.replacements import TABLE

FILES = sorted((pathlib.Path(__file__).parents[4] / "fixtures" / "replacements").glob("*.npz"))


def _cases():
    """Yields file, case and whether shapes are recorded: of each op the first case with those of another batch, too."""
    seen = set()
    for path in FILES:
        with np.load(path) as stored:
            names = sorted({key.split("/")[0] for key in stored})
            ops = {name: text_format.Parse(str(stored[f"{name}/node"]), NodeDef()).op for name in names}
        for name in names:
            yield pytest.param(path, name, False, id=f"{path.stem}-{name}")
            if ops[name] not in seen:
                seen.add(ops[name])
                yield pytest.param(path, name, True, id=f"{path.stem}-{name}-other_batch")


def _read(path, name):
    with np.load(path) as stored:
        values = {key.split("/", 1)[1]: stored[key] for key in stored if key.startswith(f"{name}/")}
    node = text_format.Parse(str(values.pop("node")), NodeDef())
    return node, {key: value.astype(object) if value.dtype.kind == "S" else value for key, value in values.items()}


def _numbered(values, side):
    found = {int(key.split("/")[1]): value for key, value in values.items() if key.startswith(f"{side}/")}
    return dict(sorted(found.items()))


def _graph(node, inputs, shapes, constants, state):
    """Returns the graph of a node whose inputs are fed, with shapes as TensorFlow 1 recorded them, or none.

    What is recorded is of larger data than what is fed: of a training batch, when the graph is opened to any.
    """
    made = text_format.Parse(state, GraphDef())
    for at, data_type in enumerate(graph.input_types(node)):
        if any(other.name == f"in_{at}" for other in made.node):
            continue
        if at in constants:
            made.node.append(rewrite.constant(f"in_{at}", inputs[at], tf.as_dtype(data_type)))
            continue
        placeholder = made.node.add(name=f"in_{at}", op="Placeholder")
        placeholder.attr["dtype"].type = data_type
        shape = _needed_shape(node, at, np.shape(inputs[at]))
        if shapes:
            needed = shape or [None] * np.ndim(inputs[at])
            shape = [
                size + 1 if kept is None else kept for size, kept in zip(np.shape(inputs[at]), needed, strict=True)
            ]
        if shape is not None:
            placeholder.attr["_output_shapes"].list.shape.append(tf.TensorShape(shape).as_proto())
    made.node.append(node)
    return made


def _needed_shape(node, at, shape):
    """Returns what TensorFlow 1 knew of a shape wherever the op was used: of cuDNN's networks, their sizes."""
    if not node.op.startswith("CudnnRNN") or len(shape) != 3:
        return None
    layers = 0 if node.op != "CudnnRNNV3" or node.attr["time_major"].b else 1
    return [size if axis == 2 or at and axis == layers else None for axis, size in enumerate(shape)]


@pytest.mark.parametrize(("path", "name", "shapes"), list(_cases()))
def test_answers_as_the_kernel(path, name, shapes):
    node, values = _read(path, name)
    # TensorFlow keeps the functions of gradients by their names, for all graphs of a process.
    node.name = f"{path.stem}_{name}_{shapes}"
    inputs = _numbered(values, "in")
    whole = _graph(node, inputs, shapes, values.get("constants", ()), str(values.get("state", "")))
    feeds = {f"in_{at}:0": _typed(value, graph.input_types(node)[at]) for at, value in inputs.items()}
    with tf.Graph().as_default() as imported, tf.compat.v1.Session() as session:
        if "error" in values:
            with pytest.raises((tf.errors.OpError, ValueError)):
                session.run(list(_imported(whole, node).values()), feeds)
            return
        names = _imported(whole, node)
        outputs, wanted, given = (_numbered(values, side) for side in ("out", "grad", "gy"))
        # Before anything is run: to differentiate a loop is to change it.
        gradients = tf.gradients(
            [imported.get_tensor_by_name(names[at]) for at in given],
            [imported.get_tensor_by_name(f"in_{at}:0") for at in wanted],
            [tf.constant(value) for value in given.values()],
        )
        # An op that is told not to compute its vectors gives whatever the memory holds in their place.
        if any(key in node.attr and not node.attr[key].b for key in ("compute_v", "compute_uv")):
            outputs = {0: outputs[0]}
        for at, want in outputs.items():
            _assert_equal(session.run(names[at], feeds), want, node.op)
        for gradient, want in zip(gradients, wanted.values(), strict=True):
            _assert_equal(session.run(tf.convert_to_tensor(gradient), feeds), want, node.op)


def test_the_trees_of_a_forest_are_one_piece_and_answer_as_their_kernels_each():
    [path] = [path for path in FILES if path.stem == "tensor_forest"]
    trees = {name: _read(path, name) for name in ("18", "19", "20", "21")}
    inputs = _numbered(trees["18"][1], "in")
    whole = GraphDef()
    for at, value in inputs.items():
        whole.node.append(rewrite.node(f"in_{at}", "Placeholder", dtype=tf.as_dtype(value.dtype)))
    for name, (node, values) in trees.items():
        for at, value in _numbered(values, "in").items():
            np.testing.assert_array_equal(value, inputs[at])
        state = text_format.Parse(str(values["state"]), GraphDef())
        # Each tree has a handle, and what fills it, of its own.
        own = {part.name for part in (*state.node, node)}
        for part in (*state.node, node):
            edges = [f"{name}/{edge}" if edge in own else edge for edge in part.input]
            part.name = f"{name}/{part.name}"
            del part.input[:]
            part.input.extend(edges)
            if part.name.endswith("/in_0"):
                part.attr["shared_name"].s = name.encode()
            whole.node.append(part)
    result = replace.ops(whole, written=whole, stored=lambda key: None)
    assert len([node for node in result.graph_def.node if node.op in ("While", "StatelessWhile")]) == 1
    feeds = {f"in_{at}:0": value for at, value in inputs.items()}
    fetches = [result.renamed.get(name, name) for tree in trees for name in (f"{tree}/node:0", f"{tree}/node:1")]
    pruned = prune.to_outputs(result.graph_def, [*fetches, *feeds]).graph_def
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(pruned, name="")
        found = iter(session.run(fetches, feeds))
    for node, values in trees.values():
        for want in _numbered(values, "out").values():
            _assert_equal(next(found), want, node.op)


def _imported(whole, node):
    """Imports the graph with the replacement; returns the names that the node's outputs have there."""
    result = replace.ops(whole, written=whole, stored=lambda key: None)
    outputs = [f"{node.name}:{at}" for at in range(len(graph.output_types(node)))]
    names = {at: result.renamed.get(name, name) for at, name in enumerate(outputs)}
    inputs = [
        other.name for other in whole.node if other.name.startswith("in_") and other.op in ("Placeholder", "Const")
    ]
    # What fills a resource is needed no more.
    pruned = prune.to_outputs(result.graph_def, [*names.values(), *inputs]).graph_def
    tf.graph_util.import_graph_def(portable.nodes(pruned).graph_def, name="")
    return names


def _typed(value, data_type):
    """Returns an array as its tensor's type has it: quantized numbers are stored as bytes."""
    dtype = tf.as_dtype(data_type)
    return value.view(dtype.as_numpy_dtype) if dtype.is_quantized else value


def _renumbered(labels):
    """Returns labels as numbers in the order of their first appearance, zero as zero."""
    numbers = {0: 0}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels.ravel()]).reshape(labels.shape)


def _assert_equal(have, want, op):
    if op == "ImageConnectedComponents":
        # Which pixel names a component is left to the kernel; the largest name is within the image all the same.
        assert have.dtype == want.dtype and (have >= 0).all() and (have <= have.size).all()
        have, want = _renumbered(have), _renumbered(want)
    assert have.shape == want.shape and (have.dtype == want.dtype or want.dtype == object)
    if want.dtype.kind in "fc":
        scale = (
            np.sqrt(np.mean(np.abs(want[np.isfinite(want)].astype(np.complex128)) ** 2))
            if np.isfinite(want).any()
            else 0.0
        )
        tolerance = 1e-6 if want.dtype.itemsize >= 4 else 1e-3
        # Inputs are of size 1, and so is what a small answer may be the difference of.
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance * max(scale, 1.0))
    else:
        np.testing.assert_array_equal(have, want)


def test_every_replacement_is_proven():
    proven = {_read(*case.values[:2])[0].op for case in _cases()}
    assert sorted(TABLE.keys() - proven) == []
