"""The whole model under each Keras backend, in a process of its own that has nothing of this project in it."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from load_v2.errors import LoadError, quoted

KNOWN = ("tensorflow", "jax", "torch")
# Loads the generated code and its weights, answers every batch of inputs, and writes the answers down.
_SCRIPT = """
import runpy, sys
import numpy as np
code, weights, questions, answers = sys.argv[1:]
model = runpy.run_path(code)["build"]()
import keras
model.load_weights(weights)
given = np.load(questions)
batches = {}
for name in given.files:
    batch, _, key = name.partition("/")
    batches.setdefault(batch, {})[key] = given[name]
found = {}
for batch, inputs in batches.items():
    outputs = model({key: keras.ops.convert_to_tensor(value) for key, value in inputs.items()}, training=False)
    outputs = outputs if isinstance(outputs, dict) else {"": outputs}
    for key, value in outputs.items():
        found[f"{batch}/{key}"] = np.asarray(keras.ops.convert_to_numpy(value))
np.savez(answers, **found)
"""


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


def answers(
    backend: str, code: str, weights: str, batches: Sequence[Mapping[str, np.ndarray]], outputs: Sequence[str]
) -> list[dict[str, np.ndarray]] | str:
    """Returns what the model answers on a backend, batch by batch; what went wrong where it could not.

    Args:
        backend: name of a Keras backend.
        code, weights: files of the generated code and of its weights.
        batches: inputs by key.
        outputs: the model's output keys.
    """
    with tempfile.TemporaryDirectory() as folder:
        questions, found = os.path.join(folder, "in.npz"), os.path.join(folder, "out.npz")
        given: dict[str, Any] = {f"{at}/{key}": v for at, batch in enumerate(batches) for key, v in batch.items()}
        np.savez(questions, **given)
        env = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-c", _SCRIPT, code, weights, questions, found]
        done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
            return lines[-1] if lines else f"it exited with {done.returncode}"
        with np.load(found) as file:
            stored = {name: file[name] for name in file.files}
    single = outputs[0] if len(outputs) == 1 else None
    return [{key: stored[f"{at}/{'' if key == single else key}"] for key in outputs} for at in range(len(batches))]
