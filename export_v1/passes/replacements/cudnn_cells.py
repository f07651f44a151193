"""One layer of a cuDNN network in one direction, over all steps of time-major sequences.

Source of truth: the equations in cuDNN's developer guide (cudnnRNNMode_t), which tf.contrib.cudnn_rnn's
CudnnCompatibleLSTMCell and CudnnCompatibleGRUCell of TensorFlow 1.15 compute on a CPU.
"""

from collections.abc import Callable

import tensorflow as tf

from export_v1.passes.replacements.cudnn_layout import CellWeights

# Outputs of all steps, and cell states of all steps (None but for an LSTM): [time, batch, size].
Steps = tuple[tf.Tensor, tf.Tensor | None]


def run(mode: str, weights: CellWeights, x: tf.Tensor, h: tf.Tensor, c: tf.Tensor | None) -> Steps:
    """Returns what a layer puts out at each step.

    Args:
        mode: as `Layout.mode`.
        weights: of the layer.
        x: [time, batch, input].
        h: output before the first step, [batch, output].
        c: cell state before the first step, [batch, units]; None but for an LSTM.
    """
    if mode == "lstm":
        assert c is not None, "an LSTM has a cell state"
        # TensorFlow has a fused kernel for all steps of these, and its gradient.
        fused = weights.kernel is not None and weights.projection is None and x.dtype in (tf.float32, tf.float16)
        return _block_lstm(weights, x, h, c) if fused else _lstm(weights, x, h, c)
    step = _gru_step(weights) if mode == "gru" else _rnn_step(weights, tf.tanh if mode == "rnn_tanh" else tf.nn.relu)
    [outputs] = _loop(lambda at, state: [step(at, *state)], _projected(weights, x), [h])
    return outputs, None


def _projected(weights: CellWeights, x: tf.Tensor) -> tf.Tensor:
    """Returns what the input adds to each gate, at all steps at once: [time, batch, gates * units]."""
    if weights.kernel is None:
        gates = weights.bias.shape[0] // x.shape[2]
        return tf.tile(x, [1, 1, gates]) + weights.bias
    return tf.tensordot(x, weights.kernel, 1) + weights.bias


def _loop(step: Callable, inputs: tf.Tensor, initial: list[tf.Tensor]) -> list[tf.Tensor]:
    """Returns the states after each step, [time, batch, size] each.

    Args:
        step: takes the step's input and the states before, and returns the states after.
        inputs: [time, batch, size].
        initial: states before the first step.
    """
    time = tf.shape(inputs)[0]
    shapes = [tf.TensorShape([None, state.shape[1]]) for state in initial]
    arrays = [
        tf.TensorArray(state.dtype, time, element_shape=shape) for state, shape in zip(initial, shapes, strict=True)
    ]

    def body(at, states, arrays):
        new = step(inputs[at], states)
        return at + 1, new, [array.write(at, state) for array, state in zip(arrays, new, strict=True)]

    _, _, arrays = tf.while_loop(
        lambda at, states, arrays: at < time,
        body,
        (tf.constant(0), list(initial), arrays),
        shape_invariants=(tf.TensorShape([]), shapes, [tf.TensorShape(None)] * len(arrays)),
        maximum_iterations=time,
    )
    return [array.stack() for array in arrays]


def _rnn_step(weights: CellWeights, activation: Callable) -> Callable:
    return lambda gates, h: activation(gates + tf.matmul(h, weights.recurrent) + weights.recurrent_bias)


def _gru_step(weights: CellWeights) -> Callable:
    def step(gates, h):
        of_state = tf.matmul(h, weights.recurrent) + weights.recurrent_bias
        (reset, update, candidate), (h_reset, h_update, h_candidate) = (
            tf.split(part, 3, axis=1) for part in (gates, of_state)
        )
        reset, update = tf.sigmoid(reset + h_reset), tf.sigmoid(update + h_update)
        # Unlike TensorFlow's own GRU, this one resets what the candidate gets of the state, not the state.
        candidate = tf.tanh(candidate + reset * h_candidate)
        return (1 - update) * candidate + update * h

    return step


def _lstm(weights: CellWeights, x: tf.Tensor, h: tf.Tensor, c: tf.Tensor) -> Steps:
    def step(gates, states):
        h, c = states
        gates += tf.matmul(h, weights.recurrent) + weights.recurrent_bias
        in_gate, forget, cell, out = tf.split(gates, 4, axis=1)
        c = tf.sigmoid(in_gate) * tf.tanh(cell) + tf.sigmoid(forget) * c
        h = tf.sigmoid(out) * tf.tanh(c)
        return [h if weights.projection is None else tf.matmul(h, weights.projection), c]

    outputs, states = _loop(step, _projected(weights, x), [h, c])
    return outputs, states


def _block_lstm(weights: CellWeights, x: tf.Tensor, h: tf.Tensor, c: tf.Tensor) -> Steps:
    kernel = tf.concat([weights.kernel, weights.recurrent], 0)
    bias = weights.bias + weights.recurrent_bias
    # cuDNN has its gates in the order input, forget, cell, output; the fused kernel has the cell before forget.
    kernel, bias = (
        tf.concat([in_gate, cell, forget, out], axis)
        for in_gate, forget, cell, out, axis in (
            (*tf.split(kernel, 4, axis=1), 1),
            (*tf.split(bias, 4, axis=0), 0),
        )
    )
    no_peephole = tf.zeros([c.shape[1]], x.dtype)
    made = tf.raw_ops.BlockLSTM(
        seq_len_max=tf.shape(x, out_type=tf.int64)[0],
        x=x,
        cs_prev=c,
        h_prev=h,
        w=kernel,
        wci=no_peephole,
        wcf=no_peephole,
        wco=no_peephole,
        b=bias,
        forget_bias=0.0,
        cell_clip=-1.0,
        use_peephole=False,
    )
    return made.h, made.cs
