"""One cell of the matrix in a process of its own: `python -m tests.readers.cell READER EXPORT` prints one JSON line."""

import json
import os
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from tests.readers import readers

# Other runtimes have kernels of their own: a share of the value and of the answer's root mean square. One changed
# weight shows in the third or fourth digit.
TOLERANCE = 1e-4
RESULT = "CELL "


def sample(folder: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns the recorded inputs and answers of an export, strings as objects."""
    with np.load(os.path.join(folder, "assets.extra", "sample.npz")) as arrays:
        found = {key: arrays[key] for key in arrays.files}
    found = {key: value.astype(object) if value.dtype.kind == "S" else value for key, value in found.items()}
    sides = (
        {key[len(side) :]: value for key, value in found.items() if key.startswith(side)} for side in ("in/", "out/")
    )
    return tuple(sides)


def difference(want: np.ndarray, got: np.ndarray) -> float:
    """Returns how far an answer is from the recorded one, in shares of its size; infinity where it is another thing."""
    got = np.asarray(got)
    if want.dtype.kind == "O":
        plain = [item if isinstance(item, bytes) else str(item).encode() for item in got.ravel().tolist()]
        return 0.0 if got.shape == want.shape and plain == want.ravel().tolist() else np.inf
    if got.shape != want.shape or got.dtype.kind != want.dtype.kind:
        return np.inf
    if want.dtype.kind != "f":
        return 0.0 if np.array_equal(want, got) else np.inf
    size = np.abs(want) + np.sqrt(np.mean(want.astype("f8") ** 2)) if want.size else want
    return float(np.max(np.abs(want.astype("f8") - got) / size)) if want.size else 0.0


def run(reader: str, folder: str) -> dict[str, object]:
    """Returns `worst`, the largest difference (None where the reader only looks), or `reason`, why the cell is red."""
    inputs, answers = sample(folder)
    try:
        got = readers.READERS[reader](folder, inputs, list(answers))
    except Exception as error:  # whatever a reader raises is its answer
        return {"reason": _short(f"{type(error).__name__}: {error}")}
    if got is None:
        return {"worst": None}
    worst = {key: difference(value, got[key]) if key in got else np.inf for key, value in answers.items()}
    wrong = [key for key, value in worst.items() if not value <= TOLERANCE]
    if wrong:
        return {"reason": _short("; ".join(_compared(key, answers[key], got.get(key)) for key in wrong))}
    return {"worst": max(worst.values(), default=0.0)}


def _compared(key: str, want: np.ndarray, got: object) -> str:
    if got is None:
        return f"no output {key!r}"
    got = np.asarray(got)
    if got.shape != want.shape:
        return f"{key!r} has shape {list(got.shape)}, TensorFlow's {list(want.shape)}"
    if got.dtype.kind != want.dtype.kind:
        return f"{key!r} is {got.dtype}, TensorFlow's {want.dtype}"
    if want.dtype.kind != "f":
        return f"{key!r} has other values"
    return f"{key!r} is off by {difference(want, got):.1g} of its size"


def _short(text: str) -> str:
    text = re.sub(r"\s+", " ", re.sub(r"\S*/tmp\S*", "…", text)).strip()
    return text.removeprefix("Red: ")[:400]


if __name__ == "__main__":
    print(RESULT + json.dumps(run(*sys.argv[1:])))
