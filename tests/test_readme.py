"""The pages that say how to use and change the project: short enough, and true where that can be checked."""

import pathlib
import re

import pytest

from export_v1 import __main__ as step_1
from export_v1.console import flags

ROOT = pathlib.Path(__file__).parent.parent
PAGES = (
    "README.md",
    "export_v1/README.md",
    "load_v2/README.md",
    "tests/README.md",
    "fixtures/README.md",
    ".github/ARCHITECTURE.md",
    ".github/CONTRIBUTING.md",
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def _anchors(text: str) -> set[str]:
    """Returns the anchors that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken(page: str, text: str) -> list[str]:
    """Returns the links of a page that lead nowhere."""
    broken = []
    for link in _LINK.findall(_CODE.sub("", text)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.is_file() or (anchor and anchor not in _anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


def _tables(text: str) -> list[str]:
    """Returns the lines of the flag tables in a page."""
    (tables,) = re.findall(r"^<!-- flags -->\n(.*?)^<!-- /flags -->$", text, re.DOTALL | re.MULTILINE)
    return tables.strip("\n").splitlines()


def _rooms(package: str) -> list[str]:
    return sorted(str(path.parent.relative_to(ROOT)) for path in (ROOT / package).glob("*/__init__.py"))


def test_the_front_page_is_short():
    assert len(_text("README.md").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    assert _broken(page, _text(page)) == []


def test_a_link_that_leads_nowhere_is_noticed():
    links = "[a](gone.md) [b](export_v1/README.md#gone) [c](#gone) [d](export_v1/README.md#flags) `[e](code.md)`"
    assert _broken("README.md", links) == ["gone.md", "export_v1/README.md#gone", "#gone"]


@pytest.mark.parametrize("page", ["export_v1/README.md", "load_v2/README.md", "tests/README.md"])
def test_every_page_can_be_reached_from_the_front_page(page):
    assert f"]({page})" in _text("README.md")


def test_the_map_can_be_reached_from_the_front_page():
    assert "](.github/ARCHITECTURE.md)" in _text("README.md")


def test_the_flag_tables_are_current():
    assert _tables(_text("export_v1/README.md")) == flags.markdown(step_1.FLAGS).strip("\n").splitlines()


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_is_there(page):
    # Capitals stand for a name to be chosen.
    named = re.findall(r"\b(?:export_v1|load_v2|tests|fixtures)/[a-z0-9_/]+\.(?:py|toml|md)\b", _text(page))
    assert [path for path in dict.fromkeys(named) if not (ROOT / path).is_file()] == []


def test_the_test_command_is_where_ci_looks_for_it():
    lines = _text("README.md").splitlines()
    command = lines[lines.index("<!-- test command -->") + 2]
    assert command.startswith("python3 -m venv .venv && ") and " -m pytest" in command


@pytest.mark.parametrize("room", [*_rooms("export_v1"), *_rooms("load_v2")])
def test_the_map_has_every_room(room):
    package, name = room.split("/")
    text = _text(".github/ARCHITECTURE.md")
    start = text.index(f"## The rooms of `{package}`")
    assert f"**`{name}/`**" in text[start : text.index("\n## ", start + 1)]
