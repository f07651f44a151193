"""meta_graph, session_bundle and unfreeze: what a MetaGraphDef's collections say, and which constants were weights."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import meta_graph_pb2

import export_v1
from export_v1.model import Restored
from export_v1.source import graph_def, meta_graph, session_bundle, unfreeze
from tests.support import graphs
from tests.support.graphs import v1


def _exported(build, **saver) -> meta_graph_pb2.MetaGraphDef:
    with graphs.tensorflow_1():
        build()
        made = v1.train.Saver(**saver).export_meta_graph() if saver is not None else v1.train.export_meta_graph()
    return made


def _two() -> None:
    v1.get_variable("w", [2])
    v1.get_variable("still", [2], trainable=False)
    v1.get_variable("step", [], collections=[v1.GraphKeys.LOCAL_VARIABLES], trainable=False)


def test_collections_say_which_variables_are_trainable_and_which_local():
    found = meta_graph.to_graph(_exported(_two))
    assert found.trainable == {"w": True, "still": False, "step": False} and found.local == {"step"}


def test_names_of_other_collections_are_kept_once_and_in_order():
    meta = _exported(_two)
    for key in ("update_ops", "regularization_losses", "losses", "train_op"):
        meta.collection_def[key].node_list.value.extend([f"{key}/b", f"{key}/a", f"{key}/b"])
    found = meta_graph.to_graph(meta, {"file:0": "/words.txt"})
    names = (found.update_ops, found.regularization_losses, found.losses, found.train_ops)
    assert names == tuple(
        (f"{key}/b", f"{key}/a") for key in ("update_ops", "regularization_losses", "losses", "train_op")
    )
    assert found.assets == {"file:0": "/words.txt"} and not found.answers_with_defaults


def test_what_does_not_parse_in_a_collection_is_passed_over():
    meta = _exported(_two)
    meta.collection_def["variables"].bytes_list.value.extend(
        [b"\xff\xff", variable_pb2.VariableDef().SerializeToString()]
    )
    assert set(meta_graph.to_graph(meta).trainable) == {"w", "still", "step"}


def test_the_savers_own_keys_and_the_parts_of_partitioned_variables():
    def build():
        _two()
        v1.get_variable("whole", [5, 2], partitioner=v1.fixed_size_partitioner(2))

    meta = _exported(build)
    found = meta_graph.to_graph(meta).restored
    assert found["w"] == Restored("w")
    assert found["whole/part_0"] == Restored("whole", ((0, 3), (0, 2)))
    assert found["whole/part_1"] == Restored("whole", ((3, 2), (0, 2)))
    # The definitions of the variables say so, too, where no Saver is recorded.
    meta.saver_def.Clear()
    assert meta_graph.to_graph(meta).restored["whole/part_1"] == Restored("whole", ((3, 2), (0, 2)))


def test_a_saver_made_from_a_dict_has_keys_of_its_own():
    with graphs.tensorflow_1():
        _two()
        by_name = {one.op.name: one for one in v1.global_variables()}
        v1.train.Saver({"another": by_name["still"]}, name="pretrained")
        meta = v1.train.Saver({"b": by_name["w"], "a": by_name["still"]}).export_meta_graph()
    assert meta_graph.to_graph(meta).restored == {"w": Restored("b"), "still": Restored("a")}


@pytest.mark.parametrize(
    ("spec", "part"),
    [("", ()), ("20 6 7,7:0,6", ((7, 7), (0, 6))), ("20 6 7,7:-", ((7, 7), (0, 6))), ("4 1,2", ((1, 2),))],
)
def test_slices_as_savers_write_them(spec, part):
    assert meta_graph._slice(spec) == part


def test_signatures_have_shapes_where_they_say_some_and_sparse_tensors_come_in_three():
    meta = _exported(_two)
    signature = meta.signature_def["k"]
    signature.method_name = "m"
    for name, dims in (("b", [-1, 3]), ("a", None), ("scalar", [])):
        info = signature.inputs[name]
        info.name = f"{name}:0"
        info.tensor_shape.unknown_rank = dims is None
        for size in dims or ():
            info.tensor_shape.dim.add(size=size)
    signature.inputs["silent"].name = "silent:0"
    sparse = signature.inputs["s"].coo_sparse
    sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name = "v:0", "i:0", "d:0"
    signature.outputs["y"].name = "y:0"
    graph = meta_graph.to_graph(meta)
    found = graph.signatures["k"]
    assert list(found.inputs) == ["a", "b", "s_values", "s_indices", "s_shape", "scalar", "silent"]
    assert (found.inputs["s_values"], found.inputs["s_indices"], found.inputs["s_shape"]) == ("v:0", "i:0", "d:0")
    assert found.shapes == {"b": [None, 3], "scalar": []}
    assert (found.outputs, found.method_name, graph.answers_with_defaults) == ({"y": "y:0"}, "m", True)


@pytest.mark.parametrize("text", [False, True])
def test_a_file_is_read_binary_or_text_and_with_a_graph_alone(tmp_path, text):
    meta = _exported(_two)
    for name, proto in (("m", meta), ("g", meta.graph_def)):
        content = str(proto).encode() if text else proto.SerializeToString()
        (tmp_path / name).write_bytes(content)
        assert [node.name for node in meta_graph.read(str(tmp_path / name)).graph_def.node] == graphs.names(
            meta.graph_def
        )
    assert not meta_graph.read(str(tmp_path / "g")).collection_def


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff" * 100, r"m\.meta' is not a MetaGraphDef"),
        (meta_graph_pb2.MetaGraphDef().SerializeToString(), r"m\.meta' holds a MetaGraphDef without a graph"),
        (None, r"m\.meta' cannot be read"),
    ],
)
def test_a_file_without_a_graph_says_so(tmp_path, content, said):
    if content is not None:
        (tmp_path / "m.meta").write_bytes(content)
    with pytest.raises(export_v1.ExportError, match=said):
        meta_graph.read(str(tmp_path / "m.meta"))


# Session bundles.


def _bundle(**named) -> meta_graph_pb2.MetaGraphDef:
    message = session_bundle.MESSAGES.classes["Signatures"]()
    for key, fill in named.items():
        if key == "default":
            fill(message.default_signature)
        else:
            fill(message.named_signatures.add(key=key).value)
    meta = meta_graph_pb2.MetaGraphDef()
    meta.collection_def["serving_signatures"].any_list.value.add().value = message.SerializeToString()
    return meta


def _regression(one) -> None:
    one.regression_signature.input.tensor_name, one.regression_signature.output.tensor_name = "x:0", "y:0"


def _classification(one) -> None:
    one.classification_signature.input.tensor_name = "x:0"
    one.classification_signature.scores.tensor_name = "s:0"


def _generic(**tensors):
    def fill(one):
        for key, name in tensors.items():
            one.generic_signature.map.add(key=key).value.tensor_name = name

    return fill


def test_signatures_of_a_session_bundle_keep_their_kind():
    found = session_bundle.signatures(_bundle(default=_regression, labels=_classification))
    assert {key: one.method_name.rsplit("/", 1)[-1] for key, one in found.items()} == {
        "serving_default": "regress",
        "labels": "classify",
    }
    assert (found["serving_default"].inputs, found["serving_default"].outputs) == (
        {"inputs": "x:0"},
        {"outputs": "y:0"},
    )
    # What a classification leaves empty is no output.
    assert found["labels"].outputs == {"scores": "s:0"}


def test_two_generic_signatures_are_the_sides_of_one():
    sides = {"inputs": _generic(b="b:0", a="a:0"), "outputs": _generic(y="y:0")}
    alone = session_bundle.signatures(_bundle(**sides))
    assert list(alone) == ["serving_default"] and alone["serving_default"].outputs == {"y": "y:0"}
    assert list(alone["serving_default"].inputs.items()) == [("a", "a:0"), ("b", "b:0")]
    assert set(session_bundle.signatures(_bundle(default=_regression, **sides))) == {"serving_default", "predict"}
    assert session_bundle.signatures(_bundle(inputs=_generic(a="a:0"))) == {}
    assert session_bundle.signatures(_bundle(inputs=_generic(a="a:0"), outputs=_generic())) == {}


# Constants that were weights.


def _frozen(build) -> v1.GraphDef:
    with graphs.tensorflow_1() as graph:
        build()
    return graph.as_graph_def()


VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_where_reads_of_variables_are_left_nothing_else_was_one():
    def build():
        x = v1.placeholder(tf.float32, [None, 2], "x")
        w, scope = tf.constant(VALUES, name="w"), tf.constant(VALUES, name="scope/k")
        read = tf.identity(w, name="w/read")
        resource = tf.identity(scope, name="elsewhere/ReadVariableOp_1")
        tf.identity(tf.constant(VALUES, name="plain"), name="copy")
        tf.identity(tf.constant([1, 2], name="integers"), name="integers/read")
        tf.matmul(x, tf.constant(VALUES, name="direct"))
        tf.matmul(x, read + resource, name="y")

    thawed = unfreeze.weights(_frozen(build))
    assert set(thawed.values) == {"w", "scope/k"} and thawed.trainable == {"w": True, "scope/k": True}
    np.testing.assert_array_equal(thawed.values["w"], VALUES)
    ops = {node.name: node for node in thawed.graph_def.node}
    assert ops["w"].op == "VarHandleOp" and ops["w"].attr["shared_name"].s == b"w"
    assert list(ops["w/read"].input) == ["w/Read/ReadVariableOp"] and ops["direct"].op == "Const"
    x = np.ones([1, 2], np.float32)
    got = graphs.run(thawed.graph_def, "y:0", {"x:0": x}, {"w": VALUES, "scope/k": VALUES})
    np.testing.assert_array_equal(got, x @ (2 * VALUES))


def test_without_such_reads_the_place_that_a_constant_is_read_at_tells():
    def build():
        x = v1.placeholder(tf.float32, [None, 2], "x")
        product = tf.matmul(x - tf.constant([0.5, 0.25], name="mean"), tf.constant(VALUES, name="kernel"))
        y = tf.nn.bias_add(product, tf.constant([1.0, 2, 3], name="bias"))
        y = tf.matmul(y, tf.constant(VALUES.T, name="second")) + tf.constant([1.0, 2], name="added")
        y = tf.matmul(y, tf.constant(np.ones([2, 2], np.float32), name="all_alike"))
        image = v1.placeholder(tf.float32, [None, 4, 4, 1], "image")
        tf.nn.conv2d(image, tf.constant(VALUES.reshape(2, 3, 1, 1), name="filter"), 1, "SAME")
        tf.nn.conv2d(tf.constant(VALUES.reshape(1, 2, 3, 1), name="picture"), tf.ones([1, 1, 1, 1]), 1, "SAME")
        tf.gather(tf.constant(VALUES, name="table"), tf.constant([0, 1], name="ids"))
        tf.multiply(y, tf.constant(2.0, name="scalar"))
        tf.add(x, tf.constant([0.5, 0.25], name="to_no_product"))

    thawed = unfreeze.weights(_frozen(build))
    assert set(thawed.values) == {"kernel", "bias", "second", "added", "filter", "table"}


def test_a_graph_without_weights_is_one_message():
    with pytest.raises(export_v1.ExportError, match="(?s)none of the 1 float constants.*MatMul.*--unfreeze"):
        unfreeze.weights(_frozen(lambda: tf.negative(tf.constant(VALUES))))


def test_unfreezing_keeps_the_graph_as_it_was_found_for_the_answers(tmp_path):
    def build():
        tf.matmul(v1.placeholder(tf.float32, [None, 2], "x"), tf.constant(VALUES, name="w"), name="y")

    (tmp_path / "g.pb").write_bytes(_frozen(build).SerializeToString())
    found = graph_def.read(str(tmp_path / "g.pb"), unfreeze=True)
    assert graphs.kinds(found.graph.original) == {"Placeholder", "Const", "MatMul"}
    assert "VarHandleOp" in graphs.kinds(found.graph.graph_def) and found.graph.trainable == {"w": True}
    plain = graph_def.read(str(tmp_path / "g.pb"))
    assert plain.graph.original is None and plain.asset_dirs == (str(tmp_path),) and not plain.values


def test_shapes_that_tensorflow_1_had_wrong_are_not_taken_for_those_of_values():
    with graphs.tensorflow_1() as graph:
        x, spans = v1.placeholder(tf.float32, [None, 6, 2], name="x"), v1.placeholder(tf.int32, [None, 2], name="spans")
        tf.identity(tf.reshape(tf.stack([x, x]), [-1, 2], name="reduced"), name="out")
    read = meta_graph_pb2.MetaGraphDef(graph_def=graph.as_graph_def(add_shapes=True))
    [node] = [node for node in read.graph_def.node if node.name == "reduced"]
    # As TensorFlow 1.15.5 records slices of [?, 6, 2] along axis 1: with the rank of their indices.
    node.op, node.input[0], node.input[1] = "ReduceSliceSum", "x", spans.op.name
    shaped = {node.name for node in meta_graph.to_graph(read).graph_def.node if "_output_shapes" in node.attr}
    assert shaped == {node.name for node in read.graph_def.node} - {"reduced", "out"}
    assert "_output_shapes" in node.attr
