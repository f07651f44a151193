"""The index of a checkpoint bundle: where each tensor's bytes are, and their checksums.

TensorFlow reads and writes bundles, but tells nobody the checksums, and reads a tensor whole or not at all. With the
index a tensor can be copied piece by piece, and what was written be compared with what should have been. TensorFlow also
takes an index at its word: a size that there is not ends the process, and a part that is smaller than it should be is
read beyond its end. So nothing else reads one before it was looked at here.

PREFIX.index is a sorted string table. A key is a tensor name; "" has the header; one that starts with a zero byte is a
slice of a tensor.

Source: tensorflow/core/protobuf/tensor_bundle.proto, tensorflow/core/util/saved_tensor_slice_util.cc.
"""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import tensorflow as tf
from google.protobuf import message
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import tensor_bundle_pb2

from export_v1 import errors
from export_v1.format import table

# Checksums are stored rotated and shifted by this, lest a checksum be taken of data that holds its own.
_MASK = 0xA282EAD8
# CRC-32C's polynomial, lowest bit first.
_POLYNOMIAL = 0x82F63B78
# What TensorFlow counts elements and bytes by, the axes that a shape of it has at most, and the first type that is a reference.
_MOST, _MOST_AXES, _REFERENCES = 2**63, 254, 100
_TYPES = frozenset(types_pb2.DataType.values())
_BY_LENGTH = frozenset({types_pb2.DT_STRING, types_pb2.DT_VARIANT})
_LENGTHS = 2**16
# Five digits in the names of the files.
_MOST_SHARDS = 99_999

Part = tuple[tuple[int, int], ...]
Entry: TypeAlias = tensor_bundle_pb2.BundleEntryProto


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
    """Returns the index of a bundle; None where there is none, or it is of a big-endian machine.

    Guaranteed: every number in it is one that TensorFlow can read by. Whether the data files are there, and as long as it
    says, is not asked: TensorFlow asks that.

    Raises:
        OSError: a file that is there cannot be read.
        UserError: it is damaged, or was made to do harm. Of class `error`.
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
        for key, value in table.entries(content):
            if not key:
                header.ParseFromString(value)
            elif key[0] == 0:
                name, part = _slice_key(key)
                slices.setdefault(name, {})[part] = Entry.FromString(value)
            else:
                tensors[key.decode()] = Entry.FromString(value)
        for name, parts in slices.items():
            if name in tensors:
                slices[name] = {_explicit(part, _sizes(tensors[name])): entry for part, entry in parts.items()}
        index = Index(tensors, slices, header.num_shards)
        _check(index)
    except table.DamagedError as damaged:
        raise refused(prefix, str(damaged), error) from damaged
    except (ValueError, IndexError, message.DecodeError) as damaged:
        raise refused(prefix, "an entry of its index is damaged", error) from damaged
    return index if header.endianness == tensor_bundle_pb2.BundleHeaderProto.LITTLE else None


def data_file(prefix: str, shard: int, shards: int) -> str:
    """Returns the path of a bundle's data file."""
    return f"{prefix}.data-{shard:05d}-of-{shards:05d}"


def refused(prefix: str, what: str, error: type[errors.UserError]) -> errors.UserError:
    """Returns the error for a checkpoint that says of itself what cannot be."""
    return error(
        f"Checkpoint {prefix!r} cannot be read: {what}.\n"
        "  It is damaged, or was not written by TensorFlow; get a fresh copy of it."
    )


def check_lengths(prefix: str, index: Index, error: type[errors.UserError]) -> None:
    """Checks that strings are as long as their places in the data files are; TensorFlow makes room before it asks.

    Raises:
        OSError: a file that is there cannot be read.
        UserError: they are not. Of class `error`.
    """
    parts = ((name, entry) for name, slices in index.slices.items() for entry in slices.values())
    for name, entry in (*index.tensors.items(), *parts):
        path = data_file(prefix, entry.shard_id, index.shards)
        count = math.prod(dim.size for dim in entry.shape.dim)
        if entry.dtype == types_pb2.DT_STRING and not entry.slices and count and os.path.isfile(path):
            try:
                with open(path, "rb") as file:
                    file.seek(entry.offset)
                    used, strings = _lengths(file, count)
            except table.DamagedError as damaged:
                raise refused(prefix, f"the strings of {name!r} are cut off", error) from damaged
            # Between the lengths and the strings stands a checksum.
            if used + 4 + strings != entry.size:
                what = f"the strings of {name!r} are said to take {used + 4 + strings:,} bytes, of {entry.size:,}"
                raise refused(prefix, what, error)


def _lengths(file, count: int) -> tuple[int, int]:
    """Returns how many bytes so many lengths take from here on, and their sum."""
    rest, used, total = b"", 0, 0
    at = 0
    for _ in range(count):
        if len(rest) - at < 10:
            rest, at = rest[at:] + file.read(_LENGTHS), 0
        start = at
        length, at = table.varint(rest, at)
        used, total = used + at - start, total + length
    return used, total


def _check(index: Index) -> None:
    """Raises DamagedError for what no bundle says of a tensor: each number is looked at before it is computed with."""
    if not 1 <= index.shards <= _MOST_SHARDS:
        raise table.DamagedError(f"it is said to be of {index.shards:,} data files")
    for name, entry in index.tensors.items():
        _check_entry(f"tensor {name!r}", entry, index.shards)
        parts = [_explicit(_extents(part), _sizes(entry)) for part in entry.slices]
        if len(set(parts)) < len(parts):
            raise table.DamagedError(f"tensor {name!r} has a part twice")
        for part in parts:
            _check_part(name, entry, part, index.slices.get(name, {}).get(part))
    for name, slices in index.slices.items():
        for part, entry in slices.items():
            _check_entry(f"a part of {name!r}", entry, index.shards)
            if name in index.tensors:
                _check_part(name, index.tensors[name], part, entry)


def _check_entry(what: str, entry: Entry, shards: int) -> None:
    if entry.dtype not in _TYPES or not 0 < entry.dtype < _REFERENCES:
        raise table.DamagedError(f"{what} is of type {entry.dtype}, and there is no such type")
    sizes, elements = _sizes(entry), 1
    if entry.shape.unknown_rank or len(sizes) > _MOST_AXES or any(size < 0 for size in sizes):
        shown = "an unknown number of axes" if entry.shape.unknown_rank else f"shape {_shown(sizes)}"
        raise table.DamagedError(f"{what} has {shown}")
    item = max(tf.as_dtype(entry.dtype).size, 1)
    for size in sizes:
        elements *= size
        if elements * item >= _MOST:
            raise table.DamagedError(f"{what} has shape {_shown(sizes)}")
    if not 0 <= entry.shard_id < shards:
        raise table.DamagedError(f"{what} is in data file {entry.shard_id:,} of {shards:,}")
    if entry.offset < 0 or entry.size < 0 or entry.offset + entry.size >= _MOST:
        raise table.DamagedError(f"{what} has {entry.size:,} bytes at {entry.offset:,}")
    by_length = entry.dtype in _BY_LENGTH
    if not entry.slices and (entry.size < elements if by_length else entry.size != elements * item):
        dtype = tf.as_dtype(entry.dtype).name
        raise table.DamagedError(f"{what}, {dtype} {_shown(sizes)}, has {entry.size:,} bytes")


def _check_part(name: str, whole: Entry, part: Part, entry: Entry | None) -> None:
    sizes = _sizes(whole)
    what = f"part {_shown(part)} of {name!r}"
    if len(part) != len(sizes) or any(
        start < 0 or length < 0 or start + length > size for (start, length), size in zip(part, sizes, strict=True)
    ):
        raise table.DamagedError(f"{what} is outside of its shape {_shown(sizes)}")
    if entry is None:
        raise table.DamagedError(f"{what} is not there")
    if (entry.dtype, _sizes(entry)) != (whole.dtype, [length for _, length in part]):
        raise table.DamagedError(f"{what} has shape {_shown(_sizes(entry))}, or another type")


def _sizes(entry: Entry) -> list[int]:
    return [dim.size for dim in entry.shape.dim]


def _shown(sizes: Sequence) -> str:
    return str([*sizes[:8], "…"] if len(sizes) > 8 else list(sizes))


def _extents(part) -> Part:
    extents = tuple((extent.start, extent.length if extent.HasField("length") else None) for extent in part.extent)
    if any(length is not None and length < 0 for _, length in extents):
        raise table.DamagedError(f"part {_shown(extents)} of a tensor has a negative size")
    return tuple((start, -1 if length is None else length) for start, length in extents)


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
        (0, size) if length < 0 else (start, length) for (start, length), size in zip(part, sizes, strict=True)
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
