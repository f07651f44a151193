"""TensorFlow's C API by ctypes: the C++ loader and session that TensorFlow Serving is built on, no Python in it.

`TF_LoadSessionFromSavedModel` calls the server's own LoadSavedModel: it restores the variables and runs the init op.
"""

import ctypes
import os
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

_STRING = tf.string.as_datatype_enum


class _Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("deallocator", ctypes.c_void_p)]


class _Output(ctypes.Structure):
    _fields_ = [("operation", ctypes.c_void_p), ("index", ctypes.c_int)]


class _String(ctypes.Structure):
    # TF_TString: a union of representations, opaque here; its size is part of the ABI.
    _fields_ = [("raw", ctypes.c_uint8 * 24)]


_P = ctypes.c_void_p
# Function -> (result, arguments).
_FUNCTIONS = {
    "TF_NewStatus": (_P, []),
    "TF_DeleteStatus": (None, [_P]),
    "TF_GetCode": (ctypes.c_int, [_P]),
    "TF_Message": (ctypes.c_char_p, [_P]),
    "TF_NewGraph": (_P, []),
    "TF_DeleteGraph": (None, [_P]),
    "TF_NewSessionOptions": (_P, []),
    "TF_DeleteSessionOptions": (None, [_P]),
    "TF_NewBuffer": (ctypes.POINTER(_Buffer), []),
    "TF_DeleteBuffer": (None, [ctypes.POINTER(_Buffer)]),
    "TF_LoadSessionFromSavedModel": (
        _P,
        [_P, _P, ctypes.c_char_p, ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, _P, ctypes.POINTER(_Buffer), _P],
    ),
    "TF_CloseSession": (None, [_P, _P]),
    "TF_DeleteSession": (None, [_P, _P]),
    "TF_GraphOperationByName": (_P, [_P, ctypes.c_char_p]),
    "TF_SessionRun": (
        None,
        [_P, _P, ctypes.POINTER(_Output), ctypes.POINTER(_P), ctypes.c_int]
        + [ctypes.POINTER(_Output), ctypes.POINTER(_P), ctypes.c_int, _P, ctypes.c_int, _P, _P],
    ),
    "TF_AllocateTensor": (_P, [ctypes.c_int, ctypes.POINTER(ctypes.c_int64), ctypes.c_int, ctypes.c_size_t]),
    "TF_DeleteTensor": (None, [_P]),
    "TF_TensorType": (ctypes.c_int, [_P]),
    "TF_NumDims": (ctypes.c_int, [_P]),
    "TF_Dim": (ctypes.c_int64, [_P, ctypes.c_int]),
    "TF_TensorData": (_P, [_P]),
    "TF_TensorByteSize": (ctypes.c_size_t, [_P]),
    "TF_StringInit": (None, [_P]),
    "TF_StringCopy": (None, [_P, ctypes.c_char_p, ctypes.c_size_t]),
    "TF_StringGetDataPointer": (_P, [_P]),
    "TF_StringGetSize": (ctypes.c_size_t, [_P]),
}


def _library() -> ctypes.CDLL:
    # The functions of one library and of the one it is linked against; dlsym finds both through this handle.
    library = ctypes.CDLL(os.path.join(tf.sysconfig.get_lib(), "libtensorflow_cc.so.2"))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Session:
    """An export in the C++ session of a server; `with Session(folder) as session`.

    Attributes:
        signatures: the SignatureDefs of the loaded graph, by key.
    """

    def __init__(self, folder: str | os.PathLike, tag: str = "serve"):
        self._c = _library()
        self._status = self._c.TF_NewStatus()
        self._graph = self._c.TF_NewGraph()
        options, meta = self._c.TF_NewSessionOptions(), self._c.TF_NewBuffer()
        self._session = self._c.TF_LoadSessionFromSavedModel(
            options, None, os.fsencode(folder), (ctypes.c_char_p * 1)(tag.encode()), 1, self._graph, meta, self._status
        )
        self._check()
        content = ctypes.string_at(meta.contents.data, meta.contents.length)
        self.signatures = dict(meta_graph_pb2.MetaGraphDef.FromString(content).signature_def)
        self._c.TF_DeleteBuffer(meta)
        self._c.TF_DeleteSessionOptions(options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._c.TF_CloseSession(self._session, self._status)
        self._c.TF_DeleteSession(self._session, self._status)
        self._c.TF_DeleteGraph(self._graph)
        self._c.TF_DeleteStatus(self._status)

    def _check(self) -> None:
        if self._c.TF_GetCode(self._status):
            raise RuntimeError(self._c.TF_Message(self._status).decode())

    def predict(self, inputs: Mapping[str, np.ndarray], signature: str = "serving_default") -> dict[str, np.ndarray]:
        """Returns what a signature answers, by key; types have to be the signature's own, as in a server's requests."""
        asked = self.signatures[signature]
        feeds = {asked.inputs[key].name: np.asarray(value) for key, value in inputs.items()}
        return self._run(feeds, {key: info.name for key, info in asked.outputs.items()})

    def _run(self, feeds: Mapping[str, np.ndarray], fetches: Mapping[str, str]) -> dict[str, np.ndarray]:
        given = [self._tensor(value) for value in feeds.values()]
        got = (_P * len(fetches))()
        try:
            self._c.TF_SessionRun(
                self._session, None,
                self._outputs(feeds), (_P * len(given))(*given), len(given),
                self._outputs(fetches.values()), got, len(fetches),
                None, 0, None, self._status,
            )  # fmt: skip
            self._check()
            return {key: self._array(tensor) for key, tensor in zip(fetches, got, strict=True)}
        finally:
            for tensor in [*given, *got]:
                if tensor:
                    self._c.TF_DeleteTensor(tensor)

    def _outputs(self, names):
        found = []
        for name in names:
            node, _, index = name.partition(":")
            operation = self._c.TF_GraphOperationByName(self._graph, node.encode())
            assert operation, f"{node} is not in the loaded graph"
            found.append(_Output(operation, int(index or 0)))
        return (_Output * len(found))(*found)

    def _tensor(self, value: np.ndarray) -> int:
        strings = value.dtype.kind in "OSU"
        dtype = _STRING if strings else tf.as_dtype(value.dtype).as_datatype_enum
        size = value.size * ctypes.sizeof(_String) if strings else value.nbytes
        tensor = self._c.TF_AllocateTensor(dtype, (ctypes.c_int64 * value.ndim)(*value.shape), value.ndim, size)
        start = self._c.TF_TensorData(tensor)
        if not strings:
            ctypes.memmove(start, np.ascontiguousarray(value).tobytes(), size)
            return tensor
        for at, item in enumerate(value.ravel().tolist()):
            content = item.encode() if isinstance(item, str) else item
            self._c.TF_StringInit(start + at * ctypes.sizeof(_String))
            self._c.TF_StringCopy(start + at * ctypes.sizeof(_String), content, len(content))
        return tensor

    def _array(self, tensor: int) -> np.ndarray:
        shape = [self._c.TF_Dim(tensor, at) for at in range(self._c.TF_NumDims(tensor))]
        dtype, start = tf.as_dtype(self._c.TF_TensorType(tensor)), self._c.TF_TensorData(tensor)
        if dtype != tf.string:
            content = ctypes.string_at(start, self._c.TF_TensorByteSize(tensor))
            return np.frombuffer(content, dtype.as_numpy_dtype).reshape(shape)
        made = np.empty(int(np.prod(shape)), dtype=object)
        for at in range(made.size):
            place = start + at * ctypes.sizeof(_String)
            made[at] = ctypes.string_at(self._c.TF_StringGetDataPointer(place), self._c.TF_StringGetSize(place))
        return made.reshape(shape)
