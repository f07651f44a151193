"""The index of a checkpoint bundle, read without TensorFlow: what tensors there are, and their checksums.

An index is a sorted string table as LevelDB writes it, uncompressed: blocks of prefix-compressed keys and their values, an
index block of block positions, and a footer of 48 bytes. Values are BundleEntryProtos.
"""

import struct
from collections.abc import Iterator

from load_v2.errors import LoadError

_FOOTER = 48
_MAGIC = 0xDB4775248B80FB57


def checksums(prefix: str) -> dict[str, int]:
    """Returns key -> masked crc32c of its bytes, for every tensor of the bundle `prefix`.

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
    return {key.decode("utf-8", "replace"): entry.crc32c for key, entry in entries}


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
