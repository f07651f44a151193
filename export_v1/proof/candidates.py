"""Shapes that a graph's inputs may have, likelier ones first; TensorFlow's shape functions judge each before it is run."""

import collections
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from export_v1.ir.graph import Tensor, attr
from export_v1.proof import judge, sizes, values
from export_v1.proof.reading import Reading, Shape

BATCH = 3
# Sizes tried for an axis that the graph leaves open, other than the batch: enough for a stack of convolutions or for a
# sequence, then what image networks were usually trained on.
SIZES = (8, 32, 64, 128, 28, 224, 299, 84, 96, 256, 16)
# Sizes tried for a first axis that is none of a batch.
_LENGTHS = (64, 2048, 16000)
# No made-up input is bigger: an image in 3-D at the larger sizes would take more memory than there is.
MOST_ELEMENTS = 4_000_000
# Shape functions are asked about so many candidates, and of so many nodes in all.
MOST_JUDGED = 250
MOST_NODES_JUDGED = 400_000
# A graph that takes a picture of 36 to answer one of 32 takes nothing else; most such sizes are small.
_LARGEST = 64
# What TensorFlow says against one candidate is followed into so many others, and no further than so many times.
_MOST_REPAIRS = 12
_MOST_ROUNDS = 3
# What follows from refusals takes turns with what is likely by itself.
_REPAIRS_AT_ONCE = 4
# What readers say settles more in each round, as sizes pass from one input to the next by way of the graph.
_READINGS = 3


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Shapes for all inputs, and what the integers are of which no reader says anything.

    Attributes:
        sizes: placeholder name -> shape.
        number: what such integers are; None: one or two.
        is_scalar: whether `number` is meant for scalars alone.
        variation: other values for the rest, where it is not 0.
        division: how such vectors of integers divide the rows of the other inputs, an order of `Domain`; "": not.
    """

    sizes: Mapping[str, list[int]]
    number: int | None = None
    is_scalar: bool = False
    variation: int = 0
    division: str = ""

    @property
    def key(self) -> tuple:
        """What tells it from another."""
        shapes = tuple((name, tuple(shape)) for name, shape in sorted(self.sizes.items()))
        return shapes, self.number, self.is_scalar, self.variation, self.division

    @property
    def is_small(self) -> bool:
        """Whether it fits in memory."""
        return sum(int(np.prod(shape, dtype=np.int64)) for shape in self.sizes.values()) <= MOST_ELEMENTS


Made = Callable[[Candidate], Mapping[str, np.ndarray]]


class Search:
    """The candidates for one graph.

    Args:
        reading: the graph.
        shapes: placeholder name -> what the graph tells of its shape.
        integers: names of placeholders of integers.
        likely: placeholder name -> the shape that it has first where its rank is unknown.
    """

    def __init__(self, reading: Reading, shapes: Mapping[str, Shape], integers: set[str], likely: Mapping[str, Shape]):
        self._reading, self._integers, self._likely = reading, integers, likely
        self._told = dict(shapes)
        self._open: dict[str, Shape] = dict(shapes)
        self._seen: set[tuple] = set()
        self._repairs: collections.deque[tuple[Candidate, int]] = collections.deque()
        self._judged = 0
        # What shape functions have said against candidates.
        self.reasons: list[str] = []
        self._rounds: dict[tuple, int] = {}

    def found(self, made: Made) -> Iterator[Candidate]:
        """Yields candidates that no shape function has anything against.

        Args:
            made: returns the integers of a candidate by placeholder name.
        """
        if all(shape is not None and None not in shape[1:] for shape in self._told.values()):
            # Nothing is open but how many rows there are: the ordinary model, and nothing need be asked.
            first = Candidate(self._filled(self._told, BATCH, SIZES[0]))
            self._seen.add(first.key)
            yield first
        for number, candidate in enumerate(self._in_order()):
            yield from self._repaired(made, _REPAIRS_AT_ONCE)
            yield from self._accepted(candidate, made, 0)
            if number == 1:
                yield from self._divided(made)
                yield from self._numbered(made)
                yield from self._varied(made)
        # What is tried in order ends; what follows from refusals may take all the judgements that are left.
        for candidate in self._searched():
            yield from self._accepted(candidate, made, _MOST_ROUNDS)
        yield from self._repaired(made, MOST_JUDGED)

    def blame(self, candidate: Candidate, message: str) -> None:
        """Notes what TensorFlow said against a candidate when it ran; what follows from that comes next."""
        self._repair(candidate, judge.Refusal.of(message), self._rounds.get(candidate.key, 0))

    def _in_order(self) -> Iterator[Candidate]:
        for shapes in self._readings():
            self._open = shapes
            is_settled = all(shape is not None and None not in shape[1:] for shape in shapes.values())
            for first, others in ((BATCH, SIZES[0]), (SIZES[0], SIZES[0])):
                yield Candidate(self._filled(shapes, first, others))
            yield Candidate({name: _filled(shape or [], SIZES[0], SIZES[0], BATCH) for name, shape in shapes.items()})
            if not is_settled:
                yield from (Candidate(self._filled(shapes, BATCH, size)) for size in SIZES[1:])
                yield Candidate({name: _different(shape or []) for name, shape in shapes.items()})
            yield Candidate(self._filled(shapes, 1, 1))
            # A signal has no batch axis, and a window that slides along it needs room.
            yield from (Candidate(self._filled(shapes, length, SIZES[0])) for length in _LENGTHS)
            for number in self._repeated_numbers():
                yield Candidate(self._filled(shapes, number, SIZES[0]))
                yield Candidate(self._filled(shapes, number, number))

    def _filled(self, shapes: Mapping[str, Shape], first: int, others: int) -> dict[str, list[int]]:
        return {name: _filled(shape or [], first, others) for name, shape in shapes.items()}

    def _readings(self) -> Iterator[dict[str, Shape]]:
        """Yields the shapes as the readers of each input want them; where they leave a rank open, more than once."""
        shapes = self._read(self._told)
        unknown = {name for name, shape in shapes.items() if shape is None}
        if not unknown:
            yield shapes
            return
        # Beside a tensor of data, a number that fits any shape is a rate or a flag; alone, it is the data.
        is_beside = any(shape for shape in shapes.values())
        ranks: list[Shape] = [[], [None, None], [None]] if is_beside else [[None, None], [None], [], [None, None, None]]
        for number, rank in enumerate(ranks):
            first = self._likely if number < 2 else {}
            yield self._read({**shapes, **{name: first.get(name, rank) for name in unknown}})

    def _read(self, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        now = dict(shapes)
        for _ in range(_READINGS):
            self._reading.assume(now)
            further = {
                name: shape if shape is not None and None not in shape
                else sizes.wanted(self._reading, Tensor(name), shape)
                for name, shape in now.items()
            }  # fmt: skip
            if further == now:
                break
            now = further
        return now

    def _numbered(self, made: Made) -> Iterator[Candidate]:
        """Yields the likeliest shapes with other integers: as many as there are rows, as long as an axis is, 1 and 0."""
        if not self._integers:
            return
        for sizes_ in (self._filled(self._open, BATCH, SIZES[0]), self._filled(self._open, SIZES[0], SIZES[0])):
            rows = BATCH if sizes_ == self._filled(self._open, BATCH, SIZES[0]) else SIZES[0]
            for number, is_scalar in ((rows, True), (SIZES[0], True), (1, False), (0, False)):
                yield from self._accepted(Candidate(sizes_, number, is_scalar), made, _MOST_ROUNDS)

    def _divided(self, made: Made) -> Iterator[Candidate]:
        """Yields the likeliest shapes with integers that divide the rows of the other inputs: how many, or where."""
        sizes_ = self._filled(self._open, SIZES[0], SIZES[0])
        vectors = {name for name in unsaid(self._reading, self._integers) if self._open[name] == [None]}
        if vectors and len(vectors) < len(sizes_):
            for order, length in (("parts", BATCH), ("splits", BATCH + 1)):
                changed = sizes_ | {name: [length] for name in vectors}
                yield from self._accepted(Candidate(changed, division=order), made, _MOST_ROUNDS)

    def _varied(self, made: Made) -> Iterator[Candidate]:
        """Yields the likeliest shapes with other values: what a loop waits for may come, or a condition be otherwise."""
        for variation in (1, 2, 3):
            sizes_ = self._filled(self._open, BATCH, SIZES[0])
            yield from self._accepted(Candidate(sizes_, variation=variation), made, _MOST_ROUNDS)

    def _accepted(self, candidate: Candidate, made: Made, rounds: int) -> Iterator[Candidate]:
        if candidate.key in self._seen or not candidate.is_small:
            return
        self._seen.add(candidate.key)
        self._rounds[candidate.key] = rounds
        refusal = self._refusal(candidate, made)
        if refusal is None:
            yield candidate
        else:
            self.reasons.append(refusal.message)
            self._repair(candidate, refusal, rounds)

    def _refusal(self, candidate: Candidate, made: Made) -> judge.Refusal | None:
        self._judged += 1
        nodes = self._judged * len(self._reading.graph_def.node)
        if self._judged > MOST_JUDGED or nodes > MOST_NODES_JUDGED:
            # The graph has to be run to see.
            return None
        return judge.refusal(self._reading.graph_def, candidate.sizes, made(candidate))

    def _repaired(self, made: Made, most: int) -> Iterator[Candidate]:
        """Yields what followed from refusals, as far as shape functions let it through; asks of so many at most."""
        while self._repairs and most:
            candidate, rounds = self._repairs.popleft()
            most -= 1
            yield from self._accepted(candidate, made, rounds)

    def _repair(self, candidate: Candidate, refusal: judge.Refusal, rounds: int) -> None:
        """Notes candidates in which open axes above the op that is blamed have the sizes that TensorFlow speaks of."""
        if rounds >= _MOST_ROUNDS:
            return
        blamed = self._inputs_of(refusal.node)
        axes = [
            (name, axis)
            for name in blamed
            for axis, size in enumerate(self._told[name] or [None] * len(candidate.sizes[name]))
            if size is None and axis < len(candidate.sizes[name])
        ]
        numbers = [number for number in dict.fromkeys(refusal.numbers) if 0 < number <= 4096]
        changes = itertools.islice(_changes(candidate.sizes, axes, numbers), _MOST_REPAIRS)
        made = [dataclasses.replace(candidate, sizes=changed) for changed in changes]
        repairs = [(other, rounds + 1) for other in made if other.key not in self._seen]
        if rounds:
            # One size is settled, the next one is on.
            self._repairs.extendleft(reversed(repairs))
        else:
            self._repairs.extend(repairs)

    def _inputs_of(self, node: str) -> list[str]:
        if node not in self._reading.index:
            return list(self._told)
        above = self._reading.index.ancestors([node])
        return [name for name in self._told if name in above]

    def _repeated_numbers(self) -> list[int]:
        """Returns what stands first in constant shapes: a batch size that was built in."""
        numbers: collections.Counter = collections.Counter()
        for node in self._reading.graph_def.node:
            if node.op == "Const" and attr(node, "value").tensor.tensor_shape.dim:
                value = self._reading.value(Tensor(node.name))
                if value is not None and value.dtype.kind == "i" and value.ndim == 1 and 1 < value.size < 6:
                    numbers[int(value[0])] += 1
        return [number for number, _ in numbers.most_common(4) if 1 < number <= 512 and number not in (BATCH, SIZES[0])]

    def _searched(self) -> Iterator[Candidate]:
        """Yields shapes that fit together, the open axes of each input but the batch settled by trying every size."""
        chosen = {name: _filled(shape or [], BATCH, None) for name, shape in self._open.items()}
        for name in sorted(chosen, key=lambda name: -chosen[name].count(None)):
            if None not in chosen[name]:
                continue
            for size in range(_LARGEST, 0, -1):
                shape = [size if known is None else known for known in chosen[name]]
                self._judged += 1
                if self._judged > MOST_JUDGED or self._judged * len(self._reading.graph_def.node) > MOST_NODES_JUDGED:
                    return
                if judge.refusal(self._reading.graph_def, {**chosen, name: shape}) is None:
                    chosen[name] = shape
                    break
            else:
                return
        yield Candidate({name: [size for size in shape if size is not None] for name, shape in chosen.items()})


def unsaid(reading: Reading, integers: Iterable[str]) -> set[str]:
    """Returns those placeholders of vectors of integers of whose values no reader says anything."""
    vectors = {
        name for name in integers if reading.inputs.get(name) is not None and len(reading.inputs[name] or ()) == 1
    }
    domains = {name: values.of(reading, Tensor(name)) for name in vectors}
    return {name for name, domain in domains.items() if domain is None or domain.is_loose}


def _filled(shape: list[int | None], first: int, others, second=None) -> list:
    """Returns a shape with sizes for its open axes.

    Args:
        shape: None for an open axis.
        first: the size of the first axis.
        others: that of the others.
        second: that of the second axis, and of the only one; None: as the others.
    """
    if second is None:
        return [
            first if at == 0 and size is None else others if size is None else size for at, size in enumerate(shape)
        ]
    by_axis = [second] if len(shape) == 1 else [first, second, *[others] * len(shape)]
    return [by_axis[at] if size is None else size for at, size in enumerate(shape)]


def _different(shape: list[int | None]) -> list[int]:
    return [(BATCH if at == 0 else SIZES[0] + at) if size is None else size for at, size in enumerate(shape)]


def _changes(
    sizes_: Mapping[str, list[int]], axes: list[tuple[str, int]], numbers: list[int]
) -> Iterator[dict[str, list[int]]]:
    """Yields shapes in which open axes have numbers that TensorFlow has spoken of."""

    def changed(places, size: int) -> dict[str, list[int]]:
        new = {name: list(shape) for name, shape in sizes_.items()}
        for name, axis in places:
            new[name][axis] = size
        return new

    # Axes whose size it spoke of get the other size it spoke of: all of them, then one by one.
    for number in numbers:
        same = [(name, axis) for name, axis in axes if sizes_[name][axis] == number]
        for other in numbers:
            if same and other != number:
                yield changed(same, other)
                if len(same) > 1:
                    yield from (changed([place], other) for place in same)
    # A size that another was made of: as much more as it fell short by.
    for size, other in itertools.permutations(numbers[:2], 2):
        for name, axis in axes:
            if sizes_[name][axis] + other - size > 0:
                yield changed([(name, axis)], sizes_[name][axis] + other - size)
    for number in numbers:
        yield from (changed([place], number) for place in axes)
