"""Replays the recorded answers of the original graph, and checks the variables against their recorded checksums."""

import dataclasses
import os
from collections.abc import Collection

import numpy as np

from export_v1.format import bundle, comparison
from export_v1.format import sample as codec
from export_v1.format.comparison import Comparison
from load_v2 import errors
from load_v2.errors import LoadError, quoted
from load_v2.layer import archive, archive_file
from load_v2.layer.signature_layer import SignatureLayer
from load_v2.program import artefact, program


@dataclasses.dataclass(frozen=True)
class Report:
    """What `verify` found: a comparison for each output, names of variables that changed since step 1, other notes.

    `changed` says whether an archive is not what was saved; the notes name what.
    """

    outputs: tuple[Comparison, ...]
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    changed: bool = False

    @property
    def equal(self) -> bool:
        return all(output.equal for output in self.outputs) and not self.damaged and not self.changed

    def lines(self) -> list[str]:
        """Returns the report as text, one line for each finding."""
        lines = [str(output) for output in self.outputs]
        lines += [
            f"variable {name}: DIFFERENT, its checksum is not the one that step 1 recorded" for name in self.damaged
        ]
        return lines + list(self.notes)


def verify(path: str | os.PathLike, allow_ops: Collection[str] = ()) -> Report:
    """Replays the sample that step 1 recorded in `path` through a SignatureLayer, and compares.

    Integers, booleans and strings must be identical, floats within `export_v1.format.comparison.TOLERANCES`; NaN equals NaN.

    Args:
        path: folder of an export; or a .keras archive, of which the digests are compared: no answers travel in it.
        allow_ops: ops to let run although they could touch files, network or Python.

    Raises:
        LoadError: there is no sample, or the export cannot be loaded.
    """
    path = os.fspath(path)
    if archive_file.is_archive(path):
        return _verify_archive(path)
    source = artefact.read(path)
    left_out = source.record.sample_left_out if source.record else None
    sample = codec.Arrays({}, {}) if left_out else _sample(path, source)
    layer = SignatureLayer(path, allow_ops=allow_ops)
    with errors.blamed(f"{path!r} cannot answer its recorded inputs"):
        answers = layer(sample.inputs) if sample.outputs else {}
    answers = answers if isinstance(answers, dict) else {next(iter(sample.outputs)): answers}
    random = program.random_outputs(archive.shared(path, "serving_default").serve)
    comparisons = []
    for key, want in sample.outputs.items():
        if key not in answers:
            comparisons.append(Comparison(key, False, np.nan, np.nan, (), 0, "the export has no such output"))
            continue
        have = np.asarray(answers[key])
        compared = comparison.compare(key, want, have, noise=sample.noise.get(key, 0.0))
        comparisons.append(_compare_random(compared, want, have) if key in random else compared)
    damaged, notes = _checksums(source)
    notes += [f"note: no answers were recorded, {left_out}; only the variables were compared"] if left_out else []
    bad = [w.name for w in layer.weights if w.dtype in comparison.TOLERANCES and not _is_finite(np.asarray(w))]
    notes += [f"note: variable {name} holds NaN or infinity" for name in bad]
    return Report(tuple(comparisons), tuple(damaged), tuple(notes))


def _verify_archive(path: str) -> Report:
    with archive_file.opened(path) as layers:
        notes = [line for stored in layers for line in stored.lines()]
        changed = any(stored.changed for stored in layers)
        untold = [stored.name for stored in layers if stored.changed is None]
    if untold:
        raise LoadError(f"{path!r} has no digests to compare: {quoted(untold)}.\n  Load it and save it again.")
    notes.append("note: no recorded answers travel in an archive; verify the export that it was made of")
    return Report((), (), tuple(notes), changed)


def _is_finite(values: np.ndarray) -> bool:
    # A sum needs no second array of the weights' size; it can only be too careful.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def _sample(path: str, source: artefact.Artefact) -> codec.Arrays:
    file = os.path.join(path, codec.PATH)
    if not os.path.exists(file):
        why = "it was exported with --no_sample" if source.record else "it was not made by step 1"
        raise LoadError(f"{path!r} has no recorded answers: {why}.\n  Run step 1 on it to record them.")
    sample = codec.read(file, LoadError, "Export again.")
    if not sample.outputs:
        raise LoadError(f"{file!r} holds no answers.\n  Export again.")
    return sample


def _compare_random(compared: Comparison, want: np.ndarray, have: np.ndarray) -> Comparison:
    """Compares what can be of an output that draws random numbers. Two runs of the original may agree by chance, and then
    step 1 took it for one that is always the same."""
    if compared.equal or want.shape != have.shape or want.dtype.kind != have.dtype.kind:
        return compared
    return dataclasses.replace(
        compared, equal=True, note="in shape and type; it is random, so its values prove nothing"
    )


def _checksums(source: artefact.Artefact) -> tuple[list[str], list[str]]:
    entries = source.record.variables if source.record else ()
    recorded = {entry.name: entry for entry in entries if entry.crc32c is not None}
    if not recorded or source.bundle is None:
        return [], []
    index = bundle.read(source.bundle)
    if index is None:
        raise LoadError(f"{source.bundle}.index is damaged.\n  Export again.")
    keys = {variable.name: variable.key for variable in source.variables}
    damaged = [
        name
        for name, entry in recorded.items()
        if keys.get(name, name) not in index.tensors or index.checksum(keys.get(name, name)) != entry.crc32c
    ]
    return damaged, [f"variables: {len(recorded) - len(damaged)} of {len(recorded)} have their recorded checksum"]
