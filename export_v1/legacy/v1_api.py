"""`import tensorflow as tf` as old graph code expects it: tf.compat.v1, and what has left it since."""

import dataclasses
import logging
import sys

import tensorflow as tf

# Private: TensorFlow 1's tf.layers and tf.nn.rnn_cell are nowhere else in tf-keras. Tried with tf-keras 2.16 and 2.21.
from tf_keras.api._v1 import keras
from tf_keras.api._v1.keras.__internal__.legacy import layers as keras_layers
from tf_keras.api._v1.keras.__internal__.legacy import rnn_cell as keras_rnn_cell

from export_v1.legacy import app_flags, contrib
from export_v1.legacy.modules import Forwarding

v1 = tf.compat.v1
# The last release of TensorFlow 1, whose API this stands for; old code asks for it to choose among names.
VERSION = "1.15.5"
# What changes TensorFlow for the whole process, or throws away the graph that is being built.
_SWITCHES = (
    "reset_default_graph",
    *(
        f"{turn}_{what}"
        for turn in ("enable", "disable")
        for what in (
            "eager_execution",
            "v2_behavior",
            "v2_tensorshape",
            "resource_variables",
            "control_flow_v2",
            "tensor_equality",
        )
    ),
)


@dataclasses.dataclass
class EstimatorSpec:
    """What a model function returns; `predictions` are the tensors an export is made of."""

    mode: str
    predictions: object = None
    loss: object = None
    train_op: object = None
    eval_metric_ops: object = None
    export_outputs: object = None
    training_chief_hooks: object = None
    training_hooks: object = None
    scaffold: object = None
    evaluation_hooks: object = None
    prediction_hooks: object = None


class ModeKeys:
    """Keys of what a model function is called for."""

    TRAIN, EVAL, PREDICT = "train", "eval", "infer"


def module(values: app_flags.Flags) -> Forwarding:
    """Returns the stand-in for the module `tensorflow`.

    Args:
        values: the flags that code defines through tf.flags.
    """
    rnn_cell = Forwarding("tensorflow.nn.rnn_cell", keras_rnn_cell)
    layers = Forwarding("tensorflow.layers", keras_layers)
    flag_module = app_flags.module("tensorflow.flags", values)
    estimator = Forwarding(
        "tensorflow.estimator", own={"ModeKeys": ModeKeys, "EstimatorSpec": EstimatorSpec}, lazy=True
    )
    own: dict[str, object] = {
        "__version__": VERSION,
        "VERSION": VERSION,
        "layers": layers,
        "nn": Forwarding("tensorflow.nn", v1.nn, own={"rnn_cell": rnn_cell, "conv2d_transpose": conv2d_transpose}),
        "keras": keras,
        "flags": flag_module,
        "app": Forwarding("tensorflow.app", own={"flags": flag_module, "run": lambda *args, **kwargs: None}),
        "logging": Forwarding("tensorflow.logging", v1.logging, own={"set_verbosity": lambda level: None}),
        "estimator": estimator,
        "contrib": contrib.module(rnn_cell),
        **{name: _ignored(name) for name in _SWITCHES},
    }
    made = Forwarding("tensorflow", v1, own=own)
    # Submodules that are not stood in for are found where they are.
    made.__path__ = tf.__path__
    made.__dict__["compat"] = Forwarding("tensorflow.compat", tf.compat, own={"v1": made})
    # TensorFlow deletes this attribute of its own once it is imported; the module stays.
    made.__dict__["python"] = sys.modules["tensorflow.python"]
    return made


def _ignored(name: str):
    def switch(*args, **kwargs) -> None:
        logging.getLogger(__name__).debug("tf.%s() is ignored while the graph is built", name)

    return switch


def conv2d_transpose(*args, **kwargs):
    """tf.nn.conv2d_transpose, whose result has the static shape that `output_shape` says, as in TensorFlow 1."""
    result = v1.nn.conv2d_transpose(*args, **kwargs)
    wanted = kwargs.get("output_shape", args[2] if len(args) > 2 else None)
    if wanted is not None and result.shape.rank is not None:
        sizes = _static_sizes(wanted)
        if sizes is not None and len(sizes) == result.shape.rank:
            result.set_shape([size if size is None or size >= 0 else None for size in sizes])
    return result


def _static_sizes(shape) -> list[int | None] | None:
    """Returns the sizes of a shape given as list or tensor, None for those that are not constant."""
    if tf.is_tensor(shape):
        value = tf.get_static_value(shape, partial=True)
        return None if value is None else [None if size is None else int(size) for size in value]
    if isinstance(shape, tf.TensorShape):
        return shape.as_list()
    sizes = []
    for size in shape:
        value = tf.get_static_value(size) if tf.is_tensor(size) else getattr(size, "value", size)
        sizes.append(None if value is None else int(value))
    return sizes
