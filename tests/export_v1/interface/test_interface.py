"""Given inputs, outputs and values: parsed, held against the graph, and completed by the flags the graph shows."""

import gzip
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from export_v1 import errors, interface
from export_v1.interface import given
from export_v1.passes import fold, freeze, prune
from export_v1.source import meta_graph

FIXTURES = pathlib.Path(__file__).parents[3] / "fixtures"
ANSWERS = json.loads((FIXTURES / "choose" / "answers.json").read_text())
PLACE = "graph model.meta"


def load(name):
    """The graph of a golden case, or of one kept for choosing only."""
    packed = FIXTURES / "choose" / f"{name}.meta.gz"
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else _beside(name).read_bytes()
    return meta_graph.to_graph(meta_graph_pb2.MetaGraphDef.FromString(content))


def _beside(name):
    return next((FIXTURES / name).glob("*.meta"))


def resolve(name, **given_):
    return interface.resolve(load(name), place=PLACE, **given_)


def refused(name, **given_):
    with pytest.raises(errors.ExportError) as caught:
        resolve(name, **given_)
    return str(caught.value)


def choices(found):
    return {choice.what: choice.why for choice in found.choices}


def test_order_shape_and_type_of_given_inputs():
    found = resolve(
        "multi_io_int", inputs={"second": "b", "first": "a:0[2,None]"}, outputs={"idx": "TopKV2:1", "n": "step_out"}
    )
    assert list(found.inputs) == ["second", "first"]
    assert found.inputs["first"] == interface.Input("a:0", tf.int32.as_datatype_enum, [2, None])
    assert found.inputs["second"] == interface.Input("b:0", tf.float32.as_datatype_enum, [None, 4])
    assert found.outputs == {"idx": "TopKV2:1", "n": "step_out:0"}
    assert found.choices == ()


def test_input_in_the_middle_of_the_graph():
    found = resolve("mlp_layers", inputs={"h": "dense/Relu:0"}, outputs={"p": "probs:0"})
    assert found.inputs["h"] == interface.Input("dense/Relu:0", tf.float32.as_datatype_enum, [None, 32])


def test_size_of_a_recorded_shape_may_be_opened():
    found = resolve("facenet_triplet", inputs={"x": "input:0[None,16,None,3]"})
    assert found.inputs["x"].shape == [None, 16, None, 3]


@pytest.mark.parametrize("shape", ["[None,8,8,3]", "[None,12,12]", "[]"])
def test_shape_at_odds_with_the_graph(shape):
    message = refused("convnet_bn_dropout", inputs={"x": f"images:0{shape}"}, outputs={"y": "predictions:0"})
    assert f"given as {shape}" in message and "'images:0' is [None,12,12,3]" in message
    assert "--input=x=images:0[None,12,12,3]" in message


@pytest.mark.parametrize("text", ["images:0[a,3]", "images:0[3", "images:0]3["])
def test_shape_that_cannot_be_read(text):
    message = refused("convnet_bn_dropout", inputs={"x": text}, outputs={"y": "predictions:0"})
    assert repr(text) in message and "images:0[None,224,224,3]" in message


@pytest.mark.parametrize(
    ("flags", "wrong", "right"),
    [
        ({"inputs": {"x": "image:0"}, "outputs": {"y": "predictions:0"}}, "Input 'image:0'", "--input=x=images:0"),
        (
            {"inputs": {"x": "images:0"}, "outputs": {"y": "prediction"}},
            "Output 'prediction'",
            "--output=y=predictions:0",
        ),
        ({"freeze": {"training:0": "false"}}, "Tensor 'training:0'", "--freeze=is_training:0=VALUE"),
        ({"train_freeze": {"training:0": "false"}}, "Tensor 'training:0'", "--train_freeze=is_training:0=VALUE"),
        ({"inputs": {"x": "images:3"}, "outputs": {"y": "predictions"}}, "Input 'images:3'", "--input=x=images:0"),
        ({"outputs": {"y": "init"}}, "Output 'init:0'", "NoOp gives no tensor"),
    ],
)
def test_unknown_names(flags, wrong, right):
    message = refused("convnet_bn_dropout", **flags)
    assert message.startswith(f"{wrong} is not in {PLACE}.") and right in message


def test_one_tensor_given_twice():
    message = refused("mlp_layers", inputs={"a": "x:0", "b": "x"}, outputs={"p": "probs:0"})
    assert "'a' and 'b'" in message and "'x:0'" in message
    message = refused(
        "mlp_layers", inputs={"a": "labels:0"}, outputs={"p": "probs:0"}, freeze={"labels:0": "[[1,0,0]]"}
    )
    assert "'labels:0'" in message and "both" in message


@pytest.mark.parametrize(
    ("text", "dtype", "shape", "value"),
    [
        ("false", tf.bool, [], False),
        ("True", tf.bool, None, True),
        ("0", tf.bool, [], False),
        (np.bool_(True), tf.bool, [], True),
        ("[true,False]", tf.bool, [2], [True, False]),
        ("0.8", tf.float32, [], 0.8),
        ("1", tf.float32, None, 1.0),
        (1, tf.float64, [], 1.0),
        ("1e-3", tf.float32, [], 1e-3),
        ("[[1,2],[3,4]]", tf.int32, [None, 2], [[1, 2], [3, 4]]),
        ("-7", tf.int64, [], -7),
        ("3.0", tf.int32, [], 3),
        ("text", tf.string, [], b"text"),
        ("", tf.string, [], b""),
        ('["a","b"]', tf.string, [2], [b"a", b"b"]),
        (b"\xff", tf.string, [], b"\xff"),
    ],
)
def test_values_of_the_tensors_type(text, dtype, shape, value):
    found = given.convert(text, dtype.as_datatype_enum, shape, name="t:0", flag="freeze")
    if isinstance(value, list):
        assert found.tolist() == value and (dtype == tf.string or found.dtype == dtype.as_numpy_dtype)
    else:
        assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "dtype", "shape", "said"),
    [
        ("maybe", tf.bool, [], "neither true nor false"),
        (2, tf.bool, [], "neither true nor false"),
        ("false", tf.float32, [], "--freeze=t:0=1.0"),
        (True, tf.float32, [], "true and false are not numbers"),
        ("1.5", tf.int32, [], "not a whole number"),
        ("3000000000", tf.int32, [], "not a whole number in range"),
        ("[1,2", tf.int32, [2], "'[1,2'"),
        (3, tf.string, [], "not text"),
        ("[1,2,3]", tf.float32, [2], "shape [3]"),
        ("1.0", tf.float32, [2], "is [2] in the graph"),
    ],
)
def test_values_that_do_not_fit(text, dtype, shape, said):
    with pytest.raises(errors.ExportError) as caught:
        given.convert(text, dtype.as_datatype_enum, shape, name="t:0", flag="freeze")
    assert said in str(caught.value) and "'t:0'" in str(caught.value)


def test_unfed_placeholders_are_all_named_with_their_paths():
    message = refused("text_cnn", inputs={"n": "global_step"}, outputs={"l": "loss/Mean", "s": "output/scores"})
    assert message.startswith(f"2 tensors are needed, but neither fed nor frozen, in {PLACE}:")
    assert "'input_x:0' (Placeholder, int32 [None,9]), by output/scores <- " in message
    assert "'input_y:0' (Placeholder, float32 [None,2]), by loss/Mean <- " in message and "for output 'l'" in message
    assert "--input=input_x=input_x:0" in message and "--input=input_y=input_y:0" in message


def test_unfed_iterator_output_is_named_as_the_tensor():
    message = refused("dataset_iterator", inputs={"a": "IteratorGetNext:0"}, outputs={"logits": "logits/BiasAdd:0"})
    assert "'IteratorGetNext:1' (IteratorGetNext, int64 [None])" in message
    assert "--input=IteratorGetNext_1=IteratorGetNext:1" in message and "IteratorGetNext:0'" not in message


def test_unclear_flag_is_asked_about():
    message = refused("unclear_flag", inputs={"x": "x:0"}, outputs={"y": "scores/BiasAdd:0"})
    assert "--freeze=smooth:0=false or --freeze=smooth:0=true" in message and "--input=smooth=smooth:0" in message
    found = resolve("unclear_flag", inputs={"x": "x:0"}, outputs={"y": "scores/BiasAdd:0"}, freeze={"smooth": "true"})
    assert found.frozen == {"smooth:0": True}


FLAGGED = sorted(name for name, answer in ANSWERS.items() if answer["freeze"] and name != "unclear_flag")


@pytest.mark.parametrize("name", FLAGGED)
def test_flags_are_recognised_when_inputs_and_outputs_are_given(name):
    answer = ANSWERS[name]
    found = resolve(
        name,
        inputs={f"i{at}": tensor for at, tensor in enumerate(answer["inputs"])},
        outputs={f"o{at}": tensor for at, tensor in enumerate(answer["outputs"])},
    )
    assert found.frozen == answer["freeze"]
    for tensor, value in answer["freeze"].items():
        assert f"{tensor} is frozen to {str(value).lower()}" in choices(found)


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "frozen"),
    [
        ("convnet_bn_dropout", ["images:0"], ["predictions:0"], {"is_training:0": False}),
        ("convnet_bn_finetune", ["images:0"], ["head/BiasAdd:0"], {"training:0": False}),
        ("slim_contrib_net", ["image:0"], ["embeddings:0"], {"keep_prob:0": 1.0, "phase_train:0": False}),
    ],
)
def test_flags_of_the_golden_cases(name, inputs, outputs, frozen):
    found = resolve(name, inputs={"x": inputs[0]}, outputs={"y": outputs[0]})
    assert found.frozen == frozen


def test_a_given_value_is_kept():
    found = resolve("slim_contrib_net", inputs={"x": "image"}, outputs={"y": "embeddings"}, freeze={"keep_prob": "0.5"})
    assert found.frozen == {"keep_prob:0": 0.5, "phase_train:0": False}


def test_a_flag_given_as_an_input_stays_one():
    found = resolve("slim_contrib_net", inputs={"x": "image", "phase": "phase_train"}, outputs={"y": "embeddings"})
    assert found.frozen == {"keep_prob:0": 1.0} and found.inputs["phase"].tensor == "phase_train:0"


def test_what_only_the_training_branch_needs_is_not_asked_for():
    given_ = {"inputs": {"text": "inputs", "n": "input_lengths"}, "outputs": {"mel": "mel_outputs"}}
    assert resolve("seq2seq_lengths", **given_).frozen == {"is_training:0": False}
    message = refused("seq2seq_lengths", **given_, freeze={"is_training": "true"})
    assert "'mel_targets:0'" in message


def test_dropout_without_a_flag_is_turned_off_only_in_a_training_graph():
    given_ = {"inputs": {"x": "x:0"}, "outputs": {"y": "out:0"}}
    with tf.Graph().as_default() as written:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], name="x")
        rate = tf.constant(0.5, name="rate")
        kept = tf.random.uniform(tf.shape(x)) >= rate
        tf.multiply(x / (1.0 - rate), tf.cast(kept, tf.float32), name="out")
    found = interface.resolve(meta_graph.to_graph(_meta(written)), place=PLACE, **given_)
    assert found.frozen == {}
    with written.as_default():
        weight = tf.compat.v1.get_variable("w", [4, 1], use_resource=False)
        loss = tf.reduce_mean(tf.matmul(written.get_tensor_by_name("out:0"), weight))
        tf.compat.v1.train.GradientDescentOptimizer(0.1).minimize(loss)
    found = interface.resolve(meta_graph.to_graph(_meta(written)), place=PLACE, **given_)
    assert found.frozen == {"rate:0": 0.0}
    assert "always drops" in choices(found)["rate:0 is frozen to 0.0"]


def _meta(written):
    return meta_graph_pb2.MetaGraphDef(graph_def=written.as_graph_def(add_shapes=True))


def test_no_training_values_unless_asked_for():
    found = resolve("slim_contrib_net", inputs={"x": "image"}, outputs={"y": "embeddings"})
    assert found.train_frozen == {}


def test_training_values():
    given_ = {"inputs": {"x": "image"}, "outputs": {"y": "embeddings"}}
    found = resolve("slim_contrib_net", **given_, train_freeze={"phase_train": "true", "keep_prob": "0.8"})
    assert found.frozen == {"phase_train:0": False, "keep_prob:0": 1.0}
    assert found.train_frozen == {"phase_train:0": True, "keep_prob:0": 0.8}
    found = resolve("slim_contrib_net", **given_, train_freeze={"keep_prob": "0.8"})
    assert found.train_frozen == {"keep_prob:0": 0.8, "phase_train:0": True}
    assert "phase_train:0 is frozen to true during training" in choices(found)
    message = refused("slim_contrib_net", **given_, freeze={"keep_prob": "1"}, train_freeze={"phase_train": "true"})
    assert "'keep_prob:0'" in message and "--train_freeze=keep_prob:0=0.5" in message


def test_a_value_given_for_training_tells_the_other_one():
    found = resolve(
        "unclear_flag", inputs={"x": "x"}, outputs={"y": "scores/BiasAdd"}, train_freeze={"smooth:0": "true"}
    )
    assert found.frozen == {"smooth:0": False} and found.train_frozen == {"smooth:0": True}


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - {"word2vec", "unclear_flag"}))
def test_nothing_else_from_outside_is_needed(name):
    """The guarantee, held against the passes that make the graph: its placeholders are the inputs."""
    answer = ANSWERS[name]
    inputs = {f"i{at}": tensor for at, tensor in enumerate(answer["inputs"])}
    found = resolve(name, inputs=inputs, outputs={f"o{at}": tensor for at, tensor in enumerate(answer["outputs"])})
    cuts = {one.tensor: (one.dtype, one.shape) for one in found.inputs.values()}
    result = freeze.to_placeholders(load(name).graph_def, cuts)
    made, names = result.graph_def, result.renamed
    index = {node.name: node for node in made.node}
    kinds = {tensor: (_kind(index, tensor), value) for tensor, value in found.frozen.items()}
    made = freeze.to_constants(made, kinds).graph_def
    made = prune.to_outputs(made, list(found.outputs.values())).graph_def
    made = fold.conditions(made).graph_def
    made = prune.to_outputs(made, list(found.outputs.values())).graph_def
    left = {f"{node.name}:0" for node in made.node if node.op == "Placeholder" or "GetNext" in node.op}
    assert left <= set(names.values())


def _kind(index, tensor):
    node = index[tensor.split(":")[0]]
    return (node.attr["dtype"] if "dtype" in node.attr else node.attr["T"]).type
