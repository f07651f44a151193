"""A real MLServer with exports behind it, asked by HTTP and by gRPC. The answers are TensorFlow 1.15's."""

import base64
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

import export_v1
from tests.support import cases, ports

pytest.importorskip("mlserver", reason="pip install -e '.[mlserver]'")

import grpc  # noqa: E402 - after what says what is missing
from mlserver.grpc import dataplane_pb2, dataplane_pb2_grpc  # noqa: E402

ROOT = pathlib.Path(__file__).parent.parent.parent


class Server:
    """A server that runs on a folder of models."""

    def __init__(self, folder: pathlib.Path, workers: int = 0):
        self.http, self.grpc, metrics = (ports.free() for _ in range(3))
        settings = {"host": "127.0.0.1", "http_port": self.http, "grpc_port": self.grpc, "metrics_port": metrics}
        (folder / "settings.json").write_text(json.dumps({**settings, "parallel_workers": workers, "debug": False}))
        self._log = folder.parent / "server.log"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [os.path.join(os.path.dirname(sys.executable), "mlserver"), "start", str(folder)]
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)

    def wait(self, name: str) -> None:
        for _ in range(600):
            with contextlib.suppress(OSError):
                if self.get(f"models/{name}/ready")[0] == 200:
                    return
            assert self.process.poll() is None, self._log.read_text(errors="replace")[-3000:]
            time.sleep(0.2)
        raise AssertionError(self._log.read_text(errors="replace")[-3000:])

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def get(self, path: str, body: object | None = None) -> tuple[int, dict]:
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}/v2/{path}", data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"{}")

    def ask(self, name: str, arrays: dict, **more) -> dict[str, np.ndarray]:
        status, answer = self.get(
            f"models/{name}/infer", {"inputs": [_tensor(*pair) for pair in arrays.items()], **more}
        )
        assert status == 200, answer
        return {output["name"]: _array(output) for output in answer["outputs"]}


_TYPES = {"float32": "FP32", "int32": "INT32", "int64": "INT64", "bool": "BOOL", "object": "BYTES", "float64": "FP64"}
_NUMPY = {name: dtype for dtype, name in _TYPES.items()}


def _tensor(name, value):
    value = np.asarray(value)
    items = [item.decode() if isinstance(item, bytes) else item for item in value.ravel().tolist()]
    return {"name": name, "shape": list(value.shape), "datatype": _TYPES[value.dtype.name], "data": items}


def _array(output):
    values = output["data"]
    if output.get("parameters", {}).get("content_type") == "base64":
        values = [base64.b64decode(value) for value in values]
    elif output["datatype"] == "BYTES":
        values = [value.encode() for value in values]
    return np.array(values, dtype=_NUMPY[output["datatype"]]).reshape(output["shape"])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Exports of three models that TensorFlow 1.15 answered for: floats, integers, strings."""
    folder = tmp_path_factory.mktemp("served") / "models"
    for name in ("mlp_layers", "multi_io_int", "lookup_vocab"):
        export_v1.export(**cases.load(name).flags(), export_dir=str(folder / name / "1"), mlserver=name)
    return folder


@pytest.fixture(scope="module")
def server(models):
    started = Server(models)
    try:
        for name in ("mlp_layers", "multi_io_int", "lookup_vocab"):
            started.wait(name)
        yield started
    finally:
        started.close()


CASES = pytest.mark.parametrize("name", ["mlp_layers", "multi_io_int", "lookup_vocab"])


@CASES
def test_answers_over_http_are_tensorflow_1_s(server, name):
    case = cases.load(name)
    cases.assert_equal(server.ask(name, case.oracle("in")), case.oracle())


@CASES
def test_answers_over_grpc_are_tensorflow_1_s(server, name):
    case = cases.load(name)
    request = dataplane_pb2.ModelInferRequest(model_name=name)
    for key, value in case.oracle("in").items():
        datatype = _TYPES[value.dtype.name]
        tensor = request.inputs.add(name=key, datatype=datatype, shape=value.shape)
        field = {"FP32": "fp32_contents", "INT32": "int_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}
        items = [item.encode() if isinstance(item, str) else item for item in value.ravel().tolist()]
        getattr(tensor.contents, field[datatype]).extend(items)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        answer = dataplane_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
    got = {}
    for output in answer.outputs:
        contents = next(getattr(output.contents, field.name) for field, _ in output.contents.ListFields())
        got[output.name] = np.array(list(contents), dtype=_NUMPY[output.datatype]).reshape(list(output.shape))
    cases.assert_equal(got, case.oracle())


@CASES
def test_metadata_are_the_signature_s(server, name):
    case = cases.load(name)
    status, metadata = server.get(f"models/{name}")
    assert status == 200
    for side, group in (("inputs", "in"), ("outputs", "out")):
        arrays = case.oracle(group)
        listed = {tensor["name"]: tensor for tensor in metadata[side]}
        assert listed.keys() == arrays.keys()
        for key, value in arrays.items():
            assert listed[key]["datatype"] == _TYPES[value.dtype.name]
            fits = [size in (-1, at) for size, at in zip(listed[key]["shape"], value.shape, strict=True)]
            assert all(fits), (key, listed[key]["shape"], value.shape)


def test_only_the_outputs_that_are_asked_for_come_back(server):
    case = cases.load("mlp_layers")
    got = server.ask("mlp_layers", case.oracle("in"), outputs=[{"name": "probs"}])
    assert list(got) == ["probs"]
    cases.assert_equal(got, {"probs": case.oracle()["probs"]})


ROW = {"name": "x", "shape": [1, 16], "datatype": "FP32", "data": [0.5] * 16}


@pytest.mark.parametrize(
    "body, message",
    [
        ({"inputs": []}, "Input 'x' is missing; the signature takes 'x'"),
        ({"inputs": [{**ROW, "name": "y"}]}, "There is no input 'y'; the signature takes 'x'"),
        ({"inputs": [ROW, ROW]}, "Input 'x' is given twice"),
        ({"inputs": [{**ROW, "data": [1.0]}]}, "has 1 values"),
        ({"inputs": [{**ROW, "shape": [-1, 16]}]}, "has 16 values"),
        ({"inputs": [{**ROW, "shape": [2, 8]}]}, r"\[2, 8\]; the signature has float32 \[None, 16\]"),
        ({"inputs": [{**ROW, "data": ["a"] * 16}]}, "is not FP32"),
        ({"inputs": [{**ROW, "datatype": "INT32"}]}, "is not INT32: a value does not fit"),
        ({"inputs": [{**ROW, "datatype": "BYTES", "data": ["a"] * 16}]}, "'x' is string; the signature has float32"),
        ({"inputs": [{**ROW, "datatype": "BYTES"}]}, "is BYTES, and holds a value of type float"),
        (
            {"inputs": [ROW], "outputs": [{"name": "q"}]},
            "There is no output 'q'; the signature gives 'logits', 'probs'",
        ),
        ({"inputs": [{**ROW, "datatype": "COMPLEX"}]}, "datatype"),
        (b"{", "JSON"),
    ],
)
def test_a_bad_request_is_answered_with_its_reason_and_the_server_lives(server, body, message):
    status, answer = server.get("models/mlp_layers/infer", body)
    assert 400 <= status < 500 and re.search(message, json.dumps(answer)), (status, answer)
    cases.assert_equal(
        server.ask("mlp_layers", cases.load("mlp_layers").oracle("in")), cases.load("mlp_layers").oracle()
    )


def _hammered(server, seconds: float, clients: int, outputs=("probs", "logits")) -> list[float]:
    """Returns the latencies of clients that ask without a pause, each row by itself; every answer is checked."""
    case = cases.load("mlp_layers")
    given, expected = case.oracle("in"), {key: case.oracle()[key] for key in outputs}
    rows, end = len(given["x"]), time.monotonic() + seconds

    def one(client: int) -> list[float]:
        taken, at = [], client
        while time.monotonic() < end:
            start = time.monotonic()
            got = server.ask(
                "mlp_layers", {"x": given["x"][at % rows : at % rows + 1]}, outputs=[{"name": key} for key in outputs]
            )
            taken.append(time.monotonic() - start)
            cases.assert_equal(got, {key: value[at % rows : at % rows + 1] for key, value in expected.items()})
            at += 1
        return taken

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        return [seconds for taken in pool.map(one, range(clients)) for seconds in taken]


def test_clients_at_once_get_each_its_own_answer(server):
    assert len(_hammered(server, 3, 16)) > 16


@pytest.mark.slow
def test_under_load_for_a_minute_nothing_is_wrong_and_nothing_lost(server):
    latencies = np.sort(_hammered(server, 60, 32))
    assert len(latencies) > 32
    shown = ", ".join(f"{share} %: {np.percentile(latencies, share) * 1e3:.0f} ms" for share in (50, 95, 99))
    print(f"\n{len(latencies)} requests by 32 clients in a minute; {shown}")


def test_a_new_export_is_taken_while_requests_run(models, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    shutil.copytree(models / "mlp_layers", folder / "mlp_layers")
    started = Server(folder)
    try:
        started.wait("mlp_layers")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asking = pool.submit(_hammered, started, 15, 4, ["probs"])
            time.sleep(1)
            flags = {**cases.load("mlp_layers").flags(), "outputs": {"probs": "probs:0"}}
            export_v1.export(
                **flags, export_dir=str(folder / "mlp_layers" / "1"), mlserver="mlp_layers", overwrite=True
            )
            assert started.get("repository/models/mlp_layers/load", {})[0] == 200
            assert asking.result(120)
        assert [output["name"] for output in started.get("models/mlp_layers")[1]["outputs"]] == ["probs"]
    finally:
        started.close()


def test_workers_of_their_own_answer_the_same(models, tmp_path):
    folder = tmp_path / "models"
    shutil.copytree(models / "mlp_layers", folder / "mlp_layers")
    started = Server(folder, workers=1)
    try:
        started.wait("mlp_layers")
        case = cases.load("mlp_layers")
        cases.assert_equal(started.ask("mlp_layers", case.oracle("in")), case.oracle())
    finally:
        started.close()
