"""What became of a graph: layers, ops, weights, proofs."""

import dataclasses
from collections import Counter
from collections.abc import Mapping

from export_v1.console import tables
from load_v2.opening.cover import Miss


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """A rebuilt model in numbers; printed, one line for each finding.

    Attributes:
        layers: class of Keras's layers -> how many.
        printed: class that the code defines -> why it had to.
        operations: op -> how many nodes became code without a layer.
        nodes: live nodes that depend on data.
        nodes_in_layers: those of them that are part of a layer of Keras's own.
        weights: numbers that layers hold of the graph's variables; in a graph that has none, all that layers hold.
        constants: numbers that layers hold of no variable, such as a large table of sines.
        standard_weights: those of `weights` that are in Keras's own layers.
        lines: of the generated code, without docstrings, comments, imports and blank lines; None where there is no code.
        live: nodes of the graph that the outputs need, weights, constants and the bodies of loops among them.
        islands: pieces of graph without code, one line for each.
        misses: pieces that are nearly a layer, with what is different.
        proofs: backend -> one line for each output and batch.
        notes: what else there is to know.
    """

    layers: Mapping[str, int]
    printed: Mapping[str, str]
    operations: Mapping[str, int]
    nodes: int
    nodes_in_layers: int
    weights: int
    constants: int
    standard_weights: int
    lines: int | None
    live: int
    islands: tuple[str, ...] = ()
    misses: tuple[Miss, ...] = ()
    proofs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """The share of the weights that is in layers of Keras's own; 1 where there are none."""
        return self.standard_weights / self.weights if self.weights else 1.0

    def __str__(self) -> str:
        return "\n".join(self.text())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [tuple(line.split(": ", 1)) for line in self.text()]
        return tables.Table("A rebuilt model", rows).html()

    def text(self) -> list[str]:
        """Returns the report, one line for each finding."""
        lines = [f"layers: {_counted(self.layers)}"]
        lines += [f"printed class {name}: {reason}" for name, reason in self.printed.items()]
        if self.operations:
            lines.append(f"keras.ops: {_counted(self.operations)}")
        code = "none, something is refused" if self.lines is None else f"{self.lines} lines for {self.live} nodes"
        beside = f", and {self.constants:,} in constants" if self.constants else ""
        lines.append(
            f"weights: {self.weights:,} numbers, {self.share:.2%} in Keras's own layers{beside}; "
            f"nodes: {self.nodes_in_layers} of {self.nodes} in layers; code: {code}"
        )
        lines += [f"no code: {island}" for island in self.islands]
        lines += [f"not a layer: {miss}" for miss in self.misses]
        for backend, findings in self.proofs.items():
            lines += [f"{backend}: {line}" for line in findings]
        return lines + [f"note: {note}" for note in self.notes]


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in Counter(counts).most_common()) or "none"
