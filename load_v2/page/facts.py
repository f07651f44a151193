"""Everything that the page says of an export, gathered."""

import dataclasses
import math
import os
import platform
from collections.abc import Collection, Iterable, Mapping

import keras
import tensorflow as tf

from export_v1.console import progress
from export_v1.format.comparison import Verdict
from export_v1.format.record import VariableEntry
from load_v2 import verification
from load_v2.errors import LoadError, path_of, unknown
from load_v2.layer import archive_file
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


def gather(path: str | os.PathLike, allow_ops: Collection[str] = (), layer: str = "") -> Facts:
    """Returns what there is to say of an export, or of a layer in a .keras archive.

    The recorded answers are replayed; of an archive, in which there are none, the digests are compared. Where that is not
    possible, or the weights cannot be read, the page says why: it is there to look at what is wrong, too.

    Args:
        path: folder of the export, or the archive.
        allow_ops: ops to let run although they could touch files, network or Python.
        layer: name of the layer in the archive; it may be left out where there is one.

    Raises:
        LoadError: it cannot be read, or has no such layer.
    """
    path = path_of(path)
    if not archive_file.is_archive(path):
        if layer:
            raise LoadError(f"{path!r} is no .keras archive, and has no layer {layer!r}.\n  Leave --layer out.")
        source = artefact.read(path)
        return _gathered(path, source, weights.read(source), allow_ops)
    with archive_file.opened(path) as layers:
        stored = _chosen(layers, layer, path)
        return _gathered(path, stored.source, weights.of_archive(stored), allow_ops)


def _chosen(layers: list[archive_file.Stored], name: str, path: str) -> archive_file.Stored:
    by_name = {stored.name: stored for stored in layers}
    if name and name not in by_name:
        raise unknown("Layer", name, repr(path), by_name, f"Pass --layer={min(by_name)}.")
    if not name and len(layers) > 1:
        flags = "\n".join(f"    --layer={other}" for other in by_name)
        raise LoadError(
            f"{path!r} holds {len(layers)} layers, and a page is about one of them.\n  Pass one of:\n{flags}"
        )
    return by_name[name] if name else layers[0]


def _gathered(
    path: str, source: artefact.Artefact, read: Iterable[tuple[artefact.Variable, Numbers]], allow_ops: Collection[str]
) -> Facts:
    progress.stage("drawing the graph", 0.15)
    graphs, not_drawn = _graphs(source)
    numbers, no_numbers = _numbers(read, len(source.variables))
    verdict, conclusion, findings, plots, damaged = _proof(path, allow_ops)
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
        limits=limits.of(source, not_finite, archive_file.is_archive(path)),
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


def _numbers(
    read: Iterable[tuple[artefact.Variable, Numbers]], count: int
) -> tuple[list[tuple[artefact.Variable, Numbers]], str]:
    try:
        return list(progress.counted(read, "reading weights", count)), ""
    except LoadError as error:
        return [], f"The weights cannot be read: {error}"


def _proof(path: str, allow_ops: Collection[str]) -> tuple[Verdict, str, list[str], list[Plot], Collection[str]]:
    plots: list[Plot] = []

    def watch(*answer) -> None:
        plots.append(proof.of(*answer))

    try:
        report = verification.verify(path, allow_ops, watch)
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
    if report.archive is not None:
        return f"{verdict.removeprefix('DIFFERENT: ').capitalize()}; no recorded answers travel in it."
    if report.verdict is Verdict.EQUAL:
        left = verdict.removeprefix("equal").lstrip(", ")
        return "The export answers as the original did" + (f"; {left}" if left else "") + "."
    if report.verdict is Verdict.DIFFERENT:
        return "The export is not what step 1 wrote, or answers otherwise than the original did."
    return f"{verdict.removeprefix('not proven: ').capitalize()}."
