"""Keras's test of a layer. The class is not part of its public interface; tried with Keras 3.15."""

from keras.src.testing import TestCase


class _Case(TestCase):
    def runTest(self):
        """Nothing: what counts is what the class can do."""


def run_layer_test(layer_class: type, arguments: dict, **expected) -> None:
    """Holds a layer to what Keras holds its own layers to: config, build, symbolic and eager calls, training, mixed precision.

    Args:
        layer_class: of the layer.
        arguments: that it is made with.
        expected: inputs and what must come of them, as Keras's `run_layer_test` takes them.
    """
    _Case().run_layer_test(layer_class, arguments, **expected)
