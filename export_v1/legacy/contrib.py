"""tf.contrib, as far as tf-slim, tf-keras and TensorFlow itself still provide it."""

import importlib
import sys
import types

import tensorflow as tf
import tf_slim

# Private: the tables of tf.contrib.lookup and tf.nest are nowhere else. Tried with TensorFlow 2.16 and 2.21.
from tensorflow.python.ops import lookup_ops
from tensorflow.python.util import nest
from tf_slim.layers import initializers, optimizers, regularizers, summaries, utils
from tf_slim.ops import arg_scope, framework_ops, variables

from export_v1.legacy import crf, hparams, sequences
from export_v1.legacy.modules import Forwarding

v1 = tf.compat.v1
# Modules of their own, which tf_slim.nets does not import.
_NETS = {
    name: importlib.import_module(f"tf_slim.nets.{name}")
    for name in ("alexnet", "inception", "overfeat", "resnet_utils", "resnet_v1", "resnet_v2", "vgg")
}


class _Modes:
    """Keys of what a model function is called for."""

    TRAIN, EVAL, PREDICT, INFER = "train", "eval", "infer", "infer"


def module(rnn_cell) -> Forwarding:
    """Returns a stand-in for tf.contrib; parts of it that nobody provides can be imported, but not used.

    Args:
        rnn_cell: what tf.nn.rnn_cell is.
    """
    losses = _part("losses", tf_slim.losses, v1.losses)
    constants = types.SimpleNamespace(
        constant_value=tf.get_static_value, make_ndarray=tf.make_ndarray, make_tensor_proto=tf.make_tensor_proto
    )
    parts = (
        losses,
        _part("slim", tf_slim, losses=losses, nets=Forwarding("tensorflow.contrib.slim.nets", own=_NETS)),
        _layers(),
        _framework(),
        _rnn(rnn_cell),
        _part("training", types.SimpleNamespace(HParams=hparams.HParams, hparam=hparams), tf_slim.training),
        _part(
            "legacy_seq2seq",
            rnn_decoder=sequences.rnn_decoder,
            sequence_loss_by_example=sequences.sequence_loss_by_example,
            sequence_loss=sequences.legacy_sequence_loss,
        ),
        Forwarding("tensorflow.contrib.seq2seq", own={"sequence_loss": sequences.sequence_loss}, lazy=True),
        _part("crf", crf),
        _part("metrics", tf_slim.metrics, v1.metrics, set_ops=_set_ops()),
        _part("lookup", lookup_ops, v1.lookup),
        Forwarding("tensorflow.contrib.learn", own={"ModeKeys": _Modes}, lazy=True),
        _part("data", v1.data.experimental, v1.data),
        _part("distributions", v1.distributions),
        _part("signal", v1.signal),
        _part("util", v1, constants),
    )
    return Contrib("tensorflow.contrib", own={part.__name__.rsplit(".", 1)[-1]: part for part in parts})


def _part(name: str, *targets, **own) -> Forwarding:
    return Forwarding(f"tensorflow.contrib.{name}", *targets, own=own)


def _layers() -> Forwarding:
    return _part(
        "layers",
        # By name: `tf_slim.layers` as an attribute is the module of that name inside that package.
        sys.modules["tf_slim.layers.layers"],
        sys.modules["tf_slim.layers"],
        initializers=initializers,
        regularizers=regularizers,
        optimizers=optimizers,
        summaries=summaries,
        utils=utils,
        embed_sequence=sequences.embed_sequence,
    )


def _framework() -> Forwarding:
    others = types.SimpleNamespace(
        nest=nest,
        is_tensor=tf.is_tensor,
        argsort=tf.argsort,
        sort=tf.sort,
        list_variables=v1.train.list_variables,
        load_variable=v1.train.load_variable,
        load_checkpoint=v1.train.load_checkpoint,
        init_from_checkpoint=v1.train.init_from_checkpoint,
    )
    # A function and the module that it is in have one name; arg_scope the function is what is called.
    own = {"arg_scope": tf_slim.arg_scope, "variables": variables}
    return _part("framework", variables, framework_ops, arg_scope, tf_slim, others, **own)


class Contrib(Forwarding):
    """tf.contrib itself: a part that nobody provides is a module whose names can be imported."""

    def __getattr__(self, name: str):
        if name.startswith("__"):
            return super().__getattr__(name)
        self.__dict__[name] = Forwarding(f"{self.__name__}.{name}", lazy=True)
        return self.__dict__[name]


def _rnn(rnn_cell) -> Forwarding:
    own = {
        "stack_bidirectional_dynamic_rnn": sequences.stack_bidirectional_dynamic_rnn,
        "static_rnn": v1.nn.static_rnn,
        "static_state_saving_rnn": v1.nn.static_state_saving_rnn,
        "static_bidirectional_rnn": v1.nn.static_bidirectional_rnn,
    }
    made = Forwarding("tensorflow.contrib.rnn", rnn_cell, own=own, lazy=True)
    # Names of one module at different times of TensorFlow 1.
    for name in ("core_rnn_cell", "core_rnn_cell_impl", "rnn_cell", "core_rnn", "rnn"):
        made.__dict__[name] = made
    return made


def _set_ops() -> types.SimpleNamespace:
    sets = v1.sets
    return types.SimpleNamespace(
        set_size=sets.size,
        set_intersection=sets.intersection,
        set_difference=sets.difference,
        set_union=sets.union,
    )
