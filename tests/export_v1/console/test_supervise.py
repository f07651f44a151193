"""console.supervise and load_v2.errors: a command's process and its messages. Nothing here needs TensorFlow."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from export_v1.console import supervise
from load_v2 import LoadError, errors

# While Python looks for the module to run, `load_v2` imports no TensorFlow.
PREAMBLE = "import sys; sys.argv = ['-m']; import os, signal, atexit; from export_v1.console import supervise\n"


def _run(code: str, env, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", PREAMBLE + code]
    return subprocess.run(command, env=env, capture_output=True, text=True, **options)


@pytest.mark.parametrize("code", [0, 1, 3])
def test_the_exit_code_is_that_of_the_command(code, subprocess_env):
    done = _run(f"sys.exit(supervise.supervised(lambda: {code}, 'command'))", subprocess_env)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_exit_handlers_run_and_what_was_printed_is_out(subprocess_env):
    code = """
def main():
    atexit.register(lambda: print('swept'))
    print('answer')
    return 0
print('before')
sys.exit(supervise.supervised(main, 'command'))
"""
    done = _run(code, subprocess_env)
    assert done.stdout.split() == ["before", "answer", "swept"] and done.returncode == 0


@pytest.mark.parametrize(
    ("number", "why"),
    [("SIGKILL", "memory"), ("SIGXFSZ", "ulimit -f"), ("SIGXCPU", "ulimit -t"), ("SIGSEGV", "damaged")],
)
def test_a_signal_that_ends_the_command_is_one_message(number, why, subprocess_env):
    die = f"lambda: os.kill(os.getpid(), signal.{number})"
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for one in (signal.SIGXFSZ, signal.SIGXCPU):
    signal.signal(one, signal.SIG_DFL)
sys.exit(supervise.supervised({die}, 'load_v2 show'))
"""
    done = _run(code, subprocess_env)
    assert done.returncode == 1 and done.stderr.startswith("load_v2 show: ")
    assert number in done.stderr and why in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_handed_on_to_the_command(number, subprocess_env):
    code = """
def main():
    try:
        with supervise.interruptible():
            print('ready', flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print('cleaned', flush=True)
        return 7
sys.exit(supervise.supervised(main, 'command'))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code], env=subprocess_env, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        # The parent may not wait yet; it has its handlers once it ignores Ctrl-C.
        while not _ignores(process.pid, signal.SIGINT):
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, number)
        assert process.communicate(timeout=20)[0] == "cleaned\n" and process.returncode == 7
    finally:
        process.kill()


def _ignores(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/status") as stream:
        mask = next(line for line in stream if line.startswith("SigIgn")).split()[1]
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_interrupt_a_block_and_no_more(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), supervise.interruptible():
        assert signal.getsignal(number) is not before
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_in_another_thread_signals_stay_as_they_are():
    seen, before = [], signal.getsignal(signal.SIGTERM)

    def work():
        with supervise.interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before] and signal.getsignal(signal.SIGTERM) is before


def test_names_are_sorted_quoted_and_cut():
    assert errors.quoted(["b", "a"]) == "'a', 'b'"
    assert errors.quoted(["b", "a", "c"], limit=2) == "'a', 'b', …"
    assert errors.quoted(str(at) for at in range(10)).endswith("'9'")
    assert errors.quoted(str(at) for at in range(11)).endswith("…")


def test_close_names_come_best_first_and_by_their_last_part():
    assert errors.closest("logit:0", ["loss:0", "logits:0", "x:0"]) == ["logits:0", "loss:0"]
    assert errors.closest("kernel", ["tower_1/deep/Kernel", "far/away"]) == ["tower_1/deep/Kernel"]
    assert len(errors.closest("aa", [f"aa{at}" for at in range(9)])) == 3
    assert len(errors.closest("aa", [f"{at}/aa" for at in range(9)], limit=2)) == 2
    assert errors.closest("x", ["something"]) == []


def test_an_unknown_name_is_told_what_there_is():
    error = errors.unknown("Output", "logit:0", "export 1", ["logits:0", "x:0", "x:0"], "Pass --output.")
    assert isinstance(error, LoadError) and isinstance(error, ValueError)
    lines = str(error).splitlines()
    assert "'logit:0'" in lines[0] and "export 1" in lines[0] and "'logits:0'" in lines[1]
    assert "(2): 'logits:0', 'x:0'" in lines[2] and lines[3].strip() == "Pass --output."
    assert str(errors.unknown("Output", "y", "export 1", [])).splitlines()[1:] == ["  There are none."]
