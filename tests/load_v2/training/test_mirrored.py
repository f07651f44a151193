"""A training on two devices, each with half of a batch."""

import pytest

from tests.support.trainings import Training

_PROGRAM = """
import sys
import numpy as np, tensorflow as tf
devices = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(devices[0], [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, load_v2
from tests.support.trainings import Training
case = Training(sys.argv[1])
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = load_v2.resume(sys.argv[2])
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
for step in range(4):
    data = tf.data.Dataset.from_tensor_slices(case.batch(step)).batch(8).with_options(options)
    found = model.fit(data, verbose=0, shuffle=False).history["loss"][0]
    np.testing.assert_allclose(found, case.losses[step], rtol=1e-5)
np.testing.assert_allclose(np.asarray(model(case.inputs())), case.after, rtol=1e-5, atol=1e-5)
model.save(sys.argv[2] + ".keras")
again = keras.models.load_model(sys.argv[2] + ".keras")
np.testing.assert_allclose(np.asarray(again(case.inputs())), case.after, rtol=1e-5, atol=1e-5)
"""


@pytest.mark.parametrize("name", ["train_adam", "train_adam_ema", "train_ftrl_adagrad_wide_deep"])
def test_two_devices_are_as_one(name, tmp_path, run_program):
    import export_v1

    export_v1.export(export_dir=str(tmp_path / "1"), **Training(name).flags())
    done = run_program(["-c", _PROGRAM, name, str(tmp_path / "1")])
    assert done.returncode == 0, done.stderr[-2000:]
