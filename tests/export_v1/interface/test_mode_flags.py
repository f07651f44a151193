"""Flags that steer training, told by what reads them: modes, rates, and constants that always drop."""

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from export_v1 import errors, interface
from export_v1.analysis.liveness import Liveness, Ordered
from export_v1.interface import backward
from export_v1.interface.settle import Settling
from export_v1.ir import graph
from export_v1.ir.graph import Tensor
from export_v1.source import meta_graph
from tests.support import control_flow, node_defs
from tests.support.control_flow import v1

PLACE = "graph model.meta"
GIVEN = {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}


def read(make):
    """The graph that `make` builds from a placeholder "x"."""
    with control_flow.graph() as built:
        make(v1.placeholder(tf.float32, [None, 4], "x"))
        return meta_graph.to_graph(meta_graph_pb2.MetaGraphDef(graph_def=built.as_graph_def(add_shapes=True)))


def resolve(make, **given):
    return interface.resolve(read(make), place=PLACE, **{**GIVEN, **given})


def settling(make):
    index = graph.Index(read(make).graph_def)
    return Settling(index, backward.nodes(index))


def dropped(x, kept, name=None):
    return tf.multiply(x, tf.cast(kept, tf.float32), name=name)


def uniform(x):
    return tf.random.uniform(tf.shape(x))


def train(y):
    weight = v1.get_variable("w", [4, 1], use_resource=False)
    v1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(tf.matmul(y, weight)))


# Each keeps where it is true.
COMPARISONS = {
    "random >= rate": (lambda random, rate: random >= rate, 0.0),
    "random > rate": (lambda random, rate: random > rate, 0.0),
    "rate <= random": (lambda random, rate: tf.less_equal(rate, random), 0.0),
    "rate < random": (lambda random, rate: tf.less(rate, random), 0.0),
    "random < keep": (lambda random, keep: random < keep, 1.0),
    "random <= keep": (lambda random, keep: random <= keep, 1.0),
    "keep >= random": (lambda random, keep: tf.greater_equal(keep, random), 1.0),
    "keep > random": (lambda random, keep: tf.greater(keep, random), 1.0),
    "floor(keep + random)": (lambda random, keep: tf.floor(keep + random), 1.0),
    "floor(random + keep)": (lambda random, keep: tf.floor(random + keep), 1.0),
    "random >= 1 - keep": (lambda random, keep: random >= 1.0 - keep, 1.0),
    "random >= 0.5 - keep + 0.5": (lambda random, keep: random >= 0.5 - keep + 0.5, 1.0),
    "random >= rate / 2": (lambda random, rate: random >= rate / 2.0, 0.0),
    "random >= 0.5 * (1 - keep)": (lambda random, keep: random >= 0.5 * (1.0 - keep), 1.0),
    "random >= rate + 0.25 - 0.25": (lambda random, rate: random >= rate + 0.25 - 0.25, 0.0),
}


@pytest.mark.parametrize("way", COMPARISONS)
def test_a_rate_is_told_by_the_side_it_is_compared_on(way):
    compare, off = COMPARISONS[way]
    found = resolve(lambda x: dropped(x, compare(uniform(x), v1.placeholder(tf.float32, [], "p")), "y"))
    assert found.frozen == {"p:0": off} and str(found.frozen["p:0"]) == str(off)


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param(lambda x, p: uniform(x) >= p + 2.0, id="nothing from 0 to 1 turns it off"),
        pytest.param(lambda x, p: uniform(x) >= p * p, id="a square"),
        pytest.param(lambda x, p: dropped(tf.cast(uniform(x) >= p, tf.float32), uniform(x) < p), id="at odds"),
        pytest.param(lambda x, p: x >= p, id="nothing random"),
        pytest.param(lambda x, p: uniform(x) >= uniform(x) + p, id="both random"),
        pytest.param(lambda x, p: tf.equal(uniform(x), p), id="no order"),
        pytest.param(lambda x, p: tf.floor(uniform(x) * p), id="no sum"),
    ],
)
def test_what_is_no_rate_is_asked_about(kept):
    with pytest.raises(errors.ExportError) as caught:
        resolve(lambda x: dropped(x, kept(x, v1.placeholder(tf.float32, [], "p")), "y"))
    assert "--freeze=p:0=VALUE" in str(caught.value)


def test_what_multiplies_nothing_is_no_mask():
    with pytest.raises(errors.ExportError):
        resolve(lambda x: tf.add(tf.cast(uniform(x) >= v1.placeholder(tf.float32, [], "p"), tf.float32), x, "y"))


def test_one_rate_of_several_dropouts():
    def make(x):
        keep = v1.placeholder(tf.float32, [], "p")
        dropped(dropped(x, uniform(x) < keep), uniform(x) < keep, "y")

    found = resolve(make)
    assert found.frozen == {"p:0": 1.0}
    assert "and 1 more" in found.choices[0].why


def test_a_vector_is_no_flag():
    with pytest.raises(errors.ExportError):
        resolve(lambda x: dropped(x, uniform(x) >= v1.placeholder(tf.float32, [4], "p"), "y"))


@pytest.mark.parametrize("training_is", [True, False])
def test_a_mode_that_chooses_between_constant_rates(training_is):
    def make(x):
        mode = v1.placeholder(tf.bool, [], "mode")
        rate = v1.cond(mode, lambda: 0.5 if training_is else 0.0, lambda: 0.0 if training_is else 0.5)
        dropped(x, uniform(x) >= rate, "y")

    found = resolve(make)
    assert found.frozen == {"mode:0": not training_is}
    assert "a dropout rate" in found.choices[0].why


def moments(x):
    mean = tf.reduce_mean(x, 0)
    return (x - mean) * tf.math.rsqrt(tf.reduce_mean(tf.math.squared_difference(x, mean), 0) + 0.1)


@pytest.mark.parametrize("training_is", [True, False])
@pytest.mark.parametrize(
    ("in_training", "said"),
    [(moments, "moments"), (lambda x: x + tf.random.normal([4]), "random numbers")],
)
def test_a_mode_is_told_by_what_only_training_does(in_training, said, training_is):
    def make(x):
        mode = v1.placeholder(tf.bool, [], "mode")
        ways = (lambda: in_training(x)), (lambda: x * 2.0)
        tf.identity(v1.cond(mode, *(ways if training_is else ways[::-1])), "y")

    found = resolve(make)
    assert found.frozen == {"mode:0": not training_is}
    assert said in found.choices[0].why


def test_a_number_for_a_mode():
    def make(x):
        mode = v1.placeholder(tf.int32, [], "mode")
        tf.identity(v1.cond(tf.equal(mode, 1), lambda: moments(x), lambda: x * 2.0), "y")

    found = resolve(make)
    assert found.frozen == {"mode:0": 0} and type(found.frozen["mode:0"]) is int


def test_signs_that_contradict_each_other_do_not_tell():
    def make(x):
        mode = v1.placeholder(tf.bool, [], "mode")
        tf.identity(v1.cond(mode, lambda: moments(x), lambda: x + tf.random.normal([4])), "y")

    with pytest.raises(errors.ExportError) as caught:
        resolve(make)
    assert "--freeze=mode:0=false or --freeze=mode:0=true" in str(caught.value)


def test_a_recognised_flag_is_stronger_than_its_default():
    def make(x):
        mode = v1.placeholder_with_default(True, [], "mode")
        tf.identity(v1.cond(mode, lambda: moments(x), lambda: x * 2.0), "y")

    found = resolve(make)
    assert found.frozen == {"mode:0": False}
    assert "default is true" in found.choices[0].why
    # In training the flag says so, too; the default of what is no flag holds in both.
    found = resolve(
        lambda x: tf.multiply(dropped(x, uniform(x) >= v1.placeholder(tf.float32, [], "p")), _default(3.0), "y"),
        train_freeze={"p": 0.5},
    )
    assert found.frozen == {"p:0": 0.0, "scale:0": 3.0} and found.train_frozen == {"p:0": 0.5, "scale:0": 3.0}


def _default(value):
    return v1.placeholder_with_default(value, [], "scale")


def test_a_default_that_is_computed_is_kept():
    found = resolve(lambda x: tf.multiply(x, _default(tf.reduce_max(x)), "y"))
    assert found.frozen == {} and [one.what for one in found.choices] == ["scale:0 keeps its default"]


def test_a_value_for_inference_holds_in_training_unless_it_is_a_flags():
    def make(x):
        scale = v1.placeholder(tf.float32, [], "scale")
        dropped(x * scale, uniform(x) >= v1.placeholder(tf.float32, [], "p"), "y")

    found = resolve(make, freeze={"scale": 2.0}, train_freeze={"p": 0.5})
    assert found.frozen == {"scale:0": 2.0, "p:0": 0.0} and found.train_frozen == {"scale:0": 2.0, "p:0": 0.5}
    with pytest.raises(errors.ExportError) as caught:
        resolve(make, freeze={"p": 0.0, "scale": 2.0}, train_freeze={"scale": 2.0})
    assert "--train_freeze=p:0=0.5" in str(caught.value)


def test_what_is_missing_in_training_only_is_named_with_the_flag_for_training():
    def make(x):
        mode = v1.placeholder(tf.bool, [], "mode")
        target = v1.placeholder(tf.float32, [None, 4], "target")
        tf.identity(v1.cond(mode, lambda: moments(x) + target, lambda: x * 2.0), "y")

    assert resolve(make).frozen == {"mode:0": False}
    with pytest.raises(errors.ExportError) as caught:
        resolve(make, train_freeze={"mode": True})
    assert "'target:0'" in str(caught.value) and "--input=target=target:0" in str(caught.value)


def test_modes_are_settled_before_rates():
    """The rate is nearer to the output, but the mode leaves it without use."""

    def make(x):
        keep = v1.placeholder(tf.float32, [], "keep")
        mode = v1.placeholder(tf.bool, [], "mode")
        for _ in range(12):
            mode = tf.identity(mode)
        tf.identity(v1.cond(mode, lambda: dropped(x, uniform(x) < keep), lambda: x * 2.0), "y")

    assert resolve(make).frozen == {"mode:0": False}


def always_dropping(x, value=0.5):
    rate = tf.constant(value, name="rate")
    return dropped(x, uniform(x) >= rate)


def test_a_constant_rate_beside_a_flag_is_meant():
    def make(x, flagged):
        y = always_dropping(x)
        if flagged:
            y = dropped(y, uniform(x) >= v1.placeholder(tf.float32, [], "p"))
        train(tf.identity(y, "y"))

    assert resolve(lambda x: make(x, False)).frozen == {"rate:0": 0.0}
    assert resolve(lambda x: make(x, True)).frozen == {"p:0": 0.0}


@pytest.mark.parametrize(
    ("fed", "default", "expected"),
    [
        (False, False, {"phase:0": False, "rate:0": 0.0}),
        (False, True, {"phase:0": False}),
        (True, False, {"phase:0": False}),
    ],
)
def test_a_flag_that_training_left_at_inference_tells_no_modes(fed, default, expected):
    """Keras's learning phase is in the graph of an Estimator, too, where nobody feeds it; its dropouts all have constants."""
    with control_flow.graph() as built:
        x = tf.queue.FIFOQueue(4, [tf.float32], [[2, 4]]).dequeue(name="x")
        if fed:
            v1.placeholder(tf.float32, [None], "label")
        phase = v1.placeholder_with_default(default, [], "phase")
        y = v1.cond(phase, lambda: dropped(x, uniform(x) >= 0.1), lambda: tf.identity(x))
        train(tf.identity(always_dropping(y), "y"))
        model = meta_graph.to_graph(meta_graph_pb2.MetaGraphDef(graph_def=built.as_graph_def(add_shapes=True)))
    assert interface.resolve(model, place=PLACE, **GIVEN).frozen == expected


def test_a_constant_rate_of_what_the_outputs_do_not_need_is_left():
    def make(x):
        train(always_dropping(x))
        tf.multiply(x, 2.0, "y")

    assert resolve(make).frozen == {}


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (lambda: tf.constant(0.5, name="rate"), ("rate", 0.0)),
        (lambda: tf.constant(0.0, name="rate"), None),
        (lambda: tf.subtract(tf.constant(1.0, name="one"), tf.constant(0.8, name="keep")), ("keep", 1.0)),
        (lambda: tf.identity(tf.constant(0.5, name="rate")), ("rate", 0.0)),
        (lambda: tf.constant(0.5, name="rate") + 0.25, None),
        (lambda: v1.placeholder(tf.float32, [], "fed"), None),
    ],
)
def test_the_constant_that_sets_a_rate(rate, expected):
    found = settling(lambda x: dropped(x, uniform(x) >= rate(), "y"))
    [dropout] = found.flags.dropouts
    constant = found.flags.constant_rate(dropout)
    assert constant == (None if expected is None else (Tensor(expected[0]), expected[1]))


def test_a_summary_of_a_rate_is_no_use_of_it():
    """A summary has a tag beside the rate, which is text."""

    def make(x):
        keep = v1.placeholder(tf.float32, name="keep")
        v1.summary.scalar("keep", keep)
        dropped(x, tf.floor(keep + uniform(x)), "y")

    assert resolve(make).frozen == {"keep:0": 1.0}


def test_what_gradients_give_to_a_loop_does_not_make_it_theirs():
    """A functional loop keeps intermediate values for its gradients in lists that are made in their scope."""

    def make(x):
        with tf.name_scope("gradients"):
            kept = tf.raw_ops.EmptyTensorList(element_shape=[-1], max_num_elements=3, element_dtype=tf.float32)
        tf.raw_ops.TensorListPushBack(input_handle=kept, tensor=x[0], name="forward")
        with tf.name_scope("gradients_1"):
            tf.raw_ops.Neg(x=x, name="backward")

    found = settling(make).backward
    assert "forward" not in found and "gradients_1/backward" in found


def test_dropouts_of_the_gradients_do_not_count():
    def make(x):
        with tf.name_scope("gradients"):
            dropped(x, uniform(x) >= 0.5)

    assert settling(make).flags.dropouts == []


def live(make, frozen=(), cuts=()):
    index = graph.Index(read(make).graph_def)
    return Liveness(
        Ordered(index), {graph.parse(name): value for name, value in dict(frozen).items()}, list(map(graph.parse, cuts))
    )


def constants(x):
    """Constants in the branches of a condition only wait for their side of it."""
    tf.add(x, v1.cond(v1.placeholder(tf.bool, [], "mode"), lambda: 0.5, lambda: 0.25), "y")


def test_what_waits_for_a_side_not_taken_does_not_run():
    for value, taken in ((True, 0.5), (False, 0.25)):
        found = live(constants, {"mode:0": value})
        assert found.known[Tensor("cond/Merge")] == taken
    assert Tensor("cond/Merge") not in live(constants).known


def test_what_is_fed_or_frozen_is_there_though_its_side_is_not_taken():
    def make(x):
        off, on = v1.raw_ops.Switch(data=x, pred=v1.placeholder(tf.bool, [], "mode"), name="switch")
        v1.raw_ops.Merge(inputs=[tf.negative(off, "off"), tf.exp(on, "on")], name="y")

    found = live(make, {"mode:0": False})
    assert found.is_dead(Tensor("switch", 1)) and found.is_dead(Tensor("on")) and not found.is_dead(Tensor("off"))
    assert not found.runs(found._index["on"]) and found.runs(found._index["y"])
    assert set(found.needed([Tensor("y")])) == {"y", "off", "switch", "x"}
    assert not live(make, {"mode:0": False}, ["on:0"]).is_dead(Tensor("on"))
    assert set(live(make, {"mode:0": False}, ["off:0"]).needed([Tensor("y")])) == {"y"}
    assert set(live(make).needed([Tensor("y")])) == {"y", "off", "on", "switch", "x", "mode"}


def test_what_decides_is_not_needed_once_it_is_known():
    def make(x):
        mode = tf.logical_not(v1.placeholder(tf.bool, [], "mode"), "not")
        off, on = v1.raw_ops.Switch(data=x, pred=mode, name="switch")
        v1.raw_ops.Merge(inputs=[tf.negative(off, "off"), tf.exp(on, "on")], name="y")
        tf.add(x, v1.placeholder(tf.float32, [], "p"), "sum")

    found = live(make, {"mode:0": False, "p:0": 1.0})
    assert set(found.needed([Tensor("y")])) == {"y", "on", "switch", "x"}
    assert found.data(found._index["sum"]) == [Tensor("x")]


def test_a_choice_of_known_side_needs_that_side_only():
    def make(x):
        v1.where(v1.placeholder(tf.bool, [], "mode"), tf.exp(x, "yes"), tf.negative(x, "no"), name="y")

    assert set(live(make, {"mode:0": True}).needed([Tensor("y")])) == {"y", "yes", "x"}
    assert set(live(make, {"mode:0": False}).needed([Tensor("y")])) == {"y", "no", "x"}


def test_logic_needs_one_side_to_be_known():
    def make(x):
        a, b = v1.placeholder(tf.bool, [], "a"), v1.placeholder(tf.bool, [], "b")
        tf.logical_and(a, b, name="both")
        tf.logical_or(a, b, name="either")
        tf.logical_not(b, name="not")

    no, yes = live(make, {"a:0": False}).known, live(make, {"b:0": True}).known
    assert not no[Tensor("both")] and Tensor("either") not in no and Tensor("not") not in no
    assert yes[Tensor("either")] and Tensor("both") not in yes and not yes[Tensor("not")]


def test_gradients_are_what_the_gradients_lead_to():
    def make(x):
        with tf.name_scope("gradients_1"):
            tf.negative(x, name="inner")
        tf.add(built.get_tensor_by_name("gradients_1/inner:0"), 1.0, name="read")
        v1.raw_ops.ReluGrad(gradients=x, features=x, name="grad")
        v1.raw_ops.Conv2DBackpropInput(
            input_sizes=[1, 4, 4, 1], filter=tf.ones([2, 2, 1, 1]), out_backprop=tf.ones([1, 4, 4, 1]),
            strides=[1, 1, 1, 1], padding="SAME", name="transposed",
        )  # fmt: skip

    with control_flow.graph() as built:
        make(v1.placeholder(tf.float32, [None, 4], "x"))
        found = backward.nodes(graph.Index(built.as_graph_def()))
    assert found == {"gradients_1/inner", "read", "grad"}
    update = node_defs.node("train", "ResourceApplyAdam")
    assert backward.nodes(graph.Index(node_defs.graph_def(update))) == {"train"}


@pytest.mark.parametrize(
    ("name", "saver"), [("save/Const", True), ("a/save_1/restore", True), ("saved/x", False), ("autosave/x", False)]
)
def test_nodes_of_a_saver(name, saver):
    assert backward.is_saver(name) == saver
