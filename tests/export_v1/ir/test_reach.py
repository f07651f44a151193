"""The table of ops by what they reach knows every op that has to be known."""

import pytest
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

from export_v1.ir import ops, reach, safety


def registered() -> list[str]:
    """Returns every op that this TensorFlow registers, internal ones included; `tf.raw_ops` leaves these out."""
    content = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    return [definition.name for definition in op_def_pb2.OpList.FromString(content).op]


def test_every_op_that_could_reach_out_is_in_the_table():
    known = reach.ALLOWED.keys() | reach.REFUSED.keys() | ops.TABLES_FROM_FILE
    missing = [op for op in registered() if safety.is_telling(op) and op not in known and not op.startswith("_")]
    assert not missing, (
        "TensorFlow registers ops that export_v1/ir/reach.py does not know. They are refused; read what each does, and "
        f"put it into a group there, with those that are let in or those that are not: {missing}"
    )


def test_no_op_stands_in_two_groups():
    names = [op for group in (*reach._ALLOWED, *reach._REFUSED) for op in group.names.split()]
    assert len(names) == len(set(names))
    assert not ops.TABLES_FROM_FILE & set(names)
    assert all(group.reason for group in (*reach._ALLOWED, *reach._REFUSED))


# By name, since the tables are long: what a path, a Python function, an address, a device or another thread is behind.
@pytest.mark.parametrize(
    "word", ["File", "Reader", "PyFunc", "Rpc", "Collective", "Dataset", "Iterator", "Send", "Recv", "Checkpoint", "TPU",
             "Queue", "Summary", "Sql", "LMDB", "Debug", "XlaCallModule", "XlaCustomCall", "RemoteCall", "Dump", "Save"]
)  # fmt: skip
def test_nothing_with_such_a_word_in_its_name_is_let_in(word):
    let_in = [op for op in registered() if word in op and safety.is_harmless(op)]
    # A file's name put together, which is a string; and sums over a batch.
    assert set(let_in) <= {"ShardedFilename", "ShardedFilespec", "BoostedTreesMakeStatsSummary"}


def test_what_tensorflow_keeps_to_itself_is_refused_unless_named():
    internal = {op for op in registered() if op.startswith("_") and safety.is_harmless(op)}
    assert internal and internal <= reach.ALLOWED.keys()


def test_what_computes_numbers_of_numbers_needs_no_entry():
    plain = [op for op in ("MatMul", "Conv2D", "Switch", "Assign", "Cast") if not safety.is_telling(op)]
    assert len(plain) == 5 and all(map(safety.is_harmless, plain))
    assert all(
        map(
            safety.is_telling,
            ["ReadFile", "SerializeTensor", "VarHandleOp", "While", "RandomUniform", "StringJoin", "AddN"],
        )
    )
