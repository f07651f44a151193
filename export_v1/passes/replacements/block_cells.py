"""GRUBlockCell and LSTMBlockCell: TensorFlow 2 has the kernels, but only tf.contrib had the gradients.

Source of truth: tensorflow/core/ops/rnn_ops.cc, core/kernels/rnn/lstm_ops.cc and gru_ops.cc of TensorFlow 1.15, and
tf.contrib.rnn's lstm_ops.py and gru_ops.py for what the gradients pass on.
"""

import tensorflow as tf

from export_v1.passes.replacements.site import Replacement, Site


def gru_block_cell(
    site: Site, x: tf.Tensor, h_prev: tf.Tensor, w_ru: tf.Tensor, w_c: tf.Tensor, b_ru: tf.Tensor, b_c: tf.Tensor
) -> list[tf.Tensor]:
    """Returns reset gate, update gate, candidate and new state, [batch, units] each.

    Args:
        site: unused.
        x: input, [batch, inputs].
        h_prev: state, [batch, units].
        w_ru: kernel of both gates, [inputs + units, 2 * units].
        w_c: kernel of the candidate, [inputs + units, units].
        b_ru: [2 * units].
        b_c: [units].
    """
    gates = tf.sigmoid(_dense(x, h_prev, w_ru, b_ru))
    reset, update = tf.split(gates, 2, axis=1)
    candidate = tf.tanh(_dense(x, h_prev * reset, w_c, b_c))
    return [reset, update, candidate, (1 - update) * candidate + update * h_prev]


def lstm_block_cell(
    site: Site,
    x: tf.Tensor,
    cs_prev: tf.Tensor,
    h_prev: tf.Tensor,
    w: tf.Tensor,
    wci: tf.Tensor,
    wcf: tf.Tensor,
    wco: tf.Tensor,
    b: tf.Tensor,
) -> list[tf.Tensor]:
    """Returns input gate, cell state, forget gate, output gate, cell input, tanh of the cell state, and output.

    A clipped cell state passes gradients on as if it had not been clipped: so did TensorFlow 1.

    Args:
        site: with `forget_bias`, `cell_clip` (not positive: none) and `use_peephole`.
        x: input, [batch, inputs].
        cs_prev: cell state, [batch, units].
        h_prev: output of the step before, [batch, units].
        w: kernel of input gate, cell input, forget gate and output gate, [inputs + units, 4 * units].
        wci: peephole of the input gate, [units].
        wcf: peephole of the forget gate, [units].
        wco: peephole of the output gate, [units].
        b: [4 * units].
    """
    joined = _dense(x, h_prev, w, b)
    in_gate, cell_input, forget_gate, out_gate = tf.split(joined, 4, axis=1)
    forget_gate += tf.constant(site.attr("forget_bias"), x.dtype)
    peephole = site.attr("use_peephole")
    if peephole:
        in_gate += cs_prev * wci
        forget_gate += cs_prev * wcf
    in_gate, cell_input, forget_gate = tf.sigmoid(in_gate), tf.tanh(cell_input), tf.sigmoid(forget_gate)
    state = cell_input * in_gate + cs_prev * forget_gate
    clip = tf.constant(site.attr("cell_clip"), x.dtype)
    if site.attr("cell_clip") > 0:
        clipped = tf.stop_gradient(tf.clip_by_value(state, -clip, clip))
        # The difference is zero, and has the gradient; of infinities there is no difference, and no gradient.
        state = clipped + tf.where(tf.math.is_inf(state), tf.zeros_like(state), state - tf.stop_gradient(state))
    if peephole:
        out_gate += state * wco
    out_gate, squashed = tf.sigmoid(out_gate), tf.tanh(state)
    return [in_gate, state, forget_gate, out_gate, cell_input, squashed, squashed * out_gate]


def _dense(x: tf.Tensor, h: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    # Not tf.matmul, which multiplies batches of matrices where it is not told that there is one.
    return tf.raw_ops.BiasAdd(value=tf.raw_ops.MatMul(a=tf.concat([x, h], 1), b=kernel), bias=bias)


REPLACEMENTS = {
    "GRUBlockCell": Replacement(gru_block_cell, "its equations, which have gradients"),
    "LSTMBlockCell": Replacement(lstm_block_cell, "its equations, which have gradients"),
}
