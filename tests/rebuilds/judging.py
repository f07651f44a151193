"""One model rebuilt, and held against the answers of TensorFlow 1 on each backend."""

import dataclasses
import json
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

import export_v1
from export_v1.format import comparison
from load_v2.errors import LoadError
from load_v2.opening import backends as processes
from load_v2.opening import rebuilding
from load_v2.opening.report import Report
from tests.support import cases


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: of the model.
        report: what it is made of; None where it was not rebuilt.
        answers: backend -> "equal" or how it differs: to the recorded answers, and TensorFlow 1.15.5's where there are any.
        tuned: whether three steps of fine-tuning cost what they cost in TensorFlow 1.15.5; None where that is not known.
        refusal: why it was not rebuilt.
    """

    name: str
    report: Report | None
    answers: dict[str, str]
    tuned: bool | None = None
    refusal: str = ""

    @property
    def equal(self) -> bool:
        """Whether it was rebuilt, and answers right everywhere."""
        return self.report is not None and all(answer == "equal" for answer in self.answers.values())

    @property
    def wrong(self) -> bool:
        """Whether it was rebuilt, and does something else than the original; a message is not wrong."""
        return self.report is not None and not (self.equal and self.tuned is not False)

    def __str__(self) -> str:
        if self.report is None:
            return f"| {self.name} | {self.refusal} |||||||"
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(self.report.layers).most_common(3)) or "none"
        answers = ", ".join(dict.fromkeys(self.answers.values())) or "not proven"
        tuned = {None: "", True: "equal", False: "DIFFERENT"}[self.tuned]
        found = self.report
        in_layers = f"{found.nodes_in_layers / found.nodes:.0%}" if found.nodes else ""
        return (
            f"| {self.name} | {kinds} | {found.share:.2%} of {found.weights:,} | {in_layers} of {found.nodes} "
            f"| {found.lines} for {found.live} | {answers} | {tuned} |"
        )


def judged(folder: Path, backends: Sequence[str]) -> Row:
    """Returns the row of a case, or of an export."""
    if (folder / "saved_model.pb").exists():
        name = folder.parent.name if folder.name.isdigit() else folder.name
        return _rebuilt(name, folder, None, backends)
    case = cases.at(folder)
    with tempfile.TemporaryDirectory() as made:
        try:
            export_v1.export(export_dir=os.path.join(made, "1"), **case.flags())
        except export_v1.ExportError as error:
            return Row(case.name, None, {}, refusal=f"no export: {_first(error)}")
        return _rebuilt(case.name, Path(made) / "1", case, backends)


def _first(error: Exception) -> str:
    return " ".join(str(error).splitlines()[:2])[:160]


def _rebuilt(name: str, export: Path, case: cases.Case | None, backends: Sequence[str]) -> Row:
    signature = "serving_default"
    if case is not None and case.config.get("signature"):
        record = json.loads((export / "assets.extra" / "export_v1.json").read_text())
        known = record.get("signatures", {})
        signature = case.config["signature"] if case.config["signature"] in known else signature
    try:
        rebuilt = rebuilding.rebuild(export, signature, backends)
    except LoadError as error:
        return Row(name, None, {}, refusal=_first(error))
    answers = dict.fromkeys(rebuilt.report.proofs, "equal")
    if case is not None:
        answers = {backend: _compared(rebuilt, case, backend) for backend in backends}
    return Row(name, rebuilt.report, answers, None if case is None else _tuned(rebuilt, case))


def _compared(rebuilt: rebuilding.Rebuilt, case: cases.Case, backend: str) -> str:
    """Returns how the written files answer what TensorFlow 1.15.5 answered."""
    outputs = list(rebuilt.plan.context.graph.outputs)
    given, wanted = case.oracle("in"), case.oracle("out")
    with tempfile.TemporaryDirectory() as folder:
        code, weights = os.path.join(folder, "model.py"), os.path.join(folder, "model.weights.h5")
        rebuilding.write(rebuilt.source, rebuilt.model, code, weights)
        batch = {key: given[key] for key in rebuilt.plan.context.graph.inputs}
        found = processes.answers(backend, code, weights, [batch], outputs)
    if isinstance(found, str):
        return f"{backend}: {found}"
    for key in set(outputs) & set(wanted):
        have, want = found[0][key], wanted[key]
        if have.shape != want.shape or not np.allclose(have, want, rtol=cases.TOLERANCE, atol=cases.TOLERANCE):
            return f"{backend}: DIFFERENT, {comparison.compare(key, want, have.astype(want.dtype))}"
    return "equal"


def _tuned(rebuilt: rebuilding.Rebuilt, case: cases.Case) -> bool | None:
    """Returns whether fine-tuning costs what it cost in TensorFlow 1.15.5, step by step."""
    tuned = case.oracle("finetune")
    if not tuned:
        return None
    how = case.config["finetune"]
    output = rebuilt.model.output
    model = keras.Model(rebuilt.model.inputs, output[how["output"]] if isinstance(output, dict) else output)
    model.compile(keras.optimizers.SGD(how["learning_rate"]), "mse")
    given = [case.oracle("in")[tensor.name] for tensor in model.inputs]
    losses = []
    for _ in range(how["steps"]):
        model.reset_metrics()
        losses.append(float(np.ravel(model.train_on_batch(given, tuned["target"]))[0]))
    return bool(np.allclose(losses, tuned["losses"], rtol=2e-4, atol=1e-6))
