"""Protocol buffer messages that TensorFlow 1 wrote and TensorFlow 2 has no classes for."""

from collections.abc import Mapping, Sequence

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# Message -> (number, name, type) of each field. A type is a scalar one, "bytes" and the like, or a message of the same
# description, and has "repeated " before it where there may be several. An enum is an int32.
Description = Mapping[str, Sequence[tuple[int, str, str]]]

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    name: getattr(_FIELD, f"TYPE_{name.upper()}")
    for name in ("string", "bytes", "bool", "float", "double", "int32", "int64", "uint32")
}


def classes(package: str, description: Description) -> dict[str, type]:
    """Returns the class of each message, by name.

    Fields that the description leaves out are unknown fields: they are read, and ignored.

    Args:
        package: their package, which only messages inside an Any are told by.
        description: see `Description`.
    """
    # A pool of its own: a library that brings the real messages must not meet these.
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in description.items():
        message = file.message_type.add(name=name)
        for number, key, kind in fields:
            repeated, kind = kind.startswith("repeated "), kind.removeprefix("repeated ")
            field = message.field.add(number=number, name=key)
            field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            field.type = _SCALARS.get(kind, _FIELD.TYPE_MESSAGE)
            if kind not in _SCALARS:
                field.type_name = f".{package}.{kind}"
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in description
    }
