"""Help: one style, grouped, wrapped at whatever the terminal has, and nothing in it that reads as a bug."""

import shlex
import textwrap

import pytest

from export_v1 import __main__ as step_1
from export_v1.console import helping
from load_v2 import __main__ as step_2
from load_v2.beam import command as on_beam

_COMMANDS = ("show", "verify", "report", "predict", "to_keras", "rebuild", "port")


def _help(name: str, columns: int, monkeypatch, capsys) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    if name == "export_v1":
        return step_1.help_text()
    if name == "beam":
        return on_beam.parser().format_help()
    with pytest.raises(SystemExit) as caught:
        step_2.parse(["load_v2", *name.split()[1:], "--help"])
    assert caught.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("name", ["export_v1", "load_v2", "beam", *(f"load_v2 {name}" for name in _COMMANDS)])
def test_help_is_of_one_style_and_stays_within_the_terminal(name, columns, monkeypatch, capsys):
    page = _help(name, columns, monkeypatch, capsys)
    lines = page.splitlines()
    assert lines[0].startswith("Usage: python -m ") and "Examples:" in lines and "Other flags:" in lines
    for line in lines:
        # A word that is wider than the page cannot be broken.
        assert len(line) <= columns or len(line.removesuffix(" \\").split()) == 1, line
    for bug in ("[no]", "--no_no", " None ", "; default '", ".;", "..", "('", "default serving"):
        assert bug not in page, bug
    for entry in textwrap.dedent(page).split("\n  --")[1:]:
        flag, _, meaning = entry.partition("\n")
        assert "".join(meaning.split("\n\n")[0].split())[-1] in ".…", f"--{flag} has a meaning that is no sentence"


def test_every_flag_that_takes_a_value_says_what_happens_without_it(monkeypatch, capsys):
    # Those that have to be given have no default.
    for name in ("load_v2 predict", "load_v2 to_keras", "load_v2 rebuild", "load_v2 port", "beam"):
        page = _help(name, 80, monkeypatch, capsys)
        usage = page.partition("Examples:")[0]
        for entry in page.split("\n  --")[1:]:
            words = " ".join(entry.split())
            flag = words.split()[0].partition("=")[0]
            if "=" in words.split()[0] and f"--{flag}=" not in usage:
                assert (
                    "default:" in words or "too" in words or flag in ("code", "weights", "keras", "suggest", "rules")
                ), words


def test_a_broken_example_is_what_a_shell_takes_as_one_command():
    example = "python -m export_v1 model.ckpt-1000 export/1 --input=x=images:0 --freeze=is_training:0=false"
    page = helping.text("x", "What it does.", [example], {}, 40)
    pasted = textwrap.dedent(page.partition("Examples:\n")[2])
    # Each line but the last tells the shell that it goes on.
    assert all(line.endswith(" \\") for line in pasted.splitlines()[:-1])
    assert pasted.count("\n") >= 2 and shlex.split(pasted.replace("\\\n", "")) == example.split()


def test_a_narrow_terminal_is_taken_as_it_is_and_a_wide_one_is_not_filled(monkeypatch):
    for columns, expected in ((40, 40), (80, 80), (300, 100), (3, 20)):
        monkeypatch.setenv("COLUMNS", str(columns))
        assert helping.width() == expected
