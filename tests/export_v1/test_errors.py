"""Messages."""

import pytest

from export_v1 import errors


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one\ntwo", "one"),
        ("", "ValueError"),
        ("stack\nincompatible shapes\n[[{{node a/b}}]] more\nrest", "incompatible shapes [[{{node a/b}}]]"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_a_reason_is_one_line_with_the_node(text, message):
    assert errors.reason(ValueError(text)) == message
