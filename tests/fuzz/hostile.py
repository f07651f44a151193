"""Graphs and artefacts that are made to do more than compute: a canary is written where one of them gets through."""

import json
import os
import pathlib
import random
import shutil
import zipfile

import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import graph_pb2

from tests.support import functions
from tests.support.graphs import nested

GraphDef = graph_pb2.GraphDef
_FLOAT = tf.float32.as_datatype_enum
_MARKS = ("api_implements", "api_preferred_device", "_kernel", "_XlaMustCompile", "_XlaCompile", "_noinline", "_class",
          "_implements", "_gradient_op_type", "_swap_to_host", "forward_function_name", "_tpu_replicate")  # fmt: skip
_INIT_KEYS = (
    "saved_model_main_op",
    "legacy_init_op",
    "saved_model_init_op",
    "serving_init_op",
    "__saved_model_init_op",
)
# Where a process that damages a file expects nothing to be written; see `running`.
canary = "/nowhere/canary"


def _constant(nodes, name: str, text: str) -> None:
    node = nodes.add(name=name, op="Const")
    node.attr["dtype"].type = tf.string.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(text))


def _writing(nodes, name: str, output: str = "") -> None:
    _constant(nodes, f"{name}/file", canary)
    nodes.add(name=name, op="WriteFile", input=[f"{name}/file{output}"] * 2)


def _node(graph_def, rng: random.Random):
    """Returns a node of one output of floats, more often one near the answers."""
    nodes = [node for node in graph_def.node if node.op in ("Relu", "Identity", "MatMul", "BiasAdd", "Tanh", "Softmax")]
    return rng.choice(nodes or list(graph_def.node))


def write(graph_def, rng):
    """A write that something waits for."""
    name = f"writes_{rng.random()}"
    _writing(graph_def.node, name)
    _node(graph_def, rng).input.append(f"^{name}")


def write_behind_a_condition(graph_def, rng):
    """The same in a branch whose predicate is a constant: taken or not."""
    name, taken = f"branch_{rng.random()}", rng.random() < 0.5
    yes = graph_def.node.add(name=f"{name}/yes", op="Const")
    yes.attr["dtype"].type = tf.bool.as_datatype_enum
    yes.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(taken))
    switch = graph_def.node.add(name=f"{name}/switch", op="Switch", input=[yes.name, yes.name])
    side = graph_def.node.add(name=f"{name}/side", op="Identity", input=[f"{switch.name}:1"])
    for node in (switch, side):
        node.attr["T"].type = tf.bool.as_datatype_enum
    _writing(graph_def.node, name)
    graph_def.node[-1].input.append(f"^{side.name}")
    merge = graph_def.node.add(name=f"{name}/merge", op="Merge", input=[switch.name, f"{name}/after"])
    after = graph_def.node.add(name=f"{name}/after", op="Identity", input=[side.name, f"^{name}"])
    for node in (merge, after):
        node.attr["T"].type = tf.bool.as_datatype_enum
    merge.attr["N"].i = 2
    _node(graph_def, rng).input.append(f"^{merge.name}")


def function(graph_def, rng):
    """A function that writes: called, a branch, or beside one that it says it can replace."""
    suffix = str(rng.randrange(10**6))
    way = rng.choice(("op", "PartitionedCall", "StatefulPartitionedCall", "If", "swapped", "gradient"))
    made = {}
    for kind in ("evil", "good"):
        body = made[kind] = graph_def.library.function.add()
        body.signature.name = f"{kind}_{suffix}"
        body.signature.input_arg.add(name="a", type=_FLOAT)
        body.signature.output_arg.add(name="b", type=_FLOAT)
        same = body.node_def.add(name="same", op="Identity", input=["a"])
        same.attr["T"].type = _FLOAT
        if kind == "evil":
            _writing(body.node_def, "w", ":output:0")
            same.input.append("^w")
        body.ret["b"] = "same:output:0"
        if way == "swapped":
            body.attr["api_implements"].s = b"the_same"
            body.attr["api_preferred_device"].s = b"CPU" if kind == "evil" else b"GPU"
    called = made["good" if way in ("swapped", "gradient") else "evil"].signature.name
    if way == "gradient":
        graph_def.library.gradient.add(function_name=called, gradient_func=made["evil"].signature.name)
    node = _node(graph_def, rng)
    inner = graph_def.node.add()
    inner.CopyFrom(node)
    inner.name = f"{node.name}/inner_{suffix}"
    name = node.name
    node.Clear()
    node.name, node.op = name, called if way == "op" else way if way[0] in "PSI" else "StatefulPartitionedCall"
    if way == "If":
        yes = graph_def.node.add(name=f"yes_{suffix}", op="Const")
        yes.attr["dtype"].type = tf.bool.as_datatype_enum
        yes.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(True))
        node.input.append(yes.name)
        node.attr["Tcond"].type = tf.bool.as_datatype_enum
        node.attr["then_branch"].func.name = node.attr["else_branch"].func.name = called
    elif way != "op":
        node.attr["f"].func.name = called
    node.input.append(inner.name)
    if way != "op":
        node.attr["Tin"].list.type.append(_FLOAT)
        node.attr["Tout"].list.type.append(_FLOAT)


def named_like_an_op(graph_def, rng):
    """A function under the name of an op, or an op under that of a function."""
    function(graph_def, rng)
    graph_def.library.function[-1].signature.name = rng.choice(("Relu", "WriteFile", "Identity", "MatMul"))


def table_from_elsewhere(graph_def, rng):
    """A table that is filled from a file of the machine, under the name of an asset or not."""
    name = f"table_{rng.random()}"
    fillers = [node for node in graph_def.node if node.op == "InitializeTableFromTextFileV2"]
    _constant(graph_def.node, f"{name}/file", "/etc/hostname")
    if fillers and rng.random() < 0.5:
        rng.choice(fillers).input[1] = f"{name}/file"
        return
    table = graph_def.node.add(name=name, op=rng.choice(("HashTableV2", "AnonymousHashTable")))
    table.attr["key_dtype"].type, table.attr["value_dtype"].type = 7, 9
    fill = graph_def.node.add(name=f"{name}/fill", op="InitializeTableFromTextFileV2", input=[name, f"{name}/file"])
    fill.attr["key_index"].i, fill.attr["value_index"].i = -2, -1
    fill.attr["vocab_size"].i, fill.attr["delimiter"].s = -1, b"\t"
    _node(graph_def, rng).input.append(f"^{fill.name}")


def marks(graph_def, rng):
    """Attributes that no op has, and options of calls."""
    bodies = [graph_def.node, *(body.node_def for body in graph_def.library.function)]
    for _ in range(rng.choice((1, 3, 20))):
        node = rng.choice(rng.choice([body for body in bodies if body]))
        value = node.attr[rng.choice((*_MARKS, "config_proto", "executor_type"))]
        value.s = rng.choice((b"CPU", b"the_same", b"\n\x02\x08\x01", b"SINGLE_THREADED_EXECUTOR", rng.randbytes(9)))
    for body in graph_def.library.function:
        body.attr[rng.choice(_MARKS)].s = rng.choice((b"CPU", b"the_same"))


def nested_functions(graph_def, rng):
    """Functions that call one another twice, level upon level."""
    deep = nested(rng.choice((3, 10, 18, 26, 60, 2000)), rng.choice((1, 2, 3)))
    graph_def.library.function.extend(deep.library.function)
    node = _node(graph_def, rng)
    outer = graph_def.node.add(name=f"{node.name}/outer", op=node.op)
    outer.CopyFrom(node)
    outer.name = f"{node.name}/outer"
    name = node.name
    node.Clear()
    node.name, node.op = name, "f0"
    node.input.append(outer.name)


def given_a_function(graph_def, rng):
    """A function that calls what it is given, and a call that gives it one; either may stand alone."""
    suffix, depth = str(rng.randrange(10**6)), rng.choice((1, 2, 26))
    takes, text = rng.random() < 0.7, functions.TWICE.replace('"twice"', f'"twice_{suffix}"')
    more = 'attr { name: "g" type: "func" }' if takes else ""
    both = functions.HEAD.format(name=f"both_{suffix}", more=more)
    both += functions.call("a", "x", 'placeholder: "g"', ends=False)
    both += functions.call("b", "a:output:0", 'placeholder: "g"')
    for body in (both, text):
        text_format.Parse(body, graph_def.library.function.add())
    node = _node(graph_def, rng)
    outer = graph_def.node.add()
    outer.CopyFrom(node)
    outer.name, name = f"{node.name}/outer", node.name
    node.Clear()
    node.name, node.op = name, "PartitionedCall"
    node.input.append(outer.name)
    for key in ("Tin", "Tout"):
        node.attr[key].list.type.append(_FLOAT)
    given = node.attr["f"].func
    for _ in range(depth):
        given.name, given = f"both_{suffix}", given.attr["g"].func
    given.name = f"twice_{suffix}"


def made_in_a_function(graph_def, rng):
    """A variable or a table that a function makes, under a name that somebody else may have."""
    function(graph_def, rng)
    body = graph_def.library.function[-1]
    made = body.node_def.add(
        name="made", op=rng.choice(("VarHandleOp", "HashTableV2", "VariableV2", "MutableHashTableV2"))
    )
    made.attr["shared_name"].s = rng.choice((b"w", b"dense/kernel", b""))
    made.attr["dtype"].type, made.attr["shape"].shape.unknown_rank = _FLOAT, False
    made.attr["key_dtype"].type, made.attr["value_dtype"].type = 7, 9
    for key in ("dtype", "shape") if "Table" in made.op else ("key_dtype", "value_dtype"):
        del made.attr[key]
    body.node_def[0].input.append("^made")


ALL = (write, write_behind_a_condition, function, function, named_like_an_op, table_from_elsewhere, marks,
       nested_functions, given_a_function, made_in_a_function)  # fmt: skip


def any_of(graph_def: GraphDef, rng: random.Random) -> str:
    """Changes a graph in one way; returns in which."""
    mutate = rng.choice(ALL)
    mutate(graph_def, rng)
    return mutate.__name__


def init_op(meta, rng: random.Random) -> str:
    """Makes an op that writes one that a loader runs first, or an initializer of a variable."""
    name = f"init_{rng.random()}"
    _writing(meta.graph_def.node, name)
    assigns = [node for node in meta.graph_def.node if node.op in ("Assign", "AssignVariableOp")]
    if assigns and rng.random() < 0.5:
        node = rng.choice(assigns)
        node.input.append(f"^{name}")
        name = node.name
    key = rng.choice(_INIT_KEYS)
    if key.startswith("__"):
        meta.signature_def[key].outputs["op"].name = name
    else:
        meta.collection_def[key].node_list.value.append(name)
    return f"init op under {key}"


def link(folder: pathlib.Path, rng: random.Random) -> str:
    """Makes a link, or a pipe, of something in an artefact, or adds one."""
    places = sorted(path for path in folder.rglob("*"))
    place = rng.choice(places)
    if rng.random() < 0.2:
        os.symlink(rng.choice(("/etc/hostname", "..", "nowhere")), place.parent / "added")
        return f"a link beside {place.name}"
    if rng.random() < 0.1 and place.is_file():
        place.unlink()
        os.mkfifo(place)
        return f"{place.name} is a pipe"
    elsewhere = folder.parent / "elsewhere"
    shutil.move(place, elsewhere)
    os.symlink(elsewhere, place)
    return f"{place.name} is a link"


def config(file: pathlib.Path, rng: random.Random) -> str:
    """Adds to a layer's config, or changes what is there."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = json.loads(members["config.json"])
    (layer,) = (each for each in content["config"]["layers"] if each["class_name"] == "SignatureLayer")
    told = layer["config"]
    values = (["WriteFile"], "WriteFile", True, None, 0, -1, "../..", {"a": 1}, [], "/etc/passwd", 10**30)
    if rng.random() < 0.6:
        key = rng.choice(("allow_ops", "path", "signature", "policy", "_policy", "safe_mode", "supervised", "weights"))
        told[key] = rng.choice(values)
    elif rng.random() < 0.5:
        key = rng.choice(sorted(told))
        told[key] = rng.choice(values)
    else:
        key = rng.choice(sorted(told["description"]))
        told["description"][key] = rng.choice(values)
    members["config.json"] = json.dumps(content).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return f"{key} in the config"
