"""The calls that load_v2/README.md shows for a server: REST and gRPC, answered by the server's own loader.

No TensorFlow Serving is run here: what is tested is that the calls, as they are written down, fit the export.
"""

import json
import pathlib
import re
from concurrent import futures

import numpy as np
import pytest
import tensorflow as tf

from tests.support import c_api, cases

README = (pathlib.Path(__file__).parent.parent / "load_v2" / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def address(exported):
    """Serves an export's answers to Predict calls from the C++ loader, and refuses what TensorFlow Serving would."""
    grpc = pytest.importorskip("grpc", reason="pip install -e '.[serving]'")
    predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2", reason="pip install -e '.[serving]'")
    service = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")

    class Server(service.PredictionServiceServicer):
        def __init__(self, folder):
            self._session = c_api.Session(folder)

        def Predict(self, request, context):  # noqa: N802 - gRPC's name
            spec = request.model_spec
            if spec.name != "mlp":
                context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {spec.name}")
            inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            for key, value in self._session.predict(inputs, spec.signature_name or "serving_default").items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
            return response

    server = grpc.server(futures.ThreadPoolExecutor(1))
    service.add_PredictionServiceServicer_to_server(Server(exported("mlp_layers")), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    yield f"localhost:{port}"
    server.stop(None)


def _answers(exported, x: np.ndarray) -> dict[str, np.ndarray]:
    with c_api.Session(exported("mlp_layers")) as session:
        return session.predict({"x": x})


def test_the_grpc_call_of_the_readme_gets_the_answer(address, exported, capsys):
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "PredictRequest" in block]
    assert "localhost:8500" in code
    found: dict = {}
    exec(code.replace("localhost:8500", address), found)
    want = _answers(exported, np.zeros([1, 16], np.float32))
    assert set(found["response"].outputs) == set(want)
    np.testing.assert_array_equal(tf.make_ndarray(found["response"].outputs["probs"]), want["probs"])
    assert capsys.readouterr().out.startswith("[[0.")


def test_the_rest_call_of_the_readme_fits_the_signature(exported):
    (body,) = re.findall(r"curl -d '(.*?)' http://localhost:8501/v1/models/mlp:predict", README)
    want = _answers(exported, np.zeros([1, 16], np.float32))
    cases.assert_equal(_answers(exported, np.asarray(json.loads(body)["instances"], np.float32)), want)
