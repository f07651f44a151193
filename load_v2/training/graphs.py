"""The signatures of a training, each a program of its own over the variables that model and optimizer own together."""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from export_v1.ir import safety
from load_v2 import errors
from load_v2.errors import LoadError
from load_v2.layer import archive, concrete_functions
from load_v2.layer.weights import Weight
from load_v2.program import program, resource_tables
from load_v2.program.program import Program

LOSS, VALIDATION, UPDATE, GRADIENTS, RATE = "loss", "validation_loss", "update", "gradients", "learning_rate"
# In the order in which variables are looked up: those of the loss are the model's, what only the update has is not.
KEYS = (LOSS, VALIDATION, UPDATE, GRADIENTS, RATE)


def read(path: str | os.PathLike) -> dict[str, Program]:
    """Returns the programs of a training by key, of an export or of what `write` wrote.

    Raises:
        LoadError: the folder is damaged, or its training is not whole.
    """
    path = os.fspath(path)
    first = archive.shared(path, LOSS)
    found = {key: archive.shared(path, key) for key in KEYS if key in first.source.signatures}
    if UPDATE not in found:
        raise LoadError(f"{path!r} has a loss and no update of it.\n  Export again with --resume.")
    return found


class Graphs:
    """Programs that are called by key, over variables that are given.

    Args:
        programs: by key.
        variables: graph name of a variable -> the Keras variable that holds it; all that the programs need.
        policy: which ops may be in them.

    Raises:
        LoadError: a program holds an op that the policy does not let in.
    """

    def __init__(self, programs: Mapping[str, Program], variables: Mapping[str, Weight], policy: safety.Policy):
        self._programs = dict(programs)
        self._functions = {key: _functions(taken, variables, policy) for key, taken in programs.items()}

    def __contains__(self, key: str) -> bool:
        return key in self._programs

    def inputs(self, key: str) -> Mapping:
        """Returns the specs of a program's inputs by key, in call order."""
        return dict(zip(self._order(key), self._programs[key].serve.inputs, strict=True))

    def _order(self, key: str) -> list[str]:
        taken = self._programs[key]
        return list(taken.source.signatures[taken.key].inputs)

    def __call__(self, key: str, tensors: Sequence = ()) -> dict[str, tf.Tensor]:
        """Returns the outputs of a program by key, for tensors in the order of its inputs."""
        part = self._programs[key].serve
        finer = None if tf.executing_eagerly() else concrete_functions.finer_shapes(part, tensors)
        functions, _ = self._functions[key]
        return dict(zip(part.outputs, functions(part, tensors, finer), strict=True))

    def items(self) -> Iterator[tuple[str, Program]]:
        """Yields key and program of each."""
        yield from self._programs.items()


def _functions(taken: Program, variables: Mapping[str, Weight], policy: safety.Policy):
    policy.check(taken.graph_def, taken.assets)
    held = {f"{handle}:0": variables[v.name] for v in taken.variables for handle in v.handles}
    assets = {name: tf.saved_model.Asset(file) for name, file in taken.assets.items()}
    with errors.blamed(f"The tables of {taken.source.path!r} cannot be made"):
        run = functools.partial(program.run_now, policy=policy)
        tables = resource_tables.create_all(taken.graph_def, run, assets)
    by_handle = {f"{name}:0": table for name, table in tables.items()}
    return concrete_functions.Functions(taken, held, by_handle, assets, policy), {**by_handle, **assets}
