"""Integers that are sizes, places or paddings of tensors: what they have to be for the op that reads them to fit."""

import numpy as np
import tensorflow as tf

from export_v1.ir.graph import attr, data_inputs, input_types
from export_v1.proof.domain import Domain, below, exactly
from export_v1.proof.use import Rule, Use

# Room in each axis of a tensor that is made up as a whole.
ROOM = 8


def new_shape(use: Use) -> Domain | None:
    """The sizes that a Reshape makes: as many elements as there are."""
    sizes, parts = use.sizes(0), use.reading.parts(data_inputs(use.node)[1])
    if sizes is None or parts is None:
        return None
    count, wanted = int(np.prod(sizes, dtype=np.int64)), list(parts)
    fixed = int(np.prod([size for size in wanted if size is not None and size > 0], dtype=np.int64))
    if wanted.count(None) == len(wanted):
        return exactly(of_rank(sizes, len(wanted)))
    left = count // fixed if fixed and not count % fixed else 1
    for at, size in enumerate(wanted):
        if size is not None:
            continue
        # Its own size, where that divides; the last one takes what is left.
        own = sizes[at] if at < len(sizes) else 1
        last = None not in wanted[at + 1 :] and -1 not in wanted
        wanted[at] = left if last or not own or left % own else own
        left //= max(wanted[at] or 1, 1)
    return exactly(wanted)


def of_rank(sizes: list[int], rank: int) -> list[int]:
    if rank == 0:
        return []
    if rank < len(sizes):
        return [*sizes[: rank - 1], int(np.prod(sizes[rank - 1 :], dtype=np.int64))]
    return [*sizes, *[1] * (rank - len(sizes))]


def broadcast_shape(use: Use) -> Domain | None:
    sizes, length = use.sizes(0), use.length
    if sizes is None or length is None or length < len(sizes):
        return None
    return exactly([*[2] * (length - len(sizes)), *[2 if size == 1 else size for size in sizes]])


def begin(use: Use) -> Domain | None:
    """Where a slice begins: at the first or the second place."""
    sizes = use.sizes(0)
    if sizes is None or use.length != len(sizes):
        return below(min(use.size(0, 0) or 1, 2))
    return Domain(0, np.clip(sizes, 1, 2))


def slice_size(use: Use) -> Domain | None:
    sizes, begin = use.sizes(0), use.vector(1)
    if sizes is None:
        return None
    room = np.array(sizes) - (np.array(begin) if begin is not None else np.array(sizes) > 1)
    return Domain(np.minimum(1, room), np.maximum(room, 0) + 1)


def end(use: Use) -> Domain | None:
    sizes, length = use.sizes(0), use.length
    if sizes is None or length is None:
        return None
    return exactly([*sizes, *[1] * length][:length])


def paddings(use: Use) -> Domain | None:
    """None at all for a vector of integers, which is a shape."""
    kinds = input_types(use.node)
    return Domain(0, 1 if use.rank(0) == 1 and kinds and tf.as_dtype(kinds[0]).is_integer else 2)


def sparse_shape(use: Use) -> Domain | None:
    dense, length = use.vector(1), use.length
    return None if dense is None or length is None else exactly(of_rank(dense, length))


def block_shape(use: Use) -> Domain | None:
    """Blocks that the axes after the first divide into: two where that goes without padding."""
    sizes, length, paddings = use.sizes(0), use.length, use.value(2)
    if sizes is None or length is None or len(sizes) <= length:
        return None
    added = np.zeros([length], int) if paddings is None else np.sum(paddings, axis=1)
    return exactly([1 if (size + more) % 2 else 2 for size, more in zip(sizes[1:], added, strict=False)])


def block_paddings(use: Use) -> Domain | None:
    sizes, blocks = use.sizes(0), use.vector(1)
    if sizes is None or blocks is None:
        return exactly(0)
    return exactly([[0, -size % block] for size, block in zip(sizes[1:], blocks, strict=False)])


def batch_blocks(use: Use) -> Domain | None:
    """Blocks that the rows of a batch are put together to: all of the rows make one."""
    rows, length = use.size(0, 0), use.length
    return None if rows is None or not length else exactly([rows, *[1] * (length - 1)])


def transposed_size(images: int) -> Rule:
    """Returns the rule of what a transposed convolution makes: the smallest image that would have become its input."""

    def rule(use: Use) -> Domain | None:
        small, kernel, length = use.sizes(images), use.sizes(1), use.length
        if small is None or kernel is None or length is None or len(small) != len(kernel):
            return None
        layout = attr(use.node, "data_format").s.decode()
        places = list(range(2, len(small))) if layout.startswith("NC") else list(range(1, len(small) - 1))
        strides, dilations = attr(use.node, "strides").list.i, attr(use.node, "dilations").list.i
        is_same = attr(use.node, "padding").s == b"SAME"
        made = list(small)
        made[1 if layout.startswith("NC") else -1] = kernel[-2]
        for place, width in zip(places, kernel, strict=False):
            reach = (width - 1) * (dilations[place] if dilations else 1) + 1
            step = strides[place] if strides else 1
            made[place] = small[place] * step if is_same else (small[place] - 1) * step + reach
        return exactly([made[place] for place in places] if length == len(places) else made)

    return rule


def splits(use: Use) -> Domain | None:
    """Sizes that one axis is split into."""
    length, axis = use.length, use.number(2)
    size = use.size(0, axis) if axis is not None else None
    if not length or size is None:
        return None
    return exactly([size // length + (at < size % length) for at in range(length)])


def scatter_shape(use: Use) -> Domain | None:
    indices, updates = use.sizes(0), use.sizes(1)
    if indices is None or updates is None or not indices:
        return None
    return exactly([ROOM] * indices[-1] + updates[len(indices) - 1 :])
