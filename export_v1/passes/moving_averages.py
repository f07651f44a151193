"""moving_averages: batch norm that was built for training uses its moving averages.

A graph built with `training=True` has no other form of its batch norms, though its checkpoint has what they need: the
moving averages, kept up to date by ops that tell which variable is the average of which statistic:

    x ──► moments ──► mean ──► y = (x - mean) * …             x ──────────────► y = (x - moving_mean) * …
                       └─► moving_mean -= decay * (moving_mean - mean)      moving_mean ──┘

The graph that TensorFlow 1 would have built with `training=False`; `ir/norms` finds such norms and has their other form.
"""

from collections.abc import Collection, Iterable

from export_v1.ir.graph import Index
from export_v1.ir.norms import inference_form
from export_v1.ir.norms.training_norms import Norm
from export_v1.passes.result import Notes, Result


def taken(index: Index, norms: Iterable[Norm], among: Collection[str] | None = None) -> Result:
    """Returns the graph with some batch norms in their inference form; notes the variables that they use.

    Args:
        index: of a whole graph, with the update ops.
        norms: of this graph; one that has a problem stays as it is.
        among: names of the nodes that are to go by them, which is all that somebody wants of the graph; None: all of them.
    """
    made, names = inference_form.of(index, norms, among)
    return Result(made, notes=Notes(moving_averages=names))
