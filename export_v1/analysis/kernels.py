"""Whether this TensorFlow, on this machine, can run every op of a graph: asked before anything is written."""

from collections.abc import Iterable, Iterator, Mapping

import tensorflow as tf

from export_v1 import errors, private
from export_v1.ir import graph, ops
from export_v1.ir.graph import GraphDef, NodeDef

# TensorFlow replaces these in each graph that it runs, before it looks for kernels, so none is registered.
_REPLACED_AT_RUN_TIME = frozenset({"AccumulateNV2"})


def check(graph_def: GraphDef) -> None:
    """Checks that this TensorFlow can run every op of a pruned graph.

    Raises:
        ExportError: an op is not registered, has no kernel for a device of this machine and its types, or calls back
            into the Python that built it; all such ops, and where they are.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    python: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    without: dict[str, list[str]] = {}
    for node in graph.all_nodes(graph_def):
        if node.op in ops.PYTHON_CALLS:
            python.setdefault(node.op, []).append(node.name)
        elif node.op in functions:
            continue
        elif graph.registered(node.op) is None:
            unknown.setdefault(node.op, []).append(node.name)
    known = [node for node in graph.all_nodes(graph_def) if node.op not in functions and node.op not in unknown]
    for node, reason in _without_kernel(known):
        without.setdefault(f"{node.op}{reason}", []).append(node.name)
    _refuse(python, unknown, without)


def unrunnable(nodes: Iterable[NodeDef]) -> list[NodeDef]:
    """Returns those nodes whose op this TensorFlow does not know, or has no kernel for on this machine and these types.

    Args:
        nodes: none of them calls a function as its op.
    """
    nodes = list(nodes)
    known = [node for node in nodes if graph.registered(node.op) is not None]
    missing = {id(node) for node, _ in _without_kernel(known)} | {id(node) for node in nodes} - {
        id(node) for node in known
    }
    return [node for node in nodes if id(node) in missing]


def _refuse(python: Mapping, unknown: Mapping, without: Mapping) -> None:
    if python:
        raise errors.ExportError(
            f"The outputs need Python code that a graph does not hold: {_listed(python)}.\n"
            "  tf.py_func left only a number in the graph; its function lived in the process that built it.\n"
            "  Cut the graph after it, --input=KEY=TENSOR, or rebuild it in TensorFlow ops with "
            "--builder=FILE.py:FUNCTION."
        )
    if unknown:
        raise errors.ExportError(
            f"TensorFlow {tf.__version__} does not know {len(unknown)} of the ops that the outputs need: "
            f"{_listed(unknown)}.\n"
            "  Bring a custom op with --op_library=FILE.so, or cut the graph after it with --input=KEY=TENSOR."
        )
    if without:
        raise errors.ExportError(
            f"TensorFlow {tf.__version__} cannot run {len(without)} of the ops that the outputs need on this machine "
            f"({', '.join(sorted(_devices()))}): {_listed(without)}.\n"
            "  Cut the graph around them with --input=KEY=TENSOR and --output=KEY=TENSOR, or export on a machine that "
            "has such a device."
        )


def _listed(ops: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{op} ({len(names)}: {errors.quoted(names, 3)})" for op, names in sorted(ops.items()))


def _devices() -> set[str]:
    return {device.device_type for device in tf.config.list_physical_devices()} | {"CPU"}


def _without_kernel(nodes: Iterable[NodeDef]) -> Iterator[tuple[NodeDef, str]]:
    """Yields each node that no device here has a kernel for, and why: other devices, other types, or none at all."""
    # A kernel for "DEFAULT" serves any device.
    devices = _devices() | {"DEFAULT"}
    kernels: dict[str, list] = {}
    constrained: dict[str, list[str]] = {}
    runs: dict[tuple, bool] = {}
    for node in nodes:
        if node.op in _REPLACED_AT_RUN_TIME:
            continue
        if node.op not in kernels:
            kernels[node.op] = private.kernels_of(node.op)
            constrained[node.op] = sorted(
                {constraint.name for kernel in kernels[node.op] for constraint in kernel.constraint}
            )
        # Large graphs are of few kinds of nodes, and some ops have dozens of kernels: each kind is asked for once.
        kind = (node.op, *(_types_at(node, name) for name in constrained[node.op]))
        if kind not in runs:
            here = (kernel for kernel in kernels[node.op] if kernel.device_type in devices)
            runs[kind] = any(_takes(kernel, node) for kernel in here)
        if not runs[kind]:
            yield node, _missing(node, kernels[node.op], devices)


def _missing(node: NodeDef, kernels: list, devices: set[str]) -> str:
    if any(kernel.device_type in devices for kernel in kernels):
        return f" of {', '.join(_types(node))}"
    elsewhere = sorted({kernel.device_type for kernel in kernels if not kernel.device_type.startswith("XLA")})
    return f" for {', '.join(elsewhere)} only" if elsewhere else " (no kernel)"


def _types_at(node: NodeDef, name: str) -> tuple[int, ...]:
    value = graph.attr(node, name)
    return tuple(value.list.type) if value.WhichOneof("value") == "list" else (value.type,)


_NO_TYPE = (0,)


def _takes(kernel, node: NodeDef) -> bool:
    """Returns whether a kernel is for a node's types."""
    for constraint in kernel.constraint:
        allowed = set(constraint.allowed_values.list.type)
        types = _types_at(node, constraint.name)
        if allowed and types == _NO_TYPE:
            # Of an op whose old version has no such attribute: TensorFlow finds no kernel for it, either.
            return False
        if (
            allowed
            and not {tf.as_dtype(data_type).base_dtype.as_datatype_enum for data_type in types if data_type} <= allowed
        ):
            return False
    return True


def _types(node: NodeDef) -> list[str]:
    values = (value for value in node.attr.values() if value.WhichOneof("value") == "type")
    return sorted({tf.as_dtype(value.type).name for value in values})
