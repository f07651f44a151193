"""What patterns and translations of ops work with: the graph, what is known of its tensors, and the pieces they make."""

import dataclasses
import zlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from export_v1.ir import match
from export_v1.ir.graph import NodeDef, Tensor
from load_v2.opening import expressions
from load_v2.opening.carried import Carried
from load_v2.opening.expressions import Expression, LayerCall, Operand
from load_v2.opening.graph import Graph
from load_v2.opening.layers import Layer, PrintedClass
from load_v2.opening.size_algebra import Size
from load_v2.opening.sizes import Sizes
from load_v2.opening.training import Training
from load_v2.opening.values import Values, in_order

_LINEAR = frozenset({"Dense", "Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2D", "Conv2DTranspose", "Conv3DTranspose"})


class Refused(Exception):
    """A node, or a piece of graph, for which there is no code; the message says why."""


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece of the graph and the code that does the same.

    Attributes:
        outputs: the tensors that the code gives; several where it gives a tuple, None for a member that nobody reads.
        code: an expression over the tensors that the piece reads.
        rule: name of the pattern or the op that made it.
        nodes: names of the nodes that it stands for.
        scope: name in the graph that its statement is filed under and named after.
    """

    outputs: tuple[Tensor | None, ...]
    code: Expression
    rule: str
    nodes: frozenset[str]
    scope: str

    @property
    def layer(self) -> Layer | None:
        """The layer that the code calls last, None where it calls none."""
        return next((part.layer for part in expressions.walk(self.code) if isinstance(part, LayerCall)), None)


@dataclasses.dataclass(frozen=True)
class Given:
    """What a layer gives of a variable that it holds.

    Attributes:
        variable: its name.
        kind: class of the layer.
        flipped: whether the layer has rows and columns exchanged.
    """

    variable: str
    kind: str
    flipped: bool


class Pattern(Protocol):
    """A piece of graph that is a layer.

    Attributes:
        name: for reports.
        roots: ops that the last node of the piece can be.
    """

    name: ClassVar[str]
    roots: ClassVar[frozenset[str]]

    def find(self, context: "Context", tensor: Tensor) -> Piece | None:
        """Returns the piece that ends in a tensor, None where there is nothing like it.

        Raises:
            Missed: it is like the layer, but not the same.
        """


@dataclasses.dataclass(frozen=True)
class Patterns:
    """The patterns that may take a piece, in order: the first that fits does.

    Attributes:
        of_model: where a layer is one of the model's.
        of_call: inside the call of a layer, whose parts such layers then are.
    """

    of_model: tuple[Pattern, ...]
    of_call: tuple[Pattern, ...]


class Context:
    """A graph with all that is known of it, and the layers made so far.

    Attributes:
        graph, values, sizes: of one graph.
        patterns: that may take pieces of it, and of the functions that it calls.
        inside_call: whether the code stands in the call of a layer, where tensors have real shapes and no layer is made.
        training: what the training graph tells.
        carried: keys of inputs and outputs that are no ends of the model -> the variables that a layer keeps between calls.
        carried_values: what these hold before the first call, by key.
        layers: one for each use of the same weights in the same way: a layer called twice is one layer.
        rejected: (rule, tensor) -> why a match there failed its proof.
        virtual: tensors that the graph does not have, such as the sequence between two stacked layers -> what gives them.
        as_recorded: tensors that are no numbers of any kind, such as masks; pieces that read them are proven with the sample's.
        masks: tensor that is true for the valid steps of sequences -> their lengths, and how many steps they have at most.
        computed: variables of which a layer holds something else than their own numbers.
        shared: variables that several layers would hold, and that are data for this: all read one weight.
        given: node that stands for a variable, and is data -> the layer's weight that it is.
        without_bias: those that differ in bias or activation alone: these come behind one layer.
        notes: what patterns remember of the graph, under keys of their own.
    """

    def __init__(self, graph: Graph, values: Values, sizes: Sizes, patterns: Patterns, inside_call: bool = False):
        self.patterns, self.inside_call = patterns, inside_call
        self.training = Training()
        self.carried: Mapping[str, Carried] = {}
        self.carried_values: Mapping[str, np.ndarray] = {}
        self.graph, self.values, self.sizes = graph, values, sizes
        self.layers: dict[Any, Layer] = {}
        self.rejected: dict[tuple[str, Tensor], str] = {}
        self.virtual: dict[Tensor, Piece] = {}
        self.masks: dict[Tensor, tuple[Tensor, Size]] = {}
        self.notes: dict[Any, Any] = {}
        self.as_recorded: set[Tensor] = set()
        self.computed: set[str] = set()
        self.shared: frozenset[str] = frozenset()
        self.without_bias: frozenset[str] = frozenset()
        self.given: dict[str, Given] = {}

    def start_anew(self) -> None:
        """Forgets the layers made so far; what was rejected stays rejected."""
        self.layers.clear()
        self.virtual.clear()
        self.masks.clear()
        self.notes.clear()
        self.computed.clear()

    def sharing(self, several: Mapping[str, Collection[Layer | None]]) -> "Context":
        """Returns a context of the same graph in which layers have no variable of these twice.

        Args:
            several: name of a variable -> the layers that have it, None for a weight in no layer.
        """
        bare = {name for name, layers in several.items() if name not in self.without_bias and differ_in_bias(layers)}
        # What is a bias of one of them is read by several places once it stands behind the layer.
        shared = self.shared | {name for name in several if name not in bare}
        result = self._of(self.graph, self.values.sharing(shared))
        result.shared, result.without_bias = shared, self.without_bias | bare
        return result

    def giving(self, graph: Graph, given: Mapping[str, "Given"]) -> "Context":
        """Returns a context of a graph with the same variables, some nodes of which are what layers give of them."""
        whole = {**self.given, **given}
        result = self._of(graph, self.values.giving(graph, whole))
        result.given = whole
        return result

    def _of(self, graph: Graph, values: Values) -> "Context":
        result = Context(graph, values, Sizes(graph, values), self.patterns)
        result.shared, result.without_bias, result.given = self.shared, self.without_bias, dict(self.given)
        result.training, result.carried, result.carried_values = self.training, self.carried, self.carried_values
        result.rejected = dict(self.rejected)
        return result

    @property
    def inputs(self) -> dict[str, Tensor]:
        """The model's inputs: those of the graph without the variables that it hands on."""
        return {key: tensor for key, tensor in self.graph.inputs.items() if key not in self.carried}

    @property
    def outputs(self) -> dict[str, Tensor]:
        """The model's outputs, likewise."""
        return {key: tensor for key, tensor in self.graph.outputs.items() if key not in self.carried}

    # Reading the graph.

    def op(self, tensor: Tensor) -> str:
        """Returns the op that makes a tensor."""
        return self.graph.op(tensor)

    def sources(self, tensor: Tensor) -> list[Tensor]:
        """Returns the inputs of the node that makes a tensor."""
        return self.graph.sources(tensor)

    def is_data(self, tensor: Tensor) -> bool:
        """Returns whether a tensor depends on data."""
        return self.values.is_data(tensor)

    def in_order(self) -> list[NodeDef]:
        """Returns the graph's nodes, each after those that it reads."""
        return [self.graph.index[name] for name in in_order(self.graph)]

    def read_once(self, tensor: Tensor) -> bool:
        """Returns whether a tensor has one reader, so that a layer may swallow it."""
        return self.graph.readers(tensor) == 1

    def fits(self, tensor: Tensor, pattern: match.Pattern) -> match.Match | match.Mismatch:
        """Returns how a tensor fits a pattern."""
        return match.match(self.graph.index, tensor, pattern)

    def above(self, output: Tensor, ends: Iterable[Tensor]) -> list[Tensor]:
        """Returns the data that a tensor is made of, as far as `ends`: one tensor for each node, and none of those."""
        stop = {end.node for end in ends}
        names = self.graph.index.ancestors([output.node], stop=stop) - stop - {output.node}
        return [Tensor(name) for name in names if self.is_data(Tensor(name))]

    def inner(self, nodes: Collection[Tensor], output: Tensor, private: Iterable[Tensor] | None = None) -> bool:
        """Returns whether tensors are read by nothing but what makes `output`, so that they need no code.

        Args:
            nodes: what makes it.
            output: the tensor.
            asked: which of the nodes have to be read by nothing else; all of them if None.
        """
        mine = {tensor.node for tensor in nodes} | {output.node}
        ends = {tensor.node for tensor in self.graph.outputs.values()} - {output.node}
        return not any(
            tensor.node in ends or any(reader.name not in mine for reader, _ in self.graph.index.consumers(tensor.node))
            for tensor in (nodes if private is None else private)
        )

    def static(self, tensor: Tensor, what: str) -> np.ndarray:
        """Returns an integer tensor whose value is known when the code is written.

        Raises:
            Refused: it is computed from data or from unknown sizes.
        """
        value = self.values.constant(tensor)
        if value is None:
            sizes = self.sizes.array(tensor)
            if sizes is None or not all(isinstance(size, int) for size in sizes.reshape(-1)):
                raise Refused(f"{what} is computed from data")
            value = sizes.astype(int)
        return value

    # Making code.

    def held(self, tensor: Tensor) -> None:
        """Remembers that a layer holds the value of a tensor."""
        if not self.values.is_data(tensor) and not self.values.is_rearranged(tensor):
            self.computed.update(variable.name for variable in self.values.variables(tensor) if variable.trainable)

    def layer(
        self,
        kind: str,
        scope: str,
        weights: Iterable[tuple[np.ndarray, Iterable[Tensor]]] = (),
        arguments: Collection[Any] = (),
        options: Mapping[str, Any] | None = None,
        printed: PrintedClass | None = None,
        flipped: bool = False,
    ) -> Layer:
        """Returns a layer; the same one for the same weights and configuration.

        Args:
            kind: its class.
            scope: what it is named after.
            weights: each value, with the tensors of the graph that it is made of.
            arguments, options: of its constructor.
            printed: definition of a class that Keras does not have.
            flipped: whether rows and columns are exchanged, which numbers that look the same both ways do not show.
        """
        weights = [(value, tuple(tensors)) for value, tensors in weights]
        options = {key: value for key, value in (options or {}).items() if value is not None}
        content = tuple(
            (zlib.crc32(np.ascontiguousarray(value).tobytes()), tuple(map(self.values.formula, tensors)))
            for value, tensors in weights
        )
        key = (kind, repr(arguments), repr(options), content, flipped)
        if not weights or key not in self.layers:
            variables = [v for _, tensors in weights for tensor in tensors for v in self.values.variables(tensor)]
            if variables and not any(variable.trainable for variable in variables):
                options["trainable"] = False
            made = Layer(
                kind=kind,
                scope=scope,
                arguments=tuple(arguments),
                options=options,
                weights=tuple(value for value, _ in weights),
                variables=tuple(dict.fromkeys(variable.name for variable in variables)),
                origins=tuple(
                    tuple(dict.fromkeys(v.name for tensor in tensors for v in self.values.variables(tensor)))
                    for _, tensors in weights
                ),
                printed=printed,
                made_of=tuple(tensor for _, tensors in weights for tensor in tensors),
            )
            if not weights:
                return made
            for tensor in made.made_of:
                self.held(tensor)
            self.layers[key] = made
        return self.layers[key]

    def scope_of(self, *tensors: Tensor) -> str:
        """Returns the scope in which the first variable, or else the first constant, of some weights was made."""
        for tensor in tensors:
            variables = self.values.variables(tensor)
            name = variables[0].name if variables else tensor.node
            scope, _, last = name.removesuffix("/part_0").rpartition("/")
            if variables or scope:
                return scope or last
        return tensors[0].node

    def piece(self, output: Tensor, code: Expression, rule: str, inside: Iterable[Tensor] = ()) -> Piece:
        """Returns a piece with one output."""
        layer = next((part.layer for part in expressions.walk(code) if isinstance(part, LayerCall)), None)
        scope = layer.scope if layer is not None and layer.weights else output.node
        return Piece((output,), code, rule, frozenset({output.node, *(tensor.node for tensor in inside)}), scope)


def differ_in_bias(layers: Collection[Layer | None]) -> bool:
    """Returns whether layers are the same product, with other biases and activations behind it."""
    forms = {
        None if layer is None or layer.kind not in _LINEAR or not layer.weights else (
            layer.kind, repr(layer.arguments), layer.weights[0].tobytes(),
            repr([item for item in layer.options.items() if item[0] not in ("use_bias", "activation")]),
        )
        for layer in layers
    }  # fmt: skip
    return len(forms) == 1 and None not in forms


def operand(tensor: Tensor) -> Operand:
    """Returns the expression for the value of a tensor."""
    return Operand(tensor)


def called(layer: Layer, *tensors: Tensor, **options: Any) -> LayerCall:
    """Returns the call of a layer on tensors."""
    kept = tuple((key, expressions.expression(value)) for key, value in options.items() if value is not None)
    return LayerCall(layer, tuple(map(Operand, tensors)), kept)
