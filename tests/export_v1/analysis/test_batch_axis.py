"""Whether rows stay apart, op by op; the two answers that follow from one graph are compared with it, too."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.analysis import batch_axis
from export_v1.ir.graph import Index
from export_v1.passes import portable
from tests.support import graphs
from tests.support.graphs import v1

raw = tf.raw_ops


def _weight(*shape) -> tf.Tensor:
    return tf.constant(np.random.default_rng(1).normal(size=shape), tf.float32)


def _size(x) -> tf.Tensor:
    return raw.StridedSlice(input=raw.Shape(input=x), begin=[0], end=[1], strides=[1], shrink_axis_mask=1)


def _time_major_loop(x):
    steps = tf.transpose(tf.reshape(x, [-1, 3, 4]), [1, 0, 2])
    state = raw.Fill(dims=tf.stack([_size(x), 4]), value=0.0)
    array = tf.TensorArray(tf.float32, 3).unstack(steps)
    out = tf.TensorArray(tf.float32, 3)

    def body(i, state, out):
        state = tf.tanh(array.read(i) @ _weight(4, 4) + state)
        return i + 1, state, out.write(i, state)

    _, state, out = v1.while_loop(lambda i, *_: i < 3, body, [0, state, out])
    return tf.transpose(out.stack(), [1, 0, 2])


def _cond(x):
    flag = v1.placeholder_with_default(True, [])
    off, on = raw.Switch(data=x, pred=flag)
    return raw.Merge(inputs=[off * 2.0, on + 1.0])[0]


def _lengths(x):
    return tf.cast(tf.minimum(tf.abs(x[:, 0]), 3.0), tf.int32, name="lengths")


def _where_it_goes_on(going, kept, new):
    return v1.where(tf.logical_not(going), kept, new)


def _until_the_longest(x, keep=None, steps=None, size=3, dynamic=False, step=1, choose=_where_it_goes_on):
    """A loop over time that ends with the longest row; the last states, and all of them."""
    inputs, lengths = tf.transpose(tf.reshape(x, [-1, 3, 4]), [1, 0, 2]), _lengths(x)
    array = tf.TensorArray(tf.float32, 3).unstack(inputs)
    out = tf.TensorArray(tf.float32, size, dynamic_size=dynamic)
    zeros = raw.Fill(dims=tf.stack([_size(x), 4]), value=0.0)
    most = tf.minimum(3, tf.maximum(1, tf.reduce_max(lengths) if steps is None else steps(lengths)))

    def body(t, state, out):
        going = t < lengths
        new = tf.tanh(array.read(t) @ _weight(4, 4) + state)
        kept = state if keep is None else keep(state, new)
        return t + step, choose(going, kept, new), out.write(t, choose(going, zeros, new))

    t, state, out = v1.while_loop(lambda t, *_: tf.logical_and(t < 3, t < most), body, [0, zeros, out])
    return t, state, tf.transpose(out.stack(), [1, 0, 2])


def _until_all_have_finished(x, finished=tf.logical_or, kept=None):
    def body(t, state, done):
        new = tf.tanh(state @ _weight(12, 12))
        return t + 1, v1.where(done, state if kept is None else kept(new), new), finished(done, new[:, 0] > 0.3)

    none = v1.zeros_like(x[:, 0], dtype=tf.bool)
    going = lambda t, _, done: tf.logical_and(t < 6, tf.logical_not(tf.reduce_all(done)))  # noqa: E731
    return v1.while_loop(going, body, [0, x, none])


def _functional(build):
    def built(x):
        v1.enable_control_flow_v2()
        try:
            return build(x)
        finally:
            v1.disable_control_flow_v2()

    return built


def _scanned(x):
    steps = tf.transpose(tf.reshape(x, [-1, 3, 4]), [1, 0, 2])
    start = raw.Fill(dims=tf.stack([_size(x), 4]), value=0.0)
    return tf.transpose(tf.scan(lambda state, row: tf.tanh(state @ _weight(4, 4) + row), steps, start), [1, 0, 2])


APART = {
    "loop to the longest row, its state": lambda x: _until_the_longest(x)[1],
    "loop to the longest row, its array": lambda x: _until_the_longest(x)[2],
    "loop to the longest row, chosen as TensorFlow does": lambda x: _until_the_longest(
        x, choose=lambda going, kept, new: v1.where(going, new, kept)
    )[2],
    "loop until all have finished": lambda x: _until_all_have_finished(x)[1],
    "functional loop over lists": _functional(_scanned),
    "functional condition on a flag": _functional(
        lambda x: tf.cond(v1.placeholder_with_default(True, []), lambda: x * 2.0, lambda: x @ _weight(12, 12))
    ),
    "function": lambda x: tf.function(lambda y: tf.tanh(y) @ _weight(12, 2))(x),
    "dense": lambda x: tf.nn.relu(x @ _weight(12, 3) + _weight(3)),
    "transposed weights": lambda x: tf.matmul(_weight(3, 12), x, transpose_b=True)[..., None],
    "convolution": lambda x: tf.nn.max_pool2d(
        tf.nn.conv2d(tf.reshape(x, [-1, 2, 2, 3]), _weight(1, 1, 3, 4), 1, "SAME"), 2, 2, "SAME"
    ),
    "row by row in a longer batch": lambda x: tf.reshape(tf.reshape(x, [-1, 4]) @ _weight(4, 2), [-1, 6]),
    "attention": lambda x: (lambda y: tf.nn.softmax(tf.matmul(y, y, transpose_b=True)) @ y)(tf.reshape(x, [-1, 3, 4])),
    "einsum": lambda x: tf.einsum("btd,dk->bkt", tf.reshape(x, [-1, 3, 4]), _weight(4, 2)),
    "look-up": lambda x: tf.gather(_weight(5, 2), tf.cast(tf.abs(x) % 5, tf.int32)),
    "one-hot": lambda x: tf.one_hot(tf.argmax(x, 1), 12),
    "mean of the row": lambda x: x / tf.reduce_max(tf.abs(x), 1, keepdims=True),
    "parts": lambda x: tf.concat([x[:, 2:5], tf.split(x, 2, 1)[1], x[..., :1]], 1),
    "stack": lambda x: tf.stack(tf.unstack(tf.reshape(x, [-1, 3, 4]), axis=1), axis=2),
    "shape put together": lambda x: tf.reshape(x, tf.stack([_size(x), 3, 4])),
    "start of zeros": lambda x: x + tf.tile(_weight(1, 12), tf.stack([_size(x), 1])),
    "loop over time": _time_major_loop,
    "condition on a flag": _cond,
    "padding": lambda x: tf.pad(x, [[0, 0], [1, 2]])[:, None],
    "no row": lambda x: _weight(3) * 2.0,
}
MIXED = {
    "how many steps the longest row takes": lambda x: x * tf.cast(_until_the_longest(x)[0], tf.float32),
    "a state that goes on after the row's end": lambda x: _until_the_longest(x, lambda state, new: new)[1],
    "an array of as many steps as the longest row": lambda x: _until_the_longest(x, size=0, dynamic=True)[2],
    "steps of a counter that turns back": lambda x: _until_the_longest(x, step=-1)[1],
    "steps until the shortest row ends": lambda x: _until_the_longest(x, steps=tf.reduce_min)[1],
    "rows that go on when they are done": lambda x: _until_the_longest(
        x, choose=lambda going, kept, new: v1.where(going, kept, new)
    )[1],
    "functional loop that mixes from its second step on": _functional(lambda x: v1.while_loop(
        lambda i, *_: i < 3, lambda i, y, one, other: (i + 1, y + one, other, tf.reduce_mean(y)), [0, x, 0.0, 0.0]
    )[1]),
    "rows that may start again": lambda x: _until_all_have_finished(x, lambda done, new: new)[1],
    "rows that move on when they have finished": lambda x: _until_all_have_finished(x, kept=lambda new: new)[1],
    "functional loop as long as all say": _functional(lambda x: v1.while_loop(
        lambda i, y: i < tf.cast(tf.reduce_max(x), tf.int32), lambda i, y: (i + 1, y + 1.0), [0, x]
    )[1]),
    "functional condition on data": _functional(lambda x: tf.cond(x[0, 0] > 0, lambda: x * 2.0, lambda: x)),
    "function that mixes": lambda x: tf.function(lambda y: y - tf.reduce_mean(y))(x),
    "gate on the row before": lambda x: tf.where(tf.concat([x[:1], x[:-1]], 0) > 1.0, x, 2.0 * x),
    "clip by the norm of all": lambda x: tf.clip_by_global_norm([x], 0.5)[0][0],
    "by the maximum of all": lambda x: x / tf.reduce_max(x),
    "by the size of the batch": lambda x: x / tf.cast(_size(x), tf.float32),
    "by position": lambda x: x + tf.cast(tf.range(_size(x)), tf.float32)[:, None],
    "each with each": lambda x: tf.nn.softmax(tf.matmul(x, x, transpose_b=True)) @ x,
    "softmax over the batch": lambda x: tf.transpose(tf.nn.softmax(tf.transpose(x))),
    "running sum": lambda x: tf.cumsum(x),
    "the other way round": lambda x: tf.reverse(x, [0]),
    "two rows in one": lambda x: tf.reshape(x, [-1, 24]),
    "condition on data": lambda x: (
        lambda sides: raw.Merge(inputs=[sides[0] * 2.0, sides[1]])[0]
    )(raw.Switch(data=x, pred=x[0, 0] > 0)),
    "condition on the size": lambda x: (
        lambda sides: raw.Merge(inputs=[sides[0] * 2.0, sides[1]])[0]
    )(raw.Switch(data=x, pred=_size(x) > 4)),
    "each with each, in a batch of another axis": lambda x: (
        lambda y: tf.transpose(tf.matmul(tf.matmul(y, y, transpose_b=True), y), [1, 0, 2])
    )(tf.transpose(tf.reshape(x, [-1, 3, 4]), [1, 0, 2])),
    "sorted by rows": lambda x: tf.gather(x, tf.argsort(x[:, 0])),
    "batch norm of training": lambda x: tf.reshape(
        raw.FusedBatchNormV3(
            x=tf.reshape(x, [-1, 2, 2, 3]), scale=[1.0] * 3, offset=[0.0] * 3, mean=[], variance=[], is_training=True
        ).y,
        [-1, 12],
    ),
    "einsum over the batch": lambda x: tf.einsum("bi,bj->ij", x, x),
    "bounds by all": lambda x: v1.while_loop(
        lambda i, y: i < tf.cast(tf.reduce_max(x), tf.int32), lambda i, y: (i + 1, y + 1.0), [0, x]
    )[1],
}  # fmt: skip


def _built(build):
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None, 12], name="x")
        tf.identity(build(x), name="y")
    return graph.as_graph_def(add_shapes=True)


def _mixing(recorded, **frozen):
    graph_def = portable.nodes(recorded).graph_def
    return batch_axis.mixing(graph_def, ["x:0"], {"y": "y:0"}, frozen, Index(recorded))


@pytest.mark.parametrize("name", sorted(APART.keys() - {"transposed weights"}))
def test_rows_that_stay_apart(name):
    graph_def = _built(APART[name])
    assert _mixing(graph_def) == {}
    if name != "no row":
        x = np.float32(np.random.default_rng(2).normal(size=[5, 12]) * 3)
        whole = graphs.run(graph_def, "y:0", {"x:0": x})
        for row in range(len(x)):
            alone = graphs.run(graph_def, "y:0", {"x:0": x[row : row + 1]})
            np.testing.assert_allclose(alone, whole[row : row + 1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(MIXED))
def test_rows_that_are_put_together(name):
    assert _mixing(_built(MIXED[name])).keys() == {"y"}


def test_an_output_whose_rows_are_along_another_axis_is_not_one_answer_for_each_row():
    [where] = _mixing(_built(APART["transposed weights"])).values()
    assert "first axis is not the batch" in where


def test_the_first_op_that_mixes_is_named():
    graph_def = _built(lambda x: tf.nn.relu(tf.exp(x - tf.reduce_mean(x, 0, name="of_all"))))
    assert _mixing(graph_def) == {"y": "'of_all' (Mean)"}


def test_a_branch_that_is_never_taken_mixes_nothing():
    def build(x):
        off, on = raw.Switch(data=x, pred=v1.placeholder(tf.bool, [], name="flag"))
        return raw.Merge(inputs=[off * 2.0, on - tf.reduce_mean(on)])[0]

    graph_def = _built(build)
    assert _mixing(graph_def, **{"flag:0": False}) == {}
    assert _mixing(graph_def, **{"flag:0": True}).keys() == {"y"}
