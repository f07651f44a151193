"""Names in the code that is written."""

import numpy as np

from load_v2.opening import naming
from load_v2.opening.layers import Layer


def _layer(scope):
    return Layer("Dense", scope, weights=(np.zeros((2, 2)),))


def test_no_layer_has_the_name_of_an_input_or_of_another_layer():
    layers = [_layer("x"), _layer("x"), _layer("net/dense"), _layer("net_dense")]
    naming.name_layers(layers, ["x"])
    names = [layer.name for layer in layers]
    assert len(set(names)) == 4 and "x" not in names and "net_dense" in names
    assert not any("/" in name or "." in name for name in names)
