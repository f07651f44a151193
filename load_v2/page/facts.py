"""Everything that the page says of an export, gathered."""

import dataclasses
import math
import os
import platform
from collections.abc import Collection, Mapping

import keras
import tensorflow as tf

from export_v1.console import progress
from export_v1.format.comparison import Verdict
from export_v1.format.record import VariableEntry
from load_v2 import verification
from load_v2.errors import LoadError
from load_v2.page import limits, proof, scopes, weights
from load_v2.page.limits import Limit
from load_v2.page.proof import Plot
from load_v2.page.scopes import Scope
from load_v2.page.weights import Numbers
from load_v2.program import artefact, subgraph


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the page says.

    Attributes:
        source: the export.
        graphs: signature key -> its graph by scope.
        not_drawn: how many ops are left out of these.
        numbers: each variable, and what it holds.
        no_numbers: why there are none; "" otherwise.
        entries: what the record says of each variable, by its name.
        verdict: of all that was compared now.
        conclusion: the verdict in words.
        findings: lines of `verify`, without the verdict.
        plots: answers to plot, one for each output.
        damaged: variables that changed since step 1.
        limits: what cannot be done.
        versions: of what wrote the page.
    """

    source: artefact.Artefact
    graphs: Mapping[str, Scope]
    not_drawn: int
    numbers: list[tuple[artefact.Variable, Numbers]]
    no_numbers: str
    entries: Mapping[str, VariableEntry]
    verdict: Verdict
    conclusion: str
    findings: list[str]
    plots: list[Plot]
    damaged: Collection[str]
    limits: list[Limit]
    versions: str

    @property
    def size(self) -> int:
        """How many numbers the variables hold."""
        return sum(math.prod(variable.shape) for variable in self.source.variables)


def gather(path: str | os.PathLike, allow_ops: Collection[str] = ()) -> Facts:
    """Returns what there is to say of an export; its recorded answers are replayed.

    Where they cannot be, or the weights cannot be read, the page says why: it is there to look at what is wrong, too.

    Raises:
        LoadError: the folder cannot be read.
    """
    source = artefact.read(path)
    progress.stage("drawing the graph", 0.15)
    graphs, not_drawn = _graphs(source)
    numbers, no_numbers = _numbers(source)
    verdict, conclusion, findings, plots, damaged = _proof(source, allow_ops)
    not_finite = [variable.name for variable, held in numbers if held.nan or held.infinite]
    return Facts(
        source=source,
        graphs=graphs,
        not_drawn=not_drawn,
        numbers=numbers,
        no_numbers=no_numbers,
        entries={entry.name: entry for entry in (source.record.variables if source.record else ())},
        verdict=verdict,
        conclusion=conclusion,
        findings=findings,
        plots=plots,
        damaged=damaged,
        limits=limits.of(source, not_finite),
        versions=f"TensorFlow {tf.__version__}, Keras {keras.__version__}, Python {platform.python_version()}",
    )


def _graphs(source: artefact.Artefact) -> tuple[dict[str, Scope], int]:
    drawn: dict[str, Scope] = {}
    not_drawn = 0
    for key, signature in source.signatures.items():
        roles = {subgraph.split(spec.tensor)[0]: f"output {name}" for name, spec in signature.outputs.items()}
        roles |= {subgraph.split(spec.tensor)[0]: f"input {name}" for name, spec in signature.inputs.items()}
        part = subgraph.needed(source.meta_graph.graph_def, [spec.tensor for spec in signature.outputs.values()])
        drawn[key], left = scopes.tree(part, roles)
        not_drawn += left
    return drawn, not_drawn


def _numbers(source: artefact.Artefact) -> tuple[list[tuple[artefact.Variable, Numbers]], str]:
    try:
        return list(progress.counted(weights.read(source), "reading weights", len(source.variables))), ""
    except LoadError as error:
        return [], f"The weights cannot be read: {error}"


def _proof(
    source: artefact.Artefact, allow_ops: Collection[str]
) -> tuple[Verdict, str, list[str], list[Plot], Collection[str]]:
    plots: list[Plot] = []

    def watch(*answer) -> None:
        plots.append(proof.of(*answer))

    try:
        report = verification.verify(source.path, allow_ops, watch)
    except LoadError as error:
        return (
            Verdict.NOT_PROVEN,
            f"It could not be verified: {str(error).splitlines()[0]}",
            str(error).splitlines(),
            [],
            (),
        )
    *findings, verdict = report.lines()
    conclusion = _in_words(report, verdict.removeprefix("verdict: "))
    return report.verdict, conclusion, findings, proof.worst_first(plots), report.damaged


def _in_words(report: verification.Report, verdict: str) -> str:
    if report.verdict is Verdict.EQUAL:
        left = verdict.removeprefix("equal").lstrip(", ")
        return "The export answers as the original did" + (f"; {left}" if left else "") + "."
    if report.verdict is Verdict.DIFFERENT:
        return "The export is not what step 1 wrote, or answers otherwise than the original did."
    return f"{verdict.removeprefix('not proven: ').capitalize()}."
