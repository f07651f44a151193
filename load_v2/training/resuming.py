"""resume: an export with its training, as a compiled keras.Model."""

import os
from collections.abc import Collection

import numpy as np
import tensorflow as tf

from export_v1.format import record
from load_v2.errors import LoadError, path_of
from load_v2.layer import weights
from load_v2.layer.signature_layer import SignatureLayer
from load_v2.training import graphs, keras_optimizers
from load_v2.training.model import ResumedModel
from load_v2.training.optimizer import GraphOptimizer, slots_of


def resume(
    path: str | os.PathLike,
    signature: str = "serving_default",
    *,
    name: str | None = None,
    allow_ops: Collection[str] = (),
) -> ResumedModel:
    """Returns the model of an export that was made with `--resume`, compiled, so that `fit` goes on with its training.

    Where the optimizer was left behind at export, the model is not compiled: `model.compile(OPTIMIZER)` chooses one.

    Guaranteed: see `ResumedModel`; `model.optimizer` has the slots and the step of the checkpoint. Inside a
    `tf.distribute` scope the variables are the strategy's.

    Args:
        path: folder of the export.
        signature: what the model answers with when it is called.
        name: of the model.
        allow_ops: ops to let run although they could touch files, network or Python.

    Raises:
        LoadError: the export has no training, or is damaged.
    """
    path = path_of(path)
    layer = SignatureLayer(path, signature, allow_ops=allow_ops)
    source = layer.program_source
    if source.record is None or source.record.resume is None:
        raise LoadError(
            f"{path!r} was exported without its training.\n"
            "  Export it again with --resume, or train SignatureLayer with a Keras optimizer."
        )
    programs = graphs.read(path)
    training = source.record.resume
    in_layer = {weight.name for weight in layer.weights}
    of_loss = {key: program for key, program in programs.items() if key in (record.LOSS, record.VALIDATION)}
    extra = [(v.name, v.dtype, v.shape, v.trainable, v.key, v.part) for v in slots_of(of_loss, in_layer)]
    model = ResumedModel(layer, training, extra, source.bundle, name=name)
    if record.OPTIMIZER in training.left_behind:
        model.attach(programs)
        return model
    slots = slots_of(programs, set(model.by_name))
    optimizer = GraphOptimizer(
        [[v.name, v.dtype, list(v.shape)] for v in slots],
        [vars(entry) for entry in training.gradients],
        rate=keras_optimizers.constant_rate(training.optimizers[0]),
    )
    for variable, value in zip(slots, weights.restored(slots, source.bundle), strict=True):
        optimizer.slots[variable.name].assign(value)
    held = {**optimizer.slots, **model.by_name}
    if training.counter in held:
        optimizer.iterations.assign(tf.cast(held[training.counter].value, optimizer.iterations.dtype))

    def held_by(variable: str) -> np.ndarray:
        # Not Keras's conversion, which does not know the variables of a strategy.
        return tf.identity(held[variable].value).numpy()

    twin = keras_optimizers.of(training, programs, model.trainable_variables, held_by)
    if twin is None:
        # What is built, `model.summary()` counts.
        optimizer.build(model.trainable_variables)
    model.compile(optimizer=twin or optimizer, jit_compile=False)
    model.attach(programs)
    return model
