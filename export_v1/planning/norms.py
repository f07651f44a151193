"""By what the batch norms of an inference graph normalize: their moving averages, or the statistics of each batch.

A graph that was built for training alone has only the second form. Whether inference was meant to have it, the
checkpoint tells: where training updated the moving averages, they are what the model was evaluated and served with;
where nobody ever ran the update ops (pix2pix and its like), it has always gone by each batch. So has a graph that answers for
inference itself: one with signatures, with a graph for training beside it, or with a flag that tells the modes apart.
"""

import dataclasses
from collections.abc import Collection

import numpy as np

from export_v1 import errors
from export_v1.errors import quoted
from export_v1.format.record import TRAINING_SIGNATURES
from export_v1.interface import Choice, settle
from export_v1.ir import ops
from export_v1.ir.graph import Index, parse
from export_v1.ir.norms import averages, training_norms
from export_v1.ir.norms.training_norms import Norm
from export_v1.model import Source
from export_v1.passes import moving_averages
from export_v1.planning import plan
from export_v1.request import Request
from export_v1.weights import initial, restore

_TRAINING = {plan.TRAIN, *TRAINING_SIGNATURES}
_BY_BATCH = "batch norm uses the statistics of each batch, as in training"


def settled(model: Source, planned: plan.Plan, request: Request) -> tuple[Source, plan.Plan]:
    """Returns the model and its plan with each batch norm of inference by what it was meant to go by.

    Where some go by moving averages, the graph as it was found is the one for training.

    Raises:
        ExportError: --moving_averages is given, and no batch norm of the model can go by any.
    """
    norms, live = _norms(model, planned)
    usable = [norm for norm in norms if not norm.problem]
    if request.moving_averages and not usable:
        raise _nothing_to_use(model, norms)
    updated = _updated(model, {name for norm in usable for name in norm.variables}, request)
    by_itself = _answers_for_inference(model, planned)
    settled_norms = [norm for norm in usable if _goes_by_averages(norm, () if by_itself else updated, request)]
    if settled_norms:
        model = _by_averages(model, settled_norms, live)
        planned = plan.variants(model, request, planned.chosen)
    choices, warnings = _told(norms, settled_norms, updated, request, by_itself)
    return model, dataclasses.replace(planned, choices=(*planned.choices, *choices), warnings=tuple(warnings))


def _norms(model: Source, planned: plan.Plan) -> tuple[list[Norm], set[str]]:
    """Returns the norms that the signatures for inference need, and all nodes that these need."""
    index = model.graph.index
    if not index.once(averages.kept) and not any(averages.is_training(node) for node in index.nodes.values()):
        return [], set()
    settling, norms, all_live = settle.of(model.graph), dict[str, Norm](), set[str]()
    for variant in planned.variants:
        if variant.model is model.graph and not _TRAINING & set(variant.signatures):
            outputs = [parse(name) for signature in variant.signatures.values() for name in signature.outputs.values()]
            live = settling.live(variant.frozen, variant.cuts).needed(outputs, ops.SOURCES)
            all_live |= live.keys()
            for norm in training_norms.found(index, live, outputs):
                norms.setdefault(norm.name, norm)
    return list(norms.values()), all_live


def _answers_for_inference(model: Source, planned: plan.Plan) -> str:
    """Returns what shows that the graph was not built for training alone, as a clause; "" where nothing does."""
    index = model.graph.index
    flags = [name for name in planned.frozen if parse(name).node in index and index[parse(name).node].op != "Const"]
    if model.graph.signatures:
        return "the model's signatures have always given these answers"
    if model.train_graph is not None:
        return "training has a graph of its own"
    return f"{quoted(flags, 2)} separates training from inference in this graph, but not for this norm" if flags else ""


def _goes_by_averages(norm: Norm, updated: Collection[str], request: Request) -> bool:
    if request.moving_averages or request.batch_statistics:
        return request.moving_averages
    return any(name in updated for name in norm.variables)


def _updated(model: Source, names: set[str], request: Request) -> set[str]:
    """Returns the variables whose values in the checkpoint are not those that they were initialized to."""
    if not names or model.checkpoint is None:
        return set()
    index, checkpoint = model.graph.index, restore.Checkpoint(model.checkpoint)
    variables = [restore.of_node(index[name]) for name in sorted(names)]
    renames = restore.parse_renames(request.rename)
    located, _ = restore.locate(variables, checkpoint, model.graph, renames=renames, init_missing=True)
    stored = {variable.name: variable.location for variable in located if variable.location is not None}
    values = dict(zip(stored, checkpoint.values(list(stored.values())), strict=True))
    settled = [name for name in values if not initial.is_random(index, name)]
    starts = initial.computable(settled, model, restore.Weights(()))
    return {name for name, value in values.items() if name not in settled or not _is_initial(value, starts.get(name))}


def _is_initial(value: np.ndarray, start: np.ndarray | None) -> bool:
    if start is None:
        # There is no initializer that could be run: TensorFlow's own are zeros and ones.
        return bool(np.all(value == 0) or np.all(value == 1))
    return bool(np.array_equal(np.broadcast_to(start, value.shape), value))


def _by_averages(model: Source, norms: list[Norm], live: Collection[str]) -> Source:
    # What trains the model need not go by them: its graph is the one as it was found.
    result = moving_averages.taken(model.graph.index, norms, live)
    original = model.graph.original
    graph = dataclasses.replace(
        model.graph,
        graph_def=result.graph_def,
        original=None if original is None else moving_averages.taken(Index(original), norms, live).graph_def,
    )
    names = result.notes.moving_averages
    return dataclasses.replace(model, graph=graph, train_graph=model.train_graph or model.graph, moving_averages=names)


def _told(
    norms: list[Norm], settled_norms: list[Norm], updated: Collection[str], request: Request, by_itself: str
) -> tuple[list[Choice], list[str]]:
    """Returns what to say of it: choices, and warnings where an answer is not what the graph itself would give."""
    choices, warnings = [], []
    names = sorted({name for norm in settled_norms for name in norm.variables})
    if settled_norms and request.moving_averages:
        choices.append(Choice(f"batch norm uses {len(names)} moving averages: {quoted(names, 3)}", "--moving_averages"))
        never = [name for name in names if name not in updated]
        if never:
            choices.append(
                Choice(
                    f"{quoted(never, 3)} hold what they were initialized to",
                    "no update op ran in training; the model may have been meant to go by each batch, without the flag",
                )
            )
    elif settled_norms:
        warnings.append(
            f"the graph was built for training, where batch norm goes by each batch; this export goes by "
            f"{len(names)} moving averages that training has updated: {quoted(names, 3)}. "
            "--batch_statistics keeps the statistics of each batch"
        )
    unused = [norm for norm in norms if norm not in settled_norms]
    if unused and request.batch_statistics:
        choices.append(Choice(_BY_BATCH, "--batch_statistics"))
    elif unused:
        names = sorted({name for norm in unused for name in norm.variables})
        if names and by_itself:
            choices.append(Choice(_BY_BATCH, f"{by_itself}; --moving_averages uses {quoted(names, 3)}"))
        elif names:
            why = (
                f"the graph was built for training, and its moving averages {quoted(names, 3)} hold what they were "
                "initialized to: no update op ever ran; --moving_averages uses them anyway"
            )
            choices.append(Choice(_BY_BATCH, why))
        for norm in [norm for norm in unused if norm.problem][:3]:
            warnings.append(f"{_BY_BATCH}, at {norm.name!r}: {norm.problem}")
    return choices, warnings


def _nothing_to_use(model: Source, norms: list[Norm]) -> errors.ExportError:
    why = "".join(f"\n  {norm.name!r} cannot: {norm.problem}." for norm in norms[:3])
    return errors.ExportError(
        f"--moving_averages is given, and no batch norm of {model.path!r} was built for training and keeps its "
        f"moving averages.{why}\n  Remove the flag; --list shows what tells training from inference here."
    )
