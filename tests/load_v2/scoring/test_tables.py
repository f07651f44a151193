"""Columns of a table as rows of a signature, and files of tables: answers of TensorFlow 1.15, reasons by row."""

import json

import numpy as np
import pytest

import load_v2
from load_v2.__main__ import parse
from load_v2.commands import predict
from load_v2.program.signature import Spec
from load_v2.scoring.scorer import Scorer
from tests.support import cases

pyarrow = pytest.importorskip("pyarrow", reason="pip install -e '.[parquet]'")
from pyarrow import csv, parquet  # noqa: E402 - after what says what is missing

from load_v2.scoring import tables  # noqa: E402


class Recording(Scorer):
    """Counts the batches, so that a test sees which way they went."""

    batches = 0
    by_row = 0

    def batch(self, arrays):
        self.batches += 1
        return super().batch(arrays)

    def elements(self, given):
        self.by_row += len(given)
        return super().elements(given)


@pytest.fixture
def mlp(exported):
    return Recording(load_v2.SignatureLayer(str(exported("mlp_layers"))))


def _columns(x):
    flat = pyarrow.array(x.ravel())
    return {
        "array": x,
        "doubles": x.astype(np.float64),
        "objects": np.array([*x, None], dtype=object)[:-1],
        "list": pyarrow.array(list(x)),
        "large": pyarrow.array(list(x), pyarrow.large_list(pyarrow.float32())),
        "fixed": pyarrow.FixedSizeListArray.from_arrays(flat, 16),
        "chunked": pyarrow.chunked_array([list(x[:3]), list(x[3:])]),
        "slice": pyarrow.array([x[0], *x])[1:],
        "fixed slice": pyarrow.FixedSizeListArray.from_arrays(pyarrow.concat_arrays([flat[:16], flat]), 16)[1:],
        "tensor": pyarrow.FixedShapeTensorArray.from_numpy_ndarray(x),
    }


@pytest.mark.parametrize("kind", _columns(np.zeros([4, 16], np.float32)))
def test_whole_columns_go_as_they_lie(kind, mlp):
    case = cases.load("mlp_layers")
    x = case.oracle("in")["x"]
    got = tables.answer(mlp, {"x": _columns(x)[kind], "other": x}, batch_size=3)
    cases.assert_equal(
        {key: np.array(value.to_pylist(), np.float32) for key, value in got.outputs.items()}, case.oracle()
    )
    assert got.reasons.null_count == len(x) and mlp.by_row == 0 and mlp.batches == -(-len(x) // 3)


def test_only_the_batch_of_a_row_that_fails_goes_row_by_row(mlp):
    x = np.random.default_rng(1).normal(size=[12, 16]).astype(np.float32)
    rows: list = x.tolist()
    rows[4], rows[5] = None, [1.0]
    got = tables.answer(mlp, {"x": pyarrow.array(rows)}, batch_size=4)
    assert mlp.by_row == 4 and [at for at, reason in enumerate(got.reasons.to_pylist()) if reason] == [4, 5]
    assert [at for at, value in enumerate(got.outputs["probs"].to_pylist()) if value is None] == [4, 5]
    whole = tables.answer(mlp, {"x": x}).outputs["probs"].to_pylist()
    for at in set(range(12)) - {4, 5}:
        np.testing.assert_allclose(got.outputs["probs"][at].as_py(), whole[at], rtol=1e-5)


def test_axes_that_are_there_have_to_be_right(exported):
    scorer = Scorer.of(str(exported("lstm_dynamic_rnn")))
    seq = np.zeros([2, 6, 5], np.float32)
    got = tables.answer(scorer, {"seq": seq, "lengths": np.array([2, 3])})
    assert all("is [6, 5]" in reason for reason in got.reasons.to_pylist())
    flat = tables.answer(scorer, {"seq": seq.reshape(2, 30), "lengths": np.array([2, 3])})
    assert flat.reasons.null_count == 2 and flat.outputs["states"].type == pyarrow.list_(
        pyarrow.list_(pyarrow.float32())
    )


def test_an_integer_that_does_not_fit_is_no_other_integer(exported):
    scorer = Scorer.of(str(exported("lstm_dynamic_rnn")))
    seq = np.zeros([2, 5, 6], np.float32)
    got = tables.answer(scorer, {"seq": seq, "lengths": np.array([2, 2**32 + 2])}).reasons.to_pylist()
    assert got[0] is None and "does not fit int32" in got[1]


def test_types_of_columns():
    assert tables.arrow_type("y", Spec("y:0", "bfloat16", (None, 2, 3))) == pyarrow.list_(
        pyarrow.list_(pyarrow.float32())
    )
    assert tables.arrow_type("y", Spec("y:0", "string", (None,))) == pyarrow.binary()
    assert tables.arrow_type("y", Spec("y:0", "int64", None)) == pyarrow.list_(pyarrow.int64())
    for dtype, shape in (("complex64", (None,)), ("float32", ())):
        with pytest.raises(load_v2.LoadError, match="'y'"):
            tables.arrow_type("y", Spec("y:0", dtype, shape))


def test_strings_keep_their_bytes_though_a_neighbour_fails():
    class Echo(Scorer):
        def __init__(self):
            self.fixed = None

        inputs = {"s": Spec("s:0", "string", (None,))}
        outputs = {"t": Spec("t:0", "string", (None,)), "n": Spec("n:0", "string", (None, 1))}

        def call(self, arrays):
            return {"t": arrays["s"], "n": arrays["s"][:, np.newaxis]}

    got = tables.answer(Echo(), {"s": pyarrow.array([b"a\0", None, b"\xff\0\0"])})
    assert got.outputs["t"].to_pylist() == [b"a\0", None, b"\xff\0\0"]
    assert got.outputs["n"].to_pylist() == [[b"a\0"], None, [b"\xff\0\0"]]


def test_no_rows_have_no_answers(mlp):
    got = tables.answer(mlp, {"x": pyarrow.array([], pyarrow.list_(pyarrow.float32()))})
    assert len(got.reasons) == 0 and {len(value) for value in got.outputs.values()} == {0}
    assert tables.as_array(got.reasons).tolist() == []


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_predict_answers_several_files_and_sets_aside_what_has_no_answer(ending, exported, tmp_path):
    case = cases.load("mlp_layers")
    x, expected = case.oracle("in")["x"], case.oracle()
    for part, ids in enumerate(np.array_split(np.arange(len(x)), 2)):
        rows = [x[at].tolist() for at in ids] + [[1.0, 2.0]]
        if ending == "csv":
            rows = list(map(json.dumps, rows))
        table = pyarrow.table({"id": [*ids, 100 + part], "pixels": rows})
        write = parquet.write_table if ending == "parquet" else csv.write_csv
        write(table, str(tmp_path / f"in-{part}.{ending}"))
    argv = ["load_v2", "predict", str(exported("mlp_layers")), f"--inputs={tmp_path}/in-*.{ending}"]
    argv += [f"--outputs={tmp_path}/out.{ending}", "--column=x=pixels"]
    with pytest.raises(load_v2.LoadError, match="Row [0-9]+ of .* has no answer.*2 values"):
        predict.run(parse(argv))
    assert not (tmp_path / f"out.{ending}").exists()
    assert predict.run(parse([*argv, f"--failed={tmp_path}/failed.parquet"])) == 0
    read = parquet.read_table if ending == "parquet" else csv.read_csv
    got = read(str(tmp_path / f"out.{ending}"))
    assert got["id"].to_pylist() == list(range(len(x))) and "pixels" not in got.column_names
    for key, values in expected.items():
        cells = got[key].to_pylist()
        cells = [json.loads(cell) for cell in cells] if ending == "csv" else cells
        np.testing.assert_allclose(np.array(cells), values, rtol=1e-5, atol=1e-6)
    failed = parquet.read_table(tmp_path / "failed.parquet")
    assert failed["id"].to_pylist() == [100, 101] and all(
        "2 values" in reason for reason in failed["reason"].to_pylist()
    )


def test_what_is_wrong_with_files_is_one_message(exported, tmp_path):
    layer = load_v2.SignatureLayer(str(exported("mlp_layers")))
    parquet.write_table(pyarrow.table({"xs": [[1.0]]}), tmp_path / "in.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"nothing")
    source, out = str(tmp_path / "in.parquet"), str(tmp_path / "out.parquet")
    for inputs, outputs, message in (
        (source, out, "--column=x=NAME"),
        (source, source, "would be replaced"),
        (source, out[:-8] + ".npz", "not .parquet or .csv"),
        (str(tmp_path / "*.csv"), out, "No file"),
        (str(tmp_path / "bad.parquet"), out, "cannot be read"),
    ):
        with pytest.raises(load_v2.LoadError, match=message):
            predict.predict(layer, inputs, outputs)
    assert not (tmp_path / "out.parquet").exists()
