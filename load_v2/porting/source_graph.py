"""What computes before what in the graph that was saved, from the .meta file beside a checkpoint."""

import re
from collections.abc import Hashable, Mapping

import tensorflow as tf
from google.protobuf.message import DecodeError

from export_v1.ir import ops
from load_v2.porting.flow import Flow
from load_v2.porting.types import Entry

# Gradients ask for the shapes of what the forward computation had; a shape is no value.
_MEASURES = ops.SIZES | {"BroadcastGradientArgs"}
_PART = re.compile(r"/part_\d+$")


def flow(prefix: str, entries: Mapping[str, Entry]) -> Flow | None:
    """Returns what computes before what among the checkpoint's variables, or None if there is no readable .meta file.

    Only the forward computation counts: of the operations that use a variable, those that no other such operation leads
    to. That leaves out gradients, optimizers, regularizers' sums and moving averages, all of which come after.
    """
    meta = f"{prefix.removesuffix('-?????-of-?????')}.meta"
    if not tf.io.gfile.exists(meta):
        return None
    graph = tf.compat.v1.MetaGraphDef()
    try:
        with tf.io.gfile.GFile(meta, "rb") as file:
            graph.ParseFromString(file.read())
    except (DecodeError, tf.errors.OpError):
        return None
    return of_graph(graph.graph_def, entries)


def of_graph(graph_def, entries: Mapping[str, Entry]) -> Flow:
    """Returns the same for a GraphDef; a variable of another name than its key is not in it."""
    kinds = {node.name: node.op for node in graph_def.node}
    inputs = {node.name: _data_inputs(node) for node in graph_def.node}
    keys = {}
    for name, op in kinds.items():
        key = name if name in entries else _PART.sub("", name)
        if op in ops.VARIABLES and key in entries:
            keys[name] = key
    active = _active(kinds, inputs)
    users = _users(inputs, keys, active)
    first = _first(kinds, inputs, users)
    feeds: dict[Hashable, tuple[Hashable, ...]] = {
        name: tuple(source for source in inputs[name] if source in active) for name in active
    }
    return Flow(first, feeds, frozenset(name for name in active if kinds[name] in ops.JOINS))


def _data_inputs(node) -> list[str]:
    """Returns the nodes whose values a node computes with: neither those it writes, nor those it only measures."""
    if node.op in _MEASURES or _writes(node.op):
        return []
    names = [name.partition(":")[0] for name in node.input if not name.startswith("^")]
    # The second input of a Switch says whether to compute, not from what.
    return names[:1] if node.op in ops.SWITCHES else names


def _writes(op: str) -> bool:
    return ops.writes_variable(op) or op in ops.SAVES | ops.RESTORES


def _consumers(inputs: Mapping[str, list[str]]) -> dict[str, list[str]]:
    consumers: dict[str, list[str]] = {}
    for name, sources in inputs.items():
        for source in sources:
            consumers.setdefault(source, []).append(name)
    return consumers


def _active(kinds: Mapping[str, str], inputs) -> set[str]:
    """Returns the nodes that depend on what the model is given, rather than on constants and variables alone."""
    passive = {"Const", "NoOp", *ops.VARIABLES, *_MEASURES}
    stack = [
        name
        for name, op in kinds.items()
        if op == "PlaceholderWithDefault" or not (inputs[name] or op in passive or _writes(op))
    ]
    consumers, active = _consumers(inputs), set(stack)
    while stack:
        for name in consumers.get(stack.pop(), ()):
            if name not in active:
                active.add(name)
                stack.append(name)
    return active


def _users(inputs, keys: Mapping[str, str], active: set[str]) -> dict[str, set[str]]:
    """Returns, for each variable, the active nodes that take it, or what is computed from it alone."""
    consumers = _consumers(inputs)
    users: dict[str, set[str]] = {}
    for node, key in keys.items():
        seen, stack = {node}, [node]
        while stack:
            for name in consumers.get(stack.pop(), ()):
                if name in active:
                    users.setdefault(key, set()).add(name)
                elif name not in seen:
                    seen.add(name)
                    stack.append(name)
    return users


def _first(kinds, inputs, users: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    """Returns the users of each variable that are not downstream of another of its users."""
    every = sorted(set().union(*users.values()))
    bits = {name: 1 << number for number, name in enumerate(every)}
    upstream = _upstream(_unrolled(kinds, inputs), bits)
    nearest = {}
    for key, names in users.items():
        mask = sum(bits[name] for name in names)
        nearest[key] = frozenset(name for name in names if not upstream[name] & mask)
    return nearest


def _unrolled(kinds: Mapping[str, str], inputs) -> dict[str, list[str]]:
    """Returns the inputs without cycles: what a v1 loop's NextIteration gives goes to its Exit, not to its Merge."""
    acyclic = {}
    for name, sources in inputs.items():
        if kinds[name] in ops.MERGES:
            acyclic[name] = [source for source in sources if kinds.get(source) not in ops.WAYS_BACK]
        elif kinds[name] in ops.EXITS:
            merges = [merge for switch in sources for merge in inputs.get(switch, ())]
            again = [source for merge in merges for source in inputs.get(merge, ())]
            acyclic[name] = sources + [source for source in again if kinds.get(source) in ops.WAYS_BACK]
        else:
            acyclic[name] = sources
    return acyclic


def _upstream(inputs, bits: Mapping[str, int]) -> dict[str, int]:
    """Returns, for each node, which of the nodes in `bits` lie upstream, as a bit mask; `inputs` has no cycle."""
    upstream: dict[str, int] = {}
    # Were there a cycle after all, its second visit would end it, instead of going round for ever.
    opened: set[str] = set()
    for start in inputs:
        stack = [start]
        while stack:
            name = stack.pop()
            if name in upstream or name not in inputs:
                continue
            sources = [source for source in inputs[name] if source in inputs]
            waiting = [source for source in sources if source not in upstream]
            if waiting and name not in opened:
                opened.add(name)
                stack += [name, *waiting]
                continue
            upstream[name] = 0
            for source in sources:
                upstream[name] |= upstream[source] | bits.get(source, 0)
    return upstream
