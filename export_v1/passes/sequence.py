"""The passes in their order: what becomes of a TensorFlow 1 graph, from how it was written to how it is exported.

    as written ─► cut ─► … ─► portable ─┬─► freeze ─► … ─► variables ─► functional ─► exported
                                        └─► recorded: the graph whose answers the export has to give

`ORIGINAL` is the beginning of the list: what has to be done before TensorFlow 2 can run the graph at all, and nothing
that could change an answer. The export goes on from there.

To add a pass, write it as a module of this package that returns a `Result`, and add a `Step`: what it needs, what it
guarantees, and why it stands where it does. `checked` has needs and guarantees verified around every step.
"""

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.analysis import kernels, liveness
from export_v1.ir import library, ops, rewrite, safety, wellformed
from export_v1.ir.graph import Index, NodeDef, parse
from export_v1.passes import (
    any_batch,
    dropout,
    fold,
    freeze,
    functional,
    guarantees,
    layer_norms,
    new_axes,
    old_arrays,
    outputs,
    portable,
    prune,
    ref_select,
    replace,
    saved_tables,
    tables,
    variables,
)
from export_v1.passes.guarantees import Guarantee
from export_v1.passes.state import State


@dataclasses.dataclass(frozen=True)
class Step:
    """One entry of the list.

    Attributes:
        name: of the step, for messages.
        run: what it does.
        why: why it stands where it does.
        needs: what an earlier step has to have guaranteed.
        gives: what it guarantees.
    """

    name: str
    run: Callable[[State], State]
    why: str
    needs: tuple[Guarantee, ...] = ()
    gives: tuple[Guarantee, ...] = ()


def _cut(state: State) -> State:
    index = state.index
    ends = dict(state.inputs)
    for tensor, value in state.frozen.items():
        if parse(tensor).node in index and index[parse(tensor).node].op != "Const":
            ends[tensor] = (
                tf.as_dtype(index.data_type(parse(tensor))).base_dtype.as_datatype_enum,
                list(np.asarray(value).shape),
            )
    keep = prune.needed(index, [*state.fetched, *state.updates], ends)
    # What fills a table reads it; no output depends on that.
    inits = _initializers(index, (index[name] for name in keep))
    keep |= prune.needed(index, inits, ends)
    cut = state.after(freeze.to_placeholders(state.graph_def, ends, keep, index))
    wellformed.check(cut.graph_def, index=cut.index)
    hidden = library.hidden_state(cut.graph_def)
    if hidden:
        raise errors.ExportError(
            f"The graph makes variables or tables inside functions, where no export can hold them: {errors.quoted(hidden)}.\n"
            "  Have its author make them outside and hand them in, or cut the graph after them with --input=KEY=TENSOR."
        )
    return dataclasses.replace(cut, table_inits=inits)


def _initializers(index: Index, nodes: Iterable[NodeDef]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, tables.initializers(index, nodes).values())))


def _saved_tables(state: State) -> State:
    if state.written is None or not any(node.op in ops.MUTABLE_TABLES for node in state.graph_def.node):
        return state
    filled = state.after(saved_tables.filled(state.graph_def, Index(state.written), state.stored))
    return dataclasses.replace(filled, table_inits=_initializers(filled.index, filled.graph_def.node))


def _any_batch(state: State) -> State:
    state = state.after(any_batch.reshapes(state.graph_def, state.batch))
    fed = {state.name(name): shape for name, (_, shape) in state.inputs.items()}
    state = state.after(any_batch.starts(state.graph_def, state.batch, fed))
    state = state.after(any_batch.arrays(state.graph_def, state.batch))
    return state.after(dropout.of_any_batch(state.graph_def))


def _always_dropping(state: State) -> State:
    """Without such a constant nothing is touched: the original keeps what the graph has for training."""
    frozen = _freeze(state, "Const")
    return frozen if frozen is state else frozen.after(dropout.of_rate_zero(frozen.graph_def))


def _freeze(state: State, *kinds: str) -> State:
    index = state.index
    values = {
        tensor: (index[parse(tensor).node].attr["dtype"].type, state.frozen[old])
        for old, tensor in ((old, state.name(old)) for old in state.frozen)
        if parse(tensor).node in index and index[parse(tensor).node].op in kinds
    }
    return state.after(freeze.to_constants(state.graph_def, values)) if values else state


def _replace(state: State, unrunnable_only: bool) -> State:
    written = state.graph_def if state.written is None else state.written
    result = replace.ops(
        state.graph_def,
        written=written,
        stored=state.stored,
        kept=state.kept_ops,
        training=state.training,
        unrunnable_only=unrunnable_only,
    )
    return state.after(result)


def _prune(state: State) -> State:
    pruned = prune.to_outputs(state.graph_def, state.ends, state.index)
    inits = _initializers(state.index, pruned.graph_def.node)
    if inits:
        pruned = prune.to_outputs(state.graph_def, [*state.ends, *inits], state.index)
    return dataclasses.replace(state.after(pruned), table_inits=inits)


def _filled(state: State) -> State:
    tables.refuse_unfilled(state.index, tables.initializers(state.index, state.graph_def.node))
    return state


def _files(state: State) -> State:
    result = tables.with_files(
        state.graph_def, state.table_inits, known=state.assets, frozen=state.fed, find=state.find
    )
    return state.after(result)


def _kernels(state: State) -> State:
    kernels.check(state.graph_def)
    return state


def _pin(state: State) -> State:
    index: Index | None = state.index
    # An output of no known type is made by an op that TensorFlow 2 does not have.
    untyped = [state.index[parse(name).node] for name in state.fetched if state.index.data_type(parse(name)) is None]
    kernels.check(rewrite.with_nodes(state.graph_def, untyped))
    graph_def, pins = state.graph_def, {}
    for key, tensors in state.outputs.items():
        pinned = outputs.pinned(graph_def, tensors, state.updates, index)
        graph_def, pins[key], index = pinned.graph_def, pinned.renamed, pinned.index
    names = {f"regularization_loss_{at}": name for at, name in enumerate(state.losses)}
    losses = outputs.pinned(graph_def, names, index=index)
    return dataclasses.replace(
        state,
        graph_def=losses.graph_def,
        outputs=pins,
        losses=tuple(losses.renamed.values()),
        updates=(),
        known=losses.index,
    )


def _unfed(state: State) -> State:
    """Sources that nothing asked for needs, as the frozen values have it, never run: nobody feeds or fills them.

    Nor does what could do more than compute, so that nobody need let in what is not in the export.
    """
    index = state.index
    wanted = [parse(name) for name in (*state.fetched, *state.updates)]
    fed = [parse(name) for name in (*map(state.name, state.inputs), *state.fed)]
    reached = index.ancestors(tensor.node for tensor in wanted)
    functions = index.functions
    apart = ops.TABLES_FROM_FILE | {
        op for op in {index[name].op for name in reached} if safety.is_harmless(op, functions)
    }
    unfed = {name for name in reached if index[name].op in ops.SOURCES or index[name].op not in apart}
    unfed -= {tensor.node for tensor in fed}
    if not unfed:
        return state
    values = {parse(name): value for name, value in state.fed.items()}
    live = liveness.Liveness(liveness.Ordered.of(index), values, fed)
    idle = unfed - set(live.needed(wanted, ops.SOURCES))
    # Who is in a loop cannot wait for what is outside of it.
    idle = {name for name in idle if not _is_in_loop(index, name)}
    return _prune(state.after(freeze.to_nothing(state.graph_def, idle)))


def _is_in_loop(index: Index, name: str) -> bool:
    return any(index[ancestor].op in ops.ENTERS for ancestor in index.ancestors([name]))


def _old_arrays(state: State) -> State:
    """The constants that flows began at are read by nobody then."""
    result = old_arrays.to_v3(state.graph_def, state.index)
    return state if result.graph_def is state.graph_def else _prune(state.after(result))


def _functional(state: State) -> State:
    return state.after(functional.convert(state.graph_def, keep=[*state.ends, *state.table_inits]))


ORIGINAL = (
    Step(
        "cut",
        _cut,
        "first: most of a training graph is gradients, optimizers and summaries, which nobody else copies or walks; what "
        "nothing needs may be malformed, the rest is checked before any other pass relies on it",
        gives=(Guarantee.CUT,),
    ),
    Step(
        "tables of a checkpoint",
        _saved_tables,
        "for the original, too: TensorFlow 1 has them once its Saver has restored; before prune, which looks for what "
        "fills a table",
        needs=(Guarantee.CUT,),
    ),
    Step(
        "shapes of any batch",
        _any_batch,
        "before portable: it reads the shapes that TensorFlow 1 recorded",
    ),
    Step(
        "dropouts that always drop",
        _always_dropping,
        "after the masks: one of a recorded shape is as large as its data by then",
        needs=(Guarantee.CUT,),
    ),
    Step(
        "replacements of what cannot run",
        lambda state: _replace(state, unrunnable_only=True),
        "before portable: static shapes that TensorFlow 1 recorded make better replacements; before prune: not every "
        "output of a replaced op is read",
        needs=(Guarantee.CUT,),
    ),
    Step(
        "new axes",
        lambda state: state.after(new_axes.apart(state.graph_def)),
        "for the original, too: TensorFlow may rewrite it before it runs; after the replacements, which have slices",
    ),
    Step(
        "layer norms",
        lambda state: state.after(layer_norms.from_the_end(state.graph_def, state.index)),
        "for the original, too: TensorFlow may rewrite it before it runs; before portable, which drops recorded shapes",
    ),
    Step(
        "prune",
        _prune,
        "after the dropouts: nothing reads their random numbers any more",
        gives=(Guarantee.PRUNED,),
    ),
    Step(
        "portable",
        lambda state: state.after(portable.nodes(state.graph_def, state.index)),
        "last of what the original needs: TensorFlow refuses a graph with shapes and devices of another machine",
        gives=(Guarantee.PORTABLE,),
    ),
)
# The original runs with its dead branches.
UNFED = Step(
    "sources of dead branches",
    _unfed,
    "after prune: only what is there can be missing; for the original alone, since fold takes dead branches out",
    needs=(Guarantee.PRUNED,),
)
# What a graph needs for TensorFlow to import and run it. The original runs with its dead branches, the export without
# them: what only a dead branch needs may be missing from an export that nothing is recorded for.
RUNNABLE = (
    Step(
        "kernels",
        _kernels,
        "after prune: an op that nothing needs any more may be one that TensorFlow 2 does not have",
        needs=(Guarantee.PRUNED,),
    ),
    Step(
        "files of tables",
        _files,
        "after prune: a file that no kept table is read from need not exist",
        needs=(Guarantee.PRUNED,),
    ),
)
EXPORT = (
    *ORIGINAL,
    # The original is recorded here.
    Step(
        "freeze",
        lambda state: _freeze(state, "Placeholder"),
        "after the record: the original is fed these values, which tests that they are frozen to the same",
        needs=(Guarantee.CUT,),
        gives=(Guarantee.FROZEN,),
    ),
    Step(
        "pin outputs",
        _pin,
        "after freeze: an output may be a frozen tensor; before the rest, which need not know what makes an output",
        gives=(Guarantee.PINNED,),
    ),
    Step(
        "fold",
        lambda state: state.after(fold.conditions(state.graph_def)),
        "after freeze: the conditions to fold are those on frozen values",
        needs=(Guarantee.FROZEN, Guarantee.PINNED),
    ),
    Step(
        "dropouts of rate zero",
        lambda state: state.after(dropout.of_rate_zero(state.graph_def)),
        "after fold: a condition may stand between a frozen flag and the rate",
        needs=(Guarantee.FROZEN,),
    ),
    Step(
        "prune",
        _prune,
        "after fold and dropouts: what only a dead branch or a mask has read is no longer needed",
        gives=(Guarantee.PRUNED,),
    ),
    Step(
        "replacements",
        lambda state: _prune(_replace(state, unrunnable_only=False)),
        "after the record: what has a kernel here answers for itself in the original, and proves its replacement; "
        "after prune: what nothing needs is not replaced; before variables: a replacement reads them as the op did",
        needs=(Guarantee.PRUNED,),
        gives=(Guarantee.PRUNED,),
    ),
    Step("tables are filled", _filled, "after prune: nobody asks a table of a dead branch", needs=(Guarantee.PRUNED,)),
    *RUNNABLE,
    Step(
        "tables",
        lambda state: state.after(tables.to_resources(state.graph_def)),
        "before functional control flow: a function takes a table's handle as a resource, not as a reference",
    ),
    Step(
        "old TensorArrays",
        _old_arrays,
        "after the record: what old ops answer proves what stands for them; before variables: their handles may be references",
    ),
    Step(
        "RefSelect",
        lambda state: state.after(ref_select.to_conditions(state.graph_def)),
        "before variables: a reference that a condition gives has a counterpart, one that is selected has none",
    ),
    Step(
        "variables",
        lambda state: state.after(variables.to_resources(state.graph_def, state.index)),
        "after prune: ops of training use references in ways that have no counterpart for resources",
        needs=(Guarantee.PRUNED,),
        gives=(Guarantee.RESOURCES,),
    ),
    Step(
        "prune",
        _prune,
        "after variables: where each reader reads for itself, nobody needs the read that they shared",
        gives=(Guarantee.PRUNED,),
    ),
    Step(
        "functional control flow",
        _functional,
        "after fold: a condition on a constant is no condition; after variables: no function takes a reference",
        needs=(Guarantee.RESOURCES, Guarantee.PRUNED),
        gives=(Guarantee.FUNCTIONAL,),
    ),
)


def original(state: State) -> State:
    """Returns the state in which TensorFlow can run the graph, which is otherwise as it was written.

    Frozen tensors are placeholders to be fed, see `State.fed`; references, v1 control flow and all are untouched. Only
    dropouts are made to fit any batch, and are removed where their rate was a constant and is frozen to 0; and what comes
    from outside for branches that the frozen values never take is never there, since nobody feeds it.

    Raises:
        ExportError: the graph is malformed, or TensorFlow cannot run it; which node, and what to do.
    """
    return _run((*ORIGINAL, UNFED, *RUNNABLE), state)


def export(state: State) -> State:
    """Returns the state after all passes.

    Raises:
        ExportError: a pass cannot do its work; which node, and what to do.
    """
    return _run(EXPORT, state)


def _run(steps: Iterable[Step], state: State) -> State:
    for step in steps:
        if _CHECKED.get():
            _verify(f"before {step.name!r}", step.needs, state)
        state = step.run(state)
        if _CHECKED.get():
            _verify(f"after {step.name!r}", (Guarantee.WELL_FORMED, *step.gives), state)
    return state


_CHECKED = contextvars.ContextVar("checked", default=False)


@contextlib.contextmanager
def checked(on: bool = True) -> Iterator[None]:
    """In the block, needs and guarantees are verified around every step; an AssertionError names the step."""
    token = _CHECKED.set(on)
    try:
        yield
    finally:
        _CHECKED.reset(token)


def _verify(when: str, wanted: Iterable[Guarantee], state: State) -> None:
    for guarantee in wanted:
        problem = guarantees.problem(guarantee, state)
        if problem:
            raise AssertionError(f"{when}, it does not hold that {guarantee.value}: {problem}")
