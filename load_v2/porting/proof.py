"""That every weight holds what the checkpoint says, and that the model answers as expected."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from load_v2 import errors
from load_v2.errors import LoadError, quoted
from load_v2.porting import values
from load_v2.porting.types import Assignment

# Two implementations of one float32 model differ by a few units in the last place per layer; a wrong weight by far
# more.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Difference:
    """The worst element of one tensor; `where` is its index, `largest` the absolute difference there."""

    name: str
    where: tuple[int, ...]
    got: object
    expected: object
    largest: float
    equal: bool

    def __str__(self):
        place = f"[{', '.join(map(str, self.where))}]" if self.where else ""
        return f"{self.name!r}{place} is {self.got}, expected {self.expected}; they differ by {self.largest:.3g}"


def unequal_weights(
    assignments: Iterable[Assignment], read: Callable[[str], np.ndarray], variables: Mapping[str, keras.Variable]
) -> list[Difference]:
    """Returns the weights that do not hold, bit for bit, what the checkpoint says; each is read back, one at a time."""
    compared = (
        _unequal(assignment, read, variables[assignment.weight])
        for assignment in values.largest_first(assignments, variables)
    )
    return [difference for difference in compared if difference]


def _unequal(assignment: Assignment, read, variable: keras.Variable) -> Difference | None:
    got = values.held(variable)
    expected = values.of(assignment, read, str(got.dtype))
    return None if values.bits(got) == values.bits(expected) else compare(assignment.weight, got, expected, 0.0)


def compare(name: str, got: np.ndarray, expected: np.ndarray, tolerance: float = TOLERANCE) -> Difference:
    """Returns the worst element of two arrays of one shape; NaN equals NaN, and text must be the same."""
    if got.dtype.kind in "OSU" or expected.dtype.kind in "OSU":
        gaps = (got.astype("S") != expected.astype("S")).astype(float)
    else:
        one, other = np.asarray(got, np.float64), np.asarray(expected, np.float64)
        with np.errstate(invalid="ignore"):
            gaps = np.where((one == other) | (np.isnan(one) & np.isnan(other)), 0.0, np.abs(one - other))
        gaps = np.where(np.isnan(gaps), np.inf, gaps)
        if expected.dtype.kind == "f":
            allowed = tolerance * np.maximum(1.0, np.abs(np.nan_to_num(other)))
            excess = gaps - allowed
            where = np.unravel_index(int(np.argmax(excess)), gaps.shape) if gaps.size else ()
            worst = bool((excess <= 0).all())
            return _difference(name, where, got, expected, gaps, worst)
    where = np.unravel_index(int(np.argmax(gaps)), gaps.shape) if gaps.size else ()
    return _difference(name, where, got, expected, gaps, not gaps.any())


def _difference(name, where, got, expected, gaps, equal) -> Difference:
    if not gaps.size:
        return Difference(name, (), None, None, 0.0, equal)
    return Difference(name, tuple(map(int, where)), got[where], expected[where], float(gaps[where]), equal)


@dataclass(frozen=True)
class Expected:
    """Inputs and the answers to them, by key."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    source: str

    @classmethod
    def read(cls, path: str | os.PathLike) -> "Expected":
        """Returns what an .npz file holds: `in/KEY` and `out/KEY`, as in an exported model's sample.npz.

        Raises:
            LoadError: the file is not there, is no .npz file, or lacks one of the two.
        """
        name = os.fspath(path)
        try:
            with np.load(name, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files if key.startswith(("in/", "out/"))}
        except OSError as error:
            raise LoadError(f"Expected answers {name!r} cannot be read: {error.strerror or error}.") from error
        except (ValueError, AttributeError) as error:
            raise LoadError(f"Expected answers {name!r} are not an .npz file of plain arrays: {error}") from error
        inputs = {key[3:]: value for key, value in arrays.items() if key.startswith("in/")}
        outputs = {key[4:]: value for key, value in arrays.items() if key.startswith("out/")}
        if not inputs or not outputs:
            raise LoadError(
                f"Expected answers {name!r} need arrays named in/KEY and out/KEY.\n"
                f"  Known: {quoted(arrays) or 'none'}.\n"
                "  Write them with numpy.savez(path, **{'in/x': x, 'out/y': y})."
            )
        return cls(inputs, outputs, name)

    def ask(self, model: keras.Model) -> dict[str, np.ndarray]:
        """Returns the model's answers to the inputs, in inference mode, by output name.

        Raises:
            LoadError: the inputs' names are not the model's, or the model fails on them.
        """
        try:
            answer = _call(model, self.inputs)
        except LoadError:
            raise
        except Exception as error:  # noqa: BLE001 - a model's code can raise anything, and it is the user's to mend
            raise LoadError(f"Model {model.name!r} fails on the inputs of {self.source!r}: {error}") from error
        return {key: np.asarray(keras.ops.convert_to_numpy(value)) for key, value in _by_name(model, answer).items()}

    def compare(self, model: keras.Model) -> list[Difference]:
        """Returns, for each output of the model, its worst difference from the answer that it stands for.

        An output goes with the answer of the same name; one without namesake, with the nearest of the answers left over
        that have its shape. Answers that no output stands for are not compared: a model may give fewer.

        Raises:
            LoadError: no answer has the shape of an output.
        """
        got, rest = self.ask(model), dict(self.outputs)
        named = {key: rest.pop(key) for key in list(got) if key in rest}
        found = []
        for key, value in got.items():
            candidates = {key: named[key]} if key in named else rest
            fits = [compare(name, value, array) for name, array in candidates.items() if array.shape == value.shape]
            if not fits:
                shapes = ", ".join(f"{name!r} {list(array.shape)}" for name, array in candidates.items())
                raise LoadError(
                    f"Output {key!r} of model {model.name!r} has shape {list(value.shape)}, "
                    f"which no answer in {self.source!r} has.\n  Known: {shapes or 'none left'}."
                )
            best = min(fits, key=lambda difference: (not difference.equal, difference.largest))
            rest.pop(best.name, None)
            found.append(best)
        return found


def _call(model, inputs: dict[str, np.ndarray]):
    if len(inputs) == 1:
        return model(next(iter(inputs.values())), training=False)
    names = [tensor.name for tensor in keras.tree.flatten(getattr(model, "inputs", None) or [])]
    if not names:
        # A model written as code: by keyword where `call` has those parameters, else as one dict.
        code = type(model).call.__code__
        parameters = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return model(**inputs) if set(inputs) <= set(parameters) else model(inputs, training=False)
    for name in names:
        if name not in inputs:
            raise errors.unknown("Model input", name, "the expected answers", inputs, f"Name that array in/{name}.")
    # By position, in the model's own flat order: a dict handed to a list of inputs would be sorted by name.
    flat = [inputs[name] for name in names]
    structure = getattr(model, "_inputs_struct", None)
    return model(keras.tree.pack_sequence_as(structure, flat) if structure is not None else flat, training=False)


def _by_name(model, answer) -> dict[str, object]:
    if isinstance(answer, dict):
        return dict(answer)
    if not isinstance(answer, (list, tuple)):
        answer = [answer]
    names = getattr(model, "output_names", None) or []
    unique = names if len(set(names)) == len(answer) else [f"output {number}" for number in range(len(answer))]
    return dict(zip(unique, answer, strict=True))
