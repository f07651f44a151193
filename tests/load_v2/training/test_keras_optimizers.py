"""Keras's optimizer in place of TensorFlow 1's: from where it counts."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
import load_v2
from load_v2.training import keras_optimizers
from tests.support.trainings import Training


@pytest.mark.parametrize(
    ("counted", "power", "steps"), [(5, 0.9**6, 5), (100, 0.9**6, 5), (5, 0.9**4, 3), (5, 1.5, None)]
)
def test_adam_counts_the_steps_that_its_powers_were_raised_in(counted, power, steps, tmp_path):
    case = Training("train_adam")
    export_v1.export(export_dir=str(tmp_path / "1"), **case.flags())
    model = load_v2.resume(tmp_path / "1")
    training = model.layer.program_source.record.resume
    reader = tf.train.load_checkpoint(str(case.folder / case.config["checkpoint"]))

    def value(name: str) -> np.ndarray:
        given = {training.counter: np.int64(counted), "beta1_power": np.float32(power)}
        return given.get(name, reader.get_tensor(name))

    made = keras_optimizers.of(training, model.programs, model.trainable_variables, value)
    assert (None if made is None else int(made.iterations)) == steps
