"""Decides a graph's inputs, outputs and frozen values: as given, and the rest by what the graph shows."""

from collections.abc import Mapping

from export_v1 import errors
from export_v1.interface import choose, given, offers, settle
from export_v1.interface.anatomy import Anatomy
from export_v1.interface.settle import Settling, text
from export_v1.interface.telling import telling
from export_v1.interface.types import Choice, Interface
from export_v1.ir import graph
from export_v1.model import Graph


def resolve(
    model: Graph,
    *,
    place: str,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    freeze: Mapping[str, object] | None = None,
    train_freeze: Mapping[str, object] | None = None,
) -> Interface:
    """Returns what goes into a graph, what comes out and what is frozen: as given, the rest chosen and said.

    Guaranteed: with these inputs fed and these values frozen, nothing else from outside the graph is needed for the
    outputs. Flags that steer training are frozen to their inference values, by what reads them.

    Args:
        model: the whole graph.
        place: what it is called in messages, "graph model.ckpt.meta".
        inputs: key -> "tensor" or "tensor[shape]", in call order; empty: chosen.
        outputs: key -> tensor; empty: chosen.
        freeze: tensor -> value during inference, as text or as a Python value.
        train_freeze: tensor -> value during training; empty: no training values are asked for.

    Raises:
        ExportError: a name is not there, a shape or a value does not fit, a tensor is given twice, something needed
            is neither fed nor frozen, or the choice is not clear.
    """
    settling = settle.of(model)
    index = settling.index
    fed = given.inputs(index, inputs or {}, place=place)
    wanted = given.outputs(index, outputs or {}, place=place)
    frozen = given.values(index, freeze or {}, flag="freeze", place=place)
    train = given.values(index, train_freeze or {}, flag="train_freeze", place=place)
    _refuse_both([source.tensor for source in fed.values()], {**frozen, **train})
    with telling() as told:
        if not fed or not wanted:
            fed, wanted, chosen = _completed(model, settling, fed, wanted, frozen, train, place)
            told.extend(chosen)
        cuts, names = [source.tensor for source in fed.values()], list(wanted.values())
        all_frozen, choices = settling.inference(frozen, cuts, names, train)
        told.extend([*choices, *_without_effect(index, {**frozen, **train}, cuts, names)])
        settling.refuse_unfed(settling.unfed(all_frozen, cuts, names), wanted, place, "freeze")
        all_train: dict[str, object] = {}
        if train:
            all_train, train_choices = settling.training(frozen, train, cuts, names)
            told.extend(train_choices)
            settling.refuse_unfed(settling.unfed(all_train, cuts, names), wanted, place, "train_freeze")
        return Interface(fed, wanted, all_frozen, all_train, tuple(told))


def _without_effect(
    index: graph.Index, frozen: Mapping[str, object], cuts: list[str], outputs: list[str]
) -> list[Choice]:
    """Says so where a tensor was frozen that no output depends on: a slip of the pen, or a value for another model."""
    stops = {graph.parse(name).node for name in cuts}
    reached = index.ancestors((graph.parse(name).node for name in outputs), stop=stops)
    unused = [name for name in frozen if graph.parse(name).node not in reached]
    return [Choice(f"freezing {name} changes nothing", "no output depends on it") for name in unused]


def _completed(model, settling: Settling, fed, wanted, frozen, train, place: str):
    """Returns the inputs, the outputs and the choices made, where one of the two was not given, or neither."""
    nothing_given = not fed and not wanted
    anatomy = Anatomy(model, settling, frozen, [source.tensor for source in fed.values()], train)
    chosen: list[Choice] = []
    if not wanted:
        named, doubt = choose.outputs(anatomy)
        if doubt:
            raise offers.unclear(anatomy, doubt, place)
        wanted = {choice.key: choice.tensor for choice in named}
        chosen = choose.as_choices("output", named)
    if not fed:
        named = choose.inputs(anatomy, list(wanted.values()), frozen, train)
        fed = given.inputs(settling.index, {choice.key: choice.tensor for choice in named}, place=place)
        chosen = choose.as_choices("input", named) + chosen
    if nothing_given:
        cuts, names = [choice.tensor for choice in fed.values()], list(wanted.values())
        settled, _ = settling.inference(frozen, cuts, names, train)
        for name in settling.unfed(settled, cuts, names):
            raise offers.unclear(anatomy, choose.undecided(settling, name), place)
    return fed, wanted, chosen


def _refuse_both(cuts: list[str], values: Mapping[str, object]) -> None:
    for name in cuts:
        if name in values:
            raise errors.ExportError(
                f"{name!r} is given both as an input and as frozen to {text(values[name])}.\n  Give one of the two."
            )
