"""Replays the recorded answers of the original graph, and checks that record, sample, signature and variables agree."""

import dataclasses
import functools
import gc
import os
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import tensorflow as tf

from export_v1.console import progress, tables
from export_v1.format import bundle, comparison, digests
from export_v1.format import sample as codec
from export_v1.format.comparison import Comparison, Verdict
from export_v1.format.record import Record, SampleEntry, TensorEntry
from export_v1.ir import randomness
from export_v1.ir.graph import Index
from load_v2 import replay
from load_v2.errors import LoadError, path_of, quoted
from load_v2.layer import archive_file
from load_v2.program import artefact
from load_v2.program.signature import Spec
from load_v2.training import replaying

_SIGNATURE = "serving_default"
# How often an output that a random op stands before is asked for, before it is called different. See `proof.sample`.
_DRAWS = 16

# Reader, number of the set of inputs, recorded answer, the export's answer, comparison, size of rounding noise.
Watch = Callable[[str, int, np.ndarray, np.ndarray, Comparison, float], None]
_AS_SAVED = {True: "the archive is what was saved", False: "DIFFERENT: the archive was changed after it was saved"}


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """What `verify` found; printed, one line for each finding.

    Attributes:
        outputs: a comparison for each output, over all readers and sets of inputs.
        damaged: names of variables that changed since step 1.
        notes: what else there is to say.
        unlike: what the files say otherwise than the record; each makes the export different.
        why: why nothing could be compared; "" where something was.
        archive: whether a .keras archive is what was saved; None of an export.
    """

    outputs: tuple[Comparison, ...]
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    why: str = ""
    archive: bool | None = None

    @property
    def verdict(self) -> Verdict:
        """Equal where all that was compared is; not proven where no output could be."""
        if self.damaged or self.unlike or self.archive is False:
            return Verdict.DIFFERENT
        return comparison.overall(output.verdict for output in self.outputs)

    @property
    def equal(self) -> bool:
        """Whether outputs were compared, and all that were are equal, and the variables are those of step 1."""
        return self.verdict is Verdict.EQUAL

    def lines(self) -> list[str]:
        """Returns the report as text, one line for each finding; the last one has the verdict."""
        lines = [str(output) for output in self.outputs]
        lines += self.unlike
        lines += [
            f"variable {name}: DIFFERENT, its checksum is not the one that step 1 recorded" for name in self.damaged
        ]
        conclusion = self._conclusion() if self.archive is None else _AS_SAVED[self.archive]
        return [*lines, *self.notes, f"verdict: {conclusion}"]

    def to_json(self) -> dict[str, object]:
        """Returns the report as plain JSON values; `load_v2/README.md` has the fields."""
        return {
            "verdict": self.verdict.value,
            "why": self.why,
            "outputs": [output.to_json() for output in self.outputs],
            "damaged": list(self.damaged),
            "unlike": list(self.unlike),
            "notes": list(self.notes),
            "archive_is_as_saved": self.archive,
        }

    def __str__(self) -> str:
        return "\n".join(self.lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [(output.key, str(output.verdict), output.difference) for output in self.outputs]
        *others, verdict = self.lines()[len(self.outputs) :]
        return tables.Table(verdict, [*rows, *((line,) for line in others)]).html()

    def _conclusion(self) -> str:
        if self.verdict is Verdict.NOT_PROVEN:
            return f"{self.verdict}: nothing to compare, variables intact" + (f" ({self.why})" if self.why else "")
        left = [output.key for output in self.outputs if output.verdict is Verdict.NOT_PROVEN]
        if self.verdict is Verdict.EQUAL and left:
            return f"{self.verdict}, all but what is not proven: {', '.join(left)}"
        return str(self.verdict)


def verify(path: str | os.PathLike, allow_ops: Collection[str] = (), watch: Watch | None = None) -> Report:
    """Replays what step 1 recorded in `path` through a SignatureLayer and through `tf.saved_model.load`, and compares.

    Integers, booleans and strings must be identical, floats within `export_v1.format.comparison.TOLERANCES`; NaN equals
    NaN. An output, an answer or a checksum that the record has and the files lack counts as different, and so does a
    signature of other tensors, and a file that is not as step 1 wrote it: the graph, an asset, the answers. An output that
    is random is not proven; nor is anything where no answers were recorded.
    Where there is a training, a recorded step of it is replayed through the model that `resume` makes: loss, gradients, and
    the variables after the update.

    Args:
        path: folder of an export; or a .keras archive, of which the digests are compared: no answers travel in it.
        allow_ops: ops to let run although they could touch files, network or Python.
        watch: gets each answer that was compared: the reader's name, the number of the set of inputs (0 is the first), the
            recorded answer, the export's, and their comparison.

    Raises:
        LoadError: it was not made by step 1, so there is nothing to go by; or it cannot be loaded, or cannot answer.
    """
    path = path_of(path)
    if archive_file.is_archive(path):
        return _archive(path)
    source = artefact.read(path)
    sample, why = _sample(source)
    changed, added = _files(source)
    unlike = changed + _unlike_signature(source) + _unlike_sample(source, sample)
    try:
        outputs, read_by, infinite = _replayed(source, sample, allow_ops, watch)
    except LoadError as error:
        # What was changed is why.
        raise LoadError("\n  ".join([str(error), *unlike])) from error
    outputs += _not_replayed(source, sample, {output.key for output in outputs})
    outputs += replaying.compared(source, allow_ops)
    damaged, notes = _checksums(source)
    if read_by:
        sets = f"{1 + len(sample.further)} sets of inputs" if sample.further else "1 set of inputs"
        notes = [f"replayed through {' and '.join(read_by)}: {sets}", *notes]
    notes += [f"note: step 1 wrote no {name}" for name in added]
    notes += [f"note: variable {name} holds NaN or infinity" for name in infinite]
    return Report(tuple(outputs), tuple(damaged), tuple(notes), tuple(unlike), why)


def _archive(path: str) -> Report:
    with archive_file.opened(path) as layers:
        notes = [line for stored in layers for line in stored.lines()]
        changed = any(stored.changed for stored in layers)
        untold = [stored.name for stored in layers if stored.changed is None]
    if untold:
        raise LoadError(f"{path!r} has no digests to compare: {quoted(untold)}.\n  Load it and save it again.")
    notes.append("note: no recorded answers travel in an archive; verify the export that it was made of")
    return Report((), notes=tuple(notes), archive=not changed)


def _sample(source: artefact.Artefact) -> tuple[codec.Arrays, str]:
    """Returns the sample, and why there is nothing to compare in it; "" where there is."""
    file = os.path.join(source.path, codec.PATH)
    record = source.record
    if os.path.exists(file):
        sample = codec.read(file, LoadError, "Export again.")
        if not sample.outputs and (record is None or record.sample is None):
            raise LoadError(f"{file!r} holds no answers.\n  Export again.")
        compared = any(one_set.outputs for one_set in (sample, *sample.further))
        return sample, "" if compared else "every output changes from run to run"
    if record is None:
        raise LoadError(
            f"{source.path!r} has no recorded answers: it was not made by step 1.\n  Run step 1 on it to record them."
        )
    why = record.proof.why if record.proof else record.sample_left_out or "it was exported with --no_sample"
    return codec.Arrays({}, {}), "" if record.sample else f"no answers were recorded: {why}"


def _replayed(
    source: artefact.Artefact, sample: codec.Arrays, allow_ops: Collection[str], watch: Watch | None
) -> tuple[list[Comparison], list[str], list[str]]:
    """Returns a comparison for each recorded output, which readers were asked, and which variables are not finite."""
    sets = (sample, *sample.further)
    compared: dict[str, list[Comparison]] = {key: [] for one_set in sets for key in one_set.outputs}
    random = _random(source)
    read_by: list[str] = []
    infinite: list[str] = []
    for name, load in replay.readers(source, allow_ops):
        if read_by and not compared:
            # The export loads, and there is nothing to ask it.
            break
        seen = functools.partial(watch, name) if watch else None
        results, not_finite = _read(name, load, sets, random, seen)
        # A layer and its functions refer to each other, and each reader has the weights in memory.
        gc.collect()
        read_by.append(name)
        infinite += not_finite
        for result in results:
            compared[result.key].append(_by(name, result))
    return [_worst(key, results) for key, results in compared.items()], read_by if compared else [], infinite


def _read(
    name: str,
    load: Callable[[], replay.Reader],
    sets: Sequence[codec.Arrays],
    random: Mapping[str, str],
    seen: Callable | None,
) -> tuple[list[Comparison], list[str]]:
    """Returns what one reader answers to all sets, compared, and the variables that are not finite, where it tells."""
    progress.stage(f"loading with {name}")
    reader = load()
    results = []
    for number, one_set in enumerate(progress.counted(sets, f"replaying through {name}", unit="sets of inputs")):
        results += _compared(reader.answer, one_set, random, functools.partial(seen, number) if seen else None)
    return results, reader.not_finite


def _ends(source: artefact.Artefact, side: str) -> Mapping:
    """Returns the "inputs" or the "outputs" of what the answers are of, by key, as the graph has them."""
    return getattr(source.signatures[_SIGNATURE], side) if _SIGNATURE in source.signatures else {}


def _random(source: artefact.Artefact) -> dict[str, str]:
    outputs = _ends(source, "outputs")
    return randomness.sources(Index(source.meta_graph.graph_def), {key: spec.tensor for key, spec in outputs.items()})


def _compared(
    answer: replay.Answer, sample: codec.Arrays, random: Mapping[str, str], seen: Callable | None
) -> list[Comparison]:
    if not sample.outputs:
        return []
    answers = answer(sample.inputs)
    results = []
    for key, want in sample.outputs.items():
        if key not in answers:
            results.append(comparison.missing(key, "the export has no such output"))
            continue
        noise = sample.noise.get(key, 0.0)
        result = comparison.compare(key, want, answers[key], noise=noise)
        if not result.equal and key in random and _changes(answer, sample.inputs, key, answers[key]):
            result = comparison.not_proven(key, f"it is random: {random[key]} stands before it")
        results.append(result)
        if seen is not None:
            seen(want, answers[key], result, noise)
    return results


def _changes(answer: replay.Answer, inputs: Mapping[str, np.ndarray], key: str, first: np.ndarray) -> bool:
    """Whether an answer is another when asked again: the original's may have been the same each time by chance."""
    again = (answer(inputs)[key] for _ in range(1, _DRAWS))
    return not all(comparison.compare(key, first, repeated).equal for repeated in again)


def _by(reader: str, result: Comparison) -> Comparison:
    if result.verdict is not Verdict.DIFFERENT:
        return result
    return dataclasses.replace(result, note=f"{result.difference}, through {reader}")


def _worst(key: str, results: list[Comparison]) -> Comparison:
    """Returns the one comparison to show of several: one that differs, else the largest difference that is equal."""
    return min(results, key=comparison.rank)


def _not_replayed(source: artefact.Artefact, sample: codec.Arrays, replayed: Collection[str]) -> list[Comparison]:
    """Returns what there is to say of the outputs, of the record or of the graph, that the sample has no answer for."""
    record = source.record
    if record is None:
        return []
    # What the graph answers counts, too: a record may have lost it along with the answer.
    keys = [key for key in dict.fromkeys([*record.outputs, *_ends(source, "outputs")]) if key not in replayed]
    if record.sample is None:
        return [comparison.not_proven(key, "no answer was recorded") for key in keys]
    reasons = {key: "its answer changes from run to run" for key in record.sample.unstable}
    reasons |= dict(record.proof.not_proven) if record.proof else {}
    return [
        comparison.not_proven(key, reasons[key])
        if key in reasons
        else comparison.missing(key, f"step 1 recorded an answer, and {codec.PATH} has none")
        if key in record.outputs
        else comparison.missing(key, f"the graph has it, and neither the record nor {codec.PATH}")
        for key in keys
    ]


def _files(source: artefact.Artefact) -> tuple[list[str], list[str]]:
    """Returns what there is to say of files that are not as step 1 wrote them, and names of those that it did not write."""
    recorded = source.record.files if source.record is not None else {}
    if not recorded:
        # Earlier exports had no digests.
        return [], []
    held = digests.of_export(source.path)
    unlike = [
        f"file {name}: DIFFERENT, it is {'not as step 1 wrote it' if name in held else 'gone'}"
        for name, digest in recorded.items()
        if held.get(name) != digest
    ]
    return unlike, [name for name in held if name not in recorded]


def _unlike_sample(source: artefact.Artefact, sample: codec.Arrays) -> list[str]:
    """Returns where sample and record disagree beyond the outputs: inputs, and sets that are not all there."""
    record = source.record
    if record is None or record.sample is None:
        return []
    differences = [
        f"input {key}: DIFFERENT, "
        f"{'step 1 recorded a value' if key in record.inputs else 'the graph has it'}, and {codec.PATH} has none"
        for key in dict.fromkeys([*record.inputs, *_ends(source, "inputs")])
        if key not in sample.inputs
    ]
    expected: SampleEntry = record.sample
    if len(expected.sets) != len(sample.further):
        differences.append(
            f"sample: DIFFERENT, step 1 recorded {len(expected.sets)} further sets of inputs, and {codec.PATH} has "
            f"{len(sample.further)}"
        )
    return differences


def _unlike_signature(source: artefact.Artefact) -> list[str]:
    """Returns where the graph's signatures are not those that the record describes."""
    record = source.record
    if record is None or not record.signatures:
        return []
    differences = []
    for name, entry in record.signatures.items():
        held = source.signatures.get(name)
        if held is None:
            differences.append(f"signature {name}: DIFFERENT, step 1 recorded it, and the graph has none of that name")
            continue
        for side, entries, specs in (("input", entry.inputs, held.inputs), ("output", entry.outputs, held.outputs)):
            differences += [
                f"signature {name}: DIFFERENT, {side} {key!r} {problem}"
                for key in dict.fromkeys([*entries, *specs])
                if (
                    problem := _unlike_tensor(
                        entries.get(key), specs.get(key), side == "output" and any(item.by for item in record.replaced)
                    )
                )
            ]
    return differences


def _unlike_tensor(entry: TensorEntry | None, spec: Spec | None, was_replaced: bool) -> str:
    if entry is None:
        return "is in the graph, and step 1 recorded none"
    if spec is None:
        return "was recorded, and the graph has none"
    if entry.dtype and entry.dtype != spec.dtype:
        return f"is {spec.dtype}, and step 1 recorded {entry.dtype}"
    recorded, held = tf.TensorShape(entry.exported_shape), tf.TensorShape(spec.shape)
    if was_replaced and recorded.rank == held.rank:
        # The shape functions of TensorFlow 1's own ops were not always right about sizes.
        return ""
    # Shape inference of another version may know more or less of it; what both know has to agree.
    return "" if recorded.is_compatible_with(held) else f"has shape {held}, and step 1 recorded {recorded}"


def _checksums(source: artefact.Artefact) -> tuple[list[str], list[str]]:
    """Returns the variables that are not as step 1 wrote them, and a line about the others."""
    record = source.record or Record()
    recorded = {entry.name: entry.crc32c for entry in record.variables}
    if not recorded or all(crc32c is None for crc32c in recorded.values()):
        # The first exports had no checksums.
        return [], [f"note: no checksums were recorded for {len(recorded)} variables"] if recorded else []
    index = bundle.read(source.bundle, LoadError) if source.bundle is not None else None
    if source.bundle is not None and index is None:
        raise LoadError(f"{source.bundle}.index is damaged.\n  Export again.")
    keys = {variable.name: variable.key for variable in source.variables}

    def stored(name: str) -> int | None:
        key = keys.get(name, name)
        return index.checksum(key) if index is not None and key in index.tensors else None

    damaged = [name for name, crc32c in recorded.items() if crc32c is None or stored(name) != crc32c]
    damaged += [name for name in keys if name not in recorded]
    intact = len(recorded.keys() - set(damaged))
    return damaged, [f"variables: {intact} of {len(recorded)} have their recorded checksum"]
