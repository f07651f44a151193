import numpy as np
import tensorflow as tf

from export_v1.ir.graph import GraphDef
from export_v1.passes import merge
from tests.support import graphs
from tests.support.graphs import v1


def _graph(scale: float):
    with tf.Graph().as_default() as graph:
        w = v1.get_variable("w", [], use_resource=True)
        x = v1.placeholder(tf.float32, [], name="x")

        @tf.function
        def step(value):
            return value * scale

        tf.identity(step(x) * w, name="y")
    graph_def = graph.as_graph_def()
    # Functions of one name and different content, as two graphs of one module have them.
    name = graph_def.library.function[0].signature.name
    text = graph_def.SerializeToString().replace(name.encode(), b"f" * len(name))
    return type(graph_def).FromString(text)


def test_parts_share_variables_and_keep_their_own_functions():
    merged = merge.graphs({"": _graph(2.0), "train/": _graph(3.0)})
    assert [node.name for node in merged.node if node.op == "VarHandleOp"] == ["w"]
    assert len({function.signature.name for function in merged.library.function}) == 2
    got = graphs.run(merged, ["y:0", "train/y:0"], {"x:0": 1.0, "train/x:0": 1.0}, {"w": 5.0})
    np.testing.assert_array_equal(got, [10.0, 15.0])


def test_one_part_without_prefix_is_itself():
    graph_def = _graph(2.0)
    assert graphs.names(merge.graphs({"": graph_def})) == graphs.names(graph_def)


def test_the_oldest_version_counts():
    old, new = _graph(1.0), _graph(1.0)
    old.versions.producer = 24
    assert merge.graphs({"": new, "train/": old}).versions.producer == 24


def _handles(*names: tuple[str, str], op: str = "VarHandleOp") -> GraphDef:
    """Returns a graph with a handle for each (node name, shared name), and a read of each."""
    graph_def = GraphDef()
    for name, shared_name in names:
        node = graph_def.node.add(name=name, op=op)
        if shared_name:
            node.attr["shared_name"].s = shared_name.encode()
        graph_def.node.add(name=f"{name}/read", op="ReadVariableOp", input=[name, f"^{name}"])
    return graph_def


def test_two_handles_of_one_shared_name_are_one_variable():
    merged = merge.graphs({"": _handles(("w", "w"), ("again/w", "w"), ("v", ""))})
    nodes = {node.name: node for node in merged.node}
    assert sorted(nodes) == ["again/w/read", "v", "v/read", "w", "w/read"]
    assert list(nodes["again/w/read"].input) == ["w", "^w"]
    assert {name: nodes[name].attr["shared_name"].s for name in ("v", "w")} == {"v": b"v", "w": b"w"}


def test_a_variable_of_a_later_part_is_that_of_the_first():
    merged = merge.graphs({"": _handles(("w", "")), "train/": _handles(("inner", "w"), ("new", "new"))})
    nodes = {node.name: node for node in merged.node}
    assert sorted(nodes) == ["new", "train/inner/read", "train/new/read", "w", "w/read"]
    assert list(nodes["train/inner/read"].input) == ["w", "^w"]
    assert list(nodes["train/new/read"].input) == ["new", "^new"]


def test_a_handle_whose_name_something_else_has_gets_the_prefix():
    first = GraphDef()
    first.node.add(name="w", op="NoOp")
    nodes = {node.name: node for node in merge.graphs({"": first, "train/": _handles(("w", ""))}).node}
    assert nodes["w"].op == "NoOp" and nodes["train/w"].op == "VarHandleOp"
    assert nodes["train/w"].attr["shared_name"].s == b"train/w"
    assert list(nodes["train/w/read"].input) == ["train/w", "^train/w"]


def test_tables_are_one_by_their_node_name_and_keep_their_shared_name():
    parts = {prefix: _handles(("table", shared), op="HashTableV2") for prefix, shared in (("", "a"), ("train/", "b"))}
    merged = merge.graphs(parts)
    tables = [node for node in merged.node if node.op == "HashTableV2"]
    assert [node.name for node in tables] == ["table"] and tables[0].attr["shared_name"].s == b"a"
    apart = merge.graphs({"": _handles(("one", "same"), ("two", "same"), op="HashTableV2")})
    assert [node.name for node in apart.node if node.op == "HashTableV2"] == ["one", "two"]


def test_a_table_and_a_variable_of_one_name_are_two():
    parts = {"": _handles(("x", "")), "train/": _handles(("x", ""), op="HashTableV2")}
    kinds = {node.name: node.op for node in merge.graphs(parts).node}
    assert kinds["x"] == "VarHandleOp" and kinds["train/x"] == "HashTableV2"


def _calling(op: str) -> GraphDef:
    """Returns a graph with calls of each kind; `inner` calls `op`, whose name is the same whatever it does."""
    graph_def = GraphDef()
    for name, body in (("f", op), ("outer", "f"), ("same", "Exp")):
        function = graph_def.library.function.add()
        function.signature.name = name
        function.node_def.add(name="n", op=body)
    graph_def.library.gradient.add(function_name="outer", gradient_func="f")
    graph_def.node.add(name="as_op", op="f")
    graph_def.node.add(name="as_attr", op="PartitionedCall").attr["f"].func.name = "f"
    graph_def.node.add(name="in_list", op="Case").attr["branches"].list.func.add(name="f")
    graph_def.node.add(name="outer", op="outer")
    graph_def.node.add(name="plain", op="same", input=["as_op:1", "^outer"])
    return graph_def


def test_whoever_calls_a_renamed_function_calls_it_by_its_new_name():
    merged = merge.graphs({"": _calling("Exp"), "a/b/": _calling("Neg")})
    nodes = {node.name: node for node in merged.node}
    bodies = {function.signature.name: function.node_def[0].op for function in merged.library.function}
    assert bodies["f"] == "Exp" and bodies["a_b_f"] == "Neg"
    assert (nodes["as_op"].op, nodes["a/b/as_op"].op) == ("f", "a_b_f")
    assert nodes["a/b/as_attr"].attr["f"].func.name == "a_b_f"
    assert nodes["a/b/in_list"].attr["branches"].list.func[0].name == "a_b_f"
    assert nodes["as_attr"].attr["f"].func.name == nodes["in_list"].attr["branches"].list.func[0].name == "f"
    assert {
        one.signature.name: one.node_def[0].op for one in merged.library.function if "outer" in one.signature.name
    } == {
        "outer": "f",
        "a_b_outer": "a_b_f",
    }
    assert (nodes["outer"].op, nodes["a/b/outer"].op) == ("outer", "a_b_outer"), (
        "it calls another function of that name"
    )
    assert list(nodes["a/b/plain"].input) == ["a/b/as_op:1", "^a/b/outer"]


def test_a_gradient_is_that_of_its_part():
    with_gradient = _calling("Neg")
    with_gradient.library.gradient.add(function_name="f", gradient_func="same")
    merged = merge.graphs({"": _calling("Exp"), "train/": with_gradient})
    pairs = [(one.function_name, one.gradient_func) for one in merged.library.gradient]
    assert pairs == [("outer", "f"), ("train_outer", "train_f"), ("train_f", "same")]


def test_functions_of_one_content_are_one():
    merged = merge.graphs({"": _calling("Exp"), "train/": _calling("Exp")})
    assert [function.signature.name for function in merged.library.function] == ["f", "outer", "same"]
    assert {node.op for node in merged.node} == {"f", "outer", "same", "PartitionedCall", "Case"}
    assert len(merged.library.gradient) == 1


def test_the_parts_are_as_they_were():
    parts = {"": _calling("Exp"), "train/": _calling("Neg")}
    merge.graphs(parts)
    assert parts == {"": _calling("Exp"), "train/": _calling("Neg")}


def test_what_fills_a_table_is_that_of_the_first_part_and_so_is_its_file():
    def part(path: str):
        with graphs.tensorflow_1() as graph:
            table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="", name="table")
            tf.raw_ops.InitializeTableFromTextFileV2(
                table_handle=table, filename=tf.constant(path, name="path"), key_index=-2, value_index=-1, name="fill"
            )
            x = v1.placeholder(tf.string, [None], name="x")
            tf.raw_ops.LookupTableFindV2(table_handle=table, keys=x, default_value=tf.constant(-1, tf.int64), name="y")
        return graph.as_graph_def()

    merged = merge.graphs({"": part("a.txt"), "train/": part("b.txt")})
    names = graphs.names(merged)
    assert {"table", "fill", "path", "x", "y", "train/x", "train/y"} <= set(names)
    assert not {"train/table", "train/fill", "train/path"} & set(names)
