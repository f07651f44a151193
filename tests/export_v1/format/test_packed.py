"""Archives that were made to do harm."""

import itertools

import pytest

from export_v1 import errors
from export_v1.format import packed


def _check(path, members):
    packed.check(path, members, errors.ExportError, "Remedy.")


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([("a", 2**30), ("b", 1)], "is 3 bytes and would be more than 1,073,741,824"),
        (itertools.repeat(("a", 2**20)), "would be more than 1,073,741,824"),
        (itertools.repeat(("a", 0)), "has more than 100,000 members"),
        ([("a/" * 101 + "b", 0)], "a member 101 folders deep"),
    ],
    ids=["large", "without end, large", "without end, empty", "deep"],
)
def test_it_is_refused_at_the_first_member_that_is_too_much(members, told, tmp_path):
    (tmp_path / "m.zip").write_bytes(b"zip")
    with pytest.raises(errors.ExportError, match=f"(?s){told}.*Remedy"):
        _check(tmp_path / "m.zip", members)


def test_what_is_large_of_itself_is_not(tmp_path):
    with open(tmp_path / "m.zip", "wb") as file:
        file.truncate(2**24)
    _check(tmp_path / "m.zip", [("a/b", 2**31), ("c", 2**30)])
