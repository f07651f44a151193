"""load_v2.safety: which ops a layer lets run, which files a table may be filled from, what XLA may be tried on."""

import pytest
from google.protobuf import text_format

from load_v2 import LoadError
from load_v2.program import safety, subgraph


def _graph(text: str) -> subgraph.GraphDef:
    return text_format.Parse(text, subgraph.GraphDef())


def _op(op: str) -> subgraph.GraphDef:
    return _graph(f'node {{ name: "n" op: "{op}" }}')


@pytest.mark.parametrize("op", ["Add", "MatMul", "VarHandleOp", "AssignVariableOp", "HashTableV2", "RandomUniform", "While",
                                "TensorArrayV3", "Placeholder", "Const"])  # fmt: skip
def test_what_only_computes_or_holds_the_layers_state_is_let_in(op):
    assert safety.refused(_op(op)) == {}


@pytest.mark.parametrize(
    "op",
    [
        # Registered as stateless, and named one by one.
        *("ReadFile", "WriteFile", "MatchingFiles", "RestoreV2", "PrintV2", "ImmutableConst", "DecodeProtoV2", "Abort"),
        # On both lists: a vocabulary is an attribute of it.
        "FixedUnigramCandidateSampler",
        # Registered as stateless, and of a family.
        *("TensorDataset", "RangeDataset", "DatasetCardinality", "MergeSummary", "ScalarSummary", "DebugIdentityV2"),
        "CollectiveReduceV2",
        # Stateful, and not known to be harmless.
        *("FIFOQueueV2", "IdentityReaderV2", "PyFunc", "NoSuchOp"),
    ],
)
def test_everything_else_is_refused_with_its_nodes(op):
    assert safety.refused(_op(op)) == {op: ["n"]}


def test_nodes_in_functions_count_and_a_call_by_name_is_no_op():
    made = _graph("""
        node { name: "call" op: "f" } node { name: "one" op: "ReadFile" } node { name: "two" op: "ReadFile" }
        library { function { signature { name: "f" } node_def { name: "write" op: "WriteFile" } } }
    """)
    assert safety.refused(made) == {"ReadFile": ["one", "two"], "WriteFile": ["write"]}


FILL = """
    node { name: "file" op: "Const" } node { name: "table" op: "HashTableV2" }
    node { name: "fill" op: "InitializeTableFromTextFileV2" input: "table" input: "file" }
"""


def test_a_table_is_filled_from_files_of_the_export_only():
    assert safety.refused(_graph(FILL), {"file:0": "words.txt"}) == {}
    for assets in ((), {"file:1"}, {"table:0"}):
        assert safety.refused(_graph(FILL), assets) == {"InitializeTableFromTextFileV2": ["fill"]}
    without = _graph(FILL.replace('input: "file"', ""))
    assert safety.refused(without, {"file:0"}) == {"InitializeTableFromTextFileV2": ["fill"]}


def test_a_refusal_names_ops_nodes_and_the_remedy():
    made = _graph('node { name: "one" op: "ReadFile" } node { name: "two" op: "NoSuchOp" }')
    with pytest.raises(LoadError) as caught:
        safety.check(made, (), (), "The graph of 'export'", "Pass allow_ops.")
    for part in ("'export'", "ReadFile: 'one'", "NoSuchOp: 'two'", "Not known to TensorFlow", "Pass allow_ops."):
        assert part in str(caught.value)
    with pytest.raises(LoadError) as caught:
        safety.check(made, (), ["NoSuchOp"], "The graph of 'export'", "Pass allow_ops.")
    assert "ReadFile" in str(caught.value) and "NoSuchOp" not in str(caught.value)
    assert "Not known" not in str(caught.value)
    assert safety.check(made, (), ["NoSuchOp", "ReadFile"], "", "") is None


@pytest.mark.parametrize(
    ("node", "fits"),
    [
        ('op: "Add" attr { key: "T" value { type: DT_FLOAT } }', True),
        ('op: "HashTableV2"', False),
        ('op: "Switch"', False),
        ('op: "Unique"', False),
        ('op: "Print"', False),
        ('op: "Identity" attr { key: "T" value { type: DT_STRING } }', False),
    ],
)
def test_xla_is_tried_where_nothing_speaks_against_it(node, fits):
    assert safety.supports_jit(_graph(f'node {{ name: "n" {node} }}')) is fits
    inner = f'library {{ function {{ signature {{ name: "f" }} node_def {{ name: "n" {node} }} }} }}'
    assert safety.supports_jit(_graph(inner)) is fits
