"""The original graph, ready to be asked: in a tf.compat.v1 Session of its own, with the checkpoint's values.

It is pruned so that it imports, and otherwise as it was written: reference variables, v1 control flow, frozen tensors fed.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.analysis import endless, races
from export_v1.console import supervise
from export_v1.ir import graph, importing, ops
from export_v1.ir.graph import GraphDef, NodeDef
from export_v1.planning import variant
from export_v1.proof import trial
from export_v1.source import assets
from export_v1.weights import session, tables
from export_v1.weights.restore import Weights

# A model that takes longer for one small batch is one whose loop does not end.
SECONDS = 1800
# The same for inputs that were made up: they may be what makes a loop endless.
SECONDS_IF_MADE_UP = 60
# TensorFlow is late, or does not come at all where it has computed the loop's condition ahead; then the process ends.
GRACE = 60

# What TensorFlow raises where a graph refuses its inputs.
FAILURES = (tf.errors.OpError, ValueError, TypeError, MemoryError)
Answers = dict[str, np.ndarray]


class Unanswered(errors.ExportError):
    """There are no answers of the original to compare with.

    Attributes:
        why: the reason, in one line.
    """

    def __init__(self, why: str, remedy: str = ""):
        super().__init__(f"{why}\n  {remedy}" if remedy else why)
        self.why = why


class Late(Unanswered):
    """The graph has no answer in time."""


class Ask(Protocol):
    """Returns the answers to inputs, both by key."""

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> Answers: ...


class Original:
    """The original graph under one signature, in a session; called with inputs by key it returns its answers by key.

    Each answer is that of the restored weights and tables: what a run writes to a variable or to a table does not last.

    Attributes:
        graph_def: the graph.
    """

    def __init__(self, opened: tf.compat.v1.Session, original: variant.Transformed, key: str, weights: Weights):
        self.graph_def = original.graph_def
        self._opened, self._original, self._key, self._weights = opened, original, key, weights
        self._writes = any(map(_may_write, graph.all_nodes(original.graph_def)))
        self._tables = tables.Kept(opened, original.frozen) if tables.are_written(original.graph_def) else None
        self._draws = [node.name for node in original.graph_def.node if ops.is_random(node.op)]
        index = graph.Index(original.graph_def)
        self._hidden = [name for name in self._draws if _is_in_loop(index, name)]

    def __call__(
        self,
        inputs: Mapping[str, np.ndarray],
        seconds: float | None = None,
        drawn: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> Answers:
        """Returns the answers.

        Args:
            inputs: by key.
            seconds: after which they are given up; `SECONDS` where none are said.
            drawn: tensor of random numbers -> what it is to be this time.
        """
        self._restore()
        feeds, fetches = self._original.inputs[self._key], self._original.outputs[self._key]
        return run(self._opened, inputs, feeds, fetches, {**self._original.frozen, **drawn}, seconds)

    def after(
        self,
        inputs: Mapping[str, np.ndarray],
        updates: Sequence[str],
        variables: Collection[str],
        given: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> dict[str, np.ndarray]:
        """Returns the values that variables have after some ops have run, once.

        Args:
            inputs: by key.
            updates: names of the ops.
            variables: names of the variables.
            given: output key -> what that output is to be for the ops that read it.
        """
        self._restore(written=True)
        feeds, outputs = self._original.inputs[self._key], self._original.outputs[self._key]
        frozen = {**{outputs[key]: value for key, value in given.items()}, **self._original.frozen}
        # A session takes names of ops as fetches, too.
        run(self._opened, inputs, feeds, {name: name for name in updates}, frozen)
        return session.values(self._opened, variables)

    def _restore(self, written: bool = False) -> None:
        """Gives variables and tables the values that they were restored with, where a run may have written others."""
        if self._writes or written:
            session.fill(self._opened, self._weights)
        if self._tables is not None:
            self._tables.restore()

    def undecided(self) -> dict[str, str]:
        """Returns output key -> which order its answer depends on that the graph leaves open."""
        return races.undecided(self.graph_def, self._original.outputs[self._key]) if self._writes else {}

    def trial(self) -> trial.Trial:
        """Returns what runs guesses at the inputs in a process of their own."""
        original, key = self._original, self._key
        fetches = tuple(original.outputs[key].values())
        return trial.Trial(
            trial.Model(
                original.graph_def, original.table_inits, original.inputs[key], fetches, original.frozen, self._weights
            )
        )

    def drawn(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the random numbers that inputs make the graph draw, by tensor name; but for `draws_out_of_reach`."""
        names = [f"{name}:0" for name in self._draws if name not in self._hidden]
        feeds, frozen = self._original.inputs[self._key], self._original.frozen
        with contextlib.suppress(*FAILURES):
            return run(self._opened, inputs, feeds, {name: name for name in names}, frozen)
        # A draw in a branch that is not taken has no value, and then none of all has.
        numbers: dict[str, np.ndarray] = {}
        for name in names:
            with contextlib.suppress(*FAILURES):
                numbers |= run(self._opened, inputs, feeds, {name: name}, frozen)
        return numbers

    @property
    def draws_out_of_reach(self) -> bool:
        """Whether random numbers are drawn inside loops or functions, where nothing can be fed."""
        in_functions = (node for function in self.graph_def.library.function for node in function.node_def)
        return bool(self._hidden) or any(ops.is_random(node.op) for node in in_functions)


def _is_in_loop(index: graph.Index, name: str) -> bool:
    exits = [node.name for node in index.graph_def.node if node.op in ops.EXITS]
    return any(index[ancestor].op in ops.ENTERS for ancestor in index.ancestors([name], stop=exits))


@contextlib.contextmanager
def asking(
    planned: variant.Variant, key: str, weights: Weights, files: assets.Files
) -> Iterator[tuple[Original, GraphDef]]:
    """Yields the original graph, to be asked, and its GraphDef.

    Args:
        planned: the variant that has the signature.
        key: the signature's key.
        weights: values of the variables; those that only the original reads are looked up with `Weights.covering`.
        files: finds the files that tables are read from.

    Raises:
        Unanswered: TensorFlow refuses the graph as it was written, or it has a loop that never ends.
    """
    try:
        original = variant.original(planned, files)
        endless.check(original.graph_def)
        weights = weights.covering(original.graph_def)
    except errors.ExportError as error:
        raise _cannot_run(error) from error
    # Whether what is not in the export may run is for the user to say, not a reason to go on without answers.
    importing.checked(original.graph_def)
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(session.opened(lambda: importing.graph_def(original.graph_def)))
            session.fill(opened, weights)
            opened.run([opened.graph.get_operation_by_name(name) for name in original.table_inits], original.frozen)
            ready = Original(opened, original, key, weights)
        except errors.ExportError as error:
            raise _cannot_run(error) from error
        except FAILURES as error:
            raise Unanswered(f"The original graph cannot be run: {errors.reason(error)}.") from error
        yield ready, original.graph_def


def _cannot_run(error: errors.ExportError) -> Unanswered:
    first, _, rest = str(error).partition("\n")
    return Unanswered(f"The original graph cannot be run: {first}", rest.strip())


def _may_write(node: NodeDef) -> bool:
    """Whether a node may change a variable; one that takes a reference and is not known to pass it on is taken to."""
    if ops.writes_variable(node.op) or (node.op.startswith("Resource") and node.op not in ops.GATHERS):
        return True
    return node.op not in ops.ALIAS_TWINS and any(graph.ref_inputs(node))


def run(
    opened: tf.compat.v1.Session,
    inputs: Mapping[str, np.ndarray],
    feeds: Mapping[str, str],
    fetches: Mapping[str, str],
    frozen: Mapping[str, object],
    seconds: float | None = None,
) -> Answers:
    """Returns what a session answers.

    Args:
        opened: the session.
        inputs: by key.
        feeds: input key -> tensor name.
        fetches: output key -> tensor name.
        frozen: tensor name -> value that it is fed, too.
        seconds: after which it is given up; `SECONDS` where none are said.

    Raises:
        Late: there is no answer after `seconds`.
        OpError, ValueError, TypeError: the graph refuses the inputs.
    """
    seconds = SECONDS if seconds is None else seconds
    fed: dict[str, object] = {feeds[key]: value for key, value in inputs.items() if key in feeds}
    fed.update(frozen)
    options = tf.compat.v1.RunOptions(timeout_in_ms=int(1000 * seconds))
    try:
        with supervise.time_limit(seconds + GRACE):
            return {key: np.asarray(value) for key, value in opened.run(dict(fetches), fed, options).items()}
    except MemoryError as error:
        raise Unanswered(f"The graph needs more memory than there is: {errors.reason(error)}") from error
    except tf.errors.DeadlineExceededError as error:
        raise Late(
            f"The graph did not answer the sample within {seconds:g} seconds; it may have an endless loop.",
            "Pass --sample=FILE.npz with real inputs, or --no_sample to export it unproven.",
        ) from error
