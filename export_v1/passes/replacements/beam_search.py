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
    and every step after a beam's first end token are the end token. A beam that has no step keeps end tokens.

    Args:
        site: unused.
        step_ids: the token that each beam took at each step, [time, batch, beam], int32.
        parent_ids: which beam of the step before it came from, [time, batch, beam], int32.
        max_sequence_lengths: how many steps count, [batch], int32.
        end_token: scalar, int32.
    """
    step_ids, parent_ids = (tf.ensure_shape(ids, [None, None, None]) for ids in (step_ids, parent_ids))
    max_sequence_lengths = tf.ensure_shape(max_sequence_lengths, [None])
    time, batch, beams = (tf.shape(step_ids)[axis] for axis in range(3))
    lengths = tf.minimum(time, max_sequence_lengths)
    # A step that no sequence reaches: of no steps at all there is no list to be stacked.
    step_ids, parent_ids = (tf.pad(ids, [[0, 1], [0, 0], [0, 0]]) for ids in (step_ids, parent_ids))

    def step_back(step, beam, tokens):
        """Takes each beam's token, and goes to its parent where the step counts."""
        counts = (step < lengths)[:, tf.newaxis]
        token = tf.gather(step_ids[step], beam, batch_dims=1)
        parent = tf.gather(parent_ids[step], beam, batch_dims=1)
        tokens = tokens.write(step, tf.where(counts, token, end_token))
        return step - 1, tf.where(counts, parent, beam), tokens

    _, _, tokens = tf.while_loop(
        lambda step, beam, tokens: step >= 0,
        step_back,
        (
            time,
            tf.tile(tf.range(beams)[tf.newaxis], [batch, 1]),
            tf.TensorArray(tf.int32, time + 1, element_shape=[None, None]),
        ),
    )
    found = tokens.stack()[:time]
    ended = tf.cumsum(tf.cast(tf.equal(found, end_token), tf.int32), axis=0, exclusive=True) > 0
    return tf.where(ended, end_token, found)


REPLACEMENTS = {"GatherTree": Replacement(gather_tree, "a loop over the steps, from the last to the first")}
