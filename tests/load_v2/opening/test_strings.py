"""Graphs with strings, tables and files: a model of numbers between what stays outside."""

import numpy as np
import pytest
import tensorflow as tf

from load_v2.errors import LoadError
from load_v2.opening import rebuilding, strings
from load_v2.program import artefact, program
from tests.support import cases

SPLIT = ("lookup_vocab", "parse_example", "rebuild_sounds")


@pytest.mark.parametrize("name", SPLIT)
def test_three_parts_in_a_row_answer_as_tensorflow_1_did(name, exported):
    case = cases.load(name)
    rebuilt = rebuilding.rebuild(exported(name), backends=["tensorflow"])
    known = {key: np.asarray(value) for key, value in case.oracle("in").items()}
    assert rebuilt.front is not None
    for part in filter(None, (rebuilt.front, rebuilt.model, rebuilt.back)):
        inputs = part.input_specs if part is not rebuilt.model else rebuilt.plan.context.graph.inputs
        outputs = part.output_specs if part is not rebuilt.model else rebuilt.plan.context.graph.outputs
        given = part({key: known[key] for key in inputs})
        known.update(given if isinstance(given, dict) else {next(iter(outputs)): given})
    cases.assert_equal({key: known[key] for key in case.config["outputs"]}, case.oracle("out"))
    assert all(spec.dtype != "string" for spec in rebuilt.plan.taken.source.signatures["core"].inputs.values())
    assert "keras.ops" not in rebuilt.source and rebuilt.report.proofs["tensorflow"]
    assert any("front" in note for note in rebuilt.report.notes)


def _split(tmp_path, function, *specs):
    folder = str(tmp_path / "saved")
    module = tf.Module()
    tf.saved_model.save(module, folder, {"serving_default": tf.function(function, input_signature=specs)})
    return strings.split(program.take(artefact.read(folder), "serving_default"))


STRINGS, NUMBERS = tf.TensorSpec([None, 2], tf.string, "s"), tf.TensorSpec([None, 2], tf.float32, "x")


def test_numbers_alone_are_not_split(tmp_path):
    assert _split(tmp_path, lambda x: {"y": x + 1.0}, NUMBERS) is None


def test_what_becomes_strings_and_numbers_again_is_not_split(tmp_path):
    assert _split(tmp_path, lambda x: {"y": tf.strings.to_number(tf.strings.as_string(x + 1.0)) * 2.0}, NUMBERS) is None


def test_whole_numbers_made_of_strings_alone_are_made_before_the_model(tmp_path):
    def function(s, x):
        ids = tf.strings.to_hash_bucket_fast(s, 7) + 1
        return {"y": tf.cast(ids, tf.float32) * x, "ids": ids, "again": tf.strings.as_string(x * 2.0) + s}

    parts = _split(tmp_path, function, STRINGS, NUMBERS)
    assert list(strings.signature_of(parts.core).inputs) == ["ids", "x"]
    assert set(strings.signature_of(parts.back).outputs) == {"again"}
    given = {"s": np.array([["a", "b"]]), "x": np.array([[0.5, 2.0]], "float32")}
    known = dict(given)
    for part in (parts.front, parts.core, parts.back):
        known.update(strings.answered(part, known))
    want = function(**{key: tf.constant(value) for key, value in given.items()})
    assert {key: known[key].tolist() for key in want} == {key: value.numpy().tolist() for key, value in want.items()}


def test_parts_that_give_other_answers_are_told(tmp_path, exported):
    planned = rebuilding.plan(exported("lookup_vocab"))
    path = exported("lookup_vocab")
    sample = rebuilding._sample(str(path), program.take(artefact.read(path), "serving_default"))
    sample.outputs["label"] = sample.outputs["label"][::-1].copy()
    sample.outputs["label"][0] = b"another"
    with pytest.raises(LoadError, match="in parts"):
        planned.parts.sample(sample)


FRAMES, COUNTS = tf.TensorSpec([None, 6, 3], tf.float32, "x"), tf.TensorSpec([None], tf.int32, "n")


def _saved(tmp_path, function, *specs):
    """Returns the folder of a model whose function reads a kernel, and a batch for it with the answers."""
    folder, module = str(tmp_path / "saved"), tf.Module()
    module.kernel = tf.Variable(np.random.default_rng(3).normal(size=(3, 5)).astype("float32"), name="kernel")
    traced = tf.function(lambda *given: function(module.kernel, *given), input_signature=specs)
    tf.saved_model.save(module, folder, {"serving_default": traced})
    given = {"x": np.random.default_rng(4).normal(size=(2, 6, 3)).astype("float32"), "n": np.int32([6, 4])}
    given = {spec.name: given[spec.name] for spec in specs}
    return folder, given, traced(*map(tf.constant, given.values()))


def _in_a_row(plan, given):
    """Returns what a model and what is behind it give."""
    model = rebuilding.execute(plan.source)
    rebuilding.fill(model, plan.layers)
    outputs = model({key: given[key] for key in plan.context.graph.inputs})
    outputs = outputs if isinstance(outputs, dict) else {next(iter(plan.context.graph.outputs)): outputs}
    known = {**given, **{key: np.asarray(value) for key, value in outputs.items()}}
    return outputs, {**known, **strings.answered(plan.parts.back, known)}


@pytest.mark.parametrize("beams", [0, 4])
def test_what_a_decoder_finds_is_left_behind_the_model(beams, tmp_path):
    """Its paths are as long as the longest one, which no backend but TensorFlow has in a model."""

    def function(kernel, x, n):
        scores = tf.transpose(x @ kernel, [1, 0, 2])
        if beams:
            found, likely = tf.nn.ctc_beam_search_decoder(scores, n, beams, 2)
        else:
            found, likely = tf.nn.ctc_greedy_decoder(scores, n)
        path = found[-1]
        return {"at": path.indices, "path": path.values, "dense": tf.sparse.to_dense(path, -1), "likely": likely}

    folder, given, want = _saved(tmp_path, function, FRAMES, COUNTS)
    plan = rebuilding.plan(folder)
    outputs, known = _in_a_row(plan, given)
    assert [layer.kind for layer in plan.layers] == ["Dense"] and set(
        strings.signature_of(plan.parts.back).outputs
    ) == {*want}
    for key in want:
        np.testing.assert_allclose(known[key], want[key], rtol=1e-5, err_msg=key)
    assert any("`back`" in note and "'path'" in note and list(outputs)[0] in note for note in plan.notes)
    assert not plan.parts.drawn


@pytest.mark.parametrize("way", ["for each image", "where there are any"])
def test_what_is_found_in_a_loop_or_a_condition_is_left_behind_with_it(way, tmp_path):
    def function(kernel, x):
        scores = tf.sigmoid(tf.matmul(x, kernel)[..., 0])
        boxes = tf.concat([x[..., :2], x[..., :2] + 1.0], 2)

        def found(given):
            places = tf.image.non_max_suppression(given[0], given[1], 4)
            return tf.pad(places, [[0, 4 - tf.shape(places)[0]]], constant_values=-1)

        if way == "for each image":
            kept = tf.map_fn(found, (boxes, scores), fn_output_signature="int32")
        else:
            kept = tf.cond(
                tf.shape(x)[0] > 1, lambda: found((boxes[1], scores[1])), lambda: found((boxes[0], scores[0]))
            )
        return {"boxes": boxes, "scores": scores, "kept": kept}

    folder, given, want = _saved(tmp_path, function, FRAMES)
    plan = rebuilding.plan(folder)
    _, known = _in_a_row(plan, given)
    assert [layer.kind for layer in plan.layers if layer.weights] == ["Dense"] and plan.parts.front is None
    assert set(strings.signature_of(plan.parts.back).outputs) == {"kept"}
    for key in want:
        np.testing.assert_allclose(known[key], want[key], rtol=1e-5, err_msg=key)


def _with_a_draw(kernel, x):
    scores = tf.reduce_sum(x, 1) @ kernel
    rows = tf.stack([tf.shape(scores)[0], 2])
    return {
        "scores": scores,
        "filled": tf.fill(rows, 3.0),
        "drawn": tf.random.uniform(rows) + tf.cast(tf.random.categorical(scores, 2), "float32"),
    }


def test_what_is_drawn_is_left_behind_the_model(tmp_path):
    folder, given, want = _saved(tmp_path, _with_a_draw, FRAMES)
    plan = rebuilding.plan(folder)
    _, known = _in_a_row(plan, given)
    np.testing.assert_allclose(known["scores"], want["scores"], rtol=1e-5)
    np.testing.assert_array_equal(known["filled"], want["filled"])
    assert known["drawn"].shape == (2, 2) and "drawn" not in strings.signature_of(plan.parts.core).outputs
    assert list(plan.parts.drawn) == ["drawn"]
    assert any("output 'drawn' is random" in note and "compared with nothing" in note for note in plan.notes)


@pytest.mark.parametrize("what", ["each output", "weights behind it"])
def test_a_model_that_draws_in_its_middle_is_refused(what, tmp_path):
    def function(kernel, x):
        noisy = tf.reduce_sum(x, 1) + tf.random.normal([3])
        return {"y": noisy @ kernel, "x2": x * 2.0} if what == "weights behind it" else {"y": noisy * 2.0}

    folder, *_ = _saved(tmp_path, function, FRAMES)
    with pytest.raises(LoadError, match="draws random numbers"):
        rebuilding.plan(folder)


def test_large_constants_behind_a_draw_are_weights(tmp_path):
    """A frozen graph has no variables."""

    def function(kernel, x):
        y = x @ tf.constant(np.ones((3, 4), "float32")) + tf.random.normal([4])
        return {"y": y @ tf.constant(np.ones((4, 5), "float32")), "x2": x @ kernel}

    folder, *_ = _saved(tmp_path, function, FRAMES)
    with pytest.raises(LoadError, match="draws random numbers"):
        rebuilding.plan(folder)
