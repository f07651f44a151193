"""The recipes of load_v2/README.md, run as they stand there."""

import json
import os
import pathlib
import re
import shutil
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

from tests.support import cases

README = pathlib.Path(__file__).parents[1] / "load_v2" / "README.md"
RECIPES = dict(re.findall(r"<!-- recipe: (\w+) -->\n```python\n(.*?)```", README.read_text(), re.DOTALL))
ROWS = cases.load("mlp_layers").oracle("in")["x"]


@pytest.fixture
def cook(exported, tmp_path, monkeypatch):
    """Returns a function (recipe, case, what it finds) -> its names afterwards; `export/1` is the case's export."""
    monkeypatch.chdir(tmp_path)

    def run(recipe: str, case: str | None = None, **given) -> dict:
        if case is not None:
            shutil.copytree(exported(case), "export/1")
        names = dict(given)
        exec(compile(RECIPES[recipe], f"recipe {recipe}", "exec"), names)
        return names

    return run


def test_each_recipe_has_a_test():
    tested = set(re.findall(r'(?:cook\(|RECIPES\[)"(\w+)"', pathlib.Path(__file__).read_text()))
    assert set(RECIPES) == tested


def test_embeddings(cook):
    case = cases.load("mlp_layers")
    for file in case.folder.glob("model.ckpt*"):
        shutil.copy(file, ".")
    vectors = np.asarray(cook("embeddings", rows=ROWS)["vectors"])
    # What the next layer makes of them is TensorFlow 1's answer.
    import tensorflow as tf

    reader = tf.train.load_checkpoint("model.ckpt-3")
    logits = vectors @ reader.get_tensor("dense_1/kernel") + reader.get_tensor("dense_1/bias")
    np.testing.assert_allclose(logits, case.oracle()["logits"], rtol=1e-5, atol=1e-5)


def test_a_new_head(cook):
    case = cases.load("convnet_bn_finetune")
    images = case.oracle("in")["images"]
    names = cook("head", case.name, images=images, targets=np.ones((len(images), 2), "float32"))
    assert sorted(names["frozen"]) == [
        "batch_normalization/beta",
        "batch_normalization/gamma",
        "batch_normalization/moving_mean",
        "batch_normalization/moving_variance",
        "conv2d/bias",
        "conv2d/kernel",
    ]
    from load_v2 import SignatureLayer

    before = {weight.name: np.array(weight) for weight in SignatureLayer("export/1").weights}
    changed = {w.name for w in names["base"].weights if not np.array_equal(w, before[w.name])}
    assert changed == set(before) - set(names["frozen"])


def test_text(cook):
    names = cook("text", "lookup_vocab")
    case = cases.load("lookup_vocab")
    want = names["classify"](np.array([["the", "cat", "sat"], ["a", "dog", ""]], object))
    np.testing.assert_array_equal(names["answers"]["logits"], want["logits"])
    np.testing.assert_allclose(names["answers"]["logits"][0], case.oracle()["logits"][0], rtol=1e-5)
    assert names["labels"][0] == case.oracle()["label"][0].decode()


def test_a_table(cook):
    pytest.importorskip("pandas", reason="pip install -e '.[test]'")
    names = cook("table", "trees_crossed_columns")
    want = names["score"]({"a": np.float32([0.5, 3.0]), "c": np.array(["red", "green"]), "country": np.int64([1, 2])})
    np.testing.assert_array_equal(names["logits"], want)
    np.testing.assert_array_equal(names["same"], want)


def test_a_policy(cook):
    case = cases.load("proof_dead_logstd")
    names = cook("policy", case.name, observations=case.oracle("in")["x"])
    np.testing.assert_allclose(names["actions"], case.oracle()["action"], rtol=1e-5)


def test_an_archive_in_another_process(cook, run_program):
    cook("save", "mlp_layers")
    shutil.rmtree("export")
    done = run_program(["-c", RECIPES["load"]], cwd=os.getcwd())
    assert done.returncode == 0 and done.stdout.strip() == "(1, 3)", done.stderr
    without = RECIPES["load"].replace("import load_v2", "# import load_v2")
    done = run_program(["-c", without], cwd=os.getcwd())
    assert done.returncode != 0 and "register" in done.stderr


@pytest.mark.slow
def test_onnx(cook):
    for package in ("tf2onnx", "onnxruntime"):
        pytest.importorskip(package, reason="pip install -e '.[bench]'")
    names = cook("onnx", "mlp_layers", rows=ROWS)
    np.testing.assert_allclose(names["probs"], cases.load("mlp_layers").oracle()["probs"], rtol=1e-5, atol=1e-6)


def test_litert(cook):
    names = cook("litert", "mlp_layers", rows=ROWS)
    np.testing.assert_allclose(names["probs"], cases.load("mlp_layers").oracle()["probs"], rtol=1e-5, atol=1e-6)


def test_serving(cook, monkeypatch):
    import http.server

    started, servers = threading.Event(), []

    def serve(server, *arguments):
        servers.append(server)
        started.set()

    monkeypatch.setattr(http.server.HTTPServer, "serve_forever", serve)
    monkeypatch.setitem(RECIPES, "serve", RECIPES["serve"].replace("8501", "0"))
    names = cook("serve", "mlp_layers")
    monkeypatch.undo()
    try:
        thread = threading.Thread(target=servers[0].serve_forever, daemon=True)
        thread.start()
        address = f"http://localhost:{servers[0].server_address[1]}/v1/models/mlp:predict"

        def ask(instances):
            return urllib.request.urlopen(address, json.dumps({"instances": instances}).encode(), timeout=120)

        with ask(ROWS.tolist()) as answer:
            predictions = json.load(answer)["predictions"]
        got = [row["probs"] for row in predictions]
        np.testing.assert_allclose(got, cases.load("mlp_layers").oracle()["probs"], rtol=1e-5, atol=1e-6)
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask([[1.0, 2.0]])
        with caught.value as refused:
            assert refused.code == 400 and "'x' is [1, 2]" in json.load(refused)["error"]
    finally:
        servers[0].shutdown()
        servers[0].server_close()
        names["signature"].close()
