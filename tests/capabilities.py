"""Tries what a layer can do with an export, for this layer and two others, and prints the README's table.

    python -m tests.capabilities            needs tensorflow_hub, tf_keras and pandas beside the project's own packages

Each cell is tried now. A cell is "yes", or "no" with what happened; hub.KerasLayer is a Keras 2 layer, so its models
are tf_keras models.
"""

import contextlib
import io
import os
import pathlib
import re
import shutil
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from tests.support import cases, savedmodels


class Peer:
    """One kind of layer: its class, how it is made from an export, and which Keras it belongs to."""

    def __init__(self, name, make, api, layer_class=None):
        self.name, self.make, self.api, self.layer_class = name, make, api, layer_class

    def model(self, path, shapes, head=None, **kwargs):
        """A functional model of one layer: dict of (shape, dtype) in, `head` of the answer out."""
        layer = self.make(path, **kwargs)
        inputs = {key: self.api.Input(shape, dtype=dtype, name=key) for key, (shape, dtype) in shapes.items()}
        answer = layer(inputs if len(inputs) > 1 else next(iter(inputs.values())))
        return self.api.Model(inputs, answer if head is None else head(answer)), layer


def _peers(hub, legacy):
    def this(path, train=False):
        from load_v2 import SignatureLayer

        return SignatureLayer(path)

    def tfsm(path, train=False):
        extra = {"call_training_endpoint": "train"} if train else {}
        return keras.layers.TFSMLayer(path, call_endpoint="serving_default", **extra)

    def hub_layer(path, train=False):
        trainable = {"trainable": True} if train else {}
        return hub.KerasLayer(path, signature="serving_default", signature_outputs_as_dict=True, **trainable)

    from load_v2 import SignatureLayer

    return [
        Peer("this layer", this, keras, SignatureLayer),
        Peer("TFSMLayer", tfsm, keras, keras.layers.TFSMLayer),
        Peer("hub.KerasLayer", hub_layer, legacy, hub.KerasLayer),
    ]


def _only(answer):
    return next(iter(answer.values())) if isinstance(answer, dict) else answer


class Trials:
    """One method for each row; its docstring is the row's title. A method fails when the capability is not there."""

    def __init__(self, exports, folder):
        self.exports, self.folder = exports, folder

    def dict_call(self, peer):
        """several inputs as a dict"""
        layer = peer.make(self.exports["multi_io_int"])
        arrays = {k: tf.constant(v) for k, v in cases.load("multi_io_int").oracle("in").items()}
        assert len(layer(arrays)) == 4

    def position_call(self, peer):
        """several inputs by position, in the model's own order"""
        layer = peer.make(self.exports["multi_io_int"])
        arrays = cases.load("multi_io_int").oracle("in")
        assert len(layer(tf.constant(arrays["a"]), tf.constant(arrays["b"]))) == 4

    def functional(self, peer):
        """in a Keras 3 functional model with a new head"""
        assert peer.api is keras, "a Keras 2 layer"
        peer.model(self.exports["convnet_bn_finetune"], _IMAGE, lambda a: keras.layers.Dense(2)(_only(a)))

    def sequential(self, peer):
        """in Sequential, followed by Dense"""
        model = peer.api.Sequential([peer.make(self.exports["convnet_bn_finetune"]), peer.api.layers.Dense(2)])
        assert model(np.zeros((2, 8, 8, 2), "float32")).shape == (2, 2)

    def names(self, peer):
        """weights under their TensorFlow 1 names"""
        layer = peer.make(self.exports["convnet_bn_finetune"])
        layer(tf.zeros((1, 8, 8, 2)))
        names = {w.name.removesuffix(":0") for w in layer.weights}
        assert "batch_normalization/moving_mean" in names, f"{sorted(names)[:2]}"

    def fine_tunes(self, peer):
        """fine-tunes as TensorFlow 1.15 did (batch norm, update ops; losses of 3 steps)"""
        case = cases.load("convnet_bn_finetune")
        wanted, images = case.oracle("finetune"), case.oracle("in")["images"]
        model, _ = peer.model(self.exports["convnet_bn_finetune"], _IMAGE, _only, train=True)
        model.compile(peer.api.optimizers.SGD(0.05), "mse")
        losses = []
        for _ in range(3):
            model.reset_metrics()
            losses.append(float(np.ravel(model.train_on_batch({"images": images}, wanted["target"]))[0]))
        assert np.allclose(losses, wanted["losses"], rtol=2e-4), f"losses {losses[:2]}"

    def regularizes(self, peer):
        """regularization losses of the graph"""
        layer = peer.make(self.exports["with_train"], train=True)
        layer(tf.zeros((1, 3)))
        assert abs(float(sum(layer.losses)) - 66.5) < 1e-3, "no losses"

    def trains_dropout(self, peer):
        """dropout in training, none in inference"""
        layer = peer.make(self.exports["with_train"], train=True)
        noise = [np.asarray(layer(tf.ones((8, 3)), training=flag)["noise"]) for flag in (True, False)]
        assert set(np.unique(noise[0])) == {0, 2} and set(np.unique(noise[1])) == {1}, "the same in both modes"

    def ordered(self, peer):
        """what is computed before an assignment never sees it (200 calls of one tf.function)"""
        layer = peer.make(self.exports["with_train"])
        x = tf.ones((4, 3))
        want, start = np.asarray(layer(x)["y"]), layer.get_weights()
        assert start, "no weights"

        @tf.function
        def step(x):
            answer = layer(x)["y"]
            for weight in layer.weights:
                weight.assign(tf.zeros(weight.shape))
            return answer

        wrong = 0
        for _ in range(200):
            layer.set_weights(start)
            wrong += not np.array_equal(step(x), want)
        assert not wrong, f"{wrong} of 200 answers are from the weights assigned afterwards"

    def freezes(self, peer):
        """trainable = False stops updates of moving averages too"""
        layer = peer.make(self.exports["with_train"], train=True)
        layer(tf.ones((8, 3)))
        layer.trainable = False
        before = [np.asarray(w) for w in layer.weights]
        layer(tf.ones((8, 3)), training=True)
        assert before and all(np.array_equal(a, b) for a, b in zip(before, layer.weights, strict=True)), "they change"

    def freezes_parts(self, peer):
        """a part of it frozen: neither trained nor averaged, the rest goes on, after `.keras` as well"""
        shape = {"x": ((3,), "float32")}
        model, layer = peer.model(self.exports["with_train"], shape, lambda answer: answer["y"], train=True)
        for weight in layer.weights:
            # What a person writes without `freeze`: hub.KerasLayer's variables have no such switch.
            if weight.name.partition(":")[0].rpartition("/")[2] in ("b", "moving"):
                weight.trainable = False
        file = os.path.join(self.folder, f"{peer.name.replace('.', '_').replace(' ', '_')}_frozen.keras")
        model.save(file)
        with peer.api.utils.custom_object_scope({"KerasLayer": _hub_class()}):
            model = peer.api.models.load_model(file, **({"safe_mode": False} if peer.api is keras else {}))
        model.compile(peer.api.optimizers.SGD(0.1), "mse")
        before = [np.array(weight) for weight in model.weights]
        model.fit(np.ones((4, 3), "float32"), np.zeros((4, 2), "float32"), verbose=0)
        pairs = zip(model.weights, before, strict=True)
        changed = {weight.name.removesuffix(":0") for weight, was in pairs if not np.array_equal(weight, was)}
        assert changed == {"w"}, f"changed: {sorted(changed)}"

    def freezes_norms(self, peer):
        """a frozen batch norm normalizes by its averages in training, as Keras's does"""
        model, layer = peer.model(self.exports["convnet_bn_finetune"], _IMAGE, _only, train=True)
        for weight in layer.weights:
            if "batch_normalization" in weight.path:
                weight.trainable = False
        images = cases.load("convnet_bn_finetune").oracle("in")["images"]
        answers = [np.asarray(model({"images": images}, training=flag)) for flag in (True, False)]
        assert np.allclose(*answers, rtol=1e-5, atol=1e-6), "by the batch"

    def wraps_loaded(self, peer):
        """made of what `tf.saved_model.load` returned"""
        loaded = tf.saved_model.load(self.exports["mlp_layers"])
        if peer.layer_class is keras.layers.TFSMLayer:
            layer = peer.layer_class(loaded)
        else:
            layer = peer.layer_class(loaded, signature="serving_default")
        assert np.asarray(layer(np.ones((2, 16), "float32"))["probs"]).shape == (2, 3)

    def takes_tables(self, peer):
        """a pandas DataFrame, with strings"""
        import pandas

        layer = peer.make(self.exports["crossed_columns"])
        layer(pandas.DataFrame({"a": [0.5, 3.0], "c": ["red", "green"], "country": [1, 2]}))

    def predicts_columns(self, peer):
        """`model.predict(dict(df))`, with strings"""
        import pandas

        shapes = {"a": ((), "float32"), "c": ((), "string"), "country": ((), "int64")}
        model, _ = peer.model(self.exports["crossed_columns"], shapes)
        model.predict(dict(pandas.DataFrame({"a": [0.5], "c": ["red"], "country": [1]})), verbose=0)

    def predicts_tables(self, peer):
        """`model.predict` of an Arrow table, a dict of lists, nullable columns"""
        import pandas
        import pyarrow

        assert hasattr(peer.layer_class, "tensors"), "Keras takes NumPy's columns alone"
        shapes = {"a": ((), "float32"), "c": ((), "string"), "country": ((), "int64")}
        model, layer = peer.model(self.exports["crossed_columns"], shapes)
        frame = pandas.DataFrame({"a": [0.5], "c": ["red"], "country": [1]})
        for table in (pyarrow.Table.from_pandas(frame), frame.to_dict("list"), frame.convert_dtypes()):
            model.predict(layer.tensors(table), verbose=0)

    def names_missing(self, peer):
        """a missing value in a column of integers is refused, by its place"""
        import pandas

        layer = peer.make(self.exports["crossed_columns"])
        try:
            layer({"a": np.float32([1, 2]), "c": np.array(["red", "red"]), "country": pandas.Series([1, None])})
        except ValueError as error:
            assert "missing" in str(error) and "element 1" in str(error), str(error)
            return
        raise AssertionError("taken for a number")

    def own_test(self, peer):
        """Keras's own test of a layer, `run_layer_test`"""
        assert peer.api is keras, "a Keras 2 layer"
        from tests.support.keras_own import run_layer_test

        name = "path" if peer.name == "this layer" else "filepath"
        extra = {} if peer.name == "this layer" else {"call_endpoint": "serving_default"}
        arguments = {name: self.exports["convnet_bn_finetune"], **extra}
        run_layer_test(peer.layer_class, arguments, input_shape=(2, 8, 8, 2))

    def moves(self, peer):
        """`.keras` archive loads where the export does not exist"""
        self._reload(peer, safe_mode=False)

    def safe_mode(self, peer):
        """the archive loads in Keras's safe mode"""
        self._reload(peer)

    def _reload(self, peer, **arguments):
        path = shutil.copytree(self.exports["mlp_layers"], tempfile.mkdtemp(dir=self.folder) + "/export")
        model, _ = peer.model(path, {"x": ((16,), "float32")})
        x = np.ones((2, 16), "float32")
        want = np.asarray(model({"x": x})["probs"])
        file = os.path.join(os.path.dirname(path), "m.keras")
        model.save(file)
        shutil.rmtree(path)
        with peer.api.utils.custom_object_scope({"KerasLayer": _hub_class()}):
            loaded = peer.api.models.load_model(file, **arguments)
        assert np.array_equal(loaded({"x": x})["probs"], want)

    def clones(self, peer):
        """clone_model makes an independent copy"""
        model, _ = peer.model(self.exports["mlp_layers"], {"x": ((16,), "float32")})
        clone = peer.api.models.clone_model(model)
        clone.set_weights([w * 0 for w in clone.get_weights()])
        assert clone.weights and np.asarray(model({"x": np.ones((1, 16), "float32")})["logits"]).any()

    def mirrors(self, peer):
        """mirrored variables under MirroredStrategy; fit gives the losses of one device"""
        x, y = np.ones((8, 16), "float32") * np.arange(8)[:, None] / 8, np.ones((8, 3), "float32")

        def losses():
            model, layer = peer.model(self.exports["mlp_layers"], {"x": ((16,), "float32")}, lambda a: a["logits"])
            layer.trainable = True
            model.compile(peer.api.optimizers.SGD(0.05), "mse")
            return model.fit({"x": x}, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"], layer

        want, _ = losses()
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            got, layer = losses()
        values = [w.value if isinstance(w, keras.Variable) else w for w in layer.weights]
        assert values and all(isinstance(v, tf.distribute.DistributedValues) for v in values), "plain variables"
        assert np.allclose(got, want, rtol=1e-4), f"{got} and {want}"

    def strings(self, peer):
        """strings and lookup tables in a model"""
        layer = peer.make(self.exports["lookup_vocab"])
        case = cases.load("lookup_vocab")
        got = layer(tf.constant(case.oracle("in")["words"]))
        assert (np.asarray(got["label"]) == case.oracle()["label"]).all()

    def exports_model(self, peer):
        """model.export gives a SavedModel that stands alone (with a vocabulary file)"""
        path = shutil.copytree(self.exports["lookup_vocab"], tempfile.mkdtemp(dir=self.folder) + "/export")
        model, _ = peer.model(path, {"words": ((None,), "string")}, lambda a: a["logits"])
        model.export(path + "_served")
        shutil.rmtree(path)
        restored = tf.saved_model.load(path + "_served")
        words = tf.constant(cases.load("lookup_vocab").oracle("in")["words"])
        served = restored.signatures["serving_default"]
        assert np.allclose(_only(served(words=words)), cases.load("lookup_vocab").oracle()["logits"], rtol=1e-5)

    def prints(self, peer):
        """prints its inputs, outputs, weights and what was proven"""
        shown = repr(peer.make(self.exports["mlp_layers"]))
        assert "\n" in shown and "float32 [None, 16]" in shown and "4 of them trainable" in shown, "no"
        assert "equal to the original" in shown, "no"

    def page_of_archive(self, peer):
        """a page of a `.keras` file, weights and digests"""
        from load_v2.commands import report, to_keras

        assert peer.name == "this layer", "no"
        folder = tempfile.mkdtemp(dir=self.folder)
        to_keras.as_model(self.exports["mlp_layers"]).save(f"{folder}/m.keras")
        report.write(f"{folder}/m.keras", f"{folder}/report.html")
        with open(f"{folder}/report.html", encoding="utf-8") as page:
            assert "is what was saved" in page.read()

    def as_json(self, peer):
        """`show` and `verify` as JSON, of an export and of a `.keras` file"""
        import json

        from load_v2 import __main__ as step_2
        from load_v2.commands import to_keras

        assert peer.name == "this layer", "no"
        file = os.path.join(tempfile.mkdtemp(dir=self.folder), "m.keras")
        to_keras.as_model(self.exports["mlp_layers"]).save(file)
        for command in ("show", "verify"):
            for path in (self.exports["mlp_layers"], file):
                args = step_2.parse(["load_v2", command, path, "--json"])
                with contextlib.redirect_stdout(io.StringIO()) as printed:
                    assert args.run(args) == 0
                assert json.loads(printed.getvalue())

    def notebook(self, peer):
        """shows itself in a notebook"""
        layer = peer.make(self.exports["mlp_layers"])
        assert hasattr(layer, "_repr_html_") and "<table>" in layer._repr_html_(), "no"

    def page(self, peer):
        """a page to look at, with graph, weights and proof"""
        from load_v2.commands import report

        assert peer.name == "this layer", "no"
        file = os.path.join(tempfile.mkdtemp(dir=self.folder), "report.html")
        assert report.write(self.exports["mlp_layers"], file).startswith("equal") and os.path.getsize(file) > 10_000

    def references(self, peer):
        """a SavedModel with reference variables: says so, and what to do"""
        try:
            layer = peer.make(self.exports["reference"])
        except ValueError as error:
            assert "reference variables" in str(error) and "export_v1" in str(error), str(error)
            return
        layer(tf.ones(1))
        raise AssertionError(f"loads, with {len(layer.weights)} weights")


_IMAGE = {"images": ((8, 8, 2), "float32")}


def _hub_class():
    import tensorflow_hub

    return tensorflow_hub.KerasLayer


def _exports(folder):
    import export_v1

    made = {}
    golden = {name: name for name in ("mlp_layers", "multi_io_int", "convnet_bn_finetune", "lookup_vocab")}
    for name, case in {**golden, "crossed_columns": "trees_crossed_columns"}.items():
        made[name] = os.path.join(folder, name)
        export_v1.export(export_dir=made[name], **cases.load(case).flags())
    made["with_train"] = savedmodels.with_train(pathlib.Path(folder) / "with_train")
    made["reference"] = savedmodels.reference(pathlib.Path(folder) / "reference")
    return made


def _cell(trial, peer):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            trial(peer)
    except Exception as error:  # whatever a peer raises is the cell's content
        why = " ".join(
            re.sub(r"\x1b\[\d+m|Exception encountered when calling [^.]*\.(call\(\)\.)?", "", str(error)).split()
        )
        why = why[:110] or type(error).__name__
        return f"no: {type(error).__name__ if not isinstance(error, AssertionError) else ''} {why}".replace("|", "/")
    return "yes"


def main() -> int:
    """Prints the table; returns 0 when this layer has every capability."""
    import tensorflow_hub
    import tf_keras

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    peers = _peers(tensorflow_hub, tf_keras)
    complete = True
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials(_exports(folder), folder)
        print("| | " + " | ".join(peer.name for peer in peers) + " |\n|---|---|---|---|")
        for name in [name for name in vars(Trials) if not name.startswith("_")]:
            trial = getattr(trials, name)
            cells = [_cell(trial, peer) for peer in peers]
            complete = complete and cells[0] == "yes"
            print(f"| {trial.__doc__} | {' | '.join(cells)} |", flush=True)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
