"""What a layer is made of, a folder or what tf.saved_model.load and hub.load return, as the program of one signature.

An object is saved once more, into a folder that goes when its values have been read: TensorFlow alone knows how
signatures, variables, tables and files hang together in it.
"""

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from export_v1.format import call_order
from load_v2.errors import LoadError, blamed, unknown
from load_v2.layer import archive
from load_v2.program import artefact, program, signature

# What messages call the folder, which the object does not know.
_FOLDER = "FOLDER"
_LOSS = "regularization_loss_"


@contextlib.contextmanager
def opened(given: Any, key: str) -> Iterator[tuple[program.Program, archive.OwnFolder | None]]:
    """Yields the program of a signature, and what must live as long as it; the values are there until the block ends.

    Guaranteed: nothing of the graph has run. The values of an object are those that its variables have now. Its inputs are
    in the call order of step 1 where it knows that, else alphabetical.

    Args:
        given: the path of a folder, what TensorFlow loaded, or a program.
        key: of the signature; a program has its own.

    Raises:
        LoadError: it is nothing that TensorFlow loaded, or has no such signature, or the graph cannot be taken.
    """
    if isinstance(given, program.Program):
        yield given, None
        return
    if isinstance(given, (str, os.PathLike)):
        yield archive.shared(given, key), None
        return
    signatures = _signatures(given)
    if key not in signatures:
        remedy = f'Pass signature="{min(signatures)}".' if signatures else _HOW_TO_SAVE
        raise unknown("Signature", key, "what TensorFlow loaded", signatures, remedy)
    own = archive.OwnFolder()
    losses = _losses(given)
    chosen = {name: _with_plain_names(signatures[name]) for name in (key, program.TRAIN) if name in signatures}
    with blamed(f"TensorFlow cannot save signature {key!r} of what it loaded", _USE_THE_FOLDER), tf.init_scope():
        tf.saved_model.save(given, own.path, signatures={**chosen, **losses})
    try:
        yield program.take(_source(given, own.path, signatures, list(losses)), key), own
    except LoadError as error:
        raise LoadError(f"{error}\n  {_FOLDER} is what tf.saved_model.load was given.") from error
    finally:
        # The layer has the values now; the files of tables are read when a table is made, and saved with the layer.
        shutil.rmtree(os.path.join(own.path, "variables"), ignore_errors=True)


_USE_THE_FOLDER = "Pass the folder that it was loaded from: SignatureLayer(DIR)."
_HOW_TO_SAVE = "Save it with one first: tf.saved_model.save(loaded, DIR, signatures=…), then SignatureLayer(DIR)."


def _signatures(loaded: Any) -> Mapping[str, object]:
    signatures = getattr(loaded, "signatures", None)
    if not isinstance(signatures, Mapping):
        kind = f"{type(loaded).__module__}.{type(loaded).__qualname__}"
        raise LoadError(
            "SignatureLayer takes the path of a SavedModel, or what tf.saved_model.load or hub.load returned, "
            f"and got a {kind}.\n"
            "  Save it with a signature first: tf.saved_model.save(module, DIR, signatures=…), or model.export(DIR).\n"
            "  Then pass DIR."
        )
    return signatures


def _graph(loaded: Any) -> tf.Graph | None:
    """Returns the whole graph, which an object has that was loaded from a SavedModel of TensorFlow 1; else None."""
    graph = getattr(loaded, "graph", None)
    return graph if isinstance(graph, tf.Graph) and hasattr(loaded, "prune") else None


def _losses(loaded: Any) -> dict[str, object]:
    """Returns the regularization losses that a graph of TensorFlow 1 lists, as functions by a key of their own."""
    graph = _graph(loaded)
    if graph is None:
        return {}
    losses = {}
    for index, tensor in enumerate(graph.get_collection(tf.compat.v1.GraphKeys.REGULARIZATION_LOSSES)):
        losses[f"{_LOSS}{index}"] = loaded.prune([], tensor)
    return losses


def _with_plain_names(function: Any) -> Any:
    """Returns the function under names that every signature may have; keys of TensorFlow 1 may be "a/x:0"."""
    specs = function.structured_input_signature[1]
    plain = [tf.TensorSpec(spec.shape, spec.dtype, f"input_{index}") for index, spec in enumerate(specs.values())]

    @tf.function(input_signature=plain)
    def run(*values):
        answers = function(**dict(zip(specs, values, strict=True)))
        return {f"output_{index}": answer for index, answer in enumerate(answers.values())}

    return run


def _with_keys(declared: signature.Signature, function: Any) -> signature.Signature:
    """Returns the signature with the keys that the function has instead of `_with_plain_names`'."""
    inputs, outputs = function.structured_input_signature[1], function.structured_outputs
    return signature.Signature(
        {key: declared.inputs[f"input_{index}"] for index, key in enumerate(inputs)},
        {key: declared.outputs[f"output_{index}"] for index, key in enumerate(outputs)},
    )


def _source(loaded: Any, path: str, functions: Mapping[str, Any], losses: list[str]) -> artefact.Artefact:
    source = artefact.read(path)
    graph = _graph(loaded)
    orders = call_order.from_items(graph.get_collection(call_order.COLLECTION)) if graph is not None else {}
    signatures = {
        key: signature.in_order(_with_keys(declared, functions[key]), orders.get(key, ((), ())))
        for key, declared in source.signatures.items()
        if key not in losses
    }
    return dataclasses.replace(
        source,
        path=_FOLDER,
        signatures=signatures,
        variables=_in_order(loaded, source.variables),
        regularization_losses=tuple(next(iter(source.signatures[key].outputs.values())).tensor for key in losses),
        is_ordered=bool(orders) or graph is None,
    )


def _in_order(loaded: Any, variables: tuple[artefact.Variable, ...]) -> tuple[artefact.Variable, ...]:
    """Returns the variables in the order in which the object has them: the graph's, where that is of TensorFlow 1."""
    listed = getattr(loaded, "variables", None)
    names = [variable.name.partition(":")[0] for variable in listed] if isinstance(listed, (list, tuple)) else []
    place = {name: index for index, name in enumerate(names)}
    return tuple(sorted(variables, key=lambda variable: place.get(variable.name, len(place))))
