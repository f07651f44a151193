"""The gradients of an exported training are the original's, or it is not exported."""

import dataclasses

import pytest

import export_v1
from export_v1 import ExportError
from export_v1.training import gradients
from tests.support.trainings import Training


@pytest.mark.parametrize("name", ["train_adam", "train_rows_partitioned", "train_rmsprop_rnn_clipped", "train_towers"])
def test_loss_and_gradients_are_proven(name, tmp_path):
    report = export_v1.export(export_dir=str(tmp_path / "1"), **Training(name).flags())
    assert report.record.resume.proof == "equal"
    assert f"{len(report.record.resume.gradients)} gradients against the original's: equal" in report.text()


def test_gradients_of_the_wrong_variables_stop_the_export(tmp_path, monkeypatch):
    found = gradients.of

    def swapped(*args):
        one, *others, last = sorted(found(*args), key=lambda gradient: gradient.variable)
        two = [gradient for gradient in others if gradient.variable == "net/d1/kernel"]
        del last
        # Two kernels of one shape: nothing but their values tells that they were swapped.
        (first,) = [gradient for gradient in (one, *others) if gradient.variable == "net/d0/kernel"]
        rest = [gradient for gradient in found(*args) if gradient not in (first, *two)]
        return (
            dataclasses.replace(first, values=two[0].values),
            dataclasses.replace(two[0], values=first.values),
            *rest,
        )

    monkeypatch.setattr(gradients, "of", swapped)
    case = Training("train_nesterov_decay_piecewise")
    with pytest.raises(ExportError, match="(?s)does not differentiate as the original does.*gradient of 'net/d"):
        export_v1.export(export_dir=str(tmp_path / "1"), **case.flags())
    assert not list(tmp_path.iterdir())


def test_without_a_sample_nothing_is_called_proven(tmp_path):
    report = export_v1.export(export_dir=str(tmp_path / "1"), **Training("train_adam").flags(no_sample=True))
    assert report.record.resume.proof.startswith("not proven: --no_sample")


def test_a_gradient_that_is_rounding_noise_is_named(tmp_path):
    # The bias before a batch norm that is written out has none but that.
    report = export_v1.export(export_dir=str(tmp_path / "1"), **Training("train_batch_norm_ema").flags())
    assert report.record.resume.proof.startswith("equal")
