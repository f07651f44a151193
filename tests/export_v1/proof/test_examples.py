"""examples: inputs made up for a graph are such that what reads them can take them, and the same each time."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.interface import Input
from export_v1.proof import candidates, examples, strings
from tests.support import graphs, small_models
from tests.support.graphs import v1


def _made(build, **changes) -> list[dict[str, np.ndarray]]:
    """Returns every attempt for the placeholders of a graph, all of which are inputs under their own names."""
    with graphs.tensorflow_1() as graph:
        build()
    names = [one.name for one in graph.get_operations() if one.type == "Placeholder"]
    asked = small_models.asked(graph, {name: f"{name}:0" for name in names}, {})
    graph_def = graph.as_graph_def(add_shapes=True)
    return list(examples.attempts(graph_def, graph_def, asked.signatures["serving_default"].inputs, **changes))


def _first(build, **changes) -> dict[str, np.ndarray]:
    return _made(build, **changes)[0]


def test_the_same_are_made_each_time_and_others_from_another_seed():
    def build():
        tf.negative(v1.placeholder(tf.float32, [None, 4], "x"))
        tf.negative(v1.placeholder(tf.float32, [None, 4], "y"))

    one, again, other = _first(build), _first(build), _first(build, seed=2)
    assert one["x"].shape == (examples.BATCH, 4) and one["x"].dtype == np.float32
    assert np.array_equal(one["x"], again["x"]) and not np.array_equal(one["x"], other["x"])
    assert not np.array_equal(one["x"], one["y"])


@pytest.mark.parametrize("through", [tf.identity, lambda x: tf.cast(x, tf.int32), lambda x: tf.expand_dims(x, 1)])
@pytest.mark.parametrize("rows", [2, 500])
def test_ids_are_within_the_table_that_they_are_looked_up_in(rows, through):
    def build():
        ids = v1.placeholder(tf.int64, [200], "ids")
        tf.gather(tf.ones([rows, 3]), through(ids))

    ids = _first(build)["ids"]
    assert ids.min() >= 0 and rows // 2 <= ids.max() < rows and ids.dtype == np.int64


def test_the_table_of_a_lookup_is_no_range_for_its_own_values():
    def build():
        tf.gather(v1.placeholder(tf.int32, [2], "table"), tf.constant([0, 1]))

    assert set(_first(build)["table"]) <= {1, 2}


def test_labels_are_below_the_depth_that_they_are_spread_over():
    def build():
        tf.one_hot(v1.placeholder(tf.int32, [300], "label"), 40)

    labels = _first(build)["label"]
    assert labels.min() >= 0 and 20 < labels.max() < 40


def test_other_integers_are_small_and_not_zero():
    def build():
        tf.reduce_sum(v1.placeholder(tf.int32, [100], "length"))

    assert set(_first(build)["length"]) == {1, 2}


def test_types_without_a_reader():
    def build():
        v1.placeholder(tf.bool, [4], "flag")
        v1.placeholder(tf.string, None, "words")
        v1.placeholder(tf.float64, None, "x")
        v1.placeholder(tf.string, [], "word")

    made = _first(build)
    assert list(made["flag"]) == [True, False, True, False]
    assert made["words"].shape == (examples.BATCH,) and made["words"].dtype == object
    # Beside data of known shape, a number that fits any is a rate more often than not.
    assert made["x"].shape == () and made["x"].dtype == np.float64
    assert made["word"].shape == () and isinstance(made["word"].item(), bytes)


def test_an_open_axis_has_the_first_size_that_the_graph_takes():
    def build():
        x = v1.placeholder(tf.float32, [None, None], "x")
        tf.matmul(x, tf.ones([64, 2]))

    attempts = _made(build)
    assert attempts[0]["x"].shape == (examples.BATCH, 64)


def test_a_size_that_is_not_usual_is_searched_for():
    def build():
        x = v1.placeholder(tf.float32, [None, None], "x")
        tf.matmul(x, tf.ones([37, 2]))

    assert _first(build)["x"].shape == (examples.BATCH, 37)


def test_no_input_is_too_big():
    def build():
        v1.placeholder(tf.float32, [None, None, None, None, 3], "x")

    sizes = [one["x"].size for one in _made(build)]
    assert sizes and max(sizes) <= candidates.MOST_ELEMENTS


def test_a_shape_of_the_input_itself_comes_first():
    with graphs.tensorflow_1() as graph:
        v1.placeholder(tf.float32, [None, 4], "x")
    graph_def = graph.as_graph_def(add_shapes=True)
    given = {"x": Input("x:0", small_models.FLOAT, [2, 4])}
    assert next(iter(examples.attempts(graph_def, graph_def, given)))["x"].shape == (2, 4)


# Strings that something decodes.


@pytest.mark.parametrize(
    ("decode", "shape"),
    [
        (lambda one: tf.io.decode_png(one), [64, 64, 3]),
        (lambda one: tf.io.decode_png(one, channels=1), [64, 64, 1]),
        (lambda one: tf.io.decode_jpeg(one), [64, 64, 3]),
        (lambda one: tf.io.decode_jpeg(one, channels=1), [64, 64, 1]),
        (lambda one: tf.audio.decode_wav(one).audio, [16000, 1]),
        (lambda one: tf.audio.decode_wav(one, desired_samples=4000).audio, [4000, 1]),
        (lambda one: tf.io.decode_raw(one, tf.uint8), [784]),
        (lambda one: tf.strings.to_number(one), []),
    ],
)
def test_strings_are_what_their_reader_decodes(decode, shape):
    def build():
        tf.identity(decode(v1.placeholder(tf.string, [], "x")), name="y")

    made = _first(build)["x"]
    with graphs.tensorflow_1() as graph:
        build()
    got = graphs.run(graph.as_graph_def(), "y:0", {"x:0": made})
    assert list(got.shape) == shape and (got.size == 1 or np.ptp(got) > 0)


FEATURES = {
    "n": tf.io.FixedLenFeature([], tf.int64),
    "f": tf.io.FixedLenFeature([2, 3], tf.float32),
    "s": tf.io.FixedLenFeature([4], tf.string),
    "v": tf.io.VarLenFeature(tf.float32),
}


@pytest.mark.parametrize("op", ["ParseExample", "ParseExampleV2", "ParseSingleExample"])
def test_records_have_every_feature_of_their_parser(op):
    parse = {"ParseExample": _old_parse, "ParseExampleV2": _parse, "ParseSingleExample": _parse_single}[op]
    rows = [] if op == "ParseSingleExample" else [examples.BATCH]

    def build():
        for key, value in parse(v1.placeholder(tf.string, [None] if rows else [], "x")).items():
            tf.identity(value, name=key)

    with graphs.tensorflow_1() as graph:
        build()
    assert op in graphs.kinds(graph.as_graph_def())
    got = graphs.run(graph.as_graph_def(), {key: f"{key}:0" for key in FEATURES}, {"x:0": _first(build)["x"]})
    assert got["n"].shape == tuple(rows) and got["f"].shape == (*rows, 2, 3) and got["s"].shape == (*rows, 4)
    assert got["v"].size == 2 * (rows or [1])[0] and set(got["s"].ravel()) <= set(strings.WORDS)


def _parse(serialized):
    found = v1.io.parse_example(serialized, FEATURES)
    return {**found, "v": found["v"].values}


def _parse_single(serialized):
    dense = {key: FEATURES[key] for key in ("n", "f", "s")}
    made = tf.raw_ops.ParseSingleExample(
        serialized=serialized,
        dense_defaults=[tf.constant([], one.dtype) for one in dense.values()],
        num_sparse=1,
        sparse_keys=["v"],
        dense_keys=list(dense),
        sparse_types=[tf.float32],
        dense_shapes=[one.shape for one in dense.values()],
    )
    return dict(zip(dense, made.dense_values, strict=True)) | {"v": made.sparse_values[0]}


def _old_parse(serialized):
    dense = {key: FEATURES[key] for key in ("n", "f", "s")}
    made = tf.raw_ops.ParseExample(
        serialized=serialized,
        names=tf.constant([], tf.string),
        sparse_keys=[tf.constant("v")],
        dense_keys=[tf.constant(key) for key in dense],
        dense_defaults=[tf.constant([], one.dtype) for one in dense.values()],
        sparse_types=[tf.float32],
        dense_shapes=[one.shape for one in dense.values()],
    )
    return dict(zip(dense, made.dense_values, strict=True)) | {"v": made.sparse_values[0]}


# Strings around strings, and in loops.


def _pictures(strings):
    return v1.map_fn(lambda one: tf.io.decode_jpeg(tf.io.decode_base64(one), 3), strings, dtype=tf.uint8)


def _sound(string):
    return tf.audio.decode_wav(tf.io.decode_base64(string), 1).audio


def _raw(strings):
    return v1.map_fn(lambda one: tf.reshape(tf.io.decode_raw(one, tf.uint8), [32, 32, 3]), strings, dtype=tf.uint8)


def _looped(strings):
    def body(at, total):
        return at + 1, total + tf.reduce_mean(tf.cast(tf.io.decode_png(strings[at], 3), tf.float32))

    return tf.while_loop(lambda at, total: at < tf.size(strings), body, [0, 0.0])[1]


@pytest.mark.parametrize(
    ("read", "shape", "made"),
    [
        (_pictures, None, (3, 64, 64, 3)),
        (_pictures, [None], (3, 64, 64, 3)),
        (_sound, [], (16000, 1)),
        (_raw, [None], (3, 32, 32, 3)),
        (_looped, [None], ()),
        (tf.io.decode_gif, [], (2, 8, 8, 3)),
        (tf.io.decode_bmp, [], (64, 64, 3)),
        (lambda one: tf.io.decode_csv(one, [[0.0], [""]])[1], [None], (3,)),
        (lambda one: tf.io.parse_tensor(one, tf.float32), [], (3,)),
    ],
)
@pytest.mark.parametrize("is_functional", [False, True])
def test_strings_in_strings_and_in_loops_are_decoded(read, shape, made, is_functional):
    with tf.Graph().as_default() if is_functional else graphs.tensorflow_1() as graph:
        tf.identity(read(v1.placeholder(tf.string, shape, "x")), name="y")
    graph_def = graph.as_graph_def()
    asked = small_models.asked(graph, {"x": "x:0"}, {})
    inputs = next(iter(examples.attempts(graph_def, graph_def, asked.signatures["serving_default"].inputs)))
    answer = graphs.run(graph_def, "y:0", {"x:0": inputs["x"]})
    assert answer.shape == made and (answer.dtype == object or answer.size == 1 or np.ptp(answer) > 0)
