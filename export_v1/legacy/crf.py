"""tf.contrib.crf: a linear-chain conditional random field, as taggers of TensorFlow 1 end in one.

Scores are float [batch, time, tags]; `transitions[a, b]` is the score of tag b after tag a.
"""

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


def crf_log_likelihood(inputs, tag_indices, sequence_lengths, transition_params=None):
    """Returns the log likelihood of tags, float [batch], and the transitions; makes variable `transitions` for None."""
    tags = inputs.shape.as_list()[2]
    if transition_params is None:
        transition_params = v1.get_variable("transitions", [tags, tags])
    score = crf_sequence_score(inputs, tag_indices, sequence_lengths, transition_params)
    return score - crf_log_norm(inputs, sequence_lengths, transition_params), transition_params


def crf_sequence_score(inputs, tag_indices, sequence_lengths, transition_params):
    """Returns the score of the given tags, float [batch]: what each has by itself and by the one before it."""
    used = tf.sequence_mask(sequence_lengths, tf.shape(inputs)[1], inputs.dtype)
    alone = tf.reduce_sum(inputs * tf.one_hot(tag_indices, tf.shape(inputs)[2], dtype=inputs.dtype), 2)
    pairs = tf.stack([tag_indices[:, :-1], tag_indices[:, 1:]], 2)
    return tf.reduce_sum(alone * used, 1) + tf.reduce_sum(tf.gather_nd(transition_params, pairs) * used[:, 1:], 1)


def crf_log_norm(inputs, sequence_lengths, transition_params):
    """Returns the log of the sum over all tag sequences of exp(score), float [batch]."""

    def step(alphas, now):
        scores, used = now
        new = scores + tf.reduce_logsumexp(alphas[:, :, None] + transition_params[None], 1)
        return tf.where(tf.broadcast_to(used[:, None], tf.shape(new)), new, alphas)

    return tf.reduce_logsumexp(_scanned(step, inputs, sequence_lengths)[-1], 1)


def crf_decode(potentials, transition_params, sequence_length):
    """Returns the best tags, int32 [batch, time], and their score, float [batch]; tags behind the end are 0."""

    def step(deltas, now):
        scores, used = now
        new = scores + tf.reduce_max(deltas[:, :, None] + transition_params[None], 1)
        return tf.where(tf.broadcast_to(used[:, None], tf.shape(new)), new, deltas)

    deltas = _scanned(step, potentials, sequence_length)
    last = tf.argmax(deltas[-1], 1, output_type=tf.int32)

    def back(tag, now):
        before, used = now
        towards = tf.gather(transition_params, tag, axis=1)
        best = tf.argmax(before + tf.transpose(towards), 1, output_type=tf.int32)
        return tf.where(used, best, tag)

    used = tf.transpose(tf.sequence_mask(sequence_length, tf.shape(potentials)[1]))
    earlier = tf.scan(back, (deltas[:-1], used[1:]), initializer=last, reverse=True)
    tags = tf.transpose(tf.concat([earlier, last[None]], 0))
    return tags * tf.cast(tf.transpose(used), tf.int32), tf.reduce_max(deltas[-1], 1)


def _scanned(step, inputs, lengths):
    """Returns what `step` carries along time, [time, batch, tags]; a sequence that has ended stays as it is."""
    by_time = tf.transpose(inputs, [1, 0, 2])
    used = tf.transpose(tf.sequence_mask(lengths, tf.shape(inputs)[1]))
    later = tf.scan(step, (by_time[1:], used[1:]), initializer=by_time[0])
    return tf.concat([by_time[:1], later], 0)


def viterbi_decode(score, transition_params):
    """Returns the best tags of one sequence and their score, in numpy: list of int, float."""
    best, pointers = np.array(score[0], dtype=float), []
    for scores in score[1:]:
        paths = best[:, None] + transition_params
        pointers.append(paths.argmax(0))
        best = scores + paths.max(0)
    tags = [int(best.argmax())]
    for pointer in reversed(pointers):
        tags.append(int(pointer[tags[-1]]))
    return tags[::-1], float(best.max())
