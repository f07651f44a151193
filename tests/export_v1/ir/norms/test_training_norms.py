"""Norms written out, in the forms that code of the time has: by both of their averages, or by neither."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir.graph import GraphDef
from tests.support import graphs, norms
from tests.support.graphs import v1

X = np.float32([[1, 2, 3], [5, 2, -1], [0, 1, 0]])
MEAN, SPREAD = np.float32([1, 2, 3]), np.float32([4, 1, 9])


def _built(normalize) -> GraphDef:
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        kept = [v1.get_variable(name, [3], use_resource=False) for name in ("mean", "spread")]
        mean, variance = tf.nn.moments(x, [0])

        def keep(at, statistic):
            v1.assign_sub(kept[at], (kept[at] - statistic) * 0.1)

        keep(0, mean)
        tf.identity(normalize(x, mean, variance, lambda statistic: keep(1, statistic)), name="y")
    return graph.as_graph_def()


def _deviation(x, mean, variance, keep):
    deviation = tf.sqrt(variance + 0.5)
    keep(deviation)
    return (x - mean) / deviation


def _log_variance(x, mean, variance, keep):
    log = tf.math.log(variance + 0.5)
    keep(log)
    return (x - mean) / tf.exp(0.5 * log)


def _second_moment(x, mean, variance, keep):
    second = tf.reduce_mean(tf.square(x), 0)
    keep(second)
    return (x - mean) / tf.sqrt(second - mean * mean + 0.5)


def _unbiased(x, mean, variance, keep):
    keep(variance * (3.0 / 2.0))
    return (x - mean) / tf.sqrt(variance + 0.5)


def _other_way_round(x, mean, variance, keep):
    spread = tf.reduce_mean(tf.square(mean - x), 0)
    keep(spread)
    return (mean - x) * tf.math.rsqrt(spread + 0.5)


WHOLE = {
    "deviation": (_deviation, (X - MEAN) / SPREAD),
    "log variance": (_log_variance, (X - MEAN) / np.exp(0.5 * SPREAD)),
    "second moment": (_second_moment, (X - MEAN) / np.sqrt(np.abs(SPREAD + 9 - MEAN**2) + 0.5)),
    "unbiased": (_unbiased, (X - MEAN) / np.sqrt(SPREAD + 0.5)),
    "the other way round": (_other_way_round, (MEAN - X) / np.sqrt(SPREAD + 0.5)),
}


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_norm_goes_by_both_of_its_averages(name):
    build, want = WHOLE[name]
    spread = SPREAD + 9 if name == "second moment" else SPREAD
    result = norms.by_averages(_built(build))
    assert result.notes.moving_averages == ("mean", "spread")
    got = graphs.run(result.graph_def, "y:0", {"x:0": X}, {"mean": MEAN, "spread": spread})
    np.testing.assert_allclose(got, want, rtol=1e-4)


def _kept_elsewhere(x, mean, variance, keep):
    keep(tf.exp(variance))
    return (x - mean) / tf.sqrt(variance + 0.5)


def _corrected_by_a_variable(x, mean, variance, keep):
    keep(variance)
    correction = v1.get_variable("correction", [3], use_resource=False)
    v1.assign_sub(correction, (correction - mean) * 0.1)
    return (x - mean) / tf.sqrt(variance + 0.5) + correction


@pytest.mark.parametrize("build", [_kept_elsewhere, _corrected_by_a_variable])
def test_a_norm_that_would_be_half_replaced_stays(build):
    before = _built(build)
    result = norms.by_averages(before)
    assert result.notes.moving_averages == () and result.graph_def.node == before.node
    assert [bool(norm.problem) for norm in norms.found(before)] == [True]


def test_renorm_corrects_by_nothing_during_inference():
    def renorm(x, mean, variance, keep):
        kept = [v1.get_variable(f"renorm_{name}", [3], use_resource=False) for name in ("mean", "spread")]
        deviation = tf.sqrt(variance + 0.5)
        r, d = deviation / tf.maximum(kept[1], 0.1), (mean - kept[0]) / tf.maximum(kept[1], 0.1)
        for variable, statistic in zip(kept, (mean, deviation), strict=True):
            v1.assign_sub(variable, (variable - statistic) * 0.1)
        keep(variance)
        return (x - mean) / deviation * tf.minimum(r, 3.0) + d

    result = norms.by_averages(_built(renorm))
    assert result.notes.moving_averages == ("mean", "spread")
    values = {"mean": MEAN, "spread": SPREAD, "renorm_mean": [7.0] * 3, "renorm_spread": [0.2] * 3}
    got = graphs.run(result.graph_def, "y:0", {"x:0": X}, values)
    np.testing.assert_allclose(got, (X - MEAN) / np.sqrt(SPREAD + 0.5), rtol=1e-5)


def test_data_that_was_pooled_before_is_not_taken_for_a_mean_over_the_batch():
    with graphs.tensorflow_1() as graph:
        x = tf.reduce_mean(v1.placeholder(tf.float32, [None, 2, 3], name="x"), 1)
        kept = [v1.get_variable(name, [3], use_resource=False) for name in ("centre", "spread")]
        moments = tf.nn.moments(x, [0])
        for variable, statistic in zip(kept, moments, strict=True):
            v1.assign_sub(variable, (variable - statistic) * 0.1)
        tf.identity((x - moments[0]) / tf.sqrt(moments[1] + 0.5), name="y")
    assert norms.by_averages(graph.as_graph_def()).notes.moving_averages == ("centre", "spread")


def test_an_average_without_bias_is_the_variable_that_inference_reads():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        biased, mean = (v1.get_variable(name, [3], use_resource=False) for name in ("mean/biased", "mean"))
        of_batch = tf.reduce_mean(x, 0)
        update = v1.assign_sub(biased, (biased - of_batch) * 0.1)
        v1.assign(mean, update / (1.0 - tf.pow(0.9, 3.0)))
        tf.identity(x - of_batch, name="y")
    assert norms.by_averages(graph.as_graph_def()).notes.moving_averages == ("mean",)
