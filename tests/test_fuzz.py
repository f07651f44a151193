"""Damaged and hostile files end in an error to read, or in a result that is complete; see `tests.fuzz`."""

import os
import subprocess
import sys

import pytest

# A process that has run TensorFlow cannot be forked safely, and this one may have: the fuzzer has one of its own.
COMMAND = [sys.executable, "-m", "tests.fuzz"]


def _run(arguments: list[str], env) -> str:
    done = subprocess.run([*COMMAND, *arguments], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_a_few_of_every_kind(subprocess_env):
    said = _run(["--count=1", "--seed=3000"], subprocess_env)
    assert sum(line.startswith("| ") for line in said.splitlines()) == 20


@pytest.mark.slow
def test_a_thousand(subprocess_env):
    print(_run(["--count=53", "--seed=0"], subprocess_env))


FAULTS = {
    "a function that calls itself": "calls itself",
    "a cycle": "depend on themselves",
    "a name twice": "2 nodes have the name",
    "a node that is not there": "no such node",
    "an output that is not there": "has 1 outputs",
    "another type": "where its op takes float32",
    "too few inputs": "has 1 inputs, its op takes 2",
    "an attribute less": "has no attribute 'T'",
    "an attribute of another kind": "is no type",
    "a type that there is not": "type",
    "terabytes": "bytes",
    "an impossible shape": "impossible shape",
    "too few bytes": "bytes for a tensor of",
}


def _faulty(what: str):
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [2, 2], name="x")
        tf.matmul(x, tf.constant([[1.0, 2.0], [3.0, 4.0]], name="w"), name="y")
        tf.constant(1, name="one")
    made = graph.as_graph_def()
    node = {one.name: one for one in made.node}
    tensor = node["w"].attr["value"].tensor
    if what == "a function that calls itself":
        function = made.library.function.add()
        function.signature.name = "f"
        function.node_def.add(name="again", op="f")
    elif what == "a cycle":
        node["y"].input[0] = "y"
    elif what == "a name twice":
        node["w"].name = "x"
    elif what == "a node that is not there":
        node["y"].input[0] = "z"
    elif what == "an output that is not there":
        node["y"].input[0] = "x:1"
    elif what == "another type":
        node["y"].input[0] = "one"
    elif what == "too few inputs":
        del node["y"].input[1]
    elif what == "an attribute less":
        del node["y"].attr["T"]
    elif what == "an attribute of another kind":
        node["y"].attr["T"].i = 1
    elif what == "a type that there is not":
        node["y"].attr["T"].type = 999
    elif what == "terabytes":
        tensor.tensor_shape.dim[0].size = 2**40
    elif what == "an impossible shape":
        node["x"].attr["shape"].shape.dim[0].size = -7
    else:
        tensor.tensor_content = tensor.tensor_content[:-1]
    return made


@pytest.mark.parametrize("what", sorted(FAULTS))
def test_a_graph_that_does_not_hold_together_is_refused_with_the_reason(what):
    from export_v1 import ExportError
    from export_v1.passes import wellformed

    with pytest.raises(ExportError, match=f"(?s)does not hold together.*{FAULTS[what]}"):
        wellformed.check(_faulty(what))


@pytest.mark.parametrize(
    "what", ["a function that calls itself", "a cycle", "a name twice", "terabytes", "an impossible shape"]
)
def test_step_2_refuses_what_would_end_the_process(what):
    from load_v2 import LoadError, wellformed

    with pytest.raises(LoadError, match="does not hold together"):
        wellformed.check(_faulty(what), "export")


def test_the_golden_graphs_hold_together():
    from export_v1.passes import wellformed
    from export_v1.source import meta_graph
    from tests import cases

    for name in ("convnet_bn_dropout", "lstm_dynamic_rnn", "lookup_vocab", "partitioned_embedding"):
        path = cases.load(name).folder / "model.ckpt-3.meta"
        assert wellformed.problems(meta_graph.read(str(path)).graph_def) == []


@pytest.mark.parametrize("functional", [False, True])
def test_a_loop_without_end_is_an_error(functional, tmp_path, monkeypatch):
    import tensorflow as tf

    import export_v1
    from export_v1 import sample
    from tests import graphs

    monkeypatch.setattr(sample, "SECONDS", 2)
    with graphs.tensorflow_1() as graph:
        if functional:
            tf.compat.v1.enable_control_flow_v2()
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        tf.identity(
            tf.compat.v1.while_loop(
                lambda value: tf.reduce_sum(value) > -1, lambda value: value + 1, [x], [tf.TensorShape([None])]
            ),
            name="y",
        )
        (tmp_path / "loop.pb").write_bytes(graph.as_graph_def().SerializeToString())
        tf.compat.v1.disable_control_flow_v2()
    with pytest.raises(export_v1.ExportError, match="(?s)no answer to the sample after 2 seconds.*--no_sample"):
        export_v1.export(
            graph_def=str(tmp_path / "loop.pb"),
            export_dir=str(tmp_path / "export"),
            inputs={"x": "x:0"},
            outputs={"y": "y:0"},
        )
    assert os.listdir(tmp_path) == ["loop.pb"]


@pytest.mark.parametrize("package", ["export_v1", "load_v2"])
def test_a_process_that_dies_is_one_message(package, tmp_path, subprocess_env):
    code = f"from {package} import supervise; import os, sys\n"
    after = ", lambda child: print('cleared')" if package == "export_v1" else ""
    code += f"sys.exit(supervise.supervised(lambda: os.abort(), 'command'{after}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=subprocess_env, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1 and "SIGABRT" in done.stderr and "nothing was written" in done.stderr
    assert ("cleared" in done.stdout) == (package == "export_v1")
    assert os.listdir(tmp_path) == []
