"""The benchmarks' own arithmetic, and that the command knows every one of them."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.benchmarks import __main__ as command
from tests.benchmarks import measure, models, step_1


def test_sides_take_turns():
    order = []
    sides = {name: (lambda name=name: order.append(name) or len(order)) for name in ("a", "b")}
    assert measure.alternating(sides, 3) == {"a": [1, 4, 5], "b": [2, 3, 6]}
    assert order == ["a", "b", "b", "a", "a", "b"]


def test_ratios_are_of_runs_side_by_side():
    # The second run of both met a busy machine; a ratio of medians would not see that they agree.
    assert measure.ratio([1, 10, 1.2], [2, 20, 2.4]) == 0.5


def test_medians_with_ranges_as_a_table():
    assert measure.shown([3.0, 1.0, 2.0]) == "2.00 s (1.00-3.00)"
    assert measure.table(("a", "b"), [(1, 2)]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_process_is_measured_whole(subprocess_env):
    # From a small process, as the benchmarks are: a child's peak starts with its parent's size.
    code = """
import sys
from tests.benchmarks import measure
run = measure.process(sys.executable, "-c", "b = bytearray(200 * 2**20); import time; time.sleep(0.3)")
assert run.wall > 0.3 and 200 < run.peak < 300, run
"""
    subprocess.run([sys.executable, "-c", code], env=subprocess_env, check=True)
    with pytest.raises(RuntimeError, match="exit 3"):
        measure.process(sys.executable, "-c", "raise SystemExit(3)")


def test_growth_is_drawn_to_scale():
    runs = {size: {"step 1": [measure.Run(wall, 1, 100)]} for size, wall in ((1, 5.0), (2, 10.0))}
    small, large = (line.count("#") for line in step_1.curve(runs).splitlines()[1:3])
    assert (small, large) == (20, 40)


def test_every_benchmark_is_a_module():
    assert all(importlib.util.find_spec(f"tests.benchmarks.{name}") for name in command.ALL)


def test_an_unknown_name_lists_those_that_are_known(capsys):
    assert command.main(["serving", "speed"]) == 1
    shown = capsys.readouterr().out
    assert all(name in shown for name in command.ALL)


def test_a_large_checkpoint_is_made_of_few_matrices(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "WIDTH", 8)
    prefix = models.big(str(tmp_path), 3)
    reader = tf.train.load_checkpoint(prefix)
    names = [name for name, shape in reader.get_variable_to_shape_map().items() if shape]
    assert len(names) == 9 and len({reader.get_tensor(name).tobytes() for name in names}) == 3
    assert np.isfinite(reader.get_tensor("layer_2/w")).all()


def test_the_naive_recipe_runs(tmp_path, subprocess_env, monkeypatch):
    prefix = models.linear(str(tmp_path), 1)
    naive = [sys.executable, "-m", "tests.benchmarks.naive", prefix, str(tmp_path / "out"), "x=x:0", "y=y:0"]
    subprocess.run(naive, env=subprocess_env, check=True, capture_output=True)
    assert (tmp_path / "out" / "saved_model.pb").exists()
