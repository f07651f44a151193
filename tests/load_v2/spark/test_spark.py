"""A signature as a function of Spark's columns, on a standalone master with two workers, beside `predict`."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.support import cases, ports, tables

pyspark = pytest.importorskip("pyspark", reason="pip install -e '.[spark]'")
if not shutil.which("java"):
    pytest.skip("Spark needs Java 17, and there is no program `java`", allow_module_level=True)

import pyarrow  # noqa: E402 - after what says what is missing
from pyarrow import parquet  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402
from pyspark.sql import functions as sf  # noqa: E402

import export_v1  # noqa: E402
import load_v2  # noqa: E402
from load_v2.spark import command, udf  # noqa: E402

ROOT = pathlib.Path(__file__).parents[3]
ENVIRONMENT = {
    **os.environ, "PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable, "TF_CPP_MIN_LOG_LEVEL": "3",
    "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_NO_DAEMONIZE": "1",
}  # fmt: skip
# Python 3.11 and py4j leave sockets to the garbage collector.
pytestmark = [pytest.mark.filterwarnings("ignore::ResourceWarning"),
              pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
              pytest.mark.filterwarnings("ignore::DeprecationWarning")]  # fmt: skip


class Cluster:
    """A master and workers of one core each, all on the loopback interface."""

    def __init__(self, folder: pathlib.Path, workers: int = 2):
        self._folder, port = folder, ports.free()
        self.master = f"spark://127.0.0.1:{port}"
        listening = ["--host", "127.0.0.1", "--webui-port", str(ports.free())]
        self._processes = [self._start("master", "master.Master", *listening, "--port", str(port))]
        self._wait_for("master", "I have been elected leader")
        self.workers = []
        for at in range(workers):
            room = ["--cores", "1", "--memory", "1g", "--work-dir", str(folder / f"work-{at}")]
            own = ["--host", "127.0.0.1", "--webui-port", str(ports.free())]
            self.workers.append(self._start(f"worker-{at}", "worker.Worker", *own, *room, self.master))
        self._processes += self.workers
        for at in range(workers):
            self._wait_for(f"worker-{at}", "Successfully registered with master")

    def _start(self, name: str, program: str, *args: str) -> subprocess.Popen:
        script = os.path.join(os.path.dirname(pyspark.__file__), "bin", "spark-class")
        with open(self._folder / f"{name}.log", "wb") as log:
            return subprocess.Popen(
                [script, f"org.apache.spark.deploy.{program}", *args], stdout=log, stderr=log, env=ENVIRONMENT,
                start_new_session=True,
            )  # fmt: skip

    def _wait_for(self, name: str, text: str) -> None:
        log = self._folder / f"{name}.log"
        for _ in range(300):
            if text in log.read_text(errors="replace"):
                return
            time.sleep(0.2)
        raise AssertionError(log.read_text(errors="replace")[-3000:])

    def kill(self, worker: subprocess.Popen) -> None:
        """Ends a worker and its executor at once, as a machine that fails would."""
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def close(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    yield running
    running.close()


@pytest.fixture(scope="module")
def session():
    os.environ.update(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(ROOT))
        made = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
        made.sparkContext.setLogLevel("OFF")
        yield made
        made.stop()


def _job(cluster: Cluster, *args: object) -> list[str]:
    conf = ["spark.ui.enabled=false", "spark.driver.host=127.0.0.1", f"spark.executorEnv.PYTHONPATH={ROOT}"]
    return [sys.executable, "-m", "load_v2.spark", *map(str, args), f"--master={cluster.master}",
            *(f"--conf={setting}" for setting in conf)]  # fmt: skip


def _run(cluster: Cluster, *args: object) -> subprocess.CompletedProcess:
    return subprocess.run(_job(cluster, *args), env=ENVIRONMENT, capture_output=True, text=True, timeout=900)


def _predicted(export: pathlib.Path, arrays: dict, folder: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the answers of `predict` to the same rows."""
    from load_v2.commands.predict import predict

    np.savez(folder / "in.npz", **arrays)
    predict(load_v2.SignatureLayer(str(export)), str(folder / "in.npz"), str(folder / "out.npz"))
    with np.load(folder / "out.npz") as answers:
        return dict(answers)


def _table(folder: pathlib.Path, rows: int, files: int) -> np.ndarray:
    """Writes rows with an id in several files; returns their numbers."""
    folder.mkdir()
    numbers = np.random.default_rng(7).normal(size=[rows, 16]).astype(np.float32)
    for at, ids in enumerate(np.array_split(np.arange(rows), files)):
        table = pyarrow.table({"id": ids, "x": pyarrow.array(list(numbers[ids]))})
        parquet.write_table(table, folder / f"{at:03}.parquet")
    return numbers


def _check(output: pathlib.Path, expected: dict[str, np.ndarray], ids) -> None:
    """Each id is there once, with its answers."""
    table = parquet.read_table(output).sort_by("id")
    np.testing.assert_array_equal(table["id"].to_numpy(), ids)
    for key, values in expected.items():
        np.testing.assert_allclose(np.array(table[key].to_pylist()), values[ids], rtol=1e-5, atol=1e-6)


def test_a_few_thousand_rows_on_two_workers_with_some_that_fail(cluster, exported, tmp_path):
    numbers = _table(tmp_path / "in", 3000, 4)
    bad = {5: None, 1700: [1.0, 2.0], 2999: [*numbers[2999][:15].tolist(), None]}
    rows = [bad.get(at, row) if at in bad else row for at, row in enumerate(numbers.tolist())]
    shutil.rmtree(tmp_path / "in")
    (tmp_path / "in").mkdir()
    for at, ids in enumerate(np.array_split(np.arange(3000), 4)):
        table = pyarrow.table(
            {"id": ids, "x": pyarrow.array([rows[row] for row in ids], pyarrow.list_(pyarrow.float32()))}
        )
        parquet.write_table(table, tmp_path / "in" / f"{at}.parquet")
    export, out, failed = exported("mlp_layers"), tmp_path / "out", tmp_path / "failed"
    done = _run(cluster, export, f"--input={tmp_path}/in", f"--output={out}", f"--failed={failed}")
    assert done.returncode == 0, done.stderr[-3000:]
    expected = _predicted(export, {"x": numbers}, tmp_path)
    _check(out, expected, np.setdiff1d(np.arange(3000), list(bad)))
    lines = [json.loads(line) for file in failed.glob("*.json") for line in file.read_text().splitlines()]
    reasons = {line["id"]: line["reason"] for line in lines}
    assert len(lines) == 3 and "is null" in reasons[5] and "has 2 values" in reasons[1700] and reasons[2999]

    stopped = _run(cluster, export, f"--input={tmp_path}/in", f"--output={tmp_path}/none")
    assert stopped.returncode == 1 and "--failed=FOLDER" in stopped.stderr and "Traceback" not in stopped.stderr
    assert not (tmp_path / "none" / "_SUCCESS").exists()
    again = _run(cluster, export, f"--input={tmp_path}/in", f"--output={out}")
    assert again.returncode == 1 and "already exists" in again.stderr


@pytest.mark.slow
def test_a_hundred_thousand_rows_though_a_worker_is_killed_in_the_middle(exported, tmp_path):
    export, out = exported("mlp_layers"), tmp_path / "out"
    numbers = _table(tmp_path / "in", 100_000, 40)
    (tmp_path / "logs").mkdir()
    cluster = Cluster(tmp_path / "logs")
    try:
        command = _job(cluster, export, f"--input={tmp_path}/in", f"--output={out}")
        command.append("--conf=spark.sql.files.maxPartitionBytes=150000")
        job = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
        for _ in range(3000):
            finished = list(out.rglob("*.parquet")) if out.exists() else []
            if len(finished) >= 8 or job.poll() is not None:
                break
            time.sleep(0.02)
        assert job.poll() is None and not (out / "_SUCCESS").exists(), "it is in the middle"
        cluster.kill(cluster.workers[0])
        _, said = job.communicate(timeout=900)
        assert job.returncode == 0, said[-3000:]
        assert "Lost task" in said or "Lost executor" in said, "the loss was noticed"
    finally:
        cluster.close()
    _check(out, _predicted(export, {"x": numbers}, tmp_path), np.arange(100_000))


def test_several_inputs_and_strings_by_name(session, exported):
    case = cases.load("lookup_vocab")
    words = case.oracle("in")["words"]
    table = session.createDataFrame(
        [(at, [w.decode() for w in row]) for at, row in enumerate(words)], "id int, w array<string>"
    )
    got = (
        table.select("id", udf(exported("lookup_vocab"))(words="w").alias("s"))
        .select("id", "s.*")
        .orderBy("id")
        .collect()
    )
    expected = case.oracle()
    assert [bytes(row["label"]) for row in got] == [
        bytes(x) if isinstance(x, bytes) else x.encode() for x in expected["label"]
    ]
    np.testing.assert_allclose([row["logits"] for row in got], expected["logits"], rtol=1e-5, atol=1e-6)

    case = cases.load("lstm_dynamic_rnn")
    given, expected = case.oracle("in"), case.oracle()
    rows = [
        (n, length, seq)
        for n, (length, seq) in enumerate(zip(given["lengths"].tolist(), given["seq"].tolist(), strict=True))
    ]
    table = session.createDataFrame(rows, "n int, lengths int, seq array<array<float>>").coalesce(1)
    got = table.select("n", udf(exported("lstm_dynamic_rnn"))().alias("s")).orderBy("n").collect()
    for key in expected:
        np.testing.assert_allclose(np.array([row["s"][key] for row in got]), expected[key], rtol=1e-5, atol=1e-6)
    assert [row["s"]["reason"] for row in got] == [None] * len(rows)


def test_each_type_there_and_back(session, tmp_path):
    case = cases.load("odd_every_dtype")
    export = tmp_path / "export"
    export_v1.export(**case.flags(), export_dir=str(export))
    parquet.write_table(tables.of(case.oracle("in")), tmp_path / "in.parquet")
    scored = session.read.parquet(str(tmp_path / "in.parquet")).select("id", udf(export)().alias("s"))
    rows = scored.select("id", "s.*").collect()
    tables.check([row.asDict() for row in rows], case)


@pytest.mark.slow
def test_spark_submit_takes_the_file_of_the_command(cluster, exported, tmp_path):
    export, numbers = exported("mlp_layers"), _table(tmp_path / "in", 300, 2)
    submit = os.path.join(os.path.dirname(pyspark.__file__), "bin", "spark-submit")
    args = [
        str(export),
        f"--input={tmp_path}/in",
        f"--output={tmp_path}/out",
        f"--conf=spark.executorEnv.PYTHONPATH={ROOT}",
    ]
    program = str(ROOT / "load_v2" / "spark" / "__main__.py")
    line = [submit, f"--master={cluster.master}", "--conf=spark.driver.host=127.0.0.1", program, *args]
    submitted = subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True, timeout=900)
    assert submitted.returncode == 0, submitted.stderr[-3000:]
    _check(tmp_path / "out", _predicted(export, {"x": numbers}, tmp_path), np.arange(300))


@pytest.mark.slow
def test_a_model_is_loaded_once_in_a_worker(session, exported):
    """Two jobs of four tasks, and then a look into the process that answered them."""
    table = session.range(64).repartition(4).select(sf.array(*[sf.lit(0.5)] * 16).alias("x"))
    for _ in range(2):
        scored = table.select(udf(exported("mlp_layers"), batch_size=64)("x").alias("s")).collect()
        assert all(row["s"]["reason"] is None for row in scored)

    @sf.arrow_udf("array<int>")
    def loads(given: Iterator[pyarrow.Array]) -> Iterator[pyarrow.Array]:
        from load_v2.spark import columns

        known = columns._scorer.cache_info()
        for rows in given:
            told = [[known.misses, known.currsize, known.hits]] * len(rows)
            yield pyarrow.array(told, pyarrow.list_(pyarrow.int32()))

    (told,) = session.range(1).select(loads("id").alias("n")).collect()
    misses, kept, hits = told["n"]
    assert misses == kept and hits >= 7, "a model for each export that was asked for, and no task that loads it again"


def test_a_null_is_a_null_and_its_neighbours_have_answers(session, exported):
    rows = [(1, [float(at) for at in range(16)]), (2, None), (3, [float("nan")] * 16), (4, [1.0])]
    table = session.createDataFrame(rows, "id int, x array<double>").coalesce(1)
    got = table.select("id", udf(exported("mlp_layers"), reason="why")(sf.col("x")).alias("s")).orderBy("id").collect()
    refused = [row["id"] for row in got if row["s"]["why"]]
    assert [row["s"]["probs"] is None for row in got] == [row["s"]["why"] is not None for row in got]
    assert refused == [2, 4], "a NaN is a number like others, a null is none"


def test_what_is_wrong_is_said_before_anything_runs(exported):
    export = exported("mlp_layers")
    with pytest.raises(load_v2.LoadError, match="why"):
        udf(export, reason="probs")
    with pytest.raises(load_v2.LoadError, match="serving_default"):
        udf(export, "serving_defualt")
    with pytest.raises(load_v2.LoadError, match="not one answer for each row"):
        udf(exported("multi_io_int"))
    with pytest.raises(load_v2.LoadError, match="y"):
        udf(export)(y="a")
    with pytest.raises(load_v2.LoadError, match="2 columns"):
        udf(export)("a", "b")
    with pytest.raises(load_v2.LoadError, match="'x' is given 3; give a column"):
        udf(export)(3)
    with pytest.raises(load_v2.LoadError, match="batch_size=0 is not a positive"):
        udf(export, batch_size=0)


def test_an_error_of_spark_is_one_message():
    text = "Job aborted. [USER_RAISED_EXCEPTION] Record {x=None}: input 'x' is null. SQLSTATE: P0001\n\tat org"
    assert command.explained(text).startswith("Record {x=None}: input 'x' is null.\n  --failed")
    assert command.explained("x load_v2.errors.LoadError: It is\n  so.\n\n\tat org.apache") == "It is\n  so."
    assert command.explained("something else") is None
