"""memory: whether there is room to run a model."""

import pytest

from export_v1.proof import memory

GIB = 2**30


@pytest.mark.parametrize(("size", "room", "fits"), [(1, 3, True), (1, 2, False), (0, 1, True), (100, None, True)])
def test_a_model_is_run_where_it_fits_twice(monkeypatch, size, room, fits):
    monkeypatch.setattr(memory, "free", lambda: room if room is None else room * GIB)
    why = memory.lacking(size * GIB)
    assert bool(why) != fits
    if not fits:
        assert "1,024 MiB" in why and "2,048 MiB of memory are free" in why


def test_the_tightest_limit_counts(monkeypatch):
    monkeypatch.setattr(memory, "_of_the_machine", lambda: 5 * GIB)
    monkeypatch.setattr(memory, "_of_the_groups", lambda: [9 * GIB, 2 * GIB])
    monkeypatch.setattr(memory, "_of_the_process", lambda: None)
    assert memory.free() == 2 * GIB
    monkeypatch.setattr(memory, "_of_the_process", lambda: -1)
    assert memory.free() == 0


def test_a_group_may_use_what_its_limit_leaves_and_the_page_cache(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 300\n")
    (tmp_path / "open").mkdir()
    for name in ("memory.max", "memory.current", "memory.stat"):
        (tmp_path / "open" / name).write_text("max\n")
    files = ("memory.max", "memory.current", "inactive_file")
    monkeypatch.setattr(memory, "_groups", lambda: [(str(tmp_path), *files), (str(tmp_path / "open"), *files)])
    assert memory._of_the_groups() == [400]


def test_this_machine_tells():
    assert memory.free() > 0
