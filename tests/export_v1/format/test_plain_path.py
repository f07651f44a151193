"""Checkpoints below folders whose names TensorFlow takes for patterns."""

import glob
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

import export_v1
import load_v2
from export_v1.format import plain_path
from tests.support.graphs import v1

ODD = ["run[1]", "run*", "run?", "run[!a]", "run\\1"]


def _saved(folder, value: float, version) -> str:
    """Saves a model that adds a value of a variable, by way of a folder of a plain name."""
    folder.mkdir(parents=True)
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        tf.identity(x + v1.get_variable("w", initializer=[value, value], use_resource=False), name="y")
        session.run(v1.global_variables_initializer())
        plain = folder.parent / f"plain_{value}"
        plain.mkdir()
        v1.train.Saver(write_version=version).save(session, str(plain / "model.ckpt"), write_state=False)
    for file in os.listdir(plain):
        shutil.move(plain / file, folder / file)
    return str(folder / "model.ckpt")


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("version", [v1.train.SaverDef.V1, v1.train.SaverDef.V2], ids=["v1", "v2"])
@pytest.mark.parametrize("neighbour", ["run1", None])
def test_the_checkpoint_of_the_named_folder_is_read_and_its_export_verified(tmp_path, odd, version, neighbour):
    checkpoint = _saved(tmp_path / odd, 1.0, version)
    if neighbour is not None:
        _saved(tmp_path / neighbour, 2.0, version)
    folder = str(tmp_path / odd / "export")
    export_v1.export(checkpoint=checkpoint, export_dir=folder, inputs={"x": "x:0"}, outputs={"y": "y:0"})
    report = load_v2.verify(folder)
    assert all(comparison.equal for comparison in report.outputs) and not report.damaged
    answer = load_v2.SignatureLayer(folder)(np.zeros([1, 2], np.float32))
    np.testing.assert_array_equal(answer, [[1.0, 1.0]])


def test_a_plain_path_and_the_pattern_of_shards_stay():
    for path in ("/a/model.ckpt", "/a/model.ckpt-?????-of-00002"):
        assert plain_path.of(path) == path


def test_a_prefix_with_a_pattern_in_it_leads_to_all_of_its_files(tmp_path):
    for ending in (".index", ".data-00000-of-00001"):
        (tmp_path / f"model[1]{ending}").write_text(ending)
    (tmp_path / "other").write_text("")
    found = plain_path.of(str(tmp_path / "model[1]"))
    assert glob.escape(found) == found and sorted(os.listdir(os.path.dirname(found))) == [
        "prefix.data-00000-of-00001",
        "prefix.index",
    ]
    with open(found + ".index") as file:
        assert file.read() == ".index"
    shards = plain_path.of(str(tmp_path / "model[1]-?????-of-00002"))
    assert shards.endswith("prefix-?????-of-00002")
