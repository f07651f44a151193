"""What `python -m load_v2.beam` says when a job cannot run or fails: one message, no tracebacks of workers."""

import sys

import pytest

import load_v2
from load_v2.beam import explain, runners


@pytest.fixture
def said(exported, run_program, tmp_path):
    """Returns a function that runs the command on a table and gives what it says, which must be an error."""
    pytest.importorskip("apache_beam", reason="pip install -e '.[beam]'")
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def run(rows: dict, *flags: str) -> str:
        parquet.write_table(pyarrow.table(rows), str(tmp_path / "in.parquet"))
        files = [f"--input={tmp_path}/in.parquet", f"--output={tmp_path}/out.parquet", *flags]
        done = run_program(["-m", "load_v2.beam", exported("mlp_layers"), *files])
        assert done.returncode == 1 and not done.stdout
        return done.stderr

    return run


MISFIT = "Record {id=7}: input 'x' has 5 values; one row of float32 [None, 16] is [16]."
REMEDY = "  --failed=FILE.jsonl lets the job go on and writes such records there."


ROWS = {"id": [6, 7], "x": [[0.5] * 16, [0.5] * 5]}


def test_a_record_that_does_not_fit_is_one_message(said):
    assert said(ROWS).splitlines() == [MISFIT, REMEDY]


def test_the_message_is_last_where_worker_processes_have_logs_of_their_own(said):
    flags = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    assert said(ROWS, *flags).splitlines()[-2:] == [MISFIT, REMEDY]


def test_a_column_of_another_name_is_shown(said):
    first, *_ = said({"id": [7], "X": [[0.5] * 16]}).splitlines()
    assert first.startswith("Record {id=7}: input 'x' is missing; it has ") and "'X'" in first


def test_a_file_of_another_kind_is_said(said, tmp_path):
    (tmp_path / "junk.tfrecord").write_bytes(b"no record of any kind" * 9)
    text = said({"id": [1]}, f"--input={tmp_path}/junk.tfrecord", f"--output={tmp_path}/out.tfrecord")
    assert text.splitlines()[0] == "A file that --input names is not a TFRecord, or is damaged."


@pytest.mark.parametrize(
    "text, message",
    [
        ("x\nload_v2.errors.LoadError: first\n  second [while running 'Stop']\nmore", "first\n  second"),
        (
            "Unable to fetch remote job server jar at https://there/flink.jar: <urlopen error>. If no Internet",
            "The runner's job server cannot be fetched from https://there/flink.jar.\n  Fetch it where there is a network "
            "and pass --flink_job_server_jar=FILE or --spark_job_server_jar=FILE, or pass --job_endpoint=HOST:PORT of a "
            "job server that runs.",
        ),
        ("ArrowInvalid: Parquet magic bytes not found in footer.", "A file that --input names is not a Parquet file"),
        ("something else", None),
    ],
)
def test_what_a_failed_job_means(text, message):
    found = explain.reason(RuntimeError(text))
    assert found is None if message is None else found.startswith(message)


def test_a_message_of_ours_is_whole_and_nothing_beside_it():
    text = "Traceback\nload_v2.errors.LoadError: first\n  second [while running 'Stop']\nmore"
    assert explain.reason(RuntimeError(text)) == "first\n  second"
    assert explain.reason(load_v2.LoadError("by itself")) == "by itself"


def _named(name: str, *flags: str):
    pipeline_options = pytest.importorskip("apache_beam.options.pipeline_options", reason="pip install -e '.[beam]'")
    return runners.named(name, pipeline_options.PipelineOptions(list(flags)))


@pytest.mark.parametrize(
    "name, message",
    [
        ("DaskRunner", r"pip install 'apache-beam\[dask\]'"),
        ("PortableRunner", "no(?s:.)*--job_endpoint=HOST:PORT"),
        ("FlinkRunner", "no program `java`(?s:.)*--job_endpoint"),
        ("spark", "no program `java`(?s:.)*default-jre-headless"),
        ("Nobody", "--runner=Nobody is not there"),
    ],
)
def test_a_runner_that_cannot_run_here_says_what_it_needs(name, message, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(load_v2.LoadError, match=message):
        _named(name)


@pytest.mark.parametrize("flag", ["--job_endpoint=localhost:8099", "--flink_submit_uber_jar"])
def test_no_java_is_needed_where_no_job_server_is_started(flag, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert type(_named("FlinkRunner", flag)).__name__ == "FlinkRunner"
