"""Functions of tf.contrib.{rnn, seq2seq, legacy_seq2seq} that old code builds graphs with.

Each creates the variables that TensorFlow 1's function of that name created, under the same names.
"""

import tensorflow as tf

v1 = tf.compat.v1


def rnn_decoder(decoder_inputs, initial_state, cell, loop_function=None, scope=None):
    """Returns the outputs of a cell unrolled over a list of inputs, and the last state.

    With `loop_function(output, step)` every input after the first is made from the output before it.
    """
    outputs, state = [], initial_state
    with v1.variable_scope(scope or "rnn_decoder"):
        for step, given in enumerate(decoder_inputs):
            if loop_function is not None and outputs:
                with v1.variable_scope("loop_function", reuse=True):
                    given = loop_function(outputs[-1], step)
            if step:
                v1.get_variable_scope().reuse_variables()
            output, state = cell(given, state)
            outputs.append(output)
    return outputs, state


def sequence_loss_by_example(
    logits, targets, weights, average_across_timesteps=True, softmax_loss_function=None, name=None
):
    """Returns the weighted cross entropy of each example, float [batch]; arguments are lists over time."""
    with v1.name_scope(name, "sequence_loss_by_example", [*logits, *targets, *weights]):
        losses = [
            _cross_entropy(logit, tf.reshape(target, [-1]), softmax_loss_function) * weight
            for logit, target, weight in zip(logits, targets, weights, strict=True)
        ]
        total = tf.add_n(losses)
        # A weight of zero everywhere divides nothing by nothing.
        return total / (tf.add_n(list(weights)) + 1e-12) if average_across_timesteps else total


def legacy_sequence_loss(
    logits,
    targets,
    weights,
    average_across_timesteps=True,
    average_across_batch=True,
    softmax_loss_function=None,
    name=None,
):
    """Returns the sum of `sequence_loss_by_example`, over the batch size where asked for; a scalar."""
    by_example = sequence_loss_by_example(
        logits, targets, weights, average_across_timesteps, softmax_loss_function, name
    )
    total = tf.reduce_sum(by_example)
    return total / tf.cast(tf.shape(targets[0])[0], total.dtype) if average_across_batch else total


def sequence_loss(
    logits,
    targets,
    weights,
    average_across_timesteps=True,
    average_across_batch=True,
    softmax_loss_function=None,
    name=None,
):
    """Returns the weighted cross entropy of float [batch, time, classes] logits, averaged over the axes asked for."""
    with v1.name_scope(name, "sequence_loss", [logits, targets, weights]):
        flat = tf.reshape(logits, [-1, tf.shape(logits)[2]])
        losses = _cross_entropy(flat, tf.reshape(targets, [-1]), softmax_loss_function) * tf.reshape(weights, [-1])
        if average_across_timesteps and average_across_batch:
            return tf.reduce_sum(losses) / (tf.reduce_sum(weights) + 1e-12)
        losses = tf.reshape(losses, tf.shape(logits)[:2])
        axis = 1 if average_across_timesteps else 0
        if average_across_timesteps or average_across_batch:
            return tf.reduce_sum(losses, axis) / (tf.reduce_sum(weights, axis) + 1e-12)
        return losses


def _cross_entropy(logits, labels, function):
    if function is not None:
        return function(labels=labels, logits=logits)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def stack_bidirectional_dynamic_rnn(
    cells_fw,
    cells_bw,
    inputs,
    initial_states_fw=None,
    initial_states_bw=None,
    dtype=None,
    sequence_length=None,
    parallel_iterations=None,
    time_major=False,
    scope=None,
):
    """Returns the output of bidirectional layers on top of each other, and the last states of both directions."""
    states_fw, states_bw, layer = [], [], inputs
    with v1.variable_scope(scope or "stack_bidirectional_rnn"):
        for at, (forward, backward) in enumerate(zip(cells_fw, cells_bw, strict=True)):
            with v1.variable_scope(f"cell_{at}"):
                outputs, (state_fw, state_bw) = v1.nn.bidirectional_dynamic_rnn(
                    forward,
                    backward,
                    layer,
                    initial_state_fw=initial_states_fw[at] if initial_states_fw else None,
                    initial_state_bw=initial_states_bw[at] if initial_states_bw else None,
                    sequence_length=sequence_length,
                    parallel_iterations=parallel_iterations,
                    dtype=dtype,
                    time_major=time_major,
                )
                layer = tf.concat(outputs, 2)
            states_fw.append(state_fw)
            states_bw.append(state_bw)
    return layer, tuple(states_fw), tuple(states_bw)


def embed_sequence(
    ids,
    vocab_size=None,
    embed_dim=None,
    unique=False,
    initializer=None,
    regularizer=None,
    trainable=True,
    scope=None,
    reuse=None,
):
    """Returns the embeddings of ids, float [batch, time, embed_dim], from a variable of its own."""
    with v1.variable_scope(scope, "EmbedSequence", [ids], reuse=reuse):
        embeddings = v1.get_variable(
            "embeddings", [vocab_size, embed_dim], initializer=initializer, regularizer=regularizer, trainable=trainable
        )
        return v1.nn.embedding_lookup(embeddings, ids)
