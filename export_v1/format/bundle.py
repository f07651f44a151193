"""The index of a checkpoint bundle: where each tensor's bytes are, and their checksums.

TensorFlow reads and writes bundles, but tells nobody the checksums, and reads a tensor whole or not at all. With the
index a tensor can be copied piece by piece, and what was written be compared with what should have been.

PREFIX.index is a sorted string table: blocks of keys, each without what it has in common with the one before, an index
of the blocks, and a footer of 48 bytes. A key is a tensor name; "" has the header; one that starts with a zero byte is
a slice of a tensor.

Source: tensorflow/core/protobuf/tensor_bundle.proto, tensorflow/core/util/saved_tensor_slice_util.cc.
"""

import dataclasses
import os
import struct
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import tensorflow as tf
from google.protobuf import message
from tensorflow.core.protobuf import tensor_bundle_pb2

from export_v1 import errors

_FOOTER, _BLOCK_TRAILER, _MAGIC = 48, 5, 0xDB4775248B80FB57
# Checksums are stored rotated and shifted by this, lest a checksum be taken of data that holds its own.
_MASK = 0xA282EAD8
# What keys have in common is stored once; more than this they never have.
_MOST_TIMES, _MOST_BYTES = 200, 2**26
# CRC-32C's polynomial, lowest bit first.
_POLYNOMIAL = 0x82F63B78

# What TensorFlow's own reader raises for files that are damaged, or shorter than their index says: it makes Python's
# exceptions of status codes.
UNREADABLE = (
    tf.errors.OpError,
    RuntimeError,
    ValueError,
    IndexError,
    KeyError,
    NotImplementedError,
    TypeError,
    MemoryError,
)

Part = tuple[tuple[int, int], ...]
Entry: TypeAlias = tensor_bundle_pb2.BundleEntryProto


class _HostileError(Exception):
    """Whoever walks over the table, be it TensorFlow, would not come to its end."""


@dataclasses.dataclass(frozen=True)
class Index:
    """What an index says.

    Attributes:
        tensors: name -> entry; that of a tensor kept in slices has no bytes of its own.
        slices: name -> (start, size) per axis -> entry, in the order of the starts.
        shards: number of data files.
    """

    tensors: Mapping[str, Entry]
    slices: Mapping[str, Mapping[Part, Entry]]
    shards: int

    def entry(self, name: str, part: Part) -> Entry | None:
        """Returns where a tensor, or just this part of it, lies in one piece; None where it does not."""
        tensor = self.tensors.get(name)
        if tensor is None or not part:
            return None if tensor is None or tensor.slices else tensor
        return self.slices.get(name, {}).get(part)

    def checksum(self, name: str) -> int:
        """Returns the masked CRC-32C of a tensor's bytes, however many slices along the first axes they are kept in."""
        if not self.tensors[name].slices:
            return self.tensors[name].crc32c
        total = 0
        for entry in self.slices[name].values():
            total = joined(total, _unmasked(entry.crc32c), entry.size)
        return _masked(total)


def read(prefix: str, error: type[errors.UserError] = errors.ExportError) -> Index | None:
    """Returns the index of a bundle; None where it is not one, or is compressed or of a big-endian machine.

    Raises:
        OSError: a file that is there cannot be read.
        UserError: it is one that would take more memory or time than there is. Of class `error`.
    """
    path = prefix + ".index"
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        content = file.read()
    tensors: dict[str, Entry] = {}
    slices: dict[str, dict[Part, Entry]] = {}
    header = tensor_bundle_pb2.BundleHeaderProto()
    try:
        for key, value in _table(content):
            if not key:
                header.ParseFromString(value)
            elif key[0] == 0:
                name, part = _slice_key(key)
                slices.setdefault(name, {})[part] = Entry.FromString(value)
            else:
                tensors[key.decode()] = Entry.FromString(value)
    except _HostileError as hostile:
        raise error(f"Checkpoint {prefix!r} cannot be read: {hostile}.\n  Get a fresh copy of it.") from hostile
    except (ValueError, IndexError, struct.error, message.DecodeError):
        return None
    if header.endianness != tensor_bundle_pb2.BundleHeaderProto.LITTLE:
        return None
    for name, parts in slices.items():
        sizes = [dim.size for dim in tensors[name].shape.dim] if name in tensors else []
        slices[name] = {_explicit(part, sizes): entry for part, entry in parts.items()}
    return Index(tensors, slices, header.num_shards)


def data_file(prefix: str, shard: int, shards: int) -> str:
    """Returns the path of a bundle's data file."""
    return f"{prefix}.data-{shard:05d}-of-{shards:05d}"


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(content) < _FOOTER or struct.unpack("<Q", content[-8:])[0] != _MAGIC:
        raise ValueError("not a table")
    footer = memoryview(content)[-_FOOTER:]
    _, after = _handle(footer)
    (at, size), _ = _handle(footer[after:])
    last: bytes | None = None
    for _, handle in _block(content, at, size):
        (at, size), _ = _handle(handle)
        for key, value in _block(content, at, size):
            # So that no block comes twice, and the walk ends.
            if last is not None and key <= last:
                raise _HostileError(f"its index is not in order at {key[:60]!r}")
            yield key, value
            last = key


def _block(content: bytes, at: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    block = content[at : at + size]
    if at + size + _BLOCK_TRAILER > len(content) or content[at + size] != 0:
        raise ValueError("a block is cut off or compressed")
    restarts = struct.unpack("<I", block[-4:])[0]
    end = size - 4 - 4 * restarts
    key, at, unpacked = b"", 0, 0
    while at < end:
        common, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:common] + block[at : at + own]
        unpacked += len(key)
        if unpacked > max(_MOST_BYTES, _MOST_TIMES * len(content)):
            raise _HostileError(f"its index of {len(content):,} bytes has keys of more than {unpacked:,}")
        at += own + length
        yield key, block[at - length : at]


def _handle(data) -> tuple[tuple[int, int], int]:
    start, at = _varint(data, 0)
    size, at = _varint(data, at)
    return (start, size), at


def _varint(data, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
    raise ValueError("a number of more than 64 bits")


def _slice_key(key: bytes) -> tuple[str, Part]:
    """Returns the tensor name and the (start, size) per axis of a slice's key; a size of -1 means the whole axis.

    The key is made so that its bytes sort as what it stands for: 0, the name, the rank, then start and size by turns.
    """
    end = key.index(b"\0\1", 1)
    name = key[1:end].replace(b"\0\xff", b"\0").replace(b"\xff\0", b"\xff").decode()
    at = end + 2
    rank = int.from_bytes(key[at + 1 : at + 1 + key[at]], "big")
    at += 1 + key[at]
    numbers = []
    for _ in range(2 * rank):
        number, at = _signed(key, at)
        numbers.append(number)
    return name, tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _signed(key: bytes, at: int) -> tuple[int, int]:
    """Returns a number written so that bytes sort as numbers: as many one bits as bytes, a zero, then the number."""
    if key[at] == 0x7F:
        return -1, at + 1
    if key[at] < 0x80:
        raise ValueError("a slice starts before its tensor")
    length = 8 - (key[at] ^ 0xFF).bit_length()
    if length == 8:
        raise ValueError("a slice is larger than this reads")
    number = int.from_bytes(key[at : at + length], "big") & ((1 << (7 * length - 1)) - 1)
    return number, at + length


def _explicit(part: Part, sizes: list[int]) -> Part:
    return tuple(
        (0, size) if length < 0 else (start, length) for (start, length), size in zip(part, sizes, strict=False)
    )


def joined(first: int, second: int, size: int) -> int:
    """Returns the CRC-32C of two byte strings, one after the other, from that of each and the size of the second.

    >>> hex(joined(0xC1D04330, 0xD280B0C4, 1))  # "a" and "b"
    '0xe2a22936'
    """
    # Over the field of two elements, appending 8 * size zero bits multiplies a checksum by x ** (8 * size).
    power, square, bits = 1 << 31, 1 << 30, 8 * size
    while bits:
        power = _product(power, square) if bits & 1 else power
        square, bits = _product(square, square), bits >> 1
    return _product(first, power) ^ second


def _product(first: int, second: int) -> int:
    total = 0
    for bit in range(31, -1, -1):
        if second >> bit & 1:
            total ^= first
        first = first >> 1 ^ (_POLYNOMIAL if first & 1 else 0)
    return total


def _masked(checksum: int) -> int:
    return ((checksum >> 15 | checksum << 17) + _MASK) & 0xFFFFFFFF


def _unmasked(checksum: int) -> int:
    rotated = (checksum - _MASK) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def latest(folder: str) -> str:
    """Returns the prefix that the file `checkpoint` of a folder calls the latest; "" where no such file can be read."""
    try:
        state = tf.train.get_checkpoint_state(folder)
    except (UnicodeDecodeError, tf.errors.OpError):
        return ""
    return state.model_checkpoint_path if state is not None else ""
