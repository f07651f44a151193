"""Functions of a graph's library as text, and nodes that call them, for graphs that no program writes."""

import pathlib

import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import saved_model_pb2

FLOAT = tf.float32.as_datatype_enum
_FLOATS = "list { type: DT_FLOAT }"
# A float in, a float out.
HEAD = """signature {{ name: "{name}" input_arg {{ name: "x" type: DT_FLOAT }}
                       output_arg {{ name: "y" type: DT_FLOAT }} {more} }}
"""
TWICE = (
    HEAD.format(name="twice", more="")
    + """node_def { name: "a" op: "AddV2" input: "x" input: "x" attr { key: "T" value { type: DT_FLOAT } } }
         ret { key: "y" value: "a:z:0" }"""
)


def call(name: str, edge: str, function: str, ends: bool = True) -> str:
    """A node of a function that calls another; `function` is an AttrValue as text."""
    end = f'ret {{ key: "y" value: "{name}:output:0" }}' if ends else ""
    return (
        f'node_def {{ name: "{name}" op: "PartitionedCall" input: "{edge}" attr {{ key: "Tin" value {{ {_FLOATS} }} }} '
        f'attr {{ key: "Tout" value {{ {_FLOATS} }} }} attr {{ key: "f" value {{ {function} }} }} }}\n{end}'
    )


def changed(folder: str | pathlib.Path, change) -> None:
    """Changes the GraphDef of a SavedModel in place."""
    file = pathlib.Path(folder) / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(saved.meta_graphs[0].graph_def)
    file.write_bytes(saved.SerializeToString())


def called(graph_def: graph_pb2.GraphDef, node: str, op: str, functions: list[str]) -> None:
    """Adds functions, and has a node of one float call the first of them, by a call or as both branches of a condition."""
    for function in functions:
        text_format.Parse(function, graph_def.library.function.add())
    (made,) = (each for each in graph_def.node if each.name == node)
    made.op, first = op, graph_def.library.function[-len(functions)].signature.name
    made.ClearField("attr")
    for key in ("Tin", "Tout"):
        made.attr[key].list.type.append(FLOAT)
    if op != "If":
        made.attr["f"].func.name = first
        return
    yes = graph_def.node.add(name="yes", op="Const")
    yes.attr["dtype"].type = tf.bool.as_datatype_enum
    yes.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(True))
    made.input.insert(0, "yes")
    made.attr["Tcond"].type = tf.bool.as_datatype_enum
    made.attr["then_branch"].func.name = made.attr["else_branch"].func.name = first
