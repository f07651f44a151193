"""Scoring on Beam's DirectRunner: several worker processes, keys, failures, files, runners. Needs the extra `beam`."""

import glob
import json
import os

import numpy as np
import pytest
import tensorflow as tf

import load_v2
from load_v2.commands import predict
from tests.support import cases

beam = pytest.importorskip("apache_beam", reason="pip install -e '.[beam]'")

from apache_beam.ml.inference import base  # noqa: E402 - after the line that says what is missing
from apache_beam.options import pipeline_options  # noqa: E402

from load_v2.beam import Failure, Score, SignatureModelHandler, command, handler  # noqa: E402
from load_v2.scoring.scorer import Scorer  # noqa: E402

# Two processes of one thread each, as on a cluster: nothing is shared but files.
PROCESSES = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
ROWS = 3000


@pytest.fixture(scope="module")
def folder(exported):
    return str(exported("mlp_layers"))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(5).random((ROWS, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def predicted(folder, x, tmp_path_factory) -> dict[str, np.ndarray]:
    """What `load_v2 predict` says, on one machine."""
    scratch = tmp_path_factory.mktemp("predicted")
    np.savez(scratch / "in.npz", x=x)
    predict.predict(load_v2.SignatureLayer(folder), str(scratch / "in.npz"), str(scratch / "out.npz"))
    with np.load(scratch / "out.npz") as arrays:
        return {key: arrays[key] for key in arrays.files}


def _run(argv: list[str], build) -> list:
    """Runs a pipeline and returns the elements of what `build(pipeline)` gives, through files, as processes need."""
    import pickle
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        options = pipeline_options.PipelineOptions(argv)
        with beam.Pipeline(options=options) as pipeline:
            for at, collection in enumerate(build(pipeline)):
                pickled = collection | f"Pickle{at}" >> beam.Map(pickle.dumps)
                pickled | f"Write{at}" >> beam.io.WriteToTFRecord(os.path.join(scratch, f"out{at}"))  # noqa: B018
        found = []
        for at in range(len(glob.glob(os.path.join(scratch, "out*-00000-*")))):
            files = glob.glob(os.path.join(scratch, f"out{at}-*"))
            found.append([pickle.loads(one) for one in tf.data.TFRecordDataset(files).as_numpy_iterator()])
        return found


class _WithProcess(beam.DoFn):
    """Notes which process an element was in."""

    def process(self, element):
        yield os.getpid(), element


def _assert_equal(got: dict, predicted: dict, positions) -> None:
    """Another batch is another order of summation in a matrix product, so floats are close and not the same."""
    cases.assert_equal(
        {key: np.stack([one[key] for one in got]) for key in predicted},
        {key: value[list(positions)] for key, value in predicted.items()},
    )


def test_several_processes_answer_as_predict_does(folder, x, predicted):
    def build(pipeline):
        keyed = pipeline | beam.Create([(at, {"x": row}) for at, row in enumerate(x)]) | beam.Reshuffle()
        model = base.KeyedModelHandler(SignatureModelHandler(folder, max_batch_size=100))
        return [keyed | base.RunInference(model) | beam.ParDo(_WithProcess())]

    (results,) = _run(PROCESSES, build)
    assert len({process for process, _ in results}) == 2
    answers = dict(element for _, element in results)
    assert sorted(answers) == list(range(ROWS))
    assert all(isinstance(one, base.PredictionResult) and one.model_id == folder for one in answers.values())
    np.testing.assert_array_equal(answers[7].example["x"], x[7])
    _assert_equal([answers[at].inference for at in range(ROWS)], predicted, range(ROWS))


def _spoilt(x: np.ndarray) -> tuple[list, set[int]]:
    """Elements of which some do not fit the signature: among others, alone, first, last and next to each other."""
    elements = [{"x": row} for row in x[:600]]
    bad = {0: {"x": x[0, :3]}, 300: {"y": x[300]}, 301: {"x": "abc"}, 599: {}}
    return [bad.get(at, element) for at, element in enumerate(elements)], set(bad)


@pytest.mark.parametrize("keyed", [False, True])
def test_one_bad_element_comes_out_alone_with_its_reason(folder, x, predicted, keyed):
    elements, bad = _spoilt(x)

    def build(pipeline):
        model = SignatureModelHandler(folder)
        whole = pipeline | beam.Create(list(enumerate(elements)) if keyed else elements)
        inference = base.RunInference(base.KeyedModelHandler(model) if keyed else model)
        results, other = whole | inference.with_exception_handling()
        return [results, other.failed_inferences]

    results, failed = _run([], build)
    assert len(results) == len(elements) - len(bad)
    assert [len(batch) for batch, _ in failed] == [1] * len(bad)
    reasons = "\n".join(sorted(reason for _, (_, reason, _) in failed))
    for said in ("'x' is [3]", "missing; it has 'y'", "'x' is string", "missing; it has nothing"):
        assert said in reasons.replace("\\'", "'")
    if keyed:
        assert {batch[0][0] for batch, _ in failed} == bad
        answers = {key: result.inference for key, result in results}
        _assert_equal([answers[at] for at in sorted(answers)], predicted, sorted(answers))


def test_without_handling_a_bad_element_stops_the_job_with_its_reason(folder):
    def build(pipeline):
        return [pipeline | beam.Create([{"x": [1.0] * 3}]) | base.RunInference(SignatureModelHandler(folder))]

    with pytest.raises(Exception, match=r"'x' is \[3\]; the signature has float32 \[None, 16\]"):
        _run([], build)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory) -> str:
    """An export that fails on some values of the right type: it reads numbers out of strings."""
    v1, root = tf.compat.v1, tmp_path_factory.mktemp("decoder")
    with tf.Graph().as_default(), v1.Session() as session:
        text = v1.placeholder(tf.string, [None], "text")
        tf.multiply(tf.strings.to_number(text), v1.get_variable("w", [], use_resource=False), "y")
        session.run(v1.global_variables_initializer())
        checkpoint = v1.train.Saver().save(session, str(root / "model.ckpt"))
    import export_v1

    named = {"inputs": {"text": "text:0"}, "outputs": {"y": "y:0"}}
    return export_v1.export(checkpoint=checkpoint, export_dir=str(root / "1"), **named).export_dir


@pytest.mark.parametrize("keyed", [False, True])
def test_score_loses_no_element_but_the_one_that_the_graph_fails_on(decoder, keyed):
    elements = [{"text": str(at)} for at in range(40)]
    elements[13], elements[27] = {"text": "not a number"}, {"text": 5}

    def build(pipeline):
        whole = pipeline | beam.Create(list(enumerate(elements)) if keyed else elements)
        return whole | Score(decoder, keyed=keyed)

    results, failed = _run([], build)
    assert len(results) == 38 and len(failed) == 2
    reasons = {str((element[1] if keyed else element)["text"]): reason for element, reason in failed}
    assert "graph fails: StringToNumberOp could not correctly convert string: not a n" in reasons["not a number"]
    assert "input 'text' is int64; the signature has string [None]" in reasons["5"]
    if keyed:
        weight = load_v2.SignatureLayer(decoder).weights[0].numpy()
        for key, result in results:
            np.testing.assert_allclose(result.inference["y"], key * weight, rtol=1e-6)


class _Counting(Scorer):
    """Notes how large the batches are that it answers."""

    def __init__(self, path):
        super().__init__(load_v2.SignatureLayer(path))
        self.sizes = []

    def batch(self, arrays):
        self.sizes.append(len(arrays["words"]))
        return super().batch(arrays)


def test_rows_of_different_shapes_are_different_batches(exported):
    path = str(exported("lookup_vocab"))
    model = _Counting(path)
    words = [{"words": ["the"] * count} for count in (2, 3, 2, 2)]
    results = list(SignatureModelHandler(path).run_inference(words, model))
    assert model.sizes == [3, 1] and [one.example for one in results] == words


def test_a_fixed_batch_is_filled_up_and_cut(exported, x):
    path = str(exported("mlp_layers", inputs={"x": "x:0[4,16]"}))
    model = SignatureModelHandler(path)
    got = list(model.run_inference([{"x": row} for row in x[:6]], model.load_model()))
    want = load_v2.SignatureLayer(str(exported("mlp_layers")))(x[:6])
    cases.assert_equal({"probs": np.stack([one.inference["probs"] for one in got])}, {"probs": want["probs"].numpy()})


def test_failures_that_are_returned_say_which_element(folder, x):
    model = SignatureModelHandler(folder, failures="return")
    good, bad = model.run_inference([{"x": x[0]}, {"x": "abc"}], model.load_model())
    assert set(good.inference) == {"logits", "probs"}
    assert isinstance(bad.inference, Failure) and "Record {x='abc'}: input 'x' is string" in bad.inference.reason


def test_options_are_beam_s_own(folder):
    options = SignatureModelHandler(folder, min_batch_size=8, max_batch_size=32, max_batch_duration_secs=3)
    given = dict(options.batch_elements_kwargs())
    weight = given.pop("element_size_fn")
    assert given == {"min_batch_size": 8, "max_batch_size": 32, "max_batch_duration_secs": 3}
    row = {"x": [0.0] * 16}
    assert weight(row) == weight(("key", row)) == 1 and weight({}) == weight(("key", {})) == 32
    shared = SignatureModelHandler(folder, large_model=True, model_copies=2)
    assert shared.share_model_across_processes() and shared.model_copies() == 2
    with pytest.raises(load_v2.LoadError, match="takes no inference_args"):
        options.validate_inference_args({"training": True})
    with pytest.raises(load_v2.LoadError, match="neither 'raise' nor 'return'"):
        SignatureModelHandler(folder, failures="ignore")


def test_the_handler_travels_without_the_model(folder):
    import pickle

    assert len(pickle.dumps(SignatureModelHandler(folder))) < 2000


def test_an_unknown_signature_is_named(folder):
    with pytest.raises(load_v2.LoadError, match="(?s)Signature 'serve'.*'serving_default'"):
        handler.specs_of(folder, "serve")


def _files(root, x: np.ndarray, ending: str) -> str:
    """Writes the rows to two files, each with its position as an id; returns the pattern."""
    half = len(x) // 2
    for part, rows in enumerate([range(half), range(half, len(x))]):
        path = str(root / f"in{part}.{ending}")
        if ending == "parquet":
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.table({"id": list(rows), "x": [x[at].tolist() for at in rows]}), path)
            continue
        with tf.io.TFRecordWriter(path) as writer:
            for at in rows:
                example = tf.train.Example()
                example.features.feature["id"].int64_list.value.append(at)
                example.features.feature["x"].float_list.value.extend(x[at])
                writer.write(example.SerializeToString())
    return str(root / f"in*.{ending}")


def _read(pattern: str) -> dict[int, dict]:
    """Returns what the command wrote: id -> values by key."""
    found = {}
    if pattern.endswith("parquet"):
        from pyarrow import parquet

        for path in glob.glob(pattern):
            for row in parquet.read_table(path).to_pylist():
                found[row["id"]] = {key: np.asarray(value, np.float32) for key, value in row.items() if key != "id"}
        return found
    for record in tf.data.TFRecordDataset(glob.glob(pattern)).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        values = {key: np.asarray(one.float_list.value, np.float32) for key, one in feature.items() if key != "id"}
        found[feature["id"].int64_list.value[0]] = values
    return found


@pytest.mark.parametrize("ending", ["tfrecord", "parquet"])
def test_the_command_scores_files_as_predict_does(folder, x, predicted, tmp_path, run_program, ending):
    pattern = _files(tmp_path, x, ending)
    flags = [folder, f"--input={pattern}", f"--output={tmp_path}/out/part.{ending}"]
    # What kind of file it is makes no difference to processes.
    if ending == "parquet":
        assert command.run(flags) == 0
    else:
        done = run_program(["-m", "load_v2.beam", *flags, *PROCESSES])
        assert done.returncode == 0, done.stderr[-2000:]
        # Counted in two other processes.
        assert f"/out/part.{ending}: {ROWS:,} records with their answers" in done.stdout.splitlines()[-1]
    got = _read(f"{tmp_path}/out/part-*.{ending}")
    assert sorted(got) == list(range(ROWS)) and set(got[0]) == set(predicted)
    _assert_equal([got[at] for at in range(ROWS)], predicted, range(ROWS))


def test_records_without_an_answer_go_to_their_own_file(folder, x, tmp_path, capsys):
    import pyarrow
    from pyarrow import parquet

    rows = [x[at].tolist() for at in range(20)]
    rows[4] = rows[4][:5]
    parquet.write_table(pyarrow.table({"id": list(range(20)), "x": rows}), str(tmp_path / "in.parquet"))
    flags = [folder, f"--input={tmp_path}/in.parquet", f"--output={tmp_path}/out.parquet"]
    assert command.run([*flags, f"--failed={tmp_path}/failed.jsonl"]) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    size = sum(path.stat().st_size for path in tmp_path.glob("out-*.parquet"))
    assert said.startswith(f"{tmp_path}/out.parquet: 19 records with their answers, 1 file, {size:,} bytes; ")
    assert f"{tmp_path}/failed.jsonl: 1 records without an answer, 1 file" in said
    assert sorted(_read(f"{tmp_path}/out-*.parquet")) == [at for at in range(20) if at != 4]
    (line,) = [line for path in tmp_path.glob("failed-*.jsonl") for line in path.read_text().splitlines()]
    assert json.loads(line)["record"] == {"id": 4}
    assert "Record {id=4}: input 'x' has 5 values; one row of float32 [None, 16] is [16]" in json.loads(line)["reason"]
    with pytest.raises(Exception, match=r"(?s)Record \{id=4\}.*--failed=FILE.jsonl lets the job go on"):
        command.run(flags)


def test_an_input_is_kept_where_that_is_asked_for(folder, x, tmp_path):
    pattern = _files(tmp_path, x[:10], "parquet")
    flags = [folder, f"--input={pattern}", f"--output={tmp_path}/out.parquet"]
    assert command.run([*flags, "--keep=x", "--batch_size=4"]) == 0
    got = _read(f"{tmp_path}/out-*.parquet")
    np.testing.assert_array_equal(got[3]["x"], x[3])
    with pytest.raises(load_v2.LoadError, match="(?s)--keep=z is not in the signature's inputs; it has 'x'"):
        command.run([*flags, "--keep=z"])


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--input=a.csv", "--output=b.parquet"], r"--input=a\.csv is neither TFRecord nor Parquet.*\.tfrecord"),
        (["--input=a.tfrecord", "--output=b.txt"], r"--output=b\.txt is neither"),
        (["--input=a.tfrecord", "--output=b.parquet"], "needs to know its columns"),
        (["--input=/nowhere/*.parquet", "--output=b.parquet"], r"No file matches --input=/nowhere"),
        (["--input=a.tfrecord", "--output=b.tfrecord", "--signature=no"], "Signature 'no'"),
        (["--input=a.tfrecord", "--output=b.tfrecord", "--runner=DaskRunner"], r"pip install 'apache-beam\[dask\]'"),
        (["--input=a.tfrecord", "--output=b.tfrecord", "--runner=Nobody"], "--runner=Nobody is not there: .*Valid"),
    ],
)
def test_what_the_command_cannot_do_is_said(folder, flags, said):
    with pytest.raises(Exception, match="(?s)" + said):
        command.run([folder, *flags])
