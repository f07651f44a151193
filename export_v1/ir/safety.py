"""What a graph could do beside computing, and whether it may.

A graph is code: step 1 runs it to record its answers, and Keras refuses to run code from a file unless asked to
(`safe_mode=False`). A list of bad ops goes out of date with each TensorFlow release, so the rule is the other way round:
an op may run when it only makes numbers of numbers, as its registration shows, or when the table in `reach.py` lets it
in with a reason. Everything else is named and refused, unless the user allows it by name.
"""

import contextlib
import contextvars
import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator

import tensorflow as tf

from export_v1 import errors
from export_v1.ir import graph, ops, reach, rewrite
from export_v1.ir.graph import GraphDef, NodeDef

# What a tensor of such a type can lead to: a file by its path, a function, whatever the process holds.
_TELLING_TYPES = frozenset({tf.string.as_datatype_enum, tf.resource.as_datatype_enum, tf.variant.as_datatype_enum})
_TELLING_ATTRIBUTES = frozenset({"string", "list(string)", "func", "list(func)"})


@dataclasses.dataclass(frozen=True)
class Policy:
    """What a graph may do beside computing, and how somebody is told that it may not do more.

    Attributes:
        allowed: names of the ops that the user lets in.
        everything: whether all ops are let in.
        own_paths: files of the artefact itself; a constant that holds one of these paths may name what a table is filled
            from.
        place: what holds the ops, as the message begins: "The graph of 'export/1' holds".
        remedy: returns what to do, from the names of all ops to be let in.
        error: class of the error.
    """

    allowed: frozenset[str] = frozenset()
    everything: bool = False
    own_paths: Collection[str] = ()
    place: str = "The graph needs"
    remedy: Callable[[list[str]], str] = lambda names: f"If you trust where it comes from, allow {names}."
    error: type[errors.UserError] = errors.ExportError

    def check(self, graph_def: GraphDef, own_files: Collection[str] = ()) -> None:
        """Checks that a graph holds no ops but those that may run.

        Args:
            graph_def: as for `refused`.
            own_files: tensors as for `refused`, beside the constants that hold one of the policy's own paths.

        Raises:
            UserError: it does; each op with its nodes, and the remedy.
        """
        if self.everything:
            return
        own = {*own_files, *_holding(graph_def, self.own_paths)}
        refused_ops = {op: names for op, names in refused(graph_def, own).items() if op not in self.allowed}
        if not refused_ops:
            return
        unknown = [op for op in refused_ops if graph.registered(op) is None]
        note = (
            f"  Not known to TensorFlow {tf.__version__}: {errors.quoted(unknown)}; load their library first.\n"
            if unknown
            else ""
        )
        raise self.error(
            f"{self.place} ops that could touch files, network, Python or other devices:\n{listed(refused_ops)}\n"
            f"{note}  {self.remedy(sorted({*self.allowed, *refused_ops}))}"
        )


_CURRENT: contextvars.ContextVar[Policy] = contextvars.ContextVar("policy", default=Policy())  # noqa: B039 - frozen


def current() -> Policy:
    """Returns the policy of the block that `applied` began; where there is none, one that lets nothing in."""
    return _CURRENT.get()


@contextlib.contextmanager
def applied(policy: Policy) -> Iterator[None]:
    """Imports in the block go by `policy`, unless they are given one of their own."""
    token = _CURRENT.set(policy)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def refused(graph_def: GraphDef, own_files: Collection[str] = ()) -> dict[str, list[str]]:
    """Returns op -> names of its nodes, for every op in the graph and its functions that is not known to be harmless.

    Args:
        graph_def: a graph that has not run.
        own_files: names of tensors of this graph that are the path of a file of the artefact itself. A table may be
            filled from these, and by a node of the graph itself alone: inside a function the same name is another tensor.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    nodes: dict[str, NodeDef] = {}
    by_op: dict[str, list[str]] = {}
    for node in graph_def.node:
        if node.op in ops.TABLES_FROM_FILE:
            nodes = nodes or {each.name: each for each in graph_def.node}
            harmless = _file_name(node, nodes) in own_files
        else:
            harmless = is_harmless(node.op, functions)
        if not harmless:
            by_op.setdefault(node.op, []).append(node.name)
    for function in graph_def.library.function:
        for node in function.node_def:
            if not is_harmless(node.op, functions):
                by_op.setdefault(node.op, []).append(node.name)
    return by_op


def is_harmless(op: str, functions: Collection[str] = ()) -> bool:
    """Returns whether an op does nothing but compute and remember, whatever it is given.

    Args:
        op: its name.
        functions: names of the graph's functions, whose nodes are looked at by themselves. None of them hides an op.
    """
    if op in reach.ALLOWED:
        return True
    if op in reach.REFUSED:
        return False
    if graph.registered(op) is None:
        return op in functions
    return not op.startswith("_") and not is_telling(op)


@functools.cache
def is_telling(op: str) -> bool:
    """Returns whether a registered op could reach out, by its registration: then the table has to know it."""
    definition = graph.registered(op)
    attributes = {attribute.name: attribute for attribute in definition.attr}
    for argument in (*definition.input_arg, *definition.output_arg):
        types = {argument.type}
        if argument.type_attr or argument.type_list_attr:
            types |= set(attributes[argument.type_attr or argument.type_list_attr].allowed_values.list.type)
        if types & _TELLING_TYPES:
            return True
    return definition.is_stateful or any(
        attribute.type in _TELLING_ATTRIBUTES and not attribute.HasField("allowed_values")
        for attribute in definition.attr
    )


def _holding(graph_def: GraphDef, paths: Collection[str]) -> Iterator[str]:
    """Yields names of the constants of the graph itself that hold one of some paths."""
    if paths:
        texts = [[path.encode()] for path in paths]
        for node in graph_def.node:
            if node.op == "Const" and list(node.attr["value"].tensor.string_val) in texts:
                yield f"{node.name}:0"


def _file_name(node: NodeDef, nodes: dict[str, NodeDef]) -> str | None:
    """Returns the tensor that names the file a table is filled from."""
    if len(node.input) < 2:
        return None
    tensor = graph.parse(node.input[1])
    for _ in nodes:
        source = nodes.get(tensor.node)
        if source is None or source.op not in ("Identity", "PlaceholderWithDefault") or not source.input:
            break
        tensor = graph.parse(source.input[0])
    return tensor.name


def before(index: graph.Index, outputs: Collection[str], inputs: Collection[str]) -> dict[str, list[str]]:
    """Returns what `refused` would say of a graph as it was written, cut at `inputs` and pruned to `outputs`."""
    cuts = {graph.parse(name).node for name in inputs}
    ends = [graph.parse(name).node for name in outputs]
    needed = index.ancestors(ends, stop=cuts) - cuts
    kept = rewrite.with_nodes(index.graph_def, (node for name, node in index.nodes.items() if name in needed))
    return refused(kept, [f"{node.name}:0" for node in kept.node if node.op == "Const"])


def listed(by_op: dict[str, list[str]]) -> str:
    """Returns one line per op with some of its nodes."""
    return "\n".join(f"    {op}: {errors.quoted(names, 3)}" for op, names in sorted(by_op.items()))
