"""A training that goes on is the original's: its loss, the gradients that TensorFlow 2 takes anew, and what a step makes
of them.

The original is asked for its loss and for what comes out of tf.gradients, the export for its loss, and TensorFlow for the
gradients of that. Then both make one step with the original's gradients, and every variable that it writes is compared.
Random numbers are held fixed in both, see `ir.held_draws`; so the proof covers all but TensorFlow 1's random stream.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from export_v1 import errors
from export_v1.analysis import variables
from export_v1.format import comparison, training_sample
from export_v1.format.comparison import Comparison, Verdict
from export_v1.format.record import LOSS, UPDATE, GradientEntry
from export_v1.format.training_sample import Step
from export_v1.ir import held_draws, importing, randomness
from export_v1.ir.graph import GraphDef, Index
from export_v1.model import Graph
from export_v1.planning import variant
from export_v1.planning.plan import Plan
from export_v1.proof import asking, gradients, memory, sample
from export_v1.source import assets
from export_v1.weights import session
from export_v1.weights.restore import Weights

# How often the original makes the same step: what nothing orders in it may come out otherwise.
_STEPS = 3

Signatures = Mapping[str, tuple[Mapping[str, str], Mapping[str, str], str]]


@dataclasses.dataclass(frozen=True)
class Proof:
    """What is proven of a training.

    Attributes:
        verdict: "equal", perhaps with exceptions, or "not proven" and why nothing could be compared.
        step: one step of the original, to be replayed; None where there is none, or it is too large.
    """

    verdict: str
    step: Step | None = None


def prove(planned: Plan, graph_def: GraphDef, signatures: Signatures, weights: Weights, files: assets.Files) -> Proof:
    """Returns what is proven of a training.

    Args:
        planned: with the training.
        graph_def: the exported graph.
        signatures: of the export, with tensor names there.
        weights: values of the variables.
        files: finds the files that tables are read from.

    Raises:
        ExportError: the loss, a gradient or a variable after the step differs by more than rounding; which, and by how much.
    """
    return _Proving(planned, graph_def, signatures, weights, files).proof()


class _Proving:
    def __init__(self, planned: Plan, graph_def: GraphDef, signatures: Signatures, weights, files):
        assert planned.resume is not None, "there is a training to be proven"
        self._train_op = planned.resume.train_op
        self._by_key = {key: built for built in planned.variants for key in built.signatures}
        self._graph_def, self._signatures = held_draws.held(graph_def), signatures
        # Without the optimizer there is no update, and nothing to say of what goes into it.
        self._is_whole = UPDATE in self._by_key
        self._entries = tuple(planned.resume.gradients) if self._is_whole else ()
        self._weights, self._files = weights, files
        self._draws = randomness.sources(Index(graph_def), self._outputs())
        self._left = randomness.sources(Index(self._graph_def), self._outputs())

    def _outputs(self) -> dict[str, str]:
        return {
            f"{key}/{name}": tensor
            for key in (LOSS, UPDATE)
            if key in self._signatures
            for name, tensor in self._signatures[key][1].items()
        }

    def proof(self) -> Proof:
        # The gradients of both sides are there at a time.
        trained = {entry.variable for entry in self._entries}
        too_large = memory.lacking(self._weights.size(), 2 * self._weights.size(trained))
        if too_large:
            return Proof(f"{Verdict.NOT_PROVEN}: {too_large}")
        differentiated = self._with_gradients()
        drawn = next((op for key, op in self._left.items() if key.startswith(LOSS)), None)
        # What the loss draws, its gradients depend on.
        random = dict.fromkeys(differentiated.signatures[LOSS].outputs, drawn) if drawn else {}
        try:
            recorded = sample.record(differentiated, LOSS, self._weights, self._files, random=random)
        except asking.Unanswered as unanswered:
            return Proof(f"{Verdict.NOT_PROVEN}: {unanswered.why.rstrip('.')}")
        _, outputs, _ = self._signatures[LOSS]
        losses = {key: why for key, why in recorded.not_proven.items() if key in outputs}
        if losses:
            return Proof(f"{Verdict.NOT_PROVEN}: {next(iter(losses.values()))}")
        entries = [entry for entry in self._entries if not set(gradients.keys(entry)) & set(recorded.not_proven)]
        step = _step(recorded, outputs, entries)
        after, exceptions = (
            self._after(differentiated, step) if self._is_whole and len(entries) == len(self._entries) else ({}, "")
        )
        exceptions = exceptions if self._is_whole else ", all but the optimizer, which was left behind"
        with session.opened(lambda: importing.graph_def(self._graph_def)) as opened:
            self._compare_gradients(opened, entries, recorded)
            if after:
                self._compare_after(opened, step, after)
        unsure = [entry.variable for entry in self._entries if entry not in entries]
        held = ", with its random numbers held fixed" if self._draws else ""
        left = f", all but gradients that change from run to run: {errors.quoted(unsure)}" if unsure else ""
        kept = {name: training_sample.thinned(value) for name, value in after.items()}
        # What is to be replayed has to be whole.
        whole = not unsure and step.gradient_bytes <= training_sample.MOST_BYTES
        return Proof(
            f"{Verdict.EQUAL}{held}{left}{exceptions}", dataclasses.replace(step, after=kept) if whole else None
        )

    def _with_gradients(self) -> variant.Variant:
        """Returns the variant of the loss, with what comes out of tf.gradients as further outputs."""
        cuts = self._by_key[UPDATE].signatures[UPDATE].inputs if self._is_whole else {}
        loss = self._by_key[LOSS]
        signature = loss.signatures[LOSS]
        keys = [key for entry in self._entries for key in gradients.keys(entry)]
        outputs = {**signature.outputs, **{key: cuts[key.removeprefix(gradients.PREFIX)].tensor for key in keys}}
        return dataclasses.replace(
            loss,
            model=_held(loss.model),
            signatures={LOSS: dataclasses.replace(signature, outputs=outputs)},
            updates=(),
        )

    def _after(self, differentiated: variant.Variant, step: Step) -> tuple[dict[str, np.ndarray], str]:
        """Returns variables after a step of the original with its own gradients, those that are the same each time; and what
        is to be said of it."""
        unfit = next((op for key, op in self._left.items() if key.startswith(UPDATE)), None)
        if unfit:
            return {}, f", all but the update: {sample.is_random(unfit)}"
        loss, update = self._by_key[LOSS], self._by_key[UPDATE]
        ends = (self._train_op,) if self._train_op else (*loss.updates, *update.updates)
        stepping = dataclasses.replace(differentiated, updates=ends)
        written = _written(loss.model.index, ends) & {variable.name for variable in self._weights.variables}
        # The gradients are held, and what each of the steps writes.
        too_large = memory.lacking(self._weights.size(), step.gradient_bytes + 2 * _STEPS * self._weights.size(written))
        if too_large:
            return {}, f", all but the update: {too_large}"
        given = {gradients.PREFIX + key: value for key, value in step.gradients.items()}
        try:
            with asking.asking(stepping, LOSS, self._weights, self._files) as (original, _):
                steps = [original.after(step.inputs, ends, written, given) for _ in range(_STEPS)]
                whole = [original.after(step.inputs, ends, written) for _ in range(_STEPS)]
        except asking.Unanswered as unanswered:
            return {}, f", all but the update: {unanswered.why.rstrip('.')}"
        except asking.FAILURES as error:
            return {}, f", all but the update: the original fails at it: {errors.reason(error)}"
        # What the forward pass writes has to be that of a step in which the gradients wait for it.
        forward = _written(loss.model.index, loss.updates)
        first = {name: (whole if name in forward else steps)[0][name] for name in steps[0]}
        again = [
            {**fed, **{name: own[name] for name in forward & own.keys()}} for fed, own in zip(steps, whole, strict=True)
        ]
        unsteady = _differing(first, again[1:])
        steady = {name: value for name, value in first.items() if name not in unsteady}
        # A variable that is written while the forward pass may still read it.
        moving = unsteady + _differing(steady, whole)
        return steady, f", but for the order in which the original writes {errors.quoted(moving)}" if moving else ""

    def _compare_gradients(self, opened, entries: Sequence[GradientEntry], recorded: sample.Sample) -> None:
        inputs, outputs, _ = self._signatures[LOSS]
        handles = gradients.of(opened.graph, entries, outputs)
        for answers in recorded.sets:
            session.fill(opened, self._weights)
            fed = {inputs[key]: value for key, value in answers.inputs.items() if key in inputs}
            got, given = opened.run((dict(outputs), handles), fed)
            compared = [entry for entry in entries if set(gradients.keys(entry)) <= set(answers.outputs)]
            results = gradients.compared(compared, answers.outputs, got, given)
            _refuse(results, "The export does not differentiate as the original does")

    def _compare_after(self, opened, step: Step, after: Mapping[str, np.ndarray]) -> None:
        session.fill(opened, self._weights)
        # The shape that rows belong to is the variable's.
        shapes = {entry.dense_shape: entry.variable for entry in self._entries if entry.dense_shape}
        for key, given in ((LOSS, step.inputs), (UPDATE, {**step.inputs, **step.gradients})):
            inputs, outputs, _ = self._signatures[key]
            fed = {inputs[name]: given[name] for name in inputs if name in given}
            fed |= {inputs[name]: self._shape(variable) for name, variable in shapes.items() if name in inputs}
            opened.run(dict(outputs), fed)
        got = session.values(opened, after.keys())
        compared = [
            comparison.compare(f"variable {name!r} after a step", want, np.asarray(got[name]), sides=gradients.SIDES)
            for name, want in after.items()
            if name in got
        ]
        _refuse(compared, "The export does not update its variables as the original does")

    def _shape(self, name: str) -> np.ndarray:
        return next(np.asarray(variable.sizes) for variable in self._weights.variables if variable.name == name)


def _differing(first: Mapping[str, np.ndarray], others: Sequence[Mapping[str, np.ndarray]]) -> list[str]:
    """Returns the names, in order, whose values are not the same each time."""
    return sorted(
        name
        for name, value in first.items()
        if not all(comparison.compare(name, value, other[name]).equal for other in others)
    )


def _held(model: Graph) -> Graph:
    whole = None if model.original is None else held_draws.held(model.original)
    return dataclasses.replace(model, graph_def=held_draws.held(model.graph_def), original=whole)


def _written(index: Index, ends: Sequence[str]) -> set[str]:
    """Returns the variables that are written before some nodes have run."""
    nodes = (index[name] for name in index.ancestors(ends))
    return {name for node in nodes if (name := variables.written_by(index, node))}


def _step(recorded: sample.Sample, outputs: Mapping[str, str], entries: Sequence[GradientEntry]) -> Step:
    answers = recorded.outputs
    return Step(
        inputs=recorded.inputs,
        losses={key: answers[key] for key in outputs if key in answers},
        gradients={
            key.removeprefix(gradients.PREFIX): answers[key] for entry in entries for key in gradients.keys(entry)
        },
        noise=gradients.noise(entries, answers),
    )


def _refuse(compared: Sequence[Comparison], what: str) -> None:
    wrong = [str(result) for result in compared if not result.equal]
    if wrong:
        listed = "\n".join(f"  {text}" for text in wrong[:5])
        raise errors.ExportError(f"{what}:\n{listed}\n{gradients.REMEDY}")
