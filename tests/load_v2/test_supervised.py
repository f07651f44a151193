"""SupervisedSignature: answers from a process of its own, and what becomes of it when that dies."""

import os
import signal
import threading

import numpy as np
import pytest

from load_v2 import LoadError, SupervisedSignature
from tests.support import cases, savedmodels


def test_it_answers_as_the_original_did(exported):
    for name in ("mlp_layers", "lookup_vocab"):
        case = cases.load(name)
        with SupervisedSignature(exported(name)) as signature:
            answers = signature(case.oracle("in"))
        for key, want in case.oracle("out").items():
            have = answers[key].astype("S") if answers[key].dtype == object else answers[key]
            if want.dtype.kind == "f":
                np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(have, want.astype(have.dtype))


def test_a_process_that_dies_is_an_error_and_the_next_call_starts_another(tmp_path):
    with SupervisedSignature(savedmodels.scale(tmp_path / "export")) as signature:
        assert signature({"x": np.float32([1, 2])})["y"].tolist() == [3, 6]
        os.kill(signature._process._process.pid, signal.SIGSEGV)
        with pytest.raises(LoadError, match="(?s)has ended.*SIGSEGV"):
            signature({"x": np.float32([1])})
        assert signature({"x": np.float32([4])})["y"].tolist() == [12]


def test_calls_from_threads_take_turns(tmp_path):
    found = {}
    with SupervisedSignature(savedmodels.scale(tmp_path / "export")) as signature:

        def call(number: int) -> None:
            found[number] = signature({"x": np.float32([number])})["y"].item()

        threads = [threading.Thread(target=call, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {number: 3.0 * number for number in range(8)}


def test_what_is_wrong_is_said_and_the_process_goes_on(tmp_path):
    with pytest.raises(LoadError, match="There is no folder"):
        SupervisedSignature(tmp_path / "nothing")
    with pytest.raises(LoadError, match="ReadFile"):
        SupervisedSignature(savedmodels.reads_file(tmp_path / "reads"))
    with SupervisedSignature(savedmodels.two_inputs(tmp_path / "export"), seconds=120) as signature:
        process = signature._process
        with pytest.raises(LoadError, match="missing: 'mask'"):
            signature({"ids": np.ones((1, 2), np.int32)})
        assert signature({"ids": np.ones((1, 2), np.int32), "mask": np.ones((1, 2), np.float32)})["sum"].shape == (1, 2)
        assert signature._process is process


def test_a_call_is_limited_however_large_its_inputs(tmp_path):
    with SupervisedSignature(savedmodels.scale(tmp_path / "export"), seconds=60) as signature:
        assert signature({"x": np.float32([1])})["y"].tolist() == [3]
        signature._seconds = 1
        os.kill(signature._process._process.pid, signal.SIGSTOP)
        with pytest.raises(LoadError, match="exceeded its time limit"):
            signature({"x": np.zeros(2**21, np.float32)})
        signature._seconds = 60
        assert signature({"x": np.float32([4])})["y"].tolist() == [12]


GIVEN = {
    "an object": {"x": object()},
    "a dict in a list": {"x": [{}, 1]},
    "rows of two lengths": {"x": [[1], [1, 2]]},
    "half a letter": {"x": "\udcff"},
    "None": {"x": None},
    "nothing": {},
    "another key": {"y": [1.0]},
    "a key that is none": {1: [1.0]},
    "text": {"x": "text"},
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_whatever_it_is_given_a_call_ends_with_a_load_error(given, tmp_path):
    with SupervisedSignature(savedmodels.scale(tmp_path / "export")) as signature:
        with pytest.raises(LoadError):
            signature(given)
        assert signature({"x": np.float32([4])})["y"].tolist() == [12]
