"""Exports in the C++ loader and session of TensorFlow Serving: init op, answers, signatures, batches."""

import os
import shutil

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2

from tests.support import c_api, cases

PREDICT = "tensorflow/serving/predict"


def _saved_model(folder) -> saved_model_pb2.SavedModel:
    return saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())


@pytest.mark.parametrize("name", cases.names("meta_ckpt"))
def test_the_server_s_loader_gives_the_answers_of_tensorflow_1(name, exported):
    case = cases.load(name)
    with c_api.Session(exported(name)) as session:
        cases.assert_equal(session.predict(case.oracle("in")), case.oracle())


@pytest.mark.parametrize("name", cases.names("meta_ckpt"))
def test_the_signature_is_one_that_a_server_takes(name, exported):
    case = cases.load(name)
    (meta,) = _saved_model(exported(name)).meta_graphs
    assert list(meta.meta_info_def.tags) == ["serve"]
    signature = meta.signature_def["serving_default"]
    assert signature.method_name == PREDICT
    assert set(signature.inputs) == set(case.config["inputs"]) and set(signature.outputs) == set(case.config["outputs"])
    # A flag that was frozen is neither an input nor a placeholder any more: nobody could feed it.
    frozen = {tensor.partition(":")[0] for tensor in case.config["freeze"]}
    assert not frozen & {node.name for node in meta.graph_def.node if node.op.startswith("Placeholder")}


def test_tables_have_an_init_op_and_lack_their_words_without_it(exported, tmp_path):
    case = cases.load("lookup_vocab")
    (meta,) = _saved_model(exported("lookup_vocab")).meta_graphs
    assert {"legacy_init_op", "saved_model_main_op"} & set(meta.collection_def)
    folder = tmp_path / "without"
    shutil.copytree(exported("lookup_vocab"), folder)
    for key in ("legacy_init_op", "saved_model_main_op"):
        meta.collection_def.pop(key, None)
    meta.signature_def.pop("__saved_model_init_op", None)
    changed = saved_model_pb2.SavedModel(saved_model_schema_version=1, meta_graphs=[meta])
    (folder / "saved_model.pb").write_bytes(changed.SerializeToString())
    with c_api.Session(folder) as session, pytest.raises(RuntimeError, match="(?i)table not initialized"):
        session.predict(case.oracle("in"))


def test_the_vocabulary_is_the_export_s_own(exported, tmp_path):
    case = cases.load("lookup_vocab")
    moved = tmp_path / "elsewhere" / "1"
    shutil.copytree(exported("lookup_vocab"), moved)
    assert os.listdir(moved / "assets") == ["vocab.txt"]
    with c_api.Session(moved) as session:
        cases.assert_equal(session.predict(case.oracle("in")), case.oracle())


@pytest.mark.parametrize("name", ["mlp_layers", "convnet_bn_dropout", "bert_tiny", "lookup_vocab"])
def test_batches_of_other_sizes_are_served(name, exported):
    inputs = cases.load(name).oracle("in")
    with c_api.Session(exported(name)) as session:
        whole = session.predict(inputs)
        one = session.predict({key: value[:1] for key, value in inputs.items()})
        twice = session.predict({key: np.concatenate([value, value]) for key, value in inputs.items()})
    cases.assert_equal(one, {key: value[:1] for key, value in whole.items()})
    cases.assert_equal(twice, {key: np.concatenate([value, value]) for key, value in whole.items()})


def test_the_train_signature_is_served_beside_the_other(exported):
    case = cases.load("convnet_bn_dropout")
    with c_api.Session(exported("convnet_bn_dropout")) as session:
        assert set(session.signatures) >= {"serving_default", "train"}
        before = session.predict(case.oracle("in"))
        trained = session.predict(case.oracle("in"), "train")
        after = session.predict(case.oracle("in"))
    assert not np.allclose(before["predictions"], trained["predictions"], rtol=1e-3)
    # Its update ops have run: the moving averages are others now.
    assert not np.array_equal(before["predictions"], after["predictions"])


def test_an_export_without_its_variables_does_not_answer(exported, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(exported("mlp_layers"), folder)
    (folder / "variables" / "variables.index").unlink()
    with c_api.Session(folder) as session, pytest.raises(RuntimeError, match="Could not find variable"):
        session.predict(cases.load("mlp_layers").oracle("in"))


def test_a_request_of_another_type_is_refused(exported):
    with c_api.Session(exported("mlp_layers")) as session, pytest.raises(RuntimeError, match="float but double"):
        session.predict({"x": np.zeros([2, 8], np.float64)})
