"""merge: the graphs of several signatures become one, over one set of variables and tables."""

from collections.abc import Mapping

from export_v1.ir import rewrite
from export_v1.ir.graph import GraphDef, NodeDef, Tensor, attr, parse
from export_v1.passes.tables import TABLES

# What must exist once however many graphs use it: TensorFlow's loaders bind a variable to one handle node.
SHARED = TABLES | {"VarHandleOp"}


def graphs(parts: Mapping[str, GraphDef]) -> GraphDef:
    """Returns one graph of all the parts; nodes of a part are named with its prefix ("" for none, "train/").

    Variables of one shared name, and tables of one node name, become one node: that of the first part that has them.
    Functions of the same name and content are one; of the same name and other content, the later is renamed.

    Args:
        parts: name prefix -> graph without reference types. Not modified.
    """
    merged, shared, taken = GraphDef(), {}, set()
    for prefix, part in parts.items():
        functions = _functions(merged, part, prefix)
        # Within one part, too: a graph rebuilt under a scope has handle nodes that share a resource by name.
        standing: dict[str, str] = {}
        for node in part.node:
            if node.op in SHARED:
                standing[node.name] = shared.setdefault(_identity(node), _new_name(node, prefix, taken, shared))
        renamed = {node.name: standing.get(node.name, prefix + node.name) for node in part.node}
        for node in part.node:
            if node.name in standing and renamed[node.name] in taken:
                continue
            taken.add(renamed[node.name])
            merged.node.append(_copy(node, renamed, functions))
    # Ops that were withdrawn at some version run only in a graph that says it is older.
    merged.versions.producer = min((part.versions.producer for part in parts.values()), default=0)
    return merged


def _identity(node: NodeDef) -> tuple[str, str]:
    shared_name = attr(node, "shared_name").s.decode() if node.op == "VarHandleOp" else ""
    return node.op, shared_name or node.name


def _new_name(node: NodeDef, prefix: str, taken: set[str], shared: dict) -> str:
    # A handle keeps its bare name where nobody else has it: a variable's name is what its users know.
    return node.name if node.name not in taken else prefix + node.name


def _copy(node: NodeDef, renamed: Mapping[str, str], functions: Mapping[str, str]) -> NodeDef:
    def moved(tensor: Tensor) -> Tensor:
        return Tensor(renamed[tensor.node], tensor.index)

    made = rewrite.rewired(node, moved, renamed)
    made.name = renamed[node.name]
    if node.op == "VarHandleOp":
        made.attr["shared_name"].s = made.name.encode()
    _rename_calls(made, functions)
    return made


def _rename_calls(node: NodeDef, functions: Mapping[str, str]) -> None:
    node.op = functions.get(node.op, node.op)
    for value in node.attr.values():
        for func in [value.func, *value.list.func] if value.WhichOneof("value") in ("func", "list") else ():
            if func.name in functions:
                func.name = functions[func.name]


def _functions(merged: GraphDef, part: GraphDef, prefix: str) -> dict[str, str]:
    """Adds a part's function library to the merged one; returns the names that had to change."""
    there = {function.signature.name: function for function in merged.library.function}
    added = []
    for function in part.library.function:
        known = there.get(function.signature.name)
        if known is None or known.SerializeToString(deterministic=True) != function.SerializeToString(
            deterministic=True
        ):
            added.append((function, known is not None))
    renamed = {function.signature.name: _function_name(function, prefix) for function, clash in added if clash}
    for function, _ in added:
        copy = merged.library.function.add()
        copy.CopyFrom(function)
        copy.signature.name = renamed.get(copy.signature.name, copy.signature.name)
        for node in copy.node_def:
            _rename_calls(node, renamed)
    merged.library.gradient.extend(one for one in part.library.gradient if one not in merged.library.gradient)
    return renamed


def _function_name(function, prefix: str) -> str:
    return parse(prefix).node.strip("/").replace("/", "_") + "_" + function.signature.name
