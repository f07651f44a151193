"""What is wrong is seen: each piece is compared with its piece of graph."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from load_v2.opening import cover, expressions, proof, rebuilding
from load_v2.opening.context import Context
from load_v2.opening.patterns import weighted
from tests.support.rebuilding import case, covered, numbers, placeholder


def _square_dense():
    x = placeholder("x", [None, 6])
    return {"x": x}, {"y": tf.matmul(x, numbers(6, 6)) + numbers(6)}


def _normalized():
    x = placeholder("x", [None, 6])
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return {"x": x}, {"y": tf.nn.batch_normalization(x, mean, variance, numbers(6), numbers(6, seed=2), 0.1)}


def _transposed_kernel(layer):
    layer.weights = (layer.weights[0].T, layer.weights[1])


def _other_epsilon(layer):
    layer.options = {**layer.options, "epsilon": 0.2}


@pytest.mark.parametrize(("build", "change"), [(_square_dense, _transposed_kernel), (_normalized, _other_epsilon)])
def test_a_changed_layer_fails_its_proof(build, change):
    built = case(build)
    pieces = covered(built).pieces
    inputs = {"x": numbers(3, 6)}
    assert proof.check(built.context, pieces, inputs) == {}
    for piece in pieces:
        if piece.layer is not None:
            change(piece.layer)
    assert len(proof.check(built.context, pieces, inputs)) == 1


def _context(path) -> tuple[Context, dict]:
    planned = rebuilding.plan(path)
    planned.context.start_anew()
    return planned.context, planned.sample.inputs


@pytest.mark.parametrize("places", [(0, 1), (1, 2), (2, 3)])
def test_two_gates_swapped_fail_their_proof(exported, places):
    context, inputs = _context(exported("lstm_dynamic_rnn"))
    pieces = cover.cover(context).pieces
    assert proof.check(context, pieces, inputs) == {}
    lstm = next(layer for layer in context.layers.values() if layer.kind == "LSTM")
    order = list(range(4))
    order[places[0]], order[places[1]] = order[places[1]], order[places[0]]
    lstm.weights = tuple(
        np.concatenate([np.split(value, 4, axis=-1)[at] for at in order], axis=-1) for value in lstm.weights
    )
    assert proof.check(context, pieces, inputs)


def _roots_of(least):
    """A loop over matrices that have a root, as those that are recorded do, and random ones do not."""

    def build():
        x, always = placeholder("x", [None, 8, 8]), tf.constant(least)
        root = lambda h: tf.linalg.cholesky(h @ tf.transpose(h, [0, 2, 1]) * 0.1 + h + always)  # noqa: E731
        return {"x": x}, {"y": tf.while_loop(lambda at, h: at < 2, lambda at, h: (at + 1, root(h)), [0, x])[1]}

    return build


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_what_random_numbers_have_no_answer_to_is_compared_by_recorded_ones(share):
    # Of what has a root, the weights hold one share and the data the rest: without either, there is none.
    whole = np.eye(8, dtype="float32") * 2 + 0.25 + np.abs(np.diag(numbers(8)))
    built = case(_roots_of(whole * share))
    pieces = covered(built).pieces
    inputs = {"x": np.tile(whole * (1.0 - share), (2, 1, 1))}
    assert proof.check(built.context, pieces, inputs) == {}
    loop = next(piece for piece in pieces if piece.rule == "loop")
    changed = dataclasses.replace(loop, code=expressions.Binary("*", loop.code, expressions.Literal(1.5)))
    assert "DIFFERENT" in next(iter(proof.check(built.context, [changed], inputs).values()))


def test_no_answer_is_no_proof():
    def build():
        x = placeholder("x", [None, 1])
        return {"x": x}, {"y": tf.acosh(x)}

    built = case(build)
    (piece,) = (piece for piece in covered(built).pieces if piece.rule == "Acosh")
    changed = dataclasses.replace(piece, code=expressions.Binary("*", piece.code, expressions.Literal(1.5)))
    # The random number has none, whatever it is multiplied by.
    assert proof.check(built.context, [piece], {"x": np.float32([[3.0]])}) == {}
    assert "DIFFERENT" in next(iter(proof.check(built.context, [changed], {"x": np.float32([[3.0]])}).values()))


def test_a_match_that_fails_gives_way(monkeypatch):
    built = case(_square_dense)
    real = proof.check

    def fails_layers(context, pieces, inputs):
        wrong = [piece for piece in pieces if piece.layer is not None]
        return {(piece.rule, piece.outputs[0]): "other" for piece in wrong} or real(context, pieces, inputs)

    monkeypatch.setattr(proof, "check", fails_layers)
    sample = dataclasses.make_dataclass("Sample", ["inputs"])({"x": numbers(3, 6)})
    result = rebuilding.proven(built.context, sample)
    assert all(piece.layer is None for piece in result.pieces)
    assert {miss.reason for miss in result.misses} == {"other"}


def test_a_pattern_that_fails_is_no_match(monkeypatch):
    def fails(self, context, tensor):
        raise AssertionError("unforeseen")

    monkeypatch.setattr(weighted.Weighted, "find", fails)
    result = cover.cover(case(_square_dense).context)
    assert not result.refusals and any("AssertionError: unforeseen" in miss.reason for miss in result.misses)


def test_what_an_error_of_keras_says_is_plain_text():
    error = ValueError("Exception in Dense.call().\n\n\x1b[1mShapes differ\x1b[0m\nArguments received:\n  x")
    assert proof.first_lines(error) == "Exception in Dense.call(). Shapes differ"
