"""Where a checkpoint has the value of each variable, and those values, one at a time."""

import contextlib
import dataclasses
import math
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.format import checkpoints, plain_path
from export_v1.ir.graph import GraphDef, NodeDef, attr
from export_v1.model import Graph, Restored

# tf.train.ExponentialMovingAverage names a shadow variable "VARIABLE/NAME", and NAME is this unless it was given.
EMA = "ExponentialMovingAverage"


@dataclasses.dataclass(frozen=True)
class Variable:
    """A variable of the graph that is exported.

    Attributes:
        name: variable name, "dense/kernel".
        dtype: what the graph computes with.
        shape: static shape; None where the graph leaves it open.
        trainable: whether TRAINABLE_VARIABLES lists it.
        location: where the checkpoint has it; None where its value is its initializer's.
    """

    name: str
    dtype: tf.DType
    shape: tuple[int, ...] | None
    trainable: bool
    location: Restored | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape of a variable whose value was found: where the graph leaves it open, the value settles it."""
        assert self.shape is not None, f"the value of {self.name!r} has not been found"
        return self.shape


def of_node(node: NodeDef, trainable: bool = False) -> Variable:
    """Returns the variable that a VariableV2 or VarHandleOp node is; where its value is, nothing tells yet."""
    shape = attr(node, "shape").shape
    known = not shape.unknown_rank and all(dim.size >= 0 for dim in shape.dim)
    return Variable(
        name=node.name,
        dtype=tf.as_dtype(attr(node, "dtype").type).base_dtype,
        shape=tuple(dim.size for dim in shape.dim) if known else None,
        trainable=trainable,
    )


class Checkpoint:
    """A checkpoint of either format, read tensor by tensor.

    Raises:
        ExportError: it is no checkpoint, or its index is damaged.
    """

    def __init__(self, prefix: str):
        self.prefix = prefix
        held = checkpoints.opened(prefix)
        self.shapes: Mapping[str, list[int]] = held.shapes
        self.dtypes: Mapping[str, tf.DType] = held.dtypes
        self.shadows = [key for key in self.shapes if key.endswith(f"/{EMA}")]
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        self._ops: dict[tuple[tf.DType, ...], tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]] = {}
        self._asking = threading.Lock()

    def value(self, location: Restored) -> np.ndarray:
        """Returns one tensor, or a part of one; TensorFlow verifies its checksum while reading.

        Raises:
            ExportError: the data file is cut short, or its bytes are not those that were written.
        """
        try:
            [value] = self._restored([location])
        except checkpoints.UNREADABLE as error:
            raise unreadable([location.key], self.prefix, errors.reason(error)) from error
        return value

    def values(self, locations: Sequence[Restored]) -> list[np.ndarray]:
        """Returns several tensors, as `value` does each; in less time, and in the memory of all.

        Raises:
            ExportError: as `value`, for the first that cannot be read.
        """
        if len(locations) > 1:
            # Which of them it was, the error would not say.
            with contextlib.suppress(*checkpoints.UNREADABLE):
                return self._restored(locations)
        return [self.value(location) for location in locations]

    def _restored(self, locations: Sequence[Restored]) -> list[np.ndarray]:
        # The reader would read a part by way of the whole, and knows fewer types than the op.
        dtypes = tuple(self.dtypes[location.key] for location in locations)
        with self._asking:
            if dtypes not in self._ops:
                self._ops[dtypes] = self._restore_op(dtypes)
        names, slices, values = self._ops[dtypes]
        specs = [slice_spec(self.shapes[location.key], location.part) for location in locations]
        restored = self._session.run(values, {names: [location.key for location in locations], slices: specs})
        # NumPy would drop the zeros that a lone string ends in.
        return [np.array(value, object) if isinstance(value, bytes) else np.asarray(value) for value in restored]

    def _restore_op(self, dtypes: Sequence[tf.DType]) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        with self._session.graph.as_default(), tf.device("CPU:0"):
            names, slices = (tf.compat.v1.placeholder(tf.string, [len(dtypes)]) for _ in range(2))
            values = tf.raw_ops.RestoreV2(
                prefix=plain_path.of(self.prefix), tensor_names=names, shape_and_slices=slices, dtypes=list(dtypes)
            )
        return names, slices, values


def reader(prefix: str | None) -> Callable[[str], np.ndarray | None]:
    """Returns a function from a key of a checkpoint to its value, or to None where the checkpoint has no such key.

    Args:
        prefix: of the checkpoint, which is opened when it is first asked; None: there is none.
    """
    opened: list[Checkpoint] = []

    def stored(key: str) -> np.ndarray | None:
        if prefix is None:
            return None
        if not opened:
            opened.append(Checkpoint(prefix))
        return opened[0].value(Restored(key)) if key in opened[0].shapes else None

    return stored


def slice_spec(shape: Iterable[int], part: Iterable[tuple[int, int]]) -> str:
    """Returns a part of a tensor as RestoreV2 and SaveV2 have it; "" for all of it.

    >>> slice_spec([20, 4], [(5, 10), (0, 4)])
    '20 4 5,10:0,4'
    """
    part = list(part)
    return f"{' '.join(map(str, shape))} {':'.join(f'{start},{size}' for start, size in part)}" if part else ""


def unreadable(keys: Iterable[str], prefix: str, why: str) -> errors.ExportError:
    """Returns the error for variables whose bytes in a checkpoint are missing or not those that were written."""
    keys = sorted(keys)
    what = f"Variable {keys[0]!r}" if len(keys) == 1 else f"{len(keys)} variables ({errors.quoted(keys)})"
    return errors.ExportError(
        f"{what} cannot be read from checkpoint {prefix!r}: {why}\n"
        "  The data file is truncated or damaged; copy the checkpoint again."
    )


def is_finite(value: np.ndarray) -> bool:
    """Returns whether an array holds no NaN and no infinity; True for what is no float."""
    if value.dtype.kind not in "fcV" or value.dtype.kind == "V" and "float" not in value.dtype.name:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        # A sum is several times faster than looking at each element, and only ever too careful.
        return bool(np.isfinite(value.sum(dtype=None))) or bool(np.isfinite(value).all())


def parse_renames(renames: Iterable[str]) -> list[tuple[re.Pattern, str]]:
    """Returns the compiled "REGEX=REPLACEMENT" pairs.

    Raises:
        ExportError: one is not of that form, or its expression does not compile.
    """
    pairs = []
    for rename in renames:
        pattern, equals, replacement = rename.rpartition("=")
        try:
            if not equals:
                raise re.error("no '=' in it")
            pairs.append((re.compile(pattern), replacement))
        except re.error as error:
            raise errors.ExportError(
                f"Rename {rename!r} is not REGEX=REPLACEMENT: {error}.\n  Write it as --rename='^model/=net/'."
            ) from error
    return pairs


def locate(
    variables: Iterable[Variable],
    checkpoint: Checkpoint,
    graph: Graph,
    *,
    renames: Iterable[tuple[re.Pattern, str]] = (),
    ema: bool = False,
    init_missing: bool = False,
) -> tuple[list[Variable], list[tuple[str, str]]]:
    """Returns the variables with their locations, and the choices made: (what, why).

    The key of a variable is, in this order: what `renames` make of its name; what the Saver of this graph restores it
    from; its save slice; its own name. With `ema` the shadow value is used wherever the checkpoint has one.

    Raises:
        ExportError: variables that the checkpoint lacks, or has in another shape; all of them, both sides.
    """
    renames = list(renames)
    located, choices, missing, misshapen = [], [], [], []
    for variable in variables:
        place = location(variable.name, checkpoint, graph, renames)
        if place is not None and ema:
            place, choice = _shadow(place, checkpoint)
            choices += [choice] if choice else []
        if place is None and (variable.name in graph.local or init_missing):
            why = (
                "it is a local variable" if variable.name in graph.local else "the checkpoint lacks it (--init_missing)"
            )
            choices.append((f"variable {variable.name!r} takes its initializer's value", why))
        elif place is None:
            missing.append(variable.name)
        elif not _fits(variable, _shape(place, checkpoint)):
            misshapen.append((variable, place))
        located.append(dataclasses.replace(variable, location=place))
    if missing or misshapen:
        raise _restore_error(len(located), missing, misshapen, checkpoint)
    if ema and not any(EMA in what for what, _ in choices):
        raise errors.ExportError(
            f"--ema was given and checkpoint {checkpoint.prefix!r} has no shadow value for any variable in use.\n"
            f"  Shadow values are named VARIABLE/{EMA}.\n  Remove --ema."
        )
    return located, choices + ([] if ema else _about_shadows(located, checkpoint))


def _about_shadows(variables: list[Variable], checkpoint: Checkpoint) -> list[tuple[str, str]]:
    """Says so where the checkpoint has averages of the variables that are restored: people trained these to use them."""
    shadows = [
        variable.name
        for variable in variables
        if variable.location is not None and _shadow(variable.location, checkpoint)[1]
    ]
    if not shadows:
        return []
    count = f"{len(shadows)} of {len(variables)} variables"
    return [(f"{count} take their last value, not its moving average", f"--ema restores the shadow values ({EMA})")]


def location(name: str, checkpoint: Checkpoint, graph: Graph, renames) -> Restored | None:
    """Returns where a checkpoint has a variable, or None; see `locate`."""
    recorded = graph.restored.get(name)
    key = recorded.key if recorded else name
    for pattern, replacement in renames:
        for candidate in dict.fromkeys((name, key)):
            renamed = pattern.sub(replacement, candidate)
            if renamed != candidate:
                return Restored(renamed, recorded.part if recorded else ()) if renamed in checkpoint.shapes else None
    if recorded and recorded.key in checkpoint.shapes:
        return recorded
    return Restored(name) if name in checkpoint.shapes else None


def located(variable: Variable, checkpoint: Checkpoint, graph: Graph, renames) -> Restored | None:
    """Returns where a checkpoint has one variable in a shape that fits; None where it has not. Keys are as in `locate`."""
    place = location(variable.name, checkpoint, graph, renames)
    return place if place is not None and _fits(variable, _shape(place, checkpoint)) else None


def _shadow(location: Restored, checkpoint: Checkpoint) -> tuple[Restored, tuple[str, str] | None]:
    key = f"{location.key}/{EMA}"
    # Under a variable scope of its own the shadow's name has that scope in front.
    nested = [longer for longer in checkpoint.shadows if longer.endswith("/" + key)]
    for candidate in [key, *(nested if len(nested) == 1 else [])]:
        if candidate in checkpoint.shapes:
            return Restored(candidate, location.part), (f"{location.key!r} is restored from {candidate!r}", "--ema")
    return location, None


def _shape(location: Restored, checkpoint: Checkpoint) -> tuple[int, ...]:
    return tuple(size for _, size in location.part) or tuple(checkpoint.shapes[location.key])


def _fits(variable: Variable, shape: tuple[int, ...]) -> bool:
    return variable.shape is None or tuple(variable.shape) == shape


def _restore_error(total: int, missing: list[str], misshapen: list, checkpoint: Checkpoint) -> errors.ExportError:
    lines = [f"{len(missing) + len(misshapen)} of {total} variables cannot be restored from {checkpoint.prefix!r}:"]
    free = list(checkpoint.shapes)
    remedies = []
    for name in missing[: errors.SHOWN]:
        near = errors.closest(name, free)
        lines.append(
            f"  missing in the checkpoint: {name!r}" + (f"; closest: {', '.join(map(repr, near))}" if near else "")
        )
        if near:
            remedies.append(f"--rename='^{re.escape(name)}$={near[0]}'")
    if len(missing) > errors.SHOWN:
        lines.append(f"  … and {len(missing) - errors.SHOWN} more")
    for variable, location in misshapen[: errors.SHOWN]:
        lines.append(
            f"  shape of {variable.name!r}: {list(variable.shape)} in the graph, "
            f"{list(_shape(location, checkpoint))} in the checkpoint"
        )
    if len(misshapen) > errors.SHOWN:
        lines.append(f"  … and {len(misshapen) - errors.SHOWN} more")
    lines.append(f"  The checkpoint has {len(free)} keys: {errors.quoted(free)}.")
    if remedies:
        lines.append(f"  Pass {remedies[0]}, or --init_missing to take their initializers.")
    elif missing:
        lines.append("  Pass --rename='REGEX=REPLACEMENT' to map names, or --init_missing to take their initializers.")
    return errors.ExportError("\n".join(lines))


@dataclasses.dataclass(frozen=True)
class Weights:
    """The variables that are exported and where their values are.

    Attributes:
        variables: all of them, in graph order.
        checkpoint: what those with a location are restored from.
        initial: the values of those without.
    """

    variables: tuple[Variable, ...]
    checkpoint: Checkpoint | None = None
    initial: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def value(self, variable: Variable) -> np.ndarray:
        """Returns the value of one variable in the variable's own dtype.

        Raises:
            ExportError: it cannot be read.
        """
        return self._values([variable])[variable.name]

    def in_parts(self, variables: Iterable[Variable], together: int) -> Iterator[dict[str, np.ndarray]]:
        """Yields the values of several variables by name, as `value` returns each.

        Args:
            variables: which.
            together: how many bytes a part has at most; but for one with a single larger value.

        Raises:
            ExportError: one cannot be read.
        """
        part, size = list[Variable](), 0
        for variable in variables:
            more = self._bytes(variable)
            if part and size + more > together:
                yield self._values(part)
                part, size = [], 0
            part.append(variable)
            size += more
        if part:
            yield self._values(part)

    def _values(self, variables: Sequence[Variable]) -> dict[str, np.ndarray]:
        stored = [variable.location for variable in variables if variable.location is not None]
        read = iter(self.checkpoint.values(stored) if self.checkpoint is not None else ())
        values = {}
        for variable in variables:
            value = self.initial[variable.name] if variable.location is None else next(read)
            is_text = variable.dtype == tf.string
            values[variable.name] = value if is_text else value.astype(variable.dtype.as_numpy_dtype, copy=False)
        return values

    def _bytes(self, variable: Variable) -> int:
        if variable.location is None or self.checkpoint is None:
            return self.initial[variable.name].nbytes
        return (
            math.prod(_shape(variable.location, self.checkpoint)) * self.checkpoint.dtypes[variable.location.key].size
        )

    def covering(self, graph_def: GraphDef) -> "Weights":
        """Returns the weights of every variable in a graph; these know of no others than they hold."""
        return self

    def size(self, names: Collection[str] | None = None) -> int:
        """Returns how many bytes the values of some variables, or of all, take together; strings do not count."""
        return sum(
            math.prod(variable.sizes) * variable.dtype.size
            for variable in self.variables
            if variable.dtype != tf.string and (names is None or variable.name in names)
        )
