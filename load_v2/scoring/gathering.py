"""Requests of few rows answered together: those that come in while a batch is computed are the next batch."""

import asyncio
import dataclasses
from collections import deque
from collections.abc import Mapping

import numpy as np

from load_v2.errors import LoadError
from load_v2.program.signature import Spec
from load_v2.scoring.scorer import BATCH_SIZE, Scorer, row_count

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class _Request:
    """What one caller waits for."""

    arrays: Arrays
    rows: int
    answer: asyncio.Future


class Gatherer:
    """Answers requests in batches, without ever waiting for one to fill up.

    While nothing is being computed a request is answered at once. Those that arrive in the meantime are answered
    together, as far as they go together: of one shape and type, and of one value where an input has no rows. A request
    that fails costs no other its answer.

    Args:
        scorer: the signature.
        most: of rows in a batch; a larger request is a batch of its own.
    """

    def __init__(self, scorer: Scorer, most: int = BATCH_SIZE):
        self._scorer, self._most = scorer, scorer.fixed or most
        self._waiting: deque[_Request] = deque()
        self._running: asyncio.Task | None = None
        self._together = _is_rowwise(scorer.inputs) and all(
            spec.shape is not None and spec.shape for spec in scorer.outputs.values()
        )

    async def answer(self, arrays: Arrays) -> Arrays:
        """Returns the answers to the rows of one request, by output key.

        Raises:
            LoadError: it does not fit the signature; its inputs have different numbers of rows.
            tf.errors.OpError: the graph fails on it.
        """
        rows = _checked_rows(arrays, self._scorer.inputs)
        request = _Request(arrays, rows, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return await request.answer

    async def finished(self) -> None:
        """Returns when every request has its answer."""
        while self._running is not None and not self._running.done():
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        while self._waiting:
            await self._answer(self._next())

    def _next(self) -> list[_Request]:
        """Takes the first request that waits, and all that go together with it, as far as there is room."""
        first = self._waiting.popleft()
        group, rows, kind, passed = [first], first.rows, self._kind(first), deque[_Request]()
        while self._waiting and self._together:
            request = self._waiting.popleft()
            if rows + request.rows <= self._most and self._kind(request) == kind:
                group.append(request)
                rows += request.rows
            else:
                passed.append(request)
        self._waiting.extendleft(reversed(passed))
        return group

    def _kind(self, request: _Request) -> tuple:
        """Returns what two requests have in common that go together."""
        specs = self._scorer.inputs
        return tuple(
            (key, value.dtype.str, value.shape[1:] if specs[key].has_rows else value.tobytes())
            for key, value in sorted(request.arrays.items())
        )

    async def _answer(self, group: list[_Request]) -> None:
        try:
            run = self._scorer.batch if self._together else self._scorer.call
            answers = await asyncio.to_thread(run, self._joined(group))
        except Exception as error:
            if len(group) == 1:
                _fail(group[0], error)
                return
            for request in group:
                await self._answer([request])
            return
        if len(group) == 1:
            _give(group[0], answers)
            return
        start = 0
        for request in group:
            _give(request, {key: value[start : start + request.rows] for key, value in answers.items()})
            start += request.rows

    def _joined(self, group: list[_Request]) -> Arrays:
        first = group[0].arrays
        if len(group) == 1:
            return first
        specs = self._scorer.inputs
        return {
            key: np.concatenate([request.arrays[key] for request in group]) if specs[key].has_rows else value
            for key, value in first.items()
        }


def _give(request: _Request, answer: Arrays) -> None:
    if not request.answer.done():
        request.answer.set_result(answer)


def _fail(request: _Request, error: Exception) -> None:
    # A caller that went away waits for nothing.
    if not request.answer.done():
        request.answer.set_exception(error)


def _is_rowwise(specs: Mapping[str, Spec]) -> bool:
    """Returns whether every input is rows or a scalar, and one has rows."""
    shapes = [spec.shape for spec in specs.values()]
    return None not in shapes and any(shapes)


def _checked_rows(arrays: Arrays, specs: Mapping[str, Spec]) -> int:
    missing, unknown = [key for key in specs if key not in arrays], sorted(set(arrays) - set(specs))
    if missing or unknown:
        wrong = f"Input {missing[0]!r} is missing" if missing else f"There is no input {unknown[0]!r}"
        raise LoadError(f"{wrong}; the signature takes {', '.join(map(repr, specs)) or 'nothing'}.")
    rows = {key: len(arrays[key]) for key, spec in specs.items() if spec.shape and arrays[key].ndim}
    if len(set(rows.values())) > 1:
        listed = ", ".join(f"{key!r} has {count}" for key, count in rows.items())
        raise LoadError(f"Inputs have different numbers of rows: {listed}.")
    scalars = [key for key, spec in specs.items() if spec.shape and not arrays[key].ndim]
    if scalars:
        raise LoadError(f"Input {scalars[0]!r} is a scalar; the signature has {specs[scalars[0]]}.")
    return row_count(arrays, specs)
