"""Models whose ops TensorFlow 2 does not have: what is said of their replacements, and that they train."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.errors import ExportError
from export_v1.format import record
from export_v1.passes import replacements
from load_v2 import SignatureLayer
from tests.support import cases


def test_the_record_and_the_report_say_what_was_replaced_and_what_the_reference_has_of_it(tmp_path):
    flags = cases.load("contrib_beam_search").flags()
    report = export_v1.export(export_dir=str(tmp_path / "export"), **flags)
    by = replacements.TABLE["GatherTree"].by
    kept = record.read(str(tmp_path / "export" / record.PATH), ExportError)
    assert list(kept.replaced) == [record.Replaced("GatherTree", 1, by, True)]
    assert f"replaced: 1 GatherTree by {by}" in report.text()
    assert "the reference uses replacements for GatherTree, which cannot run here" in report.text()


def test_what_has_a_kernel_is_in_the_reference_as_it_was(tmp_path):
    report = export_v1.export(export_dir=str(tmp_path / "export"), **cases.load("contrib_block_cells").flags())
    assert {item.op: (item.count, item.in_reference) for item in report.record.replaced} == {
        "GRUBlockCell": (2, False),
        "LSTMBlockCell": (1, False),
    }
    assert "the reference uses" not in report.text()


def test_ops_to_keep_are_kept_and_then_refused_where_nothing_runs_them(tmp_path):
    flags = cases.load("contrib_beam_search").flags()
    with pytest.raises(ExportError, match="does not know 1 of the ops .*: GatherTree"):
        export_v1.export(export_dir=str(tmp_path / "export"), keep_ops=["GatherTree"], **flags)
    assert not (tmp_path / "export").exists()


def test_an_op_that_nothing_replaces_cannot_be_kept(tmp_path):
    flags = cases.load("contrib_beam_search").flags()
    with pytest.raises(ExportError, match="'MatMul' is not in the ops that are replaced"):
        export_v1.export(export_dir=str(tmp_path / "export"), keep_ops=["MatMul"], **flags)


def test_the_buffers_of_cudnn_are_computed_from_the_names_that_its_saver_wrote(exported):
    layer = SignatureLayer(str(exported("contrib_cudnn")))
    checkpoint = tf.train.load_checkpoint(str(cases.load("contrib_cudnn").folder / "model.ckpt-3"))
    scope = "top/rnn/multi_rnn_cell/cell_0/cudnn_compatible_gru_cell"
    kernel = checkpoint.get_tensor(f"{scope}/candidate/hidden_projection/kernel")
    [buffer] = [weight.numpy() for weight in layer.weights if weight.path.endswith("top/opaque_kernel")]
    # A GRU of 3 units over 10 numbers: three matrices for the input, then three for the state, the candidate's last.
    np.testing.assert_array_equal(buffer[3 * 30 + 2 * 9 : 3 * 30 + 3 * 9], kernel.T.ravel())


def test_the_buffer_is_restored_as_it_is_where_the_checkpoint_has_it(tmp_path, exported):
    first = SignatureLayer(str(exported("contrib_cudnn")))
    names = {weight.path.split("/", 1)[1]: weight.numpy() for weight in first.weights}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in names.items():
            tf.compat.v1.get_variable(name, initializer=2 * value, use_resource=False)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "buffers"), write_meta_graph=False)
    flags = cases.load("contrib_cudnn").flags()
    flags |= {"checkpoint": str(tmp_path / "buffers"), "meta_graph": flags["checkpoint"] + ".meta"}
    export_v1.export(export_dir=str(tmp_path / "export"), **flags)
    second = SignatureLayer(str(tmp_path / "export"))
    for weight in second.weights:
        np.testing.assert_array_equal(weight.numpy(), 2 * names[weight.path.split("/", 1)[1]])


def test_cudnn_networks_train(exported):
    case = cases.load("contrib_cudnn")
    layer = SignatureLayer(str(exported("contrib_cudnn")))
    inputs = {key: tf.constant(value) for key, value in case.oracle("in").items()}
    optimizer, losses = keras.optimizers.SGD(0.1), []
    for _ in range(5):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(layer(inputs) - 1.0))
        gradients = tape.gradient(loss, layer.trainable_variables)
        assert all(np.abs(gradient).max() > 0 for gradient in gradients)
        optimizer.apply_gradients(zip(gradients, layer.trainable_variables, strict=True))
        losses.append(float(loss))
    assert losses == sorted(losses, reverse=True)
