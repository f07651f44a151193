"""export(…, supervised=True): whatever the graph does, this process goes on."""

import contextlib
import os
import resource
import signal

import numpy as np
import pytest

import export_v1
from export_v1.console import apart
from tests.support import cases, graphs
from tests.support.graphs import v1


def test_it_exports_as_it_does_in_this_process(exported, tmp_path):
    flags = cases.load("lookup_vocab").flags()
    report = export_v1.export(export_dir=str(tmp_path / "e"), supervised=True, **flags)
    assert report.export_dir == str(tmp_path / "e") and os.listdir(tmp_path) == ["e"]
    here = export_v1.export(export_dir=str(tmp_path / "here"), **flags)
    assert report.record == here.record or report.record.to_json() == here.record.to_json()
    versioned = export_v1.export(export_dir=str(tmp_path / "base"), versioned=True, supervised=True, **flags)
    assert versioned.export_dir == str(tmp_path / "base" / "1")


def test_values_from_numpy_go_through(tmp_path):
    flags = {**cases.load("convnet_bn_dropout").flags()}
    flags["freeze"] = {name: np.asarray(value) for name, value in flags.get("freeze", {}).items()}
    assert export_v1.export(export_dir=tmp_path / "e", supervised=True, **flags)


def test_what_a_user_can_put_right_is_said_as_ever(tmp_path):
    with pytest.raises(export_v1.ExportError, match="Checkpoint .* is not there"):
        export_v1.export(checkpoint=str(tmp_path / "no" / "model"), export_dir=str(tmp_path / "e"), supervised=True)
    with pytest.raises(export_v1.ExportError, match="No model is given"):
        export_v1.export(export_dir=str(tmp_path / "e"), supervised=True)
    with pytest.raises(TypeError, match="no_such_flag"):
        export_v1.export(export_dir=str(tmp_path / "e"), supervised=True, no_such_flag=1)
    with pytest.raises(TypeError, match="plain values"):
        export_v1.export(export_dir=str(tmp_path / "e"), supervised=True, checkpoint=object())


def dies(receive, send):
    receive()
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(receive, send):
    while True:
        receive()


def prints(receive, send):
    while (message := receive()) is not None:
        print("noise of a library")
        os.write(1, b"noise of C code\n")
        send(message[::-1])


def test_a_process_that_dies_is_an_error_here():
    process = apart.Process(f"{__name__}:dies")
    with pytest.raises(apart.EndedError, match="SIGSEGV: TensorFlow crashes like this on a graph"):
        process.ask(b"x")
    with pytest.raises(apart.EndedError):
        process.ask(b"x")
    process.close()


def test_one_that_takes_too_long_is_ended():
    process = apart.Process(f"{__name__}:hangs")
    with pytest.raises(apart.EndedError, match="exceeded its time limit"):
        process.ask(b"x", seconds=0.5)
    assert process._process.poll() is not None


def stops_reading(receive, send):
    os.kill(os.getpid(), signal.SIGSTOP)


def test_one_that_does_not_read_is_ended():
    """A long message waits in the pipe: whoever writes it must not wait for good."""
    process = apart.Process(f"{__name__}:stops_reading")
    with pytest.raises(apart.EndedError, match="exceeded its time limit"):
        process.ask(bytes(2**22), seconds=0.5)
    assert process._process.poll() is not None


def test_a_server_has_many_files_open():
    """select(2) takes no descriptor above 1,023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with contextlib.ExitStack() as files:
        files.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1050):
            files.enter_context(open(os.devnull))
        process = apart.Process(f"{__name__}:prints")
        files.callback(process.close)
        assert process._process.stdout.fileno() > 1023
        assert process.ask(b"abc", seconds=60) == b"cba"


def test_what_is_printed_does_not_get_into_the_answers():
    process = apart.Process(f"{__name__}:prints")
    assert [process.ask(message) for message in (b"abc", b"", bytes(2**22) + b"x")] == [
        b"cba",
        b"",
        b"x" + bytes(2**22),
    ]
    process.close()


@pytest.mark.slow
def test_a_graph_that_takes_tensorflow_down_does_not_take_this_process_along(tmp_path):
    """The export of a graph that needs more memory than there is."""
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder("float32", [None], name="x")
        v1.identity(v1.reduce_sum(v1.fill([2**20, 2**20], x[0])), name="y")
    (tmp_path / "model.pb").write_bytes(graph.as_graph_def().SerializeToString())
    # Given by somebody, inputs have to be answered; for made-up ones the export would be written unproven.
    np.savez(tmp_path / "in.npz", x=np.float32([1]))
    with pytest.raises(export_v1.ExportError):
        export_v1.export(
            graph_def=str(tmp_path / "model.pb"), export_dir=str(tmp_path / "e"), inputs={"x": "x:0"},
            outputs={"y": "y:0"}, sample=str(tmp_path / "in.npz"), supervised=True,
        )  # fmt: skip
    assert sorted(os.listdir(tmp_path)) == ["in.npz", "model.pb"]
