"""Files and folders of step 2 that appear whole: on the disk before they have their name, with everybody's permissions."""

import os
import pathlib
import stat

import numpy as np
import pytest

from load_v2 import LoadError, scoring
from load_v2.scoring import arrays, atomic


@pytest.fixture
def steps(monkeypatch):
    """Records what reaches the disk and what is renamed, in their order: ("fsync", inode), ("rename", target)."""
    found = []

    def recorded(name, describe):
        real = getattr(os, name)

        def call(*args):
            found.append((name, describe(*args)))
            return real(*args)

        monkeypatch.setattr(os, name, call)

    recorded("fsync", lambda handle: os.fstat(handle).st_ino)
    recorded("replace", lambda source, target: str(target))
    recorded("rename", lambda source, target: str(target))
    return found


def assert_durable(steps, target: pathlib.Path, *contents: pathlib.Path):
    """Asserts that the contents are on the disk before the rename, and that the rename is on it, too."""
    renamed = next(at for at, step in enumerate(steps) if step in (("replace", str(target)), ("rename", str(target))))
    assert {("fsync", path.stat().st_ino) for path in contents} <= set(steps[:renamed])
    assert ("fsync", target.parent.stat().st_ino) in steps[renamed:]


def test_a_file_is_on_the_disk_before_it_has_its_name(steps, tmp_path):
    with atomic.file(str(tmp_path / "a")) as stream:
        stream.write(b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert_durable(steps, tmp_path / "a", tmp_path / "a")


def test_a_published_file_is_on_the_disk_before_it_has_its_name(steps, tmp_path):
    with atomic.published(str(tmp_path / "a.h5"), ".h5", 10) as part:
        assert part.endswith(".h5") and not os.path.exists(part)
        pathlib.Path(part).write_bytes(b"new")
    assert (tmp_path / "a.h5").read_bytes() == b"new" and os.listdir(tmp_path) == ["a.h5"]
    assert_durable(steps, tmp_path / "a.h5", tmp_path / "a.h5")


def test_arrays_in_a_folder_are_on_the_disk_before_it_has_its_name(steps, tmp_path):
    with scoring.writer(str(tmp_path / "out"), ["a", "b"]) as writer:
        writer.write({"a": np.zeros(2), "b": np.zeros(2)})
    assert_durable(steps, tmp_path / "out", tmp_path / "out" / "a.npy", tmp_path / "out" / "b.npy")


@pytest.fixture(params=[0o022, 0o077, 0o002])
def mask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_permissions_are_those_of_any_new_file(mask, tmp_path):
    with atomic.file(str(tmp_path / "file")):
        pass
    with atomic.published(str(tmp_path / "published"), ".h5") as part:
        os.close(os.open(part, os.O_CREAT, 0o600))
    with atomic.folder(str(tmp_path / "folder")):
        pass
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in os.listdir(tmp_path)}
    assert modes == {"file": 0o666 & ~mask, "published": 0o666 & ~mask, "folder": 0o777 & ~mask}
    assert os.umask(mask) == mask, "it is as it was"


def test_a_folder_that_is_there_is_refused_even_as_a_dangling_link(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "link"):
        with pytest.raises(LoadError, match=f"{name}' already exists"):
            with atomic.folder(str(tmp_path / name)):
                raise AssertionError("nothing may be written")
    assert sorted(os.listdir(tmp_path)) == ["link", "there"]


def writers(path):
    """Returns each way to write, as a context that gives a path or stream of something unfinished."""
    return {
        "file": lambda: atomic.file(f"{path}/file"),
        "folder": lambda: atomic.folder(f"{path}/folder"),
        "published": lambda: atomic.published(f"{path}/published", ".h5"),
        "npz": lambda: scoring.writer(f"{path}/out.npz", ["y"]),
        "npy": lambda: scoring.writer(f"{path}/out.npy", ["y"]),
        "arrays": lambda: scoring.writer(f"{path}/out", ["y", "z"]),
        "tfrecord": lambda: scoring.writer(f"{path}/out.tfrecord", ["y"]),
    }


@pytest.mark.parametrize("kind", list(writers("")))
@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_an_error_in_the_block_leaves_nothing(kind, error, tmp_path):
    with pytest.raises(error):
        with writers(tmp_path)[kind]() as target:
            if hasattr(target, "write") and kind != "file":
                target.write({"y": np.zeros(3)})
            assert len(os.listdir(tmp_path)) >= 1, "or there would be nothing to clear away"
            raise error
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", list(writers("")))
def test_what_the_system_says_in_the_block_is_one_message(kind, tmp_path):
    with pytest.raises(LoadError, match="cannot be written: No space left on device.\n  Free some space") as caught:
        with writers(tmp_path)[kind]():
            raise OSError(28, "No space left on device")
    assert isinstance(caught.value.__cause__, OSError)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "published", "npz"])
def test_a_rename_that_fails_leaves_what_was_there(kind, tmp_path, monkeypatch):
    target = tmp_path / {"npz": "out.npz"}.get(kind, kind)
    target.write_bytes(b"old")

    def fails(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(LoadError, match="cannot be written: Permission denied"):
        with writers(tmp_path)[kind]() as new:
            if kind == "published":
                pathlib.Path(new).write_bytes(b"new")
    assert target.read_bytes() == b"old" and os.listdir(tmp_path) == [target.name]


def test_an_archive_that_cannot_be_put_together_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "_put_together", lambda files, whole: (_ for _ in ()).throw(RuntimeError("no more")))
    with pytest.raises(RuntimeError, match="no more"):
        with scoring.writer(str(tmp_path / "out.npz"), ["y"]) as writer:
            writer.write({"y": np.zeros(3)})
    assert os.listdir(tmp_path) == []


def test_no_room_for_a_published_file_is_said_before_it_is_written(tmp_path, monkeypatch):
    def full(handle, start, size):
        raise OSError(28, f"No space left for {size} bytes")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(LoadError, match="No space left for 123 bytes"):
        with atomic.published(str(tmp_path / "a"), ".h5", 123):
            raise AssertionError("nothing may be written")
    assert os.listdir(tmp_path) == []


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    for name, write in (("file", atomic.file), ("published", lambda path: atomic.published(path, ".h5"))):
        (tmp_path / name).symlink_to(tmp_path / "elsewhere" / name)
        with write(str(tmp_path / name)) as target:
            pathlib.Path(target).write_bytes(b"new") if isinstance(target, str) else target.write(b"new")
        assert (tmp_path / name).is_symlink() and (tmp_path / "elsewhere" / name).read_bytes() == b"new"


def test_folders_on_the_way_are_made_or_their_absence_is_told(tmp_path):
    with atomic.file(str(tmp_path / "a" / "b" / "file")) as stream:
        stream.write(b"new")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"new"
    for write in (atomic.file, atomic.folder):
        with pytest.raises(LoadError, match="file' cannot be made: Not a directory|File exists"):
            with write(str(tmp_path / "a" / "b" / "file" / "c")):
                raise AssertionError("nothing may be written")
