"""kernels: what this machine cannot run is named before anything is run."""

import pytest
import tensorflow as tf

import export_v1
from export_v1.analysis import kernels
from tests.support.graphs import v1

INPUT = "--input=KEY=TENSOR"


def _add(where, name: str, op: str, **types) -> None:
    node = where.add(name=name, op=op)
    for key, value in types.items():
        node.attr[key].type = value.as_datatype_enum


def test_each_kind_of_a_node_is_asked_for():
    """One op of two types, of which one has a kernel, in either order."""
    for order in ((tf.float32, tf.string), (tf.string, tf.float32)):
        graph_def = v1.GraphDef()
        for dtype in order:
            _add(graph_def.node, f"n_{dtype.name}", "BiasAdd", T=dtype)
        with pytest.raises(export_v1.ExportError, match=f"(?s)BiasAdd of string.*'n_string'.*{INPUT}") as caught:
            kernels.check(graph_def)
        assert "n_float32" not in str(caught.value)


@pytest.mark.parametrize(
    ("op", "said"), [("NoSuchOp", "--op_library"), ("PyFunc", "--builder"), ("EagerPyFunc", "--builder")]
)
def test_functions_are_looked_into(op, said):
    graph_def = v1.GraphDef()
    _add(graph_def.node, "call", "inner")
    function = graph_def.library.function.add()
    function.signature.name = "inner"
    kernels.check(graph_def)
    _add(function.node_def, "deep", op)
    with pytest.raises(export_v1.ExportError, match=f"(?s){op}.*'deep'.*{said}"):
        kernels.check(graph_def)


def test_types_inside_functions_count():
    graph_def = v1.GraphDef()
    function = graph_def.library.function.add()
    function.signature.name = "inner"
    _add(function.node_def, "deep", "BiasAdd", T=tf.string)
    with pytest.raises(export_v1.ExportError, match="BiasAdd of string.*'deep'"):
        kernels.check(graph_def)


def test_all_that_is_unknown_is_named_with_its_places():
    graph_def = v1.GraphDef()
    for name, op in (("a", "OneOp"), ("b", "OneOp"), ("c", "OtherOp"), ("d", "NoOp")):
        _add(graph_def.node, name, op)
    with pytest.raises(export_v1.ExportError, match=r"2 of the ops.*OneOp \(2: 'a', 'b'\); OtherOp \(1: 'c'\)"):
        kernels.check(graph_def)


def test_a_default_is_a_type_and_a_reference_type_is_its_base():
    graph_def = v1.GraphDef()
    _add(graph_def.node, "stripped", "BiasAdd")
    graph_def.node[0].attr["T"].type = tf.float32.as_datatype_enum + 100
    _add(graph_def.node, "cast", "Cast", SrcT=tf.float32, DstT=tf.int32)
    kernels.check(graph_def)


def test_a_kernel_of_another_device_is_none(monkeypatch):
    graph_def = v1.GraphDef()
    _add(graph_def.node, "here", "CudnnRNN", T=tf.float32)
    monkeypatch.setattr(kernels, "_devices", lambda: {"CPU"})
    with pytest.raises(export_v1.ExportError, match="CudnnRNN for GPU only.*'here'"):
        kernels.check(graph_def)
    monkeypatch.setattr(kernels, "_devices", lambda: {"CPU", "GPU"})
    kernels.check(graph_def)


def test_an_op_whose_kernels_ask_for_what_it_no_longer_has_cannot_run():
    graph_def = v1.GraphDef()
    _add(graph_def.node, "top", "TopK", T=tf.float32)
    # Its kernels are those of TopKV2, and constrain a type that TopK does not have.
    with pytest.raises(export_v1.ExportError, match="TopK"):
        kernels.check(graph_def)


def test_a_constraint_on_something_else_than_a_type_is_no_reason():
    graph_def = v1.GraphDef()
    _add(graph_def.node, "rows", "GatherNd", Tparams=tf.float32, Tindices=tf.int32)
    kernels.check(graph_def)


def test_what_tensorflow_replaces_at_run_time_can_run():
    graph_def = v1.GraphDef()
    _add(graph_def.node, "total", "AccumulateNV2", T=tf.float32)
    kernels.check(graph_def)


def test_what_cannot_run_is_told_from_what_can():
    graph_def = v1.GraphDef()
    for name, op in (("trees", "GatherTree"), ("sum", "AddN"), ("rnn", "CudnnRNN")):
        _add(graph_def.node, name, op, T=tf.float32)
    assert [node.name for node in kernels.unrunnable(graph_def.node)] == ["trees", "rnn"]
