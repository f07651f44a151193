"""Requests answered together: each gets its own answer, whatever comes with it."""

import asyncio
import threading

import numpy as np
import pytest

from load_v2.errors import LoadError
from load_v2.program.signature import Spec
from load_v2.scoring.gathering import Gatherer

ROWS = {"x": Spec("x:0", "float32", (None, 2)), "rate": Spec("r:0", "float32", ())}


class Slow:
    """Multiplies rows by a rate; the first batch waits until it is let go, and negative rows fail."""

    def __init__(self, inputs=ROWS, outputs=None, fixed=None):
        self.inputs, self.fixed, self.batches, self.go = inputs, fixed, [], threading.Event()
        self.outputs = outputs or {"y": Spec("y:0", "float32", (None, 2))}

    def batch(self, arrays):
        self.batches.append(arrays["x"][:, 0].tolist())
        assert self.go.wait(60)
        if (arrays["x"] < 0).any():
            raise ValueError("negative")
        return {"y": arrays["x"] * arrays["rate"]}

    call = batch


def answered(scorer, *requests, most=256):
    """Returns what becomes of requests of which all but the first arrive while the first is computed."""

    async def run():
        gatherer = Gatherer(scorer, most)
        tasks = [asyncio.create_task(gatherer.answer(requests[0]))]
        while not scorer.batches:
            await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(gatherer.answer(request)) for request in requests[1:]]
        await asyncio.sleep(0.01)
        scorer.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await gatherer.finished()
        return answers

    return asyncio.run(run())


def request(*values, rate=1.0):
    return {"x": np.float32([[value, value] for value in values]), "rate": np.float32(rate)}


def values(answers):
    return [answer["y"][:, 0].tolist() for answer in answers]


def test_what_arrives_during_a_batch_is_the_next_one_and_each_gets_its_rows():
    scorer = Slow()
    answers = answered(scorer, request(1), request(2, 3), request(4), request(5, 6, 7))
    assert values(answers) == [[1], [2, 3], [4], [5, 6, 7]]
    assert scorer.batches == [[1], [2, 3, 4, 5, 6, 7]]


def test_a_batch_holds_no_more_rows_than_it_may_but_a_larger_request_is_answered():
    scorer = Slow()
    answers = answered(scorer, request(1), request(2, 3), request(4, 5), request(6), request(*range(7, 12)), most=3)
    assert values(answers) == [[1], [2, 3], [4, 5], [6], [7, 8, 9, 10, 11]]
    assert scorer.batches == [[1], [2, 3, 6], [4, 5], [7, 8, 9, 10, 11]]


def test_only_what_goes_together_is_put_together():
    scorer = Slow()
    other_type = {"x": np.float64([[4, 4]]), "rate": np.float32(1)}
    wider = {"x": np.float32([[5, 5, 5]]), "rate": np.float32(1)}
    answers = answered(scorer, request(1), request(2, rate=10), other_type, wider, request(3, rate=10))
    assert values(answers) == [[1], [20], [4], [5], [30]]
    assert scorer.batches == [[1], [2, 3], [4], [5]]


def test_one_that_fails_costs_the_others_nothing():
    scorer = Slow()
    first, good, bad, last = answered(scorer, request(1), request(2), request(-1), request(3))
    assert values([first, good, last]) == [[1], [2], [3]]
    assert isinstance(bad, ValueError)


@pytest.mark.parametrize(
    "inputs, outputs",
    [
        ({"x": Spec("x:0", "float32", None), "rate": ROWS["rate"]}, None),
        (ROWS, {"y": Spec("y:0", "float32", ())}),
    ],
)
def test_a_signature_whose_rows_may_mix_answers_each_request_alone(inputs, outputs):
    scorer = Slow(inputs, outputs)
    answers = answered(scorer, request(1), request(2), request(3))
    assert values(answers) == [[1], [2], [3]] and scorer.batches == [[1], [2], [3]]


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"x": np.zeros([2, 2])}, "Input 'rate' is missing; the signature takes 'x', 'rate'"),
        ({**request(1), "z": np.zeros(1)}, "There is no input 'z'; the signature takes 'x', 'rate'"),
        ({"x": np.float32(1), "rate": np.float32(1)}, r"Input 'x' is a scalar; the signature has float32 \[None, 2\]"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_alone(arrays, message):
    with pytest.raises(LoadError, match=message):
        asyncio.run(Gatherer(Slow()).answer(arrays))


def test_a_signature_without_inputs_takes_nothing():
    with pytest.raises(LoadError, match="There is no input 'rate'; the signature takes nothing"):
        asyncio.run(Gatherer(Slow(inputs={})).answer(request(1)))


def test_inputs_of_different_lengths_are_refused():
    specs = {"a": Spec("a:0", "float32", (None,)), "x": Spec("x:0", "float32", (None,))}
    with pytest.raises(LoadError, match="different numbers of rows: 'a' has 1, 'x' has 2"):
        asyncio.run(Gatherer(Slow(specs)).answer({"a": np.zeros(1), "x": np.zeros(2)}))


def test_a_caller_that_went_away_takes_nobody_with_it():
    async def run():
        scorer = Slow()
        gatherer = Gatherer(scorer)
        first = asyncio.create_task(gatherer.answer(request(1)))
        while not scorer.batches:
            await asyncio.sleep(0.001)
        gone, stays = (asyncio.create_task(gatherer.answer(request(value))) for value in (2, 3))
        await asyncio.sleep(0.01)
        gone.cancel()
        scorer.go.set()
        return values([await first, await stays])

    assert asyncio.run(run()) == [[1], [3]]
