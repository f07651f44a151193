"""Commands whose reader has seen enough end without a word."""

import subprocess
import sys

import pytest

from tests.support import cases


@pytest.mark.parametrize("command", ["show", "--list"])
def test_a_reader_that_goes_away_is_no_defect(command, exported, subprocess_env):
    case = cases.load("mlp_layers")
    listing = ["export_v1", f"--checkpoint={case.folder / case.config['checkpoint']}", "--list"]
    arguments = listing if command == "--list" else ["load_v2", "show", str(exported("mlp_layers"))]
    with subprocess.Popen(
        [sys.executable, "-m", *arguments], env=subprocess_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
