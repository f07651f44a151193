"""Sorted string tables: what the index of a checkpoint bundle is, and all of a V1 checkpoint.

Blocks of keys, each without what it has in common with the one before, an index of the blocks, and a footer of 48 bytes.
Builds of TensorFlow with Snappy have compressed some of the blocks.

Source: tensorflow/core/lib/io/table_format.txt, https://github.com/google/snappy/blob/main/format_description.txt.
"""

import os
import struct
from collections.abc import Iterator

_FOOTER, _BLOCK_TRAILER, _MAGIC = 48, 5, 0xDB4775248B80FB57
# How a block is compressed: 0 not at all.
_SNAPPY = 1
# What keys have in common is stored once; more than this they never have.
_MOST_TIMES, _MOST_BYTES = 200, 2**26


class DamagedError(Exception):
    """It is no table, or one that TensorFlow would not come to the end of, or would need all memory for."""


def entries(content) -> Iterator[tuple[bytes, bytes]]:
    """Yields the keys and values of a table, in their order.

    Args:
        content: bytes, or what can be sliced like them.

    Raises:
        DamagedError: it is no whole table, or keys are not in order, or far more than its size explains.
    """
    last: bytes | None = None
    for at, size in blocks(content):
        for key, value in _block(content, at, size):
            # So that no block comes twice, and the walk ends.
            if last is not None and key <= last:
                raise DamagedError(f"its index is not in order at {key[:60]!r}")
            yield key, value
            last = key


def blocks(content) -> Iterator[tuple[int, int]]:
    """Yields where each block of entries begins, and how long it is; each is within the content.

    Raises:
        DamagedError: as `entries`.
    """
    if len(content) < _FOOTER or struct.unpack("<Q", content[-8:])[0] != _MAGIC:
        raise DamagedError("it is no table of TensorFlow's, or cut off")
    footer = content[-_FOOTER:]
    # The first handle is of a block that nobody writes anything into; TensorFlow reads it all the same.
    unused, after = _handle(footer, 0)
    listed, _ = _handle(footer, after)
    _check_block(content, *unused)
    for _, handle in _block(content, *listed):
        (at, size), _ = _handle(handle, 0)
        _check_block(content, at, size)
        yield at, size


def is_one(path: str) -> bool:
    """Returns whether a file ends as a table does."""
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END) < _FOOTER:
            return False
        file.seek(-8, os.SEEK_END)
        return struct.unpack("<Q", file.read())[0] == _MAGIC


def _check_block(content, at: int, size: int) -> None:
    if at + size + _BLOCK_TRAILER > len(content):
        raise DamagedError(f"a block of it ends at byte {at + size + _BLOCK_TRAILER:,} of {len(content):,}")
    if content[at + size] > _SNAPPY:
        raise DamagedError("a block of it is compressed, in a way that TensorFlow does not know")


def _block(content, at: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    _check_block(content, at, size)
    block = content[at : at + size]
    if content[at + size] == _SNAPPY:
        block = _uncompressed(bytes(block))
        size = len(block)
    restarts = struct.unpack("<I", block[-4:])[0] if size >= 4 else size
    end = size - 4 - 4 * restarts
    if end < 0:
        raise DamagedError("a block of it is too short")
    key, at, unpacked = b"", 0, 0
    while at < end:
        common, at = varint(block, at)
        own, at = varint(block, at)
        length, at = varint(block, at)
        if common > len(key) or at + own + length > end:
            raise DamagedError("an entry of it does not end")
        key = key[:common] + block[at : at + own]
        unpacked += len(key)
        if unpacked > max(_MOST_BYTES, _MOST_TIMES * len(content)):
            raise DamagedError(f"its index of {len(content):,} bytes has keys of more than {unpacked:,}")
        at += own + length
        yield key, block[at - length : at]


def _uncompressed(block: bytes) -> bytes:
    """Returns what Snappy has compressed: literals, and copies of what came before."""
    wanted, at = varint(block, 0)
    if wanted > _MOST_BYTES:
        raise DamagedError(f"a block of it says that it has {wanted:,} bytes once it is not compressed")
    made = bytearray()
    while at < len(block) and len(made) < wanted:
        kind, tag, at = block[at] & 3, block[at] >> 2, at + 1
        if kind == 0:
            more = max(tag - 59, 0)
            length = (int.from_bytes(block[at : at + more], "little") if more else tag) + 1
            made += block[at + more : at + more + length]
            at += more + length
            continue
        width = (1, 2, 4)[kind - 1]
        offset = int.from_bytes(block[at : at + width], "little") | (tag >> 3 << 8 if kind == 1 else 0)
        length = (tag & 7) + 4 if kind == 1 else tag + 1
        at += width
        if not 0 < offset <= len(made):
            raise DamagedError("a compressed block of it copies what is not there")
        # What is copied may reach into the copy.
        whole = bytes(made[-offset:]) * (length // offset + 1)
        made += whole[:length]
    if len(made) != wanted or at != len(block):
        raise DamagedError("a compressed block of it is not as long as it says")
    return bytes(made)


def _handle(data, at: int) -> tuple[tuple[int, int], int]:
    start, at = varint(data, at)
    size, at = varint(data, at)
    return (start, size), at


def varint(data, at: int) -> tuple[int, int]:
    """Returns the number that begins somewhere, and where it has ended.

    Raises:
        DamagedError: it does not end, or has more than 64 bits.
    """
    value = shift = 0
    while shift < 70 and at < len(data):
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
    raise DamagedError("a number in it does not end, or has more than 64 bits")
