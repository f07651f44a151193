"""The graph by scope: what is drawn, where edges stand, how functions open."""

import tensorflow as tf

from load_v2.page import scopes
from load_v2.program import subgraph
from tests.support.graphs import v1


def _graph(build) -> subgraph.GraphDef:
    with tf.Graph().as_default() as graph:
        build()
    return graph.as_graph_def()


def _names(scope: scopes.Scope) -> list[str]:
    return [child.name for child in scope.children]


def _dense(x, name: str):
    with v1.name_scope(name):
        return tf.matmul(x, tf.constant([[1.0]], name="weights"), name="product")


def test_edges_stand_between_the_scopes_that_they_cross():
    def build():
        x = v1.placeholder(tf.float32, [None, 1], name="x")
        with v1.name_scope("net"):
            first = _dense(x, "one")
            second = _dense(first, "two")
        tf.add(first, second, name="sum")

    tree, left_out = scopes.tree(_graph(build), {"x": "input x", "sum": "output y"})
    assert _names(tree) == ["x", "net", "sum"] and not left_out
    # From `net` to `sum` go two tensors: that of `one` and that of `two`.
    assert sorted(tree.edges) == [(0, 1, 1), (1, 2, 2)]
    net = tree.children[1]
    assert _names(net) == ["one", "two"] and net.edges == [(0, 1, 1)] and net.nodes == 4
    assert _names(net.children[0]) == ["product"], "weights are counted, not drawn"
    assert [child.role for child in tree.children] == ["input x", "", "output y"]


def test_a_scope_of_weights_alone_is_not_drawn():
    def build():
        x = v1.placeholder(tf.float32, [], name="x")
        with v1.name_scope("settings"):
            scale = tf.constant(2.0, name="scale")
        tf.multiply(x, scale, name="scaled")

    tree, _ = scopes.tree(_graph(build), {})
    assert _names(tree) == ["x", "scaled"] and tree.edges == [(0, 1, 1)] and tree.nodes == 3


def test_an_op_with_the_name_of_a_scope_is_drawn_in_it():
    def build():
        x = v1.placeholder(tf.float32, [], name="x")
        tf.identity(tf.identity(x, name="a/b"), name="a")

    tree, _ = scopes.tree(_graph(build), {})
    inner = tree.children[1]
    assert inner.name == "a" and not inner.op and sorted(_names(inner)) == ["a", "b"]


def test_a_graph_without_data_is_drawn_whole():
    tree, _ = scopes.tree(_graph(lambda: tf.negative(tf.constant(1.0, name="one"), name="minus")), {})
    assert _names(tree) == ["one", "minus"]


def test_a_loop_opens_into_its_condition_and_body():
    def build():
        x = v1.placeholder(tf.float32, [], name="x")
        v1.enable_control_flow_v2()
        try:
            tf.while_loop(lambda y: y < 10.0, lambda y: [y * 2.0], [x], name="loop")
        finally:
            v1.disable_control_flow_v2()

    tree, _ = scopes.tree(_graph(build), {})
    loop = next(inner for child in tree.children for inner in (child, *child.children) if inner.functions)
    assert [function.name for function in loop.functions] == ["body", "cond"]
    assert "Mul" in {child.op for child in loop.functions[0].children}


def test_json_leaves_out_what_is_empty():
    scope = scopes.Scope("a", nodes=2, children=[scopes.Scope("b", "Relu", 1)])
    assert scope.to_json() == ["a", "", 2, "", [["b", "Relu", 1]]]


def test_of_too_many_ops_the_first_are_drawn_and_the_others_counted(monkeypatch):
    monkeypatch.setattr(scopes, "_DRAWN", 3)

    def build():
        x = v1.placeholder(tf.float32, [], name="x")
        for _ in range(5):
            x = tf.negative(x)

    tree, left_out = scopes.tree(_graph(build), {})
    assert len(tree.children) == 3 and left_out == 3 and tree.nodes == 6
