"""Which variables a graph writes."""

import pytest
from google.protobuf import text_format

from load_v2.program import subgraph, writes

WRITES = """
    node { name: "a" op: "VarHandleOp" } node { name: "b" op: "VarHandleOp" } node { name: "c" op: "VarHandleOp" }
    node { name: "read" op: "ReadVariableOp" input: "c" }
"""
BODIES = """
    library {
      function { signature { name: "writes" } node_def { name: "n" op: "AssignAddVariableOp" } }
      function { signature { name: "reads" } node_def { name: "n" op: "ReadVariableOp" } }
      function { signature { name: "calls" } node_def { name: "n" op: "If"
                 attr { key: "then_branch" value { func { name: "writes" } } } } }
    }
"""

_THROUGH_SWITCH = """
    node { name: "s" op: "Switch" input: "b" input: "p" }
    node { name: "m" op: "Merge" input: "s:1" input: "a" input: "m" }
"""


def _loop(body: str) -> str:
    attribute = f'attr {{ key: "body" value {{ func {{ name: "{body}" }} }} }}'
    return f'node {{ name: "n" op: "While" input: "x" input: "b:0" {attribute} }}'


@pytest.mark.parametrize(
    ("node", "written"),
    [
        ('node { name: "n" op: "AssignVariableOp" input: "a" input: "b" }', {"a"}),
        ('node { name: "n" op: "AssignSubVariableOp" input: "a:0" input: "x" }', {"a"}),
        ('node { name: "n" op: "ResourceScatterAdd" input: "b" input: "x" }', {"b"}),
        ('node { name: "n" op: "ResourceApplyAdam" input: "b" input: "x" }', {"b"}),
        ('node { name: "n" op: "ResourceSparseApplyAdagrad" input: "b" input: "x" }', {"b"}),
        ('node { name: "n" op: "ResourceStridedSliceAssign" input: "b" input: "x" }', {"b"}),
        ('node { name: "n" op: "ResourceGather" input: "b" input: "x" }', set()),
        (_loop("writes"), {"b"}),
        (_loop("reads"), set()),
        (_loop("calls"), {"b"}),
        ('node { name: "n" op: "writes" input: "a" }', {"a"}),
        (_THROUGH_SWITCH + 'node { name: "n" op: "ResourceCountUpTo" input: "m" }', {"a", "b"}),
        (_THROUGH_SWITCH + 'node { name: "n" op: "ReadVariableOp" input: "m" }', set()),
        (_THROUGH_SWITCH + 'node { name: "n" op: "writes" input: "s:1" }', {"b"}),
    ],
)
def test_variables_that_the_graph_writes(node, written):
    assert writes.written_by(text_format.Parse(WRITES + node + BODIES, subgraph.GraphDef())) == written


NESTED = """
    library {
      function { signature { name: "writes" input_arg { name: "x" } input_arg { name: "v" } }
                 node_def { name: "n" op: "AssignAddVariableOp" input: "v" input: "x" } }
      function { signature { name: "writes_nothing" input_arg { name: "x" } input_arg { name: "v" } } }
      function { signature { name: "outer" input_arg { name: "v" } input_arg { name: "w" } input_arg { name: "c" } }
                 node_def { name: "w_again" op: "Identity" input: "w" }
                 node_def { name: "n" op: "If" input: "c" input: "w_again" input: "v" input: "^other"
                   attr { key: "then_branch" value { func { name: "writes" } } }
                   attr { key: "else_branch" value { func { name: "writes_nothing" } } } } }
      function { signature { name: "never" input_arg { name: "v" } input_arg { name: "w" } input_arg { name: "c" } } }
    }
"""


@pytest.mark.parametrize(
    ("node", "indices"),
    [
        (
            'op: "If" input: "c" input: "x" input: "v" attr { key: "then_branch" value { func { name: "writes" } } }',
            {2},
        ),
        ('op: "While" input: "v" input: "w" input: "c" attr { key: "body" value { func { name: "outer" } } }', {0}),
        ('op: "While" input: "v" input: "w" input: "c" attr { key: "cond" value { func { name: "never" } } }', set()),
        ('op: "AssignVariableOp" input: "v" input: "x"', set()),
    ],
)
def test_arguments_that_what_a_node_calls_writes(node, indices):
    graph_def = text_format.Parse(f'node {{ name: "n" {node} }}' + NESTED, subgraph.GraphDef())
    functions = {function.signature.name: function for function in graph_def.library.function}
    assert writes.arguments_written_by(graph_def.node[0], functions) == indices
