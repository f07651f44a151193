"""Whole exports of golden cases, rebuilt."""

import ast
import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2.errors import LoadError
from load_v2.opening import backends, rebuilding, strings
from tests.support import cases

# Case -> classes of layers that the model must have; a table that a decoder reads inside its loop, too, is a `Parameter`.
GOLDEN = {
    "mlp_layers": {"Dense": 2},
    "bert_tiny": {"Dense": 13, "LayerNormalization": 5, "Embedding": 2},
    "convnet_bn_dropout": {"Conv2D": 2, "BatchNormalization": 2, "Dense": 1},
    "slim_contrib_net": {"Conv2D": 2, "SeparableConv2D": 1, "BatchNormalization": 2, "Dense": 1},
    "lstm_dynamic_rnn": {"LSTM": 1, "GRU": 1, "Dense": 1},
    "port_cudnn": {"LSTM": 2, "GRU": 1},
    "port_lstm_cells": {"Bidirectional": 1, "LSTM": 1, "GRU": 1},
    "partitioned_embedding": {"Embedding": 1},
    "seq2seq_greedy": {},
    "flow_scan_map_cond": {},
    "flow_decoder_stops_early": {},
    "contrib_beam_attention": {"Dense": 5, "Embedding": 1},
    "contrib_beam_search": {"Dense": 3, "Embedding": 1},
    "contrib_block_cells": {"Dense": 4, "GRU": 1},
    "contrib_block_cells_unrolled": {"Dense": 4},
    "rebuild_both_ways": {"Bidirectional": 2, "LSTM": None, "Dense": 1},
    "rebuild_masked": {"Embedding": 1, "LSTM": 1, "Bidirectional": 1, "Dense": 1},
    "rebuild_tf_keras": {"Bidirectional": 2, "LSTM": None, "GRU": None, "Dense": 1},
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_case_answers_as_tensorflow_1_did(name, exported):
    planned = rebuilding.plan(exported(name))
    keras.backend.clear_session()
    model = rebuilding.execute(planned.source)
    rebuilding.fill(model, planned.layers)
    case = cases.load(name)
    got = model({key: case.oracle("in")[key] for key in planned.context.graph.inputs}, training=False)
    got = got if isinstance(got, dict) else {next(iter(case.config["outputs"])): got}
    cases.assert_equal(got, case.oracle("out"))
    report = rebuilding.report(planned)
    assert {kind: report.layers.get(kind) for kind in GOLDEN[name]} == GOLDEN[name]
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(planned.source))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported <= {"keras", "numpy"}
    assert all(len(line) <= 120 for line in planned.source.splitlines())


def test_sequences_of_the_same_lengths_have_one_mask(exported):
    source = rebuilding.plan(exported("rebuild_both_ways")).source
    assert source.count("SequenceMask()") == 1 and "mask=mask" in source


def test_fine_tuning_is_that_of_the_original(exported):
    case = cases.load("convnet_bn_finetune")
    rebuilt = rebuilding.rebuild(exported("convnet_bn_finetune"), backends=())
    tuned = case.oracle("finetune")
    rebuilt.model.compile(keras.optimizers.SGD(case.config["finetune"]["learning_rate"]), "mse")
    losses = []
    for _ in range(case.config["finetune"]["steps"]):
        rebuilt.model.reset_metrics()
        losses.append(float(np.ravel(rebuilt.model.train_on_batch(case.oracle("in"), tuned["target"]))[0]))
    np.testing.assert_allclose(losses, tuned["losses"], rtol=2e-4)
    assert "momentum=0.8" in rebuilt.source


def test_code_and_weights_run_without_this_project(exported, tmp_path):
    rebuilt = rebuilding.rebuild(exported("lstm_dynamic_rnn"), backends=["tensorflow"])
    assert rebuilt.report.proofs["tensorflow"] and rebuilt.report.share == 1
    code, weights = str(tmp_path / "model.py"), str(tmp_path / "model.weights.h5")
    rebuilding.write(rebuilt.source, rebuilt.model, code, weights)
    case = cases.load("lstm_dynamic_rnn")
    np.savez(tmp_path / "in.npz", **case.oracle("in"))
    script = (
        "import runpy, sys, numpy as np\n"
        "sys.modules.update(load_v2=None, export_v1=None)\n"
        "model = runpy.run_path('model.py')['build']()\nmodel.load_weights('model.weights.h5')\n"
        "given = np.load('in.npz')\nprint('ANSWER', np.asarray(model(dict(given))['score']).tolist())\n"
    )
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    answer = [line for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    assert answer, done.stderr
    cases.assert_equal({"score": np.float32(json.loads(answer[0][7:]))}, {"score": case.oracle()["score"]})


def test_other_sizes_of_the_batch_are_tried(exported):
    planned = rebuilding.plan(exported("mlp_layers"))
    batches, notes = rebuilding.batches(planned)
    size = len(planned.sample.inputs["x"])
    assert [len(batch["x"]) for batch, _ in batches] == [size, 1, size + 2] and not notes
    # No row comes twice: what sorts by rows that tie has no order of its own.
    assert len(np.unique(batches[-1][0]["x"], axis=0)) == size + 2


@pytest.mark.parametrize("has_variables", [True, False])
def test_what_no_variable_holds_is_no_weight(tmp_path, has_variables):
    """A table of sines is a constant; where weights are constants, too, it cannot be told from them, and counts."""
    kernel = np.linspace(-1, 1, 32, dtype="float32").reshape(4, 8)
    module = tf.Module()
    module.kernel = tf.Variable(kernel) if has_variables else tf.constant(kernel)
    sines = np.sin(np.arange(40, dtype="float32")).reshape(5, 8)

    def call(x):
        return {"y": tf.matmul(tf.reshape(x, [-1, 4]), module.kernel)[:5] - sines}

    call = tf.function(call, [tf.TensorSpec([5, 4], tf.float32, "x")])
    tf.saved_model.save(module, str(tmp_path), {"serving_default": call})
    report = rebuilding.report(rebuilding.plan(str(tmp_path)))
    assert (report.weights, report.constants) == ((32, 40) if has_variables else (72, 0))
    assert report.standard_weights == 32
    assert ("and 40 in constants" in str(report)) == has_variables


def test_a_model_that_answers_something_else_is_not_returned(exported, monkeypatch):
    real = rebuilding.fill

    def halved(model, layers):
        real(model, layers)
        model.get_layer("dense").set_weights([weight / 2 for weight in model.get_layer("dense").get_weights()])

    monkeypatch.setattr(rebuilding, "fill", halved)
    with pytest.raises(LoadError, match="gives other answers") as error:
        rebuilding.rebuild(exported("mlp_layers"), backends=["tensorflow"])
    assert "DIFFERENT" in str(error.value)


@pytest.fixture
def scattering(tmp_path) -> str:
    """Returns a SavedModel whose signature, of any rank, writes a row of a variable."""
    module = tf.Module()
    module.rows = tf.Variable(tf.zeros([4, 2]))

    def add(x):
        row = tf.reduce_sum(x) + tf.zeros([1, 2])
        return {"y": tf.raw_ops.ReadVariableOp(resource=_scattered(module.rows, row), dtype=tf.float32)}

    add = tf.function(add, [tf.TensorSpec(None, tf.float32, "x")])
    tf.saved_model.save(module, str(tmp_path), {"serving_default": add})
    return str(tmp_path)


def _scattered(variable, row):
    tf.raw_ops.ResourceScatterAdd(resource=variable.handle, indices=[1], updates=row)
    return variable.handle


def test_a_write_that_no_layer_can_keep_is_refused_before_ranks_are_asked_for(scattering):
    with pytest.raises(LoadError, match="ResourceScatterAdd .* writes variables"):
        rebuilding.plan(scattering)


@pytest.fixture
def in_one_piece(monkeypatch):
    """What has strings is refused, not split."""
    monkeypatch.setattr(strings, "split", lambda taken: None)


def test_what_is_refused_does_not_hide_what_is_not(exported, in_one_piece):
    words = rebuilding.report(rebuilding.survey(exported("lookup_vocab")))
    assert words.layers == {"Embedding": 1, "Dense": 1} and words.share == 1 and words.weights == 38
    assert (words.nodes, words.nodes_in_layers) == (14, 3)
    first = next(line for line in words.islands if "StringToHashBucketFast" in line)
    assert "reads 'input_value/words'" in first and "read by 'hash_table_Lookup/Add'" in first
    assert "gives output 'label'" in words.islands[-1] and "none, something is refused" in str(words)


def test_everything_without_code_is_told_with_what_to_do(exported, in_one_piece):
    with pytest.raises(LoadError) as error:
        rebuilding.plan(exported("lookup_vocab"))
    message = str(error.value)
    assert all(op in message for op in ("LookupTableFindV2", "StringToHashBucketFast", "--input=KEY=TENSOR"))


def test_a_backend_that_is_not_there_is_told():
    with pytest.raises(LoadError, match="theano"):
        backends.chosen(["theano"])
