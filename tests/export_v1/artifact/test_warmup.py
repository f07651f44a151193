"""--warmup: requests made from the sample, replayed as TensorFlow Serving does when it loads a version."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1 import interface
from export_v1.artifact import warmup
from export_v1.proof import sample
from export_v1.request import Request
from tests.support import c_api, cases

FILE = "tf_serving_warmup_requests"
ROWS = 3  # of the samples that step 1 makes up


@pytest.fixture
def prediction_log_pb2():
    """The extra `serving`, without which no request is written."""
    return pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason="pip install -e '.[serving]'")


@pytest.fixture
def requests(prediction_log_pb2):
    """Returns a function that reads requests."""
    return functools.partial(_requests, prediction_log_pb2)


def _requests(prediction_log_pb2, folder) -> list[tuple[str, dict[str, np.ndarray]]]:
    """Returns the warm-up requests of an export: (signature name, inputs by key)."""
    found = []
    for record in tf.data.TFRecordDataset(str(folder / "assets.extra" / FILE)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        asked = log.predict_log.request
        values = {key: tf.make_ndarray(value) for key, value in asked.inputs.items()}
        found.append((asked.model_spec.signature_name, values))
    return found


def _sample(folder, side: str) -> dict[str, np.ndarray]:
    with np.load(folder / "assets.extra" / "sample.npz") as arrays:
        found = {key.removeprefix(side): arrays[key] for key in arrays.files if key.startswith(side)}
    return {key: value.astype(object) if value.dtype.kind == "S" else value for key, value in found.items()}


@pytest.mark.parametrize("name", ["mlp_layers", "convnet_bn_dropout", "lookup_vocab", "bert_tiny", "lstm_dynamic_rnn"])
def test_replayed_requests_have_the_answers_of_the_sample(name, exported, requests):
    folder = exported(name, warmup=[1, ROWS, 2 * ROWS])
    got = requests(folder)
    assert [signature for signature, _ in got] == ["serving_default"] * 3
    assert [max(len(value) for value in values.values()) for _, values in got] == [1, ROWS, 2 * ROWS]
    answers = _sample(folder, "out/")
    with c_api.Session(folder) as session:
        for signature, values in got:
            count = max(len(value) for value in values.values())
            rows = np.arange(count) % ROWS
            cases.assert_equal(session.predict(values, signature), {key: value[rows] for key, value in answers.items()})


def test_the_sample_s_own_size_is_the_default(exported, requests):
    folder = exported("mlp_layers", warmup=True)
    ((_, values),) = requests(folder)
    np.testing.assert_array_equal(values["x"], _sample(folder, "in/")["x"])


def test_there_is_one_request_for_each_size_however_often_it_is_asked_for(exported, requests):
    assert len(requests(exported("mlp_layers", warmup=[4, 1, 4, 4]))) == 2


def test_requests_have_the_types_of_the_signature(exported, tmp_path, requests):
    np.savez(tmp_path / "wide.npz", x=np.ones([2, 16], np.float64))
    folder = exported("mlp_layers", warmup=[5], sample=str(tmp_path / "wide.npz"))
    ((_, values),) = requests(folder)
    assert values["x"].dtype == np.float32
    with c_api.Session(folder) as session:
        assert session.predict(values)["probs"].shape[0] == 5


@pytest.mark.usefixtures("prediction_log_pb2")
def test_the_export_is_reproducible(tmp_path):
    flags = cases.load("bert_tiny").flags()
    files = []
    for name in ("a", "b"):
        export_v1.export(export_dir=str(tmp_path / name), warmup=[1, 2], **flags)
        files.append((tmp_path / name / "assets.extra" / FILE).read_bytes())
    assert files[0] == files[1]


@pytest.mark.usefixtures("prediction_log_pb2")
def test_what_was_written_is_recorded_and_said(tmp_path):
    report = export_v1.export(export_dir=str(tmp_path / "e"), warmup=[8, 1], **cases.load("mlp_layers").flags())
    assert report["warmup"] == [1, 8]
    assert "warm-up requests: of 1, 8 rows" in report.text()


@pytest.mark.usefixtures("prediction_log_pb2")
def test_a_request_that_the_graph_fails_on_is_refused(tmp_path):
    checkpoint = _needs_equal_sizes(tmp_path)
    flags = {"checkpoint": checkpoint, "inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}
    with pytest.raises(export_v1.ExportError, match="(?s)warm-up request of 1 rows fails: .*Remove --warmup=1"):
        export_v1.export(export_dir=str(tmp_path / "e"), warmup=[3, 1], **flags)
    assert not (tmp_path / "e").exists()


def _needs_equal_sizes(folder) -> str:
    """Saves a graph whose batch size is open, and that yet runs for three rows only."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 2], "x")
        weight = v1.get_variable("w", [6], use_resource=False)
        tf.identity(tf.reshape(x, [6]) * weight, "y")
        session.run(v1.global_variables_initializer())
        return v1.train.Saver().save(session, str(folder / "model.ckpt"))


@pytest.mark.usefixtures("prediction_log_pb2")
def test_a_fixed_batch_takes_its_own_size_only(tmp_path):
    flags = {**cases.load("mlp_layers").flags(), "inputs": {"x": "x:0[4,16]"}}
    with pytest.raises(export_v1.ExportError, match=r"(?s)no open batch size: x \[4, 16\].*--warmup=4"):
        export_v1.export(export_dir=str(tmp_path / "e"), warmup=[1], **flags)
    assert export_v1.export(export_dir=str(tmp_path / "e"), warmup=[4], **flags)["warmup"] == [4]


def _refused(tmp_path, match: str, **flags) -> None:
    with pytest.raises(export_v1.ExportError, match=match):
        export_v1.export(export_dir=str(tmp_path / "e"), **cases.load("mlp_layers").flags(), **flags)
    assert not (tmp_path / "e").exists()


def test_an_export_without_a_sample_has_nothing_to_warm_up_with(tmp_path):
    _refused(tmp_path, "(?s)--no_sample records none.*Remove one", warmup=[1], no_sample=True)


def test_more_requests_than_the_server_reads_are_refused(tmp_path):
    _refused(tmp_path, "(?s)1,001 batch sizes.*at most 1,000", warmup=list(range(1, 1002)))


@pytest.mark.parametrize("size", [-1, "8", 1.5])
def test_what_is_no_batch_size_is_refused(tmp_path, size):
    _refused(tmp_path, f"(?s){size!r} is not a batch size.*--warmup=1", warmup=[size])


def test_a_missing_package_is_named_with_the_line_that_installs_it(tmp_path, monkeypatch):
    # None in sys.modules is how Python marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    _refused(tmp_path, "(?s)pip install tensorflow-serving-api", warmup=[1])


@pytest.mark.parametrize("flag", ["--warmup=x", "--warmup=0", "--warmup=-3"])
def test_a_size_that_is_none_is_a_flag_error(flag, subprocess_env):
    command = [sys.executable, "-m", "export_v1", "--checkpoint=x", "--export_dir=y", flag]
    done = subprocess.run(command, capture_output=True, text=True, env=subprocess_env, check=False)
    assert done.returncode == 1
    assert "is not a batch size; write --warmup=8" in done.stderr


# Requests without an export.

FLOAT = tf.float32.as_datatype_enum


def _batches(asked, shapes, **values) -> dict[int, dict[str, list]]:
    inputs = {key: interface.Input(f"{key}:0", FLOAT, shape) for key, shape in shapes.items()}
    recorded = sample.Sample({key: np.asarray(value) for key, value in values.items()}, {}, (), "given")
    made = warmup.batches(asked, recorded, inputs)
    return {size: {key: value.tolist() for key, value in batch.items()} for size, batch in made.items()}


def test_rows_come_over_and_over_and_what_has_none_as_it_is():
    made = _batches([4, 0, 1], {"x": [None], "scale": [], "any": None}, x=[1, 2, 3], scale=7, any=[4, 5, 6])
    assert made == {
        4: {"x": [1, 2, 3, 1], "scale": 7, "any": [4, 5, 6, 4]},
        3: {"x": [1, 2, 3], "scale": 7, "any": [4, 5, 6]},
        1: {"x": [1], "scale": 7, "any": [4]},
    }
    assert _batches([2], {"x": [None], "table": [3]}, x=[1, 2, 3], table=[4, 5, 6])[2]["table"] == [4, 5, 6]


def test_nothing_is_made_where_nothing_is_asked_for_and_nothing_without_a_sample():
    assert warmup.batches([], None, {}) == {}
    with pytest.raises(export_v1.ExportError, match="(?s)none was recorded.*--sample=FILE.npz"):
        warmup.batches([1], None, {})


@pytest.mark.parametrize(
    ("given", "sizes"), [(True, [0]), (8, [8]), ([8, 1], [8, 1]), ((), []), (None, []), (False, []), ([0], [0])]
)
def test_sizes_however_they_are_asked_for(given, sizes):
    assert warmup.sizes(Request(checkpoint="c", warmup=given)) == sizes


def test_a_size_that_is_asked_for_often_is_one_request():
    warmup.check(Request(checkpoint="c", warmup=[1] * 1001))
    warmup.check(Request(checkpoint="c", warmup=list(range(1000))))


def test_the_smallest_request_comes_first_and_keys_in_one_order(prediction_log_pb2, tmp_path):
    batch = {f"k{at}": np.float32([at]) for at in range(20)}
    contents = []
    for name, keys in (("a", list(batch)), ("b", list(reversed(batch)))):
        (tmp_path / name).mkdir()
        requests = {size: {key: np.repeat(batch[key], size) for key in keys} for size in (3, 1, 2)}
        warmup.write(requests, str(tmp_path / name), "serving_default")
        records = tf.data.TFRecordDataset(str(tmp_path / name / FILE)).as_numpy_iterator()
        logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
        assert [len(tf.make_ndarray(one.predict_log.request.inputs["k1"])) for one in logs] == [1, 2, 3]
        contents.append((tmp_path / name / FILE).read_bytes())
    assert contents[0] == contents[1]
