"""The statements of `build`: pieces in the order of the original code, with parameters and small parts in their places."""

import dataclasses
import heapq
import re
from collections import Counter
from collections.abc import Mapping

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions, printed, text
from load_v2.opening.context import Context, Piece, Refused
from load_v2.opening.expressions import Call, Constant, Expression, Item, LayerCall, Literal, Local, Operand
from load_v2.opening.layers import Layer

# An expression that is read once moves into the one that reads it, while that stays as short as this, and no deeper.
_READABLE = 106
# About what naming a layer takes, in one line or in a function for several blocks.
_A_NAME = 30
# About what a variable is called.
_A_VALUE = 10
# So many statements in a numbered scope are a block; fewer are a layer.
_A_BLOCK = 4
_DEEPEST = 4
_MOST_LAYERS = 3


@dataclasses.dataclass(frozen=True)
class Statement:
    """An assignment.

    Attributes:
        targets: the tensors that it gives; None for a member of a tuple that nobody reads.
        code: what is assigned.
        scope: name in the graph that it is filed under.
        nodes: how many nodes of the graph it stands for.
    """

    targets: tuple[Tensor | None, ...]
    code: Expression
    scope: str
    nodes: int = 1


@dataclasses.dataclass(frozen=True)
class Program:
    """The body of `build`.

    Attributes:
        statements: in order; each reads inputs and what stands before it.
        outputs: key -> what it is, in the order of the signature.
        held: weights and large constants that the code reads as they are -> values; inside the call of a layer alone,
            where that layer holds them.
    """

    statements: tuple[Statement, ...]
    outputs: dict[str, Expression]
    held: Mapping[Tensor, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def ends(self) -> frozenset[Tensor]:
        """The tensors that the outputs read."""
        return frozenset(tensor for code in self.outputs.values() for tensor in expressions.operands(code))


def program(context: Context, pieces: tuple[Piece, ...]) -> Program:
    """Returns the statements for pieces that cover a graph."""
    builder = _Builder(context, pieces)
    return builder.built()


class _Builder:
    def __init__(self, context: Context, pieces: tuple[Piece, ...]):
        self._context = context
        self._anchor = next(iter(context.graph.inputs.values()), None)
        self._aliases = {
            piece.outputs[0]: piece.code.tensor
            for piece in pieces
            if isinstance(piece.code, Operand) and len(piece.outputs) == 1
        }
        self._aliases.update(_same_masks(context, pieces))
        self._pieces = [
            piece for piece in pieces if not isinstance(piece.code, Operand) and piece.outputs[0] not in self._aliases
        ]
        self._parameters: dict[Tensor, Statement] = {}
        self._held: dict[Tensor, np.ndarray] = {}

    def built(self) -> Program:
        statements = [
            Statement(piece.outputs, self._settled(piece), piece.scope, len(piece.nodes))
            for piece in self._scheduled(self._pieces)
        ]
        outputs = {key: self._value(tensor) for key, tensor in self._context.graph.outputs.items()}
        outputs = _without_masks(statements, outputs)
        statements = self._with_parameters(_trimmed(_without_stray_masks(statements), outputs), outputs)
        return Program(tuple(_inlined(statements, outputs)), outputs, self._held)

    def _origin(self, tensor: Tensor) -> Tensor:
        while tensor in self._aliases:
            tensor = self._aliases[tensor]
        return tensor

    def _scheduled(self, pieces: list[Piece]) -> list[Piece]:
        """Returns the pieces in the order in which the original graph was made, as far as what they read allows."""
        order = self._context.graph.order
        makers = {output: piece for piece in pieces for output in piece.outputs if output is not None}
        waits: dict[int, int] = {}
        readers: dict[int, list[Piece]] = {}
        for piece in pieces:
            sources = {
                id(makers[t]): makers[t] for t in map(self._origin, expressions.operands(piece.code)) if t in makers
            }
            sources.pop(id(piece), None)
            waits[id(piece)] = len(sources)
            for source in sources.values():
                readers.setdefault(id(source), []).append(piece)

        def place(piece: Piece) -> tuple[int, int]:
            first = next(output for output in piece.outputs if output is not None)
            return order.get(first.node, 0), first.index

        ready = [(*place(piece), at) for at, piece in enumerate(pieces) if not waits[id(piece)]]
        numbers = {id(piece): at for at, piece in enumerate(pieces)}
        heapq.heapify(ready)
        done = []
        while ready:
            piece = pieces[heapq.heappop(ready)[-1]]
            done.append(piece)
            for reader in readers.get(id(piece), ()):
                waits[id(reader)] -= 1
                if not waits[id(reader)]:
                    heapq.heappush(ready, (*place(reader), numbers[id(reader)]))
        return done

    def _spec(self, piece: Piece) -> tuple[tuple[int | None, ...], str] | None:
        """Returns the shape and the type of what a piece gives, as far as they are known; None where it gives several."""
        (tensor, *others), graph = piece.outputs, self._context.graph
        if others or tensor is None or tensor not in graph:
            return None
        shape = graph.shape(tensor)
        return None if shape is None else (tuple(shape), graph.dtype(tensor))

    def _settled(self, piece: Piece) -> Expression:
        """Returns a piece's code with constants and parameters in their places, in a printed layer if it asks for sizes."""
        code = self._valued(piece.code)
        if _asks_for_sizes(code) and not self._context.inside_call:
            # What the code asks is the shape of real tensors, and those are only seen inside the call of a layer.
            layer, tensors = printed.of_expression(piece.rule, piece.scope, code, self._spec(piece))
            return LayerCall(layer, tuple(map(Operand, tensors)))
        return code

    def _valued(self, code: Expression) -> Expression:
        def change(part: Expression) -> Expression | None:
            if isinstance(part, Operand):
                return self._value(part.tensor)
            if isinstance(part, Constant):
                return self._constant(part.values, part.name)
            return None

        return expressions.replaced(code, change)

    def _value(self, tensor: Tensor) -> Expression:
        tensor = self._origin(tensor)
        if self._context.is_data(tensor):
            return Operand(tensor)
        value = self._context.values.value(tensor)
        if self._context.values.kind(tensor) == "constant":
            return self._constant(value, tensor.node, tensor)
        return self._parameter(tensor, value, tensor.node)

    def _constant(self, value: np.ndarray, name: str, tensor: Tensor | None = None) -> Expression:
        if expressions.is_literal(value):
            return expressions.array(value)
        return self._parameter(tensor or Tensor(name), value, name)

    def _parameter(self, tensor: Tensor, value: np.ndarray, name: str) -> Expression:
        """Returns a weight that is in no layer of Keras's own."""
        if self._context.inside_call:
            self._held[tensor] = value
        elif tensor not in self._parameters:
            known = tensor in self._context.graph
            layer = printed.parameter(self._context, tensor if known else None, value, name)
            if self._anchor is None:
                raise Refused(f"{name!r} is a large constant inside a loop or a condition")
            self._parameters[tensor] = Statement((tensor,), LayerCall(layer, (Operand(self._anchor),)), layer.scope)
        return Operand(tensor)

    def _with_parameters(self, statements: list[Statement], outputs: dict[str, Expression]) -> list[Statement]:
        """Returns the statements with each parameter before the first that reads it."""
        result: list[Statement] = []
        left = dict(self._parameters)
        for code, statement in [*((s.code, s) for s in statements), *((o, None) for o in outputs.values())]:
            for tensor in expressions.operands(code):
                if tensor in left:
                    result.append(left.pop(tensor))
            if statement is not None:
                result.append(statement)
        return result


def _same_masks(context: Context, pieces: tuple[Piece, ...]) -> dict[Tensor | None, Tensor]:
    """Returns mask -> the one of sequences of the same lengths that can be made first."""
    groups: dict[object, list[tuple[int, Tensor]]] = {}
    for piece in pieces:
        tensor = piece.outputs[0]
        if tensor in context.masks:
            source = next(iter(expressions.operands(piece.code)))
            groups.setdefault(context.masks[tensor], []).append((context.graph.order.get(source.node, 0), tensor))
    return {tensor: min(group)[1] for group in groups.values() for _, tensor in group if tensor != min(group)[1]}


# Layers that take masks that earlier layers have attached to their inputs.
_TAKE_MASKS = frozenset({"LSTM", "GRU", "SimpleRNN", "Bidirectional", "BatchNormalization", "MultiHeadAttention"})


def _without_stray_masks(statements: list[Statement]) -> list[Statement]:
    """Returns the statements with masks used where they are given, and nowhere else.

    Keras hands a mask on from layer to layer, TensorFlow 1 did not: a second `dynamic_rnn` without lengths takes all steps.
    """

    def change(part: Expression) -> Expression | None:
        if not isinstance(part, LayerCall) or part.layer.kind not in _TAKE_MASKS:
            return None
        if any(key == "mask" for key, _ in part.options):
            return None
        # A recurrent layer takes one mask; behind its sequence are first states. Attention takes one of each sequence.
        count = len(part.arguments) if part.layer.kind == "MultiHeadAttention" else 1
        masked, others = part.arguments[:count], part.arguments[count:]
        # A copy has no mask; a slice of everything would be the same array on JAX, mask and all.
        return dataclasses.replace(part, arguments=(*(expressions.call("ops.copy", each) for each in masked), *others))

    calls = [part for s in statements for part in expressions.walk(s.code) if isinstance(part, LayerCall)]
    if not any(key == "mask" for part in calls for key, _ in part.options):
        return statements
    return [dataclasses.replace(s, code=expressions.replaced(s.code, change)) for s in statements]


def _without_masks(statements: list[Statement], outputs: dict[str, Expression]) -> dict[str, Expression]:
    """Returns the outputs without the masks that layers hand on to them; a loss would leave out what they mask."""
    masked: set[Tensor] = set()
    for statement in statements:
        part = statement.code
        if not isinstance(part, LayerCall):
            continue
        given = any(key == "mask" for key, _ in part.options)
        read = [
            tensor
            for argument in part.arguments
            if isinstance(argument, (Operand, expressions.Sequence))
            for tensor in expressions.operands(argument)
        ]
        if given or not masked.isdisjoint(read):
            masked.update(target for target in statement.targets if target is not None)
    return {
        key: expressions.call("ops.copy", code) if isinstance(code, Operand) and code.tensor in masked else code
        for key, code in outputs.items()
    }


def _trimmed(statements: list[Statement], outputs: dict[str, Expression]) -> list[Statement]:
    """Returns the statements with recurrent layers that give no more than is read: the sequence, or the last output."""
    read = {t for code in [*(s.code for s in statements), *outputs.values()] for t in expressions.operands(code)}
    calls = Counter(
        id(part.layer) for s in statements for part in expressions.walk(s.code) if isinstance(part, LayerCall)
    )
    result = []
    for statement in statements:
        code = statement.code
        layer = code.layer if isinstance(code, LayerCall) else None
        if layer is not None and "return_state" in layer.options and calls[id(layer)] == 1:
            first, *states = statement.targets
            kept = dict(layer.options)
            if not any(state in read for state in states):
                del kept["return_state"]
                statement = dataclasses.replace(statement, targets=(first,))
            elif first not in read and [state in read for state in states] == [True, *([False] * (len(states) - 1))]:
                # What a layer gives that returns no sequence is its output after the last valid step: the first state.
                for key in ("return_state", "return_sequences", "zero_output_for_mask"):
                    kept.pop(key, None)
                statement = dataclasses.replace(statement, targets=(states[0],))
            layer.options = kept
        if len(statement.targets) > 1:
            targets = tuple(target if target in read else None for target in statement.targets)
            statement = dataclasses.replace(statement, targets=targets)
        result.append(statement)
    return result


def _asks_for_sizes(code: Expression) -> bool:
    asking = {"ops.shape", *printed.ASKING}
    return any(isinstance(part, Call) and part.function in asking for part in expressions.walk(code))


def _inlined(statements: list[Statement], outputs: dict[str, Expression]) -> list[Statement]:
    """Returns the statements with what is read once, and short, inside what reads it."""
    reads = Counter(
        tensor
        for code in [*(statement.code for statement in statements), *outputs.values()]
        for tensor in expressions.mentions(code)
    )
    blocks = _numbered_blocks(statements)
    kept: list[Statement] = []
    makers: dict[Tensor, int] = {}
    for statement in statements:
        code, nodes = statement.code, statement.nodes
        for tensor in expressions.operands(code):
            at = makers.get(tensor)
            if at is None or reads[tensor] != 1:
                continue
            maker = kept[at]
            other = expressions.with_operands(code, {tensor: maker.code})
            if _length(other) <= _READABLE and _may_move(maker, statement, blocks) and _is_readable(other):
                code, nodes = other, nodes + maker.nodes
                kept[at] = dataclasses.replace(maker, targets=())
        statement = dataclasses.replace(statement, code=code, nodes=nodes)
        if len(statement.targets) == 1 and statement.targets[0] is not None:
            makers[statement.targets[0]] = len(kept)
        kept.append(statement)
    return [statement for statement in kept if statement.targets]


def _numbered_blocks(statements: list[Statement]) -> frozenset[str]:
    """Returns the scopes that have a number and are no single layer."""
    inside = Counter(
        scope
        for statement in statements
        for parts in [statement.scope.split("/")]
        for depth, part in enumerate(parts[:-1], 1)
        if part[-1:].isdigit()
        for scope in ["/".join(parts[:depth])]
    )
    return frozenset(scope for scope, count in inside.items() if count >= _A_BLOCK)


def _may_move(maker: Statement, reader: Statement, blocks: frozenset[str]) -> bool:
    """The end of a numbered block stays in the block; what reads nothing has its own line."""
    if not expressions.operands(maker.code):
        return False
    return all(f"{reader.scope}/".startswith(f"{scope}/") for scope in blocks if maker.scope.startswith(f"{scope}/"))


def _is_readable(code: Expression) -> bool:
    """Returns whether a line has one layer with weights at most, and no brackets in too many brackets."""
    layers = [part.layer for part in expressions.walk(code) if isinstance(part, LayerCall)]
    return (
        sum(bool(layer.weights) for layer in layers) <= 1 and len(layers) <= _MOST_LAYERS and _depth(code) <= _DEEPEST
    )


def _depth(code: Expression) -> int:
    """Returns how many calls stand in each other."""
    inner = max(map(_depth, expressions.children(code)), default=0)
    return inner + isinstance(code, (Call, LayerCall))


def _length(code: Expression) -> int:
    """Returns about how long the text will be."""
    total = 0
    for part in expressions.walk(code):
        if isinstance(part, Operand):
            total += _A_VALUE
        elif isinstance(part, Literal):
            total += len(expressions.literal_text(part.value))
        elif isinstance(part, Call):
            total += len(part.function) + 2 + sum(len(key) + 1 for key, _ in part.options)
        elif isinstance(part, LayerCall):
            total += len(text.constructed(part.layer)) + (_A_NAME if part.layer.weights else 0)
            total += 2 + sum(len(key) + 1 for key, _ in part.options)
        elif isinstance(part, Local):
            total += _READABLE
        elif isinstance(part, Item):
            total += 2
        total += 2
    return total


def hint(scope: str) -> str:
    """Returns what a value made under a scope may be called: its last part, with the one before if that says little.

    >>> hint("bert/encoder/layer_0/attention/self/query"), hint("conv1/BiasAdd"), hint("add_3")
    ('query', 'conv1_bias_add', 'add_3')
    """
    parts = [re.sub(r"\W", "_", part).strip("_") for part in scope.split("/")]
    parts = [part for part in parts if part] or ["x"]
    last = parts[-1]
    if len(parts) > 1 and (re.sub(r"_\d+$", "", last).lower() in _SAYS_LITTLE or last[0].isupper()):
        last = f"{parts[-2]}_{last}"
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", last).lower()
    words = re.sub(r"__+", "_", words)
    return f"x_{words}" if words[0].isdigit() else words


_SAYS_LITTLE = frozenset("add mul sub truediv div strided_slice reshape transpose concat stack add_1 sum mean".split())


def layers_of(statements: tuple[Statement, ...]) -> list[Layer]:
    """Returns the layers of statements, each once, in the order in which they are first called."""
    layers = [part.layer for s in statements for part in expressions.walk(s.code) if isinstance(part, LayerCall)]
    return list({id(layer): layer for layer in layers}.values())
