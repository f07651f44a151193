"""Which variables, or constants that were variables, are moving statistics of a batch norm, by what reads them."""

from export_v1.ir.graph import Index, NodeDef, data_inputs

BATCH_NORMS = frozenset({"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"})
# scale, offset, mean, variance are inputs 1 to 4.
_STATISTICS = frozenset({3, 4})
PASSES_ON = frozenset(
    {"Identity", "ReadVariableOp", "Enter", "Switch", "RefSwitch", "Merge", "Squeeze", "Reshape", "Cast"}
)


def moving(index: Index, names: set[str]) -> set[str]:
    """Returns those of `names` (variables or constants) that are moving statistics.

    They are read by a fused batch norm as its mean or variance; or, where the batch norm is written out, as the
    variance in `rsqrt(variance + epsilon)` and as the mean that is scaled by that and subtracted:

        scale = rsqrt(variance + epsilon) * gamma;    y = x * scale + (beta - mean * scale)
    """
    found = set()
    for name in names:
        reading = readers(index, name)
        if any(node.op in BATCH_NORMS and at in _STATISTICS for node, at in reading):
            found.add(name)
        elif any(_is_variance(index, node) or _is_mean(index, node) for node, _ in reading):
            found.add(name)
    return found


def readers(index: Index, name: str) -> list[tuple[NodeDef, int]]:
    """Returns (node, input position) of whatever computes with a variable or constant, seen through its reads."""
    found, todo, seen = [], [name], {name}
    while todo:
        for node, at in index.consumers(todo.pop()):
            if node.input[at].startswith("^"):
                continue
            if node.op not in PASSES_ON:
                found.append((node, at))
            elif at == 0 and node.name not in seen:
                seen.add(node.name)
                todo.append(node.name)
    return found


def _is_variance(index: Index, node: NodeDef) -> bool:
    adds = node.op in ("Add", "AddV2")
    return adds and any(reader.op in ("Rsqrt", "Sqrt") for reader, _ in index.consumers(node.name))


def _is_mean(index: Index, node: NodeDef) -> bool:
    if node.op != "Mul" or not any(_behind_rsqrt(index, tensor.node) for tensor in data_inputs(node)):
        return False
    return any(reader.op == "Sub" and at == 1 or reader.op == "Neg" for reader, at in index.consumers(node.name))


def _behind_rsqrt(index: Index, name: str) -> bool:
    node = index.nodes.get(name)
    if node is None or node.op not in ("Mul", "Rsqrt", "Identity"):
        return False
    behind = [index.nodes.get(tensor.node) for tensor in data_inputs(node)]
    return node.op == "Rsqrt" or any(one is not None and one.op == "Rsqrt" for one in behind)
