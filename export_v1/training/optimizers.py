"""Which optimizer a step of training is, and its settings: as its Apply… ops have them, or as plain ops compute it."""

import dataclasses
from collections.abc import Mapping

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
        rate: tensor name of the learning rate; None where nothing tells which tensor it is.
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
        variable = variables.read_by(index, data_inputs(node)[0]) if ops.writes_variable(node.op) else None
        if variable is not None and node.name in reached:
            writers.setdefault(variable, []).append(node)
    trained = dict.fromkeys(gradient.variable for gradient in gradients)
    return tuple(_optimizer(index, variable, writers[variable]) for variable in trained)


def _optimizer(index: Index, variable: str, writers: list[NodeDef]) -> Optimizer:
    if len(writers) == 1 and ops.is_optimizer_step(writers[0].op):
        return _by_op(index, variable, writers[0])
    return Optimizer(variable, PLAIN, _rate_of_plain(index, writers))


def _by_op(index: Index, variable: str, node: NodeDef) -> Optimizer:
    definition = graph.op_def(node.op)
    arguments = dict(zip((arg.name for arg in definition.input_arg), data_inputs(node), strict=False))
    rate = next((arguments[name] for name in _RATES if name in arguments), None)
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


def _rate_of_plain(index: Index, writers: list[NodeDef]) -> str | None:
    """Returns the number that a step is multiplied with before it is taken from its variable: var - rate * step."""
    for node in writers:
        steps = data_inputs(node)[1:]
        if node.op in ops.ASSIGNS and steps:
            difference = index.nodes.get(steps[0].node)
            steps = data_inputs(difference)[1:] if difference is not None and difference.op == "Sub" else []
        elif node.op not in ops.ASSIGN_SUBS:
            steps = []
        product = index.nodes.get(steps[0].node) if steps else None
        if product is None or product.op != "Mul":
            continue
        for factor in data_inputs(product):
            if graph.recorded_shape(index[factor.node], factor.index) == []:
                return factor.name
    return None


def rates(optimizers: tuple[Optimizer, ...]) -> tuple[str, ...]:
    """Returns the learning rates by tensor name, each once."""
    return tuple(dict.fromkeys(parse(one.rate).name for one in optimizers if one.rate is not None))
