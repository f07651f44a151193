"""The parts of the conversion on small regions: what is captured, copied, tidied and written."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir import graph
from export_v1.passes import functional
from export_v1.passes.functional import conditions, contexts, emit, shapes, tidy
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.region import Captures, Region, Unconvertible
from tests.support import node_defs
from tests.support.control_flow import v1
from tests.support.node_defs import const, node, of_op

F = tf.float32


def region(*nodes, args=(), results=()):
    return Region({one.name: one for one in nodes}, list(args), list(results))


def arg(name, dtype=F):
    return node(name, "_Arg", T=dtype)


def edges(part):
    return {name: list(one.input) for name, one in part.nodes.items()}


def test_small_constants_are_copied_and_big_ones_passed():
    outer = region(const("small", 1.0, "^first", dtype=F), const("big", np.zeros(300), dtype=F), arg("x"))
    captures, inner = Captures(outer, "loop", set(outer.nodes)), region()
    assert captures.arg(graph.Tensor("small"), inner) == "small" and edges(inner) == {"small": []}
    assert captures.arg(graph.Tensor("big"), inner) == "loop/big"
    assert captures.arg(graph.Tensor("x"), inner) == captures.arg(graph.Tensor("x"), inner) == "loop/x"
    assert captures.edges() == ["big", "x"] and inner.nodes["loop/x"].op == "_Arg"
    inner.add(node("read", "Neg", "loop/x", T=F))
    captures.drop_unused([inner])
    assert captures.edges() == ["x"] and "loop/big" not in inner.nodes
    other = region()
    captures.declare(other)
    assert list(other.nodes) == ["loop/x"] and other.nodes["loop/x"].attr["T"].type == F.as_datatype_enum


def test_what_is_a_result_is_not_unused():
    outer, inner = region(arg("x")), region()
    captures = Captures(outer, "cond", set())
    inner.results = [captures.arg(graph.Tensor("x"), inner)]
    captures.drop_unused([inner])
    assert captures.edges() == ["x"]


def carved(outer, results, inside, replaced):
    captures, inner = Captures(outer, "part", set(outer.nodes)), region()
    regions.carve(captures, results, inside.__contains__, replaced, inner)
    return captures, inner


def test_carved_nodes_read_what_stands_for_the_outside():
    outer = region(
        arg("x"), node("ready", "NoOp"), node("s", "Switch", "x", "p"),
        node("neg", "Neg", "s:1", "^ready", "^s", "^exp", T=F), node("exp", "Exp", "x", "^ready", T=F),
        node("sum", "Add", "neg", "exp", "^exp", "^exp", T=F), node("other", "Neg", "x", T=F),
    )  # fmt: skip
    captures, inner = carved(outer, ["sum"], {"neg", "exp", "sum", "other"}, {"s:1": "given"})
    assert edges(inner) == {
        "part/x": [], "neg": ["given", "^exp"], "exp": ["part/x"], "sum": ["neg", "exp", "^exp"]
    }  # fmt: skip
    assert inner.results == ["sum"] and list(captures.controls) == ["ready"]
    # The nodes of the outer region are as they were.
    assert list(outer.nodes["neg"].input) == ["s:1", "^ready", "^s", "^exp"]


def test_what_is_never_alive_cannot_be_read():
    outer = region(arg("x"), node("s", "Switch", "x", "p"), node("neg", "Neg", "s", T=F))
    with pytest.raises(Unconvertible) as caught:
        carved(outer, ["neg"], {"neg"}, {"s:1": "given"})
    assert caught.value.construct == "s" and "output 0" in caught.value.reason


@pytest.mark.parametrize("op", ["TensorArrayV3", "ResourceCountUpTo"])
def test_what_no_function_can_hold_cannot_be_carved(op):
    """An array that stays; a counter, whose op asks for the type of its variable, which a loaded function does not know."""
    outer = region(node("one", op))
    with pytest.raises(Unconvertible) as caught:
        carved(outer, ["one"], {"one"}, {})
    assert caught.value.construct == "one"


def test_order():
    nodes = region(
        node("c", "Add", "b", "a"), node("merge", "Merge", "a", "next"), node("b", "Neg", "merge", "^a"),
        node("next", "NextIteration", "c"), node("a", "Const"),
    ).nodes  # fmt: skip
    order = regions.order(nodes)
    assert sorted(order) == sorted(nodes)
    for one in nodes.values():
        for source in map(graph.parse, one.input):
            assert nodes[source.node].op == "NextIteration" or order.index(source.node) < order.index(one.name)


@pytest.mark.parametrize(
    ("op", "effects"),
    [("RandomUniform", True), ("AssignVariableOp", True), ("NotRegistered", True), ("Add", False), ("_Arg", False)],
)
def test_effects(op, effects):
    assert regions.stateful(node("x", op)) == effects


def test_tidied_functions_keep_their_effects_in_order():
    part = region(
        arg("x"), arg("unused"), const("one", 1.0, "^pivot", dtype=F), node("pivot", "NoOp"),
        node("draw", "RandomUniform", "x"), node("again", "RandomUniform", "x", "^draw", "^pivot"),
        node("wait", "Identity", "one", "^draw", T=F), node("same", "Identity", "x", T=F),
        node("twice", "Identity", "same", T=F), node("sum", "Add", "twice", "wait", "^same", T=F),
        node("late", "Neg", "one", "^after", T=F), node("after", "NoOp", "^draw"), node("dead", "Neg", "x", T=F),
        args=["x", "unused"], results=["twice", "sum", "late"],
    )  # fmt: skip
    part.bodies = {"dead": {}, "sum": {}}
    tidy.tidy(part)
    assert edges(part) == {
        "x": [], "unused": [], "one": [], "draw": ["x"], "again": ["x", "^draw"], "wait": ["one", "^draw"],
        "sum": ["x", "wait"], "late": ["one", "^after"], "after": ["^draw"],
    }  # fmt: skip
    assert part.results == ["x", "sum", "late"] and part.bodies.keys() == {"sum"}


def test_functions_that_were_there_stay():
    original = node_defs.built(lambda: v1.while_loop(lambda i: i < 3, lambda i: i + 1, [0]))
    original.library.function.add().signature.name = "own"
    made = functional.convert(original, keep=["while/Exit:0"]).graph_def
    assert len(made.library.function) == 3 and made.library.function[0].signature.name == "own"


def test_contexts_of_nested_conditions():
    nodes = [
        node("p", "Placeholder"), node("q", "Placeholder"), node("x", "Placeholder"), node("same", "Identity", "p"),
        node("outer", "Switch", "x", "same"), node("inner", "Switch", "outer:1", "q"),
        node("again", "Switch", "inner:0", "p"), node("on", "Neg", "inner:1"), node("off", "Neg", "again:1"),
        node("never", "Neg", "again"), node("both", "Add", "outer", "outer:1"),
        node("in_merge", "Merge", "on", "off"), node("merge", "Merge", "in_merge", "outer"),
        node("live", "Merge", "never", "off"), node("dead", "Merge", "never", "both"),
        node("waits", "NoOp", "^off"),
    ]  # fmt: skip
    found = contexts.analyse(region(*nodes), set())
    assert found.of["outer"] == {} and found.of["inner"] == {"p:0": 1} and found.of["on"] == {"p:0": 1, "q:0": 1}
    assert found.of["off"] == found.of["waits"] == {"p:0": 1, "q:0": 0}
    assert found.of["never"] is None and found.of["both"] is None and found.of["dead"] is None
    assert found.of["in_merge"] == {"p:0": 1} and found.of["merge"] == {}
    assert found.resolved == {"in_merge": ("q:0", (1, 0)), "merge": ("p:0", (1, 0))}
    assert found.live == {"live": 1} and found.decided == {"again": 1} and found.unresolved == {}
    assert [one.merges for one in conditions.outermost(region(*nodes), found)] == [["merge"]]
    opaque = contexts.analyse(region(*nodes), {"outer", "merge", "in_merge", "live", "dead"})
    assert opaque.of["inner"] == {} and opaque.resolved == {}


def test_a_merge_that_goes_around_without_an_enter_is_unresolved():
    found = contexts.analyse(
        region(node("x", "Placeholder"), node("merge", "Merge", "x", "next"), node("next", "NextIteration", "merge")),
        set(),
    )
    assert list(found.unresolved) == ["merge"]


def test_edges_of_ops_with_several_outputs():
    split = node("split", "SplitV", num_split=3)
    top = node("top", "TopKV2")
    listed = node("listed", "IdentityN")
    listed.attr["T"].list.type.extend([1, 1])
    part = region(split, top, listed, arg("x"))
    names = {"x": "arg_0_x"}
    written = {
        "x": "arg_0_x", "^top": "^top", "split:2": "split:output:2", "top": "top:values:0", "top:1": "top:indices:0",
        "listed:1": "listed:output:1",
    }  # fmt: skip
    assert {edge: emit._edge(part, names, edge) for edge in written} == written
    with pytest.raises(LookupError, match="top:2"):
        emit._edge(part, names, "top:2")


def test_equal_loops_have_functions_of_their_own():
    def make():
        for _ in range(2):
            v1.while_loop(lambda i: i < 3, lambda i: i + 1, [0], name="same")

    made = functional.convert(node_defs.built(make), keep=["same/Exit:0", "same_1/Exit:0"]).graph_def
    called = [one.attr[key].func.name for one in of_op(made, "StatelessWhile") for key in ("cond", "body")]
    assert len(set(called)) == 4 and sorted(called) == [one.signature.name for one in made.library.function]


def test_functions_say_the_shapes_of_their_arguments():
    def make():
        x = v1.placeholder(F, [None, 4], "x")
        v1.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, tf.tanh(y) + x), [0, x])

    made = functional.convert(node_defs.built(make), keep=["while/Exit_1:0"]).graph_def
    [loop] = of_op(made, "StatelessWhile")
    [body] = [one for one in made.library.function if one.signature.name == loop.attr["body"].func.name]
    said = [tf.TensorShape(body.arg_attr[at].attr["_output_shapes"].list.shape[0]).as_list() for at in range(4)]
    assert said == [[], [], [], [None, 4]]
    assert [tf.TensorShape(one).as_list() for one in loop.attr["output_shapes"].list.shape][:4] == said


def test_shapes_of_what_does_not_import_are_unknown():
    unknown = node("odd", "Reshape", "x", "x", T=F, Tshape=F)
    part = region(node("x", "Placeholder", dtype=F, shape=[2]), unknown)
    found = shapes.annotate(part, node_defs.graph_def())
    assert found["odd:0"].rank is None


def test_shapes_that_branches_agree_on():
    def make():
        p, x = v1.placeholder(tf.bool, [], "p"), v1.placeholder(F, [3, 2], "x")
        v1.cond(p, lambda: x, lambda: x[:1])

    made = functional.convert(node_defs.built(make), keep=["cond/Merge:0"]).graph_def
    [one] = of_op(made, "StatelessIf")
    assert [tf.TensorShape(shape).as_list() for shape in one.attr["output_shapes"].list.shape] == [[None, 2]]
