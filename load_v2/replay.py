"""Recorded inputs replayed through the readers of an export: the layer, and what TensorFlow itself loads."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from export_v1.format import comparison, plain_path
from export_v1.ir import graph, importing, ops, rewrite, safety
from load_v2 import errors
from load_v2.errors import LoadError
from load_v2.layer import archive
from load_v2.layer.signature_layer import SignatureLayer
from load_v2.program import subgraph
from load_v2.program.artefact import Artefact

Answers = dict[str, np.ndarray]
Answer = Callable[[Mapping[str, np.ndarray]], Answers]
LAYER, SAVED_MODEL = "SignatureLayer", "tf.saved_model.load"
_SIGNATURE = "serving_default"
# A SavedModel has them to restore its variables with.
_OF_A_SAVER = ops.SAVES | ops.RESTORES


@dataclasses.dataclass(frozen=True)
class Reader:
    """A way to read an export.

    Attributes:
        answer: returns the answers of `serving_default` to inputs, both by key; each is that of variables and tables as
            they were loaded, which an answer may change.
        not_finite: names of the variables with NaN or infinity, where the reader tells.
    """

    answer: Answer
    not_finite: list[str] = dataclasses.field(default_factory=list)


def readers(source: Artefact, allow_ops: Collection[str]) -> Iterator[tuple[str, Callable[[], Reader]]]:
    """Yields each reader's name, and a function that loads the export with it. What it returns holds all the weights.

    A LoadError is raised by that function where a reader cannot load the export, and by its answers where there are none.

    Args:
        source: the export.
        allow_ops: ops to let run although they could touch files, network or Python.
    """
    yield LAYER, lambda: _apart(source, lambda: _layer(source, allow_ops))
    yield SAVED_MODEL, lambda: _apart(source, lambda: _saved_model(source, allow_ops))


def _apart(source: Artefact, load: Callable[[], Reader]) -> Reader:
    """Returns a reader that loads the export anew for each answer where an answer may write to a table."""
    first = load()
    if not any(node.op in ops.TABLE_WRITERS for node in graph.all_nodes(source.meta_graph.graph_def)):
        return first
    # No two that are loaded share a table, whatever its name. The first has not answered yet.
    unused = [first]
    return Reader(lambda inputs: (unused.pop() if unused else load()).answer(inputs), first.not_finite)


def _layer(source: Artefact, allow_ops: Collection[str]) -> Reader:
    layer = SignatureLayer(source.path, _SIGNATURE, allow_ops=allow_ops)
    keys = list(layer.output_specs)
    as_loaded = _written(source, {weight.name: weight for weight in layer.weights})

    def answer(inputs: Mapping[str, np.ndarray]) -> Answers:
        with _blamed(source, LAYER):
            _restore(as_loaded)
            answers = layer(dict(inputs))
            answers = answers if isinstance(answers, dict) else {keys[0]: answers}
            return {key: _array(value) for key, value in answers.items()}

    floats = (weight for weight in layer.weights if weight.dtype in comparison.TOLERANCES)
    return Reader(answer, [weight.name for weight in floats if not _is_finite(np.asarray(weight))])


def _array(answer: tf.Tensor) -> np.ndarray:
    value = answer.numpy()
    # One string is bytes, and NumPy's own type for those leaves zeros at the end out.
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def _is_finite(values: np.ndarray) -> bool:
    # A sum needs no second array of the weights' size; it can only be too careful.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def _saved_model(source: Artefact, allow_ops: Collection[str]) -> Reader:
    # The layer takes one signature out of the graph; this loads all of it.
    policy = safety.Policy(
        frozenset(allow_ops), place=f"The graph of {source.path!r} holds", remedy=_how_to_allow, error=LoadError
    )
    graph_def = source.meta_graph.graph_def
    dataclasses.replace(policy, allowed=policy.allowed | set(_OF_A_SAVER)).check(graph_def, source.assets)
    # A saver's ops are for its own files; nowhere else may they be.
    outside = subgraph.needed(graph_def, _run_by_a_loader(source))
    policy.check(importing.as_written(outside), source.assets)
    policy.check(importing.as_written(_beside_restoring(source)), source.assets)
    # It reads the file itself, with all that is left out where anything else imports the graph.
    marks = importing.marks(graph_def)
    # By these it would go by functions of the library, whatever nodes call them.
    marks += ["'object_graph_def'"] if source.is_object_graph else []
    if marks:
        raise LoadError(
            f"The graph of {source.path!r} has marks by which TensorFlow may run something else, or a terminal act, and "
            f"step 1 writes none: "
            f"{errors.quoted(marks, 3)}.\n  It was changed after step 1 wrote it. Export again."
        )
    with errors.blamed(f"{source.path!r} cannot be loaded by {SAVED_MODEL}"):
        loaded = tf.saved_model.load(plain_path.of(source.path))
        function = loaded.signatures[_SIGNATURE]
    specs = source.signatures[_SIGNATURE].inputs
    as_loaded = _written(source, {variable.name.partition(":")[0]: variable for variable in loaded.variables})

    # `loaded` has the variables, which the function alone does not keep.
    def answer(inputs: Mapping[str, np.ndarray], keep: object = loaded) -> Answers:
        with _blamed(source, SAVED_MODEL):
            _restore(as_loaded)
            tensors = {key: tf.constant(inputs[key], specs[key].dtype) for key in specs if key in inputs}
            return {key: _array(value) for key, value in function(**tensors).items()}

    return Reader(answer)


def _run_by_a_loader(source: Artefact) -> list[str]:
    """Returns what `tf.saved_model.load` runs, or makes callable, beside restoring the variables."""
    meta_graph = source.meta_graph
    names = [
        info.name for signature_def in meta_graph.signature_def.values() for info in signature_def.outputs.values()
    ]
    for key in ("saved_model_main_op", "legacy_init_op", "saved_model_init_op", "serving_init_op"):
        if key in meta_graph.collection_def:
            names += meta_graph.collection_def[key].node_list.value
    return [name for name in names if name]


def _beside_restoring(source: Artefact) -> subgraph.GraphDef:
    """Returns what `tf.saved_model.load` runs to restore the variables, without the ops that read the export's own."""
    graph_def, saver = source.meta_graph.graph_def, source.meta_graph.saver_def
    part = subgraph.needed(graph_def, [saver.restore_op_name] if saver.restore_op_name else [])
    own = saver.filename_tensor_name
    return rewrite.with_nodes(
        part,
        (
            node
            for node in part.node
            if node.op not in ops.RESTORES or not node.input or subgraph.tensor_name(node.input[0]) != own
        ),
    )


def _written(source: Artefact, variables: Mapping[str, Any]) -> list[tuple[Any, np.ndarray]]:
    """Returns those of some variables that the graph itself writes, each with the value that it has now."""
    written = archive.shared(source.path, _SIGNATURE).written
    return [(variable, np.asarray(variable).copy()) for name, variable in variables.items() if name in written]


def _restore(values: list[tuple[Any, np.ndarray]]) -> None:
    for variable, value in values:
        variable.assign(value)


def _how_to_allow(names: list[str]) -> str:
    wanted = [name for name in names if name not in _OF_A_SAVER]
    return f"If you trust where it comes from, pass --allow_ops={','.join(wanted)}."


def _blamed(source: Artefact, reader: str):
    return errors.blamed(f"{source.path!r} cannot answer its recorded inputs, through {reader}")
