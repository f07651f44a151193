"""Parts of a layer that do not train: which weights a pattern names, and graphs in which their variables and norms stay."""

import dataclasses
import fnmatch
from collections.abc import Collection, Iterable, Iterator, Sequence

from absl import logging

from export_v1.ir import graph, ops
from export_v1.ir.norms import averages, inference_form, training_norms
from load_v2.errors import LoadError, closest, quoted
from load_v2.layer.weights import Weight
from load_v2.program import program as programs
from load_v2.program import subgraph, writes


def matching(patterns: Sequence[str], weights: Sequence[Weight], of_what: str) -> list[Weight]:
    """Returns the weights that some pattern names, in their own order.

    A pattern names a weight when it fits the weight's name or one of the scopes that the weight is in; `*`, `?` and
    `[…]` are as in a shell, but that `*` also stands for slashes.

    Args:
        patterns: such as "dense", "InceptionV3/Mixed_5*" or "*/gamma".
        weights: those there are.
        of_what: whose they are, for messages.

    Raises:
        LoadError: there is no pattern, or one names nothing.
    """
    if not patterns:
        raise LoadError(f'{of_what}: give a scope or a pattern, for example "{_scopes(weights)[0]}".')
    for pattern in patterns:
        if not any(_fits(weight.name, pattern) for weight in weights):
            raise LoadError(_nothing(pattern, weights, of_what))
    return [weight for weight in weights if any(_fits(weight.name, pattern) for pattern in patterns)]


def _fits(name: str, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(scope, pattern.rstrip("/")) for scope in _with_scopes(name))


def _with_scopes(name: str) -> Iterator[str]:
    """Yields the scopes that a name is in, outermost first, then the name."""
    parts = name.split("/")
    for count in range(1, len(parts) + 1):
        yield "/".join(parts[:count])


def _scopes(weights: Sequence[Weight]) -> list[str]:
    return list(dict.fromkeys(scope for weight in weights for scope in _with_scopes(weight.name))) or ["scope/*"]


def _nothing(pattern: str, weights: Sequence[Weight], of_what: str) -> str:
    scopes = _scopes(weights)
    near = closest(pattern, scopes)
    outermost = list(dict.fromkeys(weight.name.partition("/")[0] for weight in weights))
    lines = [f"{of_what}: no weight and no scope matches {pattern!r}."]
    if near:
        lines.append(f"  Closest: {quoted(near)}.")
    lines.append(f"  {len(weights)} weights, in: {quoted(outermost)}.")
    return "\n".join(lines)


def unfreeze(patterns: Sequence[str], weights: Sequence[Weight], of_what: str) -> list[str]:
    """Unfreezes the weights that patterns name, all without one; returns the names of those that were frozen."""
    changed = [weight for weight in matching(patterns or ("*",), weights, of_what) if weight.frozen]
    for weight in changed:
        weight.frozen = False
    return [weight.name for weight in changed]


def without_writes(part: programs.Part, handles: Collection[str], of_what: str, remedy: str) -> programs.Part:
    """Returns the part without the ops that change some variables; what waited for these ops goes on at once.

    What was computed for such an op alone is left out, too.

    Args:
        part: not modified.
        handles: names of the variables' handles.
        of_what: whose variables they are, for messages.
        remedy: what to do instead, for messages.

    Raises:
        LoadError: one of them is changed inside a loop or a condition, where nothing can be left out.
    """
    functions = {function.signature.name: function for function in part.graph_def.library.function}
    writers = set()
    for node in part.graph_def.node:
        inside = [node.input[index] for index in writes.arguments_written_by(node, functions)]
        nested = [edge for edge in inside if subgraph.split(edge)[0] in handles]
        if nested:
            raise LoadError(
                f"{of_what}: variables {quoted(nested)} are changed inside {node.op} {node.name!r}, and cannot be frozen "
                f"alone.\n  {remedy}"
            )
        if ops.writes_variable(node.op) and node.input and subgraph.split(node.input[0])[0] in handles:
            writers.add(node.name)
    if not writers:
        return part
    graph_def = subgraph.GraphDef()
    graph_def.CopyFrom(part.graph_def)
    for node in graph_def.node:
        if node.name in writers:
            node.CopyFrom(
                subgraph.NodeDef(name=node.name, op="NoOp", input=[e for e in node.input if e.startswith("^")])
            )
    return _with_graph(part, graph_def)


def with_norms_in_inference(
    part: programs.Part, variables: Iterable[subgraph.NodeDef], frozen: Collection[str], of_what: str
) -> programs.Part:
    """Returns the part with each batch norm in its inference form that goes by frozen moving averages alone.

    As in Keras, where a BatchNormalization that is not trainable normalizes by its averages in training, too. A batch
    norm that cannot, or of whose averages some are not frozen, goes by the batch as before; that is logged.

    Args:
        part: not modified.
        variables: the nodes of the program's handles.
        frozen: names of handles.
        of_what: whose variables they are, for messages.
    """
    whole = subgraph.GraphDef()
    whole.CopyFrom(part.graph_def)
    whole.node.extend(variables)
    index = graph.Index(whole)
    still = {average.variable for average in index.once(averages.kept) if average.variable in frozen}
    if not still:
        return part
    ends = [graph.parse(spec.tensor) for spec in part.outputs.values()]
    norms = training_norms.found(index, index.nodes.keys(), ends)
    settled = [norm for norm in norms if not norm.problem and set(norm.variables) <= set(frozen)]
    still -= {name for norm in settled for name in norm.variables}
    if still:
        problems = {norm.problem for norm in norms if norm.problem} or {"its other moving averages are not frozen"}
        logging.warning(
            "%s: moving averages %s are frozen, but batch norm goes on to normalize by the batch: %s.",
            of_what,
            quoted(still),
            "; ".join(sorted(problems)),
        )
    made, _ = inference_form.of(index, settled)
    return _with_graph(part, made)


def _with_graph(part: programs.Part, graph_def: subgraph.GraphDef) -> programs.Part:
    """Returns the part with another graph, of which it has what its outputs need; handles are given from outside."""
    held = {node.name for node in graph_def.node if node.op != "VarHandleOp"}
    edges = [edge for node in graph_def.node for edge in node.input if not edge.startswith("^")]
    given = {subgraph.tensor_name(edge) for edge in edges if subgraph.split(edge)[0] not in held}
    ends = [spec.tensor for spec in part.outputs.values()]
    return dataclasses.replace(part, graph_def=subgraph.needed(graph_def, ends, given))


class Parts:
    """Parts of programs that leave frozen variables alone, each made once: functions know a part by its identity.

    Args:
        of_what: whose variables they are, for messages.
        remedy: what to do where one cannot be frozen alone.
    """

    def __init__(self, of_what: str, remedy: str):
        self._of_what = of_what
        self._remedy = remedy
        self._made: dict[tuple[int, frozenset[str]], programs.Part] = {}

    def get(self, program: programs.Program, part: programs.Part, frozen: Collection[str]) -> programs.Part:
        """Returns a part of a program, as it is while the variables of these names are frozen.

        Raises:
            LoadError: one of them is changed inside a loop or a condition, where nothing can be left out.
        """
        if not frozen:
            return part
        place = (id(part), frozenset(frozen))
        if place not in self._made:
            handles = {handle for v in program.variables if v.name in place[1] for handle in v.handles}
            variables = [node for node in program.graph_def.node if node.op == "VarHandleOp"]
            made = with_norms_in_inference(part, variables, handles, self._of_what)
            self._made[place] = without_writes(made, handles, self._of_what, self._remedy)
        return self._made[place]


def names(weights: Iterable[Weight]) -> list[str]:
    """Returns the names of those weights that are frozen."""
    return [weight.name for weight in weights if weight.frozen]


def freeze_by_name(name: str, weights: Sequence[Weight], frozen: object) -> None:
    """Freezes the weights of these names, which a config has.

    Raises:
        LoadError: it has others.
    """
    by_name = {weight.name: weight for weight in weights}
    listed = [str(item) for item in frozen] if isinstance(frozen, (list, tuple)) else [str(frozen)]
    wrong = [item for item in listed if item not in by_name]
    if wrong:
        raise LoadError(
            f"The config of {name!r} freezes weights that it does not have: {quoted(wrong)}.\n"
            "  The archive was changed after it was saved. Save the model again."
        )
    for item in listed:
        by_name[item].frozen = True
