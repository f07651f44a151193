"""Warm-up requests for TensorFlow Serving: what it replays when it loads a version, before any traffic."""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from export_v1 import errors, interface
from export_v1.format import plain_path
from export_v1.proof import asking, sample
from export_v1.request import Request

FILE = "tf_serving_warmup_requests"
# TensorFlow Serving refuses to load a version that has more.
MOST = 1000
# What stands for the sample's own batch size: --warmup without a number.
AS_RECORDED = 0

Batch = Mapping[str, np.ndarray]


def check(request: Request) -> None:
    """Checks, before any work is done, that warm-up requests can be written if they are asked for.

    Raises:
        ExportError: no sample is to be recorded, a batch size is none, there are too many, or a package is missing.
    """
    batch_sizes = sizes(request)
    if not batch_sizes:
        return
    if request.no_sample:
        raise errors.ExportError(
            "--warmup makes its requests from the recorded sample, and --no_sample records none.\n  Remove one of them."
        )
    wrong = [size for size in batch_sizes if not isinstance(size, int) or size < AS_RECORDED]
    if wrong:
        raise errors.ExportError(f"{wrong[0]!r} is not a batch size.\n  Pass --warmup=1, once for each batch size.")
    count = len(set(batch_sizes))
    if count > MOST:
        raise errors.ExportError(
            f"{count:,} batch sizes are asked for; TensorFlow Serving reads at most {MOST:,} warm-up requests.\n"
            "  Pass --warmup for the sizes that occur."
        )
    _protos()


def sizes(request: Request) -> list[int]:
    """Returns the batch sizes asked for; in Python, True asks for the sample's own, and 8 is the same as [8]."""
    if request.warmup is True:
        return [AS_RECORDED]
    return [request.warmup] if isinstance(request.warmup, int) and request.warmup else list(request.warmup or ())


def _protos():
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError as error:
        raise errors.ExportError(
            f"--warmup needs the messages of TensorFlow Serving: {error}.\n"
            "  pip install tensorflow-serving-api, or install this project with its extra `serving`."
        ) from error
    return predict_pb2, prediction_log_pb2


def batches(
    batch_sizes: Sequence[int], recorded: sample.Sample | None, inputs: Mapping[str, interface.Input]
) -> dict[int, Batch]:
    """Returns batch size -> inputs by key, rows of the sample over and over.

    Args:
        asked: batch sizes; one request for each that differs.
        recorded: the sample.
        inputs: key -> input as it is exported; what has an open first size comes row by row.

    Raises:
        ExportError: there is no sample, or the signature takes no other batch size than the sample's.
    """
    if not batch_sizes:
        return {}
    if recorded is None:
        raise errors.ExportError(
            "--warmup makes its requests from the recorded sample, and none was recorded.\n"
            "  Pass --sample=FILE.npz with real inputs, or remove --warmup."
        )
    values = {key: _as_declared(recorded.inputs[key], declared) for key, declared in inputs.items()}
    rowwise = {key for key, declared in inputs.items() if _is_open(declared, values[key])}
    counts = {len(values[key]) for key in rowwise}
    fixed = {declared.shape[0] for declared in inputs.values() if declared.shape and declared.shape[0] is not None}
    own = max(counts or fixed, default=1)
    made: dict[int, Batch] = {}
    for size in dict.fromkeys(size or own for size in batch_sizes):
        if size != own and not rowwise:
            shown = ", ".join(f"{key} {list(declared.shape or ())}" for key, declared in inputs.items())
            raise errors.ExportError(
                f"A warm-up request of {size} rows does not fit the signature, which has no open batch size: {shown}.\n"
                f"  Pass --warmup={own}, or open it with --input=KEY=TENSOR[None,…]."
            )
        made[size] = {
            key: value if size == own or key not in rowwise else _repeated(value, size) for key, value in values.items()
        }
    return made


def _as_declared(value: np.ndarray, declared: interface.Input) -> np.ndarray:
    """Returns a value in the type of the signature, which is the only one that a server takes."""
    dtype = tf.as_dtype(declared.dtype)
    return value if dtype == tf.string else np.asarray(value).astype(dtype.as_numpy_dtype)


def _is_open(declared: interface.Input, value: np.ndarray) -> bool:
    return np.ndim(value) > 0 and (declared.shape is None or declared.shape[0] is None)


def _repeated(value: np.ndarray, size: int) -> np.ndarray:
    return value[np.arange(size) % len(value)]


def try_out(requests: Mapping[int, Batch], session, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> None:
    """Runs each request once: a server that fails on one does not load the version.

    Args:
        requests: batch size -> inputs by key.
        session: a filled session of the exported graph.
        inputs: input key -> tensor name there.
        outputs: output key -> tensor name there.

    Raises:
        ExportError: the graph fails on one; on which, and why.
    """
    for size, batch in requests.items():
        try:
            session.run(list(outputs.values()), {inputs[key]: value for key, value in batch.items()})
        except asking.FAILURES as error:
            raise errors.ExportError(
                f"The warm-up request of {size} rows fails: {errors.reason(error)}\n"
                f"  TensorFlow Serving would not load the export. Remove --warmup={size}, or pass a --sample whose "
                "rows go together."
            ) from error


def write(requests: Mapping[int, Batch], folder: str, signature: str) -> None:
    """Writes the requests as a TFRecord of PredictionLog, the smallest first, into the folder `assets.extra`."""
    predict_pb2, prediction_log_pb2 = _protos()
    with tf.io.TFRecordWriter(os.path.join(plain_path.of(folder), FILE)) as records:
        for _, batch in sorted(requests.items()):
            request = predict_pb2.PredictRequest()
            # The server fills in its own name for the model.
            request.model_spec.signature_name = signature
            for key, value in batch.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            records.write(log.SerializeToString(deterministic=True))
