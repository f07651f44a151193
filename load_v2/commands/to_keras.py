"""`to_keras`: an export as a .keras archive."""

import argparse
import os
from collections.abc import Collection

from export_v1.console import progress
from load_v2.commands import allowing
from load_v2.commands.parsing import Parser

DESCRIPTION = """
Writes a .keras archive that no longer needs the export.
"""
EXAMPLES = ("python -m load_v2 to_keras export/1 --keras=model.keras",)


def add_flags(parser: Parser) -> None:
    """Declares the flags of `to_keras`."""
    parser.add_export()
    parser.add_argument(
        "--keras",
        group="What is written",
        required=True,
        metavar="MODEL.keras",
        help="archive to write; it must end in .keras",
    )
    parser.add_signature("take")
    parser.add_argument("--overwrite", group="What is written", action="store_true", help="replace an existing archive")
    allowing.add_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Writes the archive; returns 0."""
    from load_v2.errors import LoadError

    if not args.keras.endswith(".keras"):
        raise LoadError(
            f"--keras={args.keras} does not end in .keras, the one format that Keras 3 loads whole.\n  Pass --keras=model.keras."
        )
    if os.path.lexists(args.keras) and not args.overwrite:
        raise LoadError(f"{args.keras!r} already exists.\n  Pass --overwrite to replace it.")
    progress.stage("loading the export")
    model = as_model(args.dir, args.signature, args.allow_ops)
    progress.stage("writing the archive", 0.5)
    save(model, args.keras)
    print(f"{args.keras}: {len(model.weights)} weights, {os.path.getsize(args.keras):,} bytes")
    return 0


def as_model(path: str, key: str = "serving_default", allow_ops: Collection[str] = ()):
    """Returns a functional Keras model of one signature: inputs by key, outputs as the layer gives them.

    Raises:
        LoadError: as SignatureLayer, or the rank of an input is unknown.
    """
    from load_v2.layer.signature_layer import SignatureLayer

    return functional(SignatureLayer(path, key, allow_ops=allow_ops))


def functional(layer):
    """Returns the functional Keras model of a SignatureLayer; errors are those of `as_model`."""
    import keras

    from load_v2.errors import LoadError

    inputs = {}
    for name, spec in layer.input_specs.items():
        if spec.shape is None:
            raise LoadError(
                f"The rank of input {name!r} is unknown, and a functional model needs it.\n"
                f"  Give it in step 1: --input={name}={spec.tensor}[None,3]"
            )
        inputs[name] = keras.Input(batch_shape=spec.shape, dtype=spec.dtype, name=_keras_name(name))
    return keras.Model(inputs, layer(inputs))


def _keras_name(key: str) -> str:
    return key.replace("/", "_")


def save(model, file: str) -> None:
    """Saves a Keras model so that `file` appears whole or not at all, and what stood there stays until then."""
    from load_v2.scoring import atomic

    with atomic.published(file, ".keras") as part:
        model.save(part)
