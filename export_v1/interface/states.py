"""States that a loop takes in and gives back changed, as a recurrent network does from one call to the next."""

from export_v1.interface.roles import FORMS, Roles
from export_v1.ir import ops
from export_v1.ir.graph import NodeDef, Tensor, data_inputs

_PARTS = frozenset({"StridedSlice", "Slice", "Split", "SplitV", "Unpack"})


def ended(roles: Roles) -> list[Tensor]:
    """Returns what loops of the model end with: the last value of each of their variables, arrays and counters aside."""
    return [
        Tensor(node.name)
        for node in roles.nodes
        if node.op in ops.EXITS
        and roles.in_model(node.name)
        and not roles.is_scalar(Tensor(node.name))
        and (start := _start(roles, node)) is not None
        and not roles.index[start.node].op.startswith("TensorArray")
    ]


def new(roles: Roles) -> dict[Tensor, Tensor]:
    """Returns what a loop ends with -> the source that it starts with, for the loops that start with one as it is."""
    starts: dict[Tensor, Tensor] = {}
    for tensor in ended(roles):
        start = _start(roles, roles.index[tensor.node])
        assert start is not None, "only loops with a start are told"
        source = _source(roles, start)
        # A loop over nothing but its own start computes an answer; a state meets other data on its way.
        others = [other_source for other_source in roles.sources_of(tensor.node) if other_source != source]
        if source in roles.data and any(other_source in roles.data for other_source in others):
            starts[tensor] = source  # type: ignore[assignment]
    return starts


def _start(roles: Roles, exit_node: NodeDef) -> Tensor | None:
    """The first value of a loop variable, from the Exit that gives its last: Exit, Switch, Merge, Enter."""
    node = exit_node
    for wanted in (ops.SWITCHES, ops.MERGES, ops.ENTERS):
        node = roles.index.nodes.get(data_inputs(node)[0].node)
        if node is None or node.op not in wanted:
            return None
    start = data_inputs(node)[0]
    return start if start.node in roles.index else None


def _source(roles: Roles, start: Tensor) -> Tensor | None:
    """The source that a value is as it stands, or a part of; what a source only sizes, as a zero state, is none."""
    while start not in roles.sources:
        node = roles.index.nodes.get(start.node)
        if node is None or node.op not in FORMS | _PARTS or not roles.live.data(node):
            return None
        # The axis comes first where the value does not.
        start = roles.live.data(node)[1 if node.op == "Split" else 0]
    return start
