"""`python -m load_v2 port`: one file out, whole or not at all; one message where something does not fit."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2.commands import parsing, port
from load_v2.errors import LoadError
from tests.support import cases, porting_models

CODE = """
import keras
from helper import SIZE

def build():
    return keras.Sequential([keras.Input((20,)), keras.layers.Dense(SIZE, activation="relu"),
                             keras.layers.Dense(10, activation="softmax")])

def broken():
    raise RuntimeError("no such layer")
"""


@pytest.fixture
def code(tmp_path):
    (tmp_path / "my_code.py").write_text(CODE)
    (tmp_path / "helper.py").write_text("SIZE = 128\n")
    yield tmp_path / "my_code.py"
    for name in ("my_code", "helper"):
        sys.modules.pop(name, None)


def run(*argv):
    parser = parsing.Parser("port", "")
    port.add_flags(parser)
    return port.run(parser.parse_args(argv))


def flags(code, out, function="build", case="port_textbook"):
    folder = cases.FOLDER / case
    return [
        f"--checkpoint={folder / 'model.ckpt-3'}",
        f"--model={code}:{function}",
        f"--weights={out}",
        f"--expect={folder / 'oracle.npz'}",
    ]


def test_weights_file_holds_the_checkpoint(code, tmp_path, capsys):
    out = tmp_path / "out.weights.h5"
    out.write_bytes(b"something old")
    assert run(*flags(code, out)) == 0
    said = capsys.readouterr().out
    assert "4 of 4 weights" in said and "answer: equal" in said
    model = porting_models.textbook()
    model.load_weights(out)
    with np.load(cases.FOLDER / "port_textbook" / "oracle.npz") as file:
        np.testing.assert_allclose(model(file["in/x"]), file["out/probs"], atol=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["helper.py", "my_code.py", out.name]


def test_no_file_unless_everything_fits(code, tmp_path):
    out = tmp_path / "out.weights.h5"
    out.write_bytes(b"something old")
    (tmp_path / "helper.py").write_text("SIZE = 127\n")
    with pytest.raises(LoadError, match=r"shape \[20, 128\] from the checkpoint, \[20, 127\] in the model"):
        run(*flags(code, out))
    assert out.read_bytes() == b"something old"
    assert {*os.listdir(tmp_path)} - {"__pycache__"} == {"helper.py", "my_code.py", out.name}


@pytest.mark.parametrize(
    ("model", "facts"),
    [
        ("{code}:biuld", ["'biuld' is not in", "Closest: 'build'"]),
        ("{code}:broken", ["fails at", "my_code.py:10", "RuntimeError: no such layer"]),
        ("{folder}/none.py:build", ["There is no file"]),
        ("no_such_module:build", ["'no_such_module' cannot be imported", "ModuleNotFoundError"]),
    ],
)
def test_code_that_gives_no_model(code, model, facts, tmp_path):
    arguments = flags(code, tmp_path / "out.weights.h5")
    arguments[1] = "--model=" + model.format(code=code, folder=tmp_path)
    with pytest.raises(LoadError) as caught:
        run(*arguments)
    for fact in facts:
        assert fact in str(caught.value)


def test_a_folder_that_is_not_there_is_made(code, tmp_path):
    run(*flags(code, tmp_path / "none" / "out.weights.h5"))
    assert (tmp_path / "none" / "out.weights.h5").is_file()


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (None, "cannot be read"),
        ({"x": np.zeros(1)}, "need arrays named in/KEY and out/KEY"),
        ({"in/x": np.zeros((1, 20), "f"), "out/y": np.zeros((1, 11), "f")}, "which no answer in"),
        ({"in/x": np.zeros((1, 21), "f"), "out/y": np.zeros((1, 10), "f")}, "fails on the inputs of"),
        ({"in/x": np.zeros((1, 20), "f"), "out/y": np.zeros((1, 10), "f")}, "Output y: DIFFERENT"),
    ],
)
def test_expected_answers_of_another_kind(code, tmp_path, content, fact):
    path = tmp_path / "io.npz"
    if content:
        np.savez(path, **content)
    with pytest.raises(LoadError) as caught:
        run(*flags(code, tmp_path / "out.weights.h5")[:-1], f"--expect={path}")
    assert fact in str(caught.value)
    assert not (tmp_path / "out.weights.h5").exists()


def program(*argv, env):
    return subprocess.run([sys.executable, "-m", "load_v2", "port", *argv], capture_output=True, text=True, env=env)


def test_help_and_flag_errors_do_without_tensorflow(subprocess_env, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('tensorflow was imported')")
    env = {**subprocess_env, "PYTHONPATH": f"{tmp_path}{os.pathsep}{subprocess_env['PYTHONPATH']}"}
    done = program("--help", env=env)
    assert done.returncode == 0 and "--expect" in done.stdout
    done = program("--checkpoint=a", "--model=b:c", "--weights=out.h5", env=env)
    assert done.returncode == 1 and "does not end with .weights.h5" in done.stderr
    done = program("--checkpoint=a", "--model=b", "--weights=out.weights.h5", env=env)
    assert done.returncode == 1 and "MODULE_OR_FILE:FUNCTION" in done.stderr
    done = program("--checkpoint=a", "--model=b:c", "--weights=out.weights.h5", env=env)
    assert "tensorflow was imported" in done.stderr, "or this test could not fail"


def test_one_message_and_exit_code_1(code, run_program, tmp_path):
    arguments = flags(code, tmp_path / "out.weights.h5", case="mlp_layers")
    done = run_program(["-m", "load_v2", "port", *arguments])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "weights of model" in done.stderr
    assert not (tmp_path / "out.weights.h5").exists()


# A model of 32 weights, 256 KiB to 8 MiB, 132 MiB in all: what loading them takes above it.
IN_MEMORY = """
import sys
import keras
from load_v2 import load_checkpoint_weights
prefix, other = sys.argv[1:]
class Model(keras.Model):
    def __init__(self):
        super().__init__()
        self.all = [self.add_weight(shape=(256, 256 * n), name="kernel", initializer="zeros") for n in range(1, 33)]
model = Model()
model.built = True
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
load_checkpoint_weights(model, other, strict=False)
open("/proc/self/clear_refs", "w").write("5")
before = peak()
report = load_checkpoint_weights(model, prefix)
print(report.proven, peak() - before)
"""


@pytest.mark.parametrize("onednn", ["0", "1"])
def test_one_weight_at_a_time_in_memory(onednn, tmp_path, subprocess_env):
    # Each is a little larger than the one before, so that none fits where another was. With oneDNN, TensorFlow has
    # another allocator; which is the default depends on the processor.
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "big"),
        tensor_names=[f"layer_{n}/kernel" for n in range(1, 33)],
        shape_and_slices=[""] * 32,
        tensors=[tf.fill((256, 256 * n), float(n)) for n in range(1, 33)],
    )
    done = subprocess.run(
        [sys.executable, "-c", IN_MEMORY, tmp_path / "big", cases.FOLDER / "port_textbook"],
        capture_output=True,
        text=True,
        env={**subprocess_env, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": onednn},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    proven, grown = done.stdout.split()
    assert int(proven) == 32
    # All of them are 132 MiB; on a busy machine more is on its way at once.
    assert float(grown) < 80, f"{grown} MiB above the model itself, more than ten times its largest weight"


def test_a_keras_file_is_what_load_weights_reads(code, tmp_path):
    assert run(*flags(code, tmp_path / "out.weights.h5")) == 0
    other = keras.Sequential([keras.Input((20,)), keras.layers.Dense(128), keras.layers.Dense(9)])
    with pytest.raises(ValueError, match=r"\(128, 9\)"):
        other.load_weights(tmp_path / "out.weights.h5")
    same = keras.Sequential([keras.Input((20,)), keras.layers.Dense(128), keras.layers.Dense(10)])
    same.load_weights(tmp_path / "out.weights.h5")
    reader = tf.train.load_checkpoint(str(cases.FOLDER / "port_textbook" / "model.ckpt-3"))
    saved = [reader.get_tensor(key) for key in reader.get_variable_to_shape_map()]
    for weight in same.get_weights():
        assert any(np.array_equal(weight, value) for value in saved)


def test_suggest_writes_rules_that_load_what_was_matched(code, tmp_path, capsys):
    checkpoint, model = flags(code, "")[:2]
    keras.utils.clear_session()
    rules, out = tmp_path / "rules.toml", tmp_path / "out.weights.h5"
    assert run(checkpoint, model, f"--suggest={rules}") == 0
    said = capsys.readouterr().out
    assert "4 are certain" in said and f"pass --rules={rules} --weights=" in said
    # Numbers in names begin anew, as in another process.
    keras.utils.clear_session()
    assert run(*flags(code, out), f"--rules={rules}") == 0
    assert "4 of 4 weights" in capsys.readouterr().out and out.exists()


def test_suggest_keeps_what_is_there_and_takes_no_other_output(code, tmp_path):
    checkpoint, model = flags(code, "")[:2]
    rules = tmp_path / "rules.toml"
    rules.write_text("mine")
    with pytest.raises(LoadError, match="already exists, perhaps with your changes"):
        run(checkpoint, model, f"--suggest={rules}")
    assert rules.read_text() == "mine"
    with pytest.raises(LoadError, match="--weights has no meaning beside it"):
        run(*flags(code, tmp_path / "a.weights.h5"), f"--suggest={tmp_path}/new.toml")
    with pytest.raises(LoadError, match="There is nothing to write"):
        run(checkpoint, model)
    assert sorted(path.name for path in tmp_path.glob("*.toml")) == ["rules.toml"]


def test_keras_writes_the_whole_model_with_its_weights(code, tmp_path, capsys):
    archive, weights = tmp_path / "m.keras", tmp_path / "w.weights.h5"
    assert run(*flags(code, weights), f"--keras={archive}") == 0
    assert f"{archive}: written" in capsys.readouterr().out
    loaded = keras.models.load_model(archive)
    oracle = np.load(cases.FOLDER / "port_textbook" / "oracle.npz")
    (given,), (wanted,) = ([oracle[key] for key in oracle if key.startswith(side)] for side in ("in/", "out/"))
    np.testing.assert_allclose(loaded(given), wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(SystemExit):
        run(*flags(code, weights), "--keras=m.h5")
