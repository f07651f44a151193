"""Rules that take another checkpoint of the same architecture into a rebuilt model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2 import load_checkpoint_weights
from load_v2.opening import rebuilding, weight_rules
from tests.support import cases

v1 = tf.compat.v1


def _other_checkpoint(case, folder) -> str:
    """Writes a checkpoint of the case's graph with other values, and its graph's answers; returns the prefix."""
    random = np.random.default_rng(3)
    with tf.Graph().as_default(), v1.Session() as session:
        meta = v1.MetaGraphDef.FromString((case.folder / f"{case.config['checkpoint']}.meta").read_bytes())
        for node in meta.graph_def.node:
            # Gradients of batch norm have other shapes today, and nobody asks for them here.
            node.attr.pop("_output_shapes", None)
        saver = v1.train.import_meta_graph(meta)
        saver.restore(session, f"{case.folder}/{case.config['checkpoint']}")
        for variable in v1.global_variables():
            if variable.dtype.base_dtype.is_floating:
                value = session.run(variable)
                variable.load(np.asarray(value + random.uniform(0.05, 0.3, value.shape), value.dtype), session)
        feeds = {tensor: value for key, tensor in case.config["inputs"].items() for value in [case.oracle("in")[key]]}
        feeds.update(case.config.get("freeze", {}))
        answers = session.run(dict(case.config["outputs"]), feeds)
        prefix = saver.save(session, str(folder / "other.ckpt"), write_meta_graph=False)
    np.savez(
        folder / "io.npz",
        **{f"in/{key}": value for key, value in case.oracle("in").items()},
        **{f"out/{key}": value for key, value in answers.items()},
    )
    return prefix


@pytest.mark.parametrize(
    "name", ["mlp_layers", "bert_tiny", "convnet_bn_dropout", "lstm_dynamic_rnn", "partitioned_embedding"]
)
def test_another_checkpoint_goes_into_the_code_and_answers_as_its_graph(name, exported, tmp_path):
    rebuilt = rebuilding.rebuild(exported(name), backends=())
    text, missing = rebuilding.rules(rebuilt)
    assert not missing
    (tmp_path / "model.toml").write_text(text)
    prefix = _other_checkpoint(cases.load(name), tmp_path)
    keras.backend.clear_session()
    fresh = rebuilding.execute(rebuilt.source)
    report = load_checkpoint_weights(fresh, prefix, str(tmp_path / "model.toml"), expect=str(tmp_path / "io.npz"))
    assert report.answers and all(answer.equal for answer in report.answers)


def test_layers_that_are_numbered_have_one_rule(exported):
    text, _ = rebuilding.rules(rebuilding.rebuild(exported("bert_tiny"), backends=()))
    assert text.count("layer_(\\d+)/intermediate/dense/kernel'") == 1 and "layer_0" not in text


def test_the_name_of_a_variable_ends_no_text_of_a_rule():
    tomllib = pytest.importorskip("tomllib")
    name = "it's\n[[rule]]\nkey = '.*'"
    text = weight_rules._toml({"key": name, "skip": 'a \\ and a "', "transform": [{"slice": [0, 1]}]})
    assert tomllib.loads(text) == {"key": name, "skip": 'a \\ and a "', "transform": [{"slice": [0, 1]}]}
