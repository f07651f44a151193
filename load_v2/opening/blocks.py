"""Repeated blocks: statements that come again with other layers become a function, and a loop that calls it."""

import dataclasses
import itertools
import os
import re
from collections.abc import Sequence
from typing import Any

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions
from load_v2.opening.expressions import Expression, LayerCall, Operand
from load_v2.opening.layers import Layer
from load_v2.opening.statements import Program, Statement

# A function for fewer statements, or for fewer repeats of few, would be longer than what it replaces.
_FEWEST, _LEAST_SAVED = 3, 8
_LONGEST = 150


@dataclasses.dataclass(frozen=True, eq=False)
class Block:
    """Statements that are repeated.

    Attributes:
        repeats: the statements of each repeat.
        carried: tensors that a repeat gives to the next: for each, the one before the first, and where in a repeat the
            statement stands that gives the next.
        fixed: tensors from outside that every repeat reads.
        names: what the names of a repeat's layers begin with, for each repeat.
        settings: (statement, layer argument) -> its value in each repeat, where they differ.
    """

    repeats: tuple[tuple[Statement, ...], ...]
    carried: tuple[tuple[Tensor, int], ...]
    fixed: tuple[Tensor, ...]
    names: tuple[str, ...]
    settings: dict[tuple[int, Any], tuple[Any, ...]]

    @property
    def results(self) -> tuple[Tensor, ...]:
        """The tensors that the last repeat gives."""
        return tuple(_target(self.repeats[-1][at]) for _, at in self.carried)


def found(program: Program) -> list[Statement | Block]:
    """Returns the statements in order, those that are repeated as blocks; layers have their names already."""
    statements = list(program.statements)
    tokens = [_token(statement) for statement in statements]
    ends = {tensor for code in program.outputs.values() for tensor in expressions.operands(code)}
    blocks: dict[int, Block] = {}
    taken = [False] * len(statements)
    candidates = itertools.groupby(_candidates(tokens), key=lambda run: (run[1], run[2]))
    for (period, count), runs in candidates:
        possible = [(begin, _longest(statements, begin, period, count, ends, taken)) for begin, _, _ in runs]
        # A run may be cut in several places; the best is where the fewest tensors go from one repeat to the next.
        whole = sorted(
            ((begin, block) for begin, block in possible if block is not None),
            key=lambda one: (-len(one[1].repeats), len(one[1].carried), one[0]),
        )
        for begin, block in whole:
            size = period * len(block.repeats)
            if not any(taken[begin : begin + size]):
                blocks[begin] = block
                taken[begin : begin + size] = [True] * size
    items: list[Statement | Block] = []
    at = 0
    while at < len(statements):
        if at in blocks:
            items.append(blocks[at])
            at += sum(map(len, blocks[at].repeats))
        else:
            items.append(statements[at])
            at += 1
    return items


def _longest(
    statements: list[Statement], begin: int, period: int, count: int, ends: set[Tensor], taken: list[bool]
) -> Block | None:
    """Returns the block with the most repeats that begins at a statement."""
    while count > 1 and period * (count - 1) >= _LEAST_SAVED:
        if not any(taken[begin : begin + period * count]):
            block = _block(statements, begin, period, count, ends)
            if block is not None:
                return block
        count -= 1
    return None


def _token(statement: Statement) -> str:
    """Returns what two statements have in common if they differ in operands and in the settings of layers alone."""

    def shape(part: Expression) -> str:
        if isinstance(part, Operand):
            return "operand"
        if isinstance(part, LayerCall):
            layer = part.layer
            head = f"{layer.constructor}/{len(layer.arguments)}/{sorted(layer.options)}/{layer.variable}"
            return f"{head}({','.join(map(shape, expressions.children(part)))})"
        inner = [shape(child) for child in expressions.children(part)]
        own = (
            repr(part)
            if not inner
            else f"{type(part).__name__} {getattr(part, 'function', getattr(part, 'symbol', ''))}"
        )
        return f"{own}[{','.join(inner)}]"

    return f"{len(statement.targets)} {shape(statement.code)}"


def _candidates(tokens: Sequence[str]) -> list[tuple[int, int, int]]:
    """Returns (begin, period, repeats) of runs of equal tokens, those first that save most."""
    runs = []
    for period in range(_FEWEST, min(_LONGEST, len(tokens) // 2) + 1):
        at = 0
        while at + 2 * period <= len(tokens):
            length = 0
            while at + length + period < len(tokens) and tokens[at + length] == tokens[at + length + period]:
                length += 1
            if length >= period:
                # The run may begin at any of the first places of it; where is decided by what flows between.
                for shift in range(min(period, length - period + 1)):
                    count = (length - shift) // period + 1
                    if count > 1 and period * (count - 1) >= _LEAST_SAVED:
                        runs.append((at + shift, period, count))
            at += length + 1
    runs.sort(key=lambda run: (-run[1] * (run[2] - 1), run[1], run[0]))
    return runs


def _target(statement: Statement) -> Tensor:
    target = statement.targets[0]
    assert target is not None
    return target


def _block(statements: list[Statement], begin: int, period: int, count: int, ends: set[Tensor]) -> Block | None:
    """Returns the block, None where what flows between its repeats is not what flows through a loop."""
    repeats = tuple(tuple(statements[begin + r * period : begin + (r + 1) * period]) for r in range(count))
    if any(len(statement.targets) != 1 for statement in repeats[0]):
        return None
    places = [{_target(statement): at for at, statement in enumerate(repeat)} for repeat in repeats]
    carried: dict[tuple[Tensor, int], None] = {}
    fixed: dict[Tensor, None] = {}
    for at in range(period):
        reads = [_reads(repeat[at]) for repeat in repeats]
        for tensors in zip(*reads, strict=True):
            inside = [places[r].get(tensor) for r, tensor in enumerate(tensors)]
            if inside[0] is not None:
                if len(set(inside)) != 1:
                    return None
            elif len(set(tensors)) == 1:
                if any(tensors[0] in place for place in places):
                    return None
                fixed[tensors[0]] = None
            else:
                before = {places[r].get(tensor) for r, tensor in enumerate(tensors[1:])}
                place = before.pop()
                if before or place is None:
                    return None
                carried[tensors[0], place] = None
    if not carried or len({at for _, at in carried}) != len(carried) or set(fixed) & {t for t, _ in carried}:
        return None
    if not _is_closed(statements, begin, period, count, {at for _, at in carried}, ends):
        return None
    names, settings = _names(repeats), _settings(repeats)
    if names is None or settings is None:
        return None
    return Block(repeats, tuple(carried), tuple(fixed), names, settings)


def _reads(statement: Statement) -> list[Tensor]:
    return [part.tensor for part in expressions.walk(statement.code) if isinstance(part, Operand)]


def _is_closed(statements, begin: int, period: int, count: int, carried: set[int], ends: set[Tensor]) -> bool:
    """Returns whether nothing behind the block reads more than what its last repeat hands on."""
    after = {t for statement in statements[begin + period * count :] for t in _reads(statement)} | ends
    for place in range(period * count):
        tensor = _target(statements[begin + place])
        last = place >= period * (count - 1)
        if tensor in after and not (last and place % period in carried):
            return False
    return True


def _layers(statement: Statement) -> list[Layer]:
    return [part.layer for part in expressions.walk(statement.code) if isinstance(part, LayerCall)]


def _names(repeats) -> tuple[str, ...] | None:
    """Returns what the names of each repeat's layers begin with, if what follows is the same in all of them."""
    named = [[layer.name for statement in repeat for layer in _layers(statement) if layer.name] for repeat in repeats]
    if any(layer.variable for statement in repeats[0] for layer in _layers(statement)):
        return None
    if not named[0]:
        return tuple("" for _ in repeats)
    prefixes = [_prefix(names) for names in named]
    for _ in range(8):
        rests = {tuple(name[len(prefix) :] for name in names) for prefix, names in zip(prefixes, named, strict=True)}
        if len(rests) == 1:
            return tuple(prefixes)
        # The prefix of one repeat may happen to be longer: "unit_1_conv" where all of a unit's layers are convolutions.
        shorter = [prefix.rpartition("_")[0] for prefix in prefixes]
        longest = max(len(prefix.split("_")) for prefix in prefixes)
        prefixes = [
            short if len(prefix.split("_")) == longest else prefix
            for short, prefix in zip(shorter, prefixes, strict=True)
        ]
    return None


def _prefix(names: list[str]) -> str:
    common = os.path.commonprefix([f"{name}_" for name in names])
    return common.rpartition("_")[0]


def _settings(repeats) -> dict[tuple[int, Any], tuple[Any, ...]] | None:
    settings = {}
    for at in range(len(repeats[0])):
        layers = [_layers(repeat[at]) for repeat in repeats]
        if len(layers[0]) > 1:
            return None
        if not layers[0]:
            continue
        first = layers[0][0]
        for key in [*range(len(first.arguments)), *first.options]:
            values = tuple(setting(one[0], key) for one in layers)
            if any(value != values[0] for value in values):
                settings[at, key] = values
    return settings


def setting(layer: Layer, key: Any) -> Any:
    """Returns an argument of a layer's constructor, by position or by name."""
    return layer.arguments[key] if isinstance(key, int) else layer.options[key]


def numbered(names: Sequence[str]) -> tuple[str, int] | None:
    """Returns ("layer_{}", 3) for "layer_3", "layer_4", …; None where names are not numbered one by one."""
    matches = [re.fullmatch(r"(.*?)(\d+)(\D*)", name) for name in names]
    if not all(matches):
        return None
    parts = [(m[1], int(m[2]), m[3]) for m in matches if m]
    if len({(head, tail) for head, _, tail in parts}) != 1 or any(
        len(m[2]) > 1 and m[2][0] == "0" for m in matches if m
    ):
        return None
    numbers = [number for _, number, _ in parts]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    return f"{parts[0][0]}{{}}{parts[0][2]}", numbers[0]
