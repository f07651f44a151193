"""What a layer is without its graph: enough to create its weights and to tell the shapes of its outputs."""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from load_v2.errors import LoadError
from load_v2.program import artefact
from load_v2.program import program as programs
from load_v2.program.signature import Spec


@dataclasses.dataclass(frozen=True)
class Description:
    """A layer as its config tells it. Keras reads an archive in two steps: configs first, then graphs and weights.

    Attributes:
        signature: key of the signature.
        inputs: in call order.
        outputs: by key; a layer with one output returns it bare.
        variables: in the order of the layer's weights.
        written: names of variables that the graph itself writes.
        supports_jit: whether XLA may be tried.
        shapes: pairs of (shapes of the inputs, shapes of the outputs) for calls that said more than the graph does.
        is_ordered: whether the call order is known; where it is not, several inputs are called by key.
    """

    signature: str
    inputs: Mapping[str, Spec]
    outputs: Mapping[str, Spec]
    variables: tuple[artefact.Variable, ...]
    written: frozenset[str]
    supports_jit: bool
    shapes: tuple = ()
    is_ordered: bool = True

    def to_config(self) -> dict:
        """Returns plain JSON values."""
        # Earlier versions do not know the key, and need it only where it is false.
        order = {} if self.is_ordered else {"is_ordered": False}
        return {
            **order,
            "signature": self.signature,
            "inputs": [[key, spec.dtype, _listed(spec.shape)] for key, spec in self.inputs.items()],
            "outputs": [[key, spec.dtype, _listed(spec.shape)] for key, spec in self.outputs.items()],
            "variables": [
                [v.name, v.dtype, list(v.shape), v.trainable, v.name in self.written] for v in self.variables
            ],
            "supports_jit": self.supports_jit,
            "shapes": [[[_listed(shape) for shape in side] for side in pair] for pair in self.shapes],
        }

    def same_as(self, other: "Description") -> list[str]:
        """Returns in what the two differ, in words; empty when weights and calls of one fit the other."""
        differences = []
        for side in ("inputs", "outputs"):
            mine, its = ({k: (s.dtype, s.shape) for k, s in getattr(d, side).items()} for d in (self, other))
            if list(mine.items()) != list(its.items()):
                differences.append(f"{side}: {mine} and {its}")
        ours, theirs = ([(v.name, v.dtype, v.shape) for v in d.variables] for d in (self, other))
        differences += [f"variable {a} and {b}" for a, b in zip(ours, theirs, strict=False) if a != b]
        if len(ours) != len(theirs):
            differences.append(f"{len(ours)} variables and {len(theirs)}")
        return differences


def of_program(program: programs.Program, supports_jit: bool) -> Description:
    """Returns the description of a program."""
    return Description(
        signature=program.key,
        inputs=program.source.signatures[program.key].inputs,
        outputs=program.serve.outputs,
        variables=program.variables,
        written=program.written,
        supports_jit=supports_jit,
        is_ordered=program.source.is_ordered,
    )


def from_config(config: Mapping) -> Description:
    """Returns the description that `to_config` wrote.

    Raises:
        LoadError: the values are not what `to_config` writes; the archive was changed by something else.
    """
    try:
        return Description(
            signature=str(config["signature"]),
            inputs={key: _spec(dtype, shape) for key, dtype, shape in config["inputs"]},
            outputs={key: _spec(dtype, shape) for key, dtype, shape in config["outputs"]},
            variables=tuple(_variable(*item[:4]) for item in config["variables"]),
            written=frozenset(item[0] for item in config["variables"] if item[4]),
            supports_jit=bool(config["supports_jit"]),
            shapes=tuple(tuple(tuple(_shape(s) for s in side) for side in pair) for pair in config["shapes"]),
            is_ordered=bool(config.get("is_ordered", True)),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise LoadError(
            f"The config of a SignatureLayer is damaged: {type(error).__name__}: {error}.\n  Save the model again."
        ) from error


def _listed(shape):
    return None if shape is None else list(shape)


def _shape(value) -> tuple | None:
    if value is None:
        return None
    return tuple(tf.TensorShape(list(value)).as_list())


def _spec(dtype: str, shape) -> Spec:
    return Spec("", tf.as_dtype(dtype).name, _shape(shape))


def _variable(name: str, dtype: str, shape, trainable: bool) -> artefact.Variable:
    return artefact.Variable(
        str(name), (str(name),), tf.as_dtype(dtype).name, tuple(map(int, shape)), bool(trainable), name
    )
