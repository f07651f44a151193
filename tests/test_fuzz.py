"""Damaged and hostile files end in an error to read, or in a result that is complete; see `tests.fuzz`."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.fuzz import targets

# A process that has run TensorFlow cannot be forked safely, and this one may have: the fuzzer has one of its own.
COMMAND = [sys.executable, "-m", "tests.fuzz"]


def _run(arguments: list[str], env) -> str:
    done = subprocess.run([*COMMAND, *arguments], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_a_few_of_every_kind(subprocess_env):
    said = _run(["--count=1", "--seed=3000"], subprocess_env)
    assert sum(line.startswith("| ") for line in said.splitlines()) == len(targets.ALL) + 1


@pytest.mark.slow
def test_two_thousand(subprocess_env):
    said = _run(["--count=70", "--seed=0"], subprocess_env).splitlines()
    print(f"came out: {said[-1]}")
    assert said[-1].startswith(f"{70 * len(targets.ALL):,} mutations of {len(targets.ALL)} kinds")


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
    "a type that there is not": "'T' of a type that there is not: 999",
    "terabytes": "'w' .*a tensor of 8,796,093,022,208 bytes",
    "an impossible shape": "impossible shape",
    "too few bytes": "15 bytes for a tensor of 16",
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
    from export_v1.ir import wellformed

    with pytest.raises(ExportError, match=f"(?s)is malformed.*{FAULTS[what]}"):
        wellformed.check(_faulty(what))


@pytest.mark.parametrize(
    "what", ["a function that calls itself", "a cycle", "a name twice", "terabytes", "an impossible shape"]
)
def test_step_2_refuses_what_would_end_the_process(what):
    from export_v1.ir import wellformed
    from load_v2 import LoadError

    with pytest.raises(LoadError, match="is malformed"):
        wellformed.check(_faulty(what), "export", LoadError)


def test_the_golden_graphs_are_well_formed():
    from export_v1.ir import wellformed
    from export_v1.source import meta_graph
    from tests.support import cases

    for name in ("convnet_bn_dropout", "lstm_dynamic_rnn", "lookup_vocab", "partitioned_embedding"):
        path = cases.load(name).folder / "model.ckpt-3.meta"
        assert wellformed.problems(meta_graph.read(str(path)).graph_def) == []


def _loop(folder, condition, functional: bool) -> dict[str, object]:
    """Writes a graph with a while_loop; returns flags to export it."""
    import tensorflow as tf

    from tests.support import graphs

    with graphs.tensorflow_1() as graph:
        if functional:
            tf.compat.v1.enable_control_flow_v2()
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        loop = tf.compat.v1.while_loop(condition, lambda value: value + 1, [x], [tf.TensorShape([None])], name="around")
        tf.identity(loop, name="y")
        (folder / "loop.pb").write_bytes(graph.as_graph_def().SerializeToString())
        tf.compat.v1.disable_control_flow_v2()
    flags = {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}
    return {"graph_def": str(folder / "loop.pb"), "export_dir": str(folder / "export"), **flags}


@pytest.mark.parametrize("functional", [False, True])
def test_a_loop_without_end_for_made_up_values_is_given_up_and_for_real_ones_an_error(
    functional, tmp_path, monkeypatch
):
    import tensorflow as tf

    import export_v1
    from export_v1.proof import asking, examples

    # Another guess might end the loop.
    monkeypatch.setattr(examples, "MOST_TRIED", 1)
    monkeypatch.setattr(asking, "SECONDS_IF_MADE_UP", 2)
    flags = _loop(tmp_path, lambda value: tf.reduce_sum(value) > -1, functional)
    proof = export_v1.export(**flags, overwrite=True)["proof"]
    assert proof["verdict"] == "not proven" and "did not answer the sample within 2 seconds" in proof["why"]
    monkeypatch.setattr(asking, "SECONDS", 2)
    np.savez(tmp_path / "in.npz", x=np.float32([1, 1]))
    written = sorted(os.listdir(tmp_path))
    with pytest.raises(export_v1.ExportError, match="(?s)did not answer the sample within 2 seconds.*--no_sample"):
        export_v1.export(**flags, overwrite=True, sample=str(tmp_path / "in.npz"))
    assert sorted(os.listdir(tmp_path)) == written


@pytest.mark.parametrize("functional", [False, True])
@pytest.mark.parametrize("computed", [False, True])
def test_a_loop_without_end_whose_condition_is_constant_never_runs(computed, functional, tmp_path):
    import tensorflow as tf

    import export_v1

    def condition(value):
        return (
            tf.logical_or(tf.reduce_sum(value) > 5, tf.constant(1) < tf.constant(2)) if computed else tf.constant(True)
        )

    flags = _loop(tmp_path, condition, functional)
    with pytest.raises(export_v1.ExportError, match="(?s)endless loop.*'around.*--no_sample"):
        export_v1.export(**flags)
    assert os.listdir(tmp_path) == ["loop.pb"]


def test_a_loop_without_end_that_nothing_foresees_is_given_up(tmp_path, monkeypatch):
    import tensorflow as tf

    import export_v1
    from export_v1.analysis import endless
    from export_v1.proof import asking, examples

    monkeypatch.setattr(endless, "check", lambda graph_def: None)
    monkeypatch.setattr(asking, "SECONDS_IF_MADE_UP", 1)
    monkeypatch.setattr(examples, "MOST_TRIED", 1)
    proof = export_v1.export(**_loop(tmp_path, lambda value: tf.constant(True), False))["proof"]
    assert proof["verdict"] == "not proven" and "did not answer the sample within 1 seconds" in proof["why"]


def test_a_loop_that_is_never_entered_and_one_that_ends_are_no_loops_without_end(tmp_path):
    import tensorflow as tf

    import export_v1

    for at, condition in enumerate((lambda value: tf.constant(False), lambda value: tf.reduce_sum(value) < 9)):
        folder = tmp_path / str(at)
        folder.mkdir()
        export_v1.export(**_loop(folder, condition, False))
        assert (folder / "export").exists()


def test_a_graph_deeper_than_pythons_stack_is_exported_and_verified(tmp_path):
    import tensorflow as tf

    import export_v1
    import load_v2
    from tests.support import graphs

    with graphs.tensorflow_1() as graph:
        tf.identity(tf.compat.v1.placeholder(tf.float32, [None, 4], name="x"), name="y")
    deep, count = graph.as_graph_def(), 2 * sys.getrecursionlimit()
    for at in range(count):
        node = deep.node.add(name=f"deep_{at}", op="Identity", input=[f"deep_{at - 1}" if at else "x"])
        node.attr["T"].type = 1
    next(node for node in deep.node if node.name == "y").input[0] = f"deep_{count - 1}"
    (tmp_path / "deep.pb").write_bytes(deep.SerializeToString())
    report = export_v1.export(
        graph_def=str(tmp_path / "deep.pb"),
        export_dir=str(tmp_path / "export"),
        inputs={"x": "x:0"},
        outputs={"y": "y:0"},
    )
    assert report["nodes"]["kept"] > count
    assert load_v2.verify(tmp_path / "export").equal


def test_a_merge_that_goes_around_without_an_enter_is_left_as_it_is(tmp_path):
    import tensorflow as tf

    from export_v1.passes import functional

    _loop(tmp_path, lambda value: tf.reduce_sum(value) < 9, False)
    graph_def = tf.compat.v1.GraphDef.FromString((tmp_path / "loop.pb").read_bytes())
    for node in graph_def.node:
        if node.op == "Enter":
            node.op = "Identity"
            for key in set(node.attr) - {"T"}:
                del node.attr[key]
    assert any("no Enter" in why for _, why in functional.convert(graph_def, keep=["y:0"]).notes.unconverted)


def test_what_tensorflow_refuses_only_after_the_conversion_is_one_message(tmp_path):
    import tensorflow as tf

    import export_v1
    from tests.support import graphs

    with graphs.tensorflow_1() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [1, 4, 4, 1], name="x")
        tf.nn.conv2d(x, tf.ones([1, 1, 1, 1]), strides=1, padding="SAME", name="y")
    graph_def = graph.as_graph_def()
    next(node for node in graph_def.node if node.name == "y").attr["strides"].list.i[1] = -(2**63)
    (tmp_path / "m.pb").write_bytes(graph_def.SerializeToString())
    with pytest.raises(export_v1.ExportError, match="refuses the converted graph: Attr strides"):
        export_v1.export(
            graph_def=str(tmp_path / "m.pb"),
            export_dir=str(tmp_path / "export"),
            inputs={"x": "x:0"},
            outputs={"y": "y:0"},
            no_sample=True,
        )
    assert os.listdir(tmp_path) == ["m.pb"]


@pytest.mark.parametrize("collection", ["variables", "saved_model_assets"])
def test_step_2_says_which_export_has_a_collection_that_is_no_protobuf(collection, exported, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    from load_v2 import LoadError
    from load_v2.program import artefact

    shutil.copytree(exported("lookup_vocab"), tmp_path / "export")
    path = tmp_path / "export" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    if collection == "variables":
        model.meta_graphs[0].collection_def["variables"].bytes_list.value.append(b"\xff\xff")
    else:
        del model.meta_graphs[0].asset_file_def[:]
        model.meta_graphs[0].collection_def[collection].any_list.value[0].value = b"\xff\xff"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(LoadError, match="(?s)cannot be read.*Export again"):
        artefact.read(tmp_path / "export")


def test_step_1_says_which_saved_model_has_a_list_of_assets_that_is_no_protobuf(tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    import export_v1
    from tests.support import savedmodels

    folder = pathlib.Path(savedmodels.vocabulary(tmp_path / "one", ["a", "b"]))
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    del model.meta_graphs[0].asset_file_def[:]
    model.meta_graphs[0].collection_def["saved_model_assets"].any_list.value[0].value = b"\xff\xff"
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(export_v1.ExportError, match="list of assets is damaged"):
        export_v1.export(saved_model=str(folder), export_dir=str(tmp_path / "export"))


@pytest.mark.parametrize("package", ["export_v1", "load_v2"])
def test_a_process_that_dies_is_one_message(package, tmp_path, subprocess_env):
    code = "from export_v1.console import supervise; import os, sys\n"
    after = ", lambda: print('cleared')" if package == "export_v1" else ""
    code += f"sys.exit(supervise.supervised(lambda: os.abort(), 'command'{after}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=subprocess_env, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1 and "SIGABRT" in done.stderr and "nothing was written" in done.stderr
    assert ("cleared" in done.stdout) == (package == "export_v1")
    assert os.listdir(tmp_path) == []
