"""Inputs made up for a graph, by dtype, shape and what reads them; the same ones every time."""

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.interface import Input
from export_v1.ir import ops
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, data_inputs, parse, recorded_shape
from export_v1.proof import input_sizes, sparse

BATCH = 3
# Sizes tried for an axis that the graph leaves open, other than the batch: enough for a stack of convolutions or for a
# sequence, then what image networks were usually trained on.
SIZES = (8, 32, 64, 128, 224, 299, 16, 1)
# No made-up input is bigger: an image in 3-D at the larger sizes would take more memory than there is.
MOST_ELEMENTS = 4_000_000
# Where the graph itself fixes a size, it may be larger than one that would be chosen; but not than memory.
LARGEST_INPUT = 2**28
_PASSED = frozenset(
    "Identity Cast Reshape ExpandDims Squeeze Transpose StopGradient Switch Enter StridedSlice Slice Pack ConcatV2 "
    "TensorArrayScatterV3 TensorArrayReadV3 Minimum Maximum Print Add AddV2 Sub".split()
)
WORDS = (b"the", b"cat", b"sat", b"on", b"mat", b"a", b"1", b"2")


def attempts(
    whole: GraphDef, cut: GraphDef, inputs: Mapping[str, Input], seed: int = 1
) -> Iterator[dict[str, np.ndarray]]:
    """Yields dicts of arrays by input key, likelier ones first; the graph may refuse any of them.

    Args:
        whole: the graph as it was written, with the shapes that TensorFlow 1 recorded in it.
        cut: the graph with placeholders for the inputs, as it will run.
        inputs: key -> where the graph is cut.
        seed: another one gives other values.
    """
    original, index = Index(whole), Index(cut)
    shapes = {key: _open_shape(original, one) for key, one in inputs.items()}
    for sizes in _sizes(cut, inputs, shapes):
        made = {
            key: _example(original, index, one, sizes[key], np.random.default_rng([zlib.crc32(key.encode()), seed]))
            for key, one in inputs.items()
        }
        yield made | sparse.examples(inputs, BATCH)


def _sizes(cut: GraphDef, inputs: Mapping[str, Input], shapes: Mapping[str, list]) -> Iterator[dict[str, list[int]]]:
    """Yields a shape per input key: one size for every open axis first, then what shape inference lets through."""
    if not any(None in shape[1:] for shape in shapes.values()):
        yield {key: _filled(shape, SIZES[0]) for key, shape in shapes.items()}
        return
    # A cut in the middle of a node with several outputs has another name in the cut graph; it is left out here.
    names = {key: parse(one.tensor).node for key, one in inputs.items()}
    for size in SIZES:
        filled = {key: _filled(shape, size) for key, shape in shapes.items()}
        small = sum(int(np.prod(shape, dtype=np.int64)) for shape in filled.values()) <= MOST_ELEMENTS
        if small and input_sizes.fits(cut, {names[key]: shape for key, shape in filled.items()}):
            yield filled
    for found in input_sizes.searched(cut, {names[key]: shape for key, shape in shapes.items()}, BATCH):
        yield {key: found[name] for key, name in names.items()}


def _filled(shape: list[int | None], size: int) -> list[int]:
    return [BATCH if at == 0 and known is None else size if known is None else known for at, known in enumerate(shape)]


def _open_shape(original: Index, one: Input) -> list[int | None]:
    shape = _shape(original, one)
    return _unknown_rank(one) if shape is None else shape


def _shape(original: Index, one: Input) -> list[int | None] | None:
    if one.shape is not None:
        return list(one.shape)
    tensor = parse(one.tensor)
    return recorded_shape(original[tensor.node], tensor.index) if tensor.node in original else None


def _example(original: Index, index: Index, one: Input, sizes: list[int], rng) -> np.ndarray:
    dtype = tf.as_dtype(one.dtype).base_dtype
    count = math.prod(sizes)
    if count > LARGEST_INPUT:
        raise errors.ExportError(
            f"No sample is made up for input {one.tensor.removesuffix(':0')!r}: its shape {sizes} has {count:,} elements.\n"
            "  Pass --sample=FILE.npz with real inputs, one array per key, or --no_sample to record no answers."
        )
    reader = _reader(original, parse(one.tensor))
    if dtype == tf.string:
        return _strings(original, reader, sizes, rng)
    if dtype == tf.bool:
        return np.arange(int(np.prod(sizes))).reshape(sizes) % 2 == 0
    if dtype.is_integer:
        return rng.integers(*_range(original, reader), size=sizes).astype(dtype.as_numpy_dtype)
    return rng.random(sizes).astype(dtype.as_numpy_dtype)


def _unknown_rank(one: Input) -> list[int | None]:
    """A string or a bool of unknown rank is most often a scalar or one per example; numbers come in vectors."""
    return [None] if tf.as_dtype(one.dtype) == tf.string else [None, None]


def _reader(index: Index, tensor: Tensor) -> tuple[NodeDef, int] | None:
    """Returns the op that first does something with a tensor's values, and at which input."""
    seen, todo = {tensor}, [tensor]
    fallback = None
    while todo:
        for node, at in index.tensor_consumers(todo.pop(0)):
            if node.op not in _PASSED:
                if node.op in ops.GATHERS or node.op in _STRING_READERS or node.op == "OneHot":
                    return node, at
                fallback = fallback or (node, at)
                continue
            out = Tensor(node.name, 1 if node.op == "Switch" else 0)
            for following in {out, Tensor(node.name, 0)} - seen:
                seen.add(following)
                todo.append(following)
    return fallback


def _range(index: Index, reader) -> tuple[int, int]:
    """Returns the half-open range of integers that what reads them can take."""
    if reader is not None:
        node, at = reader
        if node.op in ops.GATHERS and at == 1:
            shape = _static_shape(index, data_inputs(node)[0])
            if shape and shape[0]:
                return 0, shape[0]
        if node.op == "OneHot" and at == 0:
            depth = index[data_inputs(node)[1].node]
            if depth.op == "Const":
                return 0, max(int(tf.make_ndarray(attr(depth, "value").tensor)), 1)
    # Small enough for most vocabularies, and as lengths within every axis made up here.
    return 1, 3


def _static_shape(index: Index, tensor: Tensor) -> list[int | None] | None:
    while True:
        node = index[tensor.node]
        shape = recorded_shape(node, tensor.index)
        if shape is not None or node.op not in ("Identity", "Enter", "Switch"):
            if shape is None and node.op == "Const":
                return [dim.size for dim in attr(node, "value").tensor.tensor_shape.dim]
            return shape
        tensor = data_inputs(node)[0]


def _strings(index: Index, reader, sizes: list[int], rng) -> np.ndarray:
    count = int(np.prod(sizes))
    make = _STRING_READERS.get(reader[0].op) if reader is not None else None
    items = [make(index, reader[0], rng) if make else WORDS[at % len(WORDS)] for at in range(count)]
    made = np.empty(count, dtype=object)
    made[:] = items
    return made.reshape(sizes)


def _png(index: Index, node: NodeDef, rng) -> bytes:
    channels = attr(node, "channels").i or 3
    image = rng.integers(0, 256, (64, 64, channels)).astype(np.uint8)
    return _eager(tf.io.encode_png, image)


def _jpeg(index: Index, node: NodeDef, rng) -> bytes:
    image = rng.integers(0, 256, (64, 64, 1 if attr(node, "channels").i == 1 else 3)).astype(np.uint8)
    return _eager(tf.io.encode_jpeg, image)


def _eager(encode: Callable, image: np.ndarray) -> bytes:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        return session.run(encode(tf.constant(image)))


def _wav(index: Index, node: NodeDef, rng) -> bytes:
    """One second of 16-bit mono at 16 kHz, or as many samples as the decoder asks for."""
    wanted = attr(node, "desired_samples").i
    count = wanted if wanted > 0 else 16000
    samples = (rng.standard_normal(count) * 3000).astype("<i2").tobytes()
    out = io.BytesIO()
    out.write(
        b"RIFF"
        + struct.pack("<I", 36 + len(samples))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    )
    out.write(b"data" + struct.pack("<I", len(samples)) + samples)
    return out.getvalue()


def _number(index: Index, node: NodeDef, rng) -> bytes:
    return str(int(rng.integers(0, 5))).encode()


def _raw(index: Index, node: NodeDef, rng) -> bytes:
    return rng.integers(0, 256, 784).astype(np.uint8).tobytes()


def _example_proto(index: Index, node: NodeDef, rng) -> bytes:
    """Returns a serialized tf.Example that has every dense feature the parser wants, and a few sparse values."""
    example = tf.train.Example()
    for name, data_type, size in _features(index, node):
        feature = example.features.feature[name]
        dtype = tf.as_dtype(data_type)
        if dtype == tf.string:
            feature.bytes_list.value.extend([WORDS[at % len(WORDS)] for at in range(size)])
        elif dtype.is_integer:
            feature.int64_list.value.extend(int(one) for one in rng.integers(1, 3, size))
        else:
            feature.float_list.value.extend(float(one) for one in rng.random(size))
    return example.SerializeToString(deterministic=True)


def _features(index: Index, node: NodeDef) -> Iterator[tuple[str, int, int]]:
    dense = [
        (one, shape)
        for one, shape in zip(attr(node, "Tdense").list.type, attr(node, "dense_shapes").list.shape, strict=True)
    ]
    if node.op == "ParseExample":
        inputs, sparse_count = data_inputs(node), attr(node, "Nsparse").i
        sparse_keys = [_key(index, tensor) for tensor in inputs[2 : 2 + sparse_count]]
        dense_keys = [_key(index, tensor) for tensor in inputs[2 + sparse_count : 2 + sparse_count + len(dense)]]
    elif node.op == "ParseExampleV2":
        inputs = data_inputs(node)
        sparse_keys, dense_keys = (_keys(index, inputs[at]) for at in (2, 3))
    else:
        sparse_keys = [key.decode() for key in attr(node, "sparse_keys").list.s]
        dense_keys = [key.decode() for key in attr(node, "dense_keys").list.s]
    for key, (data_type, shape) in zip(dense_keys, dense, strict=True):
        yield key, data_type, int(np.prod([max(dim.size, 1) for dim in shape.dim], dtype=np.int64))
    for key, data_type in zip(sparse_keys, attr(node, "sparse_types").list.type, strict=True):
        yield key, data_type, 2


def _keys(index: Index, tensor: Tensor) -> list[str]:
    return [key.decode() for key in tf.make_ndarray(attr(index[tensor.node], "value").tensor).ravel()]


def _key(index: Index, tensor: Tensor) -> str:
    return _keys(index, tensor)[0]


_STRING_READERS: dict[str, Callable[[Index, NodeDef, np.random.Generator], bytes]] = {
    "DecodePng": _png,
    "DecodeImage": _png,
    "DecodeJpeg": _jpeg,
    "DecodeWav": _wav,
    "DecodeRaw": _raw,
    "StringToNumber": _number,
    "ParseExample": _example_proto,
    "ParseExampleV2": _example_proto,
    "ParseSingleExample": _example_proto,
}
