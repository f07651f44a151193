"""What is damaged, and what is then done with it: one target per kind of file and command."""

import dataclasses
import functools
import os
import pathlib
import random
import shutil
import zipfile
from collections.abc import Callable

from tests.fuzz import graphs, hostile, mutations, stored
from tests.support import cases


@dataclasses.dataclass(frozen=True)
class Target:
    """A kind of damage.

    Attributes:
        name: as the table of results has it.
        damage: (folder with a copy of the material, generator) -> what was done to it.
        use: (folder, folder for results that is empty) -> what came out, for comparison; raises where it is refused.
        material: folder below the material's that is copied.
        refusals: names of the classes of errors that are good answers.
        exact: whether what comes out, if anything, has to be what comes out undamaged.
    """

    name: str
    damage: Callable[[pathlib.Path, random.Random], str]
    use: Callable[[pathlib.Path, pathlib.Path], object]
    material: str
    refusals: tuple[str, ...] = ("ExportError",)
    exact: bool = False


def prepare(folder: pathlib.Path) -> None:
    """Writes the material: models that are whole, of every kind that is damaged later."""
    import keras
    import numpy as np

    import export_v1
    from load_v2.commands import to_keras

    for name in (
        "mlp_layers",
        "lstm_dynamic_rnn",
        "lookup_vocab",
        "port_textbook",
        "partitioned_embedding",
        "v1_format",
        "odd_events_file",
    ):
        shutil.copytree(cases.load(name).folder, folder / name)
    shutil.copytree(cases.load("hub_module_tags").folder / "module", folder / "hub")
    shutil.copytree(cases.FOLDER / "port_rules", folder / "rules")
    for name in ("lstm_dynamic_rnn", "lookup_vocab"):
        export_v1.export(export_dir=str(folder / f"{name}_export"), **cases.load(name).flags())
    os.mkdir(folder / "words")
    words = np.array(["the", "cat", "sat"] * 4, "S").reshape(3, 4)
    np.savez(folder / "words" / "in.npz", words=words)
    os.mkdir(folder / "keras")
    to_keras.save(to_keras.as_model(str(folder / "lookup_vocab_export")), str(folder / "keras" / "m.keras"))
    keras.backend.clear_session()
    _freeze(folder)


def _freeze(folder: pathlib.Path) -> None:
    import tensorflow as tf

    os.mkdir(folder / "frozen")
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.compat.v1.train.import_meta_graph(str(folder / "mlp_layers" / "model.ckpt-3.meta")).restore(
            session, str(folder / "mlp_layers" / "model.ckpt-3")
        )
        frozen = tf.compat.v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), ["probs"])
    (folder / "frozen" / "model.pb").write_bytes(frozen.SerializeToString())


def _bytes(*names: str):
    """Returns a damage that changes the bytes of one of some files."""

    def damage(folder: pathlib.Path, rng: random.Random) -> str:
        path = folder / rng.choice(names)
        what, content = mutations.any_of(path.read_bytes(), rng)
        path.write_bytes(content)
        return f"{what} of {path.name}"

    return damage


def _proto(name: str, kind: str, change: Callable = graphs.any_of, change_meta: Callable | None = None):
    """Returns a damage that changes the graph inside a file, or what a MetaGraphDef says beside it."""

    def damage(folder: pathlib.Path, rng: random.Random) -> str:
        from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

        path = folder / name
        message = {
            "graph": graphs.GraphDef,
            "meta": meta_graph_pb2.MetaGraphDef,
            "saved_model": saved_model_pb2.SavedModel,
        }[kind].FromString(path.read_bytes())
        meta = rng.choice(message.meta_graphs) if kind == "saved_model" else message
        done = ""
        if kind != "graph" and rng.random() < 0.15:
            done = (change_meta or _collections)(meta, rng)
        done = done or change(message if kind == "graph" else meta.graph_def, rng)
        path.write_bytes(message.SerializeToString())
        return done

    return damage


def _collections(meta, rng: random.Random) -> str:
    """Changes what a MetaGraphDef says beside its graph."""
    infos = [info for one in meta.signature_def.values() for info in (*one.inputs.values(), *one.outputs.values())]
    assets = [info for info in meta.asset_file_def]
    keys = sorted(meta.collection_def)
    what = rng.choice(["collection"] * bool(keys) + ["signature"] * bool(infos) + ["asset"] * bool(assets) + ["saver"])
    if what == "collection":
        collection = meta.collection_def[rng.choice(keys)]
        for at, value in enumerate(collection.bytes_list.value):
            collection.bytes_list.value[at] = mutations.any_of(value, rng)[1]
        for packed in collection.any_list.value:
            packed.value = mutations.any_of(packed.value, rng)[1]
    elif what == "signature":
        info = rng.choice(infos)
        info.name = rng.choice(("nothing:0", "", ":", "nothing:99", "^x"))
        info.dtype = rng.choice((0, 1, 7, 20, 9999))
    elif what == "asset":
        asset = rng.choice(assets)
        asset.filename = rng.choice(("../../../../etc/passwd", "/etc/passwd", "", ".", "nothing", "a" * 5000))
    else:
        meta.saver_def.restore_op_name = rng.choice(("", "nothing", meta.graph_def.node[0].name))
    return f"{what} changed"


def _archive(folder: pathlib.Path, rng: random.Random) -> str:
    """One member of a .keras archive is changed or renamed, or the archive's own bytes are."""
    path = folder / "m.keras"
    if rng.random() < 0.2:
        return _bytes("m.keras")(folder, rng)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(members))
    if name.endswith("saved_model.pb") and rng.random() < 0.8:
        (folder / "saved_model.pb").write_bytes(members[name])
        what = _proto("saved_model.pb", "saved_model")(folder, rng)
        members[name] = (folder / "saved_model.pb").read_bytes()
    elif rng.random() < 0.2:
        what = "renamed"
        members[rng.choice(("../../out", "/tmp/out", "nothing", f"{name}/{name}"))] = members.pop(name)
    else:
        what, members[name] = mutations.any_of(members[name], rng)
    with zipfile.ZipFile(path, "w") as archive:
        for key, content in members.items():
            archive.writestr(key, content)
    return f"{what} in {name}"


def _exported(folder: pathlib.Path, out: pathlib.Path, **flags) -> object:
    from export_v1 import pipeline
    from export_v1.request import Request

    report = pipeline.export(Request(**flags), str(out / "export"))
    return {one["name"]: one["crc32c"] for one in report["variables"]}


def _from_checkpoint(case: str):
    def use(folder: pathlib.Path, out: pathlib.Path) -> object:
        flags = cases.load(case).flags()
        flags["checkpoint"] = str(folder / os.path.basename(flags["checkpoint"]))
        return _exported(folder, out, **flags)

    return use


def _from_events(folder: pathlib.Path, out: pathlib.Path) -> object:
    return _exported(
        folder, out, checkpoint=str(folder / "model.ckpt"), meta_graph=str(folder / "events.out.tfevents.1")
    )


def _listed(folder: pathlib.Path, out: pathlib.Path) -> object:
    from export_v1 import pipeline
    from export_v1.request import Request

    return pipeline.listing(Request(checkpoint=str(folder / "model.ckpt-3")))


def _from_saved_model(folder: pathlib.Path, out: pathlib.Path) -> object:
    return _exported(folder, out, saved_model=str(folder))


def _from_graph(folder: pathlib.Path, out: pathlib.Path) -> object:
    return _exported(folder, out, graph_def=str(folder / "model.pb"), inputs={"x": "x:0"}, outputs={"y": "probs:0"})


def _with_sample(folder: pathlib.Path, out: pathlib.Path) -> object:
    flags = cases.load("mlp_layers").flags()
    return _exported(
        folder, out, **{**flags, "checkpoint": str(folder / "model.ckpt-3"), "sample": str(folder / "oracle.npz")}
    )


def _verified(folder: pathlib.Path, out: pathlib.Path) -> object:
    from load_v2 import verification
    from load_v2.commands import show
    from load_v2.program import artefact

    "\n".join(show.describe(artefact.read(folder)))
    report = verification.verify(folder)
    report.lines()
    return report.equal


def _predicted(folder: pathlib.Path, out: pathlib.Path) -> object:
    from load_v2 import SignatureLayer
    from load_v2.commands import predict

    export = folder.parent / "lookup_vocab_export"
    rows = predict.predict(SignatureLayer(export), str(folder / "in.npz"), str(out / "out.npz")).rows
    return rows


def _predicted_records(folder: pathlib.Path, out: pathlib.Path) -> object:
    from load_v2 import SignatureLayer
    from load_v2.commands import predict

    export = folder.parent / "lookup_vocab_export"
    rows, _ = predict.predict(SignatureLayer(export), str(folder / "in.tfrecord"), str(out / "out.npz"))
    return rows


def _loaded(folder: pathlib.Path, out: pathlib.Path) -> object:
    import keras
    import numpy as np
    import tensorflow as tf

    import load_v2  # noqa: F401 - registers the layer

    model = keras.models.load_model(folder / "m.keras")
    words = cases.load("lookup_vocab").oracle("in")["words"]
    answer = model({"words": tf.constant(words)})
    return {key: np.asarray(value).tobytes() for key, value in answer.items()} if isinstance(answer, dict) else None


def _ported(folder: pathlib.Path, out: pathlib.Path) -> object:
    from load_v2 import load_checkpoint_weights
    from tests.support import porting_models

    model = porting_models.textbook()
    load_checkpoint_weights(model, folder / "model.ckpt-3")
    return [weight.tobytes() for weight in model.get_weights()]


def _rules(folder: pathlib.Path, out: pathlib.Path) -> object:
    from load_v2.porting import rules

    return [repr(rules.load(path)) for path in sorted(folder.glob("*.toml"))]


def _refused(use):
    """Returns a use that nothing may come out of."""

    def must_be_refused(folder: pathlib.Path, out: pathlib.Path) -> object:
        raise AssertionError(f"it was let in, and answered {use(folder, out)!r:.100}")

    return must_be_refused


def _linked(folder: pathlib.Path, rng: random.Random) -> str:
    return hostile.link(folder, rng)


def _stored(name: str, change: Callable[[pathlib.Path, random.Random], str]):
    """Returns a damage of one file that leaves its checksums right."""
    return lambda folder, rng: change(folder / name, rng)


def _config(folder: pathlib.Path, rng: random.Random) -> str:
    return hostile.config(folder / "m.keras", rng)


_STEP_2 = ("LoadError",)
_DATA = "model.ckpt-3.data-00000-of-00001"
_INDEX = "model.ckpt-3.index"
_META = "model.ckpt-3.meta"
_PARTS = ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001",
          "assets.extra/export_v1.json", "assets.extra/sample.npz")  # fmt: skip

ALL = (
    Target(".meta, bytes", _bytes(_META), _from_checkpoint("mlp_layers"), "mlp_layers"),
    Target(".meta, graph of layers", _proto(_META, "meta"), _from_checkpoint("mlp_layers"), "mlp_layers"),
    Target(".meta, graph with a loop", _proto(_META, "meta"), _from_checkpoint("lstm_dynamic_rnn"), "lstm_dynamic_rnn"),
    Target(".meta, graph with a table", _proto(_META, "meta"), _from_checkpoint("lookup_vocab"), "lookup_vocab"),
    Target(".meta, --list", _proto(_META, "meta"), _listed, "mlp_layers"),
    Target(".index", _bytes(_INDEX), _from_checkpoint("mlp_layers"), "mlp_layers", exact=True),
    Target(".data", _bytes(_DATA), _from_checkpoint("mlp_layers"), "mlp_layers", exact=True),
    Target("SavedModel, bytes", _bytes("saved_model.pb", "variables/variables.index"), _from_saved_model, "hub"),
    Target("SavedModel, graph", _proto("saved_model.pb", "saved_model"), _from_saved_model, "hub"),
    Target("frozen graph, bytes", _bytes("model.pb"), _from_graph, "frozen"),
    Target("frozen graph, graph", _proto("model.pb", "graph"), _from_graph, "frozen"),
    Target("sample of step 1", _bytes("oracle.npz"), _with_sample, "mlp_layers"),
    Target("export, bytes", _bytes(*_PARTS), _verified, "lookup_vocab_export", _STEP_2),
    Target("export, graph", _proto("saved_model.pb", "saved_model"), _verified, "lookup_vocab_export", _STEP_2),
    Target("export, graph with a loop", _proto("saved_model.pb", "saved_model"), _verified, "lstm_dynamic_rnn_export",
           _STEP_2),
    # Keras has errors of its own for archives that are cut.
    Target(".keras archive", _archive, _loaded, "keras", ("LoadError", "Exception")),
    Target("hostile .meta", _proto(_META, "meta", hostile.any_of), _from_checkpoint("mlp_layers"), "mlp_layers"),
    Target("hostile SavedModel, init ops", _proto("saved_model.pb", "saved_model", hostile.any_of, hostile.init_op),
           _from_saved_model, "hub"),
    Target("hostile frozen graph", _proto("model.pb", "graph", hostile.any_of), _from_graph, "frozen"),
    Target("hostile export", _proto("saved_model.pb", "saved_model", hostile.any_of), _verified, "lookup_vocab_export",
           _STEP_2),
    Target("links in an export", _linked, _refused(_verified), "lookup_vocab_export", _STEP_2),
    Target("links in a SavedModel", _linked, _refused(_from_saved_model), "hub"),
    Target(".keras archive, config", _config, _loaded, "keras", ("LoadError", "Exception")),
    Target("inputs of predict", _bytes("in.npz"), _predicted, "words", _STEP_2),
    Target("checkpoint to port", _bytes(_DATA, _INDEX, _META), _ported, "port_textbook", _STEP_2, exact=True),
    Target(".index, what it says", _stored(_INDEX, stored.entry), _from_checkpoint("partitioned_embedding"),
           "partitioned_embedding"),
    Target("V1 checkpoint, what it says", _stored("model.ckpt-3", stored.slices), _from_checkpoint("v1_format"), "v1_format"),
    Target("records of predict", _stored("in.tfrecord", stored.record), _predicted_records, "words", _STEP_2),
    Target("events file, bytes", _bytes("events.out.tfevents.1"), _from_events, "odd_events_file"),
    Target("events file, records", _stored("events.out.tfevents.1", stored.record), _from_events, "odd_events_file"),
    Target("rules file", _bytes("bert.toml", "conv1.toml", "lstm_cells.toml"), _rules, "rules", _STEP_2),
)  # fmt: skip


@functools.cache
def by_name() -> dict[str, Target]:
    """Returns the targets by name."""
    return {one.name: one for one in ALL}
