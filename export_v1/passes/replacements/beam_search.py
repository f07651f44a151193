"""GatherTree, with which tf.contrib.seq2seq's BeamSearchDecoder reads its beams back from the last step to the first.

Source of truth: tensorflow/contrib/seq2seq/ops/beam_search_ops.cc and kernels/beam_search_ops.cc of TensorFlow 1.15.
"""

import tensorflow as tf

from export_v1.passes.replacements.site import Replacement, Site


def gather_tree(
    site: Site, step_ids: tf.Tensor, parent_ids: tf.Tensor, max_sequence_lengths: tf.Tensor, end_token: tf.Tensor
) -> tf.Tensor:
    """Returns the full sequences of tokens of each beam, [time, batch, beam].

    Each beam of a batch is followed back by its parents from step `max_sequence_lengths[batch] - 1`; steps after that
    and every step after a beam's first end token are the end token. A beam that has no step keeps end tokens. A parent
    that is followed and is no beam fails at run time; the kernel lets the number after the last beam through, and reads
    what lies behind its row.

    Args:
        site: unused.
        step_ids: the token that each beam took at each step, [time, batch, beam], int32.
        parent_ids: which beam of the step before it came from, [time, batch, beam], int32.
        max_sequence_lengths: how many steps count, [batch], int32.
        end_token: scalar, int32.
    """
    step_ids, parent_ids = (tf.ensure_shape(ids, [None, None, None]) for ids in (step_ids, parent_ids))
    time, batch, beams = (tf.shape(step_ids)[axis] for axis in range(3))
    lengths = tf.minimum(tf.ensure_shape(max_sequence_lengths, [None]), time)[:, tf.newaxis]
    row = batch * beams
    step, beam = tf.range(time)[:, tf.newaxis, tf.newaxis], tf.range(beams)
    # Of all beams of all steps, one after the other: the first beam at a step, of a batch.
    first = step * row + tf.range(batch)[:, tf.newaxis] * beams
    is_beam = (parent_ids >= 0) & (parent_ids < beams)
    # Where each beam of a step comes from, at the step before; a beam that has ended, or not begun, stays where it is.
    parents = tf.concat([tf.where(is_beam, parent_ids, 0)[1:], tf.zeros_like(parent_ids)[:1]], 0)
    ancestors = tf.reshape(first + tf.where(step + 1 < lengths, parents, beam), [-1])

    count = tf.size(ancestors)
    place = tf.range(count)

    def further(span, ancestors):
        """From ancestors `span` beams back to those as far back again: as many rounds as the time has binary digits."""
        back = tf.gather(ancestors, tf.minimum(place + span, count - 1)) - span
        return 2 * span, tf.where(place < count - span, tf.gather(ancestors, tf.maximum(back, 0)), ancestors)

    _, path = tf.while_loop(lambda span, ancestors: span < count, further, (row, ancestors))
    counts = step < lengths
    path = tf.reshape(path, tf.shape(step_ids))
    is_followed = tf.gather(tf.reshape(is_beam, [-1]), path) | ~counts | tf.equal(step, 0)
    tokens = tf.gather(tf.reshape(step_ids, [-1]), tf.where(is_followed, path, -1))
    tokens = tf.where(counts, tokens, end_token)
    ended = tf.cumsum(tf.cast(tf.equal(tokens, end_token), tf.int32), axis=0, exclusive=True) > 0
    return tf.where(ended, end_token, tokens)


REPLACEMENTS = {"GatherTree": Replacement(gather_tree, "gathers, each over twice as many steps as the one before")}
