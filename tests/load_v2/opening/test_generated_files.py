"""The files in `fixtures/rebuilt` are what the code writes today; run as a module, this writes them anew."""

import importlib.util
import pathlib
import re
import subprocess
import sys
import tempfile

import pytest

from load_v2.opening import rebuilding
from tests.support import cases

FOLDER = cases.FOLDER / "rebuilt"
# File -> the golden case that it is written from.
FILES = {"residual_net": "slim_contrib_net", "bert": "bert_tiny", "bidirectional_lstm": "port_lstm_cells"}


@pytest.mark.parametrize("name", FILES)
def test_a_generated_file_is_what_the_code_writes(name, exported):
    assert rebuilding.plan(exported(FILES[name])).source == (FOLDER / f"{name}.py").read_text()


@pytest.mark.parametrize("name", FILES)
def test_a_generated_file_is_laid_out_as_people_do(name):
    lines = (FOLDER / f"{name}.py").read_text().splitlines()
    assert max(map(len, lines)) <= 120
    assert not [line for line in lines if line != line.rstrip()]
    assert not re.search(r"\bimport (?!keras|numpy as np|layers)", "\n".join(lines))


def test_the_front_page_shows_lines_of_a_generated_file():
    page = (cases.FOLDER.parent / "README.md").read_text()
    name, lines = re.search(r"<!-- fixtures/rebuilt/(\w+)\.py -->\n```python\n(.*?)```", page, re.DOTALL).groups()
    assert lines in (FOLDER / f"{name}.py").read_text()


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed")
def test_the_generated_files_are_lint_clean():
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length=120", "--select=E,F,I,B,UP"]
    found = subprocess.run([*command, FOLDER], capture_output=True, text=True)
    assert not found.returncode, found.stdout


def write() -> None:
    """Writes the files anew."""
    import export_v1

    for name, case in FILES.items():
        folder = pathlib.Path(tempfile.mkdtemp()) / "1"
        export_v1.export(export_dir=str(folder), **cases.load(case).flags())
        (FOLDER / f"{name}.py").write_text(rebuilding.plan(folder).source)


if __name__ == "__main__":
    write()
