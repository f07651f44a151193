"""variables: which variable a tensor is a read of, and who computes with a variable."""

from collections.abc import Collection

from export_v1.ir import graph, ops
from export_v1.ir.graph import Index, NodeDef, Tensor, data_inputs

# Pass a variable's value on as it is.
_READS = ops.VARIABLE_READS | ops.ALIAS_TWINS.keys()


def read_by(index: Index, tensor: Tensor) -> str | None:
    """Returns the variable that a reference, a handle or a read of one is of, or None."""
    seen = set()
    while tensor.node in index and tensor.node not in seen:
        seen.add(tensor.node)
        node = index[tensor.node]
        if node.op in ops.VARIABLES:
            return node.name
        if node.op not in _READS and not any(graph.ref_outputs(node)):
            return None
        inputs = data_inputs(node)
        if not inputs:
            return None
        tensor = inputs[0]
    return None


def written_by(index: Index, node: NodeDef) -> str | None:
    """Returns the variable that a node writes to, or None."""
    return read_by(index, data_inputs(node)[0]) if ops.writes_variable(node.op) else None


def readers(index: Index, name: str, passed: Collection[str] = _READS) -> list[tuple[NodeDef, int]]:
    """Returns (node, input position) of whatever computes with a variable or constant.

    Args:
        index: of the graph.
        name: of the variable or constant.
        passed: ops that are seen through, by their first input.
    """
    uses, todo, seen = [], [name], {name}
    while todo:
        for reader, at in index.consumers(todo.pop()):
            if reader.input[at].startswith("^"):
                continue
            if reader.op not in passed:
                uses.append((reader, at))
            elif at == 0 and reader.name not in seen:
                seen.add(reader.name)
                todo.append(reader.name)
    return uses
