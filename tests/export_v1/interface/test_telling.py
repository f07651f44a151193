"""telling: what was chosen before an error is in its message."""

import pytest

from export_v1 import errors
from export_v1.interface import Choice, telling


def _fail(*choices):
    with telling() as told:
        told.extend(choices)
        raise errors.ExportError("It does not fit.\n  Pass --sample=FILE.npz.")


def test_choices_follow_the_message_one_line_each_and_once():
    with pytest.raises(errors.ExportError) as caught:
        _fail(Choice("output 'y' is y:0", "nothing reads it"), Choice("a is frozen to 1", "that is its default"),
              Choice("a is frozen to 1", "that is its default"))  # fmt: skip
    assert str(caught.value).splitlines() == [
        "It does not fit.",
        "  Pass --sample=FILE.npz.",
        "  Chosen before this:",
        "    output 'y' is y:0 (nothing reads it)",
        "    a is frozen to 1 (that is its default)",
    ]


def test_an_error_without_choices_stays_as_it_is():
    with pytest.raises(errors.ExportError) as caught:
        _fail()
    assert "Chosen" not in str(caught.value)


def test_an_error_that_tells_them_already_is_not_told_again():
    with pytest.raises(errors.ExportError) as caught, telling() as told:
        told.append(Choice("outer", "why"))
        _fail(Choice("inner", "why"))
    assert str(caught.value).count("Chosen before this") == 1 and "outer" not in str(caught.value)


def test_no_other_error_is_touched():
    with pytest.raises(KeyError), telling() as told:
        told.append(Choice("what", "why"))
        raise KeyError("x")
