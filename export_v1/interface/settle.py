"""Settles every tensor that the outputs need from outside: fed, frozen, or named in one error."""

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from export_v1 import errors
from export_v1.analysis import constants
from export_v1.analysis.liveness import Liveness, Ordered, path
from export_v1.interface import backward, given
from export_v1.interface.mode_flags import Flag, Flags
from export_v1.interface.types import Choice
from export_v1.ir import graph, ops
from export_v1.ir.graph import Index, NodeDef, Tensor
from export_v1.model import Graph

# Ops that meet values with weights.
_WEIGHTED = frozenset({"MatMul", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "BatchMatMul", "BatchMatMulV2"})
# What a flag may be read from.
_ADJUSTABLE = ops.PLACEHOLDERS | ops.VARIABLE_READS
# Nodes shown of a path, at each end.
_PATH_ENDS = 3


def of(model: Graph) -> "Settling":
    """Returns what is asked about a graph's flags and placeholders."""
    return model.index.once(_settling)


def _settling(index: Index) -> "Settling":
    return Settling(index, backward.nodes(index))


class Settling:
    """One graph and the flags in it. `backward` are the nodes of the gradients."""

    def __init__(self, index: Index, backward: set[str]):
        self.index, self.backward = index, backward
        self.ordered = Ordered.of(index)
        self.flags = Flags(self.ordered, backward)
        self._flags: dict[str, Flag | None] = {}
        self._entries: dict[str, bool] = {}
        self._lives: dict[object, Liveness] = {}

    def live(self, values: Mapping[str, object], cuts: Iterable[str]) -> Liveness:
        """Returns what runs when `values` are frozen and `cuts` are fed; both by tensor name."""
        cuts = frozenset(cuts)
        key = cuts, tuple(sorted((name, np.asarray(value).tobytes()) for name, value in values.items()))
        if key not in self._lives:
            known = {graph.parse(name): value for name, value in values.items()}
            self._lives[key] = Liveness(self.ordered, known, [graph.parse(name) for name in cuts])
        return self._lives[key]

    def entries(self, values: Mapping[str, object], outputs: Iterable[str]) -> list[str]:
        """Returns the placeholders with a default that `outputs` need and that data is meant to replace."""
        names = self.live(values, ()).needed(map(graph.parse, outputs), ops.SOURCES)
        return [f"{name}:0" for name in names if self.takes_data(f"{name}:0")]

    def unfed(self, values: Mapping[str, object], cuts: Iterable[str], outputs: Iterable[str]) -> dict[str, list[str]]:
        """Returns each tensor from outside that `outputs` need and do not get -> the nodes on the way to it."""
        running = self.live(values, cuts)
        needed = running.needed(map(graph.parse, outputs), ops.SOURCES)
        wanted: dict[str, set[Tensor]] = {
            name: set() for name in needed if self.index[name].op in ops.SOURCES and self.index[name].op not in ops.FED
        }
        if wanted:
            for tensor in [*map(graph.parse, outputs), *self._read(running, needed, wanted)]:
                if tensor.node in wanted:
                    wanted[tensor.node].add(tensor)
        ways = {}
        for name in needed:
            if self.index[name].op in ops.FED:
                ways[f"{name}:0"] = path(needed, name)
            for tensor in sorted(wanted.get(name, ()), key=lambda entry: entry.index):
                ways[tensor.name] = path(needed, name)
        return ways

    def _read(self, running: Liveness, readers: Iterable[str], sources: Mapping[str, object]) -> Iterator[Tensor]:
        """Yields what some nodes read, and what of the sources they wait for."""
        for reader in readers:
            data, controls, guard = running.reads(self.index[reader])
            yield from data
            yield from (Tensor(name) for name in sources.keys() & controls)
            if guard is not None:
                yield guard

    def inference(
        self,
        values: Mapping[str, object],
        cuts: Collection[str],
        outputs: Collection[str],
        train: Mapping[str, object] = MappingProxyType({}),
    ) -> tuple[dict[str, object], list[Choice]]:
        """Returns the values to freeze during inference, the given ones first, and the choices among them.

        One flag may hide another (a keep_prob inside a condition), so each look is at what the last one left.

        Args:
            values: tensor name -> value, as given.
            cuts: names of the tensors that are fed.
            outputs: names of the tensors wanted.
            train: values given for training: they tell what a flag is not during inference.
        """
        frozen = dict(values)
        choices: list[Choice] = []

        def decide(name: str) -> object:
            value, why = self._at_inference(name, dict(train))
            if value is not None:
                choices.append(Choice(f"{name} is frozen to {text(value)}", why))
            elif why:
                choices.append(Choice(f"{name} keeps its default", why))
            return value

        self._freeze_each(frozen, cuts, outputs, decide)
        for name, value in self._always_dropping(frozen, cuts, outputs).items():
            frozen[name] = value
            choices.append(
                Choice(f"{name} is frozen to {text(value)}", "the graph was built for training: it always drops")
            )
        return frozen, choices

    def _freeze_each(
        self,
        frozen: dict[str, object],
        cuts: Collection[str],
        outputs: Collection[str],
        decide: Callable[[str], object],
    ) -> None:
        """Freezes what `decide` has a value for; each look is at what the last one left."""
        left_alone: set[str] = set()
        while True:
            for name in self._adjustable(frozen, cuts, outputs, left_alone):
                value = decide(name)
                if value is not None:
                    frozen[name] = value
                    break
                # Whoever is next was looked for with this one as it is.
                left_alone.add(name)
            else:
                return

    def _always_dropping(self, frozen, cuts, outputs) -> dict[str, float]:
        """Returns the constants to change for no dropout, in a graph that was built for training and nothing else.

        Where a flag tells training from inference, or nothing was ever trained, a dropout outside the flag is meant.
        """
        if not self.backward or any(self._tells_modes(name) for name in frozen):
            return {}
        running = self.live(frozen, cuts)
        needed = running.needed(map(graph.parse, outputs), ops.SOURCES)
        changes = {}
        for dropout in self.flags.dropouts:
            rate = constants.scalar(running.known.get(dropout.rate))
            if dropout.node in needed and rate is not None and rate != dropout.off:
                constant = self.flags.constant_rate(dropout)
                if constant is not None:
                    changes[constant[0].name] = constant[1]
        return changes

    def _tells_modes(self, name: str) -> bool:
        """Returns whether a frozen tensor is a flag by which training differed from inference.

        Where a graph has nothing to feed, training ran with the default: that of Keras's learning phase, in an Estimator,
        is inference.
        """
        flag = self.flag(name)
        if flag is None:
            return False
        is_fed = "Placeholder" in self.index.kinds.values()
        return is_fed or self._default(name) != flag.inference

    def _adjustable(self, frozen, cuts, outputs, left_alone: set[str]) -> list[str]:
        """The needed tensors that may be flags: placeholders, and scalar variables that are read."""
        names = []
        needed = self.live(frozen, cuts).needed(map(graph.parse, outputs), ops.SOURCES)
        for name in needed:
            node = self.index[name]
            if node.op not in _ADJUSTABLE:
                continue
            # Where no inputs are given yet, this is going to be one.
            if not cuts and self.takes_data(f"{name}:0"):
                continue
            if node.op in ops.PLACEHOLDERS or (node.op in ops.VARIABLE_READS and self._reads_bool_variable(node)):
                names.append(f"{name}:0")
        names = [name for name in names if name not in left_alone]
        # Modes first: a condition that is settled may leave a rate without use.
        names.sort(key=lambda name: given.tensor_type(self.index, graph.parse(name)) != types_pb2.DT_BOOL)
        return names

    def takes_data(self, name: str) -> bool:
        """Returns whether a tensor is a placeholder with a default that data is meant to replace.

        The default is data itself (of a queue, an iterator, another placeholder), or stands for a batch of any size. Any
        other default is a setting, and is kept.
        """
        if name not in self._entries:
            tensor = graph.parse(name)
            node = self.index[tensor.node]
            self._entries[name] = (
                node.op == "PlaceholderWithDefault"
                and node.attr["dtype"].type != types_pb2.DT_BOOL
                and self._stands_for_data(node)
            )
        return self._entries[name]

    def _stands_for_data(self, node: NodeDef) -> bool:
        above = {self.index[name].op for name in self.index.ancestors([graph.data_inputs(node)[0].node])}
        # What a layer has made is data for retraining what comes after it; the model begins before it.
        if above & _WEIGHTED:
            return False
        return bool(above & ops.SOURCES) or None in (graph.recorded_shape(node, 0) or ())

    def _reads_bool_variable(self, node: NodeDef) -> bool:
        variable = self.index.nodes.get(graph.parse(node.input[0]).node) if node.input else None
        return (
            variable is not None and variable.op in ops.VARIABLES and variable.attr["dtype"].type == types_pb2.DT_BOOL
        )

    def flag(self, name: str) -> Flag | None:
        """Returns the flag that the tensor `name` is, or None."""
        if name not in self._flags:
            tensor = graph.parse(name)
            shape = graph.recorded_shape(self.index[tensor.node], tensor.index)
            dtype = given.tensor_type(self.index, tensor)
            self._flags[name] = None if shape or dtype is None else self.flags.recognised(tensor, dtype)
        return self._flags[name]

    def _at_inference(self, name: str, train: Mapping[str, object]) -> tuple[object, str]:
        flag = self.flag(name)
        default = self._default(name)
        if flag is not None:
            differs = default is not None and default != flag.inference
            return flag.inference, flag.why + (f"; its default is {text(default)}" if differs else "")
        if isinstance(train.get(name), bool):
            return not train[name], f"it is {text(train[name])} during training, as given"
        if default is not None:
            return default, "that is its default"
        if self.index[graph.parse(name).node].op == "PlaceholderWithDefault":
            return None, "nothing is given for it and its default is computed"
        return None, ""

    def _default(self, name: str) -> object:
        """The default of a PlaceholderWithDefault that is a small constant, or None."""
        node = self.index[graph.parse(name).node]
        if node.op != "PlaceholderWithDefault":
            return None
        value = self._plain.known.get(graph.parse(node.input[0]))
        if value is None:
            return None
        return value.item() if value.ndim == 0 else value

    @functools.cached_property
    def _plain(self) -> Liveness:
        """The graph with nothing fed and nothing frozen."""
        return Liveness(self.ordered)

    def training(
        self,
        freeze: Mapping[str, object],
        train: Mapping[str, object],
        cuts: Collection[str],
        outputs: Collection[str],
    ) -> tuple[dict[str, object], list[Choice]]:
        """Returns the values to freeze during training, the given ones first, and the choices among them.

        A value given for inference holds in training too, unless it is a flag's.

        Raises:
            ExportError: a dropout's rate is needed and was not given: nothing in the graph tells it.
        """
        flags = {name: self.flag(name) for name in freeze if name not in train}
        frozen = {name: value for name, value in freeze.items() if name not in train and flags[name] is None}
        frozen.update(train)
        choices: list[Choice] = []

        def decide(name: str) -> object:
            flag, default = self.flag(name), self._default(name)
            value = default if flag is None or flag.training is None else flag.training
            if value is None and flag is not None:
                raise errors.ExportError(
                    f"The value of {name!r} during training is not given, and it sets how much dropout drops: {flag.why}.\n"
                    f"  Pass --train_freeze={name}=0.5, or what it was trained with."
                )
            if value is not None:
                why = "that is its default" if flag is None or flag.training is None else flag.why
                choices.append(Choice(f"{name} is frozen to {text(value)} during training", why))
            return value

        self._freeze_each(frozen, cuts, outputs, decide)
        return frozen, choices

    def refuse_unfed(self, unfed: Mapping[str, list[str]], outputs: Mapping[str, str], place: str, flag: str) -> None:
        """Raises one ExportError that names every tensor still needed, the way to it, and the flags to add."""
        if not unfed:
            return
        keys = {graph.parse(name).node: key for key, name in outputs.items()}
        count = f"{len(unfed)} tensors are" if len(unfed) > 1 else "1 tensor is"
        lines = [f"{count} needed, but neither fed nor frozen, in {place}:"]
        for name, steps in unfed.items():
            lines.append(f"  {name!r} ({self.describe(name)}), by {_shortened(steps)}, for output {keys[steps[0]]!r}.")
            lines.append(f"    Pass {self._remedy(name, flag)}.")
        raise errors.ExportError("\n".join(lines))

    def describe(self, name: str) -> str:
        """Returns a tensor's op, type and shape: "Placeholder, float32 [None,3]"."""
        tensor = graph.parse(name)
        node = self.index[tensor.node]
        dtype = given.tensor_type(self.index, tensor)
        kind = tf.as_dtype(dtype).name if dtype else "unknown type"
        shape = graph.recorded_shape(node, tensor.index)
        sizes = "scalar" if shape == [] else given.shape_text(shape)
        return f"{node.op}, {kind} {sizes}".rstrip()

    def _remedy(self, name: str, flag: str) -> str:
        tensor = graph.parse(name)
        dtype = given.tensor_type(self.index, tensor)
        feed = f"--input={key(name)}={name}"
        if dtype == types_pb2.DT_BOOL:
            return f"--{flag}={name}=false or --{flag}={name}=true (the ops that read it do not show which), or {feed}"
        if self.index[tensor.node].op in ops.FED and not graph.recorded_shape(self.index[tensor.node], 0):
            return f"{feed} or --{flag}={name}=VALUE"
        return feed


def key(name: str) -> str:
    """Returns the key that a tensor's name suggests: its last part."""
    tensor = graph.parse(name)
    leaf = tensor.node.rsplit("/", 1)[-1]
    return leaf if tensor.index == 0 else f"{leaf}_{tensor.index}"


def text(value: object) -> str:
    """Returns a value as the flags write it.

    >>> text(True), text(1.0), text(b"ab"), text([1, 2])
    ('true', '1.0', 'ab', '[1,2]')
    """
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value)).lower()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (list, tuple, np.ndarray)):
        return "[" + ",".join(text(item) for item in value) + "]"
    return str(value)


def _shortened(steps: list[str]) -> str:
    shown = steps if len(steps) <= 2 * _PATH_ENDS else [*steps[:_PATH_ENDS], "…", *steps[-_PATH_ENDS:]]
    return " <- ".join(shown)
