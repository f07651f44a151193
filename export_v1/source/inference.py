"""A model that was built for training alone, read as if it had been built for inference, too."""

import dataclasses

import numpy as np

from export_v1 import errors, source
from export_v1.errors import quoted
from export_v1.passes import moving_averages
from export_v1.weights import restore


def by_moving_averages(model: source.Source) -> source.Source:
    """Returns the model with its batch norms by their moving averages; as it was found, its graph is for training.

    Raises:
        ExportError: there is no batch norm in training form whose moving averages the graph keeps.
    """
    graph_def, names = moving_averages.taken(model.graph.graph_def)
    if not names:
        raise errors.ExportError(
            f"--moving_averages is given, and no batch norm of {model.path!r} was built for training and keeps its "
            "moving averages.\n  Leave the flag away; --list shows what tells training from inference here."
        )
    original = model.graph.original
    graph = dataclasses.replace(
        model.graph, graph_def=graph_def, original=None if original is None else moving_averages.taken(original)[0]
    )
    return dataclasses.replace(model, graph=graph, train_graph=model.train_graph or model.graph, moving_averages=names)


def said(names: tuple[str, ...], weights: restore.Weights) -> list[tuple[str, str]]:
    """Returns what there is to say about moving averages that were taken: (what, why)."""
    if not names:
        return []
    choices = [(f"batch norm goes by {len(names)} moving averages: {quoted(names, 3)}", "--moving_averages")]
    initial = [one.name for one in weights.variables if one.name in names and _is_initial(weights.value(one))]
    if initial:
        choices.append(
            (
                f"{quoted(initial, 3)} hold what they were initialized to",
                "no update op ran in training; the model may have been meant to go by each batch, without the flag",
            )
        )
    return choices


def _is_initial(value: np.ndarray) -> bool:
    return bool(value.size) and bool(np.all(value == 0) or np.all(value == 1))
