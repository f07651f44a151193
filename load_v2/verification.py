"""Replays the recorded answers of the original graph, and checks the variables against their recorded checksums."""

import dataclasses
import os
from collections.abc import Collection

import numpy as np

from load_v2 import scoring
from load_v2.errors import LoadError
from load_v2.layer import archive
from load_v2.layer.signature_layer import SignatureLayer
from load_v2.program import artefact, checksums, program, wellformed

# Floats may differ by this share of their own size plus this share of the output's root mean square. The original ran
# in a TensorFlow 1 session and this in a TensorFlow 2 function: the same kernels, but Grappler may fold, fuse and
# reorder differently, and each reordered sum is off by a few units in the last place (1.2e-7 in float32). Eighty of
# them are let through: the cases here differ by less than 2e-6, and one changed weight shows in the third or fourth
# digit. The share of the root mean square is for elements near zero, where large terms cancelled.
TOLERANCE = {"float16": 1e-2, "bfloat16": 5e-2, "float32": 1e-5, "float64": 1e-5, "complex64": 1e-5, "complex128": 1e-5}
# Noise of intermediate values of size one, for outputs that are themselves nothing but cancelled noise.
_FLOOR = {"float16": 1e-3, "bfloat16": 1e-2}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One output compared.

    Attributes:
        key: of the output.
        equal: whether all elements are within the tolerance, or identical where they are not floats.
        largest: largest absolute difference; NaN where shapes or types differ.
        relative: largest difference relative to the recorded element.
        index: where the largest absolute difference is.
        tolerance: relative tolerance used, 0 for types that must be identical.
        note: what else there is to say, such as two shapes that differ.
    """

    key: str
    equal: bool
    largest: float
    relative: float
    index: tuple[int, ...]
    tolerance: float
    note: str = ""

    def __str__(self) -> str:
        verdict = "equal" if self.equal else "DIFFERENT"
        if self.note:
            return f"{self.key}: {verdict}, {self.note}"
        allowed = f"tolerance {self.tolerance:g}" if self.tolerance else "must be identical"
        where = f" at {list(self.index)}" if self.largest else ""
        size = f"{self.largest:.3g} absolute, {self.relative:.3g} relative"
        return f"{self.key}: {verdict}, largest difference {size}{where} ({allowed})"


@dataclasses.dataclass(frozen=True)
class Report:
    """What `verify` found: a comparison for each output, names of variables that changed since step 1, other notes."""

    outputs: tuple[Comparison, ...]
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return all(output.equal for output in self.outputs) and not self.damaged

    def lines(self) -> list[str]:
        """Returns the report as text, one line for each finding."""
        lines = [str(output) for output in self.outputs]
        lines += [
            f"variable {name}: DIFFERENT, its checksum is not the one that step 1 recorded" for name in self.damaged
        ]
        return lines + list(self.notes)


def verify(path: str | os.PathLike, allow_ops: Collection[str] = ()) -> Report:
    """Replays the sample that step 1 recorded in `path` through a SignatureLayer, and compares.

    Integers, booleans and strings must be identical, floats within `TOLERANCE`; NaN equals NaN.

    Args:
        path: folder of an export.
        allow_ops: ops to let run although they could touch files, network or Python.

    Raises:
        LoadError: there is no sample, or the export cannot be loaded.
    """
    path = os.fspath(path)
    source = artefact.read(path)
    left_out = source.record.get("sample_left_out")
    inputs, recorded = ({}, {}) if left_out else _sample(path, source)
    layer = SignatureLayer(path, allow_ops=allow_ops)
    with wellformed.blamed(f"{path!r} cannot answer its recorded inputs"):
        got = layer(inputs) if recorded else {}
    got = got if isinstance(got, dict) else {next(iter(recorded)): got}
    random = program.random_outputs(archive.shared(path, "serving_default").serve)
    comparisons = [
        _compare_random(key, want, np.asarray(got[key])) if key in random else compare(key, want, np.asarray(got[key]))
        for key, want in recorded.items()
        if key in got
    ]
    missing = [
        Comparison(key, False, np.nan, np.nan, (), 0, "the export has no such output")
        for key in recorded
        if key not in got
    ]
    damaged, notes = _checksums(source)
    notes += [f"note: no answers were recorded, {left_out}; only the variables were compared"] if left_out else []
    bad = [w.name for w in layer.weights if w.dtype in TOLERANCE and not _is_finite(np.asarray(w))]
    notes += [f"note: variable {name} holds NaN or infinity" for name in bad]
    return Report(tuple(comparisons + missing), tuple(damaged), tuple(notes))


def _is_finite(values: np.ndarray) -> bool:
    # A sum needs no second array of the weights' size; it can only be too careful.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


def _sample(path: str, source: artefact.Artefact) -> tuple[dict, dict]:
    file = os.path.join(path, artefact.SAMPLE)
    if not os.path.exists(file):
        why = "it was exported with --no_sample" if source.record else "it was not made by step 1"
        raise LoadError(f"{path!r} has no recorded answers: {why}.\n  Run step 1 on it to record them.")
    try:
        # Strings of various lengths are stored as object arrays, which numpy pickles. Unpickling a file from a
        # stranger would run its code, so only the plain kinds are read.
        with np.load(file, allow_pickle=False) as arrays:
            sample = {name: arrays[name] for name in arrays.files}
        sample = {name: _whole_strings(value, sample.get(f"lengths/{name}")) for name, value in sample.items()}
    except scoring.DAMAGED as error:
        raise LoadError(f"{file!r} cannot be read: {error}.\n  Export again.") from error
    sides = [{n.partition("/")[2]: a for n, a in sample.items() if n.startswith(side)} for side in ("in/", "out/")]
    if not sides[1]:
        raise LoadError(f"{file!r} holds no answers.\n  Export again.")
    return sides[0], sides[1]


def _compare_random(key: str, want: np.ndarray, have: np.ndarray) -> Comparison:
    """Compares what can be of an output that draws random numbers. Two runs of the original may agree by chance, and then
    step 1 took it for one that is always the same."""
    compared = compare(key, want, have)
    if compared.equal or want.shape != have.shape or want.dtype.kind != have.dtype.kind:
        return compared
    return dataclasses.replace(
        compared, equal=True, note="in shape and type; it is random, so its values prove nothing"
    )


def _whole_strings(values: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Returns strings with the zero bytes at their ends that numpy's fixed-length strings drop."""
    if lengths is None:
        return values
    flat = zip(values.reshape(-1).tolist(), lengths.reshape(-1).tolist(), strict=True)
    return np.array([*(one.ljust(length, b"\0") for one, length in flat), None], object)[:-1].reshape(values.shape)


def compare(key: str, want: np.ndarray, have: np.ndarray) -> Comparison:
    """Returns how `have` (this package's answer) differs from `want` (the recorded one).

    >>> print(compare("y", np.float32([1, 2]), np.float32([1, 3])))
    y: DIFFERENT, largest difference 1 absolute, 0.5 relative at [1] (tolerance 1e-05)
    """
    if want.shape != have.shape:
        note = f"shape {list(want.shape)} in the TF1 sample, {list(have.shape)} in the TF2 result"
        return Comparison(key, False, np.nan, np.nan, (), 0, note)
    if want.dtype.kind in "SOU" or have.dtype.kind in "SOU":
        return _compare_strings(key, want, have)
    if want.dtype != have.dtype:
        note = f"{want.dtype} in the TF1 sample, {have.dtype} in the TF2 result"
        return Comparison(key, False, np.nan, np.nan, (), 0, note)
    tolerance = TOLERANCE.get(want.dtype.name, 0.0)
    wide = "complex128" if want.dtype.kind == "c" else "float64" if tolerance else "int64"
    if not want.size:
        return Comparison(key, True, 0.0, 0.0, (), tolerance)
    wide_want, wide_have = want.astype(wide), have.astype(wide)
    with np.errstate(invalid="ignore"):
        same = (want == have) | (np.isnan(wide_want) & np.isnan(wide_have))
        difference = np.where(same, 0.0, np.abs(wide_want - wide_have).astype("float64"))
        difference = np.where(np.isnan(difference), np.inf, difference)
        allowed = tolerance * (np.abs(wide_want) + _scale(wide_want, want.dtype.name))
        equal = same | (np.isfinite(difference) & (difference <= allowed)) if tolerance else same
    return _summed_up(key, wide_want, difference, bool(np.all(equal)), tolerance)


def _scale(values: np.ndarray, dtype: str) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return max(float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0, _FLOOR.get(dtype, 1e-2))


def _summed_up(key: str, want: np.ndarray, difference: np.ndarray, equal: bool, tolerance: float) -> Comparison:
    index = np.unravel_index(int(np.argmax(difference)), difference.shape)
    size = np.abs(want).astype("float64")
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(difference == 0, 0.0, difference / size)
    return Comparison(
        key, equal, float(difference[index]), float(np.nanmax(relative)), tuple(int(i) for i in index), tolerance
    )


def _compare_strings(key: str, want: np.ndarray, have: np.ndarray) -> Comparison:
    differ = _as_bytes(want) != _as_bytes(have)
    if not differ.any():
        return Comparison(key, True, 0.0, 0.0, (), 0.0)
    index = tuple(int(i) for i in np.argwhere(differ)[0])
    first = f"{want[index]!r} in the TF1 sample, {have[index]!r} in the TF2 result"
    note = f"{int(differ.sum())} strings differ, first at {list(index)}: {first}"
    return Comparison(key, False, np.nan, np.nan, index, 0.0, note)


def _as_bytes(values: np.ndarray) -> np.ndarray:
    flat = [v.encode() if isinstance(v, str) else bytes(v) for v in values.reshape(-1).tolist()]
    return np.array([*flat, b""], dtype=object)[:-1].reshape(values.shape)


def _checksums(source: artefact.Artefact) -> tuple[list[str], list[str]]:
    recorded = {v["name"]: v for v in source.record.get("variables", []) if v.get("crc32c") is not None}
    if not recorded or source.bundle is None:
        return [], []
    stored = checksums.checksums(source.bundle)
    keys = {variable.name: variable.key for variable in source.variables}
    damaged = [name for name, v in recorded.items() if stored.get(keys.get(name, name)) != v["crc32c"]]
    return damaged, [f"variables: {len(recorded) - len(damaged)} of {len(recorded)} have their recorded checksum"]
