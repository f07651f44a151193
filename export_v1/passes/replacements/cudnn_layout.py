"""How cuDNN's opaque buffer holds the weights of its recurrent networks.

Source of truth: tensorflow/contrib/cudnn_rnn/python/ops/cudnn_rnn_ops.py of TensorFlow 1.15 for the order of the
canonical matrices, and cuDNN's developer guide for where they are in the buffer: all matrices, layer by layer and
direction by direction, then all biases in the same order.
"""

import dataclasses
import math

import tensorflow as tf

# Kind of network -> how many gates it has.
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


@dataclasses.dataclass(frozen=True)
class Layout:
    """The matrices of a network.

    Attributes:
        mode: "lstm" (gates: input, forget, cell, output), "gru" (reset, update, candidate), "rnn_tanh" or "rnn_relu".
        layers: how many.
        directions: 1 or 2; the second one reads the sequence backwards.
        input_size: of the first layer's input.
        units: of each layer.
        projection: size that the outputs of an LSTM are projected to; 0: none.
        skips_input: the first layer adds its input to each gate as it is, without a matrix.
    """

    mode: str
    layers: int
    directions: int
    input_size: int
    units: int
    projection: int = 0
    skips_input: bool = False

    @property
    def gates(self) -> int:
        """How many gates a cell has."""
        return GATES[self.mode]

    @property
    def output_size(self) -> int:
        """Size of a layer's output in one direction."""
        return self.projection or self.units

    def layer_input_size(self, layer: int) -> int:
        """Returns the size of a layer's input."""
        return self.output_size * self.directions if layer else self.input_size

    def matrix_shapes(self) -> list[tuple[int, int]]:
        """Returns the shape of each matrix, [to, from], in the order of the buffer."""
        shapes: list[tuple[int, int]] = []
        for layer in range(self.layers):
            for _ in range(self.directions):
                if layer or not self.skips_input:
                    shapes += [(self.units, self.layer_input_size(layer))] * self.gates
                shapes += [(self.units, self.output_size)] * self.gates
                if self.projection:
                    shapes.append((self.projection, self.units))
        return shapes

    def bias_count(self) -> int:
        """Returns how many biases there are, of `units` numbers each: for each gate one of the input, one of the state."""
        return 2 * self.gates * self.directions * self.layers

    def size(self) -> int:
        """Returns how many numbers the buffer holds."""
        return sum(map(math.prod, self.matrix_shapes())) + self.bias_count() * self.units

    def split(self, params: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Returns the matrices and the biases in a buffer; it fails at run time on a buffer of another size."""
        shapes = self.matrix_shapes()
        sizes = [math.prod(shape) for shape in shapes] + [self.units] * self.bias_count()
        parts = tf.split(tf.reshape(params, [-1]), sizes)
        matrices = [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=False)]
        return matrices, parts[len(shapes) :]


@dataclasses.dataclass(frozen=True)
class CellWeights:
    """What one layer computes with in one direction.

    Attributes:
        kernel: [input, gates * units]; None where the input is added as it is.
        recurrent: [output, gates * units].
        bias: of the input, [gates * units].
        recurrent_bias: of the state, [gates * units].
        projection: [units, output], or None.
    """

    kernel: tf.Tensor | None
    recurrent: tf.Tensor
    bias: tf.Tensor
    recurrent_bias: tf.Tensor
    projection: tf.Tensor | None


def cells(layout: Layout, params: tf.Tensor) -> list[CellWeights]:
    """Returns the weights of each cell: by layer, and forward before backward."""
    matrices, biases = layout.split(params)
    weights, gates = [], layout.gates
    for layer in range(layout.layers):
        for _ in range(layout.directions):
            kernel = None
            if layer or not layout.skips_input:
                kernel, matrices = _joined(matrices[:gates]), matrices[gates:]
            recurrent, matrices = _joined(matrices[:gates]), matrices[gates:]
            projection = None
            if layout.projection:
                projection, matrices = tf.transpose(matrices[0]), matrices[1:]
            bias, recurrent_bias = tf.concat(biases[:gates], 0), tf.concat(biases[gates : 2 * gates], 0)
            biases = biases[2 * gates :]
            weights.append(CellWeights(kernel, recurrent, bias, recurrent_bias, projection))
    return weights


def _joined(gates: list[tf.Tensor]) -> tf.Tensor:
    return tf.transpose(tf.concat(gates, 0))
