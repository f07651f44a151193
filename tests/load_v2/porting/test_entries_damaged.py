"""An index that TensorFlow's reader stumbles over is one message."""

import pytest
import tensorflow as tf

from load_v2 import LoadError
from load_v2.porting import entries
from tests.support import cases


@pytest.mark.parametrize("kind", [IndexError, KeyError, TypeError, RuntimeError])
def test_whatever_the_reader_makes_of_a_status_is_one_message(kind, monkeypatch):
    def reader(_):
        raise kind("Read less bytes than requested")

    monkeypatch.setattr(tf.compat.v1.train, "NewCheckpointReader", reader)
    with pytest.raises(LoadError, match="cannot be read as a checkpoint.*Read less"):
        entries.Checkpoint(cases.load("mlp_layers").flags()["checkpoint"])
