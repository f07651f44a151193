"""Everything here rests on names that Keras does not promise to keep. Tried with Keras 3.15.

Keras has no public way to ask these questions, and the layer cannot do without the answers.
"""

import keras
from keras.src.backend.common import global_state
from keras.src.saving import serialization_lib


def inside_a_layer_call() -> bool:
    """Whether the caller runs inside another Keras layer's call, whose `training` flag is then inherited."""
    return global_state.get_global_attribute("current_call_ctx") is not None


def safe_mode() -> bool | None:
    """Returns the `safe_mode` of the load in progress; None where nothing is being loaded and no global default is set."""
    return serialization_lib.in_safe_mode()


def take_arguments_as_they_are(layer: keras.Layer) -> None:
    """Stops Keras from casting inputs to the layer's compute dtype: a TensorFlow 1 graph has fixed types.

    Keras's own preprocessing layers set the same attributes, for the same reason.
    """
    layer._convert_input_args = False
    layer._allow_non_tensor_positional_args = True
