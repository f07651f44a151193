"""Which signatures of a model one graph can answer, by what their outputs reach."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from export_v1.ir.graph import Index, Tensor, data_inputs, parse
from export_v1.planning import variant


def groups(index: Index, signatures: Mapping[str, variant.PlannedSignature]) -> list[list[str]]:
    """Returns the keys of the signatures in groups that can share a graph, in order.

    A graph is cut at the inputs of all its signatures at once. That changes nothing for a signature whose outputs reach
    no cut and no frozen tensor but its own: one that takes `x` can share a graph with one that takes `x2`, not with one
    that takes the serialized example which `x` is parsed from.

    >>> # key -> (inputs, outputs): a (x -> y), b (example -> y), c (x2 -> y2)   gives [["a", "c"], ["b"]]
    """
    grouped: list[list[str]] = []
    for key, signature in signatures.items():
        for group in grouped:
            if _share(index, [*(signatures[other] for other in group), signature]):
                group.append(key)
                break
        else:
            grouped.append([key])
    return grouped


def _share(index: Index, signatures: list[variant.PlannedSignature]) -> bool:
    cuts = {source.tensor for signature in signatures for source in signature.inputs.values()}
    shapes = {(source.tensor, str(source.shape)) for signature in signatures for source in signature.inputs.values()}
    frozen = {name for signature in signatures for name in signature.frozen}
    if cuts & frozen or len(shapes) > len(cuts) or not _agree(signatures):
        return False
    stops = cuts | frozen
    for signature in signatures:
        own = {source.tensor for source in signature.inputs.values()} | set(signature.frozen)
        if not stops & reached(index, signature.outputs.values(), stops) <= own:
            return False
    return True


def _agree(signatures: list[variant.PlannedSignature]) -> bool:
    values: dict[str, Any] = {}
    pairs: list[tuple[str, Any]] = [pair for signature in signatures for pair in signature.frozen.items()]
    return all(np.array_equal(values.setdefault(name, value), value) for name, value in pairs)


def reached(index: Index, outputs: Iterable[str], stops: Collection[str]) -> set[str]:
    """Returns the names of the tensors that outputs depend on, themselves included; none behind `stops`.

    A control edge names no tensor, but what its node reads has to be there, too.
    """
    seen: set[Tensor] = set()
    todo = [parse(name) for name in outputs]
    stop_nodes = {parse(name).node for name in stops}
    while todo:
        tensor = todo.pop()
        if tensor in seen or tensor.node not in index:
            continue
        seen.add(tensor)
        waits = tensor.index < 0
        if not (tensor.node in stop_nodes if waits else tensor.name in stops):
            todo.extend(parse(edge) for edge in index[tensor.node].input)
    return {tensor.name for tensor in seen if tensor.index >= 0}


def defaults(index: Index, outputs: Iterable[str], stops: Iterable[str]) -> dict[str, object]:
    """Returns tensor name -> value of the placeholders with a constant default that outputs reach."""
    names = reached(index, outputs, {parse(name).name for name in stops})
    values = {}
    for name in sorted(names):
        node = index[parse(name).node]
        if node.op == "PlaceholderWithDefault" and name == f"{node.name}:0":
            source = index.nodes.get(data_inputs(node)[0].node)
            while source is not None and source.op == "Identity":
                source = index.nodes.get(data_inputs(source)[0].node)
            if source is not None and source.op == "Const":
                value = tf.make_ndarray(source.attr["value"].tensor)
                values[name] = value.item() if value.ndim == 0 else value
    fed = {parse(name).name for name in stops}
    return {name: value for name, value in values.items() if name not in fed}
