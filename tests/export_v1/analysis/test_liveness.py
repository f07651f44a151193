"""What liveness calls needed is what is left of the graph once it is frozen, folded and pruned; its answers are kept."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import export_v1
from export_v1.analysis.liveness import Liveness, Ordered, known_values
from export_v1.ir import ops
from export_v1.ir.graph import GraphDef, Index, Tensor, parse
from export_v1.passes import fold, freeze, prune
from tests.support import graphs
from tests.support.graphs import v1

BOOL, FLOAT = tf.bool.as_datatype_enum, tf.float32.as_datatype_enum
PREDICATES = ("flag", "other", "data", "not flag", "flag and data", "flag or data", "data ? flag : other")


def programs(depth: int):
    leaf = st.sampled_from([("x",), ("own",), ("one",), ("hidden",)])
    if not depth:
        return leaf
    part, predicate = programs(depth - 1), st.sampled_from(PREDICATES)
    return st.one_of(
        st.tuples(st.just("cond"), predicate, part, part),
        st.tuples(st.just("cond"), predicate, part, part),
        st.tuples(st.just("select"), predicate, part, part),
        st.tuples(st.just("add"), part, part),
        st.tuples(st.just("wait"), part, part),
        st.tuples(st.just("loop"), st.integers(0, 2), part),
        leaf,
    )


class Builder:
    """Builds a program from conditions of TensorFlow 1 on frozen flags and on data."""

    def __init__(self):
        self.x = v1.placeholder(tf.float32, [], name="x")
        # What is cut is computed, and from what nothing else needs.
        self.hidden = tf.exp(v1.placeholder(tf.float32, [], name="behind"), name="hidden")
        self.feeds = {"x:0": 2.0, "data:0": True, "flag:0": True, "other:0": True, "hidden:0": 0.25}
        for name in ("data", "flag", "other"):
            setattr(self, name, v1.placeholder(tf.bool, [], name=name))

    def predicate(self, text):
        if text == "data ? flag : other":
            return v1.cond(self.data, lambda: tf.identity(self.flag), lambda: tf.identity(self.other))
        first, _, second = text.replace("not flag", "flag ").partition(" ")
        value = getattr(self, first)
        if text == "not flag":
            return tf.logical_not(value)
        return getattr(tf, f"logical_{second[:-5]}")(value, self.data) if second else value

    def run(self, program):
        kind, *rest = program
        return getattr(self, f"_{kind}")(*rest)

    def _x(self):
        return self.x * 3.0

    def _hidden(self):
        return self.hidden + 1.0

    def _one(self):
        return tf.constant(1.0)

    def _own(self):
        """A placeholder that only this branch reads."""
        with tf.control_dependencies(None):
            made = v1.placeholder(tf.float32, [], name=f"own_{len(self.feeds)}")
        self.feeds[made.name] = float(len(self.feeds))
        return tf.sqrt(made)

    def _cond(self, predicate, one, two):
        return v1.cond(self.predicate(predicate), lambda: self.run(one), lambda: self.run(two))

    def _select(self, predicate, one, two):
        return tf.raw_ops.Select(condition=self.predicate(predicate), x=self.run(one), y=self.run(two))

    def _add(self, one, two):
        return self.run(one) + self.run(two)

    def _wait(self, one, two):
        with tf.control_dependencies([self.run(one)]):
            return tf.negative(self.run(two))

    def _loop(self, times, part):
        return v1.while_loop(lambda i, y: i < times, lambda i, y: (i + 1, y * 0.5 + self.run(part)), [0, self.x])[1]


def _left(graph_def: GraphDef, values: dict, cuts: list[str]) -> tuple[GraphDef, dict[str, str]]:
    cut = freeze.to_placeholders(graph_def, {name: (FLOAT, []) for name in cuts})
    frozen = freeze.to_constants(cut.graph_def, {name: (BOOL, value) for name, value in values.items()}).graph_def
    return prune.to_outputs(fold.conditions(frozen).graph_def, ["y"]).graph_def, cut.renamed


def _check_needed(graph_def: GraphDef, values: dict, cuts: list[str]) -> GraphDef:
    """Asserts that liveness finds needed what is left; returns what is left."""
    left, _ = _left(graph_def, values, cuts)
    index = Index(graph_def)
    live = Liveness(
        Ordered(index), {parse(name): value for name, value in values.items()}, [parse(cut) for cut in cuts]
    )
    # A Switch that always passes its data to one side is stepped over; frozen and fed nodes are others now.
    aside = {node.name for node in graph_def.node if node.op in ops.SWITCHES and live.side(node) is not None}
    aside |= {parse(name).node for name in (*values, *cuts)}
    assert set(live.needed([Tensor("y")])) - aside == {node.name for node in left.node if node.name in index} - aside
    return left


@settings(max_examples=60, deadline=None)
@given(programs(4), st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_needed_is_what_is_left_and_its_answer_is_that_of_the_whole_graph(program, flag, other, data, cut):
    with graphs.tensorflow_1() as graph:
        builder = Builder()
        tf.identity(builder.run(program) + builder.x, name="y")
    values, cuts = {"flag:0": flag, "other:0": other}, ["hidden:0"] if cut else []
    left = _check_needed(graph.as_graph_def(), values, cuts)
    feeds = {**builder.feeds, "behind:0": 0.5, **values, "data:0": data}
    if not cut:
        del feeds["hidden:0"]
    names = {node.name for node in left.node if node.op == "Placeholder"}
    own_feeds = {name: value for name, value in feeds.items() if parse(name).node in names}
    assert {parse(name).node for name in own_feeds} == names
    want = graphs.run(graph.as_graph_def(), "y:0", feeds)
    assert graphs.run(left, "y:0", own_feeds) == want


def _training_branch(nested: bool) -> tf.Graph:
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [None, 2], name="x"), v1.placeholder(tf.bool, [], name="is_training")
        weight = v1.get_variable("w", initializer=np.float32([[1, 2], [3, 4]]))
        noise = v1.placeholder(tf.float32, [None, 2], name="noise")

        def large():
            return v1.cond(flag, lambda: x @ weight + noise, lambda: x @ weight)

        tf.identity(v1.cond(tf.reduce_sum(x) > 0.0, large, lambda: -x) if nested else large(), name="y")
    return graph


@pytest.mark.parametrize("no_sample", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_a_frozen_flag_takes_its_dead_branch_along_even_inside_a_condition_on_data(tmp_path, nested, no_sample):
    with _training_branch(nested).as_default(), v1.Session() as session:
        session.run(v1.global_variables_initializer())
        checkpoint = v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        batches = [np.float32([[1, 2], [0, 3]]), np.float32([[-1, -2], [0, 1]])]
        feeds = [{"x:0": x, "is_training:0": False, "noise:0": np.zeros([2, 2])} for x in batches]
        answers = [session.run("y:0", feed) for feed in feeds]
    export_v1.export(
        checkpoint=checkpoint,
        inputs={"x": "x"},
        outputs={"y": "y"},
        freeze={"is_training": "false"},
        no_sample=no_sample,
        export_dir=str(tmp_path / "export"),
    )
    signature = tf.saved_model.load(str(tmp_path / "export")).signatures["serving_default"]
    for x, answer in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(signature(x=tf.constant(x))["y"], answer)


def test_a_value_stays_known_through_a_condition_on_data():
    with graphs.tensorflow_1() as graph:
        data = v1.placeholder(tf.bool, [], name="data")
        no, yes = tf.raw_ops.Switch(data=tf.constant(True), pred=data, name="switch")
        tf.logical_not(yes, name="never")
    known = known_values(graph.as_graph_def())
    assert known[Tensor("switch", 0)] and known[Tensor("switch", 1)] and not known[Tensor("never")]


@pytest.mark.parametrize("data", [True, False])
def test_a_predicate_that_is_dead_at_times_keeps_its_switch_dead(data):
    """A Switch of data that is always there, by a predicate known only where a condition on data holds."""
    with graphs.tensorflow_1() as graph:
        x, asked = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="data")
        flag = v1.placeholder(tf.bool, [], name="flag")
        _, inside = tf.raw_ops.Switch(data=flag, pred=asked)
        _, taken = tf.raw_ops.Switch(data=x, pred=inside)
        outside, _ = tf.raw_ops.Switch(data=-x, pred=asked)
        tf.identity(tf.raw_ops.Merge(inputs=[taken * 2.0, outside])[0], name="y")
    left = _check_needed(graph.as_graph_def(), {"flag:0": True}, [])
    assert sum(node.op == "Switch" for node in left.node) == 2
    assert graphs.run(left, "y:0", {"x:0": 3.0, "data:0": data}) == (6.0 if data else -3.0)


@pytest.mark.parametrize("data", [True, False])
def test_which_of_three_inputs_a_merge_took(data):
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        asked = v1.placeholder(tf.bool, [], name="data")
        _, dead = tf.raw_ops.Switch(data=x, pred=flag)
        no, yes = tf.raw_ops.Switch(data=x, pred=asked)
        _, which = tf.raw_ops.Merge(inputs=[tf.exp(dead), no * 2.0, yes * 3.0])
        tf.identity(which, name="y")
    left = _check_needed(graph.as_graph_def(), {"flag:0": False}, [])
    assert graphs.run(left, "y:0", {"x:0": 1.0, "data:0": data}) == (2 if data else 1)


@pytest.mark.parametrize("data", [True, False])
def test_which_branch_was_taken_is_known_only_where_it_was(data):
    with graphs.tensorflow_1() as graph:
        flag, asked = v1.placeholder(tf.bool, [], name="flag"), v1.placeholder(tf.bool, [], name="data")
        outside, inside = tf.raw_ops.Switch(data=tf.constant(5), pred=asked)
        no, yes = tf.raw_ops.Switch(data=inside, pred=flag)
        _, which = tf.raw_ops.Merge(inputs=[no + 1, yes + 1])
        tf.identity(tf.raw_ops.Merge(inputs=[which, outside])[0], name="y")
    left = _check_needed(graph.as_graph_def(), {"flag:0": True}, [])
    assert graphs.run(left, "y:0", {"data:0": data}) == (1 if data else 5)


def test_which_input_a_merge_took_is_known():
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        no, yes = tf.raw_ops.Switch(data=x, pred=flag)
        tf.raw_ops.Merge(inputs=[no, yes], name="merge")
    ordered = Ordered(Index(graph.as_graph_def()))
    took = [Liveness(ordered, {Tensor("flag"): flag}).known[Tensor("merge", 1)] for flag in (False, True)]
    assert took == [0, 1]


@pytest.mark.parametrize("data", [True, False])
def test_a_merge_does_not_need_what_is_dead_and_only_waited_for(data):
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        asked = v1.placeholder(tf.bool, [], name="data")
        _, dead = tf.raw_ops.Switch(data=x, pred=flag)
        no, yes = tf.raw_ops.Switch(data=x, pred=asked)
        with tf.control_dependencies([tf.exp(dead, name="never")]):
            tf.raw_ops.Merge(inputs=[no, yes], name="merge")
        tf.identity(graph.get_tensor_by_name("merge:0"), name="y")
    left = _check_needed(graph.as_graph_def(), {"flag:0": False}, [])
    assert "never" not in graphs.names(left)
    assert graphs.run(left, "y:0", {"x:0": 2.0, "data:0": data}) == 2.0


@pytest.mark.parametrize("flag", [True, False])
def test_a_reader_of_a_reference_waits_for_what_its_switch_waited_for(flag):
    with graphs.tensorflow_1() as graph:
        n, pred = v1.get_variable("n", [])._ref(), v1.placeholder(tf.bool, [], name="flag")
        with tf.control_dependencies([tf.raw_ops.AssignAdd(ref=n, value=1.0, name="first")]):
            no, yes = tf.raw_ops.RefSwitch(data=n, pred=pred, name="switch")
            merged, _ = tf.raw_ops.RefMerge(inputs=[no, yes], name="merge")
        tf.identity(merged, name="y")
    left = _check_needed(graph.as_graph_def(), {"flag:0": flag}, [])
    nodes = {node.name: node for node in left.node}
    assert list(nodes["y"].input) == ["n", "^merge", "^switch"]
    assert graphs.run(left, "y:0", values={"n": 1.0}) == 2.0


def _selecting(op: str, other: list[int]) -> GraphDef:
    with graphs.tensorflow_1() as graph:
        flag, x = v1.placeholder(tf.bool, [], name="flag"), v1.placeholder(tf.float32, [3], name="x")
        training = v1.placeholder(tf.float32, other, name="training")
        kind = {"Select": {"x": x, "y": training}, "SelectV2": {"t": x, "e": training}}[op]
        tf.identity(getattr(tf.raw_ops, op)(condition=flag, **kind), name="y")
    return graph.as_graph_def()


@pytest.mark.parametrize(("op", "other"), [("Select", [3]), ("SelectV2", [3])])
def test_a_select_of_a_known_condition_needs_what_it_chooses(op, other):
    left = _check_needed(_selecting(op, other), {"flag:0": True}, [])
    assert "training" not in graphs.names(left)
    np.testing.assert_array_equal(graphs.run(left, "y:0", {"x:0": [1, 2, 3]}), [1, 2, 3])


@pytest.mark.parametrize("other", [[2, 3], [None, 3], [1]])
def test_a_select_whose_other_side_may_shape_the_result_needs_both(other):
    left = _check_needed(_selecting("SelectV2", other), {"flag:0": True}, [])
    assert {"training", "x"} <= set(graphs.names(left))


@pytest.mark.parametrize("data", [True, False])
def test_a_select_whose_other_side_is_not_always_there_needs_both(data):
    """Where the other side is not computed, TensorFlow does not compute the Select, either."""
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        no, yes = tf.raw_ops.Switch(data=x, pred=v1.placeholder(tf.bool, [], name="data"))
        chosen = tf.raw_ops.Select(condition=flag, x=x, y=tf.exp(yes, name="there_at_times"))
        tf.identity(tf.raw_ops.Merge(inputs=[chosen, -no])[0], name="y")
    left = _check_needed(graph.as_graph_def(), {"flag:0": True}, [])
    assert "there_at_times" in graphs.names(left)
    assert graphs.run(left, "y:0", {"x:0": 2.0, "data:0": data}) == (2.0 if data else -2.0)


def test_a_select_whose_other_side_comes_out_of_a_loop_does_not_need_it():
    """What leaves a loop is there whenever the loop was entered, whatever its condition said last."""
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        looped = v1.while_loop(lambda value: value < 9.0, lambda value: value * 2.0, [x])
        tf.identity(tf.raw_ops.Select(condition=flag, x=x, y=looped), name="y")
    left = _check_needed(graph.as_graph_def(), {"flag:0": True}, [])
    assert "Exit" not in graphs.kinds(left)
    assert graphs.run(left, "y:0", {"x:0": 2.0}) == 2.0


def test_a_node_reads_neither_frozen_nor_fed_tensors():
    with graphs.tensorflow_1() as graph:
        x, rate = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.float32, [], name="rate")
        awaited, own = v1.placeholder(tf.float32, [], name="awaited"), tf.sqrt(x, name="own")
        with tf.control_dependencies([awaited]):
            tf.add_n([x, rate, own], name="y")
    index = Index(graph.as_graph_def())
    live = Liveness(Ordered(index), {Tensor("rate"): 0.5}, [Tensor("x"), Tensor("awaited")])
    assert index["y"].input[-1] == "^awaited"
    assert live.data(index["y"]) == [Tensor("x"), Tensor("own")]
    assert live.reads(index["y"]) == ((Tensor("own"),), (), None)


def _times(factor: float):
    return tf.function(lambda x: x * factor).get_concrete_function(tf.TensorSpec([], tf.float32))


@pytest.mark.parametrize("flag", [True, False])
def test_an_if_of_a_known_condition_does_not_need_it(flag):
    with tf.Graph().as_default() as graph:
        x, pred = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        unknown = v1.placeholder(tf.bool, [], name="unknown")
        decided = tf.logical_or(tf.logical_not(pred), unknown) if flag else tf.logical_and(pred, unknown)
        double, triple = (_times(factor) for factor in (2.0, 3.0))
        answers = tf.raw_ops.If(cond=decided, input=[x], Tout=[tf.float32], then_branch=double, else_branch=triple)
        tf.identity(answers[0], name="y")
    left = _check_needed(graph.as_graph_def(), {"flag:0": False}, [])
    assert "unknown" not in graphs.names(left)
    assert graphs.run(left, "y:0", {"x:0": 1.0}) == (2.0 if flag else 3.0)


def test_who_waits_for_a_fed_node_needs_nothing_for_it():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [], name="x")
        parts = tf.split(tf.stack([x, x]), 2, name="parts")
        with tf.control_dependencies([parts[0]]):
            tf.identity(parts[1], name="y")
    left = _check_needed(graph.as_graph_def(), {}, ["parts:1"])
    assert graphs.kinds(left) == {"Placeholder", "Identity"}


def test_a_frozen_number_is_rounded_as_its_constant():
    with graphs.tensorflow_1() as graph:
        rate = v1.placeholder(tf.float32, [], name="rate")
        tf.equal(rate, 0.1, name="same")
    live = Liveness(Ordered(Index(graph.as_graph_def())), {Tensor("rate"): 0.1})
    assert live.known[Tensor("same")]


def test_an_op_that_cannot_work_is_unknown():
    graph_def = GraphDef()
    for name, value in (("value", np.arange(6)), ("shape", np.int32([4]))):
        node = graph_def.node.add(name=name, op="Const")
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
    graph_def.node.add(name="reshaped", op="Reshape", input=["value", "shape"])
    graph_def.node.add(name="lacking", op="Reshape", input=["value"])
    assert set(known_values(graph_def)) == {Tensor("value"), Tensor("shape")}


def test_a_constant_of_a_type_that_numpy_lacks_is_not_known():
    graph_def = v1.GraphDef()
    node = graph_def.node.add(name="handle", op="Const")
    node.attr["dtype"].type = node.attr["value"].tensor.dtype = tf.resource.as_datatype_enum
    assert known_values(graph_def) == {}


def test_what_one_look_has_computed_is_computed_again_for_other_values():
    with graphs.tensorflow_1() as graph:
        keep = v1.placeholder_with_default(0.5, [], "keep")
        tf.multiply(tf.constant(4.0), keep, name="scaled")
    ordered = Ordered.of(Index(graph.as_graph_def()))
    looks = [Liveness(ordered, {Tensor("keep"): value}).known[Tensor("scaled")] for value in (1.0, 0.25, 1.0)]
    assert looks == [4.0, 1.0, 4.0]
    assert Tensor("scaled") not in Liveness(ordered).known
