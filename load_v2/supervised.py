"""A signature that answers in a process of its own: for servers that take models from strangers.

A layer runs in the process that made it, and a graph that was made to make TensorFlow crash takes it down; no check beforehand
can promise that it will not. Here the graph is loaded and run in another process. What it does there is an error here, and
the next call starts anew.
"""

import json
import os
import threading
from collections.abc import Callable, Collection, Mapping

import numpy as np

from export_v1 import errors
from export_v1.console import apart
from load_v2.errors import LoadError, path_of

Answers = dict[str, np.ndarray]


class SupervisedSignature:
    """A signature of an export that is called with arrays and answers with arrays; calls from several threads take turns.

    Guaranteed: whatever the graph does, this process goes on, and a call ends with the answers or with a LoadError.
    There are no weights here, no gradients, and no training: for these, a `SignatureLayer` in a process that may die.

    Args:
        path: as of `SignatureLayer`.
        signature: as of `SignatureLayer`.
        allow_ops: as of `SignatureLayer`.
        seconds: how long loading, or a call, may take; None: as long as it likes.

    Raises:
        LoadError: as `SignatureLayer`; or the process ended while it loaded.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        signature: str = "serving_default",
        *,
        allow_ops: Collection[str] = (),
        seconds: float | None = None,
    ):
        self._asked = {"path": path_of(path), "signature": signature, "allow_ops": list(allow_ops)}
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process: apart.Process | None = None
        with self._lock:
            self._started()

    def __enter__(self) -> "SupervisedSignature":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process; the next call would start another."""
        with self._lock:
            self._end()

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Answers:
        """Returns the answers by key to inputs by key.

        Raises:
            LoadError: the inputs are not the signature's, the graph fails on them, or the process ended.
        """
        message = _message(inputs)
        with self._lock:
            self._started()
            answer = self._ask(message, "answered")
        return _read_arrays(answer)

    def _started(self) -> None:
        if self._process is None:
            self._process = apart.Process("load_v2.supervised:work")
            self._ask(apart.packed(self._asked), "loaded")

    def _ask(self, message: bytes, doing: str) -> bytes:
        assert self._process is not None
        try:
            answer = self._process.ask(message, self._seconds)
        except apart.EndedError as error:
            self._process = None
            raise LoadError(f"The process that {doing} {self._asked['path']!r} has ended.\n  Why: {error}.") from None
        except BaseException:
            self._process = None
            raise
        if answer[:1] != _GOOD:
            if doing == "loaded":
                self._end()
            raise LoadError(answer[1:].decode("utf-8", "replace"))
        return answer[1:]

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None


_GOOD, _BAD = b"+", b"-"


def work(receive: Callable[[], bytes | None], send: Callable[[bytes], None]) -> None:
    """Loads the signature that the first message names, then answers each message of arrays."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    message = receive()
    if message is None:
        return
    request = json.loads(message)
    try:
        from load_v2.layer.signature_layer import SignatureLayer

        layer = SignatureLayer(request["path"], request["signature"], allow_ops=request["allow_ops"])
    except Exception as error:
        send(_BAD + _told(error))
        return
    send(_GOOD)
    while (message := receive()) is not None:
        try:
            answers = layer(_read_arrays(message))
            answers = answers if isinstance(answers, dict) else {next(iter(layer.output_specs)): answers}
            made = _GOOD + _arrays({key: np.asarray(value) for key, value in answers.items()})
        except Exception as error:
            made = _BAD + _told(error)
        send(made)


def _told(error: Exception) -> bytes:
    text = str(error) if isinstance(error, errors.UserError) else f"{type(error).__name__}: {errors.reason(error)}"
    return text.encode(errors="backslashreplace")


def _message(inputs: Mapping[str, object]) -> bytes:
    """Returns inputs as a message.

    Raises:
        LoadError: one of them is nothing that an array can be made of.
    """
    contents = {}
    for key, value in inputs.items():
        try:
            contents[str(key)] = _content(np.asarray(value))
        except (TypeError, ValueError) as error:
            raise LoadError(
                f"Input {key!r} cannot be made an array: {error}.\n  Pass numbers, or strings, in rows of one length."
            ) from error
    return _joined(contents)


def _arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    return _joined({key: _content(value) for key, value in arrays.items()})


def _content(value: np.ndarray) -> bytes:
    import tensorflow as tf

    return tf.make_tensor_proto(value).SerializeToString()


def _joined(contents: Mapping[str, bytes]) -> bytes:
    """Returns arrays as a message: keys and lengths as a line of JSON, then each as a TensorProto."""
    head = json.dumps({key: len(content) for key, content in contents.items()}).encode()
    return head + b"\n" + b"".join(contents.values())


def _read_arrays(message: bytes) -> Answers:
    import tensorflow as tf
    from tensorflow.core.framework import tensor_pb2

    head, _, rest = message.partition(b"\n")
    arrays, at = {}, 0
    for key, length in json.loads(head).items():
        arrays[key] = tf.make_ndarray(tensor_pb2.TensorProto.FromString(rest[at : at + length]))
        at += length
    return arrays
