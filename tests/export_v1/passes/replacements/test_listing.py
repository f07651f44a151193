"""Every op that TensorFlow 2 does not know is replaced, or it is said why not."""

import tensorflow as tf

from export_v1.ir import graph, removed
from export_v1.passes.replacements import TABLE, listing
from export_v1.passes.replacements.not_replaced import NOT_REPLACED


def test_each_removed_op_has_a_replacement_or_a_reason():
    unknown = removed.definitions().keys()
    assert sorted(unknown - TABLE.keys() - NOT_REPLACED.keys()) == []
    assert sorted(NOT_REPLACED.keys() & TABLE.keys()) == []
    assert sorted(NOT_REPLACED.keys() - unknown) == []


def test_the_file_has_what_the_code_says():
    assert listing.FILE.read_text(encoding="utf-8").partition("<!-- table -->\n")[2] == listing.markdown()


def test_all_of_contrib_is_looked_at():
    assert len(removed.definitions()) == 144
    if tf.__version__.startswith("2.21"):
        assert [op for op in removed.definitions() if graph.registered(op) is not None] == []


def test_what_is_replaced_is_an_op_that_something_knows():
    assert sorted(op for op in TABLE if graph.op_def(op) is None) == []
