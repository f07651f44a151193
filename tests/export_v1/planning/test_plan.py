"""plan: which signatures an export gets, which graph answers each, and what was decided on the way."""

import dataclasses

import pytest
import tensorflow as tf

import export_v1
from export_v1.interface import Input
from export_v1.model import DeclaredSignature, Graph, Source
from export_v1.planning import plan, variant
from export_v1.request import Request
from tests.support import graphs, small_models
from tests.support.graphs import v1

FLOAT = small_models.FLOAT


def _graph(build) -> tuple[tf.Graph, v1.GraphDef]:
    with graphs.tensorflow_1() as graph:
        build()
    return graph, graph.as_graph_def(add_shapes=True)


def _x_w_y() -> None:
    x = v1.placeholder(tf.float32, [None, 2], "x")
    w = v1.get_variable("w", [2])
    tf.multiply(x, w, name="y")
    tf.add(x, w, name="z")


def _source(build=_x_w_y, train_graph=None, **fields) -> Source:
    return Source("saved_model", "m", Graph(_graph(build)[1], **fields), train_graph=train_graph)


def _signature(x: str = "x:0", y: str = "y:0", **fields) -> DeclaredSignature:
    return DeclaredSignature({"x": x}, {"y": y}, **fields)


# Which one is served by default.


@pytest.mark.parametrize(
    ("keys", "methods", "default"),
    [
        (["serving_default", "default"], {}, "serving_default"),
        (["b", "default", "a"], {}, "default"),
        (["only"], {}, "only"),
        (["b", "c"], {}, "b"),
        (["a", "b", "c"], {"a": "tensorflow/serving/classify"}, "b"),
        (["b", "a"], {"a": "tensorflow/serving/classify", "b": "tensorflow/serving/regress"}, "a"),
    ],
)
def test_the_default_signature_is_chosen_and_said(keys, methods, default):
    signatures = {key: _signature(method_name=methods.get(key, "tensorflow/serving/predict")) for key in keys}
    planned = plan.variants(_source(signatures=signatures), Request())
    assert planned.default == default
    assert planned.aliases == ({} if default == "serving_default" else {default: ("serving_default",)})
    said = [one.what for one in planned.choices if "is also 'serving_default'" in one.what]
    assert len(said) == (default != "serving_default") and all(repr(default) in one for one in said)
    assert set(planned.described()) == {*keys, "serving_default"}


def test_a_signature_without_a_method_is_one_that_predicts():
    planned = plan.variants(_source(signatures={"default": _signature(method_name="")}), Request())
    assert planned.variants[0].signatures["default"].method_name == "tensorflow/serving/predict"
    classify = "tensorflow/serving/classify"
    planned = plan.variants(_source(signatures={"default": _signature(method_name=classify)}), Request())
    assert planned.variants[0].signatures["default"].method_name == classify


def test_inputs_asked_for_leave_the_models_signatures_behind():
    model = _source(signatures={"default": _signature()})
    planned = plan.variants(model, Request(inputs={"a": "x:0"}, outputs={"b": "z:0"}))
    [one] = planned.variants
    assert list(one.signatures) == ["serving_default"] and one.signatures["serving_default"].outputs == {"b": "z:0"}


def test_a_signature_that_cannot_be_answered_is_left_out_and_said():
    signatures = {"serving_default": _signature(), "broken": _signature(y="gone:0")}
    planned = plan.variants(_source(signatures=signatures), Request())
    assert [list(one.signatures) for one in planned.variants] == [["serving_default"]]
    [said] = [one for one in planned.choices if "'broken' is left out" in one.what]
    assert "gone:0" in said.why
    with pytest.raises(export_v1.ExportError, match="gone:0"):
        plan.variants(_source(signatures={"serving_default": _signature(y="gone:0")}), Request())


def test_the_shape_that_a_signature_says_holds_where_the_graph_says_none():
    def build():
        x = v1.placeholder(tf.float32, None, "x")
        tf.negative(x, name="y")
        tf.multiply(v1.placeholder(tf.float32, [None, 2], "known"), 2.0, name="z")

    signatures = {
        "serving_default": _signature(shapes={"x": [None, 7]}),
        "known": _signature("known:0", "z:0", shapes={"x": [4, 2]}),
        "silent": _signature(),
    }
    planned = plan.variants(_source(build, signatures=signatures), Request())
    described = planned.described()
    shapes = {key: described[key].inputs["x"].shape for key in signatures}
    assert shapes == {"serving_default": [None, 7], "known": [None, 2], "silent": None}


def test_a_default_value_is_frozen_where_it_is_no_input_and_it_is_said():
    def build():
        x = v1.placeholder(tf.float32, [None], "x")
        rate = v1.placeholder_with_default(tf.constant(0.25), [], name="rate")
        tf.multiply(x, rate, name="y")

    model = _source(build, signatures={"serving_default": _signature()}, answers_with_defaults=True)
    planned = plan.variants(model, Request())
    assert planned.frozen == {"rate:0": 0.25}
    assert any("rate:0 is frozen to 0.25" in one.what and "signature" in one.why for one in planned.choices)
    planned = plan.variants(model, Request(freeze={"rate:0": 2.0}))
    assert planned.frozen == {"rate:0": 2.0} and not [one for one in planned.choices if "0.25" in one.what]


def test_a_frozen_value_is_no_input_any_more():
    def build():
        scale = v1.placeholder(tf.float32, [], "scale")
        tf.multiply(v1.placeholder(tf.float32, [None], "x"), scale, name="y")

    signature = DeclaredSignature({"x": "x:0", "scale": "scale:0"}, {"y": "y:0"})
    planned = plan.variants(_source(build, signatures={"default": signature}), Request(freeze={"scale:0": 3.0}))
    assert list(planned.variants[0].signatures["default"].inputs) == ["x"] and planned.frozen == {"scale:0": 3.0}


# Names in the graph that is put together.


def test_a_prefix_is_one_that_no_node_has():
    def build():
        x = v1.placeholder(tf.float32, [None], "x")
        tf.negative(x, name="train/y")
        tf.negative(x, name="train_1/y")
        tf.negative(x, name="my_key_2/y")

    model = Graph(_graph(build)[1])
    assert plan._prefix("train", model) == "train_2/"
    assert plan._prefix("my key", model) == "my_key/" and plan._prefix("x", model) == "x/"


def test_the_first_variant_has_no_prefix_and_the_others_one_each():
    def build():
        _x_w_y()
        tf.negative(v1.get_default_graph().get_tensor_by_name("y:0"), name="v")

    signatures = {"serving_default": _signature("x:0", "v:0"), "from y": _signature("y:0", "v:0")}
    planned = plan.variants(_source(build, signatures=signatures), Request())
    assert [one.prefix for one in planned.variants] == ["", "from_y/"]
    assert planned.original_nodes == len(_graph(build)[1].node)


# Training.


def _with_update(training: bool = True):
    def build():
        _x_w_y()
        w = v1.get_default_graph().get_tensor_by_name("w:0")
        if training:
            v1.assign_sub(w, tf.reduce_mean(v1.get_default_graph().get_tensor_by_name("x:0"), 0), name="update")

    return build


def _module(train_signature: DeclaredSignature, **fields) -> Source:
    graph = Graph(_graph(_with_update())[1], signatures={"default": train_signature}, update_ops=("update",), **fields)
    return _source(_with_update(False), graph, signatures={"default": _signature()})


def test_a_graph_for_training_of_the_same_keys_is_the_train_signature():
    planned = plan.variants(_module(_signature()), Request())
    serving, training = planned.variants
    assert list(training.signatures) == ["train"] and training.prefix == "train/"
    assert training.updates == ("update",) and serving.updates == ()
    assert training.model is not serving.model


@pytest.mark.parametrize(
    "signature",
    [
        DeclaredSignature({"x": "x:0"}, {"other": "y:0"}),
        DeclaredSignature({"other": "x:0"}, {"y": "y:0"}),
        DeclaredSignature({"x": "x:0", "w": "w:0"}, {"y": "y:0"}),
    ],
)
def test_a_graph_for_training_of_other_keys_is_left_alone(signature):
    assert [list(one.signatures) for one in plan.variants(_module(signature), Request()).variants] == [["default"]]


def test_values_for_training_ask_for_the_train_signature():
    def build():
        flag = v1.placeholder(tf.bool, [], "flag")
        x = v1.placeholder(tf.float32, [None], "x")
        tf.cond(flag, lambda: x * 2.0, lambda: x)
        tf.identity(tf.where(flag, x * 2.0, x), name="y")

    flags = {"freeze": {"flag:0": False}, "train_freeze": {"flag:0": True}}
    for signatures in ({}, {"serving_default": _signature()}):
        names = {} if signatures else {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}
        planned = plan.variants(_source(build, signatures=signatures), Request(**flags, **names))
        assert [list(one.signatures) for one in planned.variants] == [["serving_default"], ["train"]]
        assert (planned.frozen, planned.train_frozen) == ({"flag:0": False}, {"flag:0": True})
        assert planned.variants[1].signatures["train"].frozen == {"flag:0": True}


def test_a_signature_called_train_stays_the_models_own():
    graph = dataclasses.replace(_module(_signature()).train_graph, signatures={"serving_default": _signature()})
    both = {"serving_default": _signature(), "train": _signature(y="z:0")}
    planned = plan.variants(_source(_with_update(False), graph, signatures=both), Request())
    assert [one.signatures["train"].outputs for one in planned.variants if "train" in one.signatures] == [{"y": "z:0"}]
    assert any("'train' stays the model's own" in one.what for one in planned.choices)


def test_losses_are_kept_beside_the_first_graph_that_has_them():
    def build():
        _x_w_y()
        w = v1.get_default_graph().get_tensor_by_name("w:0")
        tf.reduce_sum(w * w, name="loss")

    graph = Graph(_graph(build)[1], signatures={"default": _signature()}, regularization_losses=("loss:0",))
    alone = plan.variants(_source(_x_w_y, graph, signatures={"default": _signature()}), Request())
    assert [one.losses for one in alone.variants] == [(), ("loss:0",)]
    fields = {"signatures": {"default": _signature()}, "regularization_losses": ("loss:0",)}
    both = plan.variants(_source(build, graph, **fields), Request())
    assert [one.losses for one in both.variants] == [("loss:0",), ()]


# What belongs to a signature: updates and losses.


def _towers() -> None:
    """Two towers on one variable, each with an update of its own; an update of a variable that nobody reads."""
    w, other = v1.get_variable("w", [2]), v1.get_variable("other", [2])
    for name in ("a", "b"):
        x = v1.placeholder(tf.float32, [None, 2], f"{name}/x")
        tf.multiply(x, w, name=f"{name}/y")
        v1.assign_sub(w, tf.reduce_mean(x, 0), name=f"{name}/update")
    v1.assign(other, tf.zeros([2]), name="other_update")
    queue = tf.queue.FIFOQueue(2, [tf.float32], [[2]], name="queue")
    v1.assign_sub(w, queue.dequeue(), name="queue_update")
    tf.reduce_sum(w * w, name="loss")
    tf.reduce_sum(w * other, name="loss_of_another")
    tf.reduce_sum(w * v1.placeholder(tf.float32, [2], "late"), name="loss_of_data")
    tf.reduce_sum(queue.dequeue() * w, name="loss_of_queue")
    tf.reduce_sum(tf.ones([2]), name="loss_of_nothing")


def test_a_signature_has_the_updates_that_its_own_inputs_make():
    graph_def = _graph(_towers)[1]
    names = ("a/update:0", "b/update", "other_update", "queue_update", "gone")
    model = Graph(graph_def, update_ops=names)
    signature = variant.PlannedSignature({"x": Input("a/x:0", FLOAT)}, {"y": "a/y:0"})
    assert variant.update_ops(model, signature, {"w"}) == ("a/update",)
    assert variant.update_ops(model, signature, {"w", "other"}) == ("a/update", "other_update")
    assert variant.update_ops(model, signature, set()) == ()
    frozen = dataclasses.replace(signature, frozen={"b/x:0": 1.0})
    assert variant.update_ops(model, frozen, {"w"}) == ("a/update", "b/update")
    assert variant.update_ops(Graph(graph_def), signature, {"w"}) == ()


def test_a_loss_depends_on_variables_in_use_and_on_nothing_else_from_outside():
    losses = ("loss:0", "loss_of_another:0", "loss_of_data:0", "loss_of_queue:0", "loss_of_nothing:0", "gone:0")
    model = Graph(_graph(_towers)[1], regularization_losses=losses)
    assert variant.regularization_losses(model, {"w"}) == ("loss:0",)
    assert variant.regularization_losses(model, {"w", "other"}) == ("loss:0", "loss_of_another:0")
    assert variant.regularization_losses(model, {"other"}) == ()


# What a signature's outputs depend on.


def _waits_for_a_default() -> None:
    x = v1.placeholder(tf.float32, [None, 2], "x")
    limit = v1.placeholder_with_default(3.0, [], "limit")
    with tf.control_dependencies([v1.assert_less(limit, 5.0)]):
        tf.multiply(x, v1.get_variable("w", [2]), name="y")


def test_a_default_that_an_output_only_waits_for_is_frozen():
    """The path to it goes over a control edge, which names a node and no tensor."""
    planned = plan.variants(
        _source(_waits_for_a_default, signatures={"only": _signature()}, answers_with_defaults=True), Request()
    )
    assert planned.frozen == {"limit:0": 3.0}


def test_nothing_behind_an_input_is_reached_by_waiting_for_it():
    def build() -> None:
        default = v1.placeholder_with_default(3.0, [], "limit")
        x = tf.identity(default * 2.0, name="x")
        with tf.control_dependencies([x]):
            tf.multiply(tf.constant(2.0), v1.get_variable("w", [2]), name="y")

    planned = plan.variants(_source(build, signatures={"only": _signature()}, answers_with_defaults=True), Request())
    assert planned.frozen == {}


def test_a_second_key_for_one_tensor_is_left_out_and_said():
    signature = DeclaredSignature({"a": "x:0", "b": "x", "c": "z:0"}, {"y": "y:0"})
    planned = plan.variants(_source(signatures={"only": signature}), Request())
    assert list(planned.serving_inputs) == ["a", "c"]
    [said] = [one for one in planned.choices if "left out" in one.what]
    assert "'b'" in said.what and "'a'" in said.why


def test_a_keyword_of_python_becomes_another_key_and_that_is_said():
    signature = DeclaredSignature({"as": "x:0", "as_": "z:0"}, {"y": "y:0"}, {"as": [7, 2]})
    planned = plan.variants(_source(signatures={"only": signature}), Request())
    assert {key: source.tensor for key, source in planned.serving_inputs.items()} == {"as__1": "x:0", "as_": "z:0"}
    [said] = [one for one in planned.choices if "'as'" in one.what]
    assert "'as__1'" in said.what and "keyword" in said.why


def test_why_a_signature_is_left_out_is_one_line():
    signatures = {"serving_default": _signature(), "broken": _signature(y="nowhere:0")}
    planned = plan.variants(_source(signatures=signatures), Request())
    [said] = [one for one in planned.choices if "left out" in one.what]
    assert "\n" not in said.why and "nowhere" in said.why


def test_what_is_waited_for_is_reached_and_is_no_tensor():
    from export_v1.ir.graph import Index
    from export_v1.planning import grouping

    graph_def = v1.GraphDef()
    graph_def.node.add(name="y", op="Identity", input=["x:1", "^wait"])
    graph_def.node.add(name="wait", op="NoOp", input=["^late"])
    graph_def.node.add(name="late", op="Placeholder")
    graph_def.node.add(name="x", op="Switch")
    assert grouping.reached(Index(graph_def), ["y:0"], ()) == {"y:0", "x:1"}
    assert grouping.defaults(Index(graph_def), ["y:0"], ()) == {}
