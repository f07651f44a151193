"""One model of somebody else through both steps, with its names and without, held against TensorFlow 1's answers.

A case is a folder with `case.json`:

    project     who made it: "owner/name", or a package
    year        of the checkpoint or of the code
    model       what it is, in a few words
    source      flags of step 1 that say where it is, paths from the folder: {"checkpoint": "model.ckpt"}
    inputs      key -> tensor that the author's own inference code feeds; "a:0|b:0" where either would do
    outputs     key -> tensor that it reads, likewise
    freeze      tensor -> value that it feeds a setting with
    flags       further flags of step 1 that its owner would give

and, for what is to be compared, `oracle.npz` with in/KEY and out/KEY, answered by TensorFlow 1 with the first of each name.
"""

import dataclasses
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

import export_v1
from export_v1.format import comparison
from export_v1.format.comparison import Verdict
from load_v2 import SignatureLayer
from load_v2.verification import verify

# How far kernels of two TensorFlows may be apart in a whole model, where the export is the original in this one.
_KERNELS = 1e-3
# What stands beside a verdict where step 1 proved nothing.
NO_SAMPLE = "no sample of its own"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        project, year, model: as the case has them.
        named: what came of it with names.
        unnamed: what came of it without: "right", "in part", "listed", "not listed" or "something else".
        wrong: whether one of the two is a fault of the tool.
    """

    project: str
    year: int
    model: str
    named: str
    unnamed: str
    wrong: bool

    def __str__(self) -> str:
        verdict = "wrong" if self.wrong else "as promised"
        return f"| {self.project} | {self.year} | {self.model} | {self.named} | {self.unnamed} | {verdict} |"


def judged(folder: Path) -> Row:
    """Returns the row of a case."""
    case, source = _read(folder)
    named = with_names(folder)
    unnamed = _without_names(case, source)
    wrong = not named.startswith(("equal", "not compared")) or unnamed in ("something else", "not listed")
    return Row(case["project"], case["year"], case["model"], named, unnamed, wrong)


def _read(folder: Path) -> tuple[dict, dict]:
    """A case, and the flags of step 1 that say where it is."""
    case = json.loads((folder / "case.json").read_text())
    return case, {flag: str(folder / path) for flag, path in case["source"].items()} | case.get("flags", {})


def _first(names: Mapping[str, str]) -> dict[str, str]:
    return {key: name.split("|")[0] for key, name in names.items()}


def with_names(folder: Path) -> str:
    """Returns what comes of a case with its names: "equal" and how far apart, "different …", "stops: …", …"""
    case, source = _read(folder)
    with tempfile.TemporaryDirectory() as made:
        target = os.path.join(made, "1")
        names = {"inputs": _first(case["inputs"]) or None, "outputs": _first(case["outputs"])}
        try:
            report = export_v1.export(export_dir=target, freeze=case.get("freeze", {}), **names, **source)
        except export_v1.ExportError as error:
            return f"stops: {str(error).splitlines()[0]}"
        verdict = verify(target).verdict
        if verdict is Verdict.DIFFERENT or not (folder / "oracle.npz").exists():
            return str(verdict)
        oracle = np.load(folder / "oracle.npz", allow_pickle=True)
        # What no output depends on is no input of the export.
        given = {key: tf.constant(oracle[f"in/{key}"]) for key in case["inputs"] if key in report["inputs"]}
        compared = _compared(case, SignatureLayer(target), given, oracle)
        return compared if verdict is Verdict.EQUAL else f"{compared}; {NO_SAMPLE}"


def _compared(case: Mapping, layer: SignatureLayer, given: Mapping, oracle: Mapping[str, np.ndarray]) -> str:
    """How far the export's answers are from TensorFlow 1's, relative to their size.

    They are those of the original graph in this TensorFlow; what is left between them and TensorFlow 1's is its kernels'.
    """
    answers = layer(given) if given else layer()
    if not isinstance(answers, dict):
        answers = dict.fromkeys(case["outputs"], answers)
    apart, alike = 0.0, True
    stable = [key for key in case["outputs"] if key not in case.get("random", ())]
    if not stable:
        return "not compared, random"
    for key in stable:
        want, have = oracle[f"out/{key}"], np.asarray(answers[key])
        equal = comparison.compare(key, want, have).equal
        alike = alike and equal
        if want.shape == have.shape and want.size and want.dtype.kind == "f":
            apart = max(apart, float(np.max(np.abs(want - have))) / max(float(np.max(np.abs(want))), 1e-30))
        elif not equal:
            return "different from TensorFlow 1"
    if not alike and not apart < _KERNELS:
        return "different from TensorFlow 1"
    kernels = "" if alike else " (kernels differ)"
    return f"equal, {apart:.0e}{kernels}" if apart else "equal"


def _without_names(case: Mapping, source: Mapping) -> str:
    with tempfile.TemporaryDirectory() as made:
        try:
            report = export_v1.export(export_dir=os.path.join(made, "1"), no_sample=True, **source)
        except export_v1.ExportError as error:
            return _listed(case, str(error))
    outputs = {output["tensor"] for output in report["outputs"].values()}
    inputs = {tensor["tensor"] for tensor in report["inputs"].values()}
    hit = [name for name in case["outputs"].values() if outputs & set(name.split("|"))]
    fed = all(inputs & set(name.split("|")) for name in case["inputs"].values())
    known = {name for names in case["inputs"].values() for name in names.split("|")}
    if len(hit) == len(case["outputs"]) and fed and inputs <= known:
        return "right"
    return "in part" if hit else "something else"


def _listed(case: Mapping, message: str) -> str:
    """Whether a message offers all that is wanted, as flags."""
    for flag, wanted in (("input", case["inputs"]), ("output", case["outputs"])):
        for names in wanted.values():
            found = [re.search(rf"--{flag}=\S+?={re.escape(name)}(\s|$|\[)", message) for name in names.split("|")]
            if not any(found):
                return "not listed"
    return "listed"
