"""TensorFlow 2 side: exports of step 1 as Keras 3 layers, checked against the answers of the original graph."""

import importlib
import os
import sys

_HOMES = {
    "SignatureLayer": "load_v2.layer.signature_layer",
    "SupervisedSignature": "load_v2.supervised",
    "load_checkpoint_weights": "load_v2.porting",
    "suggest_rules": "load_v2.porting",
    "resume": "load_v2.training.resuming",
    "verify": "load_v2.verification",
    "rebuild": "load_v2.opening.rebuilding",
    "LoadError": "load_v2.errors",
    "Rule": "load_v2.porting",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    # Importing TensorFlow takes seconds: `python -m load_v2 --help` must not.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


# What sys.argv[0] is where the package is imported as a command: "-m" while Python looks for the module to run, else the
# script that pip has made, which on Windows has an ending.
_COMMANDS = ("-m", "load_v2", "load_v2.exe")

# An archive names the layer's class, and Keras finds it only when it is registered: `import load_v2` has to be enough
# for keras.models.load_model. A command must not pay for it with seconds before --help, and works in a process that it
# forks, which TensorFlow does not survive once it has begun.
if os.path.basename(sys.argv[0] if sys.argv else "") not in _COMMANDS:
    importlib.import_module("load_v2.training.model")
