"""destination: a folder appears whole, is on the disk before it has its name, and takes nobody else's place."""

import errno
import os
import pathlib
import shutil
import stat

import pytest
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2

import export_v1
from export_v1.artifact import destination, versions
from export_v1.weights import stream
from tests.support import cases


@pytest.fixture
def steps(monkeypatch) -> list[tuple[str, str]]:
    """Returns a list that fills with what reaches the disk and what is renamed, in order: ("sync", path), ("rename", to)."""
    done: list[tuple[str, str]] = []
    sync, rename, exchange = os.fsync, os.rename, destination._exchange

    def synced(descriptor):
        done.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def renamed(old, new):
        done.append(("rename", str(new)))
        rename(old, new)

    def exchanged(one, other):
        done.append(("rename", other))
        return exchange(one, other)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(destination, "_exchange", exchanged)
    return done


def _filled(folder: str) -> None:
    os.makedirs(os.path.join(folder, "variables"))
    for name in ("saved_model.pb", "variables/variables.index"):
        pathlib.Path(folder, name).write_text(name)


def _assert_on_disk_before_the_rename(steps, place: str, parent: str) -> None:
    at = steps.index(("rename", place))
    before = {path for step, path in steps[:at] if step == "sync"}
    [folder] = {path for path in before if "partial-" in os.path.basename(path)}
    assert before >= {folder, f"{folder}/variables", f"{folder}/saved_model.pb", f"{folder}/variables/variables.index"}
    # The name itself is on the disk once the folder above is.
    assert ("sync", parent) in steps[at:]


@pytest.mark.parametrize("there", ["nothing", "empty", "export"])
def test_everything_is_on_the_disk_before_it_has_its_name(there, tmp_path, steps):
    place = tmp_path / "e"
    if there != "nothing":
        place.mkdir()
    if there == "export":
        (place / "saved_model.pb").touch()
    with destination.whole(str(place), overwrite=there == "export") as folder:
        _filled(folder)
    _assert_on_disk_before_the_rename(steps, str(place), str(tmp_path))
    assert sorted(os.listdir(place)) == ["saved_model.pb", "variables"] and os.listdir(tmp_path) == ["e"]
    assert stat.S_IMODE(place.stat().st_mode) == 0o755


def test_a_version_is_on_the_disk_before_it_has_its_number(tmp_path, steps):
    with versions.target(str(tmp_path / "base"), versioned=True) as target:
        _filled(target.folder)
    _assert_on_disk_before_the_rename(steps, str(tmp_path / "base" / "1"), str(tmp_path / "base"))
    assert stat.S_IMODE((tmp_path / "base" / "1").stat().st_mode) == 0o755


def test_each_piece_of_a_stream_is_on_the_disk_as_it_is_written(tmp_path, steps):
    from tests.export_v1.weights import test_stream

    values = {name: test_stream.VALUES[name] for name in ("large", "long")}
    test_stream.write_checkpoint(str(tmp_path / "model"), values)
    (tmp_path / "out").mkdir()
    stream.write(test_stream.weights_of(str(tmp_path / "model"), values), str(tmp_path / "out" / "variables"), 256)
    synced = {os.path.basename(path) for step, path in steps if step == "sync" and "variables.pieces" in path}
    assert synced == {f"{at:06d}.data-00000-of-00001" for at in range(len(synced))} and len(synced) > 4


def test_where_two_folders_cannot_be_swapped_the_old_one_stands_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(destination, "_exchange", lambda one, other: False)
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "saved_model.pb").touch()
    with destination.whole(str(tmp_path / "e"), overwrite=True) as folder:
        assert os.listdir(tmp_path / "e") == ["saved_model.pb"]
        _filled(folder)
    assert sorted(os.listdir(tmp_path / "e")) == ["saved_model.pb", "variables"] and os.listdir(tmp_path) == ["e"]


def test_a_folder_that_appeared_meanwhile_is_not_replaced(tmp_path):
    with (
        pytest.raises(export_v1.ExportError, match="is not an export"),
        destination.whole(str(tmp_path / "e")) as folder,
    ):
        _filled(folder)
        (tmp_path / "e").mkdir()
        (tmp_path / "e" / "of_another").touch()
    assert os.listdir(tmp_path) == ["e"] and os.listdir(tmp_path / "e") == ["of_another"]


def test_nothing_is_left_of_a_block_that_fails(tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "saved_model.pb").touch()
    with pytest.raises(KeyError), destination.whole(str(tmp_path / "e"), overwrite=True) as folder:
        _filled(folder)
        raise KeyError
    assert os.listdir(tmp_path) == ["e"] and os.listdir(tmp_path / "e") == ["saved_model.pb"]


def test_a_file_in_its_place_is_refused_even_to_be_overwritten(tmp_path):
    (tmp_path / "e").touch()
    for overwrite in (False, True):
        with pytest.raises(export_v1.ExportError, match="is a file"):
            destination.check_free(str(tmp_path / "e"), overwrite)
    (tmp_path / "e").unlink()
    (tmp_path / "e").symlink_to(tmp_path / "gone")
    with pytest.raises(export_v1.ExportError, match="is a file"):
        destination.check_free(str(tmp_path / "e"), True)
    (tmp_path / "empty").mkdir()
    destination.check_free(str(tmp_path / "empty"), False)
    destination.check_free(str(tmp_path / "nothing"), False)


def test_what_cannot_be_written_says_why_and_what_to_do(tmp_path):
    with pytest.raises(export_v1.ExportError, match="(?s)No space left.*MiB are free.*--export_dir=DIR") as caught:
        with destination.whole(str(tmp_path / "e")):
            raise OSError(errno.ENOSPC, "No space left")
    assert str(tmp_path / "e") in str(caught.value) and os.listdir(tmp_path) == []


@pytest.mark.parametrize("versioned", [False, True])
def test_what_a_killed_run_left_is_found_from_the_flags(versioned, tmp_path):
    (tmp_path / "e").mkdir()
    inside, beside = tmp_path / "e" / ".partial-abcdef12", tmp_path / ".e.partial-abcdef12"
    for folder in (inside, beside):
        folder.mkdir()
        os.utime(folder, (0, 0))
    destination.sweep_for(str(tmp_path / "e"), versioned)
    assert (inside.exists(), beside.exists()) == (not versioned, versioned)
    destination.sweep_for(str(tmp_path / "gone" / "e"), versioned)


def test_an_old_export_that_a_killed_run_left_aside_goes_with_the_next(tmp_path):
    (tmp_path / "e").mkdir()
    aside = tmp_path / ".e.old-abcdef12"
    aside.mkdir()
    os.utime(aside, (0, 0))
    with destination.whole(str(tmp_path / "e")) as folder:
        _filled(folder)
    assert os.listdir(tmp_path) == ["e"]


THESIS = "years of work"


@pytest.mark.parametrize(
    "place",
    ["thesis.tex", "saved_model.pb/..", "src/thesis.tex", "variables/thesis.tex", ".git/thesis.tex", "assets/thesis.tex",
     "assets.extra/thesis.tex", "variables/variables.thesis", "variables/variables.d/thesis.tex", "debug/thesis.tex"],
)  # fmt: skip
@pytest.mark.parametrize("is_model", [True, False])
def test_only_an_export_is_replaced(place, is_model, tmp_path):
    """Whatever stands beside the parts of a SavedModel belongs to somebody."""
    folder = tmp_path / "e"
    if is_model:
        _filled(str(folder))
    else:
        folder.mkdir()
    thesis = folder / place
    if ".." in place:
        if is_model:
            return
        thesis = folder / "saved_model.h5"
    thesis.parent.mkdir(parents=True, exist_ok=True)
    thesis.write_text(THESIS)
    with pytest.raises(
        export_v1.ExportError, match="(?s)do not belong to an export|is not an export.*another --export_dir"
    ):
        export_v1.export(export_dir=str(folder), overwrite=True, **cases.load("mlp_layers").flags())
    assert thesis.read_text() == THESIS and os.listdir(tmp_path) == ["e"]


def test_a_folder_without_a_graph_is_no_export(tmp_path):
    (tmp_path / "e" / "assets").mkdir(parents=True)
    (tmp_path / "e" / "assets" / "thesis.tex").write_text(THESIS)
    with pytest.raises(export_v1.ExportError, match="it has no saved_model.pb"):
        destination.check_free(str(tmp_path / "e"), True)


def test_an_export_replaces_an_export(tmp_path):
    for _ in range(2):
        export_v1.export(export_dir=str(tmp_path / "e"), overwrite=True, **cases.load("mlp_layers").flags())
    (tmp_path / "e" / "fingerprint.pb").touch()
    export_v1.export(export_dir=str(tmp_path / "e"), overwrite=True, **cases.load("mlp_layers").flags())
    assert not (tmp_path / "e" / "fingerprint.pb").exists()


@pytest.mark.parametrize("name", ["lookup_vocab", "hub_module_tags"])
def test_the_vocabulary_of_an_export_goes_with_it(name, tmp_path):
    case = cases.load(name)
    for _ in range(2):
        export_v1.export(export_dir=str(tmp_path / "e"), overwrite=True, **case.flags())
    for file in (tmp_path / "e" / "assets").glob("*"):
        (tmp_path / "e" / "assets" / f"{file.name}.old").write_text(THESIS)
        with pytest.raises(export_v1.ExportError, match=f"do not belong to an export: 'assets/{file.name}.old'"):
            export_v1.export(export_dir=str(tmp_path / "e"), overwrite=True, **case.flags())


@pytest.mark.parametrize("where", ["field", "collection", "text"])
def test_a_vocabulary_is_known_from_wherever_a_graph_names_it(where, exported, tmp_path):
    shutil.copytree(exported("lookup_vocab"), tmp_path / "e")
    file = tmp_path / "e" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    if where != "collection":
        (packed,) = saved.meta_graphs[0].collection_def["saved_model_assets"].any_list.value
        assert packed.Unpack(saved.meta_graphs[0].asset_file_def.add())
        del saved.meta_graphs[0].collection_def["saved_model_assets"]
    file.write_bytes(saved.SerializeToString())
    if where == "text":
        file.unlink()
        (tmp_path / "e" / "saved_model.pbtxt").write_text(text_format.MessageToString(saved))
    destination.check_free(str(tmp_path / "e"), True)
    (tmp_path / "e" / "assets" / "thesis.tex").write_text(THESIS)
    with pytest.raises(export_v1.ExportError, match="do not belong to an export: 'assets/thesis.tex'"):
        destination.check_free(str(tmp_path / "e"), True)


@pytest.mark.parametrize(
    "what", ["the folder", "above it", "through a link", "by a relative path", "latest of a folder"]
)
@pytest.mark.parametrize("kind", ["checkpoint", "saved_model"])
def test_a_source_is_never_replaced(what, kind, exported, tmp_path, monkeypatch):
    holder = tmp_path / "holder" / "1"
    if kind == "checkpoint":
        shutil.copytree(cases.load("mlp_layers").folder, holder)
        source = {"checkpoint": str(holder if what == "latest of a folder" else holder / "model.ckpt-3")}
    else:
        shutil.copytree(exported("mlp_layers"), holder)
        source = {"saved_model": str(holder.parent if what == "latest of a folder" else holder)}
    # All the same it looks like something to replace.
    (holder / "saved_model.pb").touch()
    (holder.parent / "saved_model.pb").touch() if what == "above it" else None
    (tmp_path / "link").symlink_to(holder)
    monkeypatch.chdir(holder)
    target = {"above it": str(holder.parent), "through a link": str(tmp_path / "link"), "by a relative path": "."}
    before = sorted(holder.rglob("*"))
    with pytest.raises(export_v1.ExportError, match="(?s)holds what the export is made of.*another --export_dir"):
        export_v1.export(export_dir=target.get(what, str(holder)), overwrite=True, **source)
    assert sorted(holder.rglob("*")) == before


@pytest.mark.parametrize("inside", ["assets.extra", "variables/new", "1"])
@pytest.mark.parametrize("versioned", [False, True])
def test_nothing_is_written_into_a_source(inside, versioned, exported, tmp_path):
    shutil.copytree(exported("mlp_layers"), tmp_path / "e")
    before = sorted((tmp_path / "e").rglob("*"))
    with pytest.raises(export_v1.ExportError, match="is inside the model that is exported"):
        export_v1.export(export_dir=str(tmp_path / "e" / inside), saved_model=str(tmp_path / "e"), versioned=versioned)
    assert sorted((tmp_path / "e").rglob("*")) == before


def test_beside_a_checkpoint_is_where_people_export(tmp_path):
    shutil.copytree(cases.load("mlp_layers").folder, tmp_path / "model")
    flags = {**cases.load("mlp_layers").flags(), "checkpoint": str(tmp_path / "model" / "model.ckpt-3")}
    export_v1.export(export_dir=str(tmp_path / "model" / "export" / "1"), overwrite=True, **flags)


def test_a_path_too_deep_to_be_made_is_one_message(tmp_path):
    deep = str(tmp_path) + "/a" * 1900
    with pytest.raises(export_v1.ExportError, match=r"cannot be made: it is 1,9\d\d folders deep"):
        export_v1.export(export_dir=deep, **cases.load("mlp_layers").flags())
    assert os.listdir(tmp_path) == []


def test_an_export_is_on_the_disk_before_it_has_its_name(tmp_path, steps):
    export_v1.export(export_dir=str(tmp_path / "e"), **cases.load("mlp_layers").flags())
    _assert_on_disk_before_the_rename(steps, str(tmp_path / "e"), str(tmp_path))
