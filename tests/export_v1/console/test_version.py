"""`--version` of both commands: one line, without TensorFlow."""

import importlib.metadata
import subprocess
import sys

import pytest

from export_v1.console import version


@pytest.mark.parametrize(
    "arguments", [["export_v1", "--version"], ["load_v2", "--version"], ["load_v2", "port", "--version"]]
)
def test_versions_are_those_that_are_installed(arguments, subprocess_env):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *arguments], capture_output=True, text=True, env=subprocess_env
    )
    assert done.returncode == 0 and done.stdout == version.text() + "\n"
    assert f"tensorflow {importlib.metadata.version('tensorflow')}" in done.stdout
    assert not any(line.endswith("| tensorflow") for line in done.stderr.splitlines())


def test_what_is_not_installed_is_said(monkeypatch):
    monkeypatch.setattr(version, "_NAME", "no-such-package-here")
    assert version.text().startswith("no-such-package-here (not installed); ")
