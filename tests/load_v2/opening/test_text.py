"""Expressions as text: no line is too long, and the lines say what one line would."""

import ast
import random

import numpy as np
import pytest

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions, text
from load_v2.opening.expressions import Binary, Expression, Item, LayerCall, Literal, Negative, Operand, Sequence, Slice
from load_v2.opening.layers import Layer


class _Names(dict):
    """Each tensor is called as its node is."""

    def __missing__(self, tensor):
        return tensor.node


def _name(draw: random.Random) -> str:
    return f"x{''.join(draw.choices('abc_', k=draw.randint(1, 30)))}x"


def _value(draw: random.Random):
    return draw.choice([draw.randint(-99, 10**6), True, 0.5, (1, 22, 333), _name(draw)])


def _layer_call(draw: random.Random, inner) -> LayerCall:
    arguments = tuple(_value(draw) for _ in range(draw.randint(0, 3)))
    options = {_name(draw): _value(draw) for _ in range(draw.randint(0, 6))}
    layer = Layer("Conv2D", "", arguments, options, name=_name(draw))
    given = tuple(Operand(Tensor(_name(draw))) for _ in range(draw.randint(1, 20)))
    return LayerCall(layer, given, tuple((_name(draw), inner()) for _ in range(draw.randint(0, 2))))


def _expression(draw: random.Random, depth: int) -> Expression:
    def inner() -> Expression:
        return _expression(draw, depth - 1)

    def several() -> tuple[Expression, ...]:
        return tuple(inner() for _ in range(draw.randint(2, 8)))

    leaves = [lambda: Operand(Tensor(_name(draw))), lambda: Literal(_value(draw))]
    larger = [
        lambda: expressions.call(f"ops.{_name(draw)}", *several()),
        lambda: Binary(draw.choice(["+", "-", "*", "/", "**", "<"]), inner(), inner()),
        lambda: Sequence(several(), draw.random() < 0.5),
        lambda: Negative(inner()),
        lambda: Item(inner(), (Slice(None, None, -1), Literal(3))),
        lambda: _layer_call(draw, inner),
    ]
    return draw.choice([*leaves, *larger] if depth else leaves)()


@pytest.mark.parametrize("seed", range(8))
def test_statements_fit_their_lines_and_say_what_one_line_does(seed):
    draw, names = random.Random(seed), _Names()
    for _ in range(60):
        prefix, code = f"{_name(draw)} = ", _expression(draw, draw.randint(1, 4))
        written = text.statement(prefix, code, names)
        assert max(map(len, written.splitlines())) <= text.WIDTH, written
        assert ast.dump(ast.parse(written.strip())) == ast.dump(ast.parse(prefix + text.flat(code, names))), written


@pytest.mark.parametrize("left", [True, False])
def test_a_long_power_of_a_power_keeps_its_side(left):
    long = [Operand(Tensor(letter * 50)) for letter in "abc"]
    code = (
        Binary("**", Binary("**", long[0], long[1]), long[2])
        if left
        else Binary("**", long[0], Binary("**", *long[1:]))
    )
    written = text.statement("y = ", code, _Names())
    assert max(map(len, written.splitlines())) <= text.WIDTH
    assert ast.dump(ast.parse(written.strip())) == ast.dump(ast.parse("y = " + text.flat(code, _Names())))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.tri(8, dtype="float32"), 'np.tri(8, 8, dtype="float32")'),
        (np.tri(6, 6, -1, dtype=bool), 'np.tri(6, 6, -1, dtype="bool")'),
        (~np.tri(5, 7, 3, dtype=bool)[None], "np.reshape(np.where(np.tri(5, 7, 3), False, True), (1, 5, 7))"),
        (np.float32(-1e9) * np.triu(np.ones([5, 5], "float32"), 1), None),
        (np.where(np.tri(5, 9, 4), np.int32(3), np.int32(7)), "np.where(np.tri(5, 9, 4), np.int32(3), np.int32(7))"),
        (np.float32([[2.0] * 5] * 5) - np.eye(5, dtype="float32"), ""),
        (np.where(np.tri(5), 1.0, 0.0) + np.eye(5)[::-1], ""),
        (np.tri(5).astype("complex64"), ""),
    ],
)
def test_a_mask_of_later_steps_is_said_in_words(values, said):
    assert expressions.is_literal(values) == (said != "")
    if said != "":
        code = text.flat(expressions.array(values), {})
        assert said in (code, None)
        have = eval(code, {"np": np})
        assert (have.dtype, have.shape, have.tobytes()) == (values.dtype, values.shape, values.tobytes())
