"""Strings made up for what decodes or parses them: images, sounds, numbers, records; words for everything else."""

import base64
import io
import struct
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from export_v1.ir import ops
from export_v1.ir.graph import NodeDef, Tensor, attr, data_inputs
from export_v1.proof import sizes as readers_sizes
from export_v1.proof import values
from export_v1.proof.reading import Reading

WORDS = (b"the", b"cat", b"sat", b"on", b"mat", b"a", b"1", b"2")
# Pixels on a side, samples in a second.
_SIDE, _RATE = 64, 16000
_FLOW = ops.IDENTITIES | ops.SWITCHES | ops.MERGES | ops.ENTERS | ops.EXITS | ops.WAYS_BACK
_PASSED = _FLOW | frozenset(
    "Reshape ExpandDims Squeeze Transpose StridedSlice Slice Pack ConcatV2 PlaceholderWithDefault Print GatherV2 Gather "
    "Unpack Split Where Select SelectV2 StringStrip StringLower".split()
)
_MOST_READERS = 500


def made(reading: Reading, tensor: Tensor, shape: list[int], rng: np.random.Generator) -> np.ndarray:
    """Returns an array of strings, of dtype object, that the readers of an input can decode.

    Args:
        reading: the graph.
        tensor: the input.
        shape: its shape.
        rng: where the values come from.
    """
    count = int(np.prod(shape))
    array = np.empty(count, dtype=object)
    array[:] = _items(reading, tensor, count, rng)
    return array.reshape(shape)


def _items(reading: Reading, tensor: Tensor, count: int, rng) -> list[bytes]:
    reader = _reader(reading, tensor)
    if reader is not None and reader.op == "DecodeBase64":
        inner = _items(reading, Tensor(reader.name), count, rng)
        return [base64.urlsafe_b64encode(item).rstrip(b"=") for item in inner]
    if reader is not None:
        make = _READERS[reader.op]
        return [make(reading, reader, rng) for _ in range(count)]
    domain = values.of(reading, tensor)
    words = domain.words if domain is not None and domain.words else WORDS
    start = 0 if words is WORDS else int(rng.integers(len(words)))
    items = [words[(start + at) % len(words)] for at in range(count)]
    if words is not WORDS and count > 2:
        # A word that the vocabulary does not have.
        items[-1] = b"unheard-of"
    return items


def _reader(reading: Reading, tensor: Tensor) -> NodeDef | None:
    """Returns the op that decodes a tensor of strings, behind whatever only passes it on."""
    seen, todo = {tensor}, [tensor]
    while todo and len(seen) < _MOST_READERS:
        for node, at in reading.readers(todo.pop(0)):
            if (node.op in _READERS or node.op == "DecodeBase64") and at == 0:
                return node
            following: list[Tensor] = []
            if node.op in _PASSED:
                following = [Tensor(node.name, 0), *([Tensor(node.name, 1)] if node.op in ops.SWITCHES else [])]
            elif node.op == "TensorArrayScatterV3" and at == 2:
                following = readers_sizes.array_reads(reading, node)
            elif node.op == "TensorListFromTensor" and at == 0:
                following = readers_sizes.list_reads(reading, Tensor(node.name))
            for reader in following:
                if reader not in seen:
                    seen.add(reader)
                    todo.append(reader)
    return None


def _pixels(channels: int, rng) -> np.ndarray:
    return rng.integers(0, 256, (_SIDE, _SIDE, channels)).astype(np.uint8)


def _png(reading: Reading, node: NodeDef, rng) -> bytes:
    return _encoded(tf.io.encode_png, _pixels(attr(node, "channels").i or 3, rng))


def _jpeg(reading: Reading, node: NodeDef, rng) -> bytes:
    return _encoded(tf.io.encode_jpeg, _pixels(1 if attr(node, "channels").i == 1 else 3, rng))


def _encoded(encode: Callable, image: np.ndarray) -> bytes:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        return session.run(encode(tf.constant(image)))


def _bmp(reading: Reading, node: NodeDef, rng) -> bytes:
    """An uncompressed image of 24 bits a pixel."""
    image = _pixels(3, rng).tobytes()
    header = struct.pack("<IiiHHIIiiII", 40, _SIDE, _SIDE, 1, 24, 0, len(image), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(image), 0, 0, 54) + header + image


def _gif(reading: Reading, node: NodeDef, rng) -> bytes:
    """Two frames of four colours; each pixel is a code of its own, and the table of codes is cleared before it grows."""
    side, palette = 8, rng.integers(0, 256, 12).astype(np.uint8).tobytes()
    out = b"GIF89a" + struct.pack("<HHBBB", side, side, 0b10010001, 0, 0) + palette
    for _ in range(2):
        codes = []
        for at, pixel in enumerate(rng.integers(0, 4, side * side).tolist()):
            codes += [4, pixel] if at % 2 == 0 else [pixel]
        bits = "".join(reversed([f"{code:03b}" for code in [*codes, 5]]))
        data = int(bits, 2).to_bytes(-(-len(bits) // 8), "little")
        out += b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02" + bytes([len(data)]) + data + b"\x00"
    return out + b";"


def _wav(reading: Reading, node: NodeDef, rng) -> bytes:
    """One second of 16-bit sound at 16 kHz, or as many samples as the decoder asks for."""
    wanted, channels = attr(node, "desired_samples").i, max(attr(node, "desired_channels").i, 1)
    count = wanted if wanted > 0 else _RATE
    samples = (rng.standard_normal(count * channels) * 3000).astype("<i2").tobytes()
    out = io.BytesIO()
    out.write(b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt ")
    out.write(struct.pack("<IHHIIHH", 16, 1, channels, _RATE, 2 * channels * _RATE, 2 * channels, 16))
    out.write(b"data" + struct.pack("<I", len(samples)) + samples)
    return out.getvalue()


def _number(reading: Reading, node: NodeDef, rng) -> bytes:
    return str(int(rng.integers(0, 5))).encode()


def _raw(reading: Reading, node: NodeDef, rng) -> bytes:
    """As many numbers as what reads them wants, which a Reshape often says."""
    dtype = tf.as_dtype(attr(node, "out_type").type)
    shape = readers_sizes.elements(reading, Tensor(node.name))
    count = shape or 784
    if dtype.is_floating:
        return rng.random(count).astype(dtype.as_numpy_dtype).tobytes()
    return rng.integers(0, 256 if dtype.size == 1 else 3, count).astype(dtype.as_numpy_dtype).tobytes()


def _line(reading: Reading, node: NodeDef, rng) -> bytes:
    """A field of the type of each default."""
    delimiter = attr(node, "field_delim").s or b","
    types = attr(node, "OUT_TYPE").list.type
    fields = [b"cat" if tf.as_dtype(each) == tf.string else str(int(rng.integers(1, 5))).encode() for each in types]
    return delimiter.join(fields)


def _tensor(reading: Reading, node: NodeDef, rng) -> bytes:
    dtype = tf.as_dtype(attr(node, "out_type").type)
    shape = readers_sizes.wanted(reading, Tensor(node.name), None) or [3]
    array = rng.random([size or 3 for size in shape]) * 3
    proto = (
        tf.make_tensor_proto(array.astype(dtype.as_numpy_dtype)) if dtype != tf.string else tf.make_tensor_proto(b"a")
    )
    return proto.SerializeToString()


def _example_proto(reading: Reading, node: NodeDef, rng) -> bytes:
    """Returns a serialized tf.Example that has every dense feature the parser wants, and a few sparse values."""
    example = tf.train.Example()
    for name, data_type, size in _features(reading, node):
        feature = example.features.feature[name]
        dtype = tf.as_dtype(data_type)
        if dtype == tf.string:
            feature.bytes_list.value.extend([WORDS[at % len(WORDS)] for at in range(size)])
        elif dtype.is_integer:
            feature.int64_list.value.extend(int(number) for number in rng.integers(1, 3, size))
        else:
            feature.float_list.value.extend(float(number) for number in rng.random(size))
    return example.SerializeToString(deterministic=True)


def _features(reading: Reading, node: NodeDef) -> Iterator[tuple[str, int, int]]:
    dense = list(zip(attr(node, "Tdense").list.type, attr(node, "dense_shapes").list.shape, strict=True))
    if node.op == "ParseExample":
        inputs, sparse_count = data_inputs(node), attr(node, "Nsparse").i
        sparse_keys = [key for tensor in inputs[2 : 2 + sparse_count] for key in _keys(reading, tensor)]
        dense_keys = [
            key for t in inputs[2 + sparse_count : 2 + sparse_count + len(dense)] for key in _keys(reading, t)
        ]
    elif node.op == "ParseExampleV2":
        inputs = data_inputs(node)
        sparse_keys, dense_keys = (_keys(reading, inputs[at]) for at in (2, 3))
    else:
        sparse_keys = [key.decode() for key in attr(node, "sparse_keys").list.s]
        dense_keys = [key.decode() for key in attr(node, "dense_keys").list.s]
    for key, (data_type, shape) in zip(dense_keys, dense, strict=True):
        yield key, data_type, int(np.prod([max(dim.size, 1) for dim in shape.dim], dtype=np.int64))
    for key, data_type in zip(sparse_keys, attr(node, "sparse_types").list.type, strict=True):
        yield key, data_type, 2


def _keys(reading: Reading, tensor: Tensor) -> list[str]:
    value = reading.value(tensor)
    return [] if value is None else [key.decode() for key in value.ravel()]


_READERS: dict[str, Callable[[Reading, NodeDef, np.random.Generator], bytes]] = {
    "DecodePng": _png,
    "DecodeImage": _png,
    "DecodeJpeg": _jpeg,
    "DecodeAndCropJpeg": _jpeg,
    "DecodeBmp": _bmp,
    "DecodeGif": _gif,
    "DecodeWav": _wav,
    "DecodeRaw": _raw,
    "DecodeCSV": _line,
    "StringToNumber": _number,
    "ParseTensor": _tensor,
    "ParseExample": _example_proto,
    "ParseExampleV2": _example_proto,
    "ParseSingleExample": _example_proto,
}
