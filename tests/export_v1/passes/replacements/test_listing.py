"""Every op that TensorFlow 2 does not know is replaced, or it is said why not."""

import pathlib

import pytest
import tensorflow as tf

from export_v1 import private
from export_v1.ir import graph, removed
from export_v1.passes.replacements import TABLE, listing
from export_v1.passes.replacements.not_replaced import NOT_REPLACED, WITHOUT_KERNEL


def test_each_removed_op_has_a_replacement_or_a_reason():
    unknown = removed.definitions().keys()
    assert sorted(unknown - TABLE.keys() - NOT_REPLACED.keys()) == []
    assert sorted(NOT_REPLACED.keys() & TABLE.keys()) == []
    assert sorted(NOT_REPLACED.keys() - unknown) == []


@pytest.fixture
def tensorflow_1():
    """Each op that TensorFlow 1.15.5 registers with all of tf.contrib, and whether it has a kernel for a CPU."""
    lines = pathlib.Path("fixtures/replacements/ops.txt").read_text(encoding="utf-8").splitlines()
    return {line.split()[0]: line.endswith(" CPU") for line in lines if not line.startswith("#")}


def _runs_on_a_cpu(op):
    return any(kernel.device_type in ("CPU", "DEFAULT") for kernel in private.kernels_of(op))


def test_each_op_of_tensorflow_1_runs_on_a_cpu_or_is_in_a_table(tensorflow_1):
    known = [op for op in tensorflow_1 if graph.registered(op) is not None]
    idle = {op for op in known if not _runs_on_a_cpu(op)}
    assert sorted(idle - TABLE.keys() - WITHOUT_KERNEL.keys()) == []
    # Where TensorFlow 1 could and TensorFlow 2 cannot, it is trees alone.
    lost = {op for op in idle if tensorflow_1[op]}
    assert all("BoostedTrees" in op for op in lost)
    if tf.__version__.startswith("2.21"):
        assert len(tensorflow_1) == 1505 and len(lost) == 28
        assert {op for op in tensorflow_1 if graph.registered(op) is None} == removed.definitions().keys()
        assert sorted(WITHOUT_KERNEL.keys() - idle) == []


def test_the_file_has_what_the_code_says():
    assert listing.FILE.read_text(encoding="utf-8").partition("<!-- table -->\n")[2] == listing.markdown()


def test_all_of_contrib_is_looked_at():
    assert len(removed.definitions()) == 144
    if tf.__version__.startswith("2.21"):
        assert [op for op in removed.definitions() if graph.registered(op) is not None] == []


def test_what_is_replaced_is_an_op_that_something_knows():
    assert sorted(op for op in TABLE if graph.op_def(op) is None) == []
