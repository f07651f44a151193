"""Writes the TensorFlow 1 models that the benchmarks work on: checkpoints as training left them, with optimizer slots.

    python tests/benchmarks/models.py KIND FOLDER [LAYERS]

Runs under TensorFlow 1.15 and Python 3.7 as well, so that a genuine TensorFlow 1 can answer for itself.

big       LAYERS matrices of 4096 x 4096 with Adam slots: 64 MiB that serve and 128 MiB that do not, each
linear    one product, x:0 float32 [None, 4096] -> y:0 float32 [None, 8]
chain     LAYERS nodes in a row behind one product, x:0 float32 [None, 4096] -> y:0 float32 [None, 8]
convnet   an image classifier with batch norm behind `is_training`, dropout, Adam, summaries
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow.compat.v1 as tf

WIDTH = 4096
IMAGE = 64


def big(folder, layers):
    """Writes `layers` layers, x:0 float32 [None, 4096] -> y:0, holding no more than a few of them in memory."""
    with tf.Graph().as_default():
        h = tf.placeholder(tf.float32, [None, WIDTH], name="x")
        for at in range(layers):
            w = tf.get_variable("layer_%d/w" % at, [WIDTH, WIDTH], use_resource=False)
            h = tf.nn.relu(tf.matmul(h, w))
        h = tf.identity(h, name="y")
        tf.train.AdamOptimizer(1e-4).minimize(tf.reduce_mean(tf.square(h)))
        tf.train.Saver()
        tf.train.export_meta_graph(os.path.join(folder, "model.ckpt.meta"))
        shapes = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
    random = np.random.RandomState(0)
    with tf.Graph().as_default(), tf.Session() as session:
        # A Saver would need all of it at once; bytes are bytes, so the matrices of several variables are the same.
        matrices = [tf.placeholder(tf.float32, [WIDTH, WIDTH]) for _ in range(3)]
        fed = {one: (random.randn(WIDTH, WIDTH) * 0.015).astype(np.float32) for one in matrices}
        scalar = tf.constant(0.9)
        tensors = [matrices[at % 3] if shape else scalar for at, shape in enumerate(shapes.values())]
        prefix = os.path.join(folder, "model.ckpt")
        session.run(
            tf.raw_ops.SaveV2(
                prefix=prefix, tensor_names=list(shapes), shape_and_slices=[""] * len(shapes), tensors=tensors
            ),
            fed,
        )
    return prefix


def linear(folder, _):
    """Writes one matrix."""
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, WIDTH], name="x")
        tf.matmul(x, tf.get_variable("w", [WIDTH, 8], use_resource=False), name="y")
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(session, os.path.join(folder, "model.ckpt"))


def chain(folder, length):
    """Writes `length` nodes, each of which reads the one before; no API of Python makes them, which would take longest."""
    prefix = linear(folder, 0)
    meta = tf.MetaGraphDef()
    with open(prefix + ".meta", "rb") as stream:
        meta.ParseFromString(stream.read())
    [product] = [node for node in meta.graph_def.node if node.name == "y"]
    product.name = before = "product"
    for at in range(length):
        name = "y" if at + 1 == length else "chain_%d" % at
        node = meta.graph_def.node.add(name=name, op="Tanh", input=[before])
        node.attr["T"].type = tf.float32.as_datatype_enum
        node.attr["_output_shapes"].CopyFrom(product.attr["_output_shapes"])
        before = name
    with open(prefix + ".meta", "wb") as stream:
        stream.write(meta.SerializeToString())
    return prefix


def convnet(folder, blocks):
    """Writes an image classifier of `blocks` residual blocks: x:0 float32 [None, 64, 64, 3] -> probs:0 [None, 10]."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        x = tf.placeholder(tf.float32, [None, IMAGE, IMAGE, 3], name="x")
        labels = tf.placeholder(tf.int64, [None], name="labels")
        is_training = tf.placeholder(tf.bool, [], name="is_training")
        h = _convolution("stem", x, 3, 32, 2, is_training)
        for at in range(blocks):
            inner = _convolution("block_%d/a" % at, h, 32, 64, 1, is_training)
            h = tf.nn.relu(h + _convolution("block_%d/b" % at, inner, 64, 32, 1, is_training))
        pooled = tf.reduce_mean(h, [1, 2])
        kept = tf.cond(is_training, lambda: tf.nn.dropout(pooled, rate=0.5), lambda: pooled)
        kernel = tf.get_variable("logits/kernel", [32, 10], use_resource=False)
        bias = tf.get_variable("logits/bias", [10], initializer=tf.zeros_initializer(), use_resource=False)
        logits = tf.nn.bias_add(tf.matmul(kept, kernel), bias)
        with tf.control_dependencies([tf.assert_rank(logits, 2)]):
            tf.nn.softmax(logits, name="probs")
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        tf.summary.scalar("loss", tf.reduce_mean(losses))
        with tf.control_dependencies(tf.get_collection(tf.GraphKeys.UPDATE_OPS)):
            tf.train.AdamOptimizer(1e-3).minimize(tf.reduce_mean(losses))
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(session, os.path.join(folder, "model.ckpt"))


def _convolution(name, x, given, made, stride, is_training):
    with tf.variable_scope(name):
        kernel = tf.get_variable("kernel", [3, 3, given, made], use_resource=False)
        h = tf.nn.conv2d(x, kernel, [1, stride, stride, 1], "SAME")
        names, at_one = ("gamma", "beta", "moving_mean", "moving_variance"), ("gamma", "moving_variance")
        gamma, beta, mean, variance = (
            tf.get_variable(
                one,
                [made],
                # Not ones and zeros, which no training leaves and whose ops TensorFlow would drop.
                initializer=tf.random_uniform_initializer(*((0.5, 1.5) if one in at_one else (-0.5, 0.5))),
                trainable=one in ("gamma", "beta"),
                use_resource=False,
            )
            for one in names
        )
        h, new_mean, new_variance = tf.cond(
            is_training,
            lambda: tf.nn.fused_batch_norm(h, gamma, beta, epsilon=1e-3),
            lambda: tf.nn.fused_batch_norm(h, gamma, beta, mean, variance, epsilon=1e-3, is_training=False),
        )
        for old, new in ((mean, new_mean), (variance, new_variance)):
            tf.add_to_collection(tf.GraphKeys.UPDATE_OPS, tf.assign_sub(old, (old - new) * 0.01))
        return tf.nn.relu(h)


if __name__ == "__main__":
    os.makedirs(sys.argv[2], exist_ok=True)
    kinds = {"big": big, "linear": linear, "chain": chain, "convnet": convnet}
    print(kinds[sys.argv[1]](sys.argv[2], int((sys.argv[3:] or [8])[0])))
