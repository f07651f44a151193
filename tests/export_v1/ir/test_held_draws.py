"""A graph whose draws are held gives the same numbers each time, and as another graph does."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir import held_draws, randomness
from export_v1.ir.graph import Index
from tests.support import graphs

v1 = tf.compat.v1


def _answers(graph_def, name: str) -> np.ndarray:
    # TensorFlow's own optimizer would move a constant into the loop that reads it.
    config = v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default() as graph, v1.Session(graph=graph, config=config) as session:
        tf.import_graph_def(graph_def, name="")
        return session.run(name)


def _drawing():
    with graphs.tensorflow_1() as graph:
        drawn = {
            "uniform": v1.random_uniform([40]),
            "normal": v1.random_normal([40]),
            "truncated": v1.truncated_normal([40]),
            "integers": v1.random_uniform([40], 3, 9, tf.int32),
            "gamma": v1.random_gamma([40], 2.0),
            "classes": v1.multinomial(tf.constant([[0.0, 1.0, 0.5]]), 40),
            "order": v1.random_shuffle(tf.range(40)),
            "loop": v1.while_loop(
                lambda at, total: at < 3, lambda at, total: (at + 1, total + v1.random_uniform([4])), [0, tf.zeros([4])]
            )[1],
        }
        for key, tensor in drawn.items():
            tf.identity(tensor, name=key)
        return graph.as_graph_def(), list(drawn)


def test_every_kind_of_draw_is_held():
    graph_def, keys = _drawing()
    held = held_draws.held(graph_def)
    assert not randomness.sources(Index(held), {key: f"{key}:0" for key in keys})
    assert {node.name for node in graph_def.node} <= {node.name for node in held.node}
    for key in keys:
        first = _answers(held, f"{key}:0")
        np.testing.assert_array_equal(first, _answers(held, f"{key}:0"), err_msg=key)
        assert len(np.unique(first)) > 1, key


def test_a_draw_in_a_function_is_held():
    @tf.function
    def drawing(shape):
        return tf.random.uniform(shape) + tf.random.normal(shape)

    with tf.Graph().as_default() as graph:
        tf.identity(drawing(tf.constant([30])), name="out")
        graph_def = graph.as_graph_def()
    held = held_draws.held(graph_def)
    assert randomness.sources(Index(graph_def), {"out": "out:0"}) and not randomness.sources(
        Index(held), {"out": "out:0"}
    )
    np.testing.assert_array_equal(_answers(held, "out:0"), _answers(held, "out:0"))


def test_a_sampler_gives_classes_that_exist():
    with graphs.tensorflow_1() as graph:
        true = tf.constant([[3], [1]], tf.int64)
        tf.random.log_uniform_candidate_sampler(true, 1, 4, True, 6, name="sampler")
        held = held_draws.held(graph.as_graph_def())
    classes, of_true, of_sampled = (_answers(held, f"sampler:{at}") for at in range(3))
    assert not randomness.sources(Index(held), {"classes": "sampler:0"}) and (of_sampled == 0.5).all()
    assert classes.dtype == np.int64 and sorted(classes) == [0, 1, 2, 3]
    assert of_true.shape == (2, 1) and of_sampled.shape == (4,) and (of_true > 0).all()


def test_what_cannot_be_held_stays_and_is_told():
    with graphs.tensorflow_1() as graph:
        v1.random_poisson(3.0, [20], name="poisson")
        graph_def = graph.as_graph_def()
    (name,) = (node.name for node in graph_def.node if node.op.startswith("RandomPoisson"))
    assert "RandomPoisson" in randomness.sources(Index(held_draws.held(graph_def)), {"out": f"{name}:0"})["out"]


@pytest.mark.parametrize("draws", [True, False])
def test_the_graph_that_came_in_is_not_changed(draws):
    graph_def = _drawing()[0] if draws else tf.Graph().as_graph_def()
    before = graph_def.SerializeToString(deterministic=True)
    held_draws.held(graph_def)
    assert graph_def.SerializeToString(deterministic=True) == before


def test_a_draw_still_waits_for_what_it_waited_for():
    with graphs.tensorflow_1() as graph:
        shape = tf.constant([3])
        with tf.control_dependencies([tf.no_op(name="first")]):
            v1.random_uniform(shape, name="draw")
        graph_def = graph.as_graph_def()
    draws = [node.name for node in graph_def.node if "^first" in node.input and node.op == "RandomUniform"]
    (held,) = [node for node in held_draws.held(graph_def).node if node.name in draws]
    assert "^first" in held.input


def test_a_draw_in_a_loop_of_frames_is_held():
    v1.disable_control_flow_v2()
    try:
        graph_def, _ = _drawing()
    finally:
        v1.enable_control_flow_v2()
    assert any(node.op == "Enter" for node in graph_def.node)
    held = held_draws.held(graph_def)
    np.testing.assert_array_equal(_answers(held, "loop:0"), _answers(held, "loop:0"))
