"""listing: what --list prints of a graph, and of a part of it."""

import dataclasses

import tensorflow as tf

from export_v1 import interface
from export_v1.interface.listing import _slots
from export_v1.ir import rewrite
from export_v1.ir.graph import GraphDef, Index, Tensor
from tests.export_v1.interface.test_interface import load


@dataclasses.dataclass
class Variable:
    name: str
    dtype: tf.DType = tf.float32
    shape: tuple | None = (2, 2)
    trainable: bool = True


def test_variables_alike_but_for_numbers_share_a_line():
    rows = [Variable(f"layer_{at}/kernel") for at in range(12)] + [Variable("layer_3/bias", shape=(2,)), Variable("w")]
    lines = interface.listing(load("mlp_layers"), rows).splitlines()
    assert "    layer_*/kernel   float32 [2,2]; 12 of these" in lines
    assert "    layer_3/bias     float32 [2]" in lines and "    w                float32 [2,2]" in lines
    assert "  Variables (14):" in lines


def test_two_alike_are_listed_each():
    lines = interface.listing(load("mlp_layers"), [Variable("a_1"), Variable("a_2")]).splitlines()
    assert "    a_1   float32 [2,2]" in lines and "    a_2   float32 [2,2]" in lines


def test_what_optimizers_keep_is_only_counted():
    """Adam's slots, and its powers of beta, are read by its steps and nothing else; the step counter is the model's."""
    model = load("text_cnn")
    names = [node.name for node in model.graph_def.node if node.op in ("VariableV2", "VarHandleOp")]
    text = interface.listing(model, [Variable(name) for name in names])
    slots = [name for name in names if "Adam" in name or "beta" in name]
    assert slots and f"    {len(slots)} more are optimizer slots" in text
    assert not any(f"    {name} " in text for name in slots)
    assert "    global_step " in text and "    embedding/W " in text


def test_a_variable_that_is_the_gradient_of_another_is_no_slot():
    """The gradient of sum(a * b) by a is b itself."""
    graph_def = GraphDef(
        node=[
            rewrite.node("a", "VariableV2", dtype=tf.float32, shape=tf.TensorShape([2])),
            rewrite.node("b", "VariableV2", dtype=tf.float32, shape=tf.TensorShape([2])),
            rewrite.node("m", "VariableV2", dtype=tf.float32, shape=tf.TensorShape([2])),
            rewrite.constant("rate", 0.1, tf.float32),
            rewrite.node("step_a", "ApplyGradientDescent", [Tensor("a"), Tensor("rate"), Tensor("b")], T=tf.float32),
            rewrite.node(
                "step_b",
                "ApplyMomentum",
                [Tensor("b"), Tensor("m"), Tensor("rate"), Tensor("a"), Tensor("rate")],
                T=tf.float32,
            ),
        ]
    )
    assert _slots(Index(graph_def)) == {"m"}


def test_a_pattern_lists_every_tensor_and_variable_with_it_and_nothing_else():
    text = interface.listing(load("text_cnn"), [Variable("output/W/Adam"), Variable("embedding/W")], r"^output/\w")
    lines = text.splitlines()
    assert any(line.split()[:3] == ["--output=scores=output/scores:0", "float32", "[None,2];"] for line in lines)
    assert any("output/predictions:0" in line and " int64 [None]; ArgMax" in line for line in lines)
    assert "    output/W/Adam   float32 [2,2]" in lines and "  Variables (1):" in lines
    assert not any("--output" in line and "=output/" not in line for line in lines)
    assert "Without flags" not in text


def test_steps_inside_a_while_loop_are_not_offered():
    found = interface.candidates(load("lstm_dynamic_rnn"))
    assert not [one.tensor for one in found.outputs if "/while/" in one.tensor and "Exit" not in one.tensor]
