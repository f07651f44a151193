"""That every weight holds what the checkpoint says, and that the model answers as expected."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping

import keras
import numpy as np

from export_v1.format import comparison
from export_v1.format.comparison import Comparison, Verdict
from load_v2 import errors
from load_v2.errors import LoadError, quoted
from load_v2.porting import values
from load_v2.porting.types import Assignment

_SIDES = ("expected", "from the model")


def unequal_weights(
    assignments: Iterable[Assignment], read: Callable[[str], np.ndarray], variables: Mapping[str, keras.Variable]
) -> list[Comparison]:
    """Returns the weights that do not hold, bit for bit, what the checkpoint says; each is read back, one at a time."""
    compared = (
        _unequal(assignment, read, variables[assignment.weight])
        for assignment in values.largest_first(assignments, variables)
    )
    return [difference for difference in compared if difference]


def _unequal(assignment: Assignment, read, variable: keras.Variable) -> Comparison | None:
    held = values.held(variable)
    expected = values.of(assignment, read, str(held.dtype))
    if values.bits(held) == values.bits(expected):
        return None
    compared = comparison.compare(assignment.weight, expected, held, sides=("in the checkpoint", "in the model"))
    return dataclasses.replace(compared, verdict=Verdict.DIFFERENT)


@dataclasses.dataclass(frozen=True)
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
            with open(name, "rb") as stream, np.load(stream, allow_pickle=False) as file:
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

    def compare(self, model: keras.Model) -> list[Comparison]:
        """Returns, for each output of the model, its worst difference from the answer that it stands for.

        An output goes with the answer of the same name; one without namesake, with the nearest of the answers left over
        that have its shape. Answers that no output stands for are not compared: a model may give fewer.

        Raises:
            LoadError: no answer has the shape of an output.
        """
        answers, rest = self.ask(model), dict(self.outputs)
        named = {key: rest.pop(key) for key in list(answers) if key in rest}
        differences = []
        for key, value in answers.items():
            candidates = {key: named[key]} if key in named else rest
            fits = [
                comparison.compare(name, array, _of_type(value, array.dtype), sides=_SIDES)
                for name, array in candidates.items()
                if array.shape == value.shape
            ]
            if not fits:
                shapes = ", ".join(f"{name!r} {list(array.shape)}" for name, array in candidates.items())
                raise LoadError(
                    f"Output {key!r} of model {model.name!r} has shape {list(value.shape)}, "
                    f"which no answer in {self.source!r} has.\n  Known: {shapes or 'none left'}."
                )
            best = min(fits, key=lambda compared: (not compared.equal, np.nan_to_num(compared.largest, nan=np.inf)))
            rest.pop(best.key, None)
            differences.append(best)
        return differences


def _of_type(value: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Returns an answer in the type of the one expected, where both are floats: a file may hold more digits."""
    return value.astype(dtype) if value.dtype.kind == dtype.kind == "f" else value


def _call(model, inputs: dict[str, np.ndarray]):
    structure = getattr(model, "_inputs_struct", None)
    if len(inputs) == 1:
        value = next(iter(inputs.values()))
        # A model may take its one input by name; what else it is called in the file does not matter.
        only = isinstance(structure, dict) and len(structure) == 1
        return model(dict.fromkeys(structure or {}, value) if only else value, training=False)
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
    return model(keras.tree.pack_sequence_as(structure, flat) if structure is not None else flat, training=False)


def _by_name(model, answer) -> dict[str, object]:
    if isinstance(answer, dict):
        return dict(answer)
    if not isinstance(answer, (list, tuple)):
        answer = [answer]
    names = getattr(model, "output_names", None) or []
    unique = names if len(set(names)) == len(answer) else [f"output {number}" for number in range(len(answer))]
    return dict(zip(unique, answer, strict=True))
