"""Exports of --optimize, against the answers of TensorFlow 1.15.5."""

import json

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import export_v1
from export_v1.artifact import assembly
from load_v2 import SignatureLayer, verify
from load_v2.commands import show
from load_v2.program import artefact
from tests.support import cases, graphs

CASES = ["convnet_bn_dropout", "slim_contrib_net", "lookup_vocab", "bert_tiny", "multi_io_int", "odd_control_edges"]


def _graph_def(folder):
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return saved.meta_graphs[0].graph_def


def _record(folder):
    return json.loads((folder / "assets.extra" / "export_v1.json").read_text())


@pytest.mark.parametrize("name", CASES)
def test_an_optimized_export_answers_as_tensorflow_1_in_the_loader_and_in_the_layer(name, exported):
    case, folder = cases.load(name), exported(name, optimize=True, train_freeze={})
    inputs = {key: tf.constant(value) for key, value in case.oracle("in").items()}
    loaded = tf.saved_model.load(str(folder))
    cases.assert_equal(loaded.signatures["serving_default"](**inputs), case.oracle())
    # Two numbers a norm: what scales it by the data's own statistics.
    assert len(loaded.variables) == (5 if name == "bert_tiny" else 0)
    layer = SignatureLayer(str(folder))
    answer = layer(inputs)
    cases.assert_equal(answer if isinstance(answer, dict) else {next(iter(case.oracle())): answer}, case.oracle())
    assert len(layer.weights) == len(loaded.variables)
    assert verify(str(folder)).equal


def test_weights_are_constants_and_norms_are_in_kernels(exported):
    folder = exported("convnet_bn_dropout", optimize=True, train_freeze={})
    kinds = graphs.kinds(_graph_def(folder))
    assert not {kind for kind in kinds if "BatchNorm" in kind or kind in ("VarHandleOp", "ReadVariableOp", "Rsqrt")}
    record = _record(folder)
    assert record["variables"] == []
    assert record["optimized"]["constants"] == 13 and record["optimized"]["layers"] == 2
    assert record["proof"]["verdict"] == "equal"
    assert (
        "optimized" in _record(exported("convnet_bn_dropout"))
        and not _record(exported("convnet_bn_dropout"))["optimized"]
    )


def test_the_report_says_what_it_costs(tmp_path):
    report = export_v1.export(export_dir=str(tmp_path / "1"), optimize=True, **cases.load("mlp_layers").flags())
    assert "weights are constants, which cannot be trained" in str(report)


def test_show_says_what_was_made_of_it(exported):
    shown = list(show.describe(artefact.read(str(exported("mlp_layers", optimize=True)))))
    [said] = [line for line in shown if "optimized" in line]
    assert said.startswith("optimized: 4 weights are constants, which cannot be trained; ")
    assert not any("optimized" in line for line in show.describe(artefact.read(str(exported("mlp_layers")))))


def test_what_an_answer_writes_stays_a_variable(exported):
    folder = exported("stateful_counter", optimize=True, train_freeze={})
    assert _record(folder)["variables"]
    assert verify(str(folder)).equal


def test_there_is_no_signature_for_training(exported):
    assert "train" in _record(exported("hub_module_tags"))["signatures"]
    record = _record(exported("hub_module_tags", optimize=True))
    assert "train" not in record["signatures"] and record["proof"]["verdict"] == "equal"
    assert "there is no signature 'train'" in [choice["what"] for choice in record["choices"]]


def test_weights_that_no_graph_can_hold_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(assembly, "_MOST_CONSTANTS", 100)
    with pytest.raises(export_v1.ExportError, match="cannot hold more than 2 GiB.*\n  Export without --optimize"):
        export_v1.export(export_dir=str(tmp_path / "1"), optimize=True, **cases.load("mlp_layers").flags())
    assert not list(tmp_path.iterdir())
