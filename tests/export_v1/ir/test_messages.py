"""Messages of TensorFlow 1 that TensorFlow 2 has no classes for."""

import pytest
from google.protobuf import wrappers_pb2

from export_v1.ir import messages


def test_bytes_are_read_as_described_and_unknown_fields_passed_over():
    schema = messages.Schema(
        "some.package",
        {"Outer": [(1, "inner", "Inner"), (3, "values", "repeated float")], "Inner": [(1, "value", "int64")]},
    )
    # Field 2 is unknown; packed floats 1 and -2; an inner message, which is as Int64Value is.
    inner = wrappers_pb2.Int64Value(value=-7).SerializeToString()
    content = b"\x10\x05" + b"\x1a\x08" + b"\x00\x00\x80\x3f\x00\x00\x00\xc0" + b"\x0a" + bytes([len(inner)]) + inner
    outer = schema.parse("Outer", content)
    assert outer.inner.value == -7 and list(outer.values) == [1.0, -2.0]
    assert not schema.parse("Outer", b"").HasField("inner")


def test_two_descriptions_of_one_package_do_not_meet():
    first, second = (
        messages.Schema("one.package", {"M": [(1, "x", kind)]}).classes["M"] for kind in ("int32", "string")
    )
    assert first(x=1).SerializeToString() == b"\x08\x01" and second(x="a").SerializeToString() == b"\x0a\x01a"


def test_bytes_that_are_no_message_are_told():
    with pytest.raises(ValueError, match="its M cannot be read"):
        messages.Schema("one.package", {"M": [(1, "x", "string")]}).parse("M", b"\x0a\x05a")
