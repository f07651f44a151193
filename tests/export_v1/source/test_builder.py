"""Graphs rebuilt from code of TensorFlow 1, unmodified: answers, modes, what is left behind, and code that fails."""

import json
import os
import pathlib
import subprocess
import sys
import textwrap

import absl.flags
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as v1

import export_v1
import load_v2
from export_v1 import errors
from export_v1.legacy import hparams, missing, running
from export_v1.source import builder
from tests.support import cases

CODE = cases.names("builder")


def _written(tmp_path, code: str, name: str = "old_code.py") -> str:
    (tmp_path / name).write_text(textwrap.dedent(code))
    return str(tmp_path / name)


@pytest.fixture
def checkpoint(tmp_path) -> str:
    """Returns a checkpoint with w [2, 3] and b [3]."""
    with tf.Graph().as_default(), v1.Session() as session:
        variables = [v1.get_variable("w", initializer=tf.ones([2, 3])), v1.get_variable("b", initializer=tf.ones([3]))]
        session.run([one.initializer for one in variables])
        return v1.train.Saver(variables).save(session, str(tmp_path / "model.ckpt"), write_meta_graph=False)


DENSE = """
    import tensorflow as tf

    def build():
        x = tf.placeholder(tf.float32, [None, 2], "x")
        y = tf.matmul(x, tf.get_variable("w", [2, 3])) + tf.get_variable("b", [3])
        return {"x": x}, {"y": y}
"""


def _read(tmp_path, checkpoint, code: str, function: str = "build"):
    return builder.read(f"{_written(tmp_path, code)}:{function}", checkpoint)


# Unmodified code.


@pytest.mark.parametrize("name", CODE)
def test_answers_are_those_of_tensorflow_1(name, exported):
    case = cases.load(name)
    loaded = tf.saved_model.load(str(exported(name)))
    inputs = {key: tf.constant(value) for key, value in case.oracle("in").items()}
    cases.assert_equal(loaded.signatures["serving_default"](**inputs), case.oracle())
    assert load_v2.verify(str(exported(name))).equal


@pytest.mark.parametrize("name", CODE)
def test_variables_have_the_names_and_values_of_the_checkpoint(name, exported):
    case = cases.load(name)
    loaded = tf.saved_model.load(str(exported(name)))
    checkpoint = tf.train.load_checkpoint(str(case.folder / case.config["checkpoint"]))
    assert loaded.variables
    for one in loaded.variables:
        np.testing.assert_array_equal(one.numpy(), checkpoint.get_tensor(one.name.removesuffix(":0")), err_msg=one.name)


def test_a_python_time_switch_gives_a_train_signature_on_the_same_variables(exported):
    folder = exported("code_generator")
    loaded = tf.saved_model.load(str(folder))
    assert {"serving_default", "train"} <= set(loaded.signatures)
    assert len(loaded.variables) == len({one.name for one in loaded.variables}) == 16
    inputs = {key: tf.constant(value) for key, value in cases.load("code_generator").oracle("in").items()}
    before = {one.name: one.numpy() for one in loaded.variables}
    loaded.signatures["serving_default"](**inputs)
    assert all(np.array_equal(before[one.name], one.numpy()) for one in loaded.variables)
    loaded.signatures["train"](**inputs)
    changed = {one.name.split("/")[1] for one in loaded.variables if not np.array_equal(before[one.name], one.numpy())}
    # One updates in place (updates_collections=None), the other through UPDATE_OPS.
    assert changed == {"bn0", "c1"}


def test_regularization_losses_stay(exported):
    layer = load_v2.SignatureLayer(str(exported("code_generator")))
    kernel = next(one for one in layer.weights if one.path.endswith("c1/weights"))
    np.testing.assert_allclose(sum(map(float, layer.losses)), 0.01 * np.sum(np.square(kernel.numpy())) / 2, rtol=1e-5)


def test_the_graph_is_modern_from_the_start():
    source = builder.read(
        f"{cases.load('code_tagger').flags()['builder']}", cases.load("code_tagger").flags()["checkpoint"]
    )
    ops = {node.op for node in source.graph.graph_def.node}
    assert "VarHandleOp" in ops and ops & {"While", "StatelessWhile"}
    assert not ops & {"VariableV2", "Switch", "Merge", "Enter", "TensorArrayV3"}


def test_the_command_runs_it(tmp_path, subprocess_env):
    flags = cases.load("code_generator").flags()
    args = [f"--{name}={value}" for name, value in flags.items()]
    done = subprocess.run(
        [sys.executable, "-m", "export_v1", *args, f"--export_dir={tmp_path / 'out'}", "--sample="],
        capture_output=True,
        text=True,
        env=subprocess_env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "signature train" in done.stdout
    assert "UserWarning" not in done.stderr


def test_it_works_beside_keras_3(checkpoint, tmp_path):
    import keras

    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    before = model(np.ones([1, 2]))
    code = DENSE.replace("+ tf.get", "+ 0 * tf.layers.flatten(tf.keras.layers.ReLU()(x))[:, :1] + tf.get")
    export_v1.export(
        builder=f"{_written(tmp_path, code)}:build", checkpoint=checkpoint, export_dir=str(tmp_path / "out")
    )
    assert keras.__version__.startswith("3") and keras.layers.Dense is type(model.layers[-1])
    np.testing.assert_array_equal(before, model(np.ones([1, 2])))


@pytest.mark.parametrize("imported", ["tensorflow", "tensorflow.compat.v1"])
def test_both_ways_to_import_it_give_the_old_api(tmp_path, checkpoint, imported):
    code = DENSE.replace("import tensorflow as tf", f"import {imported} as tf\n    tf.disable_v2_behavior()")
    source = _read(tmp_path, checkpoint, code)
    assert source.graph.signatures["serving_default"].inputs == {"x": "x:0"}
    assert tf.executing_eagerly()


def test_a_module_of_a_package_is_run_by_name_and_by_file(tmp_path, checkpoint, monkeypatch):
    package = tmp_path / "net"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sizes.py").write_text("OUT = 3\n")
    code = DENSE.replace("import tensorflow as tf", "import tensorflow as tf\n    from . import sizes")
    _written(package, code.replace("[2, 3]", "[2, sizes.OUT]"), "model.py")
    monkeypatch.chdir(tmp_path)
    for spec in ("net.model:build", str(package / "model.py") + ":build"):
        assert "w" in {node.name for node in builder.read(spec, checkpoint).graph.graph_def.node}
    assert not [name for name in sys.modules if name.split(".")[0] == "net"]


def test_two_projects_with_modules_of_one_name_do_not_meet(tmp_path, checkpoint):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.py").write_text(f"import tensorflow as tf\nNAME = {name!r}\n")
        code = DENSE.replace("import tensorflow as tf", "import tensorflow as tf\n    import config")
        spec = _written(tmp_path / name, code.replace('[None, 2], "x"', "[None, 2], config.NAME"), "model.py")
        source = builder.read(f"{spec}:build", checkpoint)
        assert source.graph.signatures["serving_default"].inputs == {"x": f"{name}:0"}


def test_a_flag_inside_the_graph_is_frozen_and_trained(tmp_path, checkpoint):
    code = """
        import tensorflow as tf

        def build():
            x = tf.placeholder(tf.float32, [None, 2], "x")
            training = tf.placeholder(tf.bool, name="training")
            h = tf.layers.dropout(x, 0.5, training=training)
            return {"x": x}, {"y": tf.matmul(h, tf.get_variable("w", [2, 3])) + tf.get_variable("b", [3])}
    """
    flags = {"builder": f"{_written(tmp_path, code)}:build", "checkpoint": checkpoint, "overwrite": True}
    report = export_v1.export(export_dir=str(tmp_path / "out"), train_freeze={"training:0": "true"}, **flags)
    assert report["frozen"] == {"training:0": False} and report["train_frozen"] == {"training:0": True}
    assert {"serving_default", "train"} <= set(tf.saved_model.load(str(tmp_path / "out")).signatures)


def test_transposed_convolution_has_the_shape_that_tensorflow_1_gave_it():
    with running.old_api([], ""), tf.Graph().as_default():
        import tensorflow as old

        x = old.placeholder(old.float32, [None, 4, 4, 2])
        w = old.get_variable("w", [3, 3, 5, 2])
        batch = old.shape(x)[0]
        assert old.nn.conv2d_transpose(x, w, [7, 8, 8, 5], [1, 2, 2, 1]).shape.as_list() == [7, 8, 8, 5]
        assert old.nn.conv2d_transpose(x, w, [batch, 8, 8, 5], [1, 2, 2, 1]).shape.as_list() == [None, 8, 8, 5]
        packed = old.stack([batch, 8, 8, 5])
        assert old.nn.conv2d_transpose(x, w, output_shape=packed, strides=2).shape.as_list() == [None, 8, 8, 5]


# Nothing is left behind.


def _state() -> dict[str, object]:
    return {
        "argv": list(sys.argv),
        "path": list(sys.path),
        "finders": list(sys.meta_path),
        "tensorflow": sys.modules["tensorflow"],
        "v1": sys.modules["tensorflow.compat.v1"],
        "absl": (sys.modules["absl.flags"], absl.flags),
        "contrib": [name for name in sys.modules if name.startswith("tensorflow.contrib")],
        "shapes": type(tf.TensorShape([1])[0]),
        "resources": v1.resource_variables_enabled(),
        "control flow": v1.control_flow_v2_enabled(),
        "eager": tf.executing_eagerly(),
        "verbosity": v1.logging.get_verbosity(),
        "flags": set(absl.flags.FLAGS),
        "bytecode": sys.dont_write_bytecode,
    }


@pytest.mark.parametrize("name", CODE)
def test_nothing_is_left_behind(name):
    before, modules = _state(), set(sys.modules)
    flags = cases.load(name).flags()
    builder.read(flags["builder"], flags["checkpoint"])
    assert _state() == before
    left = {one for one in set(sys.modules) - modules if one.split(".")[0] in ("model", "settings")}
    assert not left and not hasattr(tf, "contrib")
    assert not list(pathlib.Path(flags["builder"].rpartition(":")[0]).parent.rglob("__pycache__"))


def test_nothing_is_left_behind_by_code_that_fails(tmp_path, checkpoint):
    before = _state()
    with pytest.raises(errors.ExportError, match="raised KeyError"):
        _read(tmp_path, checkpoint, "import tensorflow as tf\nimport tensorflow.contrib.slim\nraise KeyError('x')")
    assert _state() == before and "old_code" not in sys.modules


def test_a_module_that_was_imported_before_is_itself_again(tmp_path, checkpoint, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = _written(tmp_path, DENSE)
    import old_code

    assert builder.read(f"{spec}:build", checkpoint).graph.signatures
    assert sys.modules["old_code"] is old_code and old_code.tf is tf
    monkeypatch.delitem(sys.modules, "old_code")


# Code that fails.


def test_its_own_traceback_comes_with_one_line_above(tmp_path, checkpoint):
    code = DENSE.replace("y = tf", 'raise KeyError("no such size")\n        y = tf')
    with pytest.raises(errors.ExportError) as caught:
        _read(tmp_path, checkpoint, code)
    lines = str(caught.value).splitlines()
    assert "raised KeyError" in lines[0] and "old_code.py:6" in lines[0]
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "KeyError: 'no such size'"
    assert all("export_v1" not in line for line in lines[2:])


def test_a_file_that_cannot_be_imported_says_where(tmp_path, checkpoint):
    with pytest.raises(errors.ExportError, match="Importing 'old_code'.*SyntaxError(.|\n)*invalid syntax"):
        _read(tmp_path, checkpoint, "import tensorflow as tf\ndef build(:\n")
    with pytest.raises(errors.ExportError, match="raised SystemExit at .*old_code.py:2"):
        _read(tmp_path, checkpoint, "import sys\nsys.exit(3)\n")


@pytest.mark.parametrize(
    ("returned", "what"),
    [
        ("None", r"nothing \(None\)"),
        ("x", "a "),
        ("{'x': x}", "a dict"),
        ("([x], [y])", "a tuple of 2: list, list"),
        ("({'x': x}, {})", "no outputs"),
        ("({'x': x}, {'y': 3})", "a int as output 'y'"),
        ("({1: x}, {'y': y})", "a int as input key 1"),
        ("({'x': x}, {'y': tf.Session()})", "a Session as output 'y'"),
    ],
)
def test_the_wrong_thing_returned_shows_the_right_one(tmp_path, checkpoint, returned, what):
    code = DENSE.replace('return {"x": x}, {"y": y}', f"return {returned}")
    with pytest.raises(errors.ExportError, match=f"returned {what}(.|\n)*def build"):
        _read(tmp_path, checkpoint, code)


def test_tensors_of_two_graphs_are_refused(tmp_path, checkpoint):
    code = DENSE.replace(
        'return {"x": x}',
        'with tf.Graph().as_default():\n            x = tf.placeholder(tf.float32)\n        return {"x": x}',
    )
    with pytest.raises(errors.ExportError, match="more than one graph: 'x'"):
        _read(tmp_path, checkpoint, code)


def test_a_graph_of_its_own_is_taken(tmp_path, checkpoint):
    code = """
        import tensorflow as tf

        def build():
            with tf.Graph().as_default():
                x = tf.placeholder(tf.float32, [None, 2], "x")
                return {"x": x}, {"y": tf.matmul(x, tf.get_variable("w", [2, 3]))}
    """
    assert _read(tmp_path, checkpoint, code).graph.signatures["serving_default"].inputs == {"x": "x:0"}


def test_a_function_that_is_not_there_lists_those_that_are(tmp_path, checkpoint):
    with pytest.raises(errors.ExportError, match="Function 'bild'(.|\n)*Closest: 'build'(.|\n)*:build"):
        _read(tmp_path, checkpoint, DENSE, "bild")


@pytest.mark.parametrize("spec", ["model.py", ":build", "model.py:", "model.py:not a name"])
def test_a_spec_of_another_form_shows_the_form(spec, checkpoint):
    with pytest.raises(errors.ExportError, match="--builder=model.py:build"):
        builder.read(spec, checkpoint)


def test_a_file_that_is_not_there_lists_its_neighbours(tmp_path, checkpoint):
    _written(tmp_path, DENSE, "model.py")
    with pytest.raises(errors.ExportError, match="'modle.py'(.|\n)*Closest: 'model.py'"):
        builder.read(f"{tmp_path / 'modle.py'}:build", checkpoint)


def test_variables_that_the_checkpoint_lacks_come_with_a_rename_to_paste(tmp_path, checkpoint):
    code = DENSE.replace('"b", [3]', '"bb", [3]')
    spec = f"{_written(tmp_path, code)}:build"
    with pytest.raises(errors.ExportError, match=r"'bb'(.|\n)*--rename='\^bb\$=b'") as caught:
        export_v1.export(builder=spec, checkpoint=checkpoint, export_dir=str(tmp_path / "out"))
    paste = str(caught.value).split("--rename='")[1].split("'")[0]
    export_v1.export(builder=spec, checkpoint=checkpoint, export_dir=str(tmp_path / "out"), rename=[paste])


CONTRIB = [
    ("from tensorflow.contrib import tpu", "tpu.TPUEstimator()", "tf.contrib.tpu.TPUEstimator"),
    ("from tensorflow.contrib.seq2seq import BasicDecoder", "BasicDecoder(1)", "tf.contrib.seq2seq.BasicDecoder"),
    ("", "tf.contrib.opt.LazyAdamOptimizer()", "tf.contrib.opt.LazyAdamOptimizer"),
    ("", "tf.contrib.layers.no_such_layer(x)", "tf.contrib.layers.no_such_layer"),
    ("", "tf.estimator.Estimator(1)", "tf.estimator.Estimator"),
    ("class A(tf.contrib.seq2seq.Helper): pass", "1", "tf.contrib.seq2seq.Helper"),
    ("from tensorflow.contrib.layers import no_such_layer", "1", "tf.contrib.layers.no_such_layer"),
]


@pytest.mark.parametrize(("top", "use", "name"), CONTRIB)
def test_a_part_that_nobody_provides_is_named_where_it_is_used(tmp_path, checkpoint, top, use, name):
    code = textwrap.dedent(DENSE).replace("import tensorflow as tf", f"import tensorflow as tf\n{top}")
    code = code.replace("    y = tf", f"    {use}\n    y = tf")
    with pytest.raises(errors.ExportError, match=f"needs {name} at .*old_code.py:\\d+(.|\n)*--checkpoint=PREFIX"):
        _read(tmp_path, checkpoint, code)


def test_a_part_that_nobody_provides_may_be_imported(tmp_path, checkpoint):
    top = "\n".join(one for one, _, _ in CONTRIB[:2])
    code = textwrap.dedent(DENSE).replace("import tensorflow as tf", f"import tensorflow as tf\n{top}")
    assert _read(tmp_path, checkpoint, code).graph.signatures


@pytest.mark.parametrize("package", ["tf_keras", "tf_slim"])
def test_a_missing_extra_is_one_message_with_the_command(package, tmp_path, checkpoint, subprocess_env):
    spec = _written(tmp_path, DENSE) + ":build"
    script = (
        f"import sys; sys.modules[{package!r}] = None\nfrom export_v1.source import builder\n"
        f"try: builder.read({spec!r}, {checkpoint!r})\nexcept ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=subprocess_env, check=False
    )
    assert f"needs the package {package.replace('_', '-')}" in done.stdout, done.stderr
    assert "pip install tf-keras tf-slim" in done.stdout


# Parts.


def test_hparams_do_what_their_namesake_did():
    made = hparams.HParams(size=3, rate=0.5, name="a", deep=True)
    assert made.size == 3 and "size" in made and "other" not in made and made.get("other", 7) == 7
    made.parse("size=5,rate=0.25,deep=false").set_hparam("name", "b")
    assert made.values() == {"size": 5, "rate": 0.25, "name": "b", "deep": False}
    made.add_hparam("new", 1)
    assert json.loads(made.to_json())["new"] == 1
    with pytest.raises(KeyError, match="siez"):
        made.override_from_dict({"siez": 3})
    with pytest.raises(AttributeError, match="siez"):
        _ = made.siez


def test_missing_says_what_takes_its_place():
    assert "tf.while_loop" in missing.MissingError("tf.contrib.seq2seq.BasicDecoder").remedy
    assert "--checkpoint=PREFIX" in missing.MissingError("tf.contrib.unheard.Of").remedy


def test_conditional_random_field_is_the_sum_over_all_paths():
    """Against every tag sequence written out; the longest one and one that ends early."""
    import itertools

    from export_v1.legacy import crf

    rng = np.random.default_rng(0)
    scores, moves, lengths = rng.normal(size=[2, 4, 3]).astype("f"), rng.normal(size=[3, 3]).astype("f"), [4, 2]

    def score(row, tags):
        steps = sum(moves[a, b] for a, b in itertools.pairwise(tags))
        return sum(scores[row, at, tag] for at, tag in enumerate(tags)) + steps

    with tf.Graph().as_default(), v1.Session() as session:
        norm = crf.crf_log_norm(tf.constant(scores), tf.constant(lengths), tf.constant(moves))
        decoded = crf.crf_decode(tf.constant(scores), tf.constant(moves), tf.constant(lengths))
        norm, (tags, best) = session.run([norm, decoded])
    for row, length in enumerate(lengths):
        paths = {path: score(row, path) for path in itertools.product(range(3), repeat=length)}
        winner = max(paths, key=paths.get)
        np.testing.assert_allclose(norm[row], np.log(np.sum(np.exp(list(paths.values())))), rtol=1e-5)
        assert tuple(tags[row]) == winner + (0,) * (4 - length)
        np.testing.assert_allclose(best[row], paths[winner], rtol=1e-5)
        assert crf.viterbi_decode(scores[row, :length], moves)[0] == list(winner)


def test_folders_of_a_file_in_a_package(tmp_path):
    for name in ("a", "a/b"):
        os.makedirs(tmp_path / name, exist_ok=True)
        (tmp_path / name / "__init__.py").write_text("")
    folders, name = running.folders_of(str(tmp_path / "a" / "b" / "c.py"))
    assert (folders, name) == ([str(tmp_path), str(tmp_path / "a" / "b")], "a.b.c")
