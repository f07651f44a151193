"""The lists of changes, and whether each still fits the code."""

import ast
import fnmatch
import importlib
import pathlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence

from tests import mutants
from tests.mutants.change import Change


def every() -> dict[str, tuple[Change, ...]]:
    """Returns name -> changes: the CHANGES of each module beside this one."""
    found = {}
    for module in pkgutil.iter_modules(mutants.__path__):
        if module.name.startswith("_"):
            continue
        changes = getattr(importlib.import_module(f"{mutants.__name__}.{module.name}"), "CHANGES", ())
        if changes:
            found[module.name] = tuple(changes)
    return found


def chosen(patterns: Sequence[str], lists: Mapping[str, Iterable[Change]]) -> dict[str, tuple[Change, ...]]:
    """Returns what the patterns say: names of lists, files, or folders; `*` stands for anything; no pattern for all."""
    found = {}
    for name, changes in lists.items():
        fitting = tuple(change for change in changes if not patterns or _fits(name, change.file, patterns))
        if fitting:
            found[name] = fitting
    return found


def _fits(name: str, file: str, patterns: Sequence[str]) -> bool:
    wanted = [name, file, pathlib.PurePath(file).name, *map(str, pathlib.PurePath(file).parents)]
    return any(fnmatch.fnmatch(one, pattern.rstrip("/")) for one in wanted for pattern in patterns)


def problem(change: Change, root: pathlib.Path) -> str:
    """Returns why a change does not apply to the tree at `root`; "" where it does."""
    path = root / change.file
    if not path.is_file():
        return "there is no such file"
    times = path.read_text().count(change.before) if change.before else 0
    if times != 1:
        return f"its text is there {times} times"
    if change.before == change.after:
        return "it changes nothing"
    if not change.tests:
        return "it names no tests"
    missing = [test for test in change.tests if not (root / test.partition("::")[0]).is_file()]
    if missing:
        return f"there is no {missing[0]}"
    try:
        ast.parse(changed(change, root))
    except SyntaxError as error:
        return f"the result is no Python: {error}"
    return ""


def changed(change: Change, root: pathlib.Path) -> str:
    """Returns the file's text with the change made."""
    return (root / change.file).read_text().replace(change.before, change.after)


def line(change: Change, root: pathlib.Path) -> int:
    """Returns the number of the line where the change begins; 0 where it does not apply."""
    path = root / change.file
    before, found, _ = path.read_text().partition(change.before) if path.is_file() else ("", "", "")
    return before.count("\n") + 1 if found else 0
