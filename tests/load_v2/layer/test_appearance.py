"""What a layer shows of itself: the same facts as text and as HTML, whatever it was made of."""

import html
import re

import keras
import numpy as np

from load_v2 import SignatureLayer
from tests.support import savedmodels


def _lines(layer) -> list[list[str]]:
    return [re.split(r"  +", line.strip()) for line in repr(layer).splitlines()]


def test_a_layer_shows_inputs_outputs_weights_source_and_proof(exported):
    layer = SignatureLayer(exported("convnet_bn_dropout"), name="net")
    title, *rows = _lines(layer)
    assert title == [f"SignatureLayer 'net', serving_default of {exported('convnet_bn_dropout')}"]
    assert ["input", "images", "float32 [None, 12, 12, 3]", "images:0"] in rows
    assert [row[1] for row in rows if row[0] == "output"] == list(layer.output_specs)
    (weights,) = [row for row in rows if row[0] == "weights"]
    assert weights[1] == "13, 9 of them trainable, 1,565 numbers"
    (source,) = [row for row in rows if row[0] == "source"]
    assert source[1].startswith("checkpoint ") and source[1].endswith("model.ckpt-3, TensorFlow 1.15.5")
    assert rows[-1] == ["proven", "equal to the original when it was exported"]
    assert str(layer) == repr(layer)


def test_columns_are_aligned(exported):
    lines = repr(SignatureLayer(exported("multi_io_int"))).splitlines()
    specs = [line for line in lines if line.startswith(("  input", "  output"))]
    assert len(specs) > 4
    assert (
        len(
            {
                re.search(r"  +(float|int|bool)", line).end() - len(re.search(r"(float|int|bool)", line)[0])
                for line in specs
            }
        )
        == 1
    )


def test_what_is_not_proven_is_not_called_proven(exported, tmp_path):
    assert "not proven: --no_sample" in repr(SignatureLayer(exported("mlp_layers", no_sample=True)))
    strange = repr(SignatureLayer(savedmodels.with_train(tmp_path / "1")))
    assert "nothing: step 1 did not write it" in strange and "source" not in strange


def test_a_frozen_layer_trains_nothing(exported):
    layer = SignatureLayer(exported("mlp_layers"))
    layer.trainable = False
    assert ", 0 of them trainable" in repr(layer)


def test_a_layer_from_an_archive_shows_itself_and_one_without_a_graph_says_so(exported, tmp_path):
    layer = SignatureLayer(exported("mlp_layers"))
    inputs = keras.Input((16,))
    keras.Model(inputs, layer(inputs)).save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras").layers[-1]
    assert "input    x" in repr(loaded) and "weights" in repr(loaded)
    config = {**layer.get_config()}
    config.pop("origin", None)
    bare = SignatureLayer.from_config(config)
    assert "unknown: it has no graph yet" in repr(bare) and "source" not in repr(bare)


def test_a_notebook_shows_the_same(exported):
    layer = SignatureLayer(exported("mlp_layers"))
    page = layer._repr_html_()
    shown = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for word in repr(layer).split():
        assert word in shown
    assert np.all([page.count(f"<{tag}") == page.count(f"</{tag}>") for tag in ("td", "tr", "table", "div")])
