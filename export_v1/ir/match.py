"""Recognises what a tensor is computed by, from a description of the nodes above it.

    scaled = made_by("Mul", anything("x"), made_by("Rsqrt", anything("variance")), any_order=True)
    found = match(index, parse("batch_norm/mul:0"), scaled)
    print(found["variance"] if found else found.reason)

A pattern is a function from a tensor to the ways in which it fits. Several patterns may fit in several ways, so what is
captured by one of them is what the others are asked about.
"""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Literal

from export_v1.ir.graph import Index, Tensor, data_inputs

Captures = Mapping[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Match:
    """A way in which a pattern fits: name -> the tensor that was captured under it. True as a bool."""

    captures: Captures

    def __getitem__(self, name: str) -> Tensor:
        return self.captures[name]


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """That a pattern does not fit, and why: what the node furthest up is, of those that were tried. False as a bool."""

    reason: str

    def __bool__(self) -> Literal[False]:
        return False


class _Search:
    """One search: the graph, and the failure furthest away from where it began."""

    def __init__(self, index: Index):
        self.index, self.reason, self._furthest = index, "", -1

    def failed(self, depth: int, reason: str) -> None:
        if depth > self._furthest:
            self._furthest, self.reason = depth, reason


Pattern = Callable[[_Search, Tensor, dict[str, Tensor], int], Iterator[dict[str, Tensor]]]


def match(index: Index, tensor: Tensor, pattern: Pattern) -> Match | Mismatch:
    """Returns the first way in which a tensor fits a pattern, or why it does not."""
    search = _Search(index)
    for captures in pattern(search, tensor, {}, 0):
        return Match(captures)
    return Mismatch(search.reason)


def matches(index: Index, tensor: Tensor, pattern: Pattern) -> Iterator[Match]:
    """Yields every way in which a tensor fits a pattern."""
    yield from map(Match, pattern(_Search(index), tensor, {}, 0))


def made_by(ops: str | Collection[str], *inputs: Pattern, any_order: bool = False) -> Pattern:
    """A pattern: the tensor is made by an op, or one of several, whose data inputs fit patterns.

    Args:
        ops: name of the op, or names.
        inputs: for all of the node's data inputs; none: whatever they are.
        any_order: whether the inputs may be the other way round.
    """
    wanted = {ops} if isinstance(ops, str) else ops

    def fits(search: _Search, tensor: Tensor, captures: dict[str, Tensor], depth: int):
        node = search.index.nodes.get(tensor.node)
        if node is None or node.op not in wanted:
            what = "is not in the graph" if node is None else f"is {node.op}"
            search.failed(depth, f"{tensor.name!r} {what}, not {' or '.join(sorted(wanted))}")
            return
        sources = data_inputs(node)
        if inputs and len(sources) != len(inputs):
            search.failed(depth, f"{tensor.name!r} ({node.op}) has {len(sources)} inputs, not {len(inputs)}")
            return
        for order in itertools.permutations(inputs) if any_order else (inputs,):
            yield from _all_fit(search, list(zip(order, sources, strict=False)), captures, depth + 1)

    return fits


def _all_fit(search: _Search, pairs: list[tuple[Pattern, Tensor]], captures: dict[str, Tensor], depth: int):
    if not pairs:
        yield captures
        return
    (pattern, tensor), *others = pairs
    for captured in pattern(search, tensor, captures, depth):
        yield from _all_fit(search, others, captured, depth)


def anything(
    name: str = "", test: Callable[[Index, Tensor], bool] | None = None, what: str = "what is wanted"
) -> Pattern:
    """A pattern: any tensor, or one that passes a test; captured under a name, if one is given.

    A name that has captured a tensor fits that tensor and no other.

    Args:
        name: to capture it under; "" for none.
        test: of the graph and a tensor; None: every tensor passes.
        what: the tensors that pass, for the reason of a mismatch.
    """

    def fits(search: _Search, tensor: Tensor, captures: dict[str, Tensor], depth: int):
        if captures.get(name, tensor) != tensor:
            search.failed(depth, f"{tensor.name!r} is not {captures[name].name!r}")
        elif test is not None and not test(search.index, tensor):
            search.failed(depth, f"{tensor.name!r} is not {what}")
        else:
            yield {**captures, name: tensor} if name else captures

    return fits


def exactly(wanted: Tensor) -> Pattern:
    """A pattern: this tensor."""
    return anything(test=lambda _, tensor: tensor == wanted, what=repr(wanted.name))


def either(*patterns: Pattern) -> Pattern:
    """A pattern: what fits at least one of some patterns, tried in their order."""

    def fits(search: _Search, tensor: Tensor, captures: dict[str, Tensor], depth: int):
        for pattern in patterns:
            yield from pattern(search, tensor, captures, depth)

    return fits


def behind(ops: Collection[str], pattern: Pattern) -> Pattern:
    """A pattern: what fits once all that `ops` do is seen through, by the first input of each."""

    def fits(search: _Search, tensor: Tensor, captures: dict[str, Tensor], depth: int):
        yield from pattern(search, origin(search.index, tensor, ops), captures, depth)

    return fits


def origin(index: Index, tensor: Tensor, ops: Collection[str]) -> Tensor:
    """Returns the tensor behind nodes of some ops, each seen through by its first input."""
    seen = set()
    while tensor.node in index and index[tensor.node].op in ops and tensor.node not in seen:
        sources = data_inputs(index[tensor.node])
        if not sources:
            break
        seen.add(tensor.node)
        tensor = sources[0]
    return tensor
