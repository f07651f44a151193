"""checking: what an export has to answer before it is written."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.proof import checking, sample

ONE = sample.Sample({"x": np.float32([1])}, {"y": np.float32([2])})
ENDS = ({"x": "a:0"}, {"y": "b:0", "z": "c:0"})


class Session:
    """Gives the answers in turn, the last one again and again."""

    def __init__(self, *answers):
        self._answers, self.asked = list(answers), []

    def run(self, fetches, feeds, options):
        self.asked.append((fetches, feeds, options.timeout_in_ms))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return {"y": np.float32([answer])}


def test_the_recorded_answer_is_asked_for_and_no_more():
    opened = Session(2)
    assert checking.check(ONE, opened, *ENDS) == {}
    assert opened.asked == [({"y": "b:0"}, {"a:0": np.float32([1])}, 1_800_000)]


def test_a_graph_that_has_no_answer_in_time_is_one_message():
    late = tf.errors.DeadlineExceededError(None, None, "late")
    with pytest.raises(export_v1.ExportError, match="(?s)within 1800 seconds.*--no_sample"):
        checking.check(ONE, Session(late), *ENDS)


def test_a_converted_graph_that_fails_is_one_message():
    error = tf.errors.InvalidArgumentError(
        None, None, "Graph execution error:\n\nDetected at node x\nbad shape\n\t [[{{node f}}]]"
    )
    with pytest.raises(
        export_v1.ExportError, match=r"(?s)converted graph fails.*bad shape \[\[{{node f}}\]\]\n.*Nothing was"
    ):
        checking.check(ONE, Session(error), *ENDS)


def test_nothing_is_run_for_a_sample_without_answers():
    assert (
        checking.check(sample.Sample({"x": np.float32(1)}, {}, {"y": "random"}), None, {"x": "a:0"}, {"y": "b:0"}) == {}
    )


DRAWN = dataclasses.replace(ONE, drawn={"y": "RandomUniform 'r'"})


def test_another_answer_is_wrong_unless_the_output_is_random_and_changes():
    with pytest.raises(
        export_v1.ExportError, match="(?s)not answer as the original does:.*output 'y' is .3.*--no_sample"
    ):
        checking.check(ONE, Session(3), *ENDS)
    with pytest.raises(export_v1.ExportError, match="not answer as the original does"):
        checking.check(DRAWN, Session(3), *ENDS)
    with pytest.raises(export_v1.ExportError, match="not answer as the original does"):
        checking.check(ONE, Session(3, 4), *ENDS)
    filled = []
    found = checking.check(DRAWN, Session(3, 3, 3, 2), *ENDS, lambda: filled.append(1))
    assert found == {"y": "it is random: RandomUniform 'r' stands before it"} and len(filled) == 3


def test_the_set_that_differs_is_named():
    other = sample.Sample(ONE.inputs, ONE.outputs, name="training = false")
    with pytest.raises(export_v1.ExportError, match="does with training = false:"):
        checking.check(other, Session(3), *ENDS)
