"""A model that was built for training alone, read as if it had been built for inference, too."""

import dataclasses

from export_v1 import errors
from export_v1.model import Source
from export_v1.passes import moving_averages


def by_moving_averages(model: Source) -> Source:
    """Returns the model with its batch norms by their moving averages; as it was found, its graph is for training.

    Raises:
        ExportError: there is no batch norm in training form whose moving averages the graph keeps.
    """
    result = moving_averages.taken(model.graph.graph_def)
    names = result.notes.moving_averages
    if not names:
        raise errors.ExportError(
            f"--moving_averages is given, and no batch norm of {model.path!r} was built for training and keeps its "
            "moving averages.\n  Remove the flag; --list shows what tells training from inference here."
        )
    original = model.graph.original
    graph = dataclasses.replace(
        model.graph,
        graph_def=result.graph_def,
        original=None if original is None else moving_averages.taken(original).graph_def,
    )
    return dataclasses.replace(model, graph=graph, train_graph=model.train_graph or model.graph, moving_averages=names)
