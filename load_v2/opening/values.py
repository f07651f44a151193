"""What each tensor is made of: constants, weights or data; and the values of the first two.

Weights are evaluated, not matched: whatever the graph does to a variable before data meets it (a transposition, a
scale, partitions joined) is computed here, by TensorFlow itself, so no pattern needs to know of it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal

import numpy as np
import tensorflow as tf

from export_v1.ir import graph as ir
from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening.graph import Graph
from load_v2.program import artefact

Kind = Literal["constant", "weight", "data"]
# Their answer does not follow from their inputs.
_STATEFUL = frozenset({"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"}) | ops.TABLES
# Ops after which the elements of a weight are what they were.
_REARRANGING = ops.ADDS | {
    "Cast", "ExpandDims", "Reshape", "ReverseV2", "Slice", "Split", "SplitV", "Squeeze", "StridedSlice", "Sub", "Transpose",
    "Unpack",
}  # fmt: skip
# Those of them that leave each number what it is.
_MOVING = _REARRANGING - ops.ADDS - {"Cast", "Sub"}
_ORDER: tuple[Kind, ...] = ("constant", "weight", "data")


class Values:
    """The kinds of a graph's tensors, and the values of those that do not depend on data.

    Args:
        graph: the graph.
        read: gives the value of a variable.
        shared: names of variables that are data themselves, since several layers read them.
        given: nodes that stand for variables, and are data themselves, since layers give them.
    """

    def __init__(
        self,
        graph: Graph,
        read: Callable[[artefact.Variable], np.ndarray],
        shared: Collection[str] = frozenset(),
        given: Collection[str] = frozenset(),
    ):
        self._graph, self._read, self._shared, self._given = graph, read, shared, given
        self._kinds: dict[str, Kind] = {}
        self._variables: dict[str, frozenset[str]] = {}
        self._known: dict[Tensor, np.ndarray] = {}
        self._held: dict[str, np.ndarray] = {}
        self._session: tf.compat.v1.Session | None = None
        self._formulas: dict[str, int] = {}
        self._order = in_order(graph)
        for name in self._order:
            self._classify(name)

    def sharing(self, shared: Collection[str]) -> "Values":
        """Returns the values of the same graph with other variables as data."""
        result = Values(self._graph, self._read, shared, self._given)
        result._held, result._session = self._held, self._session
        return result

    def giving(self, graph: Graph, given: Collection[str]) -> "Values":
        """Returns the values of a graph with the same variables, in which some nodes that stand for them are data."""
        return Values(graph, self._read, self._shared, given)

    def _classify(self, name: str) -> None:
        node = self._graph.index[name]
        sources = [tensor.node for tensor in ir.data_inputs(node)]
        if name in self._graph.weights:
            variable = self._graph.weights[name].name
            self._kinds[name] = "data" if variable in self._shared or name in self._given else "weight"
            self._variables[name] = frozenset({variable})
            return
        self._variables[name] = frozenset().union(*(self._variables[source] for source in sources))
        stateful = node.op in _STATEFUL or ops.is_random(node.op) or node.op in ops.WHILES | ops.CONDITIONALS
        if stateful or (not sources and node.op != "Const"):
            self._kinds[name] = "data"
        else:
            self._kinds[name] = max((self._kinds[source] for source in sources), key=_ORDER.index, default="constant")

    def kind(self, tensor: Tensor) -> Kind:
        """Returns whether a tensor depends on data, on variables but no data, or on neither."""
        return self._kinds[tensor.node]

    def is_data(self, tensor: Tensor) -> bool:
        """Returns whether a tensor depends on data."""
        return self._kinds[tensor.node] == "data"

    def variables(self, tensor: Tensor) -> tuple[artefact.Variable, ...]:
        """Returns the variables that a tensor depends on, in the order of the graph."""
        names = self._variables[tensor.node]
        return tuple(v for v in dict.fromkeys(self._graph.weights.values()) if v.name in names)

    def formula(self, tensor: Tensor) -> tuple[int, int]:
        """Returns what two tensors that are no data have in common if the same is done to the same variables in both."""
        if not self._formulas:
            known: dict[tuple, int] = {}
            for name in self._order:
                if self._kinds[name] != "data":
                    self._formulas[name] = known.setdefault(self._done(name), len(known))
        return self._formulas[tensor.node], tensor.index

    def is_rearranged(self, tensor: Tensor) -> bool:
        """Returns whether a tensor that is no data has what its variables hold in another order, or with a constant added.

        Then training changes it as it changes them; where it is scaled, masked or normalized, it does not.
        """
        if tensor.node in self._graph.weights:
            return True
        node = self._graph.index[tensor.node]
        weights = [source for source in ir.data_inputs(node) if self._kinds[source.node] == "weight"]
        if node.op in ops.JOINS:
            # The last, or the first, is the axis; any other constant would be trained along with the variables.
            known = len(ir.data_inputs(node)) == len(weights) + (node.op != "Pack")
        else:
            known = node.op in _REARRANGING and len(weights) == 1
        return bool(known) and all(map(self.is_rearranged, weights))

    def places(self, tensor: Tensor) -> tuple[Tensor, tuple[np.ndarray, ...]] | None:
        """Returns the value of a variable whose numbers a tensor has, and for each of its axes where on it each of them was.

        None for a tensor that has other numbers, or those of several variables.
        """
        source = tensor
        while source.node not in self._graph.weights:
            weights = [t for t in self._graph.sources(source) if self._kinds[t.node] == "weight"]
            if self._graph.op(source) not in _MOVING or len(weights) != 1:
                return None
            source = weights[0]
        shape = self._graph.weights[source.node].shape
        if None in shape:
            return None
        axes = []
        for at, size in enumerate(shape):
            along = np.arange(size).reshape([-1 if axis == at else 1 for axis in range(len(shape))])
            numbered = np.broadcast_to(along, shape).astype(tf.as_dtype(self._graph.dtype(source)).as_numpy_dtype)
            axes.append(self.run([tensor], {source: numbered})[0])
        return source, tuple(axes)

    def needed_of(self, name: str, tensor: Tensor) -> np.ndarray:
        """Returns which numbers of a variable a tensor that is no data is made of; all of them where that cannot be told."""
        above = self._graph.index.ancestors([tensor.node]) | {tensor.node}
        held = [at for at in sorted(above) if at in self._graph.weights and self._graph.weights[at].name == name]
        between = [self._graph.index[at].op for at in above if name in self._variables[at] and at not in held]
        everything = np.array(True)
        if len(held) != 1 or not set(between) <= _REARRANGING | ops.JOINS:
            return everything
        with self._graph.imported.as_default():
            (gradient,) = tf.gradients(self._graph.fetch(tensor), [self._graph.fetch(Tensor(held[0]))])
            if gradient is None:
                return everything
            whole = tf.convert_to_tensor(gradient)
        with tf.compat.v1.Session(graph=self._graph.imported) as session:
            return (
                session.run(whole, {self._graph.fetch(at): value for at, value in self.with_weights({}).items()}) != 0
            )

    def _done(self, name: str) -> tuple:
        """Returns what a node does, and to what; numbers that may be a weight, with the variables gone, are themselves."""
        if name in self._graph.weights:
            return ("variable", self._graph.weights[name].name)
        node = self._graph.index[name]
        if (
            node.op == "Const"
            and self._graph.rank(Tensor(name))
            and self._graph.dtype(Tensor(name)).startswith("float")
        ):
            return ("constant", name)
        attrs = tuple(
            (key, node.attr[key].SerializeToString(deterministic=True))
            for key in sorted(node.attr)
            if not key.startswith("_")
        )
        sources = tuple((self._formulas[source.node], source.index) for source in ir.data_inputs(node))
        return (node.op, attrs, sources)

    def constant(self, tensor: Tensor) -> np.ndarray | None:
        """Returns the value of a constant, None for any other tensor."""
        return self.value(tensor) if self.kind(tensor) == "constant" else None

    def number(self, tensor: Tensor) -> float | None:
        """Returns the one number that a constant consists of, whatever its shape; None where there is not just one."""
        value = self.constant(tensor)
        return (
            float(value.reshape(-1)[0]) if value is not None and value.size == 1 and value.dtype.kind in "fiu" else None
        )

    def value(self, tensor: Tensor) -> np.ndarray:
        """Returns the value of a constant or of a weight expression, evaluated once."""
        self.evaluate([tensor])
        return self._known[tensor]

    def evaluate(self, tensors: Iterable[Tensor]) -> None:
        """Evaluates constants and weight expressions together."""
        wanted = [tensor for tensor in dict.fromkeys(tensors) if tensor not in self._known]
        for tensor in wanted:
            if tensor.node in self._graph.weights:
                self._known[tensor] = self.of_variable(tensor.node)
        wanted = [tensor for tensor in wanted if tensor not in self._known]
        if wanted:
            needed = self._graph.index.ancestors(tensor.node for tensor in wanted)
            feeds = {Tensor(name): self.of_variable(name) for name in self._graph.weights if name in needed}
            self._known.update(zip(wanted, self.run(wanted, feeds), strict=True))

    def of_variable(self, placeholder: str) -> np.ndarray:
        """Returns the value of the variable that a placeholder of the graph stands for."""
        if placeholder not in self._held:
            self._held[placeholder] = self._read(self._graph.weights[placeholder])
        return self._held[placeholder]

    def run(self, tensors: list[Tensor], feeds: Mapping[Tensor, np.ndarray]) -> list[np.ndarray]:
        """Returns what TensorFlow computes for tensors, given others; variables are given by themselves."""
        if self._session is None:
            config = tf.compat.v1.ConfigProto()
            # The optimizer looks past tensors that are fed: two transposes cancel although the one between is given.
            config.graph_options.rewrite_options.disable_meta_optimizer = True
            self._session = tf.compat.v1.Session(graph=self._graph.imported, config=config)
        fetches = [self._graph.fetch(tensor) for tensor in tensors]
        return self._session.run(fetches, {self._graph.fetch(tensor): value for tensor, value in feeds.items()})

    def with_weights(self, feeds: Mapping[Tensor, np.ndarray]) -> dict[Tensor, np.ndarray]:
        """Returns feeds with the value of every variable of the graph."""
        return {**{Tensor(name): self.of_variable(name) for name in self._graph.weights}, **feeds}


def in_order(graph: Graph) -> list[str]:
    """Returns the names of all nodes, each after those that it reads."""
    done: dict[str, None] = {}
    for root in graph.index.nodes:
        todo = [(root, False)]
        while todo:
            name, visited = todo.pop()
            if visited:
                done[name] = None
            elif name not in done:
                todo.append((name, True))
                todo.extend(
                    (tensor.node, False) for tensor in ir.data_inputs(graph.index[name]) if tensor.node not in done
                )
    return list(done)


def reader(prefix: str | None) -> Callable[[artefact.Variable], np.ndarray]:
    """Returns a function that reads a variable's value from a checkpoint bundle."""

    def read(variable: artefact.Variable) -> np.ndarray:
        return tf.raw_ops.RestoreV2(
            prefix=prefix, tensor_names=[variable.key], shape_and_slices=[variable.part], dtypes=[variable.dtype]
        )[0].numpy()

    return read
