"""What computes before what in the graph that was saved, from the .meta file beside a checkpoint."""

import re
from collections.abc import Mapping

import tensorflow as tf
from google.protobuf.message import DecodeError

from load_v2.porting.flow import Flow
from load_v2.porting.records import Entry

_VARIABLES = ("VariableV2", "Variable", "VarHandleOp")
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
    inputs = {node.name: _data_inputs(node) for node in graph_def.node}
    keys = {}
    for node in graph_def.node:
        key = node.name if node.name in entries else _PART.sub("", node.name)
        if node.op in _VARIABLES and key in entries:
            keys[node.name] = key
    active = _active(graph_def, inputs)
    users = _users(inputs, keys, active)
    first = _first(inputs, users)
    feeds = {name: frozenset(source for source in inputs[name] if source in active) for name in active}
    return Flow(first, feeds)


def _data_inputs(node) -> list[str]:
    names = [name.partition(":")[0] for name in node.input if not name.startswith("^")]
    # The second input of a Switch says whether to compute, not from what.
    return names[:1] if node.op in ("Switch", "RefSwitch") else names


def _consumers(inputs: Mapping[str, list[str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, sources in inputs.items():
        for source in sources:
            found.setdefault(source, []).append(name)
    return found


def _active(graph_def, inputs) -> set[str]:
    """Returns the nodes that depend on what the model is given, rather than on constants and variables alone."""
    passive = ("Const", "NoOp", *_VARIABLES)
    stack = [
        node.name
        for node in graph_def.node
        if node.op == "PlaceholderWithDefault" or (not inputs[node.name] and node.op not in passive)
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
    consumers, found = _consumers(inputs), {}
    for node, key in keys.items():
        seen, stack = {node}, [node]
        while stack:
            for name in consumers.get(stack.pop(), ()):
                if name in active:
                    found.setdefault(key, set()).add(name)
                elif name not in seen:
                    seen.add(name)
                    stack.append(name)
    return found


def _first(inputs, users: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    """Returns the users of each variable that are not downstream of another of its users."""
    bits = {name: 1 << number for number, name in enumerate(sorted({name for names in users.values() for name in names}))}
    upstream = _upstream(inputs, bits)
    found = {}
    for key, names in users.items():
        mask = sum(bits[name] for name in names)
        found[key] = frozenset(name for name in names if not upstream[name] & mask)
    return found


def _upstream(inputs, bits: Mapping[str, int]) -> dict[str, int]:
    """Returns, for each node, which of the nodes in `bits` lie upstream, as a bit mask."""
    # A v1 loop closes through NextIteration only, whose output feeds a Merge: without those edges there is no cycle.
    loops = {name for name in inputs if name.rpartition("/")[2].startswith("NextIteration")}
    found: dict[str, int] = {}
    for start in inputs:
        stack = [start]
        while stack:
            name = stack[-1]
            waiting = [s for s in inputs[name] if s not in found and s in inputs and s not in loops] if name not in found else []
            if waiting:
                stack.extend(waiting)
                continue
            stack.pop()
            mask = 0
            for source in inputs[name]:
                if source not in loops and source in found:
                    mask |= found[source] | bits.get(source, 0)
            found.setdefault(name, mask)
    return found
