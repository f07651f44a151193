"""The signatures of a training, each a program of its own over the variables that model and optimizer own together."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence

import tensorflow as tf

from export_v1.format import record
from export_v1.ir import safety
from load_v2.errors import LoadError
from load_v2.layer import archive, concrete_functions, freezing
from load_v2.layer.weights import Weight
from load_v2.program.program import Part, Program


def read(path: str | os.PathLike) -> dict[str, Program]:
    """Returns the programs of a training by key, of an export or of what `write` wrote.

    Raises:
        LoadError: the folder is damaged, or its training is not whole.
    """
    path = os.fspath(path)
    first = archive.shared(path, record.LOSS)
    programs = {key: archive.shared(path, key) for key in record.TRAINING_SIGNATURES if key in first.source.signatures}
    left = first.source.record.resume.left_behind if first.source.record and first.source.record.resume else ()
    if record.UPDATE not in programs and record.OPTIMIZER not in left:
        raise LoadError(f"{path!r} has a loss and no update of it.\n  Export again with --resume.")
    return programs


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
        self._parts = freezing.Parts(
            "The resumed training",
            "Leave them out of the pattern, or fine-tune SignatureLayer(DIR) with an optimizer of Keras's.",
        )
        for program in programs.values():
            policy.check(program.graph_def, program.assets)
        self._functions = {
            key: concrete_functions.over(program, variables, policy) for key, program in programs.items()
        }

    def __contains__(self, key: str) -> bool:
        return key in self._programs

    def inputs(self, key: str) -> Mapping:
        """Returns the specs of a program's inputs by key, in call order."""
        return dict(zip(self._order(key), self._programs[key].serve.inputs, strict=True))

    def _order(self, key: str) -> list[str]:
        program = self._programs[key]
        return list(program.source.signatures[program.key].inputs)

    def __call__(self, key: str, tensors: Sequence = (), held: Collection[str] = ()) -> dict[str, tf.Tensor]:
        """Returns the outputs of a program by key, for tensors in the order of its inputs; changes none of `held`.

        Raises:
            LoadError: a variable of `held` is changed inside a condition.
        """
        part = self.part(key, held)
        finer = None if tf.executing_eagerly() else concrete_functions.finer_shapes(part, tensors)
        return dict(zip(part.outputs, self._functions[key](part, tensors, finer), strict=True))

    def part(self, key: str, held: Collection[str] = ()) -> Part:
        """Returns the part of a program that leaves the variables of these names alone; see `__call__`."""
        program = self._programs[key]
        return self._parts.get(program, program.serve, held)

    def items(self) -> Iterator[tuple[str, Program]]:
        """Yields key and program of each."""
        yield from self._programs.items()
