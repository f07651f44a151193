"""The index of a checkpoint bundle, read without TensorFlow: what tensors there are, and their checksums.

An index is a sorted string table as LevelDB writes it, uncompressed: blocks of prefix-compressed keys and their
values, an index block of block positions, and a footer of 48 bytes. Values are BundleEntryProtos.
"""

import struct
from collections.abc import Iterator

from load_v2.errors import LoadError

_FOOTER = 48
_MAGIC = 0xDB4775248B80FB57
# CRC-32C's polynomial, lowest power in the highest bit; and what a stored checksum is shifted by.
_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8


def checksums(prefix: str) -> dict[str, int]:
    """Returns key -> masked crc32c of its bytes, for every tensor of the bundle `prefix`.

    A tensor that is kept in slices along its first axes, as large ones are, has the checksum that it would have whole.

    Raises:
        LoadError: the index is not one, or was cut.
    """
    from tensorflow.core.protobuf import tensor_bundle_pb2

    with open(prefix + ".index", "rb") as stream:
        content = stream.read()
    try:
        entries = [(key, tensor_bundle_pb2.BundleEntryProto.FromString(value)) for key, value in _table(content) if key]
    except (IndexError, ValueError, struct.error) as error:
        raise LoadError(f"{prefix}.index is damaged: {error}.\n  Export again.") from error
    except Exception as error:  # protobuf's DecodeError is another class in each of its implementations
        raise LoadError(f"{prefix}.index is damaged: {error}.\n  Export again.") from error
    found, cut = {}, {}
    for key, entry in entries:
        if key[0] != 0:
            found[key.decode("utf-8", "replace")] = entry.crc32c
        else:
            # The key of a slice: a zero, the tensor's name, an end mark, and where it starts; the table is sorted by
            # it.
            name = key[1 : key.index(b"\0\1", 1)].decode("utf-8", "replace")
            cut[name] = _appended(cut.get(name, 0), _unmasked(entry.crc32c), entry.size)
    return found | {name: _masked(checksum) for name, checksum in cut.items()}


def _appended(checksum: int, of_more: int, size: int) -> int:
    """Returns the crc32c of some bytes and `size` more after them, from that of each."""
    # A checksum is a polynomial over two elements, lowest power first; eight zero bits more multiply it by x to the
    # 8th.
    shift, square = 1 << 31, 1 << 23
    while size:
        shift = _multiplied(shift, square) if size & 1 else shift
        square, size = _multiplied(square, square), size >> 1
    return _multiplied(checksum, shift) ^ of_more


def _multiplied(left: int, right: int) -> int:
    product = 0
    for bit in reversed(range(32)):
        product ^= left if right >> bit & 1 else 0
        left = left >> 1 ^ (_POLYNOMIAL if left & 1 else 0)
    return product


def _masked(checksum: int) -> int:
    return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) % 2**32


def _unmasked(checksum: int) -> int:
    rotated = (checksum - _MASK_DELTA) % 2**32
    return (rotated >> 17 | rotated << 15) % 2**32


def _table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(content) < _FOOTER or struct.unpack("<Q", content[-8:])[0] != _MAGIC:
        raise ValueError("it does not end as a table does")
    footer = content[-_FOOTER:]
    _, at = _varint(footer, 0)
    _, at = _varint(footer, at)
    offset, at = _varint(footer, at)
    size, _ = _varint(footer, at)
    for _, handle in _block(content, offset, size):
        offset, at = _varint(handle, 0)
        size, _ = _varint(handle, at)
        yield from _block(content, offset, size)


def _block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    block = content[offset : offset + size]
    if len(block) != size or content[offset + size] != 0:
        raise ValueError(f"the block at {offset} is cut or compressed")
    restarts = struct.unpack("<I", block[-4:])[0]
    end = size - 4 - 4 * restarts
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + fresh]
        yield key, block[at + fresh : at + fresh + length]
        at += fresh + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
