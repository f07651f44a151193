"""restore: where each variable's value is in a checkpoint, and what cannot be restored is said of both sides."""

import dataclasses
import re
import threading

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.model import Graph
from export_v1.weights import restore
from export_v1.weights.restore import EMA, Restored, Variable
from tests.support import small_models
from tests.support.graphs import v1

GRAPH = Graph(v1.GraphDef())


@pytest.fixture
def written(tmp_path):
    """Returns a function that writes a checkpoint of arrays by key, and opens it."""

    def write(**values) -> restore.Checkpoint:
        small_models.write_variables(str(tmp_path / "model"), {key.replace("__", "/"): v for key, v in values.items()})
        return restore.Checkpoint(str(tmp_path / "model"))

    return write


def _variable(name: str, *shape: int) -> Variable:
    return Variable(name, tf.float32, shape, True)


def _keys(variables, checkpoint, graph=GRAPH, renames=(), **flags) -> list[str | None]:
    found, _ = restore.locate(variables, checkpoint, graph, renames=restore.parse_renames(renames), **flags)
    return [one.location and one.location.key for one in found]


# Which key.


def test_the_order_is_rename_then_saver_then_its_own_name(written):
    checkpoint = written(w=np.float32(1), saved=np.float32(2), other=np.float32(3))
    by_saver = Graph(v1.GraphDef(), restored={"w": Restored("saved")})
    assert _keys([_variable("w")], checkpoint) == ["w"]
    assert _keys([_variable("w")], checkpoint, by_saver) == ["saved"]
    assert _keys([_variable("w")], checkpoint, by_saver, ["^w$=other"]) == ["other"]
    assert _keys([_variable("w")], checkpoint, by_saver, ["^saved$=other"]) == ["other"]
    # What the Saver says counts only where the checkpoint has it.
    assert _keys([_variable("w")], checkpoint, Graph(v1.GraphDef(), restored={"w": Restored("gone")})) == ["w"]


def test_the_first_rename_that_changes_a_name_decides(written):
    checkpoint = written(a=np.float32(1), b=np.float32(2), c=np.float32(3))
    assert _keys([_variable("a")], checkpoint, renames=["^x=y", "^a$=b", "^a$=c"]) == ["b"]
    assert _keys([_variable("scope/a")], checkpoint, renames=["^scope/(.)$=\\1"]) == ["a"]


def test_a_rename_to_a_key_that_is_not_there_is_no_other_key(written):
    checkpoint = written(a=np.float32(1), b=np.float32(2))
    with pytest.raises(export_v1.ExportError, match="(?s)1 of 1 variables cannot be restored.*'a'"):
        _keys([_variable("a")], checkpoint, renames=["^a$=gone"])
    assert _keys([_variable("a")], checkpoint, renames=["^a$=gone"], init_missing=True) == [None]


def test_a_renamed_part_stays_a_part(written):
    checkpoint = written(whole=np.zeros([4], np.float32), other=np.zeros([4], np.float32))
    part = Restored("whole", ((1, 2),))
    graph = Graph(v1.GraphDef(), restored={"p": part})
    [found], _ = restore.locate([_variable("p", 2)], checkpoint, graph)
    assert found.location == part
    [found], _ = restore.locate([_variable("p", 2)], checkpoint, graph, renames=[(re.compile("whole"), "other")])
    assert found.location == Restored("other", ((1, 2),))


def test_shadow_values_take_the_place_where_there_are_some(written):
    checkpoint = written(**{"w": np.float32(1), f"w__{EMA}": np.float32(2), "b": np.float32(3)})
    [w, b], choices = restore.locate([_variable("w"), _variable("b")], checkpoint, GRAPH, ema=True)
    assert (w.location.key, b.location.key) == (f"w/{EMA}", "b")
    assert [why for _, why in choices] == ["--ema"] and f"'w/{EMA}'" in choices[0][0]
    assert _keys([_variable("w")], checkpoint) == ["w"]


def test_the_shadow_of_a_part_is_a_part(written):
    checkpoint = written(**{"whole": np.zeros([4], np.float32), f"whole__{EMA}": np.zeros([4], np.float32)})
    graph = Graph(v1.GraphDef(), restored={"p": Restored("whole", ((1, 2),))})
    [found], _ = restore.locate([_variable("p", 2)], checkpoint, graph, ema=True)
    assert found.location == Restored(f"whole/{EMA}", ((1, 2),))


def test_a_shadow_under_a_scope_of_its_own_is_taken_where_it_is_the_only_one(written):
    one = {"w": np.float32(1), f"train__w__{EMA}": np.float32(2)}
    assert _keys([_variable("w")], written(**one), ema=True) == [f"train/w/{EMA}"]
    both = {**one, f"test__w__{EMA}": np.float32(3), "b": np.float32(4), f"b__{EMA}": np.float32(5)}
    assert _keys([_variable("w"), _variable("b")], written(**both), ema=True) == ["w", f"b/{EMA}"]
    # A name that only ends alike is of another variable.
    alike = {"w": np.float32(1), f"sw__{EMA}": np.float32(2)}
    with pytest.raises(export_v1.ExportError, match="(?s)no shadow value.*--ema"):
        _keys([_variable("w")], written(**alike), ema=True)


def test_a_local_variable_and_what_is_missing_take_their_initializers_and_it_is_said(written):
    checkpoint = written(a=np.float32(1))
    graph = Graph(v1.GraphDef(), local=frozenset({"step"}))
    found, choices = restore.locate([_variable("a"), _variable("step")], checkpoint, graph)
    assert [one.location for one in found] == [Restored("a"), None]
    assert choices == [("variable 'step' takes its initializer's value", "it is a local variable")]
    _, choices = restore.locate([_variable("gone")], checkpoint, graph, init_missing=True)
    assert "--init_missing" in choices[0][1]


# What cannot be restored.


def test_all_that_does_not_fit_is_named_with_both_sides(written):
    checkpoint = written(a=np.zeros([2, 3], np.float32), dense__kernel=np.zeros([2], np.float32))
    variables = [_variable("a", 3, 2), _variable("dense/kernal", 2), _variable("dense/kernel", 2), _variable("zzz")]
    with pytest.raises(export_v1.ExportError) as caught:
        _keys(variables, checkpoint)
    said = str(caught.value)
    assert said.startswith("3 of 4 variables")
    assert "'a': [3, 2] in the graph, [2, 3] in the checkpoint" in said
    assert "'dense/kernal'; closest: 'dense/kernel'" in said and "'zzz'\n" in said
    assert "--rename='^dense/kernal$=dense/kernel'" in said and "2 keys: 'a', 'dense/kernel'" in said


def test_no_more_than_ten_are_listed(written):
    checkpoint = written(a=np.float32(1))
    variables = [_variable(f"q{at}") for at in range(12)] + [_variable("a", at) for at in range(1, 12)]
    with pytest.raises(export_v1.ExportError, match="23 of 23(?s:.*)… and 2 more(?s:.*)… and 1 more") as caught:
        _keys(variables, checkpoint)
    said = str(caught.value)
    assert said.count("missing in the checkpoint") == said.count("in the graph, [] in the checkpoint") == 10


def test_an_open_shape_takes_that_of_the_checkpoint(written):
    checkpoint = written(a=np.zeros([2, 3], np.float32))
    [found], _ = restore.locate([Variable("a", tf.float32, None, True)], checkpoint, GRAPH)
    assert found.location == Restored("a")


@pytest.mark.parametrize("rename", ["no equals sign", "(=x", "a(b=c"])
def test_a_rename_of_another_form_shows_the_form(rename):
    with pytest.raises(export_v1.ExportError, match=f"(?s){re.escape(repr(rename))}.*--rename="):
        restore.parse_renames([rename])


def test_an_expression_may_have_an_equals_sign_in_it():
    [(pattern, replacement)] = restore.parse_renames(["(?=w)w=v"])
    assert (pattern.pattern, replacement) == ("(?=w)w", "v")


# Values.


def test_values_have_the_variables_type_and_parts_are_cut_by_tensorflow(written):
    whole = np.arange(12, dtype=np.float64).reshape(3, 4)
    checkpoint = written(whole=whole, words=np.array([b"a", b"bb"], object))
    part = Variable("p", tf.float32, (2, 2), True, Restored("whole", ((1, 2), (2, 2))))
    words = Variable("words", tf.string, (2,), True, Restored("words"))
    weights = restore.Weights((part, words, _variable("i", 1)), checkpoint, {"i": np.float64([7])})
    value = weights.value(part)
    assert value.dtype == np.float32 and np.array_equal(value, whole[1:3, 2:4])
    assert list(weights.value(words)) == [b"a", b"bb"]
    assert weights.value(_variable("i", 1)).dtype == np.float32
    assert weights.size() == 4 * 4 + 4


def test_threads_share_one_restore_op(written, monkeypatch):
    """Two ops made at once would change the graph of a session that is running."""
    checkpoint = written(a=np.float32(1))
    started, asked, made = threading.Barrier(2, timeout=20), [], []

    class Values(dict):
        """Keeps the first thread waiting at the look-up where the other one can come past it."""

        def __contains__(self, dtype):
            found = super().__contains__(dtype)
            asked.append(found)
            if not checkpoint._asking.locked():
                started.wait()
            return found

    checkpoint._ops = Values()
    real = checkpoint._restore_op
    monkeypatch.setattr(checkpoint, "_restore_op", lambda dtypes: made.append(dtypes) or real(dtypes))
    got = []
    threads = [threading.Thread(target=lambda: got.append(checkpoint.value(Restored("a")))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [1, 1] and made == [(tf.float32,)] and asked == [False, True]


def test_what_is_no_checkpoint_is_one_message(tmp_path):
    (tmp_path / "model.index").write_bytes(b"no index")
    with pytest.raises(export_v1.ExportError, match="model' cannot be read"):
        restore.Checkpoint(str(tmp_path / "model"))


@pytest.mark.parametrize(
    ("value", "finite"),
    [
        (np.float32([1, np.nan]), False),
        (np.float32([np.inf]), False),
        (np.float32([3e38, 3e38]), True),
        (np.float16([6e4] * 4), True),
        (np.complex64([complex(0, np.inf)]), False),
        (np.float32([1, np.nan]).astype(tf.bfloat16.as_numpy_dtype), False),
        (np.float32([1, 2]).astype(tf.bfloat16.as_numpy_dtype), True),
        (np.int32([2**31 - 1] * 3), True),
        (np.array([b"nan"], object), True),
        (np.array([True]), True),
        (np.zeros([0], np.float32), True),
    ],
)
def test_finite_is_what_has_no_nan_and_no_infinity(value, finite):
    assert restore.is_finite(value) is finite


def test_slices_are_written_as_tensorflow_reads_them():
    assert restore.slice_spec([20, 4], [(5, 10), (0, 4)]) == "20 4 5,10:0,4"
    assert restore.slice_spec([20, 4], []) == ""


def test_a_lone_string_keeps_the_zeros_that_it_ends_in(tmp_path):
    prefix = str(tmp_path / "model.ckpt")
    with tf.Graph().as_default(), v1.Session() as session:
        session.run(
            tf.raw_ops.SaveV2(
                prefix=prefix, tensor_names=["proto"], shape_and_slices=[""], tensors=[tf.constant(b"\x08\x01\x00\x00")]
            )
        )
    value = restore.Checkpoint(prefix).value(Restored("proto"))
    assert value.shape == () and value.item() == b"\x08\x01\x00\x00"


def test_moving_averages_that_are_not_restored_are_said(written):
    checkpoint = written(w=np.ones(2, "f"), **{f"w__{EMA}": np.zeros(2, "f")}, b=np.ones(1, "f"))
    variables = [_variable("w", 2), _variable("b", 1)]
    _, choices = restore.locate(variables, checkpoint, GRAPH)
    [(what, why)] = choices
    assert "1 of 2 variables" in what and "--ema" in why
    _, choices = restore.locate(variables, checkpoint, GRAPH, ema=True)
    assert not any("last value" in what for what, _ in choices)


def test_without_moving_averages_nothing_is_said_of_them(written):
    assert restore.locate([_variable("w", 2)], written(w=np.ones(2, "f")), GRAPH)[1] == []


def test_several_are_read_as_each_is_alone(written):
    arrays = {
        "a": np.float32([1, 2]),
        "b": np.int64(7),
        "s": np.array([b"x\0", b""], object),
        "lone": np.array(b"y\0", object),
    }
    checkpoint = written(**arrays)
    read = checkpoint.values([*map(Restored, arrays), Restored("a", ((1, 1),))])
    for value, wanted in zip(read, [*arrays.values(), arrays["a"][1:]], strict=True):
        np.testing.assert_array_equal(value, wanted)
        assert value.dtype == wanted.dtype


def test_of_several_the_damaged_one_is_named(written):
    checkpoint = written(a=np.zeros(3, np.float32), b=np.ones(3, np.float32), c=np.zeros(3, np.float32))
    data = checkpoint.prefix + ".data-00000-of-00001"
    with open(data, "r+b") as file:
        file.seek(file.read().index(np.ones(1, np.float32).tobytes()))
        file.write(b"\x07")
    with pytest.raises(export_v1.ExportError, match="Variable 'b' cannot be read"):
        checkpoint.values([Restored("a"), Restored("b"), Restored("c")])


@pytest.mark.parametrize(("together", "runs"), [(0, [1, 1, 1, 1]), (8, [2, 1, 1]), (20, [2, 2]), (1000, [4])])
def test_no_more_is_read_at_once_than_was_allowed(written, monkeypatch, together, runs):
    checkpoint = written(a=np.float32(1), b=np.float32(2), c=np.zeros(4, np.float32), d=np.float32(3))
    variables = [dataclasses.replace(_variable(name), location=Restored(name)) for name in "abcd"]
    asked, real = [], checkpoint._restored
    monkeypatch.setattr(checkpoint, "_restored", lambda locations: asked.append(len(locations)) or real(locations))
    parts = list(restore.Weights(tuple(variables), checkpoint).in_parts(variables, together))
    values = [(name, value.ravel()[0]) for part in parts for name, value in part.items()]
    assert values == [("a", 1), ("b", 2), ("c", 0), ("d", 3)] and asked == [len(part) for part in parts] == runs
