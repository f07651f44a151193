"""The weights of the original graph: those that are exported, and those that only its dead branches read.

TensorFlow runs a Switch whose data is a variable whichever side is alive, so a variable that no answer depends on has to
have a value all the same. (A flag such as tflearn's `is_training`, a policy's `logstd`.)
"""

import dataclasses

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import GraphDef
from export_v1.model import Source
from export_v1.request import Request
from export_v1.weights import initial, restore
from export_v1.weights.restore import Variable, Weights


@dataclasses.dataclass(frozen=True)
class OriginalWeights(Weights):
    """Weights that find the values of variables which are not exported, too, where a graph reads them.

    Attributes:
        model: has the graphs and the checkpoint.
        request: tells how names become checkpoint keys.
    """

    model: Source | None = None
    request: Request | None = None

    def covering(self, graph_def: GraphDef) -> Weights:
        """Returns the weights of every variable in a graph, read from the same checkpoint.

        The value of a variable that the checkpoint lacks is its initializer's or, where that cannot be run, zero: an
        export that depended on it would have been refused before.
        """
        known = {variable.name for variable in self.variables}
        others = [
            restore.of_node(node) for node in graph_def.node if node.op in ops.VARIABLES and node.name not in known
        ]
        exported = Weights(self.variables, self.checkpoint, self.initial)
        if not others or self.model is None or self.request is None:
            return exported
        located = [self._located(variable) for variable in others]
        values = self._computed([variable for variable in located if variable.location is None], exported)
        return Weights((*self.variables, *located), self.checkpoint, {**self.initial, **values})

    def _located(self, variable: Variable) -> Variable:
        assert self.model is not None and self.request is not None, "see `covering`"
        if self.checkpoint is None:
            return variable
        graphs = [graph for graph in (self.model.graph, self.model.train_graph) if graph is not None]
        renames = restore.parse_renames(self.request.rename)
        for graph in graphs:
            location = restore.located(variable, self.checkpoint, graph, renames)
            if location is not None:
                return dataclasses.replace(variable, location=location)
        return variable

    def _computed(self, variables: list[Variable], known: Weights) -> dict[str, np.ndarray]:
        assert self.model is not None, "see `covering`"
        values = initial.computable([variable.name for variable in variables], self.model, known)
        return {variable.name: _zeros(variable) for variable in variables} | values


def _zeros(variable: Variable) -> np.ndarray:
    return np.zeros(variable.shape or (), variable.dtype.as_numpy_dtype)
