"""Checkpoints and records whose checksums are right, and that say something else than what is there."""

import pathlib
import random
import struct
from collections.abc import Iterator

from google.protobuf import descriptor, message
from tensorflow.core.protobuf import tensor_bundle_pb2
from tensorflow.core.util import saved_tensor_slice_pb2

from tests.support import bundles

_NUMBERS = (-(2**63), -(2**31), -5, -1, 0, 1, 2, 3, 7, 255, 2**16, 2**31 - 1, 2**40, 2**62, 2**63 - 1)


def entry(path: pathlib.Path, rng: random.Random) -> str:
    """Changes a number in one of the entries of a bundle's index, or in its header."""
    values = bundles.read_table(path)
    # The keys of slices are no text.
    key = rng.choice(sorted(values))
    kind = tensor_bundle_pb2.BundleEntryProto if key else tensor_bundle_pb2.BundleHeaderProto
    return _changed(path, values, key, kind, rng)


def slices(path: pathlib.Path, rng: random.Random) -> str:
    """Changes a number in what a V1 checkpoint says of its tensors, or in one of them."""
    values = bundles.read_table(path)
    return _changed(path, values, rng.choice(sorted(values)), saved_tensor_slice_pb2.SavedTensorSlices, rng)


def _changed(path: pathlib.Path, values: dict[bytes, bytes], key: bytes, kind, rng: random.Random) -> str:
    said = kind.FromString(values[key])
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        done = number(said, rng)
    values[key] = said.SerializePartialToString()
    path.write_bytes(bundles.table(values))
    return f"{done} of {key!r}"


def number(said: message.Message, rng: random.Random) -> str:
    """Changes one number of a message, or of a message in it, that is there or not."""
    places = list(_places(said))
    inner, field = rng.choice(places)
    value = rng.choice(_NUMBERS)
    wide = field.cpp_type in (descriptor.FieldDescriptor.CPPTYPE_INT64, descriptor.FieldDescriptor.CPPTYPE_UINT64)
    unsigned = field.cpp_type in (descriptor.FieldDescriptor.CPPTYPE_UINT32, descriptor.FieldDescriptor.CPPTYPE_UINT64)
    size = 2 ** (64 if wide else 32)
    value = value % size if unsigned else (value + size // 2) % size - size // 2
    if field.is_repeated:
        getattr(inner, field.name).extend([value] * rng.choice((1, 3)))
    else:
        setattr(inner, field.name, value)
    return f"{field.name} = {value}"


def _places(said: message.Message) -> Iterator[tuple[message.Message, descriptor.FieldDescriptor]]:
    kinds = descriptor.FieldDescriptor
    whole = (kinds.CPPTYPE_INT32, kinds.CPPTYPE_INT64, kinds.CPPTYPE_UINT32, kinds.CPPTYPE_UINT64, kinds.CPPTYPE_ENUM)
    for field in said.DESCRIPTOR.fields:
        if field.cpp_type in whole:
            yield said, field
        elif field.cpp_type == kinds.CPPTYPE_MESSAGE:
            inner = getattr(said, field.name)
            for one in inner if field.is_repeated else [inner] if said.HasField(field.name) else []:
                yield from _places(one)


def record(path: pathlib.Path, rng: random.Random) -> str:
    """Writes records, one of which is said to have another length than it has."""
    lengths = [rng.randrange(40) for _ in range(4)]
    wrong = rng.randrange(4)
    content = b""
    for at, length in enumerate(lengths):
        said = rng.choice(_NUMBERS) % 2**64 if at == wrong else length
        head = struct.pack("<Q", said)
        body = rng.randbytes(length)
        content += head + struct.pack("<I", bundles.masked(head)) + body + struct.pack("<I", bundles.masked(body))
    path.write_bytes(content)
    return f"record {wrong} of {lengths} is said to have another length"
