"""A graph on its way through the passes, and what is asked of it."""

import dataclasses
from collections.abc import Callable, Collection, Mapping

import numpy as np

from export_v1.ir.graph import GraphDef, Index
from export_v1.passes.result import Notes, Result

Shape = list[int | None] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class State:
    """A graph on its way through the passes, and what is asked of it.

    Attributes:
        graph_def: the graph as it is now.
        inputs: tensor that is fed, as the graph was written -> its DataType and static shape.
        frozen: tensor that never changes, as the graph was written -> its value.
        outputs: signature key -> output key -> tensor, by the name that it has now.
        losses: tensors to keep beside the outputs, by the names that they have now.
        updates: nodes that run whenever an output is computed.
        batch: the size of a batch that the graph was built for; None where it is not known.
        assets: filename tensor, as the graph was written -> path, where the source says it.
        find: returns where a file is, by its name in the graph and its known path.
        written: the whole graph as it was written, Saver and initializers included.
        stored: returns the value that the checkpoint has under a key, or None where it has none.
        training: whether it is asked for training.
        kept_ops: ops that are not to be replaced.
        table_inits: ops that initialize the tables.
        renamed: tensor, as the graph was written -> the name that it has now, where that is another.
        notes: what the passes have said so far.
        known: an index of the graph, where there is one.
    """

    graph_def: GraphDef
    inputs: Mapping[str, tuple[int, Shape]]
    frozen: Mapping[str, object]
    outputs: Mapping[str, Mapping[str, str]]
    losses: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    batch: int | None = None
    assets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    find: Callable[[str, str | None], str]
    written: GraphDef | None = None
    stored: Callable[[str], np.ndarray | None] = lambda key: None
    training: bool = False
    kept_ops: Collection[str] = ()
    table_inits: tuple[str, ...] = ()
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: Notes = dataclasses.field(default_factory=Notes)
    known: Index | None = None

    def __post_init__(self) -> None:
        # A pass that changes nothing returns the graph that it was given, and the index of that is good still.
        if self.known is None or self.known.graph_def is not self.graph_def:
            object.__setattr__(self, "known", Index(self.graph_def))

    @property
    def index(self) -> Index:
        """The graph looked up by name and by edge; one for all who look at it."""
        assert self.known is not None, "made with the state"
        return self.known

    def name(self, tensor: str) -> str:
        """Returns the name that a tensor of the graph as it was written has now."""
        return self.renamed.get(tensor, tensor)

    @property
    def fetched(self) -> list[str]:
        """Every output and loss, by the names that they have now."""
        names = [name for tensors in self.outputs.values() for name in tensors.values()]
        return list(dict.fromkeys([*names, *self.losses]))

    @property
    def ends(self) -> list[str]:
        """What the graph has to keep: all that is asked for, and inputs that no output depends on."""
        return [*self.fetched, *map(self.name, self.inputs), *self.updates]

    @property
    def fed(self) -> dict[str, object]:
        """Frozen tensors that are still fed -> their values."""
        placeholders = {f"{node.name}:0" for node in self.graph_def.node if node.op == "Placeholder"}
        values = {self.name(tensor): value for tensor, value in self.frozen.items()}
        return {tensor: value for tensor, value in values.items() if tensor in placeholders}

    def after(self, result: Result) -> "State":
        """Returns the state after a pass."""
        new = result.renamed
        return dataclasses.replace(
            self,
            graph_def=result.graph_def,
            outputs={
                key: {name: new.get(tensor, tensor) for name, tensor in tensors.items()}
                for key, tensors in self.outputs.items()
            },
            losses=tuple(new.get(tensor, tensor) for tensor in self.losses),
            renamed={**new, **{old: new.get(tensor, tensor) for old, tensor in self.renamed.items()}},
            notes=self.notes + result.notes,
            known=result.index or self.known,
        )
