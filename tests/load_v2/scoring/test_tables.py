"""Columns of a table as rows of a signature, and files of tables: answers of TensorFlow 1.15, reasons by row."""

import decimal
import json

import numpy as np
import pytest
import tensorflow as tf

import export_v1
import load_v2
from load_v2.__main__ import parse
from load_v2.commands import predict
from load_v2.program.signature import Spec
from load_v2.scoring.scorer import Scorer
from tests.support import cases

pyarrow = pytest.importorskip("pyarrow", reason="pip install -e '.[parquet]'")
from pyarrow import csv, parquet  # noqa: E402 - after what says what is missing

from load_v2.scoring import tables  # noqa: E402
from tests.support import tables as golden  # noqa: E402


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


def test_each_type_there_and_back(tmp_path):
    case = cases.load("odd_every_dtype")
    export_v1.export(**case.flags(), export_dir=str(tmp_path / "export"))
    scorer = Recording(load_v2.SignatureLayer(str(tmp_path / "export")))
    table = golden.of(case.oracle("in"))
    whole = tables.answer(scorer, {key: table[key] for key in scorer.inputs})
    assert scorer.by_row == 0
    rows = [{"id": at, **row} for at, row in enumerate(pyarrow.table(dict(whole.outputs)).to_pylist())]
    golden.check(rows, case)
    # A row that fails, and its neighbours one by one.
    columns = {key: pyarrow.array([None, *table[key].to_pylist()], table[key].type) for key in scorer.inputs}
    apart = tables.answer(scorer, columns)
    assert scorer.by_row == 4 and apart.reasons.null_count == 3
    rows = [{"id": at, **row} for at, row in enumerate(pyarrow.table(dict(apart.outputs)).to_pylist()[1:])]
    golden.check(rows, case)


def test_decimals_are_the_numbers_that_they_are(exported):
    scorer = Recording(load_v2.SignatureLayer(str(exported("lstm_dynamic_rnn"))))
    seq = np.random.default_rng(0).normal(size=[4, 30]).round(3)
    exact = [[decimal.Decimal(str(value)) for value in row] for row in seq.tolist()]
    whole = pyarrow.decimal128(20, 0)
    columns = {
        "seq": pyarrow.array(exact, pyarrow.list_(pyarrow.decimal128(12, 3))),
        "lengths": pyarrow.array([decimal.Decimal(length) for length in (1, 2, 3, 4)], whole),
    }
    got = tables.answer(scorer, columns)
    want = tables.answer(scorer, {"seq": seq.astype(np.float32), "lengths": np.array([1, 2, 3, 4])})
    assert got.outputs == want.outputs and scorer.by_row == 0
    columns["lengths"] = pyarrow.array([decimal.Decimal(length) for length in (1, -2, 2**63, 4)], whole)
    reasons = tables.answer(scorer, columns).reasons.to_pylist()
    assert reasons[0] is None and "does not fit int32" in reasons[2]


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


@pytest.mark.parametrize("reasons", [["why", "so"], ["why", None], [None, None], []])
def test_reasons_are_text_whichever_rows_have_one(reasons):
    """Batches of one Dataset have to agree in what a column holds."""
    got = tables.as_array(pyarrow.array(reasons, pyarrow.string()))
    assert got.dtype == object and got.tolist() == reasons
    assert tables.as_array(pyarrow.array([1] * len(reasons), pyarrow.int32())).dtype == np.int32
    assert tables.as_array(pyarrow.array([b"a"] * len(reasons), pyarrow.binary())).tolist() == [b"a"] * len(reasons)


@pytest.mark.parametrize("size", [0, -1, 2.5, "64", True])
def test_a_batch_size_that_is_none_is_refused_wherever_it_is_given(size, exported, tmp_path):
    """Below zero no row would have an answer."""
    export = str(exported("mlp_layers"))
    np.save(tmp_path / "x.npy", np.zeros([3, 16], np.float32))
    with pytest.raises(load_v2.LoadError, match=r"batch_size=.* is not a positive whole number.\n.*batch_size=256"):
        predict.predict(load_v2.SignatureLayer(export), str(tmp_path / "x.npy"), str(tmp_path / "y.npz"), size)
    assert not (tmp_path / "y.npz").exists()


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


@pytest.mark.parametrize(
    "second, message",
    [
        ({"x": [[0.5] * 16], "other": [1]}, "1.parquet' has other columns than '.*0.parquet'"),
        ({"x": [[0.5] * 16], "id": ["a"]}, "A column has another type than before"),
    ],
)
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_files_of_other_columns_do_not_go_into_one(second, message, ending, exported, tmp_path):
    layer = load_v2.SignatureLayer(str(exported("mlp_layers")))
    for at, content in enumerate(({"x": [[0.5] * 16], "id": [1]}, second)):
        parquet.write_table(pyarrow.table(content), tmp_path / f"{at}.parquet")
    with pytest.raises(load_v2.LoadError, match=message) as caught:
        predict.predict(layer, f"{tmp_path}/*.parquet", f"{tmp_path}/out.{ending}")
    assert "--outputs='FOLDER/*.parquet'" in str(caught.value) and not (tmp_path / f"out.{ending}").exists()
    done = predict.predict(layer, f"{tmp_path}/*.parquet", f"{tmp_path}/out/*.{ending}")
    assert (done.rows, done.files) == (2, 2)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_table_without_rows_has_a_table_of_answers_without_rows(ending, exported, tmp_path):
    layer = load_v2.SignatureLayer(str(exported("mlp_layers")))
    kind = pyarrow.list_(pyarrow.float32()) if ending == "parquet" else pyarrow.string()
    empty = pyarrow.table({"id": pyarrow.array([], pyarrow.int64()), "x": pyarrow.array([], kind)})
    write = parquet.write_table if ending == "parquet" else csv.write_csv
    write(empty, str(tmp_path / f"in.{ending}"))
    done = predict.predict(
        layer, f"{tmp_path}/in.{ending}", f"{tmp_path}/out.{ending}", failed=f"{tmp_path}/failed.{ending}"
    )
    assert (done.rows, done.failed) == (0, 0)
    read = parquet.read_table if ending == "parquet" else csv.read_csv
    assert read(str(tmp_path / f"out.{ending}")).column_names == ["id", "logits", "probs"]
    assert read(str(tmp_path / f"failed.{ending}")).column_names == ["id", "x", "reason"]


@pytest.fixture(scope="module")
def words_and_numbers(tmp_path_factory):
    """A SavedModel that TensorFlow wrote: word string, n float32 and flag bool [None] -> size, double, negated."""
    folder = str(tmp_path_factory.mktemp("words_and_numbers"))
    module = tf.Module()
    kinds = {"word": tf.string, "n": tf.float32, "flag": tf.bool}

    @tf.function(input_signature=[tf.TensorSpec([None], kind, key) for key, kind in kinds.items()])
    def serve(word, n, flag):
        return {"size": tf.strings.length(word), "double": n * 2, "negated": tf.logical_not(flag)}

    tf.saved_model.save(module, folder, signatures=serve)
    return folder


def _scored(folder, lines, tmp_path):
    (tmp_path / "in.csv").write_text("\n".join(("id,word,n,flag", *lines)) + "\n")
    ends = {name: str(tmp_path / f"{name}.csv") for name in ("in", "out", "failed")}
    predict.predict(load_v2.SignatureLayer(folder), ends["in"], ends["out"], failed=ends["failed"])
    texts = csv.ConvertOptions(column_types=dict.fromkeys(("id", "word", "n", "flag"), pyarrow.string()))
    return [csv.read_csv(ends[name], convert_options=texts).to_pylist() for name in ("out", "failed")]


def test_what_a_column_of_csv_holds_is_what_its_input_takes(words_and_numbers, tmp_path):
    words = ["0012", "1e5", "2020-01-01", "true", "", "null"]
    lines = [f"00{at},{word},{at}, TRUE " for at, word in enumerate(words)]
    answered, failed = _scored(words_and_numbers, lines, tmp_path)
    assert not failed and [row["size"] for row in answered] == [len(word) for word in words]
    assert [row["id"] for row in answered] == [f"00{at}" for at in range(len(words))]
    assert [row["double"] for row in answered] == [2 * at for at in range(len(words))]


def test_from_csv_to_parquet_inputs_are_text_and_the_other_columns_have_types(words_and_numbers, tmp_path):
    (tmp_path / "in.csv").write_text("id,word,n,flag\n7,0012,1,1\n")
    predict.predict(load_v2.SignatureLayer(words_and_numbers), f"{tmp_path}/in.csv", f"{tmp_path}/out.parquet")
    [row] = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert (row["id"], row["size"], row["double"]) == (7, 4, 2.0)


def test_a_cell_of_csv_that_is_no_number_is_the_failure_of_its_row_alone(words_and_numbers, tmp_path):
    lines = ["a,w,+1.5,1", "b,w,two,1", "c,w,007,0", "d,w,,1", "e,w,4,maybe"]
    answered, failed = _scored(words_and_numbers, lines, tmp_path)
    assert [(row["id"], row["double"], row["negated"]) for row in answered] == [("a", 3.0, False), ("c", 14.0, True)]
    assert [(row["id"], row["n"], row["flag"]) for row in failed] == [
        ("b", "two", "1"), ("d", "", "1"), ("e", "4", "maybe")
    ]  # fmt: skip
    for row, message in zip(failed, ("'n' is string", "'n' is null", "'flag' is string"), strict=True):
        assert message in row["reason"]


def test_the_first_rows_of_csv_do_not_say_what_the_last_hold(words_and_numbers, tmp_path):
    # More than the megabyte by which Arrow tells types.
    count = 60_000
    lines = [f"{at},word {at},1,1" for at in range(count)]
    answered, failed = _scored(words_and_numbers, [*lines, "last,0,0.5,0"], tmp_path)
    assert not failed and len(answered) == count + 1
    assert (answered[-1]["id"], answered[-1]["double"], answered[-1]["negated"]) == ("last", 1.0, True)


def test_a_column_that_is_there_twice_is_refused(exported, tmp_path):
    twice = pyarrow.Table.from_arrays([pyarrow.array([[0.5] * 16])] * 2, names=["x", "x"])
    parquet.write_table(twice, tmp_path / "in.parquet")
    with pytest.raises(load_v2.LoadError, match="has 2 columns 'x'"):
        predict.predict(
            load_v2.SignatureLayer(str(exported("mlp_layers"))), f"{tmp_path}/in.parquet", f"{tmp_path}/out.parquet"
        )


def test_a_type_that_no_input_takes_is_named(mlp):
    times = pyarrow.array([[0] * 16], pyarrow.list_(pyarrow.timestamp("s")))
    for column, message in ((times, "of type datetime"), (pyarrow.array([[0.0, None]]), "partly null")):
        [reason] = tables.answer(mlp, {"x": column}).reasons.to_pylist()
        assert f"input 'x' is {message}; the signature has float32" in reason
