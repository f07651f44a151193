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


def test_a_path_that_is_not_there_has_its_nearest_or_what_its_folder_holds(tmp_path, monkeypatch):
    (tmp_path / "models" / "1").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert "\n  Closest: 'models/1'." in str(errors.no_path("folder", "model/1"))
    assert "\n  Closest: 'models'." in str(errors.no_path("folder", "modls/7"))
    assert "\n  Folder 'models' holds: '1'.\n  Do." in str(errors.no_path("folder", "models/7", "Do."))
    assert "\n  Folder 'models/1' holds: nothing." in str(errors.no_path("folder", f"models/1/{'x' * 9}"))
    assert str(errors.no_path("model", "")).startswith("There is no model ''.")
    assert "There is no folder '/nowhere/a'." in str(errors.no_path("folder", "/nowhere/a"))
