import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export_v1.errors import ExportError
from export_v1.graph import GraphDef
from export_v1.passes import prune
from tests import graphs


def _graph(edges: dict[str, list[str]]) -> GraphDef:
    graph_def = GraphDef()
    for name, inputs in edges.items():
        graph_def.node.add(name=name, op="AddN", input=inputs)
    return graph_def


def test_keeps_what_outputs_need_in_order_and_nothing_else():
    graph_def = _graph({"x": [], "w": [], "train": ["y"], "y": ["x", "w:1", "^init"], "init": [], "summary": ["x"]})
    assert graphs.names(prune.to_outputs(graph_def, ["y:0"])) == ["x", "w", "y", "init"]


def test_passes_through_a_cycle():
    graph_def = _graph({"enter": [], "merge": ["enter", "next"], "next": ["merge"], "exit": ["merge"]})
    assert len(prune.to_outputs(graph_def, ["exit"]).node) == 4


def test_drops_functions_that_no_kept_node_reaches():
    graph_def = _graph({"a": []})
    for name in ("used", "inner", "unused"):
        graph_def.library.function.add().signature.name = name
    graph_def.node[0].attr["f"].func.name = "used"
    graph_def.library.function[0].node_def.add(name="n", op="inner")
    kept = prune.to_outputs(graph_def, ["a"])
    assert [function.signature.name for function in kept.library.function] == ["used", "inner"]
    assert len(graph_def.library.function) == 3


def test_an_unknown_output_names_the_nearest():
    with pytest.raises(ExportError, match="'logit:0' is not in the graph.\n  Closest: 'logits:0'"):
        prune.to_outputs(_graph({"logits": [], "x": []}), ["logit:0"])


def test_a_dangling_edge_is_an_error_that_names_it():
    with pytest.raises(ExportError, match="'y' .AddN. reads 'gone:0'"):
        prune.to_outputs(_graph({"y": ["gone:0"]}), ["y"])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 14), max_size=3), min_size=1, max_size=15))
def test_pruning_twice_is_pruning_once(reads):
    graph_def = _graph({f"n{at}": [f"n{one}" for one in inputs if one < at] for at, inputs in enumerate(reads)})
    target = [f"n{len(reads) - 1}:0"]
    once = prune.to_outputs(graph_def, target)
    assert prune.to_outputs(once, target) == once
    assert set(graphs.names(once)) <= set(graphs.names(graph_def))
