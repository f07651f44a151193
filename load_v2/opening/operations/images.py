"""Resizing, colours and local normalization of images."""

import numpy as np
import tensorflow as tf

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Refused, called, operand
from load_v2.opening.expressions import Binary, Constant, Expression, Literal, call
from load_v2.opening.operations.registry import translates
from load_v2.opening.operations.shaping import size


def _coordinates(context: Context, tensor: Tensor, before: int, after: int) -> np.ndarray:
    """Returns where each new pixel lies among the old ones, by TensorFlow 1's rules."""
    aligned = context.graph.attr(tensor, "align_corners").b and after > 1
    scale = np.float32((before - 1) / (after - 1) if aligned else before / after)
    places = np.arange(after, dtype="float32")
    if context.graph.attr(tensor, "half_pixel_centers").b:
        return (places + np.float32(0.5)) * scale - np.float32(0.5)
    return places * scale


def _spatial(context: Context, tensor: Tensor) -> tuple[list[int], list[int]]:
    source, wanted = context.sources(tensor)[:2]
    known = context.graph.shape(source)
    if known is None or None in known[1:3]:
        raise Refused("it resizes images of unknown size, by TensorFlow 1's rule for corners (try --static)")
    return [int(size or 0) for size in known[1:3]], [int(size) for size in context.static(wanted, "the new size")]


def _of_any_size(context: Context, tensor: Tensor) -> Expression:
    """Returns the call of a function that the code defines for sizes that are only known when it runs."""
    source, wanted = context.sources(tensor)[:2]
    sizes = context.sizes.array(wanted)
    if sizes is None:
        raise Refused("the new size is computed from data")
    options = {
        "nearest": context.op(tensor) == "ResizeNearestNeighbor",
        "align_corners": context.graph.attr(tensor, "align_corners").b,
        "half_pixel": context.graph.attr(tensor, "half_pixel_centers").b,
    }
    return call("resize", operand(source), *map(size, sizes.reshape(-1)), **options)


def _is_open(context: Context, tensor: Tensor) -> bool:
    source, wanted = context.sources(tensor)[:2]
    known, sizes = context.graph.shape(source), context.sizes.array(wanted)
    fixed = sizes is not None and all(isinstance(size, int) for size in sizes.reshape(-1))
    return known is None or None in known[1:3] or not fixed


@translates("ResizeNearestNeighbor")
def _nearest(context: Context, tensor: Tensor) -> Expression:
    if _is_open(context, tensor):
        return _of_any_size(context, tensor)
    before, after = _spatial(context, tensor)
    source = context.sources(tensor)[0]
    aligned, half = (context.graph.attr(tensor, key).b for key in ("align_corners", "half_pixel_centers"))
    if not context.inside_call and not aligned and all(new % old == 0 for old, new in zip(before, after, strict=True)):
        factors = tuple(new // old for old, new in zip(before, after, strict=True))
        return called(context.layer("UpSampling2D", "", arguments=(factors,)), source)
    code: Expression = operand(source)
    for axis, (old, new) in enumerate(zip(before, after, strict=True), 1):
        places = _coordinates(context, tensor, old, new)
        picked = np.round(places) if aligned else np.floor(places + (0.5 if half else 0))
        indices = np.clip(picked, 0, old - 1).astype("int32")
        code = call("ops.take", code, Constant(indices, f"{tensor.node}/indices_{axis}"), axis=axis)
    return code


@translates("ResizeBilinear")
def _bilinear(context: Context, tensor: Tensor) -> Expression:
    if _is_open(context, tensor):
        return _of_any_size(context, tensor)
    before, after = _spatial(context, tensor)
    source = context.sources(tensor)[0]
    value: Expression = operand(source)
    if before == after:
        return value
    shares = []
    for old, new in zip(before, after, strict=True):
        places = np.clip(_coordinates(context, tensor, old, new), 0, None)
        low = np.minimum(np.floor(places).astype(int), old - 1)
        high, part = np.minimum(low + 1, old - 1), places - np.floor(places)
        matrix = np.zeros((new, old), "float32")
        np.add.at(matrix, (np.arange(new), low), 1 - part)
        np.add.at(matrix, (np.arange(new), high), part)
        shares.append(matrix)
    return _by_shares(tensor, value, shares)


def _by_shares(tensor: Tensor, images: Expression, shares: list[np.ndarray]) -> Expression:
    """Returns images in another size; each row of the two matrices holds the shares of the old pixels in a new one."""
    rows, columns = (
        Constant(matrix, f"{tensor.node}/{axis}") for matrix, axis in zip(shares, ("rows", "columns"), strict=True)
    )
    return call("ops.einsum", "oh,bhwc,pw->bopc", rows, images, columns)


@translates("ResizeBicubic", "ResizeArea")
def _other_resizes(context: Context, tensor: Tensor) -> Expression:
    before, after = _spatial(context, tensor)
    source = context.sources(tensor)[0]
    options = {"align_corners": context.graph.attr(tensor, "align_corners").b}
    if context.op(tensor) == "ResizeBicubic":
        options["half_pixel_centers"] = context.graph.attr(tensor, "half_pixel_centers").b
    resize, shares = getattr(tf.raw_ops, context.op(tensor)), []
    for old, new in zip(before, after, strict=True):
        # The op does the same to rows and to columns: an image for each old pixel tells its shares.
        with tf.init_scope():
            pixels = resize(images=np.eye(old, dtype="float32")[None, :, None], size=[new, 1], **options)
        shares.append(pixels.numpy()[0, :, 0])
    value: Expression = operand(source)
    if context.graph.dtype(source) != "float32":
        value = call("ops.cast", value, "float32")
    return _by_shares(tensor, value, shares)


@translates("RGBToHSV", "HSVToRGB")
def _colours(context: Context, tensor: Tensor) -> Expression:
    source = context.sources(tensor)[0]
    if context.graph.rank(source) not in (3, 4):
        raise Refused("it takes colours of what is no image and no batch of images")
    function = "rgb_to_hsv" if context.op(tensor) == "RGBToHSV" else "hsv_to_rgb"
    return call(f"ops.image.{function}", operand(source))


@translates("AdjustContrastv2")
def _contrast(context: Context, tensor: Tensor) -> Expression:
    images, factor = map(operand, context.sources(tensor))
    mean = call("ops.mean", images, axis=(-3, -2), keepdims=True)
    return Binary("+", Binary("*", Binary("-", images, mean), factor), mean)


@translates("CropAndResize")
def _crop(context: Context, tensor: Tensor) -> Expression:
    images, boxes, owners, wanted = context.sources(tensor)
    height, width = (int(number) for number in context.static(wanted, "the size of what is cut out"))
    outside = float(str(np.float32(context.graph.attr(tensor, "extrapolation_value").f)))
    nearest = context.graph.attr(tensor, "method").s == b"nearest"
    return call("crop_and_resize", operand(images), operand(boxes), operand(owners), height, width, outside, nearest)


@translates("LRN")
def _local_response(context: Context, tensor: Tensor) -> Expression:
    source = context.sources(tensor)[0]
    known = context.graph.shape(source)
    if known is None or known[-1] is None:
        raise Refused("it normalizes over an unknown number of channels")
    attrs = {key: float(str(np.float32(context.graph.attr(tensor, key).f))) for key in ("bias", "alpha", "beta")}
    radius = context.graph.attr(tensor, "depth_radius").i
    # Sums of squares over the channels nearby, as a product with a band of ones.
    ones = call("ops.ones", (known[-1], known[-1]))
    band = call("ops.tril", call("ops.triu", ones, -radius), radius)
    squares = call("ops.matmul", call("ops.square", operand(source)), band)
    total = Binary("+", Literal(attrs["bias"]), Binary("*", Literal(attrs["alpha"]), squares))
    return Binary("/", operand(source), Binary("**", total, Literal(attrs["beta"])))
