"""A signature behind MLServer: REST and gRPC of the Open Inference Protocol. Needs the extra `mlserver`.

    python -m export_v1 --checkpoint=model.ckpt-1000 --export_dir=models/digits/1 --mlserver=digits
    mlserver start models/digits/1

The settings are MLServer's own file, model-settings.json; `parameters.uri` is the folder of the export, and
`parameters.extra` may have `signature`, `max_batch_size` (256) and `allow_ops`.

Source: the protocol's `inference` and `metadata` requests, docs.seldon.io/projects/mlserver.
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping

import mlserver
import numpy as np
import tensorflow as tf
from mlserver import errors, types
from mlserver.utils import get_model_uri

from load_v2.errors import LoadError, reason
from load_v2.program.signature import Spec
from load_v2.scoring import elements
from load_v2.scoring.gathering import Gatherer
from load_v2.scoring.scorer import BATCH_SIZE, Scorer, check_batch_size

# What the protocol calls a type; bfloat16 it does not have, and float32 holds every one.
_DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "bfloat16": "FP32",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
}
_NUMPY = {datatype: dtype for dtype, datatype in _DATATYPES.items() if dtype not in ("bfloat16", "string")}
_BASE64 = "base64"
_SETTINGS = ("signature", "max_batch_size", "allow_ops")


class SignatureRuntime(mlserver.MLModel):
    """Answers inference requests with one signature of an export.

    Requests that come in while others are answered are answered together; what is wrong with one is its own answer, with
    status 400, and costs no other anything. Strings are BYTES: text as it is, or with `content_type` "base64" for bytes
    that are no UTF-8.
    """

    async def load(self) -> bool:
        """Loads the export; returns True.

        Raises:
            LoadError: it is not there, has no such signature, or has a type that the protocol lacks; a setting is wrong.
        """
        extra = (self.settings.parameters.extra if self.settings.parameters else None) or {}
        unknown = sorted(set(extra) - set(_SETTINGS))
        if unknown:
            raise LoadError(
                f"Model {self.name!r}: parameters.extra has an unknown setting {unknown[0]!r}.\n  Known: {', '.join(_SETTINGS)}."
            )
        size = extra.get("max_batch_size", BATCH_SIZE)
        check_batch_size(size, "max_batch_size")
        path = await get_model_uri(self.settings)
        signature = extra.get("signature", "serving_default")
        self._scorer = await asyncio.to_thread(Scorer.of, path, signature, extra.get("allow_ops", ()))
        self.inputs, self.outputs = _metadata(self._scorer.inputs), _metadata(self._scorer.outputs)
        self._gatherer = Gatherer(self._scorer, size)
        return True

    async def predict(self, payload: types.InferenceRequest) -> types.InferenceResponse:
        """Returns the answer to one request: the outputs that it asks for, or all.

        Raises:
            InferenceError: the request does not fit the signature, or the graph fails on it; status 400.
        """
        try:
            wanted = self._wanted(payload)
            answers = await self._gatherer.answer(_arrays(payload.inputs, self._scorer.inputs))
        except LoadError as error:
            raise errors.InferenceError(str(error)) from error
        except tf.errors.OpError as error:
            raise errors.InferenceError(f"The graph fails on this request: {reason(error)}") from error
        return types.InferenceResponse(
            id=payload.id,
            model_name=self.name,
            model_version=self.version,
            outputs=[_output(key, answers[key]) for key in wanted],
        )

    async def unload(self) -> bool:
        """Returns True when all requests have their answers."""
        await self._gatherer.finished()
        return True

    def _wanted(self, payload: types.InferenceRequest) -> list[str]:
        names = [output.name for output in payload.outputs or []] or list(self._scorer.outputs)
        for name in names:
            if name not in self._scorer.outputs:
                raise LoadError(f"There is no output {name!r}; the signature gives {_listed(self._scorer.outputs)}.")
        return names


def _listed(names) -> str:
    return ", ".join(map(repr, names)) or "nothing"


def _metadata(specs: Mapping[str, Spec]) -> list[types.MetadataTensor]:
    tensors = []
    for key, spec in specs.items():
        if spec.dtype not in _DATATYPES:
            raise LoadError(f"{key!r} is {spec}, a type that the Open Inference Protocol does not have.")
        # The protocol has no word for an unknown rank; most tensors of one are rows.
        shape = [-1] if spec.shape is None else [-1 if size is None else size for size in spec.shape]
        tensors.append(types.MetadataTensor(name=key, datatype=types.Datatype(_DATATYPES[spec.dtype]), shape=shape))
    return tensors


def _arrays(inputs: list[types.RequestInput], specs: Mapping[str, Spec]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for given in inputs:
        if given.name in arrays:
            raise LoadError(f"Input {given.name!r} is given twice.")
        if given.name not in specs:
            raise LoadError(f"There is no input {given.name!r}; the signature takes {_listed(specs)}.")
        array, spec = _array(given), specs[given.name]
        # A scalar has shape [1] with clients that know none of [].
        if spec.shape == () and array.shape == (1,):
            array = array.reshape(())
        arrays[given.name] = array
    return arrays


def _array(given: types.RequestInput) -> np.ndarray:
    """Returns the values of one input in its shape.

    Raises:
        LoadError: the values are not of its datatype, or not as many as its shape holds.
    """
    datatype, data = types.Datatype(given.datatype).value, given.data.root
    if datatype == "BYTES":
        array = _strings(given, data)
    else:
        try:
            # Nested or flat; MLServer has the numbers of a gRPC request as a list, too.
            # The protocol's gRPC has no list for float16, which comes as bytes.
            is_packed = datatype == "FP16" and bool(data) and all(isinstance(item, bytes) for item in data)
            array = np.frombuffer(b"".join(data), "<f2") if is_packed else elements.numbers(data, _NUMPY[datatype])
            if array.size and array.dtype.kind not in ("b" if datatype == "BOOL" else "iuf"):
                raise ValueError(f"there is {array.dtype}")
            array = _exact(array, np.dtype(_NUMPY[datatype]))
        except (ValueError, TypeError, OverflowError) as error:
            raise LoadError(f"Input {given.name!r} is not {datatype}: {error}.") from error
    if any(size < 0 for size in given.shape) or array.size != int(np.prod(given.shape, dtype=object)):
        raise LoadError(f"Input {given.name!r} has {array.size} values, which do not make the shape {given.shape}.")
    return array.reshape(given.shape)


def _exact(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Returns the values in another type; raises ValueError where an integer would become another number."""
    with np.errstate(all="ignore"):
        made = array.astype(dtype)
    if dtype.kind in "iu" and array.size and not np.array_equal(made, array):
        raise ValueError("a value does not fit")
    return made


def _strings(given: types.RequestInput, data) -> np.ndarray:
    flat = list(_leaves(data))
    items = np.empty(len(flat), dtype=object)
    encoded = given.parameters is not None and getattr(given.parameters, "content_type", None) == _BASE64
    for at, item in enumerate(flat):
        if not isinstance(item, (str, bytes)):
            raise LoadError(f"Input {given.name!r} is BYTES, and holds a value of type {type(item).__name__}.")
        value = item.encode() if isinstance(item, str) else item
        try:
            items[at] = base64.b64decode(value, validate=True) if encoded else value
        except binascii.Error as error:
            raise LoadError(f"Input {given.name!r} is not base64: {error}.") from error
    return items


def _leaves(data):
    if isinstance(data, (list, tuple)):
        for part in data:
            yield from _leaves(part)
    else:
        yield data


def _output(key: str, value: np.ndarray) -> types.ResponseOutput:
    shape = list(value.shape)
    if value.dtype.kind in "OSU":
        items = [item.encode() if isinstance(item, str) else bytes(item) for item in value.ravel().tolist()]
        # gRPC has bytes; REST writes them as text, which bytes that are no UTF-8 have none of.
        content_type = "str"
        try:
            _ = [item.decode() for item in items]
        except UnicodeDecodeError:
            items, content_type = [base64.b64encode(item) for item in items], _BASE64
        return types.ResponseOutput(
            name=key,
            shape=shape,
            datatype=types.Datatype.BYTES,
            data=types.TensorData(root=items),
            parameters=types.Parameters(content_type=content_type),
        )
    if value.dtype.name == "bfloat16":
        value = value.astype(np.float32)
    datatype = types.Datatype(_DATATYPES[value.dtype.name])
    return types.ResponseOutput(
        name=key, shape=shape, datatype=datatype, data=types.TensorData(root=value.ravel().tolist())
    )
