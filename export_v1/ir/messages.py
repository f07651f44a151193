"""Protocol buffer messages that TensorFlow 1 wrote and TensorFlow 2 has no classes for."""

import functools
from collections.abc import Mapping, Sequence

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

# Message -> (number, name, type) of each field. A type is a scalar one, "bytes" and the like, or a message of the same
# description, and has "repeated " before it where there may be several. An enum is an int32.
Description = Mapping[str, Sequence[tuple[int, str, str]]]

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    name: getattr(_FIELD, f"TYPE_{name.upper()}")
    for name in ("string", "bytes", "bool", "float", "double", "int32", "int64", "uint32")
}


class Schema:
    """Some messages, or as much of them as is of interest: other fields are read, and passed over.

    Args:
        package: their package.
        description: see `Description`.
    """

    def __init__(self, package: str, description: Description):
        self._package = package
        self._description = description

    def parse(self, name: str, content: bytes):
        """Returns the message of a name that bytes hold.

        Raises:
            ValueError: they hold no such message.
        """
        message = self.classes[name]()
        try:
            message.ParseFromString(content)
        except DecodeError as error:
            raise ValueError(f"its {name} cannot be read: {error}") from error
        return message

    @functools.cached_property
    def classes(self) -> Mapping[str, type]:
        """The class of each message, by name."""
        # A pool of its own: a library that brings the real messages must not meet these.
        pool = descriptor_pool.DescriptorPool()
        file = descriptor_pb2.FileDescriptorProto(name=f"{self._package}.proto", package=self._package, syntax="proto3")
        for name, fields in self._description.items():
            message = file.message_type.add(name=name)
            for number, key, kind in fields:
                repeated, kind = kind.startswith("repeated "), kind.removeprefix("repeated ")
                field = message.field.add(number=number, name=key)
                field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
                field.type = _SCALARS.get(kind, _FIELD.TYPE_MESSAGE)
                if kind not in _SCALARS:
                    field.type_name = f".{self._package}.{kind}"
        pool.Add(file)
        full_names = {name: f"{self._package}.{name}" for name in self._description}
        return {
            name: message_factory.GetMessageClass(pool.FindMessageTypeByName(full_name))
            for name, full_name in full_names.items()
        }
