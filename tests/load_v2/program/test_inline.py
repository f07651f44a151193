"""load_v2.inline: calls replaced by bodies, with what waited for them still waiting."""

import pytest
from google.protobuf import text_format

from load_v2 import LoadError
from load_v2.program import inline, subgraph
from tests.support import graphs
from tests.support.graphs import nested


def _graph(text: str) -> subgraph.GraphDef:
    return text_format.Parse(text, subgraph.GraphDef())


def _nodes(graph_def) -> dict:
    return {node.name: node for node in graph_def.node}


CALL = """
    node { name: "x" op: "Placeholder" } node { name: "w" op: "VarHandleOp" } node { name: "init" op: "NoOp" }
    node { name: "call" op: "StatefulPartitionedCall" input: "x" input: "w" input: "^init"
           attr { key: "f" value { func { name: "f" } } } attr { key: "T" value { type: DT_HALF } } }
    node { name: "y" op: "Neg" input: "call:1" } node { name: "v" op: "ReadVariableOp" input: "call" }
    node { name: "after" op: "NoOp" input: "^call" }
    library { function {
      signature { name: "f" input_arg { name: "given" type_attr: "T" } input_arg { name: "handle" type: DT_RESOURCE }
                  output_arg { name: "same" type: DT_RESOURCE } output_arg { name: "out" type_attr: "T" } }
      node_def { name: "read" op: "ReadVariableOp" input: "handle" }
      node_def { name: "write" op: "AssignVariableOp" input: "handle" input: "given" input: "^read" }
      node_def { name: "cut" op: "Split" input: "given" input: "read:value:0"
                 attr { key: "T" value { placeholder: "T" } } attr { key: "num_split" value { i: 2 } } }
      node_def { name: "late" op: "Neg" input: "cut:output:1" input: "^given" }
      ret { key: "same" value: "handle" } ret { key: "out" value: "late:y:0" }
      control_ret { key: "any" value: "write" }
    } }
"""


def test_a_body_takes_the_place_of_its_call():
    flat = inline.calls(_graph(CALL))
    nodes = _nodes(flat)
    assert graphs.names(flat) == ["x", "w", "init", *(f"call/{n}" for n in ("read", "write", "cut", "late")), "call", "y",
                                  "v", "after"]  # fmt: skip
    assert list(nodes["call/cut"].input) == ["x", "call/read", "^init"]
    assert list(nodes["call/late"].input)[0] == "call/cut:1"
    assert nodes["call"].op == "IdentityN" and list(nodes["call"].input)[:2] == ["w", "call/late"]
    assert list(nodes["y"].input) == ["call:1"]


def test_nodes_of_a_body_get_names_that_no_other_node_has():
    """cond_v2 calls the Identity of its result "cond/Identity", and a branch may have an Identity, too."""
    built = _graph(CALL.replace('"y" op: "Neg"', '"call/cut" op: "Neg"').replace('"after"', '"call/read"'))
    flat = inline.calls(built)
    names = graphs.names(flat)
    assert len(set(names)) == len(names)
    nodes = _nodes(flat)
    assert nodes["call/cut"].op == "Neg" and nodes["call/cut_1"].op == "Split"
    assert list(nodes["call/late"].input)[0] == "call/cut_1:1"
    assert "call/read_1" in nodes["call/cut_1"].input and "^call/read_1" in nodes["call/write"].input


def test_the_body_waits_for_what_the_call_waited_for():
    nodes = _nodes(inline.calls(_graph(CALL)))
    for name in ("read", "write", "cut", "late"):
        assert "^init" in nodes[f"call/{name}"].input
    assert list(nodes["call/write"].input) == ["w", "x", "^call/read", "^init"]
    assert "^x" in nodes["call/late"].input


def test_what_waited_for_the_call_waits_for_its_effects():
    nodes = _nodes(inline.calls(_graph(CALL)))
    assert list(nodes["call"].input)[2:] == ["^call/write"]
    assert list(nodes["after"].input) == ["^call"]


def test_attributes_of_the_call_fill_those_of_the_body():
    nodes = _nodes(inline.calls(_graph(CALL)))
    assert nodes["call/cut"].attr["T"].type == 19 and nodes["call/cut"].attr["T"].placeholder == ""
    assert list(nodes["call"].attr["T"].list.type) == [20, 19]


def test_a_handle_that_a_call_passes_on_is_read_where_it_is_made():
    assert list(_nodes(inline.calls(_graph(CALL)))["v"].input) == ["w"]


def test_a_call_by_the_functions_own_name_without_outputs_is_a_node_that_waits():
    text = """
        node { name: "call" op: "f" }
        library { function { signature { name: "f" } node_def { name: "n" op: "NoOp" } control_ret { key: "n" value: "n" } } }
    """
    nodes = _nodes(inline.calls(_graph(text)))
    assert nodes["call"].op == "NoOp" and list(nodes["call"].input) == ["^call/n"]


def test_calls_in_bodies_are_replaced_too_and_branches_stay():
    text = """
        node { name: "a" op: "outer" } node { name: "i" op: "If" attr { key: "then_branch" value { func { name: "inner" } } } }
        library { function { signature { name: "outer" } node_def { name: "b" op: "inner" } }
                  function { signature { name: "inner" } node_def { name: "c" op: "NoOp" } } }
    """
    assert graphs.names(inline.calls(_graph(text))) == ["a/b/c", "a/b", "a", "i"]


def test_functions_that_call_one_another_without_end_are_refused():
    text = """
        node { name: "a" op: "f" }
        library { function { signature { name: "f" } node_def { name: "b" op: "g" } }
                  function { signature { name: "g" } node_def { name: "b" op: "f" } } }
    """
    with pytest.raises(LoadError, match="without end"):
        inline.calls(_graph(text))


def _call_of(body: str, ret: str) -> str:
    return f"""
        node {{ name: "x" op: "Placeholder" }} node {{ name: "call" op: "f" input: "x" }}
        library {{ function {{ signature {{ name: "f" input_arg {{ name: "x" type: DT_FLOAT }}
          output_arg {{ name: "out" type: DT_FLOAT }} }} {body} ret {{ key: "out" value: "{ret}" }} }} }}
    """


@pytest.mark.parametrize(
    ("body", "ret", "index"),
    [
        ('node_def { name: "n" op: "Unique" input: "x" }', "n:idx:0", 1),
        ('node_def { name: "n" op: "Switch" input: "x" input: "x" }', "n:output_true:0", 1),
        ('node_def { name: "n" op: "Split" input: "x" attr { key: "num_split" value { i: 3 } } }', "n:output:2", 2),
        ('node_def { name: "n" op: "CTCGreedyDecoder" input: "x" }', "n:log_probability:0", 3),
        # After lists of tensors: two of them by a number, one by types that are listed.
        (
            'node_def { name: "n" op: "ParseExample" input: "x" attr { key: "Nsparse" value { i: 2 } } '
            'attr { key: "sparse_types" value { list { type: DT_FLOAT type: DT_FLOAT } } } '
            'attr { key: "Tdense" value { list { type: DT_FLOAT } } } }',
            "n:dense_values:0",
            6,
        ),
    ],
)
def test_outputs_are_counted_over_lists(body, ret, index):
    nodes = _nodes(inline.calls(_graph(_call_of(body, ret))))
    assert subgraph.split(nodes["call"].input[0]) == ("call/n", index)


def test_an_inner_calls_outputs_are_counted_by_its_function():
    text = """
        node { name: "call" op: "f" }
        library {
          function { signature { name: "f" output_arg { name: "out" type: DT_FLOAT } }
                     node_def { name: "n" op: "PartitionedCall" attr { key: "f" value { func { name: "g" } } }
                                attr { key: "Tout" value { list { type: DT_FLOAT type: DT_FLOAT } } } }
                     ret { key: "out" value: "n:output:1" } }
          function { signature { name: "g" output_arg { name: "a" type: DT_FLOAT }
                                 output_arg { name: "b" type: DT_FLOAT } }
                     node_def { name: "c" op: "Const" }
                     ret { key: "a" value: "c:output:0" } ret { key: "b" value: "c:output:0" } }
        }
    """
    assert list(_nodes(inline.calls(_graph(text)))["call"].input) == ["call/n:1"]


def test_an_op_that_nobody_registered_is_named():
    with pytest.raises(LoadError, match="'NoSuchOp' of node 'n'(.|\n)*load_op_library"):
        inline.calls(_graph(_call_of('node_def { name: "n" op: "NoSuchOp" input: "x" }', "n:y:0")))


ASSETS = """
    node { name: "file" op: "Const" } node { name: "other" op: "Const" }
    node { name: "held" op: "VarHandleOp" } node { name: "free" op: "VarHandleOp" }
    node { name: "set" op: "AssignVariableOp" input: "held" input: "file" }
    node { name: "set_other" op: "AssignVariableOp" input: "free" input: "other" }
    node { name: "read" op: "ReadVariableOp" input: "held" } node { name: "read_other" op: "ReadVariableOp" input: "free" }
    node { name: "fill" op: "Fill" input: "table" input: "read:0" input: "read_other" input: "^read" }
"""


def test_file_names_are_read_past_the_variables_that_hold_them():
    whole = _graph(ASSETS)
    fill = _nodes(inline.assets(whole, {"file:0"}))["fill"]
    assert list(fill.input) == ["table", "file", "read_other", "^read"]
    assert whole == _graph(ASSETS)
    assert inline.assets(whole, set()) is whole


def test_functions_that_call_one_another_too_deep_are_refused():
    with pytest.raises(LoadError, match="60 deep, .* at most 50"):
        inline.calls(nested(60, calls=1))


def test_functions_that_become_a_large_graph_are_refused_before_they_are_inlined():
    with pytest.raises(LoadError, match="54 nodes become 134,217,7"):
        inline.calls(nested(26))
    flat = inline.calls(nested(12))
    assert sum(node.op == "Neg" for node in flat.node) == 2**12
