"""merge: the graphs of several signatures become one, over one set of variables and tables."""

from collections.abc import Mapping

from export_v1.ir import library, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, parse

# What must exist once however many graphs use it: TensorFlow's loaders bind a variable to one handle node.
SHARED = ops.TABLES | {"VarHandleOp"}


def graphs(parts: Mapping[str, GraphDef]) -> GraphDef:
    """Returns one graph of all the parts; nodes of a part are named with its prefix ("" for none, "train/").

    Variables of one shared name, and tables of one node name, become one node: that of the first part that has them.
    What fills a table is that of the first part, too, and so is the file that it reads.
    Functions of the same name and content are one; of the same name and other content, the later is renamed.

    Args:
        parts: name prefix -> graph without reference types. Not modified.
    """
    merged = GraphDef()
    shared: dict[tuple[str, str], str] = {}
    used_names: set[str] = set()
    for prefix, part in parts.items():
        moved = _functions(merged, part, prefix)
        # Within one part, too: a graph rebuilt under a scope has handle nodes that share a resource by name.
        standing: dict[str, str] = {}
        for node in part.node:
            if node.op in SHARED:
                standing[node.name] = shared.setdefault(_identity(node), _new_name(node, prefix, used_names, shared))
        filled = _filled_before(part, {name for name, new in standing.items() if new in used_names})
        renamed = {node.name: standing.get(node.name, prefix + node.name) for node in part.node}
        for node in part.node:
            if node.name in filled or (node.name in standing and renamed[node.name] in used_names):
                continue
            used_names.add(renamed[node.name])
            merged.node.append(_copy(node, renamed, moved))
    # Ops that were withdrawn at some version run only in a graph that says it is older.
    merged.versions.producer = min((part.versions.producer for part in parts.values()), default=0)
    return merged


def _filled_before(part: GraphDef, tables: set[str]) -> set[str]:
    """Returns the nodes of a part that do nothing but fill tables which another part has filled."""
    fillers = [
        node.name for node in part.node if node.op in ops.TABLE_INITIALIZERS and parse(node.input[0]).node in tables
    ]
    if not fillers:
        return set()
    index = Index(part)
    above = index.ancestors(fillers)
    return above - index.ancestors(name for name in index.nodes if name not in above) - tables


def _identity(node: NodeDef) -> tuple[str, str]:
    shared_name = attr(node, "shared_name").s.decode() if node.op == "VarHandleOp" else ""
    return node.op, shared_name or node.name


def _new_name(node: NodeDef, prefix: str, used_names: set[str], shared: dict) -> str:
    # A handle keeps its bare name where nobody else has it: a variable's name is what its users know.
    return node.name if node.name not in used_names else prefix + node.name


def _copy(node: NodeDef, renamed: Mapping[str, str], calls: Mapping[str, str]) -> NodeDef:
    def moved(tensor: Tensor) -> Tensor:
        return Tensor(renamed[tensor.node], tensor.index)

    made = rewrite.rewired(node, moved, renamed)
    made.name = renamed[node.name]
    if node.op == "VarHandleOp":
        made.attr["shared_name"].s = made.name.encode()
    _rename_calls(made, calls)
    return made


def _rename_calls(node: NodeDef, calls: Mapping[str, str]) -> None:
    if not calls:
        return
    node.op = calls.get(node.op, node.op)
    for value in node.attr.values():
        for func in [value.func, *value.list.func] if value.WhichOneof("value") in ("func", "list") else ():
            if func.name in calls:
                func.name = calls[func.name]


def _functions(merged: GraphDef, part: GraphDef, prefix: str) -> dict[str, str]:
    """Adds a part's function library to the merged one; returns the names that had to change."""
    present = {function.signature.name: function for function in merged.library.function}
    same = {
        function.signature.name
        for function in part.library.function
        if function.signature.name in present and _content(function) == _content(present[function.signature.name])
    }
    clashing = {function.signature.name for function in part.library.function} & present.keys() - same
    # A function of the same content that calls one which is renamed does something else, and is renamed as well.
    calls = {function.signature.name: _called(function) for function in part.library.function}
    while more := {name for name in same - clashing if calls[name] & clashing}:
        clashing |= more
    renamed = {name: _function_name(name, prefix) for name in clashing}
    for function in part.library.function:
        if function.signature.name in same - clashing:
            continue
        copy = merged.library.function.add()
        copy.CopyFrom(function)
        copy.signature.name = renamed.get(copy.signature.name, copy.signature.name)
        for node in copy.node_def:
            _rename_calls(node, renamed)
    for gradient in part.library.gradient:
        copy = type(gradient)(
            function_name=renamed.get(gradient.function_name, gradient.function_name),
            gradient_func=renamed.get(gradient.gradient_func, gradient.gradient_func),
        )
        if copy not in merged.library.gradient:
            merged.library.gradient.append(copy)
    return renamed


def _content(function) -> bytes:
    return function.SerializeToString(deterministic=True)


def _called(function) -> set[str]:
    return {name for node in function.node_def for name in library.called_by(node)}


def _function_name(name: str, prefix: str) -> str:
    return parse(prefix).node.strip("/").replace("/", "_") + "_" + name
