"""Guesses at a sample, run in a process of their own: one that never ends or that ends TensorFlow does no harm.

The process starts with the first guess, since most models need none: what an input has to be is mostly told by its
readers. It lives as long as it answers, and has the model's own weights, as indices may be computed from them.
"""

import contextlib
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.ir import importing, safety
from export_v1.ir.graph import GraphDef
from export_v1.weights import restore, session
from export_v1.weights.restore import Weights

# A small batch of made-up inputs that takes longer is one on which a loop does not end.
SECONDS = 60
# TensorFlow looks at the clock now and then only; the process is ended after so many more.
GRACE = 15
# To import TensorFlow and the graph, and to restore the weights.
START_SECONDS = 300
# So many guesses may take their process with them, or all of their time, before there are no more.
MOST_LOST = 3
# What is held against inputs that a graph answers to with nothing.
EMPTY = "every answer is empty"
_FAILURES = (tf.errors.OpError, ValueError, TypeError)
_WORKER = "from export_v1.proof import trial; trial.serve({0}, {1})"


class GivenUp(Exception):
    """Too many guesses have cost their process or their time; what the last one did is the message."""


@dataclasses.dataclass(frozen=True)
class Model:
    """What the process needs to run a graph.

    Attributes:
        graph_def: importable as it is.
        table_inits: names of ops that fill its tables.
        feeds: input key -> tensor name.
        fetches: tensor names.
        frozen: tensor name -> value that it is always fed.
        weights: values of the variables.
    """

    graph_def: GraphDef
    table_inits: Sequence[str]
    feeds: Mapping[str, str]
    fetches: Sequence[str]
    frozen: Mapping[str, object]
    weights: Weights

    def packed(self) -> bytes:
        """Returns the model as bytes, without a value of a variable that the checkpoint has."""
        checkpoint = self.weights.checkpoint
        return pickle.dumps(
            {
                "graph_def": self.graph_def.SerializeToString(),
                "table_inits": list(self.table_inits),
                "feeds": dict(self.feeds),
                "fetches": list(self.fetches),
                "frozen": dict(self.frozen),
                "variables": self.weights.variables,
                "checkpoint": None if checkpoint is None else checkpoint.prefix,
                "initial": dict(self.weights.initial),
            }
        )

    @classmethod
    def unpacked(cls, packed: bytes) -> "Model":
        """Returns the model that `packed` made bytes of."""
        fields = pickle.loads(packed)
        checkpoint = None if fields["checkpoint"] is None else restore.Checkpoint(fields.pop("checkpoint"))
        weights = Weights(fields.pop("variables"), checkpoint, fields.pop("initial"))
        fields.pop("checkpoint", None)
        return cls(GraphDef.FromString(fields.pop("graph_def")), weights=weights, **fields)


class Trial:
    """Runs guesses at the inputs of a model, each in a process whose end does no harm. Close it after use."""

    def __init__(self, model: Model, seconds: float = SECONDS):
        self._model, self._seconds, self._lost = model, seconds, 0
        self._process: subprocess.Popen | None = None
        self._to: Connection | None = None
        self._from: Connection | None = None

    def __enter__(self) -> "Trial":
        return self

    def __exit__(self, *exception) -> None:
        self._end()

    def refusal(self, inputs: Mapping[str, np.ndarray]) -> str | None:
        """Returns what TensorFlow has against inputs, None where the graph answers to them.

        An answer without an element is none: it would prove nothing.

        Raises:
            GivenUp: this guess and others before it have taken their process with them, or all of their time.
        """
        if self._process is None:
            message = self._start()
            if message is not None:
                raise GivenUp(message)
        return self._asked(dict(inputs), self._seconds + GRACE)

    def _asked(self, what, seconds: float) -> str | None:
        assert self._to is not None and self._from is not None and self._process is not None
        try:
            self._to.send(what)
            if self._from.poll(seconds):
                return self._from.recv()
            message = f"no answer after {self._seconds:g} seconds; a loop may be endless with these values"
        except (EOFError, OSError):
            code = self._process.wait()
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            message = f"TensorFlow ended its process ({how})"
        self._end()
        self._lost += 1
        if self._lost >= MOST_LOST:
            raise GivenUp(message)
        return message

    def _start(self) -> str | None:
        receives, self_sends = os.pipe()
        self_receives, sends = os.pipe()
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _WORKER.format(receives, sends)],
                pass_fds=(receives, sends),
                env={**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except (OSError, ValueError) as error:
            return f"no process for guesses can be started: {error}"
        finally:
            os.close(receives)
            os.close(sends)
        self._to, self._from = Connection(self_sends, readable=False), Connection(self_receives, writable=False)
        return self._asked(self._model.packed(), START_SECONDS)

    def _end(self) -> None:
        for connection in (self._to, self._from):
            if connection is not None:
                connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._to = self._from = None


def serve(receives: int, sends: int) -> None:
    """Answers a `Trial` in another process until it hangs up.

    Args:
        receives: file descriptor that a model and then guesses at its inputs come from.
        sends: file descriptor that what TensorFlow has against each goes to.
    """
    # Ctrl-C is the other process's to handle.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Connection(receives, writable=False) as source, Connection(sends, readable=False) as sink:
        with contextlib.suppress(EOFError, BrokenPipeError):
            signal.alarm(START_SECONDS)
            try:
                with _opened(Model.unpacked(source.recv())) as refusal:
                    signal.alarm(0)
                    sink.send(None)
                    while True:
                        inputs = source.recv()
                        # Should the other process be gone, nobody else ends this one.
                        signal.alarm(SECONDS + 2 * GRACE)
                        message = refusal(inputs)
                        signal.alarm(0)
                        sink.send(message)
            except errors.UserError as error:
                sink.send(errors.reason(error))


@contextlib.contextmanager
def _opened(model: Model) -> Iterator:
    options = tf.compat.v1.RunOptions(timeout_in_ms=1000 * SECONDS)
    # The process that asks has checked the graph, by a policy that this one does not have.
    policy = safety.Policy(everything=True)
    with session.opened(lambda: importing.graph_def(model.graph_def, policy=policy)) as opened:
        opened.run([opened.graph.get_operation_by_name(name) for name in model.table_inits], model.frozen)

        def refusal(inputs: Mapping[str, np.ndarray]) -> str | None:
            session.fill(opened, model.weights)
            fed = {model.feeds[key]: value for key, value in inputs.items() if key in model.feeds}
            try:
                answers = opened.run(list(model.fetches), {**fed, **model.frozen}, options)
            except _FAILURES as error:
                return errors.reason(error)
            return None if any(np.size(answer) for answer in answers) else EMPTY

        yield refusal
