"""Which optimizer a step of training is, and its settings: as its Apply… ops have them, or as plain ops compute it."""

import dataclasses
from collections.abc import Collection, Mapping

from export_v1.analysis import constants, variables
from export_v1.ir import graph, match, ops
from export_v1.ir.graph import Index, NodeDef, Tensor, data_inputs, parse
from export_v1.training.gradients import Gradient
from export_v1.training.step import TrainStep

# What the OpDefs of TensorFlow call the learning rate.
_RATES = ("lr", "alpha")
_SLOTS = (
    "m", "v", "mg", "ms", "mom", "accum", "accum_update", "linear", "gradient_accumulator", "gradient_squared_accumulator",
    "beta1_power", "beta2_power",
)  # fmt: skip
PLAIN = "plain ops"


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How some variables are changed by their gradients.

    Attributes:
        kind: the Apply… op without prefixes ("Adam", "CenteredRMSProp"), or `PLAIN`.
        rate: tensor name of the learning rate; None where nothing tells which tensor it is, or it depends on gradients.
        settings: argument of the op -> its value, for those that are constants.
        options: attribute of the op -> its value, such as use_nesterov.
        sparse: whether it changes rows alone.
        gradient: tensor name of the gradient as the op takes it, after clipping and whatever else.
        slots: argument of the op -> name of the variable.
        variable: what it changes.
    """

    variable: str
    kind: str
    rate: str | None = None
    settings: Mapping[str, float] = dataclasses.field(default_factory=dict)
    options: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    sparse: bool = False
    gradient: str | None = None
    slots: Mapping[str, str] = dataclasses.field(default_factory=dict)


def of(index: Index, step: TrainStep, gradients: tuple[Gradient, ...]) -> tuple[Optimizer, ...]:
    """Returns, for each variable that has a gradient, how it is changed; in the order of the gradients.

    What one Apply… op does alone is told by that op; anything else is `PLAIN`.
    """
    writers: dict[str, list[NodeDef]] = {}
    # Weight decay may write a variable, too, before its gradient does.
    reached = {*index.ancestors(step.runs), *step.writers}
    for node in index.graph_def.node:
        variable = variables.written_by(index, node)
        if variable is not None and node.name in reached:
            writers.setdefault(variable, []).append(node)
    trained = dict.fromkeys(gradient.variable for gradient in gradients)
    computed = _computed_from_gradients(index, step, trained)
    return tuple(_optimizer(index, variable, writers[variable], computed) for variable in trained)


def _computed_from_gradients(index: Index, step: TrainStep, trained: Collection[str]) -> set[str]:
    """Returns what computes with a gradient, slots that were just written included; waiting for one is not enough."""
    computed: set[str] = set()
    todo = [parse(cut).node for cut in step.cuts]
    while todo:
        name = todo.pop()
        if name in computed:
            continue
        computed.add(name)
        written = variables.written_by(index, index[name])
        slot = written if written not in trained else None
        for reader, at in index.consumers(name):
            # What reads a slot after it was written waits for that.
            is_fresh = slot is not None and variables.read_by(index, Tensor(reader.name)) == slot
            if is_fresh or parse(reader.input[at]).index >= 0:
                todo.append(reader.name)
    return computed


def _optimizer(index: Index, variable: str, writers: list[NodeDef], computed: Collection[str]) -> Optimizer:
    if len(writers) == 1 and ops.is_optimizer_step(writers[0].op):
        return _by_op(index, variable, writers[0], computed)
    rates = {rate for node in writers if (rate := _rate(index, node, computed)) is not None}
    return Optimizer(variable, PLAIN, rates.pop().name if len(rates) == 1 else None)


def _arguments(node: NodeDef) -> dict[str, Tensor]:
    definition = graph.op_def(node.op)
    return dict(zip((arg.name for arg in definition.input_arg), data_inputs(node), strict=False))


def _by_op(index: Index, variable: str, node: NodeDef, computed: Collection[str]) -> Optimizer:
    arguments = _arguments(node)
    rate = _rate(index, node, computed)
    # ApplyAddSign has an alpha beside its rate.
    settings = {name: value for name, tensor in arguments.items() if (value := _constant(index, tensor)) is not None}
    gradient = arguments.get("grad", arguments.get("delta"))
    return Optimizer(
        variable,
        node.op.removeprefix("Resource").removeprefix("Sparse").removeprefix("Apply"),
        None if rate is None else rate.name,
        settings,
        {name: node.attr[name].b for name in ("use_nesterov",) if name in node.attr},
        "SparseApply" in node.op,
        None if gradient is None else gradient.name,
        {name: slot for name in _SLOTS if name in arguments and (slot := variables.read_by(index, arguments[name]))},
    )


def _constant(index: Index, tensor: Tensor) -> float | None:
    source = match.origin(index, tensor, ops.IDENTITIES)
    node = index.nodes.get(source.node)
    value = constants.evaluated(node) if node is not None and node.op == "Const" else None
    return float(value) if value is not None and value.ndim == 0 and value.dtype.kind in "fiu" else None


def _rate(index: Index, writer: NodeDef, computed: Collection[str]) -> Tensor | None:
    """Returns the number that a writer multiplies with what it makes of a gradient: var - rate * step.

    Weight decay has the same form, with the variable itself in place of the step; a rate that is made of gradients cannot
    be told before there are any.
    """
    if ops.is_optimizer_step(writer.op):
        arguments = _arguments(writer)
        rate = next((arguments[name] for name in _RATES if name in arguments), None)
        return rate if rate is not None and rate.node not in computed else None
    product = _subtracted(index, writer)
    if product is None or product.op != "Mul":
        return None
    steps = [factor for factor in data_inputs(product) if factor.node in computed]
    others = [factor for factor in data_inputs(product) if factor.node not in computed]
    if len(steps) == 1 and graph.recorded_shape(index[others[0].node], others[0].index) == []:
        return others[0]
    return None


def _subtracted(index: Index, writer: NodeDef) -> NodeDef | None:
    """Returns the node that computes what a writer takes from its variable."""
    values = data_inputs(writer)[1:]
    if writer.op in ops.ASSIGN_SUBS and values:
        return index.nodes.get(values[0].node)
    if writer.op not in ops.ASSIGNS or not values:
        return None
    difference = index.nodes.get(values[0].node)
    if difference is None or difference.op != "Sub":
        return None
    return index.nodes.get(data_inputs(difference)[1].node)


def rates(optimizers: tuple[Optimizer, ...]) -> tuple[str, ...]:
    """Returns the learning rates by tensor name, each once."""
    return tuple(dict.fromkeys(parse(optimizer.rate).name for optimizer in optimizers if optimizer.rate is not None))
