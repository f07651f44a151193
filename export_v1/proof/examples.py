"""Inputs made up for a graph, by dtype, shape and what reads them; the same ones every time."""

import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from export_v1.interface import Input
from export_v1.ir.graph import GraphDef, Index, Tensor, parse
from export_v1.proof import arrays, candidates, divisions, sparse, strings, told, trial, values
from export_v1.proof.candidates import BATCH, Candidate
from export_v1.proof.domain import Domain
from export_v1.proof.reading import Reading, Shape

__all__ = ["BATCH", "attempts", "sets"]

# Candidates that are handed out to be run, at most.
MOST_TRIED = 32
# Where the graph itself fixes sizes, they may be larger than those that would be chosen; but not than memory.
MOST_ELEMENTS = 2**28
Sample = dict[str, np.ndarray]


class Attempts(Iterator[Sample]):
    """Dicts of arrays by input key, likelier ones first; the graph may refuse any of them.

    The first one may be run straight away. The further ones are guesses: with a trial only those come that it let
    through. What TensorFlow says against one decides what comes next, so whoever runs one tells `refused`.
    """

    def __init__(self, maker: "_Maker", seed: int, guesses: trial.Trial | None):
        self._maker, self._seed, self._trial = maker, seed, guesses
        self._search = candidates.Search(maker.reading, maker.shapes, maker.integers, maker.likely)
        self._last: Candidate | None = None
        self._reasons: list[str] = []
        self._made = self._found()

    def __next__(self) -> Sample:
        return next(self._made)

    def _found(self) -> Iterator[Sample]:
        for count, candidate in enumerate(self._search.found(self._maker.known_values)):
            if count >= MOST_TRIED:
                return
            size = sum(int(np.prod(sizes, dtype=np.int64)) for sizes in candidate.sizes.values())
            if size > MOST_ELEMENTS:
                self._reasons.append(f"inputs of {size:,} elements are too large to be generated")
                return
            sample, self._last = self._maker.made(candidate, self._seed), candidate
            try:
                message = self._trial.refusal(sample) if self._trial is not None and count else None
            except trial.GivenUp as error:
                self._reasons.append(str(error))
                return
            if message is None:
                yield sample
            else:
                self.refused(message)

    def refused(self, message: str) -> None:
        """Takes note of what TensorFlow has said against the inputs that came last."""
        self._reasons.append(message)
        if self._last is not None:
            self._search.blame(self._last, message)

    @property
    def reason(self) -> str:
        """What was said against the first one; why there was none, where there was none."""
        return next(iter([*self._reasons, *self._search.reasons]), "there is none")


def attempts(
    whole: GraphDef, cut: GraphDef, inputs: Mapping[str, Input], seed: int = 1, guesses: trial.Trial | None = None
) -> Attempts:
    """Returns inputs made up for a graph, to be tried one after the other.

    Args:
        whole: the graph as it was written, with the shapes that TensorFlow 1 recorded in it.
        cut: the graph with placeholders for the inputs, as it will run.
        inputs: key -> where the graph is cut.
        seed: another one gives other values.
        guesses: runs all but the first in a process whose end does no harm.
    """
    return Attempts(_Maker(whole, cut, inputs), seed, guesses)


def sets(
    whole: GraphDef, cut: GraphDef, inputs: Mapping[str, Input], like: Mapping[str, np.ndarray], count: int
) -> Iterator[Sample]:
    """Yields further inputs of the shapes of inputs that have run, each of another scale and with other signs.

    What readers of an input say about its values holds in each set: rows stay within their table, lengths within their
    axis, rates between 0 and 1. The graph may still refuse one.

    Args:
        whole: the graph as it was written.
        cut: the graph with placeholders for the inputs, as it will run.
        inputs: key -> where the graph is cut.
        like: inputs that the graph has answered to.
        count: how many sets.
    """
    maker = _Maker(whole, cut, inputs)
    sizes = {maker.placeholders[key]: list(np.shape(value)) for key, value in like.items() if key in inputs}
    division = maker.division(sizes, like)
    for at in range(1, count + 1):
        made = maker.made(Candidate(sizes, division=division), seed=1000 + at, variation=at)
        # What makes the sizes of others is no matter of scale.
        made |= {key: np.asarray(like[key]) for key in maker.sizing if key in like}
        yield made


class _Maker:
    """Makes arrays for the inputs of one graph."""

    def __init__(self, whole: GraphDef, cut: GraphDef, inputs: Mapping[str, Input]):
        original = Index(whole)
        self.inputs = inputs
        self.reading = Reading(cut)
        names = {node.name for node in cut.node}
        self.placeholders = {key: _placeholder(parse(spec.tensor), names) for key, spec in inputs.items()}
        self.shapes = {self.placeholders[key]: told.shape(original, spec) for key, spec in inputs.items()}
        self.reading.assume(self.shapes)
        self._sparse: list[sparse.Parts] | None = None
        self._dtypes = {key: tf.as_dtype(spec.dtype).base_dtype for key, spec in inputs.items()}
        self.integers = {self.placeholders[key] for key, dtype in self._dtypes.items() if dtype.is_integer}
        # Of any rank, a bool is a flag, and a string one of a batch.
        likely: dict[tf.DType, Shape] = {tf.bool: [], tf.string: [None]}
        self.likely = {self.placeholders[key]: likely[dtype] for key, dtype in self._dtypes.items() if dtype in likely}

    @property
    def sizing(self) -> set[str]:
        """Keys of scalar integers and of what a SparseTensor is made of."""
        scalars = {key for key, name in self.placeholders.items() if name in self.integers and self.shapes[name] == []}
        return scalars | {key for parts in self._parts() for key in (parts.indices, parts.shape) if key}

    def _parts(self) -> list[sparse.Parts]:
        if self._sparse is None:
            is_possible = any(dtype == tf.int64 for dtype in self._dtypes.values())
            self._sparse = sparse.found(self.reading, self.placeholders) if is_possible else []
        return self._sparse

    def _parts_beside(self, sizes: Mapping[str, list[int]]) -> list[sparse.Parts]:
        """Returns the SparseTensors again, with what follows for them from the sizes of the other inputs."""
        keys = {key for parts in self._parts() for key in (parts.indices, parts.values, parts.shape)}
        if not keys:
            return []
        told_of = {name: self.shapes[name] for key, name in self.placeholders.items() if key in keys}
        self.reading.assume({**sizes, **told_of})
        return sparse.found(self.reading, self.placeholders)

    def known_values(self, candidate: Candidate) -> dict[str, np.ndarray]:
        """Returns the integers of a candidate by placeholder name, for shape functions to look at."""
        if not self.integers:
            return {}
        keys = [key for key, name in self.placeholders.items() if name in self.integers]
        return {self.placeholders[key]: value for key, value in self._made(candidate, 1, 0, keys).items()}

    def made(self, candidate: Candidate, seed: int, variation: int = 0) -> Sample:
        """Returns arrays of a candidate's shapes, by input key."""
        return self._made(candidate, seed, variation, list(self.inputs))

    def _made(self, candidate: Candidate, seed: int, variation: int, keys: list[str]) -> Sample:
        variation = variation or candidate.variation
        seed += candidate.variation
        sizes = dict(candidate.sizes)
        example: Sample = {}
        for parts in self._parts_beside(sizes):
            rng = np.random.default_rng([zlib.crc32(parts.indices.encode()), seed])
            shapes = {key: self.shapes[name] for key, name in self.placeholders.items()}
            pieces, count = sparse.examples(parts, shapes, rng)
            example |= pieces
            if parts.values is not None:
                sizes[self.placeholders[parts.values]] = [count]
        sizes |= {self.placeholders[key]: list(value.shape) for key, value in example.items()}
        self.reading.assume(sizes, {self.placeholders[key]: value for key, value in example.items()})
        divided: dict[str, Domain | None] = {}
        if candidate.division:
            vectors = candidates.unsaid(self.reading, self.integers)
            divided = dict.fromkeys(vectors, divisions.of_others(candidate.division, candidate.sizes, vectors))
        # Scalars first: an axis or a count says what the vectors beside it have to be.
        for key in sorted(keys, key=lambda key: int(np.prod(sizes[self.placeholders[key]], dtype=np.int64))):
            if key not in example:
                example[key] = self._array(key, sizes[self.placeholders[key]], candidate, seed, variation, divided)
                if self._dtypes[key].is_integer:
                    self.reading.settle(self.placeholders[key], example[key])
        return {key: example[key] for key in keys}

    def division(self, sizes: Mapping[str, list[int]], like: Mapping[str, np.ndarray]) -> str:
        """Returns how the vectors of integers of which no reader says anything divide the rows of the other inputs."""
        self.reading.assume(sizes)
        vectors = candidates.unsaid(self.reading, self.integers & sizes.keys())
        given = [np.asarray(like[key]) for key, name in self.placeholders.items() if name in vectors]
        for order in ("parts", "splits") if given else ():
            domain = divisions.of_others(order, sizes, vectors)
            if all(divisions.holds(domain, value) for value in given):
                return order
        return ""

    def _array(
        self,
        key: str,
        sizes: list[int],
        candidate: Candidate,
        seed: int,
        variation: int,
        divided: Mapping[str, Domain | None],
    ) -> np.ndarray:
        rng = np.random.default_rng([zlib.crc32(key.encode()), seed])
        tensor, dtype = Tensor(self.placeholders[key]), self._dtypes[key]
        if dtype == tf.string:
            return strings.made(self.reading, tensor, sizes, rng)
        domain = divided.get(tensor.node)
        if domain is None and dtype != tf.bool:
            domain = values.of(self.reading, tensor)
        if (
            domain is None
            and dtype.is_integer
            and candidate.number is not None
            and (not sizes or not candidate.is_scalar)
        ):
            return np.full(sizes, candidate.number, dtype.as_numpy_dtype)
        return arrays.made(dtype, sizes, domain, rng, variation)


def _placeholder(tensor: Tensor, names: set[str]) -> str:
    """Returns the name that a cut has in the cut graph, where a node of several outputs is no placeholder itself."""
    beside = f"{tensor.node}_{tensor.index}"
    return beside if tensor.index and beside in names else tensor.node
