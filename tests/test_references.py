"""Reads and writes of reference variables give what they gave in TensorFlow 1.15, feed by feed, through fresh layers."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from load_v2 import SignatureLayer
from tests.support import cases

CASE = cases.load("odd_references")


@pytest.mark.parametrize("name", CASE.config["outputs"])
def test_the_order_of_reads_and_writes_is_that_of_tensorflow_1(tmp_path, name):
    export_v1.export(
        checkpoint=str(CASE.folder / CASE.config["checkpoint"]),
        export_dir=str(tmp_path / "1"),
        inputs={key: f"{key}:0" for key in "xpqn"},
        outputs={"y": f"{name}/y:0"},
    )
    feeds, answers = CASE.oracle("feed"), CASE.oracle("want")
    for at in range(len({key.partition("/")[0] for key in feeds})):
        layer = SignatureLayer(str(tmp_path / "1"))
        given = {key: tf.constant(feeds[f"{at}/{key}"]) for key in layer.input_specs}
        np.testing.assert_allclose(layer(given), answers[f"{at}/{name}"], rtol=1e-5, err_msg=f"feed {at}")
