"""Sorted string tables: what the index of a checkpoint bundle is, and all of a V1 checkpoint.

Blocks of keys, each without what it has in common with the one before, an index of the blocks, and a footer of 48 bytes.
TensorFlow never compresses them.

Source: tensorflow/core/lib/io/table_format.txt.
"""

import struct
from collections.abc import Iterator

_FOOTER, _BLOCK_TRAILER, _MAGIC = 48, 5, 0xDB4775248B80FB57
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


def _check_block(content, at: int, size: int) -> None:
    if at + size + _BLOCK_TRAILER > len(content):
        raise DamagedError(f"a block of it ends at byte {at + size + _BLOCK_TRAILER:,} of {len(content):,}")
    if content[at + size] != 0:
        raise DamagedError("a block of it is compressed, as TensorFlow never wrote any")


def _block(content, at: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    _check_block(content, at, size)
    block = content[at : at + size]
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
