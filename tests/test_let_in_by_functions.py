"""Attacks by the functions of a graph's library: what they are given, how deep they go, what they make and print."""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

import export_v1
from export_v1.ir import library
from load_v2 import LoadError, SignatureLayer, verification
from tests.support import functions, savedmodels
from tests.support.graphs import v1


@pytest.fixture
def folder(tmp_path) -> str:
    """A SavedModel whose answer is its input, by a node "y"; and another one that reads a variable "w"."""
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        w = savedmodels.variable("w", np.float32(2))
        return savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": tf.identity(x, name="y"), "z": x * w})


def _refused(folder: str, tmp_path: pathlib.Path, match: str) -> None:
    with pytest.raises(export_v1.ExportError, match=match):
        export_v1.export(saved_model=folder, export_dir=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(LoadError, match=match):
        SignatureLayer(folder)


# TensorFlow 2.21 ends the process over it; and what calls twice what it is given, 26 deep, would never come back.
GIVEN = (
    functions.HEAD.format(name="both", more='attr { name: "g" type: "func" }')
    + functions.call("a", "x", 'placeholder: "g"', ends=False)
    + functions.call("b", "a:output:0", 'placeholder: "g"')
)


@pytest.mark.parametrize("depth", [1, 26])
def test_a_function_takes_no_function(depth, folder, tmp_path):
    def change(graph_def):
        functions.called(graph_def, "y", "PartitionedCall", [GIVEN, functions.TWICE])
        (y,) = (node for node in graph_def.node if node.name == "y")
        given = y.attr["f"].func
        for _ in range(depth):
            given.name, given = "both", given.attr["g"].func
        given.name = "twice"

    functions.changed(folder, change)
    _refused(folder, tmp_path, "function 'both' takes a function, 'g'")


def test_a_call_gives_no_function(folder, tmp_path):
    """Where the callee does not say that it takes one."""

    def change(graph_def):
        functions.called(graph_def, "y", "PartitionedCall", [functions.TWICE])
        (y,) = (node for node in graph_def.node if node.name == "y")
        y.attr["f"].func.attr["g"].list.func.add(name="twice")

    functions.changed(folder, change)
    _refused(folder, tmp_path, "node 'y' .* gives the function 'twice' another one to call")


@pytest.mark.parametrize("depth", [library.MOST_DEEP + 1, 2000])
def test_functions_do_not_go_too_deep(depth, folder, tmp_path):
    """No more nodes than are written, and each level a recursion of TensorFlow's."""
    chain = [
        functions.HEAD.format(name=f"f{at}", more="") + functions.call("a", "x", f'func {{ name: "f{at + 1}" }}')
        for at in range(depth - 1)
    ]
    last = functions.TWICE.replace('"twice"', f'"f{depth - 1}"')
    functions.changed(folder, lambda graph_def: functions.called(graph_def, "y", "PartitionedCall", [*chain, last]))
    _refused(folder, tmp_path, f"call one another {depth:,} deep, from 'f0' on; at most {library.MOST_DEEP}")


def test_functions_may_go_deep(folder, tmp_path):
    depth = library.MOST_DEEP
    chain = [
        functions.HEAD.format(name=f"f{at}", more="") + functions.call("a", "x", f'func {{ name: "f{at + 1}" }}')
        for at in range(depth - 1)
    ]
    last = functions.TWICE.replace('"twice"', f'"f{depth - 1}"')
    functions.changed(folder, lambda graph_def: functions.called(graph_def, "y", "PartitionedCall", [*chain, last]))
    assert SignatureLayer(folder)(np.float32([3]))["y"].numpy() == [6]


VARIABLE = (
    functions.HEAD.format(name="reads", more="")
    + """
    node_def { name: "v" op: "VarHandleOp" attr { key: "dtype" value { type: DT_FLOAT } }
      attr { key: "shape" value { shape { } } } attr { key: "shared_name" value { s: "w" } } }
    node_def { name: "r" op: "ReadVariableOp" input: "v:resource:0" attr { key: "dtype" value { type: DT_FLOAT } } }
    node_def { name: "a" op: "AddV2" input: "x" input: "r:value:0" attr { key: "T" value { type: DT_FLOAT } } }
    ret { key: "y" value: "a:z:0" }
    """
)
TABLE = (
    functions.HEAD.format(name="looks", more="")
    + """
    node_def { name: "v" op: "HashTableV2" attr { key: "key_dtype" value { type: DT_FLOAT } }
      attr { key: "value_dtype" value { type: DT_FLOAT } } }
    node_def { name: "a" op: "LookupTableFindV2" input: "v:table_handle:0" input: "x" input: "zero:output:0"
      attr { key: "Tin" value { type: DT_FLOAT } } attr { key: "Tout" value { type: DT_FLOAT } } }
    node_def { name: "zero" op: "Const" attr { key: "dtype" value { type: DT_FLOAT } }
      attr { key: "value" value { tensor { dtype: DT_FLOAT tensor_shape { } float_val: 0 } } } }
    ret { key: "y" value: "a:values:0" }
    """
)


@pytest.mark.parametrize(("op", "function"), [("StatefulPartitionedCall", VARIABLE), ("If", VARIABLE), ("If", TABLE)])
def test_what_a_function_makes_is_nobodys(op, function, folder, tmp_path):
    """TensorFlow finds it by its name; a layer has no weight for it, and an export would not have restored it."""
    functions.changed(folder, lambda graph_def: functions.called(graph_def, "y", op, [function]))
    _refused(folder, tmp_path, r"makes .* inside functions(?s:.*)v'")


def test_a_gradient_of_a_stranger_does_not_run(folder, tmp_path):
    """The library says that the gradient of one function is another, which no node calls."""
    canary = tmp_path / "canary"
    write = f"""
        node_def {{ name: "file" op: "Const" attr {{ key: "dtype" value {{ type: DT_STRING }} }}
          attr {{ key: "value" value {{ tensor {{ dtype: DT_STRING tensor_shape {{ }} string_val: "{canary}" }} }} }} }}
        node_def {{ name: "write" op: "WriteFile" input: "file:output:0" input: "file:output:0" }}
        node_def {{ name: "a" op: "Identity" input: "dy" input: "^write" attr {{ key: "T" value {{ type: DT_FLOAT }} }} }}
        ret {{ key: "y" value: "a:output:0" }}
    """
    given = 'input_arg { name: "dy" type: DT_FLOAT }'

    def change(graph_def):
        functions.called(graph_def, "y", "StatefulPartitionedCall", [functions.TWICE])
        text_format.Parse(functions.HEAD.format(name="evil", more=given) + write, graph_def.library.function.add())
        graph_def.library.gradient.add(function_name="twice", gradient_func="evil")

    functions.changed(folder, change)
    layer, x = SignatureLayer(folder), tf.constant([3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)["y"]
    assert tape.gradient(y, x).numpy() == [2] and not canary.exists()
    export_v1.export(saved_model=folder, export_dir=str(tmp_path / "out"))
    assert not canary.exists()

    def ask(graph_def):
        made = graph_def.node.add(name="asked", op="SymbolicGradient", input=["x", "x"])
        made.attr["Tin"].list.type.extend([functions.FLOAT] * 2)
        made.attr["Tout"].list.type.append(functions.FLOAT)
        made.attr["f"].func.name = "twice"
        next(node for node in graph_def.node if node.name == "y").input.append("^asked")

    # Where a node asks for the gradient, that is a call.
    functions.changed(folder, ask)
    shutil.rmtree(tmp_path / "out")
    _refused(folder, tmp_path, "WriteFile: 'write'")
    assert not canary.exists()


def _prints(tmp_path: pathlib.Path) -> str:
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        said = v1.raw_ops.Print(input=x, data=[tf.constant("\x1b[2Jdata")], message="\x1b]0;title\x07 said:")
        checked = v1.raw_ops.CheckNumerics(tensor=said, message="\x1b[2Jnumbers")
        return savedmodels.save(tmp_path / "prints", current, {"x": x}, {"y": tf.add(checked, 1.0, name="y")})


def test_what_a_graph_prints_does_not_reach_a_terminal(tmp_path, capfd):
    folder = _prints(tmp_path)
    assert SignatureLayer(folder)(np.float32([1])).numpy() == [2]
    export_v1.export(saved_model=folder, export_dir=str(tmp_path / "out"))
    assert verification.verify(tmp_path / "out").equal
    printed = "".join(capfd.readouterr())
    assert r"\x1b]0;title\x07 said:" in printed and "\x1b" not in printed
    with pytest.raises(Exception, match=r"\\x1b\[2Jnumbers") as caught:
        SignatureLayer(folder)(np.float32([np.nan]))
    assert "\x1b" not in str(caught.value)


def test_an_export_that_would_print_so_is_not_loaded_by_tensorflow(tmp_path, capfd):
    """`verify` has TensorFlow load the folder, which reads the file itself."""
    export_v1.export(saved_model=_prints(tmp_path), export_dir=str(tmp_path / "out"))

    def change(graph_def):
        next(node for node in graph_def.node if node.op == "Print").attr["message"].s = b"\x1b]0;title\x07"

    functions.changed(tmp_path / "out", change)
    with pytest.raises(LoadError, match="'message' of 'Print'"):
        verification.verify(tmp_path / "out")
    assert "\x1b" not in "".join(capfd.readouterr())
