"""What `--list` prints: what would be chosen, candidates as flags to paste, and the variables."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import tensorflow as tf

from export_v1.interface import choose, naming, offers
from export_v1.interface.anatomy import Anatomy, Named
from export_v1.interface.backward import is_saver
from export_v1.ir import graph, ops
from export_v1.ir.graph import Index, Tensor
from export_v1.model import Graph

# Candidates shown of each sort; a pattern shows all that it matches.
_SHOWN = 40
# Variables whose names differ in numbers alone are one line from this many on.
_ALIKE = 3
_NUMBER = re.compile(r"\d+")


def text(model: Graph, variables: Iterable, pattern: str = "", looked: Anatomy | None = None) -> str:
    """Returns what `--list` prints: what would be chosen, candidates as flags to paste, and the variables.

    Variables that differ in numbers alone share a line, and those that optimizers keep for others are only counted. With
    a pattern, every tensor and every variable is listed whose name the regular expression is found in, and no other.

    Args:
        model: the whole graph.
        variables: records with `name`, `dtype`, `shape` and `trainable`.
        pattern: a regular expression; "": the overview.
        looked: the parts of the graph, where somebody has looked at it before.
    """
    if pattern:
        return "\n".join(_matching(model.index, list(variables), re.compile(pattern)))
    anatomy = looked or offers.look(model)
    candidates = offers.of(anatomy)
    lines = _signatures(model) if model.signatures else _chosen(anatomy)
    lines += offers.section("Inputs", candidates.inputs, _SHOWN) + offers.section("Outputs", candidates.outputs, _SHOWN)
    lines += offers.section("Frozen", candidates.freeze, _SHOWN)
    rows = list(variables)
    slots = _slots(model.index)
    lines += _variables([row for row in rows if row.name not in slots], len(rows))
    if kept := sum(row.name in slots for row in rows):
        lines.append(f"    {kept} more are optimizer slots, such as momenta")
    lines.append("  --list=PATTERN lists every tensor and variable whose name has a match.")
    return "\n".join(lines)


def _matching(index: Index, variables: list, pattern: re.Pattern) -> list[str]:
    tensors = []
    for node in index.graph_def.node:
        if node.op in ops.VARIABLES | {"Const", "NoOp"} or is_saver(node.name) or not pattern.search(node.name):
            continue
        for at, dtype in enumerate(graph.output_types(node)):
            key = naming.key(node, at, naming.leaf(node.name))
            kind = offers.sized(tf.as_dtype(dtype), graph.recorded_shape(node, at))
            tensors.append((f"--output={key}={Tensor(node.name, at).name}", f"{kind}; {node.op}"))
    rows = [row for row in variables if pattern.search(row.name)]
    heading = f"  Tensors with {pattern.pattern!r} in their names ({len(tensors)}):"
    return [heading, *offers.aligned(tensors), f"  Variables ({len(rows)}):", *offers.aligned([*map(_variable, rows)])]


def _variables(rows: list, count: int) -> list[str]:
    """One line for each variable, or for several that are alike."""
    groups: dict[tuple, list] = {}
    for row in rows:
        alike = _NUMBER.sub("*", row.name), row.dtype, str(row.shape), row.trainable
        groups.setdefault(alike, []).append(row)
    shown: list[tuple[str, str]] = []
    for (name, *_), members in groups.items():
        if len(members) < _ALIKE:
            shown += map(_variable, members)
        else:
            _, kind = _variable(members[0])
            shown.append((name, f"{kind}; {len(members)} of these"))
    return [f"  Variables ({count}):", *offers.aligned(shown)]


def _variable(row: Any) -> tuple[str, str]:
    shape = None if row.shape is None else list(row.shape)
    return row.name, offers.sized(row.dtype, shape) + ("" if row.trainable else "; not trainable")


def _slots(index: Index) -> set[str]:
    """The variables that optimizers keep for others: what their steps take beside the variable that they change.

    A step on rows alone is written out in other ops; its slots have the same names below their variable.
    """
    steps = [node for node in index.graph_def.node if ops.is_optimizer_step(node.op)]
    trained = {name for step in steps for name in _variables_of(index, graph.data_inputs(step)[:1])}
    slots = {name for step in steps for name in _variables_of(index, graph.data_inputs(step)[1:])} - trained
    suffixes = {name.rpartition("/")[2] for name in slots if name.rpartition("/")[0] in trained}
    variables = {node.name for node in index.graph_def.node if node.op in ops.VARIABLES}
    return slots | {
        name for name in variables if name.rpartition("/")[2] in suffixes and name.rpartition("/")[0] in variables
    }


def _variables_of(index: Index, tensors: Iterable[Tensor]) -> Iterator[str]:
    """The variables that tensors are, or are read from."""
    for tensor in tensors:
        maker = index.nodes.get(tensor.node)
        if maker is not None and maker.op in ops.VARIABLE_READS and maker.input:
            maker = index.nodes.get(graph.parse(maker.input[0]).node)
        if maker is not None and maker.op in ops.VARIABLES:
            yield maker.name


def _signatures(model: Graph) -> list[str]:
    lines = [f"Without flags all {len(model.signatures)} signatures are kept:"]
    for key, signature in model.signatures.items():
        inputs, outputs = (
            ", ".join(f"{name}={tensor}" for name, tensor in side.items())
            for side in (signature.inputs, signature.outputs)
        )
        lines.append(f"  {key}: {inputs} -> {outputs}")
    return lines


def _chosen(anatomy: Anatomy) -> list[str]:
    inputs, outputs, doubt = _choice(anatomy)
    if doubt:
        return [f"Without flags the choice is not clear: {doubt}."]
    flags = [f"--input={named.key}={named.tensor}" for named in inputs]
    flags += [f"--output={named.key}={named.tensor}" for named in outputs]
    return [f"Without flags this is chosen: {' '.join(flags)}"]


def _choice(anatomy: Anatomy) -> tuple[list[Named], list[Named], str]:
    """Returns the inputs and outputs that would be chosen, or why that is not clear."""
    outputs, doubt = choose.outputs(anatomy)
    if doubt:
        return [], [], doubt
    tensors = [named.tensor for named in outputs]
    inputs = choose.inputs(anatomy, tensors, {}, {})
    cuts = [named.tensor for named in inputs]
    settled, _ = anatomy.settling.inference({}, cuts, tensors)
    unfed = anatomy.settling.unfed(settled, cuts, tensors)
    if unfed:
        return [], [], choose.undecided(anatomy.settling, next(iter(unfed)))
    return inputs, list(outputs), ""


def data(model: Graph, variables: Iterable, anatomy: Anatomy) -> dict[str, Any]:
    """Returns what `text` says, as plain JSON values: `signatures`, or `chosen` and `unclear`; candidates; `variables`."""
    result: dict[str, Any] = {}
    if model.signatures:
        result["signatures"] = {
            key: {"inputs": dict(signature.inputs), "outputs": dict(signature.outputs)}
            for key, signature in model.signatures.items()
        }
    else:
        inputs, outputs, doubt = _choice(anatomy)
        sides = {"inputs": inputs, "outputs": outputs}
        result["chosen"] = {name: {named.key: named.tensor for named in side} for name, side in sides.items()}
        result["unclear"] = doubt
    result["candidates"] = offers.of(anatomy).to_json()
    result["variables"] = [
        {
            "name": row.name,
            "dtype": row.dtype.name,
            "shape": None if row.shape is None else [None if size is None else int(size) for size in row.shape],
            "trainable": bool(row.trainable),
        }
        for row in variables
    ]
    return result
