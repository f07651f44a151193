"""Batch norms in training form, put in the form of inference without a checkpoint to say whether that is meant."""

from export_v1.ir.graph import GraphDef, Index, Tensor
from export_v1.ir.norms import training_norms
from export_v1.passes import moving_averages
from export_v1.passes.result import Result


def found(graph_def: GraphDef, output: str = "y") -> list[training_norms.Norm]:
    """Returns the norms that an output needs, all nodes taken to be alive."""
    index = Index(graph_def)
    return training_norms.found(index, set(index.nodes), [Tensor(output)])


def by_averages(graph_def: GraphDef, output: str = "y") -> Result:
    """Returns the graph with each of them by its moving averages, where it has both."""
    return moving_averages.taken(Index(graph_def), found(graph_def, output))
