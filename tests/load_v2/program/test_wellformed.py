"""load_v2.wellformed: faults of a graph named before TensorFlow sees it, and errors blamed on what they are about."""

import pytest
import tensorflow as tf
from google.protobuf import text_format

from load_v2 import LoadError
from load_v2.program import subgraph, wellformed


def _faults(*texts: str) -> str:
    made = subgraph.GraphDef()
    for text in texts:
        made.MergeFrom(text_format.Parse(text, subgraph.GraphDef()))
    try:
        wellformed.check(made, "export")
    except LoadError as error:
        return str(error)
    return ""


SOUND = """
    node { name: "x" op: "Placeholder" attr { key: "shape" value { shape { dim { size: -1 } dim { size: 3 } } } } }
    node { name: "c" op: "Const" attr { key: "value" value { tensor { dtype: DT_FLOAT
           tensor_shape { dim { size: 536870912 } } float_val: 0 } } } }
    node { name: "enter" op: "Enter" input: "x" }
    node { name: "merge" op: "Merge" input: "enter" input: "next" attr { key: "N" value { i: 2 } } }
    node { name: "next" op: "NextIteration" input: "merge:1" input: "^c" }
    library { function { signature { name: "f" } node_def { name: "n" op: "g" } } function { signature { name: "g" } }
              gradient { function_name: "f" gradient_func: "g" } }
"""


def test_a_sound_graph_passes_loops_included():
    assert _faults(SOUND) == ""


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ('node { name: "x" op: "NoOp" }', "2 nodes have the name 'x'"),
        ('node { op: "NoOp" }', "1 nodes have the name ''"),
        ('node { name: "y" op: "Neg" input: "gone:1" }', "'y' reads 'gone'"),
        ('node { name: "y" op: "NoOp" input: "^gone" }', "'y' reads 'gone'"),
        ('node { name: "y" op: "Neg" input: "z" } node { name: "z" op: "Neg" input: "^y" }', "themselves: 'y', 'z'"),
        ('node { name: "y" op: "Merge" input: "y" }', "themselves: 'y'"),
        ('node { name: "y" op: "AddN" attr { key: "N" value { i: -1 } } }', "'y' (AddN) has an attribute 'N' of -1"),
        ('node { name: "y" op: "Split" attr { key: "num_split" value { i: 100001 } } }', "'num_split' of 100001"),
        ('node { name: "y" op: "Unpack" attr { key: "num" value { i: 1000000 } } }', "'num' of 1000000"),
        ('node { name: "y" op: "A" attr { key: "s" value { shape { dim { size: -2 } } } } }', "'s' with an impossible"),
        (
            'node { name: "y" op: "A" attr { key: "s" value { list { shape { dim { size: -2 } } } } } }',
            "impossible shape",
        ),
        (
            'node { name: "y" op: "A" attr { key: "s" value { shape { dim { size: 72057594037927937 } } } } }',
            "impossible",
        ),
        (
            'node { name: "y" op: "A" attr { key: "v" value { tensor { dtype: DT_FLOAT tensor_shape { '
            "dim { size: 536870913 } } } } } }",
            "'v' with a tensor of shape [536870913]",
        ),
        (
            'node { name: "y" op: "A" attr { key: "v" value { list { tensor { tensor_shape { dim { size: -1 } } } } } } }',
            "'v' with a tensor of shape [-1]",
        ),
        (
            'node { name: "y" op: "A" attr { key: "v" value { tensor { tensor_shape { '
            + "dim { size: 1 } " * 255
            + "} } } } }",
            "'v' with a tensor",
        ),
        ('library { function { signature { name: "g" } } }', "two functions have the name 'g'"),
        ('library { function { signature { name: "h" } node_def { name: "n" op: "h" } } }', "'h' calls itself"),
        (
            'library { function { signature { name: "h" } node_def { name: "n" op: "If" '
            'attr { key: "then_branch" value { func { name: "i" } } } } } '
            'function { signature { name: "i" } node_def { name: "n" op: "h" } } }',
            "'h' calls itself",
        ),
        (
            'library { function { signature { name: "h" } } function { signature { name: "i" } node_def { name: "n" op: "h" } } '
            'gradient { function_name: "h" gradient_func: "i" } }',
            "calls itself",
        ),
        (
            'library { function { signature { name: "h" } '
            'node_def { name: "n" op: "A" attr { key: "N" value { i: -1 } } } } }',
            "'n' (A) has an attribute 'N'",
        ),
    ],
)
def test_each_fault_is_named(fault, said):
    found = _faults(SOUND, fault)
    assert said in found and "'export'" in found


def test_the_first_three_faults_are_told():
    many = "".join(f'node {{ name: "n{at}" op: "Neg" input: "gone{at}" }}' for at in range(5))
    found = _faults(many)
    assert [f"'gone{at}'" in found for at in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize(
    "error",
    [
        *(
            ValueError("why"),
            TypeError("why"),
            KeyError("why"),
            IndexError("why"),
            RuntimeError("why"),
            MemoryError("why"),
        ),
        AttributeError("why"),
        tf.errors.InvalidArgumentError(None, None, "why"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_fails_on_a_file_is_blamed_on_it(error):
    with pytest.raises(LoadError, match="^The file: .*why(.|\n)*Export again") as caught, wellformed.blamed("The file"):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [LoadError("mine"), ZeroDivisionError("mine"), KeyboardInterrupt("mine")])
def test_what_is_about_something_else_passes_as_it_is(error):
    with pytest.raises(type(error)) as caught, wellformed.blamed("The file"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("the fact\nmore"), "the fact"),
        (ValueError("\n  the fact  \n"), "the fact"),
        (RuntimeError("the fact"), "RuntimeError: the fact"),
        (tf.errors.NotFoundError(None, None, "the fact"), "the fact"),
        (ValueError("Graph execution error:\nstack\nthe fact\n\t [[{{node a}}]]\nlater"), "the fact"),
        (ValueError(""), ""),
        (ValueError("x" * 400), "x" * 300),
    ],
)
def test_the_reason_is_the_line_with_the_fact(error, said):
    assert wellformed.reason(error) == said
