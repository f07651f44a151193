"""What `python -m tests.converter` makes of what comes back; the suite and TensorFlow 1.15.5 are not here."""

import os

import pytest

from tests.converter import __main__ as command


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ("equal", "equal"),
        ("equal, 1e-04 (kernels differ)", "equal"),
        ("equal, 1e-07; no sample of its own", "not proven"),
        ("not compared, random", "random"),
        ("not compared, random; no sample of its own", "random"),
        ("different from TensorFlow 1", "wrong"),
        ("DIFFERENT", "wrong"),
        ("stops: 'x:0' is unknown", "stops"),
        ("ended: it exceeded its time limit", "ended"),
    ],
)
def test_each_result_is_of_a_kind(result, kind):
    assert command.kind(result) == kind


def test_the_table_counts_each_file_and_all():
    results = {"test_a.T.test_x": "equal", "test_b.T.test_y": "DIFFERENT", "test_b.T.test_z": "equal"}
    rows = command.table(results).splitlines()[2:]
    assert rows == [
        "| test_a | 1 | 1 |  |  |  |  |  |",
        "| test_b | 2 | 1 |  |  |  | 1 |  |",
        "| all | 3 | 2 |  |  |  | 1 |  |",
    ]


def dying(receive, send):
    """Answers folders, but of one that is called so ends the process."""
    while (message := receive()) is not None:
        if message == b"dies":
            os._exit(3)
        send(b"equal")


def test_a_graph_that_ends_the_process_is_told_and_the_next_ones_run():
    results = list(command.run(["good", "dies", "next"], float("inf"), "tests.test_converter:dying"))
    assert results == [("good", "equal"), ("dies", "ended: it exited with code 3"), ("next", "equal")]


def test_after_the_last_minute_nothing_is_reached():
    assert not list(command.run(["good"], 0.0, "tests.test_converter:dying"))


def test_without_cases_the_flags_are_told(tmp_path):
    with pytest.raises(SystemExit, match="--suite and --tf1 make them"):
        command.main([f"--cases={tmp_path}"])
