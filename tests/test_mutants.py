"""Changes made on purpose: each list fits the code, and the runner tells those that tests notice from those that stay."""

import collections
import json
import pathlib
import subprocess
import sys

import pytest

from tests.mutants import __main__ as command
from tests.mutants import lists, running
from tests.mutants.change import Change

ROOT = pathlib.Path(__file__).parent.parent

TREE = {
    "thing/__init__.py": "",
    "thing/sums.py": "def add(a, b):\n    return a + b\n\n\ndef twice(a):\n    return a * 2\n",
    "tests/__init__.py": "",
    "tests/test_sums.py": "from thing import sums\n\n\ndef test_add():\n    assert sums.add(1, 2) == 3\n",
    # What a test starts has to see the change as well.
    "tests/test_started.py": "import subprocess, sys\n\n\ndef test_started():\n"
    "    subprocess.run([sys.executable, '-c', 'from thing import sums; assert sums.twice(3) == 6'], check=True)\n",
    "tests/test_red.py": "def test_green():\n    pass\n\n\ndef test_red():\n    assert False\n",
    "tests/test_broken.py": "import nothing_of_that_name\n",
}


def _change(before: str, after: str, *tests: str) -> Change:
    return Change("thing/sums.py", before, after, tests)


# What became of each, and a part of what is said about it.
CHANGES = {
    _change("a + b", "a - b", "tests/test_sums.py"): (running.NOTICED, "tests/test_sums.py::test_add"),
    _change("a * 2", "a * 3", "tests/test_sums.py"): (running.SURVIVED, "pass"),
    _change("a * 2", "a * 4", "tests/test_sums.py", "tests/test_started.py"): (running.NOTICED, "test_started"),
    _change("return a + b", "import os; os._exit(0)", "tests/test_sums.py"): (running.NOTICED, "ends"),
    _change("return a + b", "while True: pass", "tests/test_sums.py"): (running.NOTICED, "times out"),
    _change("def add", "def plus", "tests/test_sums.py::test_add"): (running.NOTICED, "test_add"),
    _change("a + b", "b - a", "tests/test_red.py"): (running.UNPROVEN, ""),
    _change("a + b", "b", "tests/test_broken.py"): (running.UNPROVEN, ""),
    _change("a + b", "a", "tests/test_sums.py::test_other"): (running.UNPROVEN, ""),
    _change("a * 2", "2", "tests/test_red.py::test_green"): (running.SURVIVED, "pass"),
    _change("a / b", "a", "tests/test_sums.py"): (running.MISFIT, "0 times"),
    _change("return", "yield", "tests/test_sums.py"): (running.MISFIT, "2 times"),
    _change("a + b", "a + b", "tests/test_sums.py"): (running.MISFIT, "nothing"),
    _change("a + b", "a +", "tests/test_sums.py"): (running.MISFIT, "no Python"),
    _change("a + b", "a", "tests/test_gone.py"): (running.MISFIT, "test_gone.py"),
    _change("a + b", "a"): (running.MISFIT, "no tests"),
    Change("thing/gone.py", "a", "b", ("tests/test_sums.py",)): (running.MISFIT, "no such file"),
}

# A process that has run TensorFlow cannot be forked safely, and this one may have.
RUN = """
import json, pathlib, sys
from tests import test_mutants
from tests.mutants import running
root = pathlib.Path(sys.argv[1])
running.preload(["pytest", "hypothesis"])
before = running.unchanged(test_mutants.CHANGES, root, jobs=2, seconds=2)
found = [(list(test_mutants.CHANGES).index(result.change), result.kind, result.said)
         for result in running.run(list(test_mutants.CHANGES), root, before, jobs=2, seconds=2)]
print(json.dumps([sorted(before.failing), found]))
"""


@pytest.fixture
def tree(tmp_path):
    for name, text in TREE.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tree"


def test_the_runner_tells_them_apart(tree, subprocess_env):
    done = subprocess.run([sys.executable, "-c", RUN, tree], capture_output=True, text=True, env=subprocess_env)
    assert done.returncode == 0, done.stderr
    failing, found = json.loads(done.stdout)
    assert failing == ["tests/test_broken.py", "tests/test_red.py::test_red"]
    assert sorted(number for number, *_ in found) == list(range(len(CHANGES)))
    for number, kind, said in found:
        change, (wanted, part) = list(CHANGES.items())[number]
        assert kind == wanted and part in said, f"{change}: {kind}, {said}"
    assert {name: (tree / name).read_text() for name in TREE} == TREE


@pytest.mark.parametrize("repository", [True, False])
def test_what_is_copied(repository, tree, tmp_path):
    (tree / ".gitignore").write_text("*.log\n")
    (tree / "run.log").write_text("long")
    (tree / "thing" / "__pycache__").mkdir()
    if repository:
        subprocess.run(["git", "init", "--quiet", tree], check=True)
        subprocess.run(["git", "-C", tree, "add", "thing", "tests/test_red.py"], check=True)
        (tree / "tests" / "test_red.py").unlink()
    copy = running._copied(tree, tmp_path / "copy")
    found = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert found == {*TREE, ".gitignore"} - {"tests/test_red.py"} if repository else {*TREE, "run.log"}
    assert not (copy / "thing" / "__pycache__").exists()


def test_every_change_still_applies():
    known = lists.every()
    changes = [change for found in known.values() for change in found]
    wrong = [f"{command.shown(change, ROOT)}: {lists.problem(change, ROOT)}" for change in changes]
    assert not [text for text in wrong if not text.endswith(": ")]
    times = collections.Counter((change.file, change.before, change.after) for change in changes)
    assert not [change for change, count in times.items() if count > 1]


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ([], ["one", "two"]),
        (["two"], ["two"]),
        (["b.py"], ["two"]),
        (["pack"], ["one", "two"]),
        (["pack/deep/"], ["two"]),
        (["pack/*"], ["one", "two"]),
        (["three", "o*"], ["one"]),
        (["three"], []),
    ],
)
def test_patterns(patterns, names):
    known = {"one": (Change("pack/a.py", "a", "b", ()),), "two": (Change("pack/deep/b.py", "a", "b", ()),)}
    assert list(lists.chosen(patterns, known)) == names


def _summary(kinds: list[str]) -> tuple[str, bool]:
    changes = [_change("a + b", str(number), "tests/test_sums.py") for number, _ in enumerate(kinds)]
    results = [running.Result(change, kind, "") for change, kind in zip(changes, kinds, strict=True)]
    return command.summary({"first": changes[:1], "rest": changes[1:]}, results, ROOT)


def test_closing_lines():
    text, good = _summary([running.NOTICED, running.NOTICED, running.SURVIVED])
    assert text.splitlines()[:3] == [
        "first: 1 of 1 noticed",
        "rest: 1 of 2 noticed, 1 SURVIVED",
        "in all: 2 of 3 noticed, 1 SURVIVED",
    ]
    assert "SURVIVED: thing/sums.py" in text and "'a + b' -> '2'" in text
    assert not good


@pytest.mark.parametrize(
    ("others", "good"),
    [
        ([], True),
        ([running.SURVIVED], True),
        ([running.SURVIVED] * 2, False),
        ([running.MISFIT], False),
        ([running.UNPROVEN], False),
    ],
)
def test_one_in_ten_may_survive(others, good):
    assert _summary([running.NOTICED] * 9 + others)[1] is good


def test_the_command(monkeypatch, capsys):
    change = Change("tests/conftest.py", "import cases", "import faults", ("tests/test_faults.py",), "why not")
    monkeypatch.setattr(lists, "every", lambda: {"one": (change,)})
    assert command.main(["--list"]) == 0
    assert capsys.readouterr().out.startswith("tests/conftest.py:")
    with pytest.raises(SystemExit):
        command.main(["two"])
    assert "the lists are: one" in capsys.readouterr().err

    monkeypatch.setattr(command, "PRELOADED", ())
    for failing, kind, code in [({}, running.NOTICED, 0), ({"x": ""}, running.NOTICED, 1), ({}, running.SURVIVED, 1)]:
        monkeypatch.setattr(running, "unchanged", lambda *_, failing=failing: running.Unchanged(failing, frozenset()))
        monkeypatch.setattr(running, "run", lambda *_, kind=kind: [running.Result(change, kind, "said")])
        assert command.main([]) == code
        assert f"{kind}: tests/conftest.py" in capsys.readouterr().out
