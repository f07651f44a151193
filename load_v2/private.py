"""What rests on names that Keras and TensorFlow do not promise to keep. Tried with Keras 3.12 and 3.15, TensorFlow 2.16 and 2.21.

There is no public way to ask these questions, and the layer cannot do without the answers.
"""

import functools
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state, symbolic_scope
from keras.src.saving import serialization_lib
from keras.src.trainers.data_adapters import array_slicing
from tensorflow.python.eager import context, record
from tensorflow.python.framework import cpp_shape_inference_pb2
from tensorflow.python.ops import handle_data_util

from load_v2.errors import LoadError


def inside_a_layer_call() -> bool:
    """Whether the caller runs inside another Keras layer's call, whose `training` flag is then inherited."""
    return global_state.get_global_attribute("current_call_ctx") is not None


def is_asked_for_shapes() -> bool:
    """Whether Keras traces a call for the shapes of its outputs alone: what is traced never runs."""
    return symbolic_scope.in_symbolic_scope()


def safe_mode() -> bool | None:
    """Returns the `safe_mode` of the load in progress; None where nothing is loading and no global default is set."""
    return serialization_lib.in_safe_mode()


_MARK = "takes_strings"


def let_models_take_strings() -> None:
    """Lets Keras's `fit`, `evaluate` and `predict` take columns of strings: from pandas, or as NumPy's own strings.

    They take arrays of string objects and tensors of strings, and stop at these, which hold the same, with "Invalid
    dtype". There is nothing public between `predict` and that check; what they took before goes the same way as it did.
    """
    convert = getattr(array_slicing, "convert_to_sliceable", None)
    if convert is None or hasattr(convert, _MARK):
        return

    @functools.wraps(convert)
    def with_strings(arrays, *args, **kwargs):
        return convert(keras.tree.map_structure(_as_strings, arrays), *args, **kwargs)

    setattr(with_strings, _MARK, True)
    array_slicing.convert_to_sliceable = with_strings


def _as_strings(value):
    """Returns a column of strings as a tensor, anything else as it is.

    Raises:
        LoadError: some of the strings are missing; Keras would call it an invalid dtype.
    """
    if value is None or tf.is_tensor(value) or not hasattr(value, "__array__"):
        return value
    if getattr(getattr(value, "dtype", None), "kind", "O") not in "OSTU" or getattr(value, "ndim", 1) == 0:
        return value
    items = np.asarray(value)
    if items.dtype.kind not in "OSTU":
        return value
    missing = [index for index, item in enumerate(items.ravel()) if not isinstance(item, (str, bytes))]
    if missing:
        first = items.ravel()[missing[0]]
        if len(missing) < items.size and (first is None or first != first or type(first).__name__ == "NAType"):
            raise LoadError(
                f"A column of strings has missing values; the first is element {missing[0]}: {first}.\n"
                "  No string says that a value is missing. Fill or drop them first."
            )
        return value
    return tf.convert_to_tensor(items.astype(object))


def schedule_of(optimizer: keras.optimizers.Optimizer) -> object:
    """Returns the schedule that an optimizer was made with, or its rate; the public property gives the rate alone."""
    return optimizer._learning_rate


def take_arguments_as_they_are(layer: keras.Layer) -> None:
    """Stops Keras from casting inputs to the layer's compute dtype: a TensorFlow 1 graph has fixed types.

    Keras's own preprocessing layers set the same attributes, for the same reason.
    """
    layer._convert_input_args = False
    layer._allow_non_tensor_positional_args = True


def tell_element_types(handle: tf.Tensor, key_dtype: int, value_dtype: int) -> None:
    """Tells shape inference what a table with scalar keys and values holds, given its eager handle and two DataTypes.

    Only Python code that builds a table knows it, and without it whatever is looked up has an unknown rank.
    """
    result = cpp_shape_inference_pb2.CppShapeInferenceResult
    scalar = tf.TensorShape(()).as_proto()
    types = [result.HandleShapeAndType(shape=scalar, dtype=dtype) for dtype in (key_dtype, value_dtype)]
    handle_data_util.set_handle_data(handle, result.HandleData(is_set=True, shape_and_type=types))


def eagerly():
    """Returns a context in which ops run at once; the public init_scope stays in a graph that is no function's."""
    return context.eager_mode()


def no_recording():
    """Returns a context in which no gradient tape records; the public stop_recording is for a tape that one holds."""
    return record.stop_recording()


def call(function: tf.types.experimental.ConcreteFunction, tensors: Sequence[tf.Tensor]) -> Sequence[tf.Tensor]:
    """Returns what a concrete function gives for tensors that are known to fit its signature.

    The public call binds and checks the arguments again, which is a quarter of the time of a small graph in eager mode.
    """
    if not tf.executing_eagerly() or not hasattr(function, "_call_flat"):
        return function(*tensors)
    return function._call_flat(list(tensors), function.captured_inputs)
