"""What `python -m tests.others` says of a case; the cases themselves are other people's, and not here."""

import json

import numpy as np
import pytest

from tests.others import __main__ as command
from tests.others import judging
from tests.support import cases

MLP = cases.load("mlp_layers")


@pytest.fixture
def case(tmp_path):
    """Returns a function that writes a case of a golden model, with some fields changed."""

    def write(wrong: float = 0.0, **fields):
        folder = tmp_path / "case"
        folder.mkdir()
        config = {"project": "some/body", "year": 2017, "model": "two layers"}
        config |= {key: MLP.config[key] for key in ("inputs", "outputs", "freeze")}
        config["source"] = {"checkpoint": str(MLP.folder / MLP.config["checkpoint"])}
        (folder / "case.json").write_text(json.dumps(config | fields))
        answers = {f"in/{key}": value for key, value in MLP.oracle("in").items()}
        answers |= {f"out/{key}": value + np.float32(wrong) for key, value in MLP.oracle("out").items()}
        np.savez(folder / "oracle.npz", **answers)
        return folder

    return write


def test_a_model_that_comes_through_with_names_and_without(case):
    row = judging.judged(case())
    assert row.named.startswith("equal") and row.unnamed == "right" and not row.wrong
    assert str(row).startswith("| some/body | 2017 | two layers | equal")


def test_an_answer_that_is_not_tensorflow_1s_is_different(case):
    row = judging.judged(case(wrong=0.1))
    assert row.named == "different from TensorFlow 1" and row.wrong


def test_another_tensor_than_the_author_reads_is_something_else(case):
    config = json.loads((case() / "case.json").read_text()) | {"outputs": {"hidden": "dense/Relu:0"}}
    assert judging._without_names(config, config["source"]) == "something else"


def test_either_of_two_names_will_do_and_one_of_two_outputs_is_a_part(case):
    outputs = {"either": "nothing:0|probs:0", "hidden": "dense/Relu:0"}
    config = json.loads((case() / "case.json").read_text()) | {"outputs": outputs}
    assert judging._without_names(config, config["source"]) == "in part"


def test_a_message_lists_what_is_wanted_or_does_not():
    config = {"inputs": {"x": "a/x:0|b/x:0"}, "outputs": {"y": "a/y:0"}}
    message = "unclear\n  --input=x=b/x:0[None,3]   float32\n  --output=y=a/y:0   float32"
    assert judging._listed(config, message) == "listed"
    assert judging._listed(config, message.replace("a/y:0", "a/y:01")) == "not listed"


def test_the_summary_counts():
    rows = [
        judging.Row("p", 2017, "m", "equal, 1e-7", "right", False),
        judging.Row("q", 2018, "m", "stops: x", "listed", True),
    ]
    assert command.summary(rows) == "2 models: with names 1 equal at the first try; without names 1 right, 1 listed."
