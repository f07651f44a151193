"""Which variable each gradient is of, and in which form: a tensor, or the rows of one (IndexedSlices)."""

import dataclasses
from collections.abc import Iterable, Mapping

import tensorflow as tf

from export_v1 import errors
from export_v1.analysis import variables
from export_v1.ir import ops
from export_v1.ir.graph import Index, Tensor, data_inputs, parse
from export_v1.training import backprop
from export_v1.training.step import LEAVE_IT, TrainStep


@dataclasses.dataclass(frozen=True)
class Gradient:
    """A gradient as the update reads it.

    Attributes:
        variable: name of the variable.
        loss: tensor name of what is differentiated.
        values: tensor name of the gradient, or of the values of its rows.
        indices: tensor name of the row numbers; None for a whole tensor.
        dense_shape: tensor name of the variable's shape, where the update reads that; else None.
    """

    variable: str
    loss: str
    values: str
    indices: str | None = None
    dense_shape: str | None = None


def of_loss(index: Index, loss: str, trainable: Mapping[str, bool]) -> tuple[Gradient, ...]:
    """Returns the gradients of a loss by all variables that are trained, for an optimizer of somebody else's."""
    trained = _trained(index, [loss], trainable)
    return tuple(Gradient(node.name, loss, node.name) for node in index.graph_def.node if node.name in trained)


def _trained(index: Index, losses: Iterable[str], trainable: Mapping[str, bool]) -> set[str]:
    """Returns the variables that losses read and that are trained; what scales a loss is read by it, too, and is not."""
    read = index.ancestors(parse(name).node for name in losses)
    return {name for name in read if index[name].op in ops.VARIABLES and trainable.get(name, not trainable)}


def of(index: Index, step: TrainStep, trainable: Mapping[str, bool], place: str) -> tuple[Gradient, ...]:
    """Returns the gradients that a step's update reads, in the graph order of its writers.

    A gradient belongs to the variable whose new value is computed from it. Where several are, as by the norm by which all
    are clipped, it is the one of an operation that reads the variable.

    Raises:
        ExportError: a gradient goes into several variables in the same way, or nobody can tell which variable it is of.
    """
    gradients = _Matching(index, step, trainable, place).run()
    if not gradients:
        raise errors.ExportError(
            f"No gradient in {place} goes into a variable in a way that can be followed.\n{LEAVE_IT}"
        )
    return gradients


class _Matching:
    def __init__(self, index: Index, step: TrainStep, trainable: Mapping[str, bool], place: str):
        self._index, self._step, self._place = index, step, place
        self._cuts = {parse(name) for name in step.cuts}
        self._scopes = backprop.Scopes(backprop.calls(index))
        self._trained = _trained(index, step.losses, trainable)
        self._writers: dict[str, list[str]] = {}
        for writer in step.writers:
            variable = variables.read_by(index, data_inputs(index[writer])[0])
            if variable is not None:
                self._writers.setdefault(variable, []).append(writer)

    def run(self) -> tuple[Gradient, ...]:
        cuts_of: dict[tuple[str, str], set[Tensor]] = {}
        for writer in self._step.writers:
            inputs = data_inputs(self._index[writer])
            variable = variables.read_by(self._index, inputs[0]) if inputs else None
            if variable in self._trained:
                for cut in sorted(self._reached(inputs[1:]), key=lambda cut: cut.name):
                    cuts_of.setdefault((variable, self._scope(cut)), set()).add(cut)
        gradients = [self._gradient(variable, cuts) for (variable, _), cuts in cuts_of.items()]
        self._refuse_shared(gradients)
        return tuple(gradients)

    def _scope(self, cut: Tensor) -> str:
        call = self._scopes.of(cut.node)
        assert call is not None, "a cut comes out of tf.gradients"
        return call.scope

    def _reached(self, tensors: list[Tensor]) -> set[Tensor]:
        seen, reached, todo = set(), set(), list(tensors)
        while todo:
            tensor = todo.pop()
            if tensor in seen or tensor.node not in self._index:
                continue
            seen.add(tensor)
            node = self._index[tensor.node]
            if tensor in self._cuts:
                reached.add(tensor)
            elif node.op in ops.VARIABLES:
                # Gradients may be gathered in a variable for some steps before they are applied.
                gathered = () if node.name in self._trained else self._writers.get(node.name, ())
                todo.extend(source for writer in gathered for source in data_inputs(self._index[writer])[1:])
            else:
                todo.extend(data_inputs(node))
        return reached

    def _gradient(self, variable: str, cuts: set[Tensor]) -> Gradient:
        floats = [cut for cut in cuts if self._dtype(cut).is_floating]
        if len(floats) > 1:
            floats = [cut for cut in floats if variable in self._variables_of(cut)]
        # Those that nothing is read for, such as a static shape, the update computes by itself.
        numbers = [cut for cut in cuts if self._dtype(cut).is_integer and not self._is_constant(cut)]
        shapes = [cut for cut in numbers if self._is_shape(cut)]
        rows = [cut for cut in numbers if cut not in shapes]
        if len(floats) != 1 or len(rows) > 1 or len(shapes) > 1:
            raise errors.ExportError(
                f"What the gradient of {variable!r} is in {self._place} is not clear: its update reads "
                f"{errors.quoted(sorted(cut.name for cut in cuts))}.\n{LEAVE_IT}"
            )
        call = self._scopes.of(floats[0].node)
        assert call is not None, "a cut comes out of tf.gradients"
        return Gradient(
            variable,
            call.differentiated[0] if call.differentiated else self._step.losses[0],
            floats[0].name,
            rows[0].name if rows else None,
            shapes[0].name if shapes else None,
        )

    def _variables_of(self, cut: Tensor) -> set[str]:
        """Returns the variables that the operation reads whose gradient a tensor is."""
        operation = backprop.operation_of(self._index, self._scope(cut), cut.node)
        if operation is None:
            # The sum of what several operations give.
            return {name for tensor in data_inputs(self._index[cut.node]) for name in self._variables_of(tensor)}
        read = (variables.read_by(self._index, tensor) for tensor in data_inputs(self._index[operation]))
        return {name for name in read if name is not None}

    def _dtype(self, tensor: Tensor) -> tf.DType:
        return tf.as_dtype(self._index.data_type(tensor) or tf.float32).base_dtype

    def _is_constant(self, cut: Tensor) -> bool:
        above = self._index.ancestors([cut.node])
        return not any(self._index[name].op in ops.PLACEHOLDERS | ops.FEEDERS | ops.VARIABLES for name in above)

    def _is_shape(self, cut: Tensor) -> bool:
        """Whether whole numbers are the shape that IndexedSlices have, not the numbers of rows."""
        node = self._index[cut.node]
        if node.op in ops.SIZES:
            return True
        inputs = data_inputs(node)
        return node.op in ("Cast", "Identity") and bool(inputs) and self._is_shape(inputs[0])

    def _refuse_shared(self, gradients: list[Gradient]) -> None:
        owners: dict[str, str] = {}
        for gradient in gradients:
            other = owners.setdefault(gradient.values, gradient.variable)
            if other != gradient.variable:
                raise errors.ExportError(
                    f"{gradient.values!r} in {self._place} goes into {other!r} and into {gradient.variable!r}; it can be "
                    f"the gradient of only one.\n{LEAVE_IT}"
                )
