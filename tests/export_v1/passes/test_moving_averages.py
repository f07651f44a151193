"""Batch norm that was built for training goes by its moving averages, where asked to: as if built for inference."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.ir.graph import Index
from tests.support import cases, graphs, norms

CASES = ["odd_training_only", "odd_training_norms"]


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return cases.load(request.param)


@pytest.fixture(scope="module")
def layer(exported, case):
    from load_v2 import SignatureLayer

    return SignatureLayer(exported(case.name, moving_averages=True, batch_statistics=False))


def test_answers_are_those_of_the_same_code_built_for_inference(layer, case):
    answer = layer(case.oracle("in")["x"]).numpy()
    np.testing.assert_allclose(answer, case.oracle("averages")["y"], rtol=1e-5, atol=1e-6)
    assert np.abs(answer - case.oracle("out")["y"]).max() > 0.1, "the graph as it was found answers something else"


def test_training_goes_on_as_tensorflow_1_would(exported, case):
    import keras

    from load_v2 import SignatureLayer

    layer = SignatureLayer(exported(case.name, moving_averages=True, batch_statistics=False))
    x, oracle = case.oracle("in")["x"], case.oracle("averages")
    optimizer, losses = keras.optimizers.SGD(0.05), []
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(x, training=True) - oracle["target"]) ** 2)
        gradients = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
        optimizer.apply(gradients, layer.trainable_weights)
        losses.append(float(loss))
    np.testing.assert_allclose(losses, oracle["losses"], rtol=2e-4)
    np.testing.assert_allclose(layer(x).numpy(), oracle["out_after"], rtol=1e-4, atol=1e-5)


def test_inference_writes_no_variable(layer, case):
    before = [weight.numpy() for weight in layer.weights]
    layer(case.oracle("in")["x"])
    for weight, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value, err_msg=weight.name)


def test_a_graph_without_such_batch_norms_is_refused(tmp_path):
    flags = cases.load("convnet_bn_dropout").flags()
    with pytest.raises(
        export_v1.ExportError, match="(?s)--moving_averages is given, and no batch norm.*Remove the flag"
    ):
        export_v1.export(export_dir=str(tmp_path / "1"), moving_averages=True, **flags)
    assert not list(tmp_path.iterdir())


def _with_update(update):
    """Returns a graph that centres x by the mean of the batch, and keeps its average as `update` does."""
    with graphs.tensorflow_1() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, 3], name="x")
        average = tf.compat.v1.get_variable("average", [3], use_resource=False)
        mean = tf.reduce_mean(x, 0, name="mean")
        with tf.control_dependencies([update(average, mean)]):
            tf.subtract(x, mean, name="y")
    return graph.as_graph_def()


UPDATES = {
    "V -= (V - M) * rate": lambda v, m: tf.compat.v1.assign_sub(v, (v - m) * 0.1),
    "V -= rate * (V - M)": lambda v, m: tf.compat.v1.assign_sub(v, 0.1 * (v - m)),
    "V += (M - V) * rate": lambda v, m: tf.compat.v1.assign_add(v, (m - v) * 0.1),
    "V = V * decay + M * rate": lambda v, m: tf.compat.v1.assign(v, v * 0.9 + m * (1 - 0.9)),
    "V = M * rate + V * decay": lambda v, m: tf.compat.v1.assign(v, m * tf.constant(0.1) + tf.constant(0.9) * v),
    "guarded": lambda v, m: tf.compat.v1.assign_sub(
        v, tf.where(tf.fill([3], tf.size(m) > 0), (v - m) * 0.1, tf.zeros([3]))
    ),
}


@pytest.mark.parametrize("form", sorted(UPDATES))
def test_every_form_of_an_update_is_understood(form):
    result = norms.by_averages(_with_update(UPDATES[form]))
    graph_def, names = result.graph_def, result.notes.moving_averages
    assert names == ("average",)
    node = Index(graph_def)["y"]
    assert list(node.input) == ["x", "average/average"], "it waits for no update any more"


@pytest.mark.parametrize(
    "update",
    [
        lambda v, m: tf.compat.v1.assign(v, m),
        lambda v, m: tf.compat.v1.assign_sub(v, m * 0.1),
        lambda v, m: tf.compat.v1.assign_sub(v, (m - v) * 0.1),
        lambda v, m: tf.compat.v1.assign_add(v, (v - m) * 0.1),
    ],
    ids=["a copy", "a gradient step", "away from it", "away from it, added"],
)
def test_other_updates_are_left_alone(update):
    before = _with_update(update)
    result = norms.by_averages(before)
    after, names = result.graph_def, result.notes.moving_averages
    assert names == () and after.node == before.node


def test_averages_that_were_never_updated_are_said(tmp_path):
    with graphs.tensorflow_1(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4, 4, 3], name="x")
        scale, offset, mean, variance = (
            tf.compat.v1.get_variable(name, initializer=[start] * 3, trainable=name != "mean", use_resource=False)
            for name, start in (("scale", 2.0), ("offset", 0.5), ("mean", 0.0), ("variance", 1.0))
        )
        y, batch_mean, batch_variance = tf.compat.v1.nn.fused_batch_norm(x, scale, offset, is_training=True)
        tf.compat.v1.assign_sub(mean, (mean - batch_mean) * 0.1)
        tf.compat.v1.assign_sub(variance, (variance - batch_variance) * 0.1)
        tf.identity(y, name="y")
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    report = export_v1.export(
        checkpoint=str(tmp_path / "model.ckpt"),
        export_dir=str(tmp_path / "1"),
        inputs={"x": "x:0"},
        outputs={"y": "y:0"},
        moving_averages=True,
    )
    said = {one["what"]: one["why"] for one in report["choices"]}
    assert "no update op ran" in said["'mean', 'variance' hold what they were initialized to"]
    values = np.float32(np.arange(48).reshape(1, 4, 4, 3))
    signature = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    want = values * 2 / np.sqrt(np.float32(1.001)) + 0.5
    np.testing.assert_allclose(signature(x=tf.constant(values))["y"], want, rtol=1e-4)
