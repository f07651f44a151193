"""Models of a few nodes: as a checkpoint on disk, and as the records that step 1 passes around."""

import pathlib
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from export_v1.interface import Input
from export_v1.model import Graph
from export_v1.planning import variant
from export_v1.weights import restore
from export_v1.weights.restore import Restored, Variable, Weights
from tests.support import graphs
from tests.support.graphs import v1

FLOAT = tf.float32.as_datatype_enum


def checkpoint(folder: pathlib.Path, build: Callable[[], object]) -> str:
    """Returns the prefix of a checkpoint of the graph that `build` builds, its variables initialized."""
    with graphs.tensorflow_1(), v1.Session() as session:
        build()
        if not v1.global_variables():
            v1.get_variable("unused", [1])
        session.run(v1.global_variables_initializer())
        return v1.train.Saver().save(session, str(folder / "model.ckpt"))


def write_variables(prefix: str, values: Mapping[str, object]) -> None:
    """Writes a checkpoint of arrays by key."""
    arrays = [np.asarray(value) for value in values.values()]
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=list(values), shape_and_slices=[""] * len(arrays), tensors=arrays)


def asked(graph: tf.Graph, inputs: Mapping[str, str], outputs: Mapping[str, str], **fields) -> variant.Variant:
    """Returns a variant of one signature `serving_default`; inputs and outputs are key -> tensor name."""
    cuts = {}
    for key, name in inputs.items():
        tensor = graph.get_tensor_by_name(name)
        shape = tensor.shape.as_list() if tensor.shape.rank is not None else None
        cuts[key] = Input(name, tensor.dtype.base_dtype.as_datatype_enum, shape)
    signature = variant.PlannedSignature(cuts, dict(outputs), fields.pop("frozen", {}))
    model = Graph(graph.as_graph_def(add_shapes=True), **fields)
    return variant.Variant("", model, {"serving_default": signature})


def initial(**values) -> Weights:
    """Returns weights that have their values with them."""
    arrays = {name: np.asarray(value) for name, value in values.items()}
    made = (Variable(name, tf.as_dtype(one.dtype), one.shape, True) for name, one in arrays.items())
    return Weights(tuple(made), None, arrays)


def restored(prefix: str, *names: str) -> Weights:
    """Returns weights that are where a checkpoint has them, under their own names."""
    checkpoint = restore.Checkpoint(prefix)
    made = (
        Variable(name, checkpoint.dtypes[name], tuple(checkpoint.shapes[name]), True, Restored(name)) for name in names
    )
    return Weights(tuple(made), checkpoint)
