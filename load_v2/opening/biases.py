"""Biases of sums of products: x W + h U + b is a Dense with a bias and one without, as a person writes it."""

from export_v1.ir import ops
from export_v1.ir.graph import GraphDef, NodeDef, Tensor
from load_v2.opening.graph import Graph
from load_v2.opening.values import Values

_PRODUCTS = frozenset({"MatMul", "BatchMatMul", "BatchMatMulV2", "Conv2D", "Conv3D", "DepthwiseConv2dNative"})


def moved(graph: Graph, values: Values) -> GraphDef | None:
    """Returns the nodes with each bias of a sum added to a product in it, None where there is no such bias.

    Guaranteed: the sums are the same but for rounding, and every other tensor is what it was; that first sum, which
    nothing else reads, is another.
    """
    changed: dict[str, NodeDef] = {}
    for node in graph.graph_def.node:
        found = _found(graph, values, Tensor(node.name))
        if found is None:
            continue
        inner, product, other, bias = found
        first, last = NodeDef(), NodeDef()
        first.CopyFrom(graph.node(inner))
        del first.input[:]
        first.input.extend([product.edge, bias.edge])
        last.CopyFrom(first)
        last.name = node.name
        del last.input[:]
        last.input.extend([inner.edge, other.edge])
        changed.update({first.name: first, last.name: last})
    if not changed:
        return None
    result = GraphDef(versions=graph.graph_def.versions, library=graph.graph_def.library)
    result.node.extend(changed.get(node.name, node) for node in graph.graph_def.node)
    return result


def _found(graph: Graph, values: Values, tensor: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """Returns a sum in a sum, the product and the other tensor that it adds, and the bias beside it."""
    op = graph.op(tensor)
    if op not in ops.ADDS | {"BiasAdd"} or graph.attr(tensor, "data_format").s == b"NCHW":
        return None
    left, right = graph.sources(tensor)
    for inner, bias in ((left, right), (right, left)):
        if graph.op(inner) not in ops.ADDS or graph.readers(inner) != 1 or values.is_data(bias):
            continue
        for product, other in (pair := graph.sources(inner)), reversed(pair):
            if values.is_data(other) and _is_product(graph, values, product) and _is_bias(graph, bias, product):
                return inner, product, other, bias
    return None


def _is_product(graph: Graph, values: Values, tensor: Tensor) -> bool:
    if graph.op(tensor) not in _PRODUCTS or graph.readers(tensor) != 1:
        return False
    data, kernel = graph.sources(tensor)
    return values.is_data(data) and not values.is_data(kernel)


def _is_bias(graph: Graph, bias: Tensor, product: Tensor) -> bool:
    """Returns whether the bias has a number for each channel of the product, so that their sum is as large as that."""
    shape, whole = graph.shape(bias), graph.shape(product)
    if not shape or not whole or len(shape) > len(whole):
        return False
    return shape[-1] == whole[-1] is not None and all(size == 1 for size in shape[:-1])
