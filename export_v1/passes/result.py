"""What every pass returns: a graph goes in, and a `Result` comes out.

A pass is a module named by what it does. Its function takes a GraphDef, which it does not modify, and whatever else it
needs by name; it opens no Session and reads no file. `sequence` says which passes run on a model, and in which order.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from export_v1.format.record import Replaced
from export_v1.ir.graph import GraphDef, Index


@dataclasses.dataclass(frozen=True)
class Notes:
    """What passes have to say for the record; the notes of several passes are added up.

    Attributes:
        folded: how many nodes went with conditions on constants, and how many dropouts were removed.
        converted: kind of control-flow construct -> how many were made functional.
        unconverted: constructs that stayed as they were, each with the reason.
        moving_averages: variables that batch norms use in place of a statistic of each batch.
        asset_files: filename tensor -> path of the file.
        replaced: ops that others stand in for.
    """

    folded: int = 0
    converted: Mapping[str, int] = dataclasses.field(default_factory=dict)
    unconverted: Sequence[tuple[str, str]] = dataclasses.field(default_factory=list)
    moving_averages: tuple[str, ...] = ()
    asset_files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    replaced: tuple[Replaced, ...] = ()

    def __add__(self, other: "Notes") -> "Notes":
        counts = dict(self.converted)
        for kind, count in other.converted.items():
            counts[kind] = counts.get(kind, 0) + count
        return Notes(
            folded=self.folded + other.folded,
            converted=counts,
            unconverted=[*self.unconverted, *other.unconverted],
            moving_averages=(*self.moving_averages, *other.moving_averages),
            asset_files={**self.asset_files, **other.asset_files},
            replaced=(*self.replaced, *other.replaced),
        )


@dataclasses.dataclass(frozen=True)
class Result:
    """What a pass returns.

    Attributes:
        graph_def: the new graph.
        renamed: tensor name -> name of the tensor that has its value in the new graph; every other tensor that is
            still computed keeps its name.
        notes: what the pass has to say for the record.
        index: of the new graph, where there is one already.
    """

    graph_def: GraphDef
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: Notes = dataclasses.field(default_factory=Notes)
    index: Index | None = None
