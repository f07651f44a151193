"""request, report, errors, graph and rewrite: the small parts that everything else is made of."""

import json

import pytest
import tensorflow as tf

import export_v1
from export_v1 import errors
from export_v1.analysis import batch_norm
from export_v1.artifact import report
from export_v1.format import record
from export_v1.ir import graph, rewrite
from export_v1.ir.graph import Index, Tensor
from export_v1.planning import plan
from export_v1.request import Request
from tests.support import graphs
from tests.support.graphs import v1

# Which model, and flags that contradict each other.


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({"checkpoint": "c"}, "checkpoint"),
        ({"checkpoint": "c", "meta_graph": "m"}, "checkpoint"),
        ({"saved_model": "s"}, "saved_model"),
        ({"graph_def": "g", "unfreeze": True}, "graph_def"),
        ({"builder": "b", "checkpoint": "c"}, "builder"),
        ({"checkpoint": "c", "versioned": True, "no_sample": True}, "checkpoint"),
    ],
)
def test_the_kind_of_source_is_that_of_its_flag(flags, kind):
    assert Request(**flags).source_kind == kind


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, "--checkpoint=…"),
        ({"builder": "b"}, "--checkpoint=PREFIX"),
        ({"checkpoint": "c", "saved_model": "s"}, "--saved_model and --checkpoint are given"),
        ({"graph_def": "g", "saved_model": "s"}, "Remove all but one"),
        ({"builder": "b", "checkpoint": "c", "graph_def": "g"}, "--graph_def and --builder and --checkpoint"),
        ({"saved_model": "s", "meta_graph": "m"}, "not with --saved_model"),
        ({"builder": "b", "checkpoint": "c", "meta_graph": "m"}, "--meta_graph goes with"),
        ({"saved_model": "s", "unfreeze": True}, "--unfreeze goes with --graph_def"),
        ({"checkpoint": "c", "sample": "f", "no_sample": True}, "--sample and --no_sample"),
        ({"checkpoint": "c", "require_proof": True, "no_sample": True}, "--require_proof and --no_sample"),
        ({"checkpoint": "c", "versioned": True, "overwrite": True}, "--versioned and --overwrite"),
        (
            {"checkpoint": "c", "optimize": True, "resume": True},
            "--optimize and --resume .*\n  Remove one of them, or exp",
        ),
        ({"checkpoint": "c", "optimize": True, "train_freeze": {"t:0": True}}, "--optimize and --train_freeze exclude"),
        ({"graph_def": "g", "optimize": True, "unfreeze": True}, "--optimize and --unfreeze exclude"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags, said):
    with pytest.raises(export_v1.ExportError, match=said):
        _ = Request(**flags).source_kind


def test_an_argument_that_is_not_there_is_a_type_error():
    with pytest.raises(TypeError, match="no_such"):
        export_v1.export(export_dir="e", no_such=1)


# The report.

RECORD = {
    "format_version": 1,
    "source": {"kind": "checkpoint", "path": "model.ckpt"},
    "nodes": {"original": 9, "kept": 5, "dropped": 4, "folded": 2},
    "signatures": {
        "serving_default": {
            "inputs": {"x": {"tensor": "x:0", "dtype": "float32", "shape": [8, None], "relaxed_shape": [None, None]}},
            "outputs": {"y": {"tensor": "y:0", "dtype": "int64", "shape": None}, "z": {"dtype": "bool", "shape": []}},
        }
    },
    "variables": [{"name": name, "trainable": name != "b"} for name in "abc"],
    "converted": {"loops": 2, "conditions": 0},
    "unconverted": [{"construct": "loop a", "why": "it has a reason"}],
    "choices": [{"what": "x is the input", "why": "only one"}],
    "warnings": ["variable 'w' holds NaN"],
    "outputs": ["y", "z", "noise"],
    "sample": {"origin": "given", "unstable": ["noise"], "ranks": {}, "sets": ["flag = true"]},
    "sample_left_out": None,
    "proof": {"verdict": "equal", "not_proven": {"noise": "it is random"}, "not_asked": ["flag = false: no"]},
}


X = {"tensor": "x:0", "dtype": "int32", "shape": [None, 3]}


def _report(tmp_path, changes=()) -> report.Report:
    (tmp_path / "record.json").write_text(json.dumps({**RECORD, **dict(changes)}))
    return report.Report("e/1", record.read(str(tmp_path / "record.json"), errors.ExportError))


def test_the_report_says_everything_that_was_done(tmp_path):
    said = _report(tmp_path).text()
    for line in (
        "e/1: exported from checkpoint model.ckpt",
        "signature serving_default: x float32 [None, None] -> y int64 of any rank, z bool []",
        "variables: 3, 2 of them trainable",
        "nodes: 5 of 9 kept, 2 folded away",
        "made functional: 2 loops",
        "left as it was: loop a: it has a reason",
        "chosen: x is the input (only one)",
        "warning: variable 'w' holds NaN",
        "  proof: equal: y, z; compared on given inputs, flag = true",
        "    not proven: output 'noise': it is random",
        "    not proven: signature 'serving_default': only serving_default is compared",
        "    not compared on flag = false: no",
    ):
        assert line in said, line
    assert "conditions" not in said and "warm-up" not in said and "not proven: all" not in said


@pytest.mark.parametrize(
    ("changes", "said", "unsaid"),
    [
        (
            {"sample": None, "proof": {"verdict": "not proven", "why": "--no_sample skipped it"}},
            "no_sample skipped it",
            "npz",
        ),
        ({"sample": None, "proof": {"verdict": "not proven", "why": "200 MiB"}}, "not proven: 200 MiB\n", "equal"),
        ({"sample": None, "proof": {"verdict": "not proven"}, "inputs": {"x": X}}, 'x=np.zeros([1, 3], "int32")', "?"),
        ({"sample": None, "proof": {"verdict": "not proven"}, "inputs": {"x": X}}, "--input=x=x:0[None,3]  int32", "?"),
        (
            {
                "proof": {
                    "verdict": "not proven",
                    "why": "all vary",
                    "not_proven": dict.fromkeys(["y", "z", "noise"], "r"),
                }
            },
            "  proof: not proven: all vary\n",
            "equal",
        ),
        ({"proof": {"verdict": "equal"}}, "equal: the export answers as the original does", "not proven: output"),
        ({"warmup": [1, 8]}, "warm-up requests: of 1, 8 rows", "in all"),
        ({"warmup": list(range(1, 10))}, "7, 8, … (9 in all) rows", "9 rows"),
    ],
)
def test_the_report_says_what_became_of_sample_and_warm_up(changes, said, unsaid, tmp_path):
    text = _report(tmp_path, changes).text()
    assert said in text and unsaid not in text


def test_a_tensor_is_described_by_its_base_type():
    reference = tf.float32.as_datatype_enum + 100
    assert plan._entry("w:0", reference, [None, 2]) == record.TensorEntry("w:0", "float32", [None, 2])
    assert plan._entry("w:0", reference, None).shape is None


# Messages.


def test_names_are_sorted_and_at_most_ten():
    assert errors.quoted(["b", "a"]) == "'a', 'b'" and errors.quoted([]) == ""
    assert errors.quoted(map(str, range(10))).count("'") == 20 and "…" not in errors.quoted(map(str, range(10)))
    assert errors.quoted(map(str, range(11))).endswith("'8', …") or errors.quoted(map(str, range(11))).endswith(
        "'9', …"
    )


def test_the_closest_names_are_alike_or_end_alike():
    assert errors.closest("logit:0", ["logits:0", "loss:0", "x:0"])[0] == "logits:0"
    assert errors.closest("kernel", ["a_long_scope_of_another_name/Kernel", "bias"]) == [
        "a_long_scope_of_another_name/Kernel"
    ]
    assert errors.closest("dense/kernel", ["q/kernel", "dense/kernels"]) == ["dense/kernels", "q/kernel"]
    assert len(errors.closest("w1", [f"w{at}" for at in range(20)])) == 3 and errors.closest("q", ["long"]) == []


def test_an_unknown_name_comes_with_what_there_is():
    said = str(errors.unknown("Output", "logit:0", "graph g", ["loss:0", "logits:0", "logits:0"], "Pass this."))
    assert said.startswith("Output 'logit:0' is not in graph g.") and said.endswith("Pass this.")
    assert "Known (2): 'logits:0', 'loss:0'" in said and "Closest: 'logits:0'" in said
    assert "There are none" in str(errors.unknown("Output", "y", "graph g", []))


# Graphs taken apart and put together.


def _diamond() -> v1.GraphDef:
    graph_def = v1.GraphDef()
    for name, op, *inputs in (
        ("a", "Placeholder"),
        ("b", "Split", "axis", "a"),
        ("c", "Neg", "b:1", "^late"),
        ("late", "NoOp"),
        ("d", "AddV2", "c", "b"),
        ("e", "Neg", "b:1"),
    ):
        graph_def.node.add(name=name, op=op, input=inputs)
    return graph_def


def test_edges_are_taken_apart_and_written_again():
    for edge, tensor in (
        ("a", Tensor("a", 0)),
        ("a:1", Tensor("a", 1)),
        ("^a", Tensor("a", -1)),
        ("a:b", Tensor("a:b", 0)),
    ):
        assert graph.parse(edge) == tensor and tensor.edge == edge
    assert graph.parse("a:0").edge == "a" and graph.parse("a").name == "a:0"
    node = _diamond().node[2]
    assert graph.data_inputs(node) == [Tensor("b", 1)] and graph.control_inputs(node) == ["late"]


def test_what_depends_on_what():
    index = Index(_diamond())
    assert index.ancestors(["c"]) == {"a", "b", "c", "late"} and index.ancestors(["d"], stop=["b", "c"]) == {
        "b",
        "c",
        "d",
    }
    assert index.descendants(["late"]) == {"late", "c", "d"} and index.descendants(["e"]) == {"e"}
    assert [(node.name, at) for node, at in index.consumers("b")] == [("c", 0), ("d", 1), ("e", 0)]
    assert [(node.name, at) for node, at in index.tensor_consumers(Tensor("b", 1))] == [("c", 0), ("e", 0)]
    assert [(node.name, at) for node, at in index.consumers("late")] == [("c", 1)]
    assert index.tensor_consumers(Tensor("late")) == [] and "a" in index and "z" not in index


def test_types_of_inputs_and_outputs_come_from_the_registration():
    node = rewrite.node("s", "Switch", T=tf.float32)
    assert graph.output_types(node) == [tf.float32.as_datatype_enum] * 2
    assert graph.input_types(node) == [tf.float32.as_datatype_enum, tf.bool.as_datatype_enum]
    assert graph.ref_inputs(rewrite.node("a", "Assign", T=tf.float32)) == [True, False]
    assert graph.ref_outputs(rewrite.node("v", "VariableV2", dtype=tf.float32)) == [True]
    split = rewrite.node("s", "Split", T=tf.int32, num_split=3)
    assert graph.output_types(split) == [tf.int32.as_datatype_enum] * 3
    assert Index(rewrite.with_nodes(v1.GraphDef(), [split])).data_type(Tensor("s", 3)) is None
    assert graph.output_types(rewrite.node("n", "NoSuchOp")) == []
    damaged = rewrite.node("s", "Split", T=tf.int32, num_split=10**9)
    assert len(graph.output_types(damaged)) == graph.MOST_ENDS
    # An attribute at its default may be missing.
    assert graph.output_types(v1.GraphDef().node.add(name="n", op="ArgMax")) == [tf.int64.as_datatype_enum]


def test_an_attribute_that_is_asked_for_is_not_added():
    node = v1.GraphDef().node.add(name="n", op="MatMul")
    assert graph.attr(node, "transpose_a").b is False and graph.attr(node, "gone").WhichOneof("value") is None
    assert graph.attr(v1.GraphDef().node.add(name="n", op="MaxPool"), "data_format").s == b"NHWC"
    assert not node.attr


@pytest.mark.parametrize(
    ("op", "shape", "recorded", "expected"),
    [
        ("Placeholder", [2, -1], None, [2, None]),
        ("Placeholder", [2, -1], [3, 4], [3, 4]),
        ("Placeholder", [], None, []),
        ("Placeholder", [], "unknown", None),
        ("Placeholder", "unknown", None, None),
        ("MatMul", [2], None, None),
        ("MatMul", None, [3, -1], [3, None]),
        ("VariableV2", [5], None, [5]),
    ],
)
def test_shapes_are_what_tensorflow_1_recorded(op, shape, recorded, expected):
    node = v1.GraphDef().node.add(name="n", op=op)
    for proto, sizes in (
        (node.attr["shape"].shape if shape is not None else None, shape),
        (node.attr["_output_shapes"].list.shape.add() if recorded is not None else None, recorded),
    ):
        if sizes == "unknown":
            proto.unknown_rank = True
        for size in sizes if isinstance(sizes, list) else ():
            proto.dim.add(size=size)
    assert graph.recorded_shape(node, 0) == expected and graph.recorded_shape(node, 1) is None


def test_a_fresh_name_is_taken_at_once():
    taken = {"a", "a_1"}
    assert [graph.fresh_name("a", taken), graph.fresh_name("a", taken), graph.fresh_name("b", taken)] == [
        "a_2",
        "a_3",
        "b",
    ]


def test_a_rewired_node_keeps_the_order_of_its_inputs_and_waits_once():
    node = v1.GraphDef().node.add(name="n", op="AddV2", input=["a", "b:1", "^c", "^d", "^e"])
    made = rewrite.rewired(node, {Tensor("b", 1): Tensor("z", 2)}, {"c": "x", "d": "x", "e": ""})
    assert list(made.input) == ["a", "z:2", "^x"] and list(node.input) == ["a", "b:1", "^c", "^d", "^e"]
    assert list(rewrite.rewired(node, lambda tensor: None).input) == list(node.input)


def test_a_replaced_node_hands_its_readers_and_waiters_over():
    old = _diamond()
    old.library.function.add().signature.name = "f"
    index, moved = rewrite.replace_tensors(
        Index(old), {Tensor("b", 1): rewrite.node("new", "Const"), Tensor("late"): rewrite.node("late", "Const")}
    )
    made = index.graph_def
    inputs = {node.name: list(node.input) for node in made.node}
    assert inputs["c"] == ["new", "^late"] and inputs["e"] == ["new"] and inputs["d"] == ["c", "b"]
    assert moved == {Tensor("b", 1): Tensor("new"), Tensor("late"): Tensor("late")}
    assert graphs.names(made).count("late") == 1 and made.library.function[0].signature.name == "f"


def test_attributes_are_of_the_kind_that_they_come_as():
    made = rewrite.node("n", "Op", [Tensor("a", 1)], i=3, b=True, t=tf.int32, s="x", z=b"y", shape=tf.TensorShape([2]))
    kinds = {key: value.WhichOneof("value") for key, value in made.attr.items()}
    assert kinds == {"i": "i", "b": "b", "t": "type", "s": "s", "z": "s", "shape": "shape"}
    assert list(made.input) == ["a:1"]
    with pytest.raises(TypeError, match="attr f"):
        rewrite.node("n", "Op", f=1.5)
    assert tf.make_ndarray(rewrite.constant("c", b"x", tf.string).attr["value"].tensor).item() == b"x"


# Statistics of a batch norm that is written out.


def test_a_written_out_batch_norm_shows_which_constants_are_its_statistics():
    with graphs.tensorflow_1() as built:
        x = v1.placeholder(tf.float32, [None, 3], "x")
        names = ("mean", "variance", "gamma", "beta")
        mean, variance, gamma, beta = (tf.identity(tf.constant([1.0, 2.0, 3.0], name=name)) for name in names)
        scale = tf.math.rsqrt(variance + 1e-3) * gamma
        tf.identity(x * scale + (beta - mean * scale), name="y")
        tf.sqrt(x * tf.constant([4.0, 5.0, 6.0], name="factor"))
    assert batch_norm.moving(Index(built.as_graph_def()), {*names, "factor"}) == {"mean", "variance"}
