"""running: TensorFlow is imported quietly, and without Keras where a command does not need it."""

import subprocess
import sys

import pytest

_SCRIPT = """
import sys
from export_v1.console import running

running.import_tensorflow(False, keras={keras})
print("keras" in sys.modules)
import tensorflow as tf

print(tf.keras.optimizers.SGD(0.5).learning_rate.numpy())
"""


@pytest.mark.parametrize("keras", [True, False])
def test_keras_comes_with_tensorflow_or_when_it_is_asked_for(keras):
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(keras=keras)], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == (f"{keras}\n0.5\n", "")
