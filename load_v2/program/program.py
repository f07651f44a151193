"""What one layer runs: parts of one graph over the same variables and tables, made ready to be called."""

import dataclasses
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import tensorflow as tf

from export_v1.ir import held_draws, importing, library, ops, safety
from load_v2 import errors
from load_v2.errors import LoadError, quoted
from load_v2.program import artefact, inline, resource_tables, signature, subgraph, writes

TRAIN = "train"


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """A part of the graph with its ends: input specs in call order, outputs by key.

    Attributes:
        graph_def: nodes that the outputs need, without those of inputs, variables, tables and assets.
        v1_control_flow: keys of outputs behind a TensorFlow 1 loop or condition, through which no gradient can go.
    """

    graph_def: subgraph.GraphDef
    inputs: tuple[signature.Spec, ...]
    outputs: Mapping[str, signature.Spec]
    v1_control_flow: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """Everything of an artefact that one signature needs.

    Attributes:
        source: the artefact it was taken from.
        key: the signature's key.
        graph_def: the nodes of all parts, with variables, tables and their initializers; what an archive stores.
        serve: the signature itself.
        train: the same in training mode, or None.
        regularizers: (names of the variables it depends on, the part that computes it) for each regularization loss.
        variables: in the graph's order, those that some part reads or writes.
        written: names of the variables that the graph itself writes.
        assets: tensor name -> file.
        custom_gradients: nodes whose gradient was a Python function; they have TensorFlow's own gradient now.
    """

    source: artefact.Artefact
    key: str
    graph_def: subgraph.GraphDef
    serve: Part
    train: Part | None
    regularizers: tuple[tuple[tuple[str, ...], Part], ...]
    variables: tuple[artefact.Variable, ...]
    written: frozenset[str]
    assets: Mapping[str, str]
    custom_gradients: tuple[str, ...] = ()


def take(source: artefact.Artefact, key: str) -> Program:
    """Returns the program for one signature of an artefact.

    Raises:
        LoadError: no such signature, or the graph under it holds what TensorFlow 2 cannot own (reference variables).
    """
    with errors.blamed(f"Signature {key!r} of {source.path!r} cannot be taken out of its graph"):
        return _taken(source, key)


def _taken(source: artefact.Artefact, key: str) -> Program:
    chosen = source.signature_named(key)
    full, custom = subgraph.without_custom_gradients(inline.calls(source.meta_graph.graph_def))
    full = inline.assets(full, source.assets)
    full = subgraph.with_own_functions(full)
    given = _given(full, source.assets)
    serve = _part(full, chosen.inputs.values(), chosen.outputs, given)
    train = _train_part(full, source.signatures.get(TRAIN), chosen, key, given)
    losses = [_part(full, (), {"loss": signature.Spec(name, "float32", ())}, given) for name in _present(full, source)]
    parts = [serve] + ([train] if train else []) + losses
    _refuse_references(parts, source.path)
    kept = _kept(full, parts)
    _refuse_hidden_state(kept, source)
    held = {node.name for node in kept.node}
    variables = tuple(variable for variable in source.variables if held.intersection(variable.handles))
    by_handle = {handle: variable.name for variable in variables for handle in variable.handles}
    return Program(
        source=source,
        key=key,
        graph_def=kept,
        serve=serve,
        train=train,
        regularizers=tuple((_variables_of(part, by_handle), part) for part in losses),
        variables=variables,
        written=frozenset(by_handle[name] for name in writes.written_by(kept) if name in by_handle),
        assets={name: file for name, file in source.assets.items() if subgraph.split(name)[0] in held},
        custom_gradients=tuple(name for name in custom if name in held),
    )


def held(program: Program) -> Program:
    """Returns a program whose random numbers are the same in every call; see `export_v1.ir.held_draws`."""
    serve = dataclasses.replace(program.serve, graph_def=held_draws.held(program.serve.graph_def))
    return dataclasses.replace(program, graph_def=held_draws.held(program.graph_def), serve=serve)


def _given(graph_def: subgraph.GraphDef, assets: Mapping[str, str]) -> set[str]:
    held = {"VarHandleOp"} | ops.TABLES
    return {f"{node.name}:0" for node in graph_def.node if node.op in held} | set(assets)


def _part(graph_def, inputs: Iterable[signature.Spec], outputs: Mapping[str, signature.Spec], given: set[str]) -> Part:
    inputs = tuple(inputs)
    cut = given | {spec.tensor for spec in inputs}
    names = {key: spec.tensor for key, spec in outputs.items()}
    part = subgraph.needed(graph_def, names.values(), cut)
    return Part(part, inputs, dict(outputs), _behind_control_flow(part, names))


def _behind_control_flow(part: subgraph.GraphDef, outputs: Mapping[str, str]) -> frozenset[str]:
    if not any(node.op in ops.V1_CONTROL_FLOW for node in part.node):
        return frozenset()
    behind = set()
    for key, tensor in outputs.items():
        own = subgraph.needed(part, [tensor])
        if any(node.op in ops.V1_CONTROL_FLOW for node in own.node):
            behind.add(key)
    return frozenset(behind)


def _train_part(full, train: signature.Signature | None, chosen: signature.Signature, key: str, given) -> Part | None:
    """Returns the training graph where it answers the same question: same inputs, and every output of the signature."""
    if train is None or key == TRAIN or set(train.inputs) != set(chosen.inputs):
        return None
    if not set(chosen.outputs) <= set(train.outputs):
        return None
    inputs = [train.inputs[name] for name in chosen.inputs]
    return _part(full, inputs, {name: train.outputs[name] for name in chosen.outputs}, given)


def _present(graph_def: subgraph.GraphDef, source: artefact.Artefact) -> list[str]:
    names = {node.name for node in graph_def.node}
    return [name for name in source.regularization_losses if subgraph.split(name)[0] in names]


def _refuse_references(parts: Iterable[Part], path: str) -> None:
    references = [
        node for part in parts for node in part.graph_def.node if node.op in ops.REF_VARIABLES | {"TemporaryVariable"}
    ]
    held = [node for part in parts for node in part.graph_def.node if node.op in ops.REF_TABLES]
    if not references and not held:
        return
    what = "reference variables" if references else "tables held by reference"
    names = quoted({node.name for node in references or held})
    raise LoadError(
        f"{path!r} keeps its weights in TensorFlow 1 {what}, which TensorFlow 2 can neither train nor save.\n"
        f"  Known ({len(references or held)}): {names}.\n"
        f"  Run step 1 on it: python -m export_v1 --saved_model={path} --export_dir=NEW_DIR"
    )


def _refuse_hidden_state(kept: subgraph.GraphDef, source: artefact.Artefact) -> None:
    owned = {handle for variable in source.variables for handle in variable.handles}
    hidden = library.hidden_state(kept)
    # These stood in a function that is no call any more.
    hidden += [node.name for node in kept.node if node.op == "VarHandleOp" and node.name not in owned]
    if hidden:
        raise LoadError(
            f"{source.path!r} makes tables or variables inside functions, loops or conditions, where a layer cannot own them:\n"
            f"  {quoted(hidden)}.\n  Use keras.layers.TFSMLayer for it."
        )


def _kept(full: subgraph.GraphDef, parts: Iterable[Part]) -> subgraph.GraphDef:
    ends = [spec.tensor for part in parts for spec in part.outputs.values()]
    ends += [spec.tensor for part in parts for spec in part.inputs]
    part = subgraph.needed(full, ends)
    fillers = resource_tables.initializers(full)
    shared = resource_tables.shared_nodes(full)
    held = {node.name for node in part.node}
    fills = [
        op
        for nodes in shared.values()
        if held.intersection(node.name for node in nodes)
        for node in nodes
        for op in fillers.get(node.name, [])
    ]
    return subgraph.with_own_functions(subgraph.needed(full, ends + fills))


def _variables_of(part: Part, by_handle: Mapping[str, str]) -> tuple[str, ...]:
    edges = (subgraph.split(edge)[0] for node in part.graph_def.node for edge in node.input)
    return tuple(dict.fromkeys(by_handle[name] for name in edges if name in by_handle))


def import_into_current(
    graph_def: subgraph.GraphDef,
    fetches: list[str],
    feeds: Mapping[str, tf.Tensor],
    files: Mapping[str, tf.Tensor] = MappingProxyType({}),
    policy: safety.Policy | None = None,
) -> list:
    """Imports a part into the graph being built and returns its fetches (tensors, or operations for node names).

    Args:
        graph_def: the part.
        fetches: what is returned.
        feeds: tensor name -> what stands in its place.
        files: likewise, for the paths of the artefact's own files.
        policy: which ops may be in the part; None: those that only compute.

    Raises:
        LoadError: the part holds others, or is too large once its functions are called.
    """
    given = {**feeds, **files}
    inner = [name for name in fetches if name not in given]
    got = (
        importing.graph_def(graph_def, feeds=feeds, fed_files=files, policy=policy, return_elements=inner, name="v1")
        if inner
        else []
    )
    by_name = dict(zip(inner, got, strict=True))
    return [given[name] if name in given else by_name[name] for name in fetches]


def run_now(
    graph_def: subgraph.GraphDef,
    fetches: list[str],
    feeds: Mapping[str, tf.Tensor],
    files: Mapping[str, tf.Tensor] = MappingProxyType({}),
    policy: safety.Policy | None = None,
) -> list:
    """Runs a part of a graph: at once in eager mode, as nodes of the current graph while one is being built."""
    if not tf.executing_eagerly():
        return import_into_current(graph_def, fetches, feeds, files, policy)

    def build():
        got = import_into_current(graph_def, fetches, feeds, files, policy)
        operations = [item for item in got if isinstance(item, tf.Operation)]
        with tf.control_dependencies(operations):
            # A function gives tensors back; what was run for its effect is told by a constant that waits for it.
            return [tf.constant(0) if isinstance(item, tf.Operation) else tf.identity(item) for item in got]

    return tf.compat.v1.wrap_function(build, [])()
