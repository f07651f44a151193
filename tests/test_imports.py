"""Who may import whom: what holds the two steps, and the rooms of each, apart."""

import ast
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parent.parent
# What load_v2 may take from export_v1: messages, the way of a command, the graph's vocabulary, what is on disk.
SHARED = ("export_v1.errors", "export_v1.console", "export_v1.ir", "export_v1.format", "export_v1.private")
# Rooms and modules from the bottom up; each may import from those before it, and from itself.
LAYERS = {
    "export_v1": """errors private console ir format model request analysis passes legacy weights source interface
                    training planning proof artifact pipeline supervised api __main__""".split(),
    "load_v2": """errors private program layer supervised training scoring replay verification porting opening page commands beam
                mlserver spark ray __main__""".split(),
}


def _imports(file: pathlib.Path, root: pathlib.Path) -> Iterator[str]:
    """Yields the modules of this project that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                path = root.joinpath(*node.module.split("."), alias.name)
                yield (
                    f"{node.module}.{alias.name}" if path.is_dir() or path.with_suffix(".py").is_file() else node.module
                )


def _arrows(package: str, root: pathlib.Path = ROOT) -> Iterator[tuple[str, str]]:
    """Yields (module, imported module) for every import of the project in a package."""
    for file in sorted((root / package).rglob("*.py")):
        module = ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for imported in _imports(file, root):
            if imported.partition(".")[0] in LAYERS:
                yield module, imported


def _wrong_arrows(package: str, root: pathlib.Path = ROOT) -> list[str]:
    """Returns the imports of a package that the rules forbid, each as "module -> module"."""
    order = {room: at for at, room in enumerate(LAYERS[package])}
    wrong = []
    for module, imported in _arrows(package, root):
        if imported.partition(".")[0] != package:
            allowed = package == "load_v2" and (imported == "export_v1" or imported.startswith(SHARED))
        elif package in (module, imported):
            allowed = True
        else:
            allowed = order[imported.split(".")[1]] <= order[module.split(".")[1]]
        if not allowed:
            wrong.append(f"{module} -> {imported}")
    return wrong


@pytest.mark.parametrize("package", LAYERS)
def test_rooms_depend_downwards_only(package):
    assert _wrong_arrows(package) == []


@pytest.mark.parametrize(
    ("package", "file", "line"),
    [
        ("export_v1", "ir/graph.py", "from export_v1.passes import fold"),
        ("export_v1", "pipeline.py", "from load_v2 import errors"),
        ("load_v2", "layer/layer.py", "from export_v1.weights import restore"),
        ("load_v2", "layer/layer.py", "from load_v2.commands import show"),
        ("load_v2", "layer/layer.py", "    import export_v1.pipeline"),
    ],
)
def test_a_wrong_import_is_found(package, file, line, tmp_path):
    for room in (
        "export_v1/passes/fold",
        "export_v1/weights/restore",
        "load_v2/commands/show",
        f"{package}/{file[:-3]}",
    ):
        path = (tmp_path / room).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert _wrong_arrows(package, tmp_path) == []
    (tmp_path / package / file).write_text(f"if True:\n    {line.strip()}\n")
    assert len(_wrong_arrows(package, tmp_path)) == 1


def _loaded(code: str, env: dict[str, str]) -> set[str]:
    """Returns the names of the modules that a fresh process has loaded after `code`, whatever it exits with."""
    script = f"import atexit, sys\natexit.register(lambda: print('\\n'.join(['LOADED', *sys.modules])))\n{code}\n"
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert "LOADED\n" in done.stdout, done.stderr
    return set(done.stdout.partition("LOADED\n")[2].split("\n"))


HELP = {
    "export_v1": ["--help"],
    "export_v1, a wrong flag": ["--checkpoint=a"],
    "load_v2": ["--help"],
    **{
        f"load_v2 {name}": [name, "--help"]
        for name in ("show", "verify", "report", "predict", "to_keras", "rebuild", "port")
    },
}


@pytest.mark.parametrize("command", HELP)
def test_help_does_without_tensorflow(command, subprocess_env):
    package = command.split(",")[0].split()[0]
    code = f"sys.argv = [{package!r}, *{HELP[command]}]\nimport {package}.__main__ as command\ncommand.run_main()"
    # The way in of `python -m` is what tells load_v2 that it is a command.
    code = f"sys.argv[0] = '-m'\nimport {package}\n{code}"
    assert not {"tensorflow", "keras", "numpy"} & _loaded(code, subprocess_env)


@pytest.mark.parametrize("package", ["export_v1", "load_v2"])
def test_a_command_that_pip_has_installed_forks_before_tensorflow_is_there(package, tmp_path, subprocess_env):
    """TensorFlow's threads are not there in a process that was forked: it would wait for them for good."""
    script = tmp_path / package
    script.write_text(
        f"from {package}.__main__ import run_main\n"
        "import os, sys\n"
        "fork = os.fork\n"
        "os.fork = lambda: print(*sys.modules, sep='\\n') or fork()\n"
        "run_main()\n"
    )
    given = {"export_v1": ["there_is_no_checkpoint", "there"], "load_v2": ["verify", "there_is_no_export"]}[package]
    done = subprocess.run([sys.executable, script, *given], env=subprocess_env, capture_output=True, text=True)
    assert done.returncode == 1 and "there_is_no" in done.stderr
    assert not {"tensorflow", "keras"} & set(done.stdout.split("\n"))
    assert package in done.stdout.split("\n")


def test_what_both_steps_share_opens_no_session_and_needs_no_keras(subprocess_env):
    names = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for name in SHARED
        for file in [ROOT.joinpath(*name.split(".")).with_suffix(".py")]
        + [*ROOT.joinpath(*name.split(".")).rglob("*.py")]
        if file.is_file()
    ]
    loaded = _loaded("".join(f"import {name}\n" for name in names), subprocess_env)
    assert set(names) <= loaded
    assert not {"load_v2", "export_v1.weights.session", "export_v1.pipeline"} & loaded
    for name in names:
        source = ROOT.joinpath(*name.split("."))
        file = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
        assert "Session(" not in file.read_text(encoding="utf-8") and "import keras" not in file.read_text("utf-8"), (
            name
        )


def test_what_is_loaded_is_seen(subprocess_env):
    assert "numpy" in _loaded("import numpy\nsys.exit(3)", subprocess_env)


# What takes a file of a stranger's at its word, and the one module that may call it: after it has looked at the file.
ONE_PLACE = {
    "import_graph_def": "export_v1/ir/importing.py",
    "import_meta_graph": "export_v1/ir/importing.py",
    "NewCheckpointReader": "export_v1/format/checkpoints.py",
    "load_checkpoint": "export_v1/format/checkpoints.py",
    "load_variable": "export_v1/format/checkpoints.py",
}


def _called(file: pathlib.Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr


def test_what_takes_a_file_at_its_word_is_called_in_one_place():
    found = {
        (name, str(file.relative_to(ROOT)))
        for package in LAYERS
        for file in (ROOT / package).rglob("*.py")
        for name in _called(file)
        if name in ONE_PLACE
    }
    assert found == {(name, place) for name, place in ONE_PLACE.items() if name in {name for name, _ in found}}
    assert {"import_graph_def", "NewCheckpointReader"} <= {name for name, _ in found}


def _cycles(package: str, root: pathlib.Path = ROOT) -> list[list[str]]:
    """Returns the modules of a package that import each other, whatever is between them; each such set once."""
    below: dict[str, set[str]] = {}
    for module, imported in _arrows(package, root):
        below.setdefault(module, set()).add(imported)
    reached: dict[str, set[str]] = {}
    for module in below:
        todo = [*below[module]]
        reached[module] = set()
        while todo:
            name = todo.pop()
            if name not in reached[module]:
                reached[module].add(name)
                todo += below.get(name, ())
    knots = {
        tuple(sorted(other for other in reached[m] if m in reached.get(other, ()))) for m in below if m in reached[m]
    }
    return sorted(map(list, knots))


def test_no_modules_of_the_rebuild_import_each_other():
    assert [knot for knot in _cycles("load_v2") if knot[0].startswith("load_v2.opening")] == []


def test_modules_that_import_each_other_are_found(tmp_path):
    room = tmp_path / "load_v2" / "opening"
    room.mkdir(parents=True)
    for name, other in (("cover", "loops"), ("loops", "calls"), ("calls", "cover"), ("report", "cover")):
        (room / f"{name}.py").write_text(f"from load_v2.opening import {other}\n")
    assert _cycles("load_v2", tmp_path) == [[f"load_v2.opening.{name}" for name in ("calls", "cover", "loops")]]
