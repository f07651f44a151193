"""What a resource holds: as the Saver restores it, else as it is made."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1 import errors
from export_v1.ir import rewrite
from export_v1.ir.graph import GraphDef, Index, Tensor
from export_v1.passes.replacements import Site, resources

HANDLE = "BoostedTreesEnsembleResourceHandleOp"
RESTORED_BY, MADE_BY = ("BoostedTreesDeserializeEnsemble", 2), ("BoostedTreesCreateEnsemble", 2)
PREDICT = rewrite.node("predict", "BoostedTreesPredict", [Tensor("trees"), Tensor("x")], num_bucketized_features=1)


def _handle(name: str, shared_name: str):
    return rewrite.node(name, HANDLE, shared_name=shared_name, container="")


def _graph(*nodes):
    made = GraphDef()
    made.node.extend([_handle("trees", "shared"), PREDICT])
    made.node.append(rewrite.node("make", MADE_BY[0], map(Tensor, ("trees", "stamp", "initial"))))
    made.node.append(rewrite.constant("initial", b"as made", tf.string))
    made.node.extend(nodes)
    return made


def _saver(handle="trees"):
    keys = rewrite.constant("keys", [b"trees_stamp", b"trees_serialized"], tf.string)
    restore = rewrite.node("restore", "RestoreV2", map(Tensor, ("prefix", "keys", "slices")))
    restore.attr["dtypes"].list.type.extend([tf.int64.as_datatype_enum, tf.string.as_datatype_enum])
    given = [Tensor(handle), Tensor("restore"), Tensor("restore", 1)]
    return keys, restore, rewrite.node("fill", RESTORED_BY[0], given)


def _value(graph_def, stored=None, node=PREDICT, index=None):
    whole = Index(graph_def)
    site = Site(node, whole if index is None else index, whole, lambda key: (stored or {}).get(key), ())
    return resources.value(site, RESTORED_BY, MADE_BY).item()


def test_what_the_checkpoint_has_under_the_savers_key():
    stored = {"trees_serialized": np.array(b"as trained", object), "trees_stamp": np.array(3)}
    assert _value(_graph(*_saver()), stored) == b"as trained"


def test_another_handle_of_the_same_name_is_of_the_same_resource():
    stored = {"trees_serialized": np.array(b"as trained", object)}
    assert _value(_graph(_handle("again", "shared"), *_saver("again")), stored) == b"as trained"
    assert _value(_graph(_handle("other", "of its own"), *_saver("other")), stored) == b"as made"


def test_what_no_saver_knows_is_as_it_was_made():
    assert _value(_graph()) == b"as made"


def test_a_checkpoint_without_the_key_is_no_reason_to_answer_with_untrained_trees():
    with pytest.raises(errors.ExportError, match="no key 'trees_serialized'.*'trees'.*\n.*'predict'.*--checkpoint"):
        _value(_graph(*_saver()))


def test_a_resource_that_nothing_fills_is_told():
    empty = GraphDef()
    empty.node.extend([_handle("trees", "shared"), PREDICT])
    with pytest.raises(ValueError, match="neither a Saver nor a constant .* 'trees'"):
        _value(empty)


def test_a_handle_that_is_an_argument_of_a_function_is_told():
    with pytest.raises(ValueError, match="outside the function"):
        _value(_graph(), index=Index(GraphDef()))
