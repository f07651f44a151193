"""The learning rate of a TensorFlow 1 graph as a Keras schedule: a function of the step, computed by the graph."""

import keras
import tensorflow as tf

from export_v1.ir import ops, safety
from load_v2.errors import LoadError
from load_v2.layer import concrete_functions
from load_v2.program import subgraph
from load_v2.program.program import Part, Program
from load_v2.program.signature import Spec


@keras.saving.register_keras_serializable(package="load_v2")
class GraphSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Computes the rate for a step as the graph does for that value of its counter."""

    def __init__(self):
        self._functions: concrete_functions.Functions | None = None
        self._part: Part | None = None

    def attach(self, rate: Program, policy: safety.Policy) -> None:
        """Takes the graph: the program of the signature `learning_rate`, whose only variable is the counter."""
        self._part = of_step(rate)
        self._functions = concrete_functions.Functions(rate, {}, {}, {}, policy)

    def __call__(self, step):
        if self._functions is None or self._part is None:
            raise LoadError(
                "The learning rate's schedule was made from a config and has no graph.\n"
                "  Load the whole model with keras.models.load_model, or make it with load_v2.resume(DIR)."
            )
        steps = [tf.cast(step, spec.dtype) for spec in self._part.inputs]
        return self._functions(self._part, steps)[0]

    def get_config(self) -> dict:
        return {}


def of_step(rate: Program) -> Part:
    """Returns the part of a program that computes the rate from the step, in place of each read of its variable."""
    reads = [node for node in rate.graph_def.node if node.op == "ReadVariableOp"]
    inputs = tuple(Spec(f"{node.name}:0", tf.as_dtype(node.attr["dtype"].type).name, ()) for node in reads)
    outputs = dict(list(rate.serve.outputs.items())[:1])
    graph_def = subgraph.needed(
        rate.graph_def, [spec.tensor for spec in outputs.values()], {spec.tensor for spec in inputs}
    )
    assert not any(node.op in ops.VARIABLES for node in graph_def.node), "what is read is fed"
    return Part(graph_def, inputs, outputs)
