"""Every class of graph that once had no sample: inputs are made up for it, at once or within a few attempts.

Each graph stands for models of other people. TensorFlow itself is the judge: it answers to the inputs, or it does not.
"""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.proof import examples, trial
from tests.support import graphs, small_models
from tests.support.graphs import v1

FLOAT, INT = tf.float32, tf.int32


def _x(name: str = "x", dtype=FLOAT, shape=None):
    return v1.placeholder(dtype, shape, name)


def _weights(*shape: int):
    return tf.constant(np.random.default_rng(0).standard_normal(shape), tf.float32)


def _answered(build, producer: int | None = None) -> tuple[dict[str, np.ndarray], int]:
    """Returns inputs that the graph of `build` answers to, and how many were refused before."""
    with graphs.tensorflow_1() as graph:
        made = build()
        fetches = [tensor.name for tensor in (made if isinstance(made, (list, tuple)) else [made])]
    names = [operation.name for operation in graph.get_operations() if operation.type == "Placeholder"]
    asked = small_models.asked(graph, {name: f"{name}:0" for name in names}, {})
    graph_def = graph.as_graph_def()
    if producer is not None:
        graph_def.versions.producer = producer
    attempts = examples.attempts(graph_def, graph_def, asked.signatures["serving_default"].inputs)
    for refused, inputs in enumerate(attempts):
        try:
            graphs.run(graph_def, fetches, {f"{key}:0": value for key, value in inputs.items()})
        except (tf.errors.OpError, ValueError) as error:
            attempts.refused(str(error))
            continue
        return inputs, refused
    raise AssertionError(attempts.reason)


def _gru(*args, **fields):
    """A loop as tf.nn.dynamic_rnn has it: over the second axis, row by row as long as its length says."""
    x, lengths = args
    steps = tf.shape(x)[1]

    def body(time, state):
        new = tf.tanh(tf.matmul(tf.concat([x[:, time], state], 1), _weights(9, 3)))
        return time + 1, tf.where(tf.broadcast_to((time < lengths)[:, None], tf.shape(state)), new, state)

    same = v1.Assert(tf.equal(tf.shape(x)[0], tf.shape(lengths)[0]), [lengths])
    with tf.control_dependencies([same]):
        start = tf.zeros([tf.shape(x)[0], 3])
    return tf.while_loop(
        lambda time, state: time < steps, body, [0, start], [tf.TensorShape([]), tf.TensorShape([None, 3])]
    )[1]


def _deconvolved():
    hidden = tf.reshape(tf.matmul(_x(shape=[None, 10]), _weights(10, 7 * 7 * 4)), [-1, 7, 7, 4])
    return tf.nn.conv2d_transpose(hidden, _weights(3, 3, 2, 4), [4, 14, 14, 2], [1, 2, 2, 1])


def _unet():
    hidden = _x(shape=[None, None, None, 1])
    skipped = []
    for channels in (1, 2, 2, 2):
        skipped.append(tf.nn.conv2d(hidden, _weights(3, 3, channels, 2), 1, "SAME"))
        hidden = tf.nn.max_pool2d(skipped[-1], 2, 2, "VALID")
    for skip in reversed(skipped):
        size = tf.shape(hidden)
        shape = tf.stack([size[0], size[1] * 2, size[2] * 2, 2])
        hidden = tf.concat([tf.nn.conv2d_transpose(hidden, _weights(2, 2, 2, hidden.shape[-1]), shape, 2), skip], 3)
    return hidden


def _flattened(image):
    hidden = tf.nn.max_pool2d(tf.nn.conv2d(image, _weights(5, 5, 1, 4), 1, "VALID"), 2, 2, "VALID")
    return tf.matmul(tf.reshape(hidden, [-1, 12 * 12 * 4]), _weights(576, 3))


def _slice_from_strided():
    x = _x(shape=[None, None])
    return tf.matmul(x[:, :20], _weights(20, 3)), x[:, 25]


def _trimmed():
    hidden = tf.nn.conv3d(_x(shape=[None, None, None, None, 1]), _weights(5, 5, 5, 1, 48), [1] * 5, "VALID")
    parts = tf.reshape(tf.reshape(hidden, [-1, 32, 32, 32, 2, 24]), [-1, 32, 32, 32, 48])
    return parts[..., :2] - _x("labels", shape=[None, None, None, None, 2])


def _joined(x, y):
    return tf.matmul(tf.concat([x, y], 1), _weights(9, 2))


SHAPES = {
    "the rank and channels of a convolution": (
        lambda: tf.nn.conv2d(tf.nn.relu(_x()), _weights(3, 3, 5, 2), 1, "SAME"),
        {"x": 5},
    ),
    "the rank and columns of a product": (lambda: tf.matmul(tf.identity(_x()), _weights(37, 2)), {"x": 37}),
    "the rank of a Reshape": (
        lambda: tf.nn.conv2d(tf.reshape(_x(), [-1, 28, 28, 1]), _weights(3, 3, 1, 2), 1, "SAME"),
        {"x": 1},
    ),
    "what a Reshape has left": (lambda: tf.reshape(_x(shape=[None, None]), [-1, 28, 28]), {"x": 784}),
    "the rank of what it is joined with": (lambda: _joined(_x(shape=[None, 5]), _x("y")), {"y": 4}),
    "through a Transpose": (
        lambda: tf.nn.conv2d(tf.transpose(_x(), [0, 1, 3, 2]), _weights(3, 3, 5, 2), 1, "SAME"),
        {"x": None},
    ),
    "a slice's reach": (_slice_from_strided, {"x": 26}),
    "rows that are always taken": (lambda: tf.gather(_x(shape=[None, 4]), [0, 11, 40]), {"x": 4}),
    "a size that a block divides": (lambda: tf.nn.space_to_depth(_x(shape=[None, None, None, 3]), 3), {"x": 3}),
    "a padded size that a block divides": (
        lambda: tf.space_to_batch(_x(shape=[None, None, 4]), [3], [[1, 1]]),
        {"x": 4},
    ),
    "rows that are put together": (
        lambda: tf.raw_ops.BatchToSpaceND(input=_x(shape=[None, 5, 4]), block_shape=[4], crops=[[0, 0]]),
        {},
    ),
    "rows that are split": (lambda: tf.split(_x(shape=[None, 4]), 5)[2], {"x": 4}),
    "a batch that was built in": (_deconvolved, {"x": 10}),
    "a batch in a Reshape": (
        lambda: tf.reshape(tf.matmul(_x(shape=[None, 10]), _weights(10, 8)), [6, 2, 4]),
        {"x": 10},
    ),
    "a picture through five halvings": (_unet, {"x": 1}),
    "a picture that is flattened": (lambda: _flattened(_x(shape=[None, None, None, 1])), {"x": 1}),
    "a matrix that is square": (
        lambda: tf.matmul(_x("a", shape=[None, None]), tf.matmul(_x(shape=[None, 5]), _weights(5, 3))),
        {"x": 5},
    ),
    "a matrix and its transpose": (lambda: (lambda a: a + tf.transpose(a))(_x("a", shape=[None, None])), {}),
    "one of everything": (lambda: tf.matmul(tf.reshape(_x(shape=[None, None]), [1, 1]), _weights(1, 3)), {"x": 1}),
    "filters that are fed": (
        lambda: tf.nn.conv2d(_x(shape=[None] * 4), _x("f", shape=[3, 3, None, None]), 1, "VALID"),
        {},
    ),
    "sizes that fit together": (
        lambda: tf.concat([_x(shape=[None, None]), _x("y", shape=[None, 21])], 1) + tf.ones([1, 240]),
        {"x": 219},
    ),
    "a field in 3-D that convolutions trim to a fixed one, beside labels": (_trimmed, {"x": 1, "labels": 2}),
    "twice as many rows": (lambda: tf.reshape(_x("a", shape=[None, 4]), [2, -1, 4]) + _x("b", shape=[None, 4]), {}),
}


@pytest.mark.parametrize("which", SHAPES)
def test_shapes_are_what_the_readers_take(which):
    build, last = SHAPES[which]
    inputs, _ = _answered(build)
    for key, size in last.items():
        assert size is None or inputs[key].shape[-1] == size


def test_a_scalar_shape_of_an_old_graph_says_nothing():
    inputs, refused = _answered(lambda: tf.matmul(_x(), _weights(6, 2)), producer=9)
    assert inputs["x"].shape[1:] == (6,) and not refused


def test_flags_and_numbers_of_any_rank_are_scalars():
    def build():
        x, flag, count = _x(shape=[None, 4]), _x("flag", tf.bool), _x("count", INT)
        return tf.cond(flag, lambda: x * 2.0, lambda: tf.reshape(x, tf.stack([count, 4])))

    inputs, refused = _answered(build)
    assert inputs["flag"].shape == inputs["count"].shape == () and not refused
    assert inputs["count"] == len(inputs["x"])


def test_a_rate_of_any_rank_is_between_0_and_1():
    def build():
        return tf.nn.relu(tf.matmul(_x(), _weights(10, 8))) / _x("keep", FLOAT)

    keep = _answered(build)[0]["keep"]
    assert keep.shape == () and 0 < keep < 1


@pytest.mark.parametrize("is_time_major", [False, True])
def test_lengths_are_one_for_each_row_and_within_the_axis(is_time_major):
    def build():
        x = _x(shape=[None, None, 6])
        return _gru(tf.transpose(x, [1, 0, 2]) if is_time_major else x, _x("lengths", INT, [None]))

    inputs, _ = _answered(build)
    axis = inputs["x"].shape[0 if is_time_major else 1]
    assert inputs["lengths"].max() <= axis and len(set(inputs["lengths"])) > 1


def test_lengths_to_reverse_are_spread_over_the_axis():
    inputs, _ = _answered(lambda: tf.reverse_sequence(_x(shape=[40, 7, 2]), _x("lengths", INT, [40]), seq_axis=1))
    assert set(inputs["lengths"]) == {1, 2, 3, 4, 5, 6, 7}


def test_integers_are_as_many_as_rows_and_as_long_as_an_axis():
    def build():
        x = _x(shape=[None, None])
        return tf.reshape(x, tf.stack([_x("rows", INT, []), _x("length", INT, []), 1]))

    inputs, _ = _answered(build)
    assert (inputs["rows"], inputs["length"]) == inputs["x"].shape


def test_an_integer_is_the_batch_that_a_state_is_made_for():
    def build():
        x, rows = _x(shape=[None, 5]), _x("rows", INT, [])
        with tf.control_dependencies([v1.Assert(tf.equal(rows, tf.shape(x)[0]), [rows])]):
            return tf.concat([x, tf.zeros(tf.stack([rows, 2]))], 1)

    inputs, _ = _answered(build)
    assert inputs["rows"] == len(inputs["x"])


VALUES = {
    "rows of a table": (lambda i: tf.gather(_weights(7, 2), i), [6], lambda v: v.min() >= 0 and v.max() < 7),
    "rows one further": (lambda i: tf.gather(_weights(7, 2), i - 1), [6], lambda v: v.min() >= 1 and v.max() <= 7),
    "rows before": (lambda i: tf.gather(_weights(7, 2), i + 2), [60], lambda v: v.min() < 0 and v.max() == 4),
    "rows of two tables": (
        lambda i: (tf.gather(_weights(3, 2), i[:, 0]), tf.gather(_weights(90, 2), i[:, 1])),
        [40, 2],
        lambda v: v[:, 0].max() < 3 and v[:, 1].max() > 10,
    ),
    "places": (lambda i: tf.gather_nd(_weights(2, 50), i), [20, 2], lambda v: v[:, 0].max() < 2 and v[:, 1].max() > 5),
    "segments": (
        lambda i: tf.math.segment_sum(_weights(9, 2), i),
        [9],
        lambda v: (np.diff(v) >= 0).all() and v.max() > 0,
    ),
    "segments of rows": (
        lambda i: tf.raw_ops.SparseSegmentSum(data=_weights(9, 2), indices=i, segment_ids=[0, 0, 1]),
        [3],
        lambda v: v.max() < 9,
    ),
    "a permutation": (lambda i: tf.transpose(_weights(2, 3, 4), i), [3], lambda v: sorted(v) == [0, 1, 2]),
    "a permutation to invert": (tf.math.invert_permutation, [5], lambda v: sorted(v) == [0, 1, 2, 3, 4]),
    "a new shape": (lambda i: tf.reshape(_weights(4, 6), i), [3], lambda v: np.prod(v) == 24),
    "a shape to spread to": (lambda i: tf.broadcast_to(_weights(1, 6), i), [3], lambda v: v[-1] == 6),
    "where a slice begins": (lambda i: tf.slice(_weights(4, 6), i, [1, 2]), [2], lambda v: v.min() >= 0),
    "how large a slice is": (lambda i: tf.slice(_weights(4, 6), [1, 2], i), [2], lambda v: v[0] <= 3 and v[1] <= 4),
    "what an axis is split into": (
        lambda i: tf.raw_ops.SplitV(value=_weights(4, 7), size_splits=i, axis=1, num_split=3)[0],
        [3],
        lambda v: v.sum() == 7,
    ),
    "axes": (lambda i: tf.reduce_sum(_weights(2, 3, 4), i), [2], lambda v: len(set(v)) == 2 and v.max() < 3),
    "a block": (
        lambda i: tf.space_to_batch(_weights(2, 4, 5, 6, 1), i, [[0, 0], [0, 0], [0, 0]]),
        [3],
        lambda v: list(v) == [2, 1, 2],
    ),
    "paddings of blocks": (
        lambda i: tf.space_to_batch(_weights(2, 5, 6, 1), [3, 4], i),
        [2, 2],
        lambda v: v[0, 1] == 1 and v[1, 1] == 2,
    ),
    "what a transposed convolution makes": (
        lambda i: tf.nn.conv2d_transpose(_weights(2, 5, 5, 3), _weights(3, 3, 4, 3), i, 2, "VALID"),
        [4],
        lambda v: list(v) == [2, 11, 11, 4],
    ),
    "pictures that boxes are in": (
        lambda i: tf.image.crop_and_resize(_weights(2, 8, 8, 1), _weights(5, 4), i, [3, 3]),
        [5],
        lambda v: set(v) == {0, 1},
    ),
    "the size of a picture": (lambda i: tf.image.resize(_weights(1, 4, 4, 1), i), [2], lambda v: v.min() > 1),
    "classes": (
        lambda i: v1.nn.sparse_softmax_cross_entropy_with_logits(labels=i, logits=_weights(30, 9)),
        [30],
        lambda v: 4 < v.max() < 9,
    ),
    "in a branch": (
        lambda i: tf.cond(_x("p", tf.bool), lambda: tf.gather(_weights(3, 2), i), lambda: tf.zeros([30, 2])),
        [30],
        lambda v: v.max() < 3,
    ),
    "in a loop": (
        lambda i: tf.while_loop(
            lambda n, s: n < 3, lambda n, s: (n + 1, s + tf.reduce_sum(tf.gather(_weights(5, 2), i))), [0, 0.0]
        )[1],
        [30],
        lambda v: 2 < v.max() < 5,
    ),
    "one by one": (
        lambda i: v1.map_fn(lambda n: tf.gather(_weights(5, 2), n), i, dtype=tf.float32),
        [30],
        lambda v: 2 < v.max() < 5,
    ),
    "numbers from and to": (lambda i: tf.range(i[0], i[1], i[2]), [3], lambda v: v[0] < v[1] and v[2] > 0),
    "places in order": (
        lambda i: tf.raw_ops.SparseToDense(sparse_indices=i, output_shape=[4, 5], sparse_values=1.0, default_value=0.0),
        [6, 2],
        lambda v: len({tuple(row) for row in v}) == 6,
    ),
}


@pytest.mark.parametrize("which", VALUES)
def test_integers_are_what_the_readers_take(which):
    build, shape, holds = VALUES[which]
    inputs, refused = _answered(lambda: build(_x("i", INT, shape)))
    assert holds(inputs["i"]) and inputs["i"].dtype == np.int32 and not refused


def _summed_rows(lengths):
    """The sums of parts of `v` of so many rows, as a ragged tensor or a compressed sparse matrix has them."""
    rows = tf.repeat(tf.range(tf.shape(lengths)[0]), lengths)
    return tf.math.segment_sum(_x("v", shape=[None, 2]), rows)


def _searched_rows(i):
    v = _x("v", shape=[None])
    rows = tf.searchsorted(i, tf.range(tf.shape(v)[0]), side="right") - 1
    where = tf.cast(tf.stack([rows, _x("columns", INT, [None])], 1), tf.int64)
    matrix = tf.SparseTensor(where, v, tf.cast(tf.stack([tf.shape(i)[0] - 1, 14]), tf.int64))
    return tf.sparse.sparse_dense_matmul(matrix, _weights(14, 3))


def _nested(i):
    """Two splits, each told apart by what its end has to be."""
    inner, v = _x("inner", INT, [None]), _x("v", shape=[None, 2])
    ends = [
        v1.Assert(tf.equal(i[-1], tf.shape(inner)[0] - 1), [i]),
        v1.Assert(tf.equal(inner[-1], tf.shape(v)[0]), [inner]),
    ]
    with tf.control_dependencies(ends):
        return tf.reduce_sum(i[1:] - i[:-1]) + tf.reduce_sum(inner[1:] - inner[:-1]), tf.identity(v)


def _unchecked(i):
    inner = _x("inner", INT, [None])
    return tf.reduce_sum(i[1:] - i[:-1]) + tf.reduce_sum(inner[1:] - inner[:-1])


def _reduced_twice(i):
    """Sums of parts, and sums of parts of these."""
    made = _x("a", shape=[None, 2])
    for splits in (_x("inner", INT, [None]), i):
        lengths = splits[1:] - splits[:-1]
        count = tf.shape(lengths)[0]
        made = tf.math.unsorted_segment_sum(made, tf.repeat(tf.range(count), lengths), count)
    return made


def _one_row_less(i):
    v = _x("v", shape=[None, 2])
    with tf.control_dependencies([v1.Assert(tf.equal(i[-1], tf.shape(v)[0] - 1), [i])]):
        return tf.reduce_sum(i[1:] - i[:-1]), tf.identity(v)


def _summed_up(i):
    v = _x("v", shape=[None, 2])
    with tf.control_dependencies([v1.Assert(tf.equal(tf.reduce_sum(i), tf.shape(v)[0]), [i])]):
        return tf.identity(v)


def _ends_of(i):
    ends = tf.concat([[0], tf.cumsum(i)], 0)
    return _summed_rows(ends[1:] - ends[:-1])


def _are_splits(name: str = "i", of: str = "v", fewer: int = 0):
    return lambda made: (
        made[name][0] == 0 and (np.diff(made[name]) >= 0).all() and made[name][-1] == len(made[of]) - fewer
    )


def _are_parts(made: dict[str, np.ndarray]) -> bool:
    return made["i"].min() >= 0 and made["i"].sum() == len(made["v"]) > 1


# Name -> (graph, what holds, how many are refused before): what no reader says is tried third.
DIVISIONS = {
    "where each part ends": (lambda i: _summed_rows(i[1:] - i[:-1]), _are_splits(), 0),
    "where to search": (
        _searched_rows,
        lambda made: _are_splits()(made) and 3 < made["columns"].max() < 14,
        0,
    ),
    "parts of parts": (_nested, lambda made: _are_splits(of="inner", fewer=1)(made) and _are_splits("inner")(made), 0),
    "parts of parts that nothing checks": (_unchecked, _are_splits(of="inner", fewer=1), 0),
    "parts of parts, each summed up": (
        _reduced_twice,
        lambda made: _are_splits(of="inner", fewer=1)(made) and _are_splits("inner", of="a")(made),
        0,
    ),
    "an end that is compared": (_one_row_less, _are_splits(fewer=1), 0),
    "rows whose sum is compared": (_summed_up, _are_parts, 0),
    "rows whose sum is compared, which are looked up": (
        lambda i: (_summed_up(i), tf.gather(_weights(3, 2), i)),
        _are_parts,
        0,
    ),
    "rows that are summed up": (_ends_of, _are_parts, 0),
    "rows of which no reader says anything": (_summed_rows, _are_parts, 2),
    "ends of which no reader says anything": (
        lambda i: _summed_rows(i[1:] - tf.roll(i, 1, 0)[1:]),
        _are_splits(),
        3,
    ),
}


@pytest.mark.parametrize("which", DIVISIONS)
def test_integers_divide_the_rows_of_another_input(which):
    build, holds, most = DIVISIONS[which]
    inputs, refused = _answered(lambda: build(_x("i", INT, [None])))
    assert holds(inputs) and refused <= most


@pytest.mark.parametrize("build", [_summed_rows, _ends_of])
def test_further_sets_divide_all_the_rows_again(build):
    with graphs.tensorflow_1() as graph:
        build(_x("i", INT, [None]))
    graph_def = graph.as_graph_def()
    inputs = small_models.asked(graph, {"i": "i:0", "v": "v:0"}, {}).signatures["serving_default"].inputs
    first = {"i": np.array([5, 0, 2, 4], np.int32), "v": np.ones([11, 2], np.float32)}
    made = [values["i"] for values in examples.sets(graph_def, graph_def, inputs, first, 3)]
    assert [values.sum() for values in made] == [11, 11, 11] and len({tuple(values) for values in made}) > 1


def test_a_sum_that_is_compared_with_a_constant_divides_nothing():
    def build():
        ids = _x("i", INT, [None])
        return tf.cond(tf.equal(tf.reduce_sum(ids), 0), lambda: _x("v", shape=[None]), lambda: tf.zeros([3]))

    inputs, _ = _answered(build)
    assert inputs["i"].all()


def test_what_is_only_convenient_gives_way():
    """Any number will do for a range; rows of a table have to be in it."""
    inputs, refused = _answered(lambda: (lambda i: (tf.range(i), tf.gather(_weights(3, 2), i)))(_x("i", INT, [])))
    assert inputs["i"] < 3 and not refused


def test_filled_tables_are_asked_for_their_own_words():
    def build():
        initializer = tf.lookup.KeyValueTensorInitializer(
            tf.constant(["u", "v", "w"]), tf.constant([0, 1, 2], tf.int64)
        )
        table = tf.lookup.StaticHashTable(initializer, -1)
        return table.lookup(_x("words", tf.string, [8]))

    with graphs.tensorflow_1() as graph:
        build()
    graph_def = graph.as_graph_def()
    asked = small_models.asked(graph, {"words": "words:0"}, {})
    words = next(iter(examples.attempts(graph_def, graph_def, asked.signatures["serving_default"].inputs)))["words"]
    assert {b"u", b"v", b"w"} < set(words)


def test_readers_in_functions_are_read_as_well():
    """Control flow of TensorFlow 2, which TensorFlow 1.15 writes after `tf.enable_control_flow_v2()`."""
    with tf.Graph().as_default() as graph:
        flag, x, ids = _x("flag", tf.bool), _x(), _x("ids", INT, [40])
        branch = tf.cond(flag, lambda: tf.matmul(x, _weights(9, 4)), lambda: tf.zeros([3, 4]))
        loop = tf.while_loop(
            lambda n, s: n < 3, lambda n, s: (n + 1, s + tf.reduce_sum(tf.gather(_weights(5, 2), ids))), [0, 0.0]
        )[1]
        tf.identity(tf.reduce_sum(branch) + loop, name="y")
    graph_def = graph.as_graph_def()
    assert graphs.kinds(graph_def) & {"If", "StatelessIf"} and graphs.kinds(graph_def) & {"While", "StatelessWhile"}
    asked = small_models.asked(graph, {name: f"{name}:0" for name in ("flag", "x", "ids")}, {})
    inputs = next(iter(examples.attempts(graph_def, graph_def, asked.signatures["serving_default"].inputs)))
    assert inputs["flag"].shape == () and inputs["x"].shape[1:] == (9,) and 2 < inputs["ids"].max() < 5
    assert np.isfinite(graphs.run(graph_def, "y:0", {f"{key}:0": value for key, value in inputs.items()}))


def test_further_sets_have_the_same_shapes_and_other_scales_and_signs():
    with graphs.tensorflow_1() as graph:
        _x(shape=[None, 50])
        tf.gather(_weights(7, 2), _x("ids", INT, [30]))
        _x("keep", FLOAT, [])
    graph_def = graph.as_graph_def()
    inputs = (
        small_models.asked(graph, {key: f"{key}:0" for key in ("x", "ids", "keep")}, {})
        .signatures["serving_default"]
        .inputs
    )
    first = next(iter(examples.attempts(graph_def, graph_def, inputs)))
    made = list(examples.sets(graph_def, graph_def, inputs, first, 3))
    again = list(examples.sets(graph_def, graph_def, inputs, first, 3))
    assert [values["x"].shape for values in made] == [first["x"].shape] * 3
    assert first["x"].min() >= 0 and all(values["x"].min() < 0 < values["x"].max() for values in made)
    assert (
        max(np.abs(values["x"]).max() for values in made) > 10 > 0.5 > min(np.abs(values["x"]).max() for values in made)
    )
    assert all(0 <= values["ids"].min() and values["ids"].max() < 7 for values in made)
    assert all(0 < values["keep"] < 1 for values in made) and made[0]["keep"] != first["keep"]
    assert all(np.array_equal(one[key], other[key]) for one, other in zip(made, again, strict=True) for key in one)


def test_the_first_guess_is_not_tried_out_and_the_others_are():
    class Refusing(trial.Trial):
        def __init__(self):
            self.asked = []

        def refusal(self, inputs):
            self.asked.append(inputs["x"].shape)
            if len(self.asked) == 3:
                raise trial.GivenUp("no answer")
            return "no"

    with graphs.tensorflow_1() as graph:
        _x(shape=[None, None])
    graph_def = graph.as_graph_def()
    inputs = small_models.asked(graph, {"x": "x:0"}, {}).signatures["serving_default"].inputs
    refusing = Refusing()
    attempts = examples.attempts(graph_def, graph_def, inputs, guesses=refusing)
    shapes = [made["x"].shape for made in attempts]
    assert shapes == [(3, 8)] and len(refusing.asked) == 3 and refusing.asked[0] == (8, 8)
    assert attempts.reason == "no"
