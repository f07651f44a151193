import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from export_v1.errors import ExportError
from export_v1.ir.graph import GraphDef, Index
from export_v1.passes import prune
from tests.support import graphs


def _graph(edges: dict[str, list[str]]) -> GraphDef:
    graph_def = GraphDef()
    for name, inputs in edges.items():
        graph_def.node.add(name=name, op="AddN", input=inputs)
    return graph_def


def test_keeps_what_outputs_need_in_order_and_nothing_else():
    graph_def = _graph({"x": [], "w": [], "train": ["y"], "y": ["x", "w:1", "^init"], "init": [], "summary": ["x"]})
    assert graphs.names(prune.to_outputs(graph_def, ["y:0"]).graph_def) == ["x", "w", "y", "init"]


def test_passes_through_a_cycle():
    graph_def = _graph({"enter": [], "merge": ["enter", "next"], "next": ["merge"], "exit": ["merge"]})
    assert len(prune.to_outputs(graph_def, ["exit"]).graph_def.node) == 4


def test_drops_functions_that_no_kept_node_reaches():
    graph_def = _graph({"a": []})
    for name in ("used", "inner", "unused"):
        graph_def.library.function.add().signature.name = name
    graph_def.node[0].attr["f"].func.name = "used"
    graph_def.library.function[0].node_def.add(name="n", op="inner")
    kept = prune.to_outputs(graph_def, ["a"]).graph_def
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
    once = prune.to_outputs(graph_def, target).graph_def
    assert prune.to_outputs(once, target).graph_def == once
    want = tf.compat.v1.graph_util.extract_sub_graph(graph_def, [f"n{len(reads) - 1}"])
    assert list(once.node) == list(want.node)


def _library(*names: str) -> GraphDef:
    graph_def = _graph({"a": []})
    for name in names:
        graph_def.library.function.add().signature.name = name
    return graph_def


def _functions(graph_def: GraphDef) -> list[str]:
    return [function.signature.name for function in prune.to_outputs(graph_def, ["a"]).graph_def.library.function]


def test_functions_of_branches_stay():
    graph_def = _library("first", "second", "deep", "other")
    graph_def.node[0].attr["branches"].list.func.add(name="first")
    graph_def.node[0].attr["branches"].list.func.add(name="second")
    case = graph_def.library.function[1].node_def.add(name="n", op="Case")
    case.attr["branches"].list.func.add(name="deep")
    assert _functions(graph_def) == ["first", "second", "deep"]


def test_a_function_that_is_called_as_an_op_stays():
    graph_def = _library("f", "g")
    graph_def.node[0].op = "f"
    assert _functions(graph_def) == ["f"]


def test_functions_that_call_each_other_are_followed_once():
    graph_def = _library("f", "g")
    graph_def.node[0].op = "f"
    graph_def.library.function[0].node_def.add(name="n", op="g")
    graph_def.library.function[1].node_def.add(name="n", op="f")
    assert _functions(graph_def) == ["f", "g"]


def test_gradients_stay_where_both_functions_do():
    graph_def = _library("f", "grad", "gone")
    for name in ("f", "grad"):
        graph_def.node[0].attr[name].func.name = name
    for pair in (("f", "grad"), ("f", "gone"), ("gone", "grad")):
        graph_def.library.gradient.add(function_name=pair[0], gradient_func=pair[1])
    library = prune.to_outputs(graph_def, ["a"]).graph_def.library
    assert [(one.function_name, one.gradient_func) for one in library.gradient] == [("f", "grad")]
    assert len(graph_def.library.gradient) == 3


def test_a_gradient_that_a_node_asks_for_stays():
    graph_def = _library("f", "grad", "other")
    graph_def.node[0].op = "SymbolicGradient"
    graph_def.node[0].attr["f"].func.name = "f"
    for pair in (("f", "grad"), ("grad", "other")):
        graph_def.library.gradient.add(function_name=pair[0], gradient_func=pair[1])
    library = prune.to_outputs(graph_def, ["a"]).graph_def.library
    assert [function.signature.name for function in library.function] == ["f", "grad"]
    assert [(one.function_name, one.gradient_func) for one in library.gradient] == [("f", "grad")]


def test_versions_stay():
    graph_def = _graph({"a": []})
    graph_def.versions.producer = 24
    assert prune.to_outputs(graph_def, ["a"]).graph_def.versions.producer == 24


def test_what_no_output_needs_may_dangle():
    graph_def = _graph({"y": [], "unused": ["gone:0"]})
    assert graphs.names(prune.to_outputs(graph_def, ["y"]).graph_def) == ["y"]


def test_a_dangling_control_edge_is_an_error():
    with pytest.raises(ExportError, match="'y' .AddN. reads '.gone'"):
        prune.to_outputs(_graph({"y": ["^gone"]}), ["y"])


def test_every_output_is_looked_for():
    with pytest.raises(ExportError, match="'gone:1' is not in"):
        prune.to_outputs(_graph({"y": [], "x": []}), ["y:0", "gone:1"])
    assert graphs.names(prune.to_outputs(_graph({"x": [], "z": [], "y": []}), ["y:0", "x"]).graph_def) == ["x", "y"]


def test_what_is_needed_ends_at_what_is_fed():
    index = Index(_graph({"a": [], "b": ["a"], "two": ["b"], "y": ["two", "two:1", "^b"], "z": ["two:1", "^gone"]}))
    assert prune.needed(index, ["y:0"], []) == {"a", "b", "two", "y"}
    assert prune.needed(index, ["y"], ["two:0"]) == {"a", "b", "two", "y"}
    assert prune.needed(index, ["y"], ["two:0", "two:1"]) == {"a", "b", "y"}
    # Whoever waits for what is fed does not need what would have made it.
    assert prune.needed(index, ["y"], ["two:0", "two:1", "b:0"]) == {"y"}
    assert prune.needed(index, ["y", "a:0"], ["y:0"]) == {"a"}
    assert prune.needed(index, ["z"], ["two:1"]) == {"z"}
