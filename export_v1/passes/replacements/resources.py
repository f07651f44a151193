"""What a resource of TensorFlow 1 holds when the model is in use: what its Saver restores, else what it is made of."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.ir import ops
from export_v1.ir.graph import Index, NodeDef, Tensor, attr, data_inputs
from export_v1.passes.replacements.site import Site


def value(site: Site, restored_by: tuple[str, int], made_by: tuple[str, int] | None = None) -> np.ndarray:
    """Returns what the resource that a node's first input is was given.

    Args:
        site: of the node.
        restored_by: the op by which a Saver restores such a resource, and which of its inputs the value is.
        made_by: the op that makes such a resource, and which of its inputs the value is; asked where no Saver knows it.

    Raises:
        ExportError: the checkpoint lacks the value, or neither a Saver nor a constant gives one.
    """
    handle = site.source(0)
    if handle is None:
        raise ValueError("its resource comes from outside the function that it is in")
    keys = [key for key in restored_from(site.written, handle, *restored_by) if key is not None]
    for key in keys:
        stored = site.stored(key)
        if stored is not None:
            return stored
    if keys:
        raise errors.ExportError(
            f"The checkpoint has no key {keys[0]!r}, from which the Saver restores {handle.name!r} ({handle.op}).\n"
            f"  Node {site.node.name!r} needs it; pass --checkpoint=PREFIX with a checkpoint of this model, or cut the "
            "graph after that node with --input=KEY=TENSOR."
        )
    for op, position in filter(None, (restored_by, made_by)):
        for tensor in _given(site.written, handle, op, position):
            constant = _constant(site.written, tensor)
            if constant is not None:
                return constant
    raise ValueError(f"neither a Saver nor a constant of the graph gives what {handle.name!r} ({handle.op}) holds")


def restored_from(written: Index, handle: NodeDef, restored_by: str, position: int) -> list[str | None]:
    """Returns, for each node by which a Saver may restore a resource, the checkpoint key of one of that node's inputs.

    Args:
        written: of the whole graph as it was written.
        handle: of the resource.
        restored_by: the op of such nodes.
        position: of the input. Where no checkpoint gives it, there is None.
    """
    return [_key(written, tensor) for tensor in _given(written, handle, restored_by, position)]


def _given(written: Index, handle: NodeDef, op: str, position: int) -> Iterator[Tensor]:
    """Yields what each node of an op gives to a resource, whichever of the resource's handles it uses."""
    for other in written.graph_def.node:
        if other.op == handle.op and _identity(other) == _identity(handle):
            for consumer, at in written.consumers(other.name):
                if consumer.op == op and at == 0:
                    yield data_inputs(consumer)[position]


def _identity(handle: NodeDef) -> tuple[bytes, bytes]:
    """Returns container and name of a resource: handles that have the same ones are of one resource."""
    return attr(handle, "container").s, attr(handle, "shared_name").s or handle.name.encode()


def _key(index: Index, tensor: Tensor) -> str | None:
    """Returns the checkpoint key that a tensor is restored from, or None where it is not restored."""
    node, output = _origin(index, tensor)
    if node.op not in ops.RESTORES:
        return None
    keys = _constant(index, data_inputs(node)[1])
    return None if keys is None else np.ravel(keys)[output].decode()


def _constant(index: Index, tensor: Tensor) -> np.ndarray | None:
    node, _ = _origin(index, tensor)
    return tf.make_ndarray(attr(node, "value").tensor) if node.op == "Const" else None


def _origin(index: Index, tensor: Tensor) -> tuple[NodeDef, int]:
    while index[tensor.node].op in ("Identity", "PlaceholderWithDefault"):
        tensor = data_inputs(index[tensor.node])[0]
    return index[tensor.node], tensor.index
