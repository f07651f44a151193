"""Two recurrent layers that read one sequence from both ends, as one Bidirectional."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions, naming, text
from load_v2.opening.context import Context, Piece
from load_v2.opening.expressions import Binary, Call, Expression, LayerCall, Literal, Operand
from load_v2.opening.expressions import Sequence as Items
from load_v2.opening.layers import Layer

RULE = "Bidirectional"
_RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN"})
_GIVES = ("return_sequences", "return_state", "zero_output_for_mask", "go_backwards")
_ALL = "all steps"
# Its outputs are outputs of a node that the graph does not have.
_BEYOND = 700_000


@dataclasses.dataclass(frozen=True)
class _View:
    """A tensor as others in another order of steps, batch first.

    Attributes:
        tensor: what it is a view of.
        reversed: _ALL, the lengths of the sequences that are reversed, or None.
        time_major: whether the steps are its first axis.
    """

    tensor: Tensor
    reversed: Tensor | str | None
    time_major: bool


@dataclasses.dataclass(frozen=True, eq=False)
class _Pair:
    """A layer that reads a sequence as it is, and one that reads it from its end; `mode` is how their outputs are merged.

    Attributes:
        piece: the piece that merges them.
        code: the part of its code that does.
        mode: "concat", "sum" or "mul".
        forward, backward: pieces of the layers.
        sequences: whether all steps are merged, not just what comes out last.
        time_major: whether what is merged has its steps first.
    """

    piece: Piece
    code: Expression
    mode: str
    forward: Piece
    backward: Piece
    sequences: bool
    time_major: bool


def paired(context: Context, pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Returns the pieces with a Bidirectional in place of two recurrent layers whose outputs meet.

    Guaranteed: the two have the same class, units and options, and read the same sequence and mask; what else they give
    is read nowhere, or is a state. Others stay as they are.
    """
    reader = _Reader(context, pieces)
    groups: dict[tuple[int, int], list[_Pair]] = {}
    for piece in pieces:
        if (RULE, piece.outputs[0]) in context.rejected:
            continue
        for code in expressions.walk(piece.code):
            if (pair := reader.pair(piece, code)) is not None:
                groups.setdefault((id(pair.forward.layer), id(pair.backward.layer)), []).append(pair)
    if not groups:
        return tuple(pieces)
    kept = list(pieces)
    for pairs in groups.values():
        pairs = [pair for pair in pairs if pair.sequences] or pairs
        if reader.fit(pairs):
            kept = _with_one_layer(context, reader, kept, pairs)
    return _needed(context, kept)


class _Reader:
    def __init__(self, context: Context, pieces: Sequence[Piece]):
        self._context = context
        self._makers = {output: piece for piece in pieces for output in piece.outputs if output is not None}
        self._reads = Counter(tensor for piece in pieces for tensor in expressions.operands(piece.code))
        self._reads.update(context.graph.outputs.values())
        self._calls = Counter(id(piece.layer) for piece in pieces if piece.layer is not None)

    def pair(self, piece: Piece, code: Expression) -> _Pair | None:
        """Returns the two layers whose outputs a part of a piece's code merges."""
        merged = _merged(code)
        if not merged:
            return None
        for time_major in (False, True):
            views = [view for code in merged[1:] if (view := self.view(code, time_major)) and not view.time_major]
            makers = [maker for view in views if (maker := self._makers.get(view.tensor)) and _is_recurrent(maker)]
            if len(makers) == 2:
                break
        else:
            return None
        forward, backward = makers
        places = [maker.outputs.index(view.tensor) for maker, view in zip(makers, views, strict=True)]
        forward_call, backward_call = (_call(maker) for maker in (forward, backward))
        inputs = [self._source(call) for call in (forward_call, backward_call)]
        masks = [
            self._lengths(call, source) for call, source in zip((forward_call, backward_call), inputs, strict=True)
        ]
        if forward is backward or None in inputs or None in masks or places not in ([0, 0], [1, 1]):
            return None
        assert inputs[0] and inputs[1]
        whole = places == [0, 0]
        if whole and isinstance(masks[0], _View):
            # Keras gives zeros there.
            return None
        around = masks[0] if isinstance(masks[0], Tensor) else _ALL
        same = (
            masks[0] == masks[1]
            and inputs[0].tensor == inputs[1].tensor
            and inputs[0].time_major == inputs[1].time_major
            and (inputs[0].reversed, inputs[1].reversed) == (None, around)
            and _shape_of(forward_call.layer) == _shape_of(backward_call.layer)
        )
        axis_last = merged[0] != "concat" or _concatenates_last(code, 3 if whole else 2)
        if not same or not axis_last or [view.reversed for view in views] != [None, around if whole else None]:
            return None
        return _Pair(piece, code, merged[0], forward, backward, whole, whole and time_major)

    def fit(self, pairs: Sequence[_Pair]) -> bool:
        """Returns whether all calls of two layers are such pairs, alike, and their sequences are read nowhere else."""
        first = pairs[0]
        alike = len({(pair.mode, pair.sequences) for pair in pairs}) == 1
        calls = {self._calls[id(piece.layer)] for piece in (first.forward, first.backward)}
        return alike and calls == {len(pairs)} and all(self._apart(pair) for pair in pairs)

    def _apart(self, pair: _Pair) -> bool:
        for piece in (pair.forward, pair.backward):
            sequence, *states = piece.outputs
            assert sequence is not None
            if self._reads_of(sequence) != int(pair.sequences):
                return False
            if not pair.sequences and [self._reads_of(state) for state in states] != [1, *([0] * (len(states) - 1))]:
                return False
        return True

    def _reads_of(self, tensor: Tensor | None) -> int:
        """Returns how often a tensor is read, in any order of its steps."""
        assert tensor is not None
        count = self._reads[tensor]
        for output, piece in self._makers.items():
            if _turned(piece.code, tensor):
                count += self._reads_of(output) - 1
        return count

    def view(self, code: Expression, time_major: bool = False) -> _View | None:
        """Returns what code is a view of, and whether that has its steps first, if it is known of the code's value."""
        turned: Tensor | str | None = None
        while True:
            if isinstance(code, Operand):
                maker = self._makers.get(code.tensor)
                inner = maker.code if maker is not None and len(maker.outputs) == 1 else None
                if not isinstance(inner, Operand) and (inner is None or _of_steps(inner) is None):
                    return _View(code.tensor, turned, time_major)
                code = inner
                continue
            step = _of_steps(code)
            if step is None:
                return None
            source, way = step
            if way == "transposed":
                time_major = not time_major
            else:
                around = _ALL if isinstance(way, int) else way
                if turned not in (None, around) or time_major != (way == 0):
                    return None
                turned = None if turned else around
            code = source

    def _source(self, call: LayerCall) -> _View | None:
        """Returns the sequence that a layer reads, reversed if it begins at the end of what it is called on."""
        code = call.arguments[0]
        turned = isinstance(code, Call) and code.function == "ops.transpose"
        code = code.arguments[0] if isinstance(code, Call) and turned else code
        seen = self.view(code, turned)
        if seen is None or not call.layer.options.get("go_backwards"):
            return seen
        return dataclasses.replace(seen, reversed=None if seen.reversed else _ALL)

    def _lengths(self, call: LayerCall, source: _View | None) -> Tensor | _View | str | None:
        """Returns the lengths of a layer's mask, or the mask as that of the sequence not reversed, _ALL where it has none.

        It is None where the mask is not of what the layer reads.
        """
        mask = dict(call.options).get("mask")
        if mask is None:
            return _ALL
        seen = self.view(mask)
        if seen is not None and source is not None and seen.tensor not in self._context.masks:
            return _View(seen.tensor, None, False) if seen.reversed == source.reversed else None
        piece = self._makers.get(mask.tensor) if isinstance(mask, Operand) else None
        if piece is None or not isinstance(piece.code, LayerCall) or piece.code.layer.kind != "SequenceMask":
            return None
        lengths = piece.code.arguments[1]
        return lengths.tensor if isinstance(lengths, Operand) else None


def _of_steps(code: Expression) -> tuple[Expression, int | Tensor | str] | None:
    """Returns what code is in another order of steps or axes, and in which: the axis or the lengths that are reversed."""
    if isinstance(code, Call) and code.function == "ops.transpose" and code.arguments[1:] == (Literal((1, 0, 2)),):
        return code.arguments[0], "transposed"
    if isinstance(code, Call) and code.function == "ops.flip":
        axis = dict(code.options).get("axis")
        return (code.arguments[0], axis.value) if axis in (Literal(0), Literal(1)) else None
    if isinstance(code, LayerCall) and code.layer.kind == "ReverseSequence":
        sequence, lengths = code.arguments
        return (sequence, lengths.tensor) if isinstance(lengths, Operand) else None
    return None


def _turned(code: Expression, tensor: Tensor) -> bool:
    """Returns whether code is a tensor in another order of its steps, or under another name."""
    step = _of_steps(code)
    return (code if step is None else step[0]) == Operand(tensor)


def _merged(code: Expression) -> tuple[str, Expression, Expression] | None:
    """Returns how code merges two tensors, and which."""
    mode, parts = "", tuple[Expression, ...]()
    if isinstance(code, Call) and code.function == "ops.concatenate" and isinstance(code.arguments[0], Items):
        mode, parts = "concat", code.arguments[0].items
    elif isinstance(code, Binary) and code.symbol in "+*":
        mode, parts = "sum" if code.symbol == "+" else "mul", (code.left, code.right)
    return (mode, parts[0], parts[1]) if len(parts) == 2 else None


def _concatenates_last(code: Expression, rank: int) -> bool:
    assert isinstance(code, Call)
    return dict(code.options).get("axis") in (Literal(-1), Literal(rank - 1))


def _is_recurrent(piece: Piece) -> bool:
    return isinstance(piece.code, LayerCall) and piece.code.layer.kind in _RECURRENT


def _call(piece: Piece) -> LayerCall:
    assert isinstance(piece.code, LayerCall)
    return piece.code


def _shape_of(layer: Layer) -> object:
    """Returns all that two layers of one Bidirectional have in common."""
    options = {key: value for key, value in layer.options.items() if key not in _GIVES}
    return layer.kind, layer.arguments, sorted(options.items()), [value.shape for value in layer.weights]


def _with_one_layer(context: Context, reader: _Reader, pieces: list[Piece], pairs: Sequence[_Pair]) -> list[Piece]:
    """Returns the pieces with one layer for pairs that have the same two."""
    sequences = pairs[0].sequences
    read = {tensor for piece in pieces for tensor in expressions.operands(piece.code)}
    states = sequences and any(s in read for p in pairs for m in (p.forward, p.backward) for s in m.outputs[1:])
    layer = _layer(pairs[0], states)
    changed: dict[int, Piece] = {}
    for at, pair in enumerate(pairs):
        node = pair.piece.outputs[0]
        assert node is not None
        both = Tensor(node.node, _BEYOND + at)
        after = pair.forward.outputs[1:] + pair.backward.outputs[1:] if states else ()
        outputs = (both, *(state if state in read else None for state in after))
        piece = Piece(outputs, _joint_call(layer, pair), RULE, frozenset(), layer.scope)
        context.virtual.update({output: piece for output in outputs if output is not None})
        code: Expression = Operand(both)
        if pair.sequences and pair.time_major:
            code = expressions.call("ops.transpose", code, (1, 0, 2))
        whole = changed.get(id(pair.piece), pair.piece)
        inside = expressions.replaced(whole.code, functools.partial(_in_place_of, pair.code, code))
        alone = whole.code == pair.code
        changed[id(pair.piece)] = dataclasses.replace(whole, code=inside, rule=RULE if alone else whole.rule)
        if node in context.virtual:
            context.virtual.update(dict.fromkeys(filter(None, whole.outputs), changed[id(pair.piece)]))
        changed[id(pair.forward)] = changed[id(pair.backward)] = piece
    return list(dict.fromkeys(changed.get(id(piece), piece) for piece in pieces))


def _in_place_of(old: Expression, new: Expression, part: Expression) -> Expression | None:
    return new if part == old else None


def _layer(pair: _Pair, states: bool) -> Layer:
    """Returns the layer, which is named after the scope that both are in."""
    forward, backward = (_call(piece).layer for piece in (pair.forward, pair.backward))
    given = {
        "return_sequences": True if pair.sequences else None,
        "return_state": True if states else None,
    }
    kept = {key: value for key, value in forward.options.items() if key not in _GIVES and key != "trainable"}
    options = {**kept, **{key: value for key, value in given.items() if value is not None}}
    parts = tuple(
        dataclasses.replace(layer, options={**options, **backwards}, name=layer.kind.lower())
        for layer, backwards in ((forward, {}), (backward, {"go_backwards": True}))
    )
    scope = "/".join(naming.common_scopes([forward.scope, backward.scope])) or forward.scope
    return Layer(
        kind="Bidirectional",
        scope=scope,
        arguments=text.of_wrapper(parts),
        options={
            **({} if pair.mode == "concat" else {"merge_mode": pair.mode}),
            **(
                {"trainable": False}
                if forward.options.get("trainable") is False is backward.options.get("trainable")
                else {}
            ),
        },
        weights=forward.weights + backward.weights,
        variables=forward.variables + backward.variables,
        origins=forward.origins + backward.origins,
        parts=parts,
    )


def _joint_call(layer: Layer, pair: _Pair) -> LayerCall:
    forward, backward = (dict(_call(piece).options) for piece in (pair.forward, pair.backward))
    options = [("mask", forward["mask"])] if "mask" in forward else []
    if "initial_state" in forward and "initial_state" in backward:
        both = [state for given in (forward, backward) for state in _states(given["initial_state"])]
        options.append(("initial_state", Items(tuple(both))))
    return LayerCall(layer, _call(pair.forward).arguments, tuple(options))


def _states(code: Expression) -> tuple[Expression, ...]:
    return code.items if isinstance(code, Items) else (code,)


def _needed(context: Context, pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Returns the pieces that the outputs need."""
    makers: Mapping[Tensor, Piece] = {o: piece for piece in pieces for o in piece.outputs if o is not None}
    todo, needed = list(context.graph.outputs.values()), {}
    while todo:
        piece = makers.get(todo.pop())
        if piece is not None and id(piece) not in needed:
            needed[id(piece)] = piece
            todo.extend(expressions.operands(piece.code))
    return tuple(piece for piece in makers.values() if id(piece) in needed and needed.pop(id(piece)))
