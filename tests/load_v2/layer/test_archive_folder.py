"""load_v2.archive: what layers share of an export, and the folder that a .keras archive has of each."""

import gc
import json
import os
import pathlib
import shutil
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from export_v1.format import record as record_file
from load_v2 import LoadError, SignatureLayer
from load_v2.layer import archive, description
from load_v2.program import artefact, program
from tests.support import savedmodels
from tests.support.graphs import v1


def _described(taken) -> description.Description:
    return description.of_program(taken, True)


@pytest.fixture
def scale(tmp_path) -> str:
    return savedmodels.scale(tmp_path / "scale")


def test_layers_on_one_export_share_what_was_read(scale):
    one = archive.shared(scale, "serving_default")
    assert archive.shared(pathlib.Path(scale), "serving_default") is one
    assert archive.shared(os.path.join(scale, "..", "scale"), "serving_default") is one


def test_signatures_of_one_export_share_its_graph(tmp_path):
    path = savedmodels.with_train(tmp_path / "m")
    one, two = archive.shared(path, "serving_default"), archive.shared(path, "train")
    assert one is not two and one.source is two.source and (one.key, two.key) == ("serving_default", "train")


@pytest.mark.parametrize("what", ["time", "inode", "size"])
def test_an_export_that_changed_is_read_again(scale, what):
    file = os.path.join(scale, "saved_model.pb")
    before, status = archive.shared(scale, "serving_default"), os.stat(file)
    at = (status.st_atime_ns, status.st_mtime_ns)
    if what == "time":
        os.utime(file, ns=(at[0], at[1] + 1))
    elif what == "inode":
        shutil.copyfile(file, file + ".new")
        os.replace(file + ".new", file)
        os.utime(file, ns=at)
    else:
        with open(file, "ab") as stream:
            # A field that nobody reads, so that nothing but the size differs.
            stream.write(b"\xfa\x3e\x00")
        os.utime(file, ns=at)
    assert archive.shared(scale, "serving_default") is not before


def test_an_export_that_is_gone_is_a_message(tmp_path):
    with pytest.raises(LoadError, match="no folder"):
        archive.shared(tmp_path / "nowhere", "serving_default")


def test_threads_that_ask_at_once_read_once(scale, monkeypatch):
    # Whoever reads waits for a second reader, whom a lock keeps out: then the wait ends in vain.
    meeting, reads, read = threading.Barrier(2), [], artefact.read

    def slow(path):
        try:
            meeting.wait(1)
        except threading.BrokenBarrierError:
            pass
        reads.append(path)
        return read(path)

    monkeypatch.setattr(artefact, "read", slow)
    got = []
    threads = [threading.Thread(target=lambda: got.append(archive.shared(scale, "serving_default"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reads) == 1 and len(got) == 3 and len({id(one) for one in got}) == 1


def test_a_folder_of_its_own_goes_with_its_object():
    own = archive.OwnFolder()
    pathlib.Path(own.path, "file").write_text("content")
    path = own.path
    del own
    gc.collect()
    assert not os.path.exists(path)


def _written(taken, folder) -> artefact.Artefact:
    os.makedirs(folder)
    archive.write(taken, str(folder))
    return artefact.read(folder)


def test_what_is_written_is_the_program(tmp_path):
    taken = archive.shared(savedmodels.with_train(tmp_path / "m"), "serving_default")
    read, own = archive.read(str(_written(taken, tmp_path / "a").path), _described(taken), "layer")
    assert own is None
    assert _described(taken).same_as(_described(read)) == []
    assert [(v.name, v.trainable) for v in read.variables] == [("w", True), ("b", True), ("moving", False)]
    assert read.written == {"moving"} and list(read.train.outputs) == list(read.serve.outputs)
    assert [names for names, _ in read.regularizers] == [("w",), ("w", "b")]
    assert read.source.meta_graph.meta_info_def.tensorflow_version == tf.__version__
    assert list(read.source.meta_graph.meta_info_def.tags) == ["serve"]


def test_the_same_program_is_written_the_same(tmp_path):
    taken = archive.shared(savedmodels.with_train(tmp_path / "m"), "serving_default")
    for name in ("one", "two"):
        _written(taken, tmp_path / name)
    one, two = ((tmp_path / name / "saved_model.pb").read_bytes() for name in ("one", "two"))
    assert one == two


def test_losses_of_other_parts_of_the_graph_are_left_out(tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        w, other = savedmodels.variable("w", np.float32(2)), savedmodels.variable("other", np.float32(2))
        path = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": x * w}, of_other=({"x": x}, {"y": x * other}))
    source = artefact.read(path)
    taken = program.take(source, "serving_default")
    lost = description.dataclasses.replace(source, regularization_losses=("y/gone:0",))
    written = _written(description.dataclasses.replace(taken, source=lost), tmp_path / "a")
    assert written.regularization_losses == () and [v.name for v in written.variables] == ["w"]
    assert list(written.signatures) == ["serving_default"]


def test_call_order_and_the_record_of_step_1_travel(tmp_path):
    path = savedmodels.two_inputs(tmp_path / "two")
    record = {
        "format_version": 1,
        "signatures": {"serving_default": {"inputs": ["mask", "ids"], "outputs": ["sum", "product"]}},
        "unconverted": [{"construct": "loop 'a'", "why": "no bound"}],
    }
    os.makedirs(os.path.join(path, "assets.extra"))
    pathlib.Path(path, record_file.PATH).write_text(json.dumps(record))
    read = _written(archive.shared(path, "serving_default"), tmp_path / "a")
    assert list(read.signatures["serving_default"].inputs) == ["mask", "ids"]
    assert list(read.signatures["serving_default"].outputs) == ["sum", "product"]
    assert read.unconverted == ["loop 'a': no bound"]
    # And in the order of a layer's dictionary, where there is no record.
    os.unlink(os.path.join(path, record_file.PATH))
    os.utime(os.path.join(path, "saved_model.pb"))
    assert list(
        _written(archive.shared(path, "serving_default"), tmp_path / "b").signatures["serving_default"].inputs
    ) == [
        "ids",
        "mask",
    ]


@pytest.fixture
def vocabulary(tmp_path):
    return archive.shared(savedmodels.vocabulary(tmp_path / "words", ["a", "b"]), "serving_default")


def test_files_are_copied_twice_and_are_the_layers_own_then(vocabulary, tmp_path):
    folder = _written(vocabulary, tmp_path / "a").path
    read, own = archive.read(folder, _described(vocabulary), "layer")
    shutil.rmtree(folder)
    ((tensor, file),) = read.assets.items()
    assert tensor == "words_file:0" and file.startswith(own.path) and pathlib.Path(file).read_text() == "a\nb\n"


def test_a_file_that_is_gone_is_named(vocabulary, tmp_path):
    ((_, file),) = vocabulary.assets.items()
    os.unlink(file)
    with pytest.raises(LoadError, match="words_words.txt.* is gone"):
        _written(vocabulary, tmp_path / "a")


def test_an_archive_without_a_graph_and_with_another(vocabulary, scale, tmp_path):
    with pytest.raises(LoadError, match="no graph for layer 'words'"):
        archive.read(None, _described(vocabulary), "words")
    folder = _written(vocabulary, tmp_path / "a").path
    changed = description.dataclasses.replace(
        _described(vocabulary), variables=(artefact.Variable("w", (), "", (), True, ""),)
    )
    with pytest.raises(LoadError, match="(?s)layer 'words'.*1 variables and 0"):
        archive.read(folder, changed, "words")


def test_the_temporary_folder_of_a_loaded_layer_goes_with_it(tmp_path):
    layer = SignatureLayer(savedmodels.vocabulary(tmp_path / "one", ["a", "b"]))
    words = keras.Input(batch_shape=(None,), dtype="string")
    keras.Model(words, layer(words)).save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    shutil.rmtree(tmp_path / "one")
    held = next(iter(loaded.layers[-1]._program.assets.values()))
    assert str(tmp_path) not in held and pathlib.Path(held).read_text() == "a\nb\n"
    assert loaded(tf.constant(["b"])).numpy().tolist() == [1]
    del loaded
    gc.collect()
    assert not os.path.exists(os.path.dirname(held))
