"""Ops that are no layer, as code."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2.opening import cover, rebuilding
from tests.support.rebuilding import assert_rebuilt, case, code_of, numbers, placeholder

v1 = tf.compat.v1


def _images(x):
    """Complex images of two by two pixels."""
    return tf.reshape(tf.complex(x, x[:, ::-1] - 1.0), [-1, 2, 2])


OF_FLOATS = {
    "arithmetic": lambda x: (1.0 - x) * np.float32([1, 2, 3, 4]) / 3 - x**2 % 2.5,
    "array before": lambda x: np.float32([1, 2, 3, 4]) - x,
    "array of several rows": lambda x: x[:, None] + np.arange(8, dtype="float32").reshape(2, 4),
    "negative": lambda x: -x * -2.0,
    "comparison": lambda x: tf.cast((x > 0.5) & ~(x >= tf.reverse(x, [1])), "float32"),
    "choice of rows": lambda x: v1.where(x[:, 0] > 0, x, -x),
    "choice of elements": lambda x: tf.where(x > 0, x, tf.zeros_like(x)),
    "sum": lambda x: tf.reduce_sum(x),
    "sum over one axis": lambda x: tf.reduce_sum(x, 1, keepdims=True) + tf.norm(x, axis=1, keepdims=True),
    "parts": lambda x: tf.concat([part * (at + 1.0) for at, part in enumerate(tf.split(x, [1, 2, 1], 1))], 1),
    "members": lambda x: tf.stack(tf.unstack(x, axis=1)[::-1], axis=1),
    "slices": lambda x: x[:, 1:3] + x[:, ::2] + x[:, -1:] + x[..., tf.newaxis, 0],
    "slices backwards": lambda x: x[:, ::-1] + x[..., ::-1] + x[:, 3::-1] + tf.pad(x[::-1, 2:0:-2], [[0, 0], [0, 3]]),
    "pad": lambda x: tf.pad(x, [[0, 0], [1, 2]], constant_values=3.0) + tf.reduce_sum(tf.pad(x, [[0, 0], [1, 1]], "REFLECT")),
    "cumulative": lambda x: tf.cumsum(x, 1, exclusive=True) + tf.cumsum(x, 1, reverse=True),
    "cumulative before the number": lambda x: tf.math.cumprod(x, 0, exclusive=True, reverse=True)
    + tf.math.cumprod(x, -1, exclusive=True),
    "cumulative before an infinity": lambda x: tf.cumsum(tf.where(x < tf.reduce_max(x), x, np.inf), 1, exclusive=True),
    "products": lambda x: tf.matmul(x, x, transpose_b=True) @ x,
    "clip": lambda x: tf.clip_by_value(x, -0.5, 0.5) + tf.math.squared_difference(x, 0.25),
    "row numbers": lambda x: x * tf.cast(tf.range(tf.shape(x)[0]), "float32")[:, None],
    "as many as rows": lambda x: tf.concat([x, tf.fill([tf.shape(x)[0], 2], 7.0)], 1),
    "repeated": lambda x: tf.tile(x[:, :1], [1, tf.shape(x)[1]]) + tf.tile(x[:1], [tf.shape(x)[0], 1]),
    "up to a size": lambda x: tf.slice(tf.constant(numbers(30, 4)), [0, 0], [tf.shape(x)[0], -1]) + x,
    "two unknown sizes": lambda x: tf.reshape(tf.reshape(tf.tile(x[:, None], [1, 3, 1]), [-1, 4]), [tf.shape(x)[0], -1, 2]),
    "gathered": lambda x: tf.gather(x, [2, 0], axis=1) + tf.gather_nd(x, [[0, 1], [1, 1]])[:, None],
    "gathered from each row": lambda x: tf.gather(x, tf.argmax(x, 1), axis=1, batch_dims=1)[:, None] + x,
    "band": lambda x: tf.linalg.band_part(tf.matmul(x, x, transpose_b=True), -1, 0),
    "correlation": lambda x: tf.signal.irfft(tf.signal.rfft(x, [6]) * tf.math.conj(tf.signal.rfft(x[:, ::-1], [6])), [6]),
    "spectrum": lambda x: tf.abs(tf.signal.rfft(x)) + tf.math.real(tf.signal.rfft(x)) * tf.math.imag(tf.signal.rfft(x)),
    "complex numbers": lambda x: tf.abs(tf.signal.ifft(tf.signal.fft(tf.complex(x, x[:, ::-1])) * tf.complex(x, 1.0 - x))),
    "complex images": lambda x: tf.math.imag(tf.signal.ifft2d(tf.square(tf.signal.fft2d(_images(x))))),
    "lrn": lambda x: tf.nn.lrn(x[:, None, None], 2, 1.0, 1e-2, 0.75),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_FLOATS)
def test_ops_on_floats(name):
    def build():
        x = placeholder("x", [None, 4])
        return {"x": x}, {"y": OF_FLOATS[name](x)}

    code = assert_rebuilt_in_any_layers(build, {"x": numbers(2, 4)})
    assert "load_v2" not in code


def test_one_number_in_all_places_of_an_array_is_written_as_such_and_no_weight():
    def build():
        x = placeholder("x", [None, 4])
        far = tf.where(x[:, None] > tf.fill([5, 4], 0.25), x[:, None] + tf.zeros([5, 4]), tf.fill([5, 4], -1e9))
        _, looped = tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * tf.fill([5, 4], 0.5)), [0, far])
        return {"x": x}, {"far": far, "looped": looped}

    code = assert_rebuilt_in_any_layers(build, {"x": numbers(2, 4)})
    assert 'np.full((5, 4), -1000000000.0, "float32")' in code and "Parameter" not in code


OF_INTEGERS = {
    "division towards zero": lambda i: tf.raw_ops.Div(x=i, y=2),
    "division downwards": lambda i: i // 2 + i % 3,
    "one of": lambda i: tf.one_hot(i, 5, on_value=2.0, off_value=-1.0),
    "one of them possible": lambda i: tf.one_hot(i, 5, on_value=0.0, off_value=-np.inf),
    "one of them not": lambda i: tf.one_hot(i, 5, on_value=False, off_value=True),
    "beside a number": lambda i: tf.stack([i[0], 7, tf.reduce_sum(i)]),
    "buckets": lambda i: tf.raw_ops.Bucketize(input=i, boundaries=[0.0, 2.0, 2.5]),
    "largest": lambda i: tf.argmax(tf.one_hot(i, 5), 1),
    "sorted": lambda i: tf.sort(i) * 10 + tf.argsort(i, direction="DESCENDING"),
    "inverse order": lambda i: tf.math.invert_permutation(tf.argsort(i)),
    "best": lambda i: tf.nn.top_k(tf.cast(i, "float32"), 2)[1],
    "type": lambda i: tf.cast(i, "int64"),
}


@pytest.mark.parametrize("name", OF_INTEGERS)
def test_ops_on_integers(name):
    def build():
        i = placeholder("i", [None], "int32")
        return {"i": i}, {"y": OF_INTEGERS[name](i)}

    assert_rebuilt_in_any_layers(build, {"i": np.int32([3, -3, 0, 4])})


def assert_rebuilt_in_any_layers(build, feeds):
    _, layers = code_of(case(build))
    return assert_rebuilt(build, feeds, *(layer.kind for layer in layers))


def _frames(x):
    """tf.signal.frame over the second axis, padded to whole frames of 4 by steps of 2."""
    return tf.signal.frame(x[..., 0], 4, 2, pad_end=True)


def _shifted(x):
    """What Transformer-XL does with scores of relative positions."""
    scores = tf.transpose(tf.matmul(x, tf.concat([x, x], 1), transpose_b=True), [1, 2, 0])
    rows, columns, batch = (tf.shape(scores)[at] for at in range(3))
    shifted = tf.reshape(tf.pad(scores, [[0, 0], [1, 0], [0, 0]]), [columns + 1, rows, batch])
    return tf.reshape(tf.slice(shifted, [1, 0, 0], [-1, -1, -1]), tf.shape(scores))


def _signal(x):
    """Positions from the last to the first, as sines of as many steps as there are."""
    places = tf.range(tf.cast(tf.shape(x)[1], "float32") - 1.0, -1.0, -1.0)
    angles = places[:, None] * np.float32([1.0, 0.1])
    return x + tf.concat([tf.sin(angles), tf.cos(angles)], 1)


def _halved(x):
    count = tf.cast(tf.math.ceil(tf.cast(tf.shape(x)[1], "float32") * 0.3), "int32")
    return x[:, :count]


def _in_two(x):
    steps = tf.shape(x)[1]
    first, second = tf.split(x, [steps // 2, -1], 1)
    return tf.concat([second, first * 2], 1)


OF_SIZES = {
    "range backwards": lambda x: x * tf.cast(tf.range(tf.shape(x)[1], -tf.shape(x)[1], -2), "float32")[:, None],
    "range backwards of floats": _signal,
    "relative shift": _shifted,
    "padded to a length": lambda x: tf.pad(x, [[0, 0], [0, tf.maximum(8 - tf.shape(x)[1], 0)], [0, 0]]),
    "padded to a multiple": lambda x: tf.reshape(tf.pad(x, [[0, 0], [0, -tf.shape(x)[1] % 4], [0, 0]]), [-1, 4, 4]),
    "a share": _halved,
    "in two": _in_two,
    "all but two, and two": lambda x: tf.concat(tf.split(x, [-1, 2], 1)[::-1], 1) * 2,
    "a quarter rounded up": lambda x: x[:, : tf.cast(tf.math.ceil(tf.cast(tf.shape(x)[1], "float32") / 4.0), "int32")],
    "less a size": lambda x: tf.zeros([8 + -tf.shape(x)[1]]) + x[0, 0, 0],
    "as the channels tell": lambda x: tf.tile(x, [1, tf.where(tf.shape(x)[2] > 5, 2, 1) * tf.shape(x)[0], 1]),
    "the last half": lambda x: x[:, -tf.shape(x)[1] // 2 :],
    "from the middle": lambda x: tf.slice(x, [0, (tf.shape(x)[1] - 3) // 2, 0], [-1, 3, -1]),
    "in front of the last axis": lambda x: x[..., : tf.shape(x)[1] - 1, :],
    "as many classes": lambda x: tf.one_hot(tf.argmax(x[..., 0], 1), tf.shape(x)[1]),
    "as many as there are": lambda x: tf.nn.top_k(x[..., 0], tf.minimum(9, tf.shape(x)[1]))[0],
    "identity": lambda x: tf.matmul(x, x, transpose_b=True) + tf.eye(tf.shape(x)[1], batch_shape=[tf.shape(x)[0]]),
    "other diagonal": lambda x: tf.linalg.set_diag(tf.matmul(x, x, transpose_b=True), x[..., 0]),
    "diagonal of a wide matrix": lambda x: tf.linalg.set_diag(tf.concat([x, x], 2)[:, :4], x[:, 0]),
    "diagonal of a tall matrix": lambda x: tf.linalg.set_diag(tf.concat([x, x], 1), x[:, 0]),
    "how often": lambda x: tf.tile(x, [1, tf.where(tf.shape(x)[1] > 3, 2, 1), 1]),
    "largest of sizes": lambda x: tf.zeros([tf.reduce_max(tf.shape(x)), tf.reduce_sum(tf.shape(x)[:2])]) + x[0, 0, 0],
    "one of the sizes": lambda x: tf.zeros([tf.split(tf.shape(x), 3)[1][0], tf.reverse(tf.shape(x), [0])[0]]) + x[0, 0, 0],
    "frames": _frames,
    "one way for few steps": lambda x: tf.cond(tf.shape(x)[1] > 3, lambda: x[:, :3], lambda: x * 2),
    "one way for one step": lambda x: tf.cond(tf.equal(tf.shape(x)[1], 1), lambda: x * 2, lambda: tf.cumsum(x, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_SIZES)
def test_shapes_that_are_computed_from_sizes(name):
    def build():
        x = placeholder("x", [None, None, 4])
        return {"x": x}, {"y": OF_SIZES[name](x)}

    for steps in (5, 1) if "way" in name else (6, 5):
        feeds = {"x": numbers(2, steps, 4)}
        assert_rebuilt_in_any_layers(build, feeds)
    built = case(build)
    code, layers = code_of(built)
    model = rebuilding.execute(code)
    rebuilding.fill(model, layers)
    # Where sizes are tensors, as in a SavedModel.
    function = tf.function(model, input_signature=[{"x": tf.TensorSpec([None, None, 4])}])
    np.testing.assert_allclose(function(feeds), built.answers(feeds)["y"], rtol=1e-5, atol=1e-5, err_msg=code)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("half", [True, False])
def test_images_are_resized_by_the_rules_of_tensorflow_1(aligned, half):
    if aligned and half:
        return

    def build():
        x = placeholder("x", [None, 5, 6, 2])
        settings = {"align_corners": aligned, "half_pixel_centers": half}
        near = tf.raw_ops.ResizeNearestNeighbor(images=x, size=[7, 4], **settings)
        mean = tf.raw_ops.ResizeBilinear(images=x, size=[7, 4], **settings)
        cubic = tf.raw_ops.ResizeBicubic(images=x, size=[7, 4], **settings)
        area = tf.raw_ops.ResizeArea(images=x, size=[7, 4], align_corners=aligned)
        return {"x": x}, {"near": near, "mean": mean, "cubic": cubic, "area": area}

    assert_rebuilt_in_any_layers(build, {"x": numbers(2, 5, 6, 2)})


def test_colours_and_contrast():
    def build():
        x = placeholder("x", [None, 4, 5, 3])
        hue = tf.image.rgb_to_hsv(x)
        contrast = tf.raw_ops.AdjustContrastv2(images=x, contrast_factor=1.5)
        return {"x": x}, {"hue": hue, "back": tf.image.hsv_to_rgb(hue * [1.0, 0.5, 0.9]), "contrast": contrast}

    assert_rebuilt_in_any_layers(build, {"x": np.abs(numbers(2, 4, 5, 3)) / 4})


def test_a_transform_of_unknown_length_is_refused():
    def build():
        x = placeholder("x", [None, None])
        return {"x": x}, {"y": tf.math.real(tf.signal.fft(tf.complex(x, x)))}

    (refusal,) = cover.cover(case(build).context).refusals
    assert refusal.op == "FFT" and "unknown length" in refusal.reason


def test_complex_numbers_in_double_precision_are_refused():
    def build():
        x = placeholder("x", [None, 4], "float64")
        return {"x": x}, {"y": tf.abs(tf.signal.rfft(x))}

    refusals = cover.cover(case(build).context).refusals
    assert [refusal.reason for refusal in refusals if refusal.op == "RFFT"] == [
        "its numbers are complex, in double precision"
    ]


@pytest.mark.parametrize("columns", [1, 4])
def test_rows_or_numbers_are_chosen_by_a_condition_of_unknown_rank(columns):
    def build():
        x, given = placeholder("x", [None, 4]), placeholder("given", [None, columns])
        # Whether the rows are one, and so no axis, is not known.
        condition = tf.squeeze(given) > 0
        assert condition.shape.rank is None
        return {"x": x, "given": given}, {"y": tf.raw_ops.Select(condition=condition, x=x, y=-x)}

    assert_rebuilt_in_any_layers(build, {"x": numbers(3, 4), "given": numbers(3, columns)})


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
@pytest.mark.parametrize("size", [None, 6])
def test_boxes_are_cut_out_of_images(method, size):
    def build():
        x, i = placeholder("x", [None, size, size, 2]), placeholder("i", [None], "int32")
        boxes = placeholder("boxes", [None, 4])
        cut = [
            tf.raw_ops.CropAndResize(
                image=x, boxes=boxes, box_ind=i, crop_size=wanted, method=method, extrapolation_value=-2.0
            )
            for wanted in ([3, 5], [1, 2])
        ]
        return {"x": x, "boxes": boxes, "i": i}, {"large": cut[0], "small": cut[1]}

    # The last lie partly, and wholly, outside of their image; one is upside down.
    boxes = np.float32([[0, 0, 1, 1], [0.1, 0.2, 0.63, 0.9], [0.9, 0.3, 0.2, 0.8], [-0.4, 0.5, 1.3, 0.7], [2, 2, 3, 3]])
    assert_rebuilt_in_any_layers(build, {"x": numbers(2, 6, 6, 2), "boxes": boxes, "i": np.int32([0, 1, 1, 0, 1])})


def test_how_much_is_found_may_depend_on_the_data():
    def build():
        i = placeholder("i", [None], "int32")
        values, places = tf.unique(i)
        return {"i": i}, {"values": values, "places": places, "masked": tf.boolean_mask(i * 2, i > 1)}

    assert_rebuilt_in_any_layers(build, {"i": np.int32([3, 1, 3, 7, 1, 2])})


def test_images_of_any_size_are_resized():
    def build():
        x = placeholder("x", [None, None, None, 2])
        size = tf.shape(x)[1:3] * 2
        near = v1.image.resize_nearest_neighbor(x, size)
        return {"x": x}, {
            "near": near,
            "mean": v1.image.resize_bilinear(x, size),
            "small": v1.image.resize_bilinear(x, [3, 2]),
        }

    assert_rebuilt_in_any_layers(build, {"x": numbers(2, 5, 6, 2)})


@pytest.mark.parametrize(("new", "padding"), [(9, "SAME"), (10, "SAME"), (11, "VALID"), (12, "VALID")])
def test_a_transposed_convolution_of_another_size_than_that_of_keras(new, padding):
    def build():
        x = placeholder("x", [None, 5, 5, 2])
        return {"x": x}, {"y": tf.nn.conv2d_transpose(x, numbers(3, 3, 4, 2), [2, new, new, 4], 2, padding)}

    assert_rebuilt_in_any_layers(build, {"x": numbers(2, 5, 5, 2)})


@pytest.mark.parametrize("narrow", [True, False])
def test_quantized_values_are_rounded_alike(narrow):
    def build():
        x = placeholder("x", [None, 4])
        return {"x": x}, {"y": tf.quantization.fake_quant_with_min_max_vars(x, -0.7, 1.3, 4, narrow)}

    assert_rebuilt_in_any_layers(build, {"x": numbers(8, 4)})


def test_all_that_has_no_code_is_told_at_once():
    def build():
        x = placeholder("x", [None, 4])
        noise = tf.random.normal(tf.shape(x))
        return {"x": x}, {"y": tf.math.lgamma(x[:, 0]), "z": x + noise}

    refused = cover.cover(case(build).context).refusals
    assert sorted(refusal.op for refusal in refused) == ["Lgamma", "RandomStandardNormal"]
    assert "draws random numbers" in "\n".join(map(str, refused))


def test_a_condition_is_a_layer_with_both_branches():
    def build():
        x = placeholder("x", [None, 4])
        return {"x": x}, {"y": tf.cond(tf.reduce_sum(x) > 0, lambda: x * 2, lambda: tf.abs(x) - 1)}

    code = assert_rebuilt_in_any_layers(build, {"x": numbers(2, 4)})
    assert "ops.cond(" in code
    assert_rebuilt_in_any_layers(build, {"x": -np.abs(numbers(2, 4))})


def test_a_loop_that_ends_by_its_data_is_a_loop():
    def build():
        x = placeholder("x", [None, 4])
        y, count = tf.while_loop(lambda y, n: tf.reduce_sum(y * y) > 1e-2, lambda y, n: (y * 0.5, n + 1), (x, 0))
        return {"x": x}, {"y": y, "count": count}

    code = assert_rebuilt_in_any_layers(build, {"x": numbers(2, 4)})
    assert "ops.while_loop(" in code


def test_a_number_for_each_row_is_not_taken_for_a_bias():
    """Keras on TensorFlow adds [3, 1] to the columns of [3, 3] where it comes second."""

    def build():
        x = placeholder("x", [None, 3])
        return {"x": x}, {"y": x + tf.reduce_sum(x, 1, keepdims=True)}

    assert_rebuilt_in_any_layers(build, {"x": numbers(3, 3)})


SUMS = {
    "a row and a column": ([None, 4, 1], lambda x: x + tf.transpose(x * 2.0, [0, 2, 1]), (1, 4, 1)),
    "a column and a row": ([None, 4, 1], lambda x: tf.transpose(x, [0, 2, 1]) + x * 2.0, (1, 4, 1)),
    "as many steps as channels": ([None, None, 3], lambda x: x + tf.reduce_sum(x, 2, keepdims=True), (1, 3, 3)),
    "a third term": ([None, 3], lambda x: x * 2.0 + x + tf.reduce_sum(x, 1, keepdims=True), (3, 3)),
    "a number for each row of an array": ([None, 3, 3], lambda x: x + numbers(3, 1), (2, 3, 3)),
    "more axes": ([3, 4], lambda x: x + numbers(1, 1, 4), (3, 4)),
    "channels first": (
        [None, 3, 2, 3], lambda x: tf.raw_ops.BiasAdd(value=x, bias=tf.reduce_sum(x, [0, 2, 3]), data_format="NCHW"),
        (2, 3, 2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("name", SUMS)
def test_no_term_of_a_sum_is_taken_for_a_bias(name):
    shape, sum_of, given = SUMS[name]

    def build():
        x = placeholder("x", shape)
        return {"x": x}, {"y": sum_of(x)}

    assert_rebuilt_in_any_layers(build, {"x": numbers(*given)})


def test_a_bias_is_added_as_a_person_would():
    def build():
        x = placeholder("x", [None, None, 4])
        of_steps = tf.reduce_sum(x, 2, keepdims=True)
        return {"x": x}, {"y": tf.tanh(x) + np.float32([1, 2, 3, 4])[None, None], "z": tf.tanh(x) + of_steps}

    code = assert_rebuilt(build, {"x": numbers(2, 3, 4)})
    assert "negative" not in code


IN_SPACE = {
    "out of channels": lambda x: tf.nn.depth_to_space(x, 2),
    "into channels": lambda x: tf.nn.space_to_depth(x, 2),
    "both": lambda x: tf.nn.depth_to_space(tf.nn.space_to_depth(x, 2) * 2.0, 4),
}


@pytest.mark.parametrize("name", IN_SPACE)
def test_channels_become_pixels_of_images_of_any_size(name):
    def build():
        x = placeholder("x", [None, None, None, 4])
        return {"x": x}, {"y": IN_SPACE[name](x)}

    assert_rebuilt_in_any_layers(build, {"x": numbers(2, 4, 6, 4)})


INTO_THE_BATCH = {
    "into it": lambda x: tf.space_to_batch(x, [2, 3], [[1, 1], [0, 3]]),
    "into it and back": lambda x: tf.raw_ops.BatchToSpaceND(
        input=tf.tanh(tf.space_to_batch(x, [2, 3], [[1, 1], [2, 1]])), block_shape=[2, 3], crops=[[1, 0], [0, 2]]
    ),
    "out of it": lambda x: tf.raw_ops.BatchToSpaceND(input=x, block_shape=[3, 2], crops=[[0, 0], [0, 0]]),
    "along one axis": lambda x: tf.space_to_batch(x, [2], [[0, 2]]),
    "along all axes": lambda x: tf.space_to_batch(x, [2, 3, 4], [[0, 0]] * 3),
}


@pytest.mark.parametrize("name", INTO_THE_BATCH)
def test_space_becomes_a_part_of_the_batch(name):
    def build():
        x = placeholder("x", [None, None, None, 4])
        return {"x": x}, {"y": INTO_THE_BATCH[name](x)}

    assert_rebuilt_in_any_layers(build, {"x": numbers(6, 4, 6, 4)})


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
def test_rows_are_gathered_by_segment_into_as_many_as_another_tensor_has(name):
    """Of a graph's edges into its nodes; -1 is of none, and a node without edges has what TensorFlow begins with."""

    def build():
        x, edges, ids = (
            placeholder("x", [None, 4]),
            placeholder("edges", [None, 3]),
            placeholder("ids", [None], "int32"),
        )
        gathered = getattr(tf.math, f"unsorted_segment_{name}")(edges, ids, tf.shape(x)[0])
        return {"x": x, "edges": edges, "ids": ids}, {"y": gathered}

    feeds = {"x": numbers(4, 4), "edges": numbers(6, 3), "ids": np.int32([0, 2, -1, 2, 3, 0])}
    code = assert_rebuilt_in_any_layers(build, feeds)
    if name in ("max", "min"):
        # The other backends begin with an infinity.
        assert f"ops.{name}imum(ops.segment_{name}(" in code and "e+38" in code


def test_segments_are_refused_where_backends_differ():
    def build():
        x, ids = placeholder("x", [None, 4], "int32"), placeholder("ids", [None, 4], "int32")
        largest = tf.math.unsorted_segment_max(x, ids[:, 0], 3)
        return {"x": x, "ids": ids}, {"largest": largest, "sum": tf.math.unsorted_segment_sum(x, ids, 3)}

    refused = {refusal.reason for refusal in cover.cover(case(build).context).refusals}
    assert refused == {"a segment of nothing has another value on each backend", "its ids are no vector"}


@pytest.mark.parametrize("flipped", [(False, False), (True, False), (False, True)])
def test_a_sparse_matrix_times_a_dense_one(flipped):
    def build():
        places, values = placeholder("places", [None, 2], "int64"), placeholder("values", [None])
        x = placeholder("x", [None, 3])
        count = tf.cast(tf.shape(x)[0], "int64")
        sparse = tf.SparseTensor(places, values, tf.stack([count, count] if flipped[0] else [count + 2, count]))
        dense = tf.transpose(x) * 2.0 if flipped[1] else x
        product = tf.sparse.sparse_dense_matmul(sparse, dense, adjoint_a=flipped[0], adjoint_b=flipped[1])
        return {"places": places, "values": values, "x": x}, {"y": product}

    places = np.int64([[0, 1], [3, 0], [3, 4], [4, 1], [4, 1]])
    assert_rebuilt_in_any_layers(build, {"places": places, "values": numbers(5), "x": numbers(5, 3)})


@pytest.mark.parametrize(("lower", "adjoint"), [(True, False), (False, False), (True, True), (False, True)])
def test_equations_of_a_triangle_are_solved_whatever_the_other_triangle_holds(lower, adjoint):
    def build():
        x, y = placeholder("x", [None, 3, 3]), placeholder("y", [None, 3, 2])
        matrix = x + 4.0 * tf.eye(3)
        return {"x": x, "y": y}, {"z": tf.linalg.triangular_solve(matrix, y, lower=lower, adjoint=adjoint)}

    assert_rebuilt_in_any_layers(build, {"x": numbers(2, 3, 3), "y": numbers(2, 3, 2)})


def test_sizes_are_followed_past_axes_that_a_slice_does_not_name():
    def build():
        x = placeholder("x", [None, None, None])
        steps, both = tf.shape(x[..., 0])[1], tf.shape(x[..., tf.newaxis, 0])
        y = tf.reshape(x, [-1, steps * tf.shape(x)[2]])
        return {"x": x}, {"y": y, "z": tf.reshape(x, [both[0] * both[1], -1])}

    assert_rebuilt_in_any_layers(build, {"x": numbers(2, 3, 5)})


def test_a_diagonal_of_any_size_and_numbers_between_two():
    def build():
        x = placeholder("x", [None, None, None])
        here = tf.raw_ops.LinSpace(start=-1.0, stop=1.0, num=tf.shape(x)[1])
        ones = tf.raw_ops.MatrixDiag(diagonal=tf.ones([tf.shape(x)[1]]))
        return {"x": x}, {"y": x + ones, "z": tf.raw_ops.MatrixDiag(diagonal=x[:, 0]) * here}

    assert_rebuilt_in_any_layers(build, {"x": numbers(2, 3, 3)})


def test_a_slice_backwards_is_a_flip_which_every_backend_has():
    def build():
        x = placeholder("x", [None, 6])
        return {"x": x}, {"y": x[:, 4:1:-1]}

    code = assert_rebuilt(build, {"x": numbers(2, 6)})
    assert "ops.flip(x, axis=1)[:, 1:4]" in code and ":-1" not in code


def test_one_size_that_is_data_follows_from_the_others():
    def build():
        x, shape = placeholder("x", [None, 4]), placeholder("shape", [2], "int32")
        y = tf.reshape(x, tf.concat([shape[:1] * 2, [2]], 0))
        return {"x": x, "shape": shape}, {"y": tf.tanh(y)}

    assert_rebuilt(build, {"x": numbers(3, 4), "shape": np.int32([3, 9])})


@pytest.mark.parametrize("other", [0, -1, "data"])
def test_sizes_that_are_data_and_follow_from_nothing_are_refused(other):
    def build():
        x, shape = placeholder("x", [None, 4]), placeholder("shape", [2], "int32")
        return {"x": x, "shape": shape}, {
            "y": tf.reshape(x, tf.stack([shape[0], shape[1] if other == "data" else other]))
        }

    assert "computed from data" in str(cover.cover(case(build).context).refusals)


def test_inputs_may_be_called_as_keras_calls_operations_and_layers(tmp_path):
    keys = ["mean", "sum", "add", "flatten", "add_1"]

    def build():
        mean, total, first, flat, second = (placeholder(key, [None, 4]) for key in keys)
        kernel = tf.constant(numbers(4, 3), name="add/kernel")
        flat_ = tf.reshape(tf.reshape(flat, [-1, 2, 2])[:, :, :1], [-1, 2])
        ends = {
            "sum": tf.reduce_mean(mean) + tf.matmul(total + first, kernel),
            "add": tf.concat([flat_, second + mean], 1),
        }
        return dict(zip(keys, [mean, total, first, flat, second], strict=True)), ends

    built, feeds = case(build), {key: numbers(2, 4, seed=at) for at, key in enumerate(keys)}
    code, layers = code_of(built)
    model = rebuilding.execute(code)
    rebuilding.fill(model, layers)
    file = str(tmp_path / "model.keras")
    model.save(file)
    for version in (model, keras.models.load_model(file)):
        for key, want in built.answers(feeds).items():
            np.testing.assert_allclose(version(feeds)[key], want, rtol=1e-5, atol=1e-5, err_msg=code)


def _by_width(x, narrow, wide):
    return v1.cond(tf.shape(x)[2] < 2, lambda: tf.constant(narrow), lambda: tf.constant(wide))


OF_CONDITIONS = {
    "how much is padded": lambda x: tf.pad(x, [[0, 0], [4, 0], [_by_width(x, 0, 2), 0], [0, 0]]),
    "how much is taken": lambda x: x[:, : _by_width(x, 1, 2)],
    "a pair of numbers": lambda x: tf.pad(x, tf.stack([[0, 0], _by_width(x, [0, 1], [0, 0]), [0, 0], [0, 0]])),
    "a shape": lambda x: tf.reshape(x, [tf.shape(x)[0], _by_width(x, 4, 2), -1]),
}


@pytest.mark.parametrize("name", OF_CONDITIONS)
def test_conditions_on_sizes_that_decide_sizes(name):
    def build():
        x = placeholder("x", [None, None, None, 4])
        return {"x": x}, {"y": OF_CONDITIONS[name](x)}

    for shape in ((2, 6, 1, 4), (1, 2, 3, 4)):
        assert "decided" not in assert_rebuilt_in_any_layers(build, {"x": numbers(*shape)})


OF_UNKNOWN_WIDTH = {
    "flat maps": lambda x: tf.reshape(x, [tf.shape(x)[0], -1]) @ tf.constant(numbers(12, 5)),
    "turned weights": lambda x: tf.matmul(x[:, 0], tf.constant(numbers(5, 4)), transpose_b=True),
    "joined": lambda x: tf.concat([x, x], 2)[:, 0] @ tf.constant(numbers(8, 5)),
    "over three axes": lambda x: tf.raw_ops.BatchMatMulV2(x=x, y=tf.constant(numbers(4, 5))),
}


@pytest.mark.parametrize("name", OF_UNKNOWN_WIDTH)
def test_a_product_tells_how_wide_data_is_that_does_not(name):
    def build():
        x = placeholder("x", [None, None, None])
        return {"x": x}, {"y": OF_UNKNOWN_WIDTH[name](x)}

    _, layers = code_of(case(build))
    assert [layer.kind for layer in layers].count("Dense") == 1
    assert_rebuilt_in_any_layers(build, {"x": numbers(2, 3, 4)})


OF_COUNTS = {
    "rows repeated": lambda x, n: tf.tile(x, tf.stack([n[0], 1])),
    "as many numbers": lambda x, n: tf.range(n[1]) + n[0],
    "as many rows": lambda x, n: tf.fill([n[0], 2], 3.0),
    "segments": lambda x, n: tf.math.unsorted_segment_sum(x, [0, 2, 0], tf.reduce_sum(n)),
    "parts": lambda x, n: tf.concat([tf.split(x, n, 0)[1] * 2.0, tf.split(x, n, 0)[0]], 0),
    "a slice": lambda x, n: x[:, : n[0]] * 2.0,
    "a slice with a length": lambda x, n: tf.slice(x, [0, n[0]], [-1, n[1]]),
    "up to the longest": lambda x, n: x[:, : tf.reduce_max(n)],
    "rows by how often": lambda x, n: tf.repeat(x[:2], n, axis=0),
}


@pytest.mark.parametrize("name", OF_COUNTS)
def test_sizes_that_are_data(name):
    def build():
        x, n = placeholder("x", [None, 4]), placeholder("n", [2], "int32")
        return {"x": x, "n": n}, {"y": OF_COUNTS[name](x, n)}

    for counts in ([1, 2], [2, 1]):
        assert_rebuilt_in_any_layers(build, {"x": numbers(3, 4), "n": np.int32(counts)})


def test_what_sizes_alone_tell_is_an_array_beside_data():
    """JAX's own operator would be asked first, and knows no symbolic tensor."""

    def build():
        x, w = placeholder("x", [None, 5]), placeholder("w", [2, 3])
        return {"x": x, "w": w}, {"y": tf.cast(tf.range(1, tf.shape(x)[1] + 1), tf.float32) * x, "z": tf.exp(w) * w}

    code = assert_rebuilt(build, {"x": numbers(3, 5), "w": numbers(2, 3)})
    assert "ops.multiply(" in code and "ops.exp(w) * w" in code
