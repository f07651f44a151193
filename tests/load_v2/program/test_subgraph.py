"""load_v2.graph: parts of a graph, functions under names of their own, what a Saver restores."""

import pytest
from google.protobuf import text_format

from load_v2.program import subgraph
from tests.support import graphs


def _graph(text: str) -> subgraph.GraphDef:
    return text_format.Parse(text, subgraph.GraphDef())


CHAIN = """
    node { name: "x" op: "Placeholder" device: "/gpu:0" attr { key: "_class" value { s: "loc:@gone" } }
           attr { key: "_output_shapes" value { list { } } } attr { key: "dtype" value { type: DT_FLOAT } } }
    node { name: "init" op: "NoOp" }
    node { name: "pair" op: "Split" input: "x" input: "^init" }
    node { name: "y" op: "Add" input: "pair:1" input: "x" input: "^pair" }
    node { name: "z" op: "Neg" input: "y" }
"""


@pytest.mark.parametrize(
    ("edge", "node", "index", "tensor"),
    [("a/b:1", "a/b", 1, "a/b:1"), ("a", "a", 0, "a:0"), ("a:12", "a", 12, "a:12"), ("a:b", "a:b", 0, "a:b:0")],
)
def test_edges_are_told_apart(edge, node, index, tensor):
    assert subgraph.split(edge) == (node, index)
    assert subgraph.tensor_name(edge) == tensor


def test_a_control_edge_has_no_output_index():
    assert subgraph.split("^a/b") == ("a/b", -1)


def test_what_tensors_need_keeps_order_and_control_edges():
    part = subgraph.needed(_graph(CHAIN), ["y:0"])
    assert graphs.names(part) == ["x", "init", "pair", "y"]
    assert list(part.node[2].input) == ["x", "^init"]
    assert list(part.node[3].input) == ["pair:1", "x", "^pair"]


def test_a_node_is_needed_by_its_name_alone():
    assert graphs.names(subgraph.needed(_graph(CHAIN), ["init"])) == ["init"]


def test_cut_tensors_are_edges_whose_nodes_are_gone_with_their_control_edges():
    part = subgraph.needed(_graph(CHAIN), ["z:0"], {"pair:1"})
    assert graphs.names(part) == ["x", "y", "z"]
    assert list(part.node[1].input) == ["pair:1", "x"]


def test_another_output_of_a_cut_node_keeps_the_node():
    part = subgraph.needed(_graph(CHAIN), ["z:0"], {"pair:0"})
    assert graphs.names(part) == ["x", "init", "pair", "y", "z"]
    assert list(part.node[3].input) == ["pair:1", "x", "^pair"]


def test_an_output_that_is_cut_itself_needs_nothing():
    assert graphs.names(subgraph.needed(_graph(CHAIN), ["y:0"], {"y:0"})) == []


def test_placement_is_dropped_and_the_graph_left_as_it_was():
    whole = _graph(CHAIN)
    part = subgraph.needed(whole, ["x:0"])
    assert part.node[0].device == "" and set(part.node[0].attr) == {"dtype"}
    assert whole == _graph(CHAIN)


def test_versions_and_functions_stay():
    whole = _graph('versions { producer: 26 } library { function { signature { name: "f" } } } node { name: "a" }')
    part = subgraph.needed(whole, ["a:0"])
    assert part.versions.producer == 26 and part.library.function[0].signature.name == "f"


RANDOM = """
    node { name: "call" op: "If" attr { key: "then_branch" value { func { name: "outer" } } } }
    library { function { signature { name: "outer" } node_def { name: "c" op: "inner" } }
              function { signature { name: "inner" } node_def { name: "r" op: "RandomUniform" } } }
"""


CALLS = """
    node { name: "by_op" op: "f" }
    node { name: "by_list" op: "Case" attr { key: "branches" value { list { func { name: "g" } func { name: "h" } } } } }
    library {
      function { signature { name: "f" } node_def { name: "n" op: "While" attr { key: "body" value { func { name: "k" } } } } }
      function { signature { name: "g" } } function { signature { name: "h" } } function { signature { name: "k" } }
      function { signature { name: "f_gradient" } node_def { name: "n" op: "deep" } }
      function { signature { name: "deep" } } function { signature { name: "nobody" } }
      gradient { function_name: "f" gradient_func: "f_gradient" }
    }
"""


def test_functions_are_reached_by_op_attribute_list_body_and_gradient():
    assert subgraph.reachable_functions(_graph(CALLS)) == {"f", "g", "h", "k", "f_gradient", "deep"}


def test_functions_get_names_of_their_own_wherever_they_are_named():
    whole = _graph(CALLS)
    own = subgraph.with_own_functions(whole)
    assert whole == _graph(CALLS)
    names = {f.signature.name.rpartition("_")[0]: f.signature.name for f in own.library.function}
    assert set(names) == {"f", "g", "h", "k", "f_gradient", "deep"}
    nodes = {node.name: node for node in own.node}
    assert nodes["by_op"].op == names["f"]
    assert [f.name for f in nodes["by_list"].attr["branches"].list.func] == [names["g"], names["h"]]
    bodies = {f.signature.name: f.node_def for f in own.library.function}
    assert bodies[names["f"]][0].attr["body"].func.name == names["k"]
    assert bodies[names["f_gradient"]][0].op == names["deep"]
    (gradient,) = own.library.gradient
    assert (gradient.function_name, gradient.gradient_func) == (names["f"], names["f_gradient"])


def test_functions_of_one_name_with_other_bodies_get_other_names():
    one, two = _graph(RANDOM), _graph(RANDOM)
    two.library.function[1].node_def[0].op = "RandomStandardNormal"
    first, again, other = (
        [f.signature.name for f in subgraph.with_own_functions(made).library.function]
        for made in (one, _graph(RANDOM), two)
    )
    assert first == again and not set(first) & set(other)


def _saver(keys: str, parts: str, edge: str) -> str:
    return f"""
        node {{ name: "keys" op: "Const" attr {{ key: "value" value {{ tensor {{ {keys} }} }} }} }}
        node {{ name: "parts" op: "Const" attr {{ key: "value" value {{ tensor {{ {parts} }} }} }} }}
        node {{ name: "restore" op: "RestoreV2" input: "prefix" input: "keys" input: "parts" }}
        node {{ name: "same" op: "Identity" input: "{edge}" }}
        node {{ name: "again" op: "Identity" input: "same" }}
        node {{ name: "fill" op: "AssignVariableOp" input: "handle" input: "again" }}
    """


TWO_KEYS, TWO_PARTS = 'string_val: "a" string_val: "b"', 'string_val: "" string_val: "4 2 0,2:-"'


def test_a_savers_names_and_slices_are_read_through_identities():
    found = subgraph.restored_from(_graph(_saver(TWO_KEYS, TWO_PARTS, "restore:1")))
    assert found == {"handle": ("b", "4 2 0,2:-")}
    assert subgraph.restored_from(_graph(_saver(TWO_KEYS, TWO_PARTS, "restore"))) == {"handle": ("a", "")}


def test_what_no_saver_restores_is_left_out():
    assert subgraph.restored_from(_graph(_saver(TWO_KEYS, TWO_PARTS, "restore:2"))) == {}
    assert subgraph.restored_from(_graph(_saver(TWO_KEYS, TWO_PARTS, "keys"))) == {}
    assert subgraph.restored_from(_graph(_saver(TWO_KEYS, "", "restore:1"))) == {"handle": ("b", "")}


def test_a_saver_in_a_function_restores_the_callers_variables():
    inner = _saver(TWO_KEYS, TWO_PARTS, "restore:tensors:1").replace("node {", "node_def {")
    inner = inner.replace('input: "keys" input: "parts"', 'input: "keys:output:0" input: "parts:output:0"')
    inner = inner.replace('input: "same"', 'input: "same:output:0"').replace(
        'input: "again"', 'input: "again:output:0"'
    )
    text = f"""
        node {{ name: "w" op: "VarHandleOp" }}
        node {{ name: "call" op: "StatefulPartitionedCall" input: "file" input: "w"
                attr {{ key: "f" value {{ func {{ name: "restoring" }} }} }} }}
        library {{ function {{ signature {{ name: "restoring" input_arg {{ name: "prefix" }} input_arg {{ name: "handle" }} }}
                   {inner} }} }}
    """
    assert subgraph.restored_from(_graph(text)) == {"w": ("b", "4 2 0,2:-")}


def test_gradients_of_python_are_taken_off_everywhere_and_named():
    key = '_gradient_op_type" value { s: "CustomGradient-7" }'
    text = f"""
        node {{ name: "a" op: "IdentityN" attr {{ key: "{key} }} }} node {{ name: "b" op: "Neg" }}
        library {{ function {{ signature {{ name: "f" }} node_def {{ name: "c" op: "IdentityN" attr {{ key: "{key} }} }} }} }}
    """
    whole = _graph(text)
    clean, named = subgraph.without_custom_gradients(whole)
    assert named == ["a", "c"] and whole == _graph(text)
    assert all("_gradient_op_type" not in node.attr for node in subgraph.all_nodes(clean))
    assert subgraph.without_custom_gradients(clean) == (clean, [])
