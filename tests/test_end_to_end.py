"""Every golden case through both steps: the answers are TensorFlow 1.15.5's, in every loader, and every weight is there."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.support import cases

v1 = tf.compat.v1
# Variables that the outputs need, counted in the models' own code: fixtures/zoo_tf115.py.
VARIABLES = {
    "bert_tiny": 2
    + 2
    + 2 * (4 * 2 + 2 + 2 * 2 + 2)
    + 2,  # embeddings, LayerNorm, per layer dense and LayerNorm, pooler
    "convnet_bn_dropout": 1 + 4 + 2 + 4 + 2,
    "convnet_bn_finetune": 2 + 4 + 2,
    "dataset_iterator": 1 + 2,
    "ema_shadow": 4,
    "lookup_vocab": 1 + 2,
    "lstm_dynamic_rnn": 2 + 4 + 2,
    "mlp_layers": 4,
    "multi_io_int": 2,
    "partitioned_embedding": 3 + 3,
    "sharded_ckpt": 4,
    "slim_contrib_net": (1 + 3) * 2 + (2 + 3) - 2 + 2,
    "v1_format": 2,
}


def _session_answers(folder, inputs) -> dict[str, np.ndarray]:
    """Runs an export through the v1 Session loader, init op and all, as servers do."""
    with tf.Graph().as_default(), v1.Session() as session:
        signature = v1.saved_model.load(session, ["serve"], str(folder)).signature_def["serving_default"]
        feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
        return session.run({key: info.name for key, info in signature.outputs.items()}, feeds)


@pytest.mark.parametrize("name", cases.names("meta_ckpt"))
def test_v1_session_gives_the_answers_of_tensorflow_1(name, exported):
    case = cases.load(name)
    cases.assert_equal(_session_answers(exported(name), case.oracle("in")), case.oracle())


@pytest.mark.parametrize("name", cases.names("meta_ckpt"))
def test_tf2_loader_gives_the_answers_of_tensorflow_1(name, exported):
    case = cases.load(name)
    loaded = tf.saved_model.load(str(exported(name)))
    got = loaded.signatures["serving_default"](**{key: tf.constant(value) for key, value in case.oracle("in").items()})
    cases.assert_equal(got, case.oracle())


def test_shadow_values_are_restored_when_asked_for(exported):
    case = cases.load("ema_shadow")
    averaged = _session_answers(exported("ema_shadow", ema=True), case.oracle("in"))
    cases.assert_equal(averaged, case.oracle("ema"))
    assert not np.allclose(averaged["out"], case.oracle()["out"], rtol=1e-4)


@pytest.mark.parametrize("name", sorted(VARIABLES))
def test_every_variable_the_outputs_need_is_a_tf_variable(name, exported):
    loaded = tf.saved_model.load(str(exported(name)))
    assert len(loaded.variables) == VARIABLES[name]
    checkpoint = tf.train.load_checkpoint(str(cases.load(name).folder / cases.load(name).config["checkpoint"]))
    for variable in loaded.variables:
        variable_name = variable.name.removesuffix(":0")
        if checkpoint.has_tensor(variable_name):
            np.testing.assert_array_equal(variable.numpy(), checkpoint.get_tensor(variable_name), err_msg=variable_name)
    assert not [one.name for one in loaded.variables if "Adam" in one.name or "global_step" in one.name]


def test_parts_of_a_partitioned_variable_are_the_slices_of_the_whole(exported):
    loaded = tf.saved_model.load(str(exported("partitioned_embedding")))
    case = cases.load("partitioned_embedding")
    whole = tf.train.load_checkpoint(str(case.folder / case.config["checkpoint"])).get_tensor("model/emb")
    parts = {one.name: one.numpy() for one in loaded.variables if one.name.startswith("model/emb")}
    assert sorted(parts) == [f"model/emb/part_{at}:0" for at in range(3)]
    np.testing.assert_array_equal(np.concatenate([parts[name] for name in sorted(parts)]), whole)


@pytest.mark.parametrize("name", cases.names("meta_ckpt"))
def test_no_reference_and_no_training_op_is_left(name, exported):
    with tf.Graph().as_default() as graph, v1.Session() as session:
        v1.saved_model.load(session, ["serve"], str(exported(name)))
        operations = [one for one in graph.get_operations() if not one.name.startswith("save/")]
    assert not [one.name for one in operations for output in one.outputs if output.dtype._is_ref_dtype]
    kinds = {one.type for one in operations}
    assert not {
        kind for kind in kinds if kind.startswith(("ResourceApply", "Apply", "Queue", "Iterator")) or "Summary" in kind
    }


@pytest.mark.parametrize("name", ["convnet_bn_dropout", "slim_contrib_net", "convnet_bn_finetune"])
def test_a_frozen_flag_leaves_no_condition_and_no_dropout(name, exported):
    # Without the train signature, whose graph keeps its dropout.
    folder = exported(name, train_freeze={})
    with tf.Graph().as_default() as graph, v1.Session() as session:
        v1.saved_model.load(session, ["serve"], str(folder))
        kinds = [one.type for one in graph.get_operations()]
        norms = [one for one in graph.get_operations() if one.type.startswith("FusedBatchNorm")]
    assert not {"Switch", "Merge", "If", "StatelessIf", "RandomUniform"} & set(kinds)
    assert norms and not any(one.get_attr("is_training") for one in norms)


def test_all_exports_verify_in_another_process(exported, run_program):
    folders = [str(exported(name)) for name in cases.names("meta_ckpt")]
    script = "import json, sys, load_v2; print(json.dumps([load_v2.verify(one).equal for one in sys.argv[1:]]))"
    done = run_program(["-c", script, *folders])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [True] * len(folders)
