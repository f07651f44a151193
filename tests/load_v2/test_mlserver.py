"""A real MLServer with exports behind it, asked by HTTP and by gRPC. The answers are TensorFlow 1.15's."""

import asyncio
import base64
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import struct
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
from mlserver.settings import ModelParameters, ModelSettings  # noqa: E402

from load_v2.errors import LoadError  # noqa: E402
from load_v2.mlserver import SignatureRuntime  # noqa: E402

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


_TYPES = {"bool": "BOOL", "object": "BYTES", "float16": "FP16", "float32": "FP32", "float64": "FP64"}
_TYPES |= {f"{sign}int{bits}": f"{sign}int{bits}".upper() for sign in ("", "u") for bits in (8, 16, 32, 64)}
_NUMPY = {name: dtype for dtype, name in _TYPES.items()}


def _tensor(name, value):
    value = np.asarray(value)
    tensor = {"name": name, "shape": list(value.shape), "datatype": _TYPES[value.dtype.name]}
    if value.dtype != object:
        return {**tensor, "data": value.ravel().tolist()}
    # As base64: a string may be no text.
    items = [base64.b64encode(item).decode() for item in _bytes(value)]
    return {**tensor, "data": items, "parameters": {"content_type": "base64"}}


def _bytes(value) -> list[bytes]:
    return [item.encode() if isinstance(item, str) else item for item in value.ravel().tolist()]


def _array(output):
    values = output["data"]
    if output.get("parameters", {}).get("content_type") == "base64":
        values = [base64.b64decode(value) for value in values]
    elif output["datatype"] == "BYTES":
        values = [value.encode() for value in values]
    return np.array(values, dtype=_NUMPY[output["datatype"]]).reshape(output["shape"])


NAMES = ("mlp_layers", "multi_io_int", "lookup_vocab", "odd_every_dtype")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Exports of models that TensorFlow 1.15 answered for: floats, integers, strings, and one with each type."""
    folder = tmp_path_factory.mktemp("served") / "models"
    for name in NAMES:
        export_v1.export(**cases.load(name).flags(), export_dir=str(folder / name / "1"), mlserver=name)
    return folder


@pytest.fixture(scope="module")
def server(models):
    started = Server(models)
    try:
        for name in NAMES:
            started.wait(name)
        yield started
    finally:
        started.close()


CASES = pytest.mark.parametrize("name", NAMES)


@CASES
def test_answers_over_http_are_tensorflow_1_s(server, name):
    case = cases.load(name)
    cases.assert_equal(server.ask(name, case.oracle("in")), case.oracle())


def _over_grpc(server, name: str, arrays: dict, raw: bool, outputs: list[str]) -> dict[str, np.ndarray]:
    """Returns what the server answers to arrays: as lists of numbers, or as the bytes that lie in memory."""
    request = dataplane_pb2.ModelInferRequest(model_name=name)
    for key, value in arrays.items():
        datatype = _TYPES[value.dtype.name]
        tensor = request.inputs.add(name=key, datatype=datatype, shape=value.shape)
        if not raw:
            items = _bytes(value) if datatype == "BYTES" else value.ravel().tolist()
            items = [value.tobytes()] if datatype == "FP16" else items
            getattr(tensor.contents, _FIELDS.get(datatype, "int_contents")).extend(items)
        elif datatype == "BYTES":
            items = [struct.pack("<I", len(item)) + item for item in _bytes(value)]
            request.raw_input_contents.append(b"".join(items))
        else:
            request.raw_input_contents.append(value.tobytes())
    for key in outputs:
        request.outputs.add(name=key)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
        answer = dataplane_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
    got = {}
    for at, output in enumerate(answer.outputs):
        dtype = _NUMPY[output.datatype]
        if not raw:
            values = next(getattr(output.contents, field.name) for field, _ in output.contents.ListFields())
        elif dtype != "object":
            values = np.frombuffer(answer.raw_output_contents[at], dtype)
        else:
            values, rest = [], answer.raw_output_contents[at]
            while rest:
                size = 4 + struct.unpack("<I", rest[:4])[0]
                values, rest = [*values, rest[4:size]], rest[size:]
        values = list(values)
        if output.parameters["content_type"].string_param == "base64":
            values = [base64.b64decode(item) for item in values]
        got[output.name] = np.array(values, dtype=dtype).reshape(list(output.shape))
    return got


_FIELDS = {"FP32": "fp32_contents", "FP64": "fp64_contents", "INT64": "int64_contents", "UINT64": "uint64_contents",
           "BYTES": "bytes_contents", "FP16": "bytes_contents", "BOOL": "bool_contents"}  # fmt: skip
_FIELDS |= {f"UINT{bits}": "uint_contents" for bits in (8, 16, 32)}


@CASES
@pytest.mark.parametrize("raw", [False, True])
def test_answers_over_grpc_are_tensorflow_1_s(server, name, raw):
    case = cases.load(name)
    expected = case.oracle()
    if not raw:
        # The protocol has no list for answers of float16.
        expected.pop("out_float16", None)
    cases.assert_equal(_over_grpc(server, name, case.oracle("in"), raw, list(expected)), expected)


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
            # Of bfloat16, which the protocol does not have, the answers are float32.
            assert listed[key]["datatype"] == _TYPES[value.dtype.name], key
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


@pytest.mark.parametrize(
    "arrays, outputs, message",
    [
        ({}, [], "Input 'x' is missing"),
        ({"x": np.zeros([1, 15], np.float32)}, [], "has float32 .None, 16."),
        ({"x": np.zeros([1, 16], np.float32)}, ["q"], "There is no output 'q'"),
    ],
)
def test_a_bad_request_over_grpc_is_the_client_s_fault(server, arrays, outputs, message):
    with pytest.raises(grpc.RpcError, match=message) as caught:
        _over_grpc(server, "mlp_layers", arrays, False, outputs)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def _hammered(server, seconds: float, clients: int, outputs=("probs", "logits")) -> list[float]:
    """Returns the latencies of clients that ask without a pause, each row by itself; every answer is checked."""
    wanted = [{"name": key} for key in outputs]
    return _asked(lambda x: server.ask("mlp_layers", {"x": x}, outputs=wanted), seconds, clients, outputs)


def _asked(ask, seconds: float, clients: int, outputs) -> list[float]:
    case = cases.load("mlp_layers")
    given, expected = case.oracle("in"), {key: case.oracle()[key] for key in outputs}
    rows, end = len(given["x"]), time.monotonic() + seconds

    def one(client: int) -> list[float]:
        taken, at = [], client
        while time.monotonic() < end:
            start = time.monotonic()
            got = ask(given["x"][at % rows : at % rows + 1])
            taken.append(time.monotonic() - start)
            cases.assert_equal(got, {key: value[at % rows : at % rows + 1] for key, value in expected.items()})
            at += 1
        return taken

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        return [seconds for taken in pool.map(one, range(clients)) for seconds in taken]


def test_clients_at_once_get_each_its_own_answer(server):
    assert len(_hammered(server, 3, 16)) > 16


@pytest.mark.slow
def test_under_load_for_a_minute_nothing_is_wrong_and_nothing_lost(server, models):
    import tensorflow as tf

    raw = tf.saved_model.load(str(models / "mlp_layers" / "1")).signatures["serving_default"]
    of_server = _hammered(server, 60, 32)
    alone = _asked(
        lambda x: {key: value.numpy() for key, value in raw(x=tf.constant(x)).items()}, 15, 32, ["probs", "logits"]
    )
    assert len(of_server) > 32
    for what, latencies in (("the server, a minute", of_server), ("the raw signature in threads, 15 s", alone)):
        shown = ", ".join(f"{share} %: {np.percentile(latencies, share) * 1e3:.1f} ms" for share in (50, 95, 99))
        print(f"\n32 clients of {what}: {len(latencies)} requests; {shown}")


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


@pytest.mark.parametrize("size", [0, -1, "64", 2.5])
def test_a_batch_size_that_is_none_is_refused_when_the_model_is_loaded(tmp_path, size):
    settings = ModelSettings(
        name="mlp",
        implementation=SignatureRuntime,
        parameters=ModelParameters(uri=str(tmp_path), extra={"max_batch_size": size}),
    )
    with pytest.raises(LoadError, match="max_batch_size=.* is not a positive whole number"):
        asyncio.run(SignatureRuntime(settings).load())
