"""The moving statistics of batch norms, by what reads them."""

from export_v1.analysis import variables
from export_v1.ir import ops
from export_v1.ir.graph import Index, NodeDef, data_inputs
from export_v1.ir.match import anything, either, made_by, match

# scale, offset, mean, variance are inputs 1 to 4.
_STATISTICS = frozenset({3, 4})
# Between a variable and what computes with it.
_PASSED = ops.VARIABLE_READS | ops.SWITCHES | {"Enter", "Merge", "Squeeze", "Reshape", "Cast"}
_SCALED = either(
    made_by("Rsqrt"),
    made_by("Identity", made_by("Rsqrt")),
    made_by("Mul", made_by("Rsqrt"), anything(), any_order=True),
)


def moving(index: Index, names: set[str]) -> set[str]:
    """Returns those of `names` (variables, or constants that were variables) that are moving statistics.

    They are read by a fused batch norm as its mean or variance; or, where the batch norm is written out, as the
    variance in `rsqrt(variance + epsilon)` and as the mean that is scaled by that and subtracted:

        scale = rsqrt(variance + epsilon) * gamma;    y = x * scale + (beta - mean * scale)
    """
    statistics = set()
    for name in names:
        reading = readers(index, name)
        if any(reader.op in ops.BATCH_NORMS and at in _STATISTICS for reader, at in reading):
            statistics.add(name)
        elif any(_is_variance(index, reader) or _is_mean(index, reader) for reader, _ in reading):
            statistics.add(name)
    return statistics


def readers(index: Index, name: str) -> list[tuple[NodeDef, int]]:
    """Returns (node, input position) of whatever computes with a variable or constant, seen through its reads."""
    return variables.readers(index, name, _PASSED)


def _is_variance(index: Index, reader: NodeDef) -> bool:
    return reader.op in ops.ADDS and any(after.op in ("Rsqrt", "Sqrt") for after, _ in index.consumers(reader.name))


def _is_mean(index: Index, reader: NodeDef) -> bool:
    if reader.op != "Mul" or not any(match(index, tensor, _SCALED) for tensor in data_inputs(reader)):
        return False
    return any(after.op == "Sub" and at == 1 or after.op == "Neg" for after, at in index.consumers(reader.name))
