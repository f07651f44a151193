"""Checkpoints with an index that says something else than what was written, checksums and all."""

import os
import pathlib
import shutil
import struct
from collections.abc import Callable, Mapping

from tensorflow.core.protobuf import tensor_bundle_pb2

from export_v1.format import table as tables

Entry = tensor_bundle_pb2.BundleEntryProto
Header = tensor_bundle_pb2.BundleHeaderProto
_MAGIC = 0xDB4775248B80FB57


def crc32c(content: bytes) -> int:
    """Returns the checksum of bytes."""
    total = 0xFFFFFFFF
    for byte in content:
        total ^= byte
        for _ in range(8):
            total = total >> 1 ^ (0x82F63B78 if total & 1 else 0)
    return total ^ 0xFFFFFFFF


def masked(content: bytes) -> int:
    """Returns the checksum of bytes as files have it."""
    total = crc32c(content)
    return (total >> 15 | total << 17) + 0xA282EAD8 & 0xFFFFFFFF


def varint(number: int) -> bytes:
    """Returns a number as it stands in a table."""
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def table(values: Mapping[bytes, bytes], compress: Callable[[bytes], bytes] | None = None, kind: int = 1) -> bytes:
    """Returns a sorted string table of one block, which may be compressed in a way that has a number."""

    def block(pairs: Mapping[bytes, bytes]) -> bytes:
        entries = b"".join(
            b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in sorted(pairs.items())
        )
        return entries + struct.pack("<II", 0, 1)

    def ended(content: bytes, how: int = 0) -> bytes:
        content += bytes([how])
        return content + struct.pack("<I", masked(content))

    data, nothing = block(values), block({})
    data = compress(data) if compress else data
    content = ended(data, kind if compress else 0) + ended(nothing)
    index = block({b"\xff": varint(0) + varint(len(data))})
    footer = varint(len(data) + 5) + varint(len(nothing)) + varint(len(content)) + varint(len(index))
    return content + ended(index) + footer.ljust(40, b"\0") + struct.pack("<Q", _MAGIC)


def read_table(path: str | os.PathLike) -> dict[bytes, bytes]:
    """Returns what a table holds."""
    return dict(tables.entries(pathlib.Path(path).read_bytes()))


def handles(content: bytes) -> tuple[bytes, bytes]:
    """Returns where the footer of a table says that its two special blocks are: the unused one, and the index."""
    footer = content[-48:]
    ends = [0]
    for _ in range(4):
        ends.append(tables.varint(footer, ends[-1])[1])
    return footer[: ends[2]], footer[ends[2] : ends[4]]


def copied(prefix: str, folder: pathlib.Path) -> str:
    """Copies a checkpoint's files into a folder; returns the prefix there."""
    for path in pathlib.Path(prefix).parent.glob(pathlib.Path(prefix).name + "*"):
        shutil.copy(path, folder)
    return str(folder / pathlib.Path(prefix).name)


def changed(prefix: str, change: Callable[[dict[bytes, bytes]], object]) -> None:
    """Changes the index of a bundle."""
    values = read_table(prefix + ".index")
    change(values)
    pathlib.Path(prefix + ".index").write_bytes(table(values))


def entry_changed(prefix: str, name: str, change: Callable[[Entry], object]) -> None:
    """Changes the entry of one tensor."""

    def change_one(values: dict[bytes, bytes]) -> None:
        entry = Entry.FromString(values[name.encode()])
        change(entry)
        values[name.encode()] = entry.SerializePartialToString()

    changed(prefix, change_one)


def header_changed(prefix: str, change: Callable[[Header], object]) -> None:
    """Changes the header."""

    def change_it(values: dict[bytes, bytes]) -> None:
        header = Header.FromString(values[b""])
        change(header)
        values[b""] = header.SerializePartialToString()

    changed(prefix, change_it)
