"""What is being written is held by a lock: who holds it keeps it, whatever its process number, and nobody else does."""

import errno
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import pytest

from export_v1.console import unfinished

PREFIX = ".e.partial-"
# Holds a folder until it is told to go on, or is killed.
HOLDER = """
import sys
from export_v1.console import unfinished
with unfinished.folder(sys.argv[1], sys.argv[2]) as folder:
    open(folder + "/half", "w").close()
    print(folder, flush=True)
    sys.stdin.read()
"""
APART = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


def _hold(parent: pathlib.Path, env, before=()) -> tuple[subprocess.Popen, pathlib.Path]:
    process = subprocess.Popen(
        [*before, sys.executable, "-c", HOLDER, str(parent), PREFIX],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    return process, pathlib.Path(process.stdout.readline().strip())


def _kill(process: subprocess.Popen) -> None:
    os.killpg(process.pid, 9)
    process.wait()
    process.stdout.close()
    process.stdin.close()


def _is_apart() -> bool:
    return shutil.which("unshare") is not None and not subprocess.run([*APART, "true"], capture_output=True).returncode


@pytest.mark.parametrize("apart", [False, True])
def test_a_live_folder_stays_and_a_dead_one_goes(apart, tmp_path, subprocess_env):
    """In a process namespace of its own the holder is number 2, as in a container; here that is somebody else, or nobody."""
    if apart and not _is_apart():
        pytest.skip("no process namespace may be made here")
    process, folder = _hold(tmp_path, subprocess_env, APART if apart else ())
    try:
        assert folder.is_dir()
        # Whatever its age: a long run that waits is alive.
        for path in (*folder.iterdir(), folder):
            os.utime(path, (0, 0))
        for _ in range(4):
            unfinished.sweep(str(tmp_path), PREFIX)
        assert sorted(os.listdir(folder)) == [unfinished.LOCK, "half"]
    finally:
        _kill(process)
    until = time.monotonic() + 20
    while os.listdir(tmp_path) and time.monotonic() < until:
        # What `unshare` has started ends a moment after it.
        unfinished.sweep(str(tmp_path), PREFIX)
        time.sleep(0.05)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not _is_apart(), reason="no process namespace may be made here")
def test_who_sweeps_from_a_namespace_of_its_own_leaves_the_live_alone(tmp_path, subprocess_env):
    sweeping = f"from export_v1.console import unfinished\nunfinished.sweep({str(tmp_path)!r}, {PREFIX!r})"
    with unfinished.folder(str(tmp_path), PREFIX) as folder:
        subprocess.run([*APART, sys.executable, "-c", sweeping], env=subprocess_env, check=True)
        assert os.listdir(folder) == [unfinished.LOCK]


@pytest.mark.parametrize(("days", "stays"), [(0, True), (0.9, True), (2, False)])
@pytest.mark.parametrize("kind", ["another machine", "no lock", "locks unknown here"])
def test_what_no_lock_tells_goes_by_its_age(kind, days, stays, tmp_path, monkeypatch):
    folder = tmp_path / f"{PREFIX}abcdef12"
    (folder / "variables").mkdir(parents=True)
    if kind != "no lock":
        machine = b"another" if kind == "another machine" else unfinished._machine()
        (folder / unfinished.LOCK).write_bytes(machine)
    if kind == "locks unknown here":
        monkeypatch.setattr(unfinished.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "none")))
    then = time.time() - days * 24 * 3600
    # The latest change counts, wherever it was.
    for path in (folder / unfinished.LOCK, folder):
        if path.exists():
            os.utime(path, (0, 0))
    os.utime(folder / "variables", (then, then))
    unfinished.sweep(str(tmp_path), PREFIX)
    assert folder.exists() == stays


def test_where_there_are_no_locks_a_folder_is_made_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "none")))
    with unfinished.folder(str(tmp_path), PREFIX) as folder:
        unfinished.sweep(str(tmp_path), PREFIX)
        assert os.path.isdir(folder)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_was_never_locked_goes_when_it_is_empty_for_a_minute(tmp_path):
    """Its process was killed between two system calls."""
    folder = tmp_path / f"{PREFIX}abcdef12"
    folder.mkdir()
    unfinished.sweep(str(tmp_path), PREFIX)
    assert folder.exists()
    os.utime(folder, (time.time() - 120,) * 2)
    unfinished.sweep(str(tmp_path), PREFIX)
    assert not folder.exists()


def test_a_finished_folder_waits_for_its_name_without_a_lock(tmp_path):
    with unfinished.folder(str(tmp_path), PREFIX) as folder:
        pathlib.Path(folder, "whole").touch()
        unfinished.finish(folder)
        unfinished.sweep(str(tmp_path), PREFIX)
        assert os.listdir(folder) == ["whole"]
        os.rename(folder, tmp_path / "e")
    assert os.listdir(tmp_path) == ["e"]


def test_who_is_swept_while_it_is_made_makes_another(tmp_path, monkeypatch):
    """Between the making of the lock and its taking, somebody else takes it and removes the folder."""
    real, removed = unfinished.fcntl.flock, []

    def flock(descriptor, how):
        if not removed:
            removed.extend(tmp_path.iterdir())
            shutil.rmtree(removed[0])
        real(descriptor, how)

    monkeypatch.setattr(unfinished.fcntl, "flock", flock)
    with unfinished.folder(str(tmp_path), PREFIX) as folder:
        assert folder != str(removed[0]) and os.listdir(tmp_path) == [os.path.basename(folder)]


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / unfinished.LOCK).write_bytes(unfinished._machine())
    (tmp_path / "thesis" / "chapter").touch()
    parent = tmp_path / "parent"
    parent.mkdir()
    (parent / f"{PREFIX}abcdef12").symlink_to(tmp_path / "thesis")
    unfinished.sweep(str(parent), PREFIX)
    assert sorted(os.listdir(tmp_path / "thesis")) == [unfinished.LOCK, "chapter"]


def test_what_a_killed_process_leaves_goes_at_once_however_young(tmp_path, subprocess_env):
    process, folder = _hold(tmp_path, subprocess_env)
    _kill(process)
    assert folder.is_dir()
    unfinished.sweep(str(tmp_path), PREFIX)
    assert not folder.exists()


@pytest.mark.parametrize("age", [0, 2 * 24 * 3600])
@pytest.mark.parametrize("what", ["a pipe", "a link", "a folder", "a link to a pipe"])
def test_a_lock_that_is_none(what, age, tmp_path):
    """Who may write to the folder that exports go to could put it there: nobody waits for it, or writes into a file by it."""
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("years of work")
    os.mkfifo(tmp_path / "pipe")
    left = tmp_path / f"{PREFIX}abcdefgh"
    left.mkdir()
    (left / "half").touch()
    lock = left / unfinished.LOCK
    if what == "a pipe":
        os.mkfifo(lock)
    elif what == "a folder":
        lock.mkdir()
    else:
        lock.symlink_to(thesis if what == "a link" else tmp_path / "pipe")
    for path in (*left.iterdir(), left):
        os.utime(path, (time.time() - age,) * 2, follow_symlinks=False)
    sweeping = threading.Thread(target=unfinished.sweep, args=(str(tmp_path), PREFIX), daemon=True)
    sweeping.start()
    sweeping.join(60)
    assert not sweeping.is_alive() and left.exists() == (age == 0)
    assert thesis.read_text() == "years of work" and (tmp_path / "pipe").is_fifo()


def test_what_was_replaced_and_not_quite_removed_is_swept(tmp_path, monkeypatch):
    removed: list[str] = []

    def dies(path, **_):
        removed.append(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        with pytest.raises(KeyboardInterrupt), unfinished.folder(str(tmp_path), "run-") as path:
            # As after an exchange: another folder, which was never locked, is here now.
            shutil.rmtree(path)
            os.makedirs(os.path.join(path, "variables"))
            dying.setattr(shutil, "rmtree", dies)
    assert removed and os.listdir(tmp_path)
    unfinished.sweep(str(tmp_path), "run-")
    assert not os.listdir(tmp_path)


def test_a_folder_is_written_out_before_its_lock_goes(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(unfinished, "sync_all", lambda path: seen.append(sorted(os.listdir(path))))
    with unfinished.folder(str(tmp_path), "run-") as path:
        unfinished.finish(path)
        assert seen == [[unfinished.LOCK]] and not os.listdir(path)
