"""One model rebuilt, and held against the answers of TensorFlow 1 on each backend."""

import dataclasses
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

import export_v1
from load_v2.errors import LoadError
from load_v2.opening import backends as processes
from load_v2.opening import rebuilding, strings
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


@dataclasses.dataclass(frozen=True)
class _Made:
    """A model that was rebuilt: its files, what it is asked, whether it trains as the original."""

    name: str
    plan: rebuilding.Plan
    batches: list[rebuilding.Batch]
    questions: processes.Questions
    tuned: bool | None


def judged(folders: Sequence[Path], backends: Sequence[str]) -> list[Row]:
    """Returns the rows of cases, or of exports."""
    with tempfile.TemporaryDirectory() as made:
        found = [_made(folder, Path(made) / str(number)) for number, folder in enumerate(folders)]
        whole = [one for one in found if isinstance(one, _Made)]
        answers = {backend: processes.answers(backend, [one.questions for one in whole]) for backend in backends}
    rows = []
    for one in found:
        if isinstance(one, _Made):
            verdicts = {b: _verdict(one, answers[b][whole.index(one)]) for b in backends if one.batches}
            rows.append(Row(one.name, rebuilding.report(one.plan), verdicts, one.tuned))
        else:
            rows.append(one)
    return rows


def _made(folder: Path, into: Path) -> _Made | Row:
    """Returns a case, exported unless its folder has the export as "1", or an export, rebuilt into a folder."""
    if (folder / "saved_model.pb").exists():
        name = folder.parent.name if folder.name.isdigit() else folder.name
        return _rebuilt(name, folder, None, into)
    case, export = cases.at(folder), folder / "1"
    if not (export / "assets.extra" / "export_v1.json").exists():
        export = into / "1"
        try:
            export_v1.export(export_dir=str(export), **case.flags())
        except export_v1.ExportError as error:
            return Row(case.name, None, {}, refusal=f"no export: {_first(error)}")
    return _rebuilt(case.name, export, case, into)


def _first(error: Exception) -> str:
    return " ".join(str(error).splitlines()[:2])[:160]


def _rebuilt(name: str, export: Path, case: cases.Case | None, into: Path) -> _Made | Row:
    wanted = "serving_default" if case is None else case.config.get("signature", "serving_default")
    known = json.loads((export / "assets.extra" / "export_v1.json").read_text()).get("signatures", {})
    keras.backend.clear_session()
    try:
        plan = rebuilding.plan(export, wanted if wanted in known else "serving_default")
        model = rebuilding.execute(plan.source)
        rebuilding.fill(model, plan.layers)
    except LoadError as error:
        return Row(name, None, {}, refusal=_first(error))
    into.mkdir(exist_ok=True)
    code, weights = str(into / "model.py"), str(into / "model.weights.h5")
    rebuilding.write(plan.source, model, code, weights)
    batches = [] if plan.sample is None else rebuilding.batches(plan)[0]
    outputs, inputs = plan.context.graph.outputs, plan.context.graph.inputs
    if case is not None:
        given, answers = case.oracle("in"), case.oracle("out")
        if plan.parts is not None and plan.parts.front is not None:
            # The model begins where the graph has made numbers of strings.
            given = {**given, **strings.answered(plan.parts.front, given)}
        batches.append(({key: given[key] for key in inputs}, {key: answers[key] for key in outputs if key in answers}))
    questions = processes.Questions(code, weights, [batch for batch, _ in batches], list(outputs))
    return _Made(name, plan, batches, questions, None if case is None else _tuned(model, case))


def _verdict(made: _Made, found: processes.Answers) -> str:
    wrong = rebuilding.compared(made.plan, made.batches, found)[1]
    return wrong[0] if wrong else "equal"


def _tuned(rebuilt: keras.Model, case: cases.Case) -> bool | None:
    """Returns whether fine-tuning costs what it cost in TensorFlow 1.15.5, step by step."""
    tuned = case.oracle("finetune")
    if not tuned:
        return None
    how, output = case.config["finetune"], rebuilt.output
    model = keras.Model(rebuilt.inputs, output[how["output"]] if isinstance(output, dict) else output)
    model.compile(keras.optimizers.SGD(how["learning_rate"]), "mse")
    given = [case.oracle("in")[tensor.name] for tensor in model.inputs]
    losses = []
    for _ in range(how["steps"]):
        model.reset_metrics()
        losses.append(float(np.ravel(model.train_on_batch(given, tuned["target"]))[0]))
    return bool(np.allclose(losses, tuned["losses"], rtol=2e-4, atol=1e-6))
