"""moving_averages: batch norm that was built for training uses its moving averages.

A graph built with `training=True` has no other form of its batch norms, though its checkpoint has what they need: the
moving averages, kept up to date by ops that tell which variable is the average of which statistic:

    x ──► moments ──► mean ──► y = (x - mean) * …             x ──────────────► y = (x - moving_mean) * …
                       └─► moving_mean -= decay * (moving_mean - mean)      moving_mean ──┘

The graph that TensorFlow 1 would have built with `training=False`; `ir/norms` finds such norms and has their other form.
"""

from collections.abc import Iterable

from export_v1.ir.graph import GraphDef
from export_v1.ir.norms import inference_form
from export_v1.ir.norms.training_norms import Norm
from export_v1.passes.result import Notes, Result


def taken(graph_def: GraphDef, norms: Iterable[Norm]) -> Result:
    """Returns the graph with some batch norms in their inference form; notes the variables that they use.

    Args:
        graph_def: a whole graph, with the update ops. Not modified.
        norms: of this graph; one that has a problem stays as it is.
    """
    made, names = inference_form.of(graph_def, norms)
    return Result(made, notes=Notes(moving_averages=names))
