"""What a signal leaves behind: one message, the right exit status, and nothing half-written."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from export_v1.console import supervise
from tests.support import cases

# The command, held where a folder has just been made or the export is written, until a signal comes.
HELD = """
import signal, sys
# Whoever runs the tests in the background may have these ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from absl import app
from export_v1 import __main__ as command
from export_v1.artifact import destination
from export_v1.console import unfinished
module = destination if hasattr(destination, {function!r}) else unfinished
function = getattr(module, {function!r})
def held(*args):
    function(*args)
    print("held", flush=True)
    while True:
        pass
setattr(module, {function!r}, held)
app.run(command._supervised)
"""


@pytest.mark.parametrize("function", ["_made", "sync_all"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_cleans_up(number, function, tmp_path, subprocess_env):
    checkpoint = cases.load("mlp_layers").folder / "model.ckpt-3"
    flags = [f"--checkpoint={checkpoint}", "--input=x=x:0", "--output=probs=probs:0", f"--export_dir={tmp_path}/target"]
    process = subprocess.Popen(
        [sys.executable, "-c", HELD.format(function=function), *flags], env=subprocess_env, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n", process.communicate()[1]
    assert len(list(tmp_path.glob(".target.partial-*"))) == 1
    # The terminal sends Ctrl-C to all processes of a command.
    os.killpg(process.pid, number) if number == signal.SIGINT else os.kill(process.pid, number)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "interrupted" in said and "Traceback" not in said
    assert os.listdir(tmp_path) == []


def test_a_signal_that_is_ignored_stays_ignored(subprocess_env):
    """As under nohup: the terminal goes away, and the work goes on."""
    code = """
import os, signal, sys, time
from export_v1.console import supervise
signal.signal(signal.SIGHUP, signal.SIG_IGN)
def main():
    with supervise.interruptible():
        print("ready", flush=True)
        sys.stdin.readline()
    return 7
sys.exit(supervise.supervised(main, "command"))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=subprocess_env, start_new_session=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGHUP)
    assert process.communicate("go on\n") == ("", "") and process.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_after_the_last_rename_does_not_deny_what_was_written(number, tmp_path, subprocess_env):
    checkpoint = cases.load("mlp_layers").folder / "model.ckpt-3"
    flags = [f"--checkpoint={checkpoint}", "--input=x=x:0", "--output=probs=probs:0", f"--export_dir={tmp_path}/target"]
    process = subprocess.Popen(
        [sys.executable, "-c", HELD.format(function="_publish"), *flags], env=subprocess_env, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n", process.communicate()[1]
    if number == signal.SIGKILL:
        # The process that works, not the one that waits for it.
        [child] = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), number)
    else:
        os.kill(process.pid, number)
    _, said = process.communicate()
    assert process.returncode in (1, 130), said
    assert f"'{tmp_path}/target' had been written before, and is whole" in said and "nothing was" not in said
    assert os.listdir(tmp_path) == ["target"] and (tmp_path / "target" / "saved_model.pb").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_interrupt_that_c_code_makes_another_error_of_is_one_all_the_same(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        with supervise.interruptible():
            try:
                os.kill(os.getpid(), number)
            except KeyboardInterrupt as interrupt:
                raise RuntimeError("InvalidArgumentError REPLACED BY KeyboardInterrupt") from interrupt
    assert signal.getsignal(number) == before
    with pytest.raises(RuntimeError, match="by itself"):
        with supervise.interruptible():
            raise RuntimeError("by itself")


def test_a_signal_that_comes_when_the_work_is_done_changes_nothing(subprocess_env):
    code = """
import os, signal, sys
from export_v1.console import supervise
wait = os.waitpid
def waited(*args):
    found = wait(*args)
    os.kill(os.getpid(), signal.SIGTERM)
    return found
os.waitpid = waited
sys.exit(supervise.supervised(lambda: 7, "command"))
"""
    done = subprocess.run([sys.executable, "-c", code], env=subprocess_env, capture_output=True, text=True)
    assert done.returncode == 7 and "Traceback" not in done.stderr


@pytest.mark.parametrize("code, cleared", [(0, ""), (1, "cleared\n"), (130, "cleared\n")])
def test_what_a_command_that_fails_has_left_is_cleared_away(code, cleared, subprocess_env):
    script = (
        "import sys; from export_v1.console import supervise\n"
        f"sys.exit(supervise.supervised(lambda: {code}, 'command', lambda: print('cleared')))"
    )
    done = subprocess.run([sys.executable, "-c", script], env=subprocess_env, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, cleared)
