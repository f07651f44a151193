"""The whole model under each Keras backend, in a process of its own that has nothing of this project in it."""

import dataclasses
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from load_v2.errors import LoadError, quoted
from load_v2.scoring import atomic

KNOWN = ("tensorflow", "jax", "torch")
# For each model: loads the generated code and its weights, answers every batch of inputs, and writes the answers down, or
# what went wrong.
_SCRIPT = """
import os, runpy, sys
import numpy as np
import keras
for at in range(1, len(sys.argv), 2):
    code, weights = sys.argv[at : at + 2]
    number = at // 2
    found = {}
    try:
        model = runpy.run_path(code)["build"]()
        model.load_weights(weights)
        with np.load(f"{number}.in.npz") as given:
            batches = {}
            for name in given.files:
                batch, _, key = name.partition("/")
                batches.setdefault(batch, {})[key] = given[name]
        for batch, inputs in batches.items():
            inputs = {key: keras.ops.convert_to_tensor(value) for key, value in inputs.items()}
            outputs = model(inputs, training=False)
            outputs = outputs if isinstance(outputs, dict) else {"": outputs}
            for key, value in outputs.items():
                found[f"{batch}/{key}"] = np.asarray(keras.ops.convert_to_numpy(value))
        np.savez(f"{number}.out.npz", **found)
    except Exception as error:
        lines = [line for line in f"{type(error).__name__}: {error}".splitlines() if line.strip()]
        with open(f"{number}.txt", "w") as stream:
            stream.write(lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}")
    keras.backend.clear_session()
"""


@dataclasses.dataclass(frozen=True)
class Questions:
    """What a model is asked.

    Attributes:
        code, weights: files of the generated code and of its weights.
        batches: inputs by key.
        outputs: the model's output keys.
    """

    code: str
    weights: str
    batches: Sequence[Mapping[str, np.ndarray]]
    outputs: Sequence[str]


Answers: TypeAlias = list[dict[str, np.ndarray]] | str


def installed() -> tuple[str, ...]:
    """Returns the backends of Keras that this environment has."""
    return tuple(name for name in KNOWN if importlib.util.find_spec(name) is not None)


def chosen(requested: Sequence[str] | None) -> tuple[str, ...]:
    """Returns the backends to prove a model on: those requested, or else all that are installed.

    Raises:
        LoadError: one is not known, or not installed.
    """
    if requested is None:
        return installed()
    unknown = [name for name in requested if name not in KNOWN]
    if unknown:
        raise LoadError(f"Keras has no backend {quoted(unknown)}.\n  Known: {quoted(KNOWN)}.")
    missing = [name for name in requested if name not in installed()]
    if missing:
        raise LoadError(
            f"Backend {quoted(missing)} is not installed here.\n  Install it, or leave it out of --backends."
        )
    return tuple(requested)


def answers(backend: str, all_questions: Sequence[Questions]) -> list[Answers]:
    """Returns what models answer on a backend, batch by batch; what went wrong instead where one could not."""
    with atomic.temporary() as folder:
        for number, questions in enumerate(all_questions):
            given: dict[str, Any] = {
                f"{at}/{key}": value for at, batch in enumerate(questions.batches) for key, value in batch.items()
            }
            np.savez(os.path.join(folder, f"{number}.in.npz"), **given)
        env = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        files = [os.path.abspath(file) for questions in all_questions for file in (questions.code, questions.weights)]
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, *files], env=env, cwd=folder, capture_output=True, text=True
        )
        return [_answered(folder, number, questions, done) for number, questions in enumerate(all_questions)]


def _answered(folder: str, number: int, questions: Questions, done: subprocess.CompletedProcess) -> Answers:
    answers_file, failed = (os.path.join(folder, f"{number}.{ending}") for ending in ("out.npz", "txt"))
    if os.path.exists(failed):
        with open(failed) as stream:
            return stream.read()
    if not os.path.exists(answers_file):
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        return lines[-1] if lines else f"it exited with {done.returncode}"
    with np.load(answers_file) as file:
        stored = {name: file[name] for name in file.files}
    keys = questions.outputs
    single = keys[0] if len(keys) == 1 else None
    return [
        {key: stored[f"{at}/{'' if key == single else key}"] for key in keys} for at in range(len(questions.batches))
    ]
