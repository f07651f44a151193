"""Ops that TensorFlow 1.15 knew and TensorFlow 2 does not: their inputs, outputs and attributes."""

import functools
import importlib.resources

from google.protobuf import text_format
from tensorflow.core.framework import op_def_pb2

FILE = "removed_ops.pbtxt"


@functools.cache
def definitions() -> dict[str, op_def_pb2.OpDef]:
    """Returns the OpDef of each op that TensorFlow 1.15.5 registered, tf.contrib included, and 2.21 does not, by name."""
    text = importlib.resources.files("export_v1.ir").joinpath(FILE).read_text(encoding="utf-8")
    return {definition.name: definition for definition in text_format.Parse(text, op_def_pb2.OpList()).op}
