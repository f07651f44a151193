"""Moving averages of weights that a step of training keeps, as tf.train.ExponentialMovingAverage does."""

from export_v1.analysis import variables
from export_v1.ir import ops
from export_v1.ir.graph import Index, Tensor, data_inputs
from export_v1.ir.match import anything, behind, exactly, made_by, match
from export_v1.training.step import TrainStep

# A plain copy of a variable.
_COPIES = ops.VARIABLE_READS


def of_weights(index: Index, step: TrainStep) -> dict[str, str]:
    """Returns variable -> the variable that holds its moving average, for those that the step updates.

    Recognised is `average -= (average - variable) * (1 - decay)`, which is what TensorFlow computes.
    """
    average_of = {}
    for name in sorted(index.ancestors(step.runs)):
        node = index[name]
        if node.op not in ops.ASSIGN_SUBS:
            continue
        average = variables.read_by(index, data_inputs(node)[0])
        if average is None:
            continue
        own = behind(_COPIES, exactly(Tensor(average)))
        difference = made_by("Sub", own, anything("value"))
        change = match(index, data_inputs(node)[1], made_by("Mul", difference, anything(), any_order=True))
        variable = variables.read_by(index, change["value"]) if change else None
        if variable is not None and variable != average:
            average_of[variable] = average
    return average_of
