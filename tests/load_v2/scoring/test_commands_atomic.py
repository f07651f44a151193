"""What is written appears whole or not at all: killed, without room or permission, at the same time, through links."""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

import export_v1
from export_v1.artifact import destination
from export_v1.console import unfinished
from load_v2 import LoadError, SignatureLayer, scoring
from load_v2.commands import predict, rebuild
from load_v2.scoring import atomic
from tests.support import cases, savedmodels

COMMANDS = ("export", "export over another", "to_keras", "port", "predict", "report")
OLD = b"what stood there before"


def _flags(tmp_path: pathlib.Path, exported, what: str) -> list[str]:
    """Returns a command that writes `target` in tmp_path."""
    case, textbook = cases.load("mlp_layers"), cases.load("port_textbook")
    target = tmp_path / "target"
    if what.startswith("export"):
        return ["export_v1", f"--checkpoint={case.folder / 'model.ckpt-3'}", "--input=x=x:0", "--output=probs=probs:0",
                f"--export_dir={target}", *(["--overwrite"] if what != "export" else [])]  # fmt: skip
    export = str(exported("mlp_layers"))
    if what == "to_keras":
        return ["load_v2", "to_keras", export, f"--keras={target}.keras", "--overwrite"]
    if what == "report":
        return ["load_v2", "report", export, f"--html={target}.html", "--overwrite"]
    if what == "predict":
        np.savez(tmp_path / "in.npz", x=np.zeros((3000, *case.oracle("in")["x"].shape[1:]), "float32"))
        return [
            "load_v2",
            "predict",
            export,
            f"--inputs={tmp_path}/in.npz",
            f"--outputs={target}.npz",
            "--batch_size=16",
        ]
    (tmp_path / "code.py").write_text(
        "from tests.support import porting_models\ndef build():\n    return porting_models.textbook()\n"
    )
    return ["load_v2", "port", f"--checkpoint={textbook.folder / 'model.ckpt-3'}", f"--model={tmp_path}/code.py:build",
            f"--weights={target}.weights.h5"]  # fmt: skip


def _target(folder: pathlib.Path, what: str) -> pathlib.Path:
    ending = {"to_keras": ".keras", "predict": ".npz", "report": ".html", "port": ".weights.h5"}.get(what, "")
    return folder / f"target{ending}"


def _start(arguments: list[str], env, **more) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", *arguments], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True, **more,
    )  # fmt: skip


def _put_old(target: pathlib.Path, what: str) -> None:
    if what == "export over another":
        target.mkdir()
        (target / "saved_model.pb").write_bytes(OLD)
    elif what != "export":
        target.write_bytes(OLD)


def _state(target: pathlib.Path) -> str:
    """Returns "nothing", "old" or "whole"; fails where it is anything else."""
    if not target.exists():
        return "nothing"
    if target.is_dir():
        if (target / "saved_model.pb").read_bytes() == OLD:
            assert os.listdir(target) == ["saved_model.pb"]
            return "old"
        assert sorted(os.listdir(target)) == ["assets.extra", "saved_model.pb", "variables"]
        assert sorted(os.listdir(target / "assets.extra")) == ["export_v1.json", "sample.npz"]
        json.loads((target / "assets.extra" / "export_v1.json").read_text())
        return "whole"
    content = target.read_bytes()
    if content == OLD:
        return "old"
    if target.suffix == ".h5":
        import h5py

        with h5py.File(target) as file:
            assert len(file["layers"]) >= 2
    elif target.suffix == ".html":
        assert content.startswith(b"<!doctype html>") and content.endswith(b"</html>\n")
    else:
        import zipfile

        with zipfile.ZipFile(target) as archive:
            assert archive.testzip() is None and archive.namelist()
    return "whole"


# Most of a command's run is the import of TensorFlow, in which nothing is written. This imports it once, runs in a fork of
# itself each command that a line names, in a process group of its own, and tells the group and then its exit status.
FORKING = """
import json, os, runpy, sys
import tensorflow
for line in sys.stdin:
    module, *arguments = json.loads(line)
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        # As it is while `python -m` looks for a module.
        sys.argv = ["-m", *arguments]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        os._exit(0)
    try:
        # Here and there, so that the group is there whoever comes first.
        os.setpgid(child, child)
    except OSError:
        pass
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class _Forks:
    """Runs commands as forks of one process that has TensorFlow imported."""

    def __init__(self, env):
        self._process = subprocess.Popen(
            [sys.executable, "-c", FORKING], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def start(self, arguments: list[str]) -> int:
        """Starts a command; returns its process group."""
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> int:
        """Waits for the command; returns its exit status."""
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def _killed(what: str, moments: int, tmp_path, exported, env) -> dict[str, int]:
    """Kills a command at moments spread over its run, all its processes at once; returns what stood there how often."""
    found = {"nothing": 0, "old": 0, "whole": 0}
    arguments = _flags(tmp_path, exported, what)
    target = _target(tmp_path, what)
    forks = _Forks(env)
    try:
        took = []
        for _ in range(3):
            _remove(target)
            start = time.monotonic()
            forks.start(arguments)
            assert forks.end() == 0
            took.append(time.monotonic() - start)
        # The first run of a process warms caches up, and another process may have slowed any of them down.
        whole = min(took)
        for at in range(moments):
            _remove(target)
            _put_old(target, what)
            group = forks.start(arguments)
            time.sleep(whole * (at + 0.5) / moments)
            # A run that was faster than the one that was measured is over by now.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            assert forks.end() in (-signal.SIGKILL, 0)
            found[_state(target)] += 1
            assert what == "export" or target.exists()
        _remove(target)
        forks.start(arguments)
        assert forks.end() == 0
    finally:
        forks.close()
    assert _state(target) == "whole"
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == [], "the next run sweeps"
    return found


def _remove(target: pathlib.Path) -> None:
    shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["export over another", "to_keras"])
def test_killed_at_some_moments(what, tmp_path, exported, subprocess_env):
    assert sum(_killed(what, 2, tmp_path, exported, subprocess_env).values()) == 2


@pytest.mark.slow
@pytest.mark.parametrize("what", COMMANDS)
def test_killed_at_50_moments(what, tmp_path, exported, subprocess_env):
    found = _killed(what, 50, tmp_path, exported, subprocess_env)
    print(f"came out: {what}: {', '.join(f'{count} {state}' for state, count in found.items() if count)}")


@pytest.mark.slow
@pytest.mark.parametrize("what", COMMANDS)
def test_no_room(what, tmp_path, exported, subprocess_env):
    arguments, target = _flags(tmp_path, exported, what), _target(tmp_path, what)
    _put_old(target, what)
    few = 1500 if what != "port" else 4096
    process = _start(
        arguments, subprocess_env, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (few, few))
    )
    said = process.communicate()[1].decode()
    assert process.returncode == 1
    assert "cannot be written" in said and "Traceback" not in said and "defect" not in said, said
    assert _state(target) == ("nothing" if what == "export" else "old")
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


@pytest.fixture
def small_disk(tmp_path) -> Iterator[pathlib.Path]:
    """Returns a folder on a file system of 32 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield disk
    finally:
        left_open = subprocess.run(["umount", str(disk)]).returncode
        if left_open:
            # It must not stay mounted below a folder that whoever started the tests wants to remove.
            subprocess.run(["umount", "--lazy", str(disk)], check=True)
    assert not left_open, "a file on the full disk was left open"


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system of its own")


@needs_root
def test_a_full_disk(small_disk):
    with pytest.raises(export_v1.ExportError, match="(?s)cannot be written.*MiB are free.*Free some space"):
        export_v1.export(export_dir=str(small_disk / "export"), **cases.load("convnet_bn_dropout").flags())
    assert os.listdir(small_disk) == []


@needs_root
@pytest.mark.parametrize("name", ["out.tfrecord", "out.tfrecord.gz", "out", "out.npz", "out.npy"])
def test_a_full_disk_under_predict(name, small_disk):
    """Whoever writes, the message is one, and nothing is left: also where the last bytes are written on closing."""
    with pytest.raises(LoadError, match=f"{name}' cannot be written: .*\n  Free some space, or choose another path"):
        with scoring.writer(str(small_disk / name), ["y"]) as writer:
            for _ in range(40):
                writer.write({"y": np.random.default_rng(1).random((1000, 2))})
    assert os.listdir(small_disk) == []


@needs_root
@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_a_full_disk_under_tables(name, small_disk, tmp_path):
    """No file stays open, which would keep its room, and the disk from being taken away."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = np.random.default_rng(1).random((4000, 2))
    columns = {"ids": np.ones((4000, 2), np.int32).tolist(), "mask": rows.tolist()}
    parquet.write_table(pyarrow.table(columns), tmp_path / "in.parquet")
    layer = SignatureLayer(savedmodels.two_inputs(tmp_path / "export"))
    with pytest.raises(LoadError, match=f"{name}' cannot be written: .*No space left"):
        predict.predict(layer, str(tmp_path / "in.parquet"), str(small_disk / name))
    assert os.listdir(small_disk) == []


@needs_root
def test_a_full_disk_under_rebuild(small_disk, exported):
    """HDF5 ends the process over it, so there is asked for room before."""
    (small_disk / "others").write_bytes(bytes(24 * 1024))
    with pytest.raises(LoadError, match="m.weights.h5' cannot be written: No space left"):
        rebuild.write(
            exported("mlp_layers"), str(small_disk / "m.py"), str(small_disk / "m.weights.h5"), backends=["tensorflow"]
        )
    assert os.listdir(small_disk) == ["others"]


@needs_root
def test_a_full_temporary_folder_under_rebuild(small_disk, exported, tmp_path, subprocess_env):
    """HDF5 would end the process there, too, and the reason given would be a crash of TensorFlow's."""
    (small_disk / "others").write_bytes(bytes(16 * 1024))
    files = [f"--code={tmp_path / 'm.py'}", f"--weights={tmp_path / 'm.weights.h5'}"]
    command = [sys.executable, "-m", "load_v2", "rebuild", exported("mlp_layers"), "--backends=tensorflow", *files]
    env = {**subprocess_env, "TMPDIR": str(small_disk)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"no room for temporary files in '{small_disk}': No space left" in done.stderr, done.stderr
    assert "TMPDIR=DIR" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "m.py").exists() and not (tmp_path / "m.weights.h5").exists()
    assert os.listdir(small_disk) == ["others"]


@needs_root
@pytest.mark.parametrize("name", ["out.tfrecord", "out", "out.npz", "out.npy"])
def test_a_disk_that_is_full_at_the_last_byte(name, small_disk):
    rows = {"y": np.random.default_rng(1).random((200, 2))}
    with scoring.writer(str(small_disk / name), ["y"]) as writer:
        # Small enough to wait in a buffer until the end.
        writer.write(rows)
    whole = small_disk / name
    shutil.rmtree(whole) if whole.is_dir() else whole.unlink()
    (small_disk / "others").write_bytes(bytes(28 * 1024))
    with pytest.raises(LoadError, match=f"{name}' cannot be written: .*\n  Free some space, or choose another path"):
        with scoring.writer(str(whole), ["y"]) as writer:
            writer.write({"y": np.concatenate([rows["y"]] * 2)})
    assert os.listdir(small_disk) == ["others"]


@pytest.mark.parametrize("parent", ["/proc", "/sys"])
def test_a_target_that_cannot_be_written(parent):
    with pytest.raises(export_v1.ExportError, match="(?s)cannot be made.*--export_dir=DIR"):
        with destination.whole(f"{parent}/export"):
            pass
    with pytest.raises(LoadError, match="cannot be written"):
        with atomic.file(f"{parent}/file"):
            pass


def test_two_exports_to_one_folder_at_once(tmp_path):
    """Who comes second finds the folder taken, or replaces it where it may; there is never a mixture."""

    def fill(folder: str, content: str) -> None:
        pathlib.Path(folder, "saved_model.pb").write_text(content)

    with pytest.raises(export_v1.ExportError, match="not empty"):
        with destination.whole(str(tmp_path / "e")) as first:
            fill(first, "first")
            with destination.whole(str(tmp_path / "e")) as second:
                fill(second, "second")
    assert os.listdir(tmp_path) == ["e"] and (tmp_path / "e" / "saved_model.pb").read_text() == "second"
    with destination.whole(str(tmp_path / "e"), overwrite=True) as first:
        fill(first, "first")
        with destination.whole(str(tmp_path / "e"), overwrite=True) as second:
            fill(second, "third")
    assert os.listdir(tmp_path) == ["e"] and (tmp_path / "e" / "saved_model.pb").read_text() == "first"


def test_a_symbolic_link_stays_and_leads_to_the_new_export(tmp_path):
    shm = pathlib.Path("/dev/shm")
    other = shm if os.access(shm, os.W_OK) and os.stat(shm).st_dev != os.stat(tmp_path).st_dev else tmp_path
    place = other / f"export-{os.getpid()}"
    place.mkdir()
    (place / "saved_model.pb").write_text("")
    (tmp_path / "link").symlink_to(place)
    try:
        with destination.whole(str(tmp_path / "link"), overwrite=True) as folder:
            # Renames do not cross file systems: it is written where the link leads.
            assert os.stat(folder).st_dev == os.stat(other).st_dev
            pathlib.Path(folder, "new").write_text("")
        assert (tmp_path / "link").is_symlink() and os.listdir(place) == ["new"]
    finally:
        shutil.rmtree(place)


@pytest.mark.parametrize("step", ["export_v1", "load_v2"])
def test_what_killed_runs_left_is_swept_and_nothing_else(step, tmp_path, subprocess_env):
    prefix = ".e.partial-" if step == "export_v1" else atomic._PREFIX
    killed = (
        f"import os\nfrom export_v1.console import unfinished\n"
        f"with unfinished.folder({str(tmp_path)!r}, {prefix!r}) as folder:\n"
        "    open(folder + '/half', 'w').close()\n    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", killed], env=subprocess_env)
    (left,) = os.listdir(tmp_path)
    stays = {
        f"{prefix}mine",
        f"{prefix}my_thesis_of_2019",
        f".f{prefix}abcdefgh",
        "mine",
        ".part_",
        f"{prefix}thesis_1",
    }
    for name in stays:
        # The last has a name as those of runs have, and is a file.
        place = tmp_path / name
        place.touch() if name.endswith("thesis_1") else place.mkdir()
        os.utime(place, (0, 0))
    with unfinished.folder(str(tmp_path), prefix) as alive:
        if step == "export_v1":
            with destination.whole(str(tmp_path / "e")) as folder:
                pathlib.Path(folder, "new").write_text("")
        else:
            with atomic.file(str(tmp_path / "e")) as stream:
                stream.write(b"new")
        assert set(os.listdir(tmp_path)) == {*stays, "e", os.path.basename(alive)} and left not in stays
    assert set(os.listdir(tmp_path)) == {*stays, "e"}
