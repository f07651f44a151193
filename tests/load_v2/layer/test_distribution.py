"""TensorFlow's own distribution: two logical devices, two processes. Each run has a process of its own, because devices
and workers are fixed before TensorFlow starts."""

import json
import socket
import subprocess
import sys

import numpy as np
import pytest

COMMON = """
import json, os, sys
import numpy as np, tensorflow as tf, keras
path, out, name = sys.argv[1:4]
random = np.random.RandomState(0)
shape, width = {"mlp_layers": ((16,), 3), "convnet_bn_finetune": ((8, 8, 2), 4)}[name]
x, y = random.randn(32, *shape).astype("float32"), random.randn(32, width).astype("float32")
def build():
    from load_v2 import SignatureLayer
    layer, inputs = SignatureLayer(path), keras.Input(shape)
    answer = layer(inputs)
    model = keras.Model(inputs, answer["logits"] if isinstance(answer, dict) else answer)
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return layer, model
def fit(model):
    # The batch is the whole strategy's; shards are put together in the order of the rows.
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return model.fit(data.with_options(options), epochs=3, shuffle=False, verbose=0).history["loss"]
"""

ONE = (
    COMMON
    + """
layer, model = build()
result = {"loss": fit(model), "predicted": model.predict(x, batch_size=10, verbose=0).tolist()}
json.dump(result, open(out, "w"))
"""
)

MIRRORED = (
    COMMON
    + """
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    layer, model = build()
kinds = {w.name: type(w.value).__name__ for w in layer.weights}
start = {w.name: w.numpy() for w in layer.weights}
result = {"loss": fit(model), "kinds": kinds, "predicted": model.predict(x, batch_size=10, verbose=0).tolist()}
copies = {w.name: [v.numpy().tolist() for v in w.value.values] for w in layer.weights}
result["mirrored"] = [name for name, kind in kinds.items() if np.array_equal(*copies[name])]
result["means"] = [w.name for w in layer.weights if np.allclose(np.mean(copies[w.name], 0), w.numpy())]
result["changed"] = [w.name for w in layer.weights if not np.array_equal(w.numpy(), start[w.name])]
model.save(out + ".keras")
loaded = keras.models.load_model(out + ".keras")
result["loaded"] = all(np.array_equal(a, b) for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True))
model.export(out + "_served", verbose=False)
restored = tf.saved_model.load(out + "_served")
result["served"] = np.asarray(restored.serve(x)).tolist()
json.dump(result, open(out, "w"))
"""
)

# Keras 3.15's own `fit` stops under MultiWorkerMirroredStrategy before the first step, for a single Dense layer too: it
# reduces a PerReplica batch outside a function ("Attempt to convert a value (PerReplica...) to a Tensor"). So the loop
# is TensorFlow's, as its guide to distributed training writes it; model, layer and optimizer are Keras's.
WORKER = (
    COMMON
    + """
strategy = tf.distribute.MultiWorkerMirroredStrategy()
with strategy.scope():
    layer, model = build()
    model.optimizer.build(model.trainable_variables)
def one(rows, wanted):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(rows, training=True) - wanted) ** 2)
        scaled = loss / strategy.num_replicas_in_sync
    gradients = tape.gradient(scaled, model.trainable_variables)
    model.optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss
@tf.function
def step(rows, wanted):
    return strategy.reduce(tf.distribute.ReduceOp.MEAN, strategy.run(one, args=(rows, wanted)), axis=None)
data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
shards = strategy.experimental_distribute_dataset(data.with_options(options))
losses = [float(np.mean([float(step(*batch)) for batch in shards])) for _ in range(3)]
json.dump({"loss": losses, "replicas": strategy.num_replicas_in_sync}, open(out, "w"))
"""
)


def _start(code, arguments, env):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finish(process, seconds=300):
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        pytest.fail(f"no end after {seconds} s:\n{output[-2000:]}")
    assert process.returncode == 0, output[-3000:]


def _run(code, path, name, folder, run_program):
    done = run_program(["-c", code, path, folder / "out.json", name])
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "out.json").read_text())


@pytest.fixture(scope="module")
def one_device(exported, tmp_path_factory, run_program):
    return _run(ONE, exported("mlp_layers"), "mlp_layers", tmp_path_factory.mktemp("one"), run_program)


def test_two_devices_train_as_one(exported, tmp_path, run_program, one_device):
    got = _run(MIRRORED, exported("mlp_layers"), "mlp_layers", tmp_path, run_program)
    np.testing.assert_allclose(got["loss"], one_device["loss"], rtol=1e-4)
    np.testing.assert_allclose(got["predicted"], one_device["predicted"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got["served"], one_device["predicted"], rtol=1e-4, atol=1e-5)
    assert set(got["kinds"].values()) == {"MirroredVariable"}
    assert got["mirrored"] == list(got["kinds"]) and got["loaded"]


def test_moving_averages_are_each_replicas_own_and_averaged_when_read(exported, tmp_path, run_program):
    got = _run(MIRRORED, exported("convnet_bn_finetune"), "convnet_bn_finetune", tmp_path, run_program)
    moving = {"batch_normalization/moving_mean", "batch_normalization/moving_variance"}
    assert {name for name, kind in got["kinds"].items() if kind == "SyncOnReadVariable"} == moving
    assert set(got["mirrored"]) == set(got["kinds"]) - moving
    assert moving <= set(got["means"]) and moving <= set(got["changed"])
    assert got["loaded"] and np.isfinite(got["loss"]).all()


def _free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_two_workers_train_as_one_device(exported, tmp_path, subprocess_env, one_device):
    workers = [f"localhost:{port}" for port in _free_ports(2)]
    started = []
    for index in range(2):
        task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        env = {**subprocess_env, "TF_CONFIG": json.dumps(task), "CUDA_VISIBLE_DEVICES": ""}
        arguments = [exported("mlp_layers"), tmp_path / f"{index}.json", "mlp_layers"]
        started.append(_start(WORKER, arguments, env))
    try:
        for process in started:
            _finish(process)
    finally:
        for process in started:
            process.kill()
    for index in range(2):
        got = json.loads((tmp_path / f"{index}.json").read_text())
        assert got["replicas"] == 2
        np.testing.assert_allclose(got["loss"], one_device["loss"], rtol=1e-4)
