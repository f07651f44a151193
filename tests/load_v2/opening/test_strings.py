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
