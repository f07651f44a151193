"""Repeated blocks: statements that come again with other layers become a function, wherever in the model they stand."""

import dataclasses
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from export_v1.ir.graph import Tensor
from load_v2.opening import block_parameters, expressions, naming
from load_v2.opening.block_parameters import Parameters
from load_v2.opening.expressions import Call, Expression, LayerCall, Name, Operand, Slice
from load_v2.opening.expressions import Sequence as Items
from load_v2.opening.layers import Layer
from load_v2.opening.statements import Program, Statement

# The parameter that names are made of; in a call it is the name of the layer that stands for the call.
NAME = "name"
_SHORTEST, _LONGEST = 2, 150
# Lines that a function has beside its statements, and lines that it has to save to be worth reading.
_AROUND, _LEAST_SAVED = 3, 3
_MOST_INPUTS, _MOST_RESULTS, _MOST_PARAMETERS, _MOST_FUNCTIONS = 5, 3, 8, 30


@dataclasses.dataclass(frozen=True, eq=False)
class Function:
    """A function of the generated code that several calls share.

    Attributes:
        name: of the function.
        inputs: the tensors that it is called on.
        parameters: what it is called with beside them, in order.
        defaults: parameter -> what most calls give; the last of the parameters.
        statements: its body; its layers have parameters where the calls differ.
        results: what it returns.
        firsts: names of the first and the last layers that it makes begin so, for its docstring; "" where they have none.
        count: how many blocks of the graph it stands for.
    """

    name: str
    inputs: tuple[Tensor, ...]
    parameters: tuple[str, ...]
    defaults: Mapping[str, Any]
    statements: tuple[Statement, ...]
    results: tuple[Tensor, ...]
    firsts: tuple[str, str]
    count: int


@dataclasses.dataclass(eq=False)
class _Sequence:
    """The statements of `build` or of a function, and the tensors that are read behind them."""

    statements: list[Statement]
    ends: frozenset[Tensor]
    function: Function | None = None


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a block stands: in which sequence, and from which statement on."""

    sequence: int
    begin: int


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    """Blocks that are alike: what goes into each, what comes out, and in what their layers differ."""

    saved: float
    length: int
    places: tuple[_Place, ...]
    inputs: tuple[tuple[Tensor, ...], ...]
    results: tuple[tuple[int, int], ...]
    parameters: Parameters


def factored(program: Program, variables: Iterable[str] = ()) -> tuple[tuple[Statement, ...], tuple[Function, ...]]:
    """Returns the statements with calls in the places of blocks that are repeated, and the functions, callees first.

    Args:
        program: the statements; their layers have their names already.
        variables: of the code, after which no function is named.
    """
    sequences = [_Sequence(list(program.statements), program.ends)]
    used_names = {*naming.RESERVED, *naming.ARGUMENTS, *variables}
    while len(sequences) <= _MOST_FUNCTIONS:
        repeated = _best(sequences)
        if repeated is None:
            break
        _extract(sequences, repeated, used_names)
    functions = [
        dataclasses.replace(sequence.function, statements=tuple(sequence.statements))
        for sequence in sequences
        if sequence.function is not None
    ]
    return tuple(sequences[0].statements), tuple(_callees_first(functions))


def _callees_first(functions: list[Function]) -> list[Function]:
    by_name = {function.name: function for function in functions}
    ordered: dict[str, Function] = {}

    def add(function: Function) -> None:
        for statement in function.statements:
            for layer in block_parameters.layers_in(statement):
                if layer.function is not None and layer.kind not in ordered:
                    add(by_name[layer.kind])
        ordered[function.name] = function

    for function in functions:
        if function.name not in ordered:
            add(function)
    return list(ordered.values())


def _extract(sequences: list[_Sequence], repeated: _Found, used_names: set[str]) -> None:
    """Puts a function's calls in the places of its blocks, and its body among the sequences."""
    first = repeated.places[0]
    body = sequences[first.sequence].statements[first.begin : first.begin + repeated.length]
    defaults = _defaults(repeated.parameters)
    parameters = sorted(repeated.parameters.values, key=lambda name: name in defaults)
    prefixes = repeated.parameters.prefixes
    function = Function(
        name=naming.fresh(_title(body, prefixes), used_names),
        inputs=repeated.inputs[0],
        parameters=tuple(parameters),
        defaults=defaults,
        statements=tuple(repeated.parameters.generic(at, statement) for at, statement in enumerate(body)),
        results=tuple(_target(body[at], index) for at, index in repeated.results),
        firsts=(prefixes[0], prefixes[-1]),
        count=len(repeated.places),
    )
    for number in reversed(range(len(repeated.places))):
        place = repeated.places[number]
        statements = sequences[place.sequence].statements
        block = statements[place.begin : place.begin + repeated.length]
        given = {name: repeated.parameters.values[name][number] for name in parameters}
        name = given.pop(NAME, "")
        layer = Layer(kind=function.name, scope=_scope(block), options=given, name=name, function=function)
        call = Statement(
            targets=tuple(_target(block[at], index) for at, index in repeated.results),
            code=LayerCall(layer, tuple(map(Operand, repeated.inputs[number]))),
            scope=layer.scope,
            nodes=sum(statement.nodes for statement in block),
        )
        statements[place.begin : place.begin + repeated.length] = [call]
    sequences.append(_Sequence(list(function.statements), frozenset(function.results), function))


def _defaults(parameters: Parameters) -> dict[str, Any]:
    """Returns what more than half of the calls give to a parameter that is no name."""
    defaults = {}
    for name, values in parameters.values.items():
        texts = [repr(value) for value in values]
        most = max(texts, key=texts.count)
        usual = values[texts.index(most)]
        # What another function gives by a parameter of its own is not known where this one is defined.
        if name not in parameters.naming and 2 * texts.count(most) > len(texts) and "{" not in most:
            if not isinstance(usual, Name):
                defaults[name] = usual
    return defaults


_KINDS = {"Convolution": "conv", "Conv": "conv", "SeparableConv": "separable", "DepthwiseConv": "depthwise",
          "BatchNormalization": "norm", "LayerNormalization": "norm", "GroupNormalization": "norm", "Dense": "dense",
          "Embedding": "embedding", "PReLU": "prelu", "MaxPooling": "pool", "AveragePooling": "pool"}  # fmt: skip


def _title(body: list[Statement], prefixes: tuple[str, ...]) -> str:
    """Returns a name for a function: the words that the names of all its blocks share, or else what its layers are."""
    words = [_words(prefix) for prefix in prefixes]
    shared = [word for word in dict.fromkeys(words[0]) if all(word in other for other in words)]
    if len(body) > 2 and shared:
        return naming.identifier("_".join(shared[-2:]))
    layers = [layer for statement in body for layer in block_parameters.layers_in(statement)]
    kinds = [_KINDS.get(re.sub(r"\d.*", "", layer.kind), "") for layer in layers]
    title = "_".join(dict.fromkeys(kind for kind in kinds if kind))
    return naming.identifier(title if title and len(body) <= 2 else "_".join(shared[-2:]) or "block")


def _words(prefix: str) -> list[str]:
    """Returns the words of a name in lower case, without those that number it."""
    return [word for word in re.split(r"_+", prefix.lower()) if word and not re.fullmatch(r"\d+[a-z]?|[a-z]?\d+", word)]


def _common(block: Sequence[Statement]) -> list[str]:
    return naming.common_scopes(statement.scope for statement in block)


def _scope(block: Sequence[Statement]) -> str:
    return "/".join(_common(block)) or block[-1].scope


def _target(statement: Statement, index: int) -> Tensor:
    target = statement.targets[index]
    assert target is not None
    return target


def _best(sequences: list[_Sequence]) -> _Found | None:
    """Returns the blocks that are worth most as a function."""
    numbers: dict[str, int] = {}
    tokens = [
        [numbers.setdefault(token(statement), len(numbers)) for statement in sequence.statements]
        for sequence in sequences
    ]
    possible = []
    for length in range(_SHORTEST, min(_LONGEST, max(map(len, tokens)) - 1) + 1):
        alike: dict[tuple[int, ...], list[_Place]] = defaultdict(list)
        for at, row in enumerate(tokens):
            for begin in range(len(row) - length + 1):
                alike[tuple(row[begin : begin + length])].append(_Place(at, begin))
        for window, places in alike.items():
            if length * (len(places) - 1) < _AROUND + _LEAST_SAVED or _is_run(window):
                continue
            whole = [place for place in places if not _cuts_a_scope(sequences[place.sequence], place, length)]
            apart = _apart(whole, length)
            saved = _saved(length, apart)
            if len(apart) >= (3 if length <= 3 else 2) and saved >= _LEAST_SAVED:
                possible.append((saved, length, apart))
    last = [_last_reads(sequence) for sequence in sequences]
    best: _Found | None = None
    # Long runs can be cut anywhere; where is decided by what flows between the blocks, so equals are all looked at.
    for saved, length, places in sorted(possible, key=lambda candidate: (-candidate[0], candidate[1])):
        if best is not None and saved <= best.saved:
            break
        for repeated in _of_equal_flow(sequences, last, length, places):
            if repeated.saved >= _LEAST_SAVED and (best is None or repeated.saved > best.saved):
                best = repeated
    return best


def _is_run(window: tuple[int, ...]) -> bool:
    """Returns whether a block is itself several blocks in a row, which a loop is for."""
    return any(
        len(window) % period == 0 and window[period:] == window[:-period] for period in range(1, len(window) // 2 + 1)
    )


def _cuts_a_scope(sequence: _Sequence, place: _Place, length: int) -> bool:
    """Returns whether a block of several scopes has a part of one alone."""
    end = place.begin + length
    block = sequence.statements[place.begin : end]
    depth = len(_common(block))
    inner = [statement.scope.split("/")[: depth + 1] for statement in block]
    if inner[0] == inner[-1] or max(map(len, inner)) == depth:
        return False
    before, after = sequence.statements[place.begin - 1 : place.begin], sequence.statements[end : end + 1]
    outer = [statement.scope.split("/")[: depth + 1] for statement in (*before, *after)]
    return any(len(scope) > depth and scope in outer for scope in (inner[0], inner[-1]))


def _apart(places: list[_Place], length: int) -> list[_Place]:
    """Returns the places of blocks that have no statement in common."""
    apart: list[_Place] = []
    for place in places:
        if not apart or apart[-1].sequence != place.sequence or place.begin >= apart[-1].begin + length:
            apart.append(place)
    return apart


def _saved(length: int, places: Collection[_Place]) -> int:
    """Returns how many lines a function saves, if calls in a row are a loop."""
    calls, run, last = 0, 0, None
    for place in places:
        follows = last is not None and (place.sequence, place.begin) == (last.sequence, last.begin + length)
        run = run + 1 if follows else 1
        calls += run <= 2
        last = place
    return length * (len(places) - 1) - _AROUND - calls


def _of_equal_flow(
    sequences: list[_Sequence], last: Sequence[Mapping[Tensor, int]], length: int, places: list[_Place]
) -> list[_Found]:
    """Returns the blocks sorted by how tensors flow into, through and out of them; `last` is `_last_reads` of each sequence."""
    groups: dict[Any, list[tuple[_Place, tuple[Tensor, ...]]]] = defaultdict(list)
    for place in places:
        flow, inputs, results = _flow(sequences[place.sequence], last[place.sequence], place.begin, length)
        if len(inputs) <= _MOST_INPUTS and 0 < len(results) <= _MOST_RESULTS:
            groups[flow, results].append((place, inputs))
    all_found = []
    for (_, results), members in groups.items():
        for begin in (0, 1):
            # TensorFlow 1 numbers from the second of a kind on, so the first may have a name like no other.
            part = members[begin:]
            blocks = [sequences[p.sequence].statements[p.begin : p.begin + length] for p, _ in part]
            parameters = block_parameters.of(blocks) if len(part) > 1 else None
            if parameters is None or len(parameters.values) > _MOST_PARAMETERS:
                continue
            kept = tuple(place for place, _ in part)
            inputs = tuple(tensors for _, tensors in part)
            cost = 0.5 * (len(inputs[0]) - 1) + (len(results) - 1) + max(0.5 * (len(parameters.values) - 3), 0)
            saved = _saved(length, kept) - cost - 2 * max(len(parameters.naming) - 1, 0)
            all_found.append(_Found(saved, length, kept, inputs, results, parameters))
            break
    return all_found


def _last_reads(sequence: _Sequence) -> dict[Tensor, int]:
    """Returns tensor -> the place of the last statement that reads it."""
    return {
        tensor: at
        for at, statement in enumerate(sequence.statements)
        for tensor in expressions.operands(statement.code)
    }


def _flow(sequence: _Sequence, last: Mapping[Tensor, int], begin: int, length: int):
    """Returns where each tensor that a block reads comes from, the tensors from outside, and the places of its results."""
    block = sequence.statements[begin : begin + length]
    inside = {
        target: (at, index)
        for at, statement in enumerate(block)
        for index, target in enumerate(statement.targets)
        if target is not None
    }
    outside: dict[Tensor, int] = {}
    flow = tuple(
        ("inside", *inside[tensor]) if tensor in inside else ("outside", outside.setdefault(tensor, len(outside)))
        for statement in block
        for tensor in expressions.mentions(statement.code)
    )
    later = {tensor for tensor in inside if last.get(tensor, -1) >= begin + length}
    results = tuple(place for tensor, place in inside.items() if tensor in later or tensor in sequence.ends)
    return flow, tuple(outside), results


def token(statement: Statement) -> str:
    """Returns what two statements have in common if they differ in operands and in the settings of layers alone."""
    given = "".join("_" if target is None else "." for target in statement.targets)
    return f"{given} {_shape(statement.code)}"


def _shape(part: Expression) -> str:
    inner = ",".join(map(_shape, expressions.children(part)))
    if isinstance(part, Operand):
        return "operand"
    if isinstance(part, LayerCall):
        layer, keys = part.layer, [key for key, _ in part.options]
        # A layer that several statements call is made in `build`, where no function sees it: such a call is like no other.
        own = id(part) if layer.variable else ""
        return f"{layer.constructor}/{block_parameters.kind_of(layer)}/{keys}/{own}({inner})"
    if isinstance(part, Call):
        return f"{part.function}/{len(part.arguments)}/{[key for key, _ in part.options]}({inner})"
    if isinstance(part, Slice):
        ends = [end if not isinstance(end, Expression) else "…" for end in (part.start, part.stop, part.step)]
        return f"{ends}({inner})"
    if isinstance(part, Items):
        return f"{part.is_tuple}({inner})"
    if inner:
        return f"{type(part).__name__}{getattr(part, 'symbol', '')}({inner})"
    return repr(part)
