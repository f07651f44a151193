"""Variables that a graph reads in several forms, or in another than their own: in the model each is one weight all the same.

Where a table is scaled, or its first rows are zeros, the lookups and the products do that instead, so that a layer holds
the variable itself. A variable that still no single layer holds is a `Parameter`, which everything reads.
"""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from export_v1.ir import ops, rewrite
from export_v1.ir.graph import GraphDef, NodeDef, Tensor, parse
from load_v2.errors import LoadError
from load_v2.opening import expressions, printed
from load_v2.opening import graph as graphs
from load_v2.opening.context import Context, Given, Piece, differ_in_bias
from load_v2.opening.expressions import LayerCall, Operand
from load_v2.opening.graph import Graph
from load_v2.opening.layers import Layer
from load_v2.opening.values import Values
from load_v2.program import artefact

# Op -> its inputs: data, and what this is multiplied with.
_PRODUCTS = {
    "MatMul": (0, 1), "BatchMatMul": (0, 1), "BatchMatMulV2": (0, 1), "Conv2D": (0, 1), "Conv3D": (0, 1),
    "DepthwiseConv2dNative": (0, 1), "Conv2DBackpropInput": (2, 1), "Conv3DBackpropInputV2": (2, 1),
}  # fmt: skip
_TRANSPOSES = {"MatMul": "transpose_b", "BatchMatMul": "adj_y", "BatchMatMulV2": "adj_y"}
_GATHERS = ops.GATHERS - {"ResourceGather"}
_RESHAPING = ops.RESHAPES | {"Transpose"}


@dataclasses.dataclass(frozen=True)
class _Form:
    """A tensor as another one, times a number, with zeros in the place of its first rows.

    Attributes:
        bare: the other tensor.
        factor: the number.
        zeros: how many rows of zeros there are.
        left_out: how many rows of the other tensor are not behind them.
    """

    bare: Tensor
    factor: float = 1.0
    zeros: int = 0
    left_out: int = 0


def with_bare_weights(graph: Graph, read: Callable[[artefact.Variable], np.ndarray]) -> Graph:
    """Returns the graph with products and lookups of variables themselves, and what is done to these done to data."""
    if not any(variable.trainable for variable in graph.weights.values()):
        return graph
    rewriting = _Rewriting(graph, Values(graph, read))
    changed = rewriting.nodes()
    return graphs.with_nodes(graph, changed) if rewriting.made else graph


class _Rewriting:
    def __init__(self, graph: Graph, values: Values):
        self._graph, self._values = graph, values
        self.made: list[NodeDef] = []

    def nodes(self) -> GraphDef:
        changed = GraphDef(versions=self._graph.graph_def.versions, library=self._graph.graph_def.library)
        for node in self._graph.graph_def.node:
            before = len(self.made)
            other = self._rewritten(node)
            changed.node.extend([*self.made[before:], other])
            if other is not node:
                self.made.append(other)
        return changed

    def _rewritten(self, node: NodeDef) -> NodeDef:
        """Returns the node that gives what a node gives; what it reads is made before."""
        tensor = Tensor(node.name)
        if node.op in _PRODUCTS:
            data, weight = (self._graph.sources(tensor)[at] for at in _PRODUCTS[node.op])
            if self._is_trained(weight) and self._values.is_data(data):
                return self._product(node, data, weight)
        elif node.op in _GATHERS:
            table, indices, *axis = self._graph.sources(tensor)
            of_rows = not axis or self._values.number(axis[0]) == 0
            if self._is_trained(table) and self._values.is_data(indices) and of_rows:
                return self._lookup(node, table, indices)
        return node

    def _is_trained(self, tensor: Tensor) -> bool:
        if self._values.kind(tensor) != "weight" or not self._graph.dtype(tensor).startswith("float"):
            return False
        return any(variable.trainable for variable in self._values.variables(tensor))

    def _product(self, node: NodeDef, data: Tensor, weight: Tensor) -> NodeDef:
        first, second = _PRODUCTS[node.op]
        flag = _TRANSPOSES.get(node.op)
        is_flipped = flag is not None and self._graph.attr(Tensor(node.name), flag).b
        if flag is not None and self._swaps_the_last(weight):
            weight, is_flipped = self._graph.sources(weight)[0], not is_flipped
        form, rank = self._form(weight), self._graph.rank(data)
        if form.zeros and (rank is None or node.op not in _TRANSPOSES):
            form = _Form(weight)
        if form.bare == self._graph.sources(Tensor(node.name))[second]:
            return node
        copy = NodeDef()
        copy.CopyFrom(node)
        copy.input[second] = form.bare.edge
        if flag is not None:
            copy.attr[flag].b = is_flipped
        if form.factor != 1:
            copy.input[first] = self._scaled(f"{node.name}/scaled", data, form.factor)
        if not form.zeros:
            return copy
        assert rank is not None
        if is_flipped:
            # Each row gives a column: zeros in the place of the first.
            copy.name = f"{node.name}/of_all"
            self.made.append(copy)
            return self._moved(node.name, copy.name, rank, form.left_out, form.zeros, node.attr["T"].type)
        # Each row meets a column: the first meet nothing.
        others = self._moved(
            f"{node.name}/met", copy.input[first], rank, form.zeros, form.left_out, node.attr["T"].type
        )
        self.made.append(others)
        copy.input[first] = others.name
        return copy

    def _moved(self, name: str, edge: str, rank: int, left_out: int, zeros: int, kind: int) -> NodeDef:
        """Returns the node that leaves out the first members of the last axis of a tensor, and has zeros before the others."""
        begin = self._constant(f"{name}/begin", np.array([0] * (rank - 1) + [left_out], np.int32))
        size = self._constant(f"{name}/size", np.array([-1] * rank, np.int32))
        others = self._node("Slice", f"{name}/others", edge, begin, size, T=kind, Index=tf.int32)
        self.made.append(others)
        around = self._constant(f"{name}/around", np.array([[0, 0]] * (rank - 1) + [[zeros, 0]], np.int32))
        return self._node("Pad", name, others.name, around, T=kind, Tpaddings=tf.int32)

    def _lookup(self, node: NodeDef, table: Tensor, indices: Tensor) -> NodeDef:
        form = self._form(table)
        if form.bare == table:
            return node
        name, dtype = node.name, self._graph.dtype(table)
        rows = NodeDef()
        rows.CopyFrom(node)
        rows.name, rows.input[0] = f"{name}/rows", form.bare.edge
        kind = tf.as_dtype(dtype)
        if not form.zeros:
            self.made.append(rows)
            return self._node("Mul", name, rows.name, self._number(f"{name}/factor", form.factor, dtype), T=kind)
        of_indices = self._graph.dtype(indices)
        if shift := form.zeros - form.left_out:
            back = self._node(
                "Sub", f"{name}/back", indices.edge, self._number(f"{name}/by", shift, of_indices), T=tf.as_dtype(of_indices)
            )  # fmt: skip
            self.made.append(back)
            known = self._node(
                "Maximum", f"{name}/known", back.name, self._number(f"{name}/first", 0, of_indices),
                T=tf.as_dtype(of_indices),
            )  # fmt: skip
            self.made.append(known)
            rows.input[1] = known.name
        self.made.append(rows)
        is_row = self._node(
            "GreaterEqual", f"{name}/is_row", indices.edge, self._number(f"{name}/zeros", form.zeros, of_indices),
            T=tf.as_dtype(of_indices),
        )  # fmt: skip
        share = self._node("Cast", f"{name}/share", is_row.name, SrcT=tf.bool, DstT=kind)
        last = self._constant(f"{name}/last", np.array(-1, np.int32))
        each = self._node("ExpandDims", f"{name}/each", share.name, last, T=kind, Tdim=tf.int32)
        self.made += [is_row, share, each]
        factor = (
            each.name if form.factor == 1 else self._scaled(f"{name}/scaled", Tensor(each.name), form.factor, dtype)
        )
        return self._node("Mul", name, rows.name, factor, T=kind)

    def _form(self, tensor: Tensor) -> _Form:
        """Returns what a weight is made of by a factor and by rows of zeros, if by nothing else."""
        op, sources = self._graph.op(tensor), self._graph.sources(tensor)
        if op in {"Mul", "RealDiv"}:
            for weight, other in ((sources[0], sources[1]), (sources[1], sources[0])):
                number = self._values.number(other)
                if number and (op == "Mul" or other == sources[1]) and self._keeps_shape(weight, tensor):
                    form = self._form(weight)
                    factor = form.factor * (number if op == "Mul" else 1 / number)
                    return dataclasses.replace(form, factor=factor)
        if op in _RESHAPING:
            form = self._form(sources[0])
            if form.factor == 1 or form.zeros:
                return _Form(tensor)
            copy = NodeDef()
            copy.CopyFrom(self._graph.node(tensor))
            copy.name, copy.input[0] = f"{tensor.node}/bare", form.bare.edge
            if all(node.name != copy.name for node in self.made):
                self.made.append(copy)
            return _Form(Tensor(copy.name), form.factor)
        return self._with_zeros(tensor) or _Form(tensor)

    def _with_zeros(self, tensor: Tensor) -> _Form | None:
        """Returns the form of a table whose first rows are zeros and whose others are the last of a variable."""
        if self._graph.op(tensor) != "ConcatV2" or self._graph.rank(tensor) != 2:
            return None
        *parts, axis = self._graph.sources(tensor)
        if len(parts) != 2 or self._values.number(axis) != 0:
            return None
        zeros, inner = self._values.constant(parts[0]), self._form(parts[1])
        rows = self._values.places(inner.bare) if not inner.zeros and inner.bare in self._graph else None
        if zeros is None or zeros.any() or not len(zeros) or rows is None:
            return None
        variable, (of_rows, of_columns) = rows
        count, width = self._graph.shape(variable) or (None, None)
        if count is None or width is None or of_rows.shape != (of_rows.shape[0], width):
            return None
        left_out = count - len(of_rows)
        is_end = left_out >= 0 and (of_rows == np.arange(left_out, count)[:, None]).all()
        if not is_end or not (of_columns == np.arange(width)).all():
            return None
        return _Form(variable, inner.factor, len(zeros), left_out)

    def _swaps_the_last(self, tensor: Tensor) -> bool:
        if self._graph.op(tensor) != "Transpose" or self._graph.rank(tensor) != 2:
            return False
        order = self._values.constant(self._graph.sources(tensor)[1])
        return order is not None and list(order) == [1, 0]

    def _keeps_shape(self, source: Tensor, tensor: Tensor) -> bool:
        return self._graph.shape(source) is not None and self._graph.shape(source) == self._graph.shape(tensor)

    def _scaled(self, name: str, tensor: Tensor, factor: float, dtype: str | None = None) -> str:
        dtype = dtype or self._graph.dtype(tensor)
        number = self._number(f"{name}/factor", factor, dtype)
        self.made.append(self._node("Mul", name, tensor.edge, number, T=tf.as_dtype(dtype)))
        return name

    def _number(self, name: str, number: float, dtype: str) -> str:
        return self._constant(name, np.asarray(number, tf.as_dtype(dtype).as_numpy_dtype))

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.made.append(graphs.constant(name, value))
        return name

    @staticmethod
    def _node(op: str, name: str, *inputs: str, **types: tf.DType) -> NodeDef:
        return rewrite.node(name, op, map(parse, inputs), **{key: tf.as_dtype(kind) for key, kind in types.items()})


def giving(
    context: Context, pieces: Iterable[Piece], several: Mapping[str, Collection[Layer | None]]
) -> Context | None:
    """Returns a context in which a layer of Keras's holds each variable, and gives it to all other places; None if none can.

    Args:
        context: of the graph.
        pieces: that cover it.
        several: name of a variable -> the layers that have it, None for a weight in no layer.
    """
    pieces = list(pieces)
    graph, given = context.graph, dict[str, Given]()
    for name, layers in several.items():
        if name in context.without_bias or differ_in_bias(layers):
            continue
        held = [at for at, variable in context.graph.weights.items() if variable.name == name]
        # The first in the graph that has it as the variable is, else the first.
        wanted = [layer for layer in reversed(list(layers)) if layer is not None] if len(held) == 1 else []
        found = (_holder(context, layer, held[0]) for layer in wanted)
        holders = sorted((holder for holder in found if holder is not None), key=lambda holder: holder.flipped)
        if not holders:
            continue
        holder = holders[0]
        made = _Giving(graph, held[0], _between(context, holder.tensor), _nodes_of(pieces, holder.layer))
        graph = made.graph()
        given[made.given] = Given(name, holder.layer.kind, holder.flipped)
    return context.giving(graph, given) if given else None


@dataclasses.dataclass(frozen=True)
class _Holder:
    """A layer whose first weight is a variable.

    Attributes:
        layer: the layer.
        tensor: what that is made of.
        flipped: whether rows and columns are exchanged.
    """

    layer: Layer
    tensor: Tensor
    flipped: bool


def _holder(context: Context, layer: Layer, held: str) -> _Holder | None:
    """Returns how a layer's first weight is a variable, if it is nothing but that."""
    name = context.graph.weights[held].name
    if layer.kind not in printed.TIED_WEIGHTS or layer.printed or layer.origins[0] != (name,):
        return None
    tensors = {t for t in layer.made_of if [v.name for v in context.values.variables(t)] == [name]}
    places = context.values.places(next(iter(tensors))) if len(tensors) == 1 else None
    if places is None:
        return None
    variable, weight = context.values.of_variable(held), layer.weights[0]
    numbers = np.arange(variable.size).reshape(variable.shape)
    moved = numbers[tuple(at.astype(int) for at in places[1])]
    if not any(np.array_equal(moved, other) for other in (numbers, numbers.T)):
        return None
    as_it_is, flipped = np.array_equal(weight, variable), weight.ndim == 2 and np.array_equal(weight.T, variable)
    # One whose numbers look the same in both ways does not tell which it is.
    if as_it_is == flipped:
        return None
    return _Holder(layer, next(iter(tensors)), bool(flipped))


def _nodes_of(pieces: Iterable[Piece], layer: Layer) -> frozenset[str]:
    calls = [
        piece
        for piece in pieces
        if any(isinstance(part, LayerCall) and part.layer is layer for part in expressions.walk(piece.code))
    ]
    return frozenset().union(*(piece.nodes for piece in calls))


def _between(context: Context, weight: Tensor) -> frozenset[str]:
    """Returns the nodes that make a weight of a variable."""
    above = context.graph.index.ancestors([weight.node]) | {weight.node}
    return frozenset(
        at for at in above if at not in context.graph.weights and context.values.kind(Tensor(at)) == "weight"
    )


class _Giving:
    """A graph in which one layer reads a variable itself, and all else another node that stands for it."""

    def __init__(self, graph: Graph, held: str, between: Collection[str], readers: Collection[str]):
        self._graph, self._held, self._readers = graph, held, readers
        self.given = f"{held}/given"
        self._between = between

    def graph(self) -> Graph:
        """Returns that graph."""
        tensor = Tensor(self._held)
        changed = GraphDef(versions=self._graph.graph_def.versions, library=self._graph.graph_def.library)
        changed.node.append(
            graphs.placeholder(self.given, tf.as_dtype(self._graph.dtype(tensor)), self._graph.shape(tensor))
        )
        for node in self._graph.graph_def.node:
            if node.name in self._between:
                own = changed.node.add()
                own.CopyFrom(node)
                own.name = self._own(node.name)
                own.input[:] = [self._own_edge(edge) for edge in node.input]
            copy = changed.node.add()
            copy.CopyFrom(node)
            edge_of = self._own_edge if node.name in self._readers else self._others_edge
            copy.input[:] = [edge_of(edge) for edge in node.input]
        return graphs.with_another(self._graph, changed, self._held, self.given)

    @staticmethod
    def _own(name: str) -> str:
        return f"{name}/own"

    def _own_edge(self, edge: str) -> str:
        tensor = parse(edge)
        return Tensor(self._own(tensor.node), tensor.index).edge if tensor.node in self._between else edge

    def _others_edge(self, edge: str) -> str:
        return self.given if parse(edge).node == self._held else edge


def bound(context: Context, pieces: Iterable[Piece]) -> list[Piece]:
    """Returns pieces in which layers that hold variables give them.

    Raises:
        LoadError: there is no such layer.
    """
    pieces = list(pieces)
    layers = {
        id(p.layer): p.layer for piece in pieces for p in expressions.walk(piece.code) if isinstance(p, LayerCall)
    }
    found = {}
    for node, given in context.given.items():
        own = [
            layer for layer in layers.values() if layer.kind == given.kind and layer.origins[:1] == ((given.variable,),)
        ]
        if len(own) != 1:
            raise LoadError(
                f"No layer alone has the variable {given.variable!r}.\n  This is a bug; use SignatureLayer."
            )
        found[node] = own[0]
    made = []
    for piece in pieces:
        output = piece.outputs[0]
        if output is not None and output.node in found and isinstance(piece.code, LayerCall):
            given, layer = context.given[output.node], found[output.node]
            name = expressions.Literal(printed.TIED_WEIGHTS[given.kind])
            code = LayerCall(layer, piece.code.arguments, (("weight", name),))
            whole = expressions.call("ops.transpose", code) if given.flipped else code
            piece = dataclasses.replace(piece, code=whole, rule="Tied", scope=layer.scope)
        made.append(piece)
    for layer in {id(layer): layer for layer in found.values()}.values():
        printed.tie(layer)
    return made


def parameter(context: Context, tensor: Tensor) -> Piece:
    """Returns the piece for a variable that several places read: a layer that holds it, or gives it, too."""
    layer = printed.parameter(context, tensor, context.values.of_variable(tensor.node), tensor.node)
    anchor = next(iter(context.inputs.values()))
    return Piece((tensor,), LayerCall(layer, (Operand(anchor),)), layer.kind, frozenset(), layer.scope)


@dataclasses.dataclass(frozen=True)
class _Use:
    """Weights of a layer, or one in no layer: where they are, and the tensors that they are made of, as far as known."""

    layer: Layer | None
    tensors: tuple[Tensor, ...]


def untied(context: Context, pieces: Iterable[Piece]) -> dict[str, tuple[Layer | None, ...]]:
    """Returns the variables of which the code for pieces would hold a number twice -> the layers that have it.

    None stands for a weight that is in no layer of Keras's.
    """
    uses: dict[str, list[_Use]] = {}
    for name, use in _uses(context, pieces):
        uses.setdefault(name, []).append(use)
    return {
        name: tuple(use.layer for use in found)
        for name, found in uses.items()
        if len(found) > 1 and _overlap(context, name, found)
    }


def _uses(context: Context, pieces: Iterable[Piece]) -> Iterator[tuple[str, _Use]]:
    parts = [part for piece in pieces for part in expressions.walk(piece.code)]
    layers = {id(part.layer): part.layer for part in parts if isinstance(part, LayerCall)}
    for layer in layers.values():
        for name in layer.variables:
            yield name, _Use(layer, layer.made_of)
    read = [*(part.tensor for part in parts if isinstance(part, Operand)), *context.outputs.values()]
    for tensor in dict.fromkeys(read):
        if tensor in context.graph and context.values.kind(tensor) == "weight":
            for variable in context.values.variables(tensor):
                yield variable.name, _Use(None, (tensor,))


def _overlap(context: Context, name: str, uses: Iterable[_Use]) -> bool:
    """Returns whether two uses of a variable have a number of it in common, as far as that can be told."""
    known: np.ndarray | None = None
    for use in uses:
        mine = [
            context.values.needed_of(name, tensor)
            for tensor in dict.fromkeys(use.tensors)
            if name in (variable.name for variable in context.values.variables(tensor))
        ]
        needed = functools.reduce(np.logical_or, mine, np.array(not mine))
        if known is not None and (needed & known).any():
            return True
        known = needed if known is None else needed | known
    return False
