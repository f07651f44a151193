"""A batch size that training fixed is left open where the original graph's answers do not depend on it."""

import dataclasses
from collections.abc import Mapping

import numpy as np
from tensorflow.core.framework import types_pb2

from export_v1 import errors, interface
from export_v1.analysis import batch_axis
from export_v1.format import comparison
from export_v1.format.record import SignatureEntry, TensorEntry
from export_v1.ir.graph import Index, parse
from export_v1.passes import any_batch
from export_v1.planning import plan, variant
from export_v1.proof import asking, examples, sparse
from export_v1.proof.reading import Reading
from export_v1.proof.sample import Sample
from export_v1.request import Request
from export_v1.source import assets
from export_v1.weights.restore import Weights


@dataclasses.dataclass(frozen=True)
class Opened:
    """What became of the batch size.

    Attributes:
        planned: the plan; its inputs have None for the batch size where that was left open.
        fixed: the size that the graph has, or None where nothing was changed.
        proofs: the original's answers at other batch sizes, which the export has to give, too.
        choices: what was decided, and why.
    """

    planned: plan.Plan
    fixed: int | None = None
    proofs: tuple[Sample, ...] = ()
    choices: tuple[interface.Choice, ...] = ()

    def described(self, signatures: Mapping[str, SignatureEntry]) -> dict[str, SignatureEntry]:
        """Returns what a record says of signatures, with `relaxed_shape` where the export leaves a fixed size open."""
        if self.fixed is None:
            return dict(signatures)
        return {
            key: SignatureEntry(self._opened(signature.inputs), self._opened(signature.outputs))
            for key, signature in signatures.items()
        }

    def _opened(self, tensors: Mapping[str, TensorEntry]) -> dict[str, TensorEntry]:
        return {
            key: dataclasses.replace(entry, relaxed_shape=[None, *entry.shape[1:]])
            if entry.shape and entry.shape[0] == self.fixed
            else entry
            for key, entry in tensors.items()
        }


class _Kept(Exception):
    """The batch size has to stay as it is; the message says why."""


def opened(
    planned: plan.Plan, recorded: Sample | None, weights: Weights, files: assets.Files, request: Request
) -> Opened:
    """Returns the plan with an open batch size where the model has a fixed one that its answers do not depend on.

    That is so when every input has the same first size, and the original graph, with that size open, answers each row
    as before in two other batches: of one row, and of one row more than it was made for. An output without rows has to
    stay the same. Where this does not hold, or an input's shape was given, the plan stays as it is.

    Args:
        planned: what is to be exported.
        recorded: the original's answers at the fixed size; None: nothing may be run.
        weights: values of the variables.
        files: finds table files.
        request: tells which shapes were given.
    """
    serving = next((candidate for candidate in planned.variants if planned.default in candidate.signatures), None)
    if serving is None:
        return Opened(planned)
    signature = serving.signatures[planned.default]
    size = _fixed_size(signature.inputs)
    if size is None:
        choices = _of_constant_shape(serving, planned.default, files)
        if recorded is not None:
            choices += _of_one_size_only(serving, planned.default, recorded, weights, files)
        return Opened(planned, choices=choices)
    if any("[" in request.inputs.get(key, "") for key in signature.inputs):
        return Opened(planned)
    shown = ", ".join(f"{key} {list(spec.shape)}" for key, spec in signature.inputs.items() if spec.shape)
    try:
        if recorded is None:
            raise _Kept("no sample is recorded, so nothing shows whether another gives the same answers")
        wider = _relaxed(planned, signature.inputs, size)
        proofs = _proofs(wider, planned.default, recorded, size, weights, files)
    except _Kept as kept:
        why = f"{kept}; --input=KEY=TENSOR[None,…] opens it anyway"
        return Opened(planned, choices=(interface.Choice(f"the batch size stays {size}: {shown}", why),))
    sizes = " and ".join(str(_rows(proof.inputs, signature.inputs)) for proof in proofs)
    choice = interface.Choice(
        f"the batch size is open, in the graph it is {size}: {shown}",
        f"with {sizes} rows the original graph answers each row as with {size}",
    )
    return Opened(wider, size, proofs, (choice,))


def _of_constant_shape(serving: variant.Variant, key: str, files: assets.Files) -> tuple[interface.Choice, ...]:
    """Says so where the graph has the dense shape of a sparse input as a constant: its rows are the training batch's."""
    inputs = serving.signatures[key].inputs
    if not any(
        spec.dtype == types_pb2.DT_INT64 and spec.shape is not None and len(spec.shape) == 2 for spec in inputs.values()
    ):
        return ()
    made = variant.original(serving, files)
    placeholders = {name: parse(tensor).node for name, tensor in made.inputs[key].items()}
    return tuple(
        interface.Choice(
            f"the batch size stays {parts.fixed[0]}: the sparse tensor of {parts.indices!r} has shape {list(parts.fixed)}",
            f"a constant of the graph, {parts.constant!r}; --input=KEY={parts.constant} beside the others asks for it",
        )
        for parts in sparse.found(Reading(made.graph_def), placeholders)
        if parts.fixed
    )


def _of_one_size_only(
    serving: variant.Variant, key: str, recorded: Sample, weights: Weights, files: assets.Files
) -> tuple[interface.Choice, ...]:
    """Says so where a signature of any batch belongs to a graph that runs for the size of its training batch alone.

    Only of a graph that was built for some size, a queue's, is that to be expected, and only such a one is tried.
    """
    inputs = serving.signatures[key].inputs
    index = Index(serving.model.graph_def)
    batched = [name for name, cut in inputs.items() if cut.shape and cut.shape[0] is None]
    if not batched or any_batch.training_size(index, [parse(inputs[name].tensor) for name in batched]) is None:
        return ()
    values = {name: np.asarray(value) for name, value in recorded.inputs.items()}
    more = {name: np.concatenate([value, value[:1]]) if name in batched else value for name, value in values.items()}
    try:
        with asking.asking(serving, key, weights, files) as (ask, _):
            ask(more)
    except (*asking.FAILURES, errors.ExportError) as error:
        rows = len(values[batched[0]])
        what = f"the graph runs for batches of {rows} rows only, though its inputs are open"
        return (interface.Choice(what, f"with {rows + 1} rows it fails: {errors.reason(error)}"),)
    return ()


def _fixed_size(inputs: Mapping[str, interface.Input]) -> int | None:
    """Returns the first size that all inputs with a shape share; scalars have none, and None is an open one."""
    sizes = {spec.shape[0] if spec.shape else None for spec in inputs.values() if spec.shape != []}
    return sizes.pop() if len(sizes) == 1 else None


def _relaxed(planned: plan.Plan, inputs: Mapping[str, interface.Input], size: int) -> plan.Plan:
    """Returns the plan with an open first size for some inputs, in every signature that has them."""
    tensors = {spec.tensor for spec in inputs.values() if spec.shape}

    def opened_size(spec: interface.Input) -> interface.Input:
        return (
            dataclasses.replace(spec, shape=[None, *spec.shape[1:]]) if spec.shape and spec.tensor in tensors else spec
        )

    def wider(signature: variant.PlannedSignature) -> variant.PlannedSignature:
        return dataclasses.replace(signature, inputs={key: opened_size(spec) for key, spec in signature.inputs.items()})

    return dataclasses.replace(
        planned,
        variants=tuple(
            dataclasses.replace(
                candidate, signatures={key: wider(signature) for key, signature in candidate.signatures.items()}
            )
            for candidate in planned.variants
        ),
    )


def _proofs(
    wider: plan.Plan, default: str, recorded: Sample, size: int, weights: Weights, files: assets.Files
) -> tuple[Sample, ...]:
    """Returns the relaxed original's answers at two other sizes, which have been found to be the recorded ones."""
    serving = next(candidate for candidate in wider.variants if default in candidate.signatures)
    inputs = serving.signatures[default].inputs
    if not recorded.outputs:
        raise _Kept("its answers change from run to run, so they cannot be compared")
    _refuse_mixing(serving, default, inputs, files)
    try:
        with asking.asking(serving, default, weights, files) as (ask, graph_def):
            known = [(recorded.inputs, recorded.outputs)]
            if size == 1:
                # Copies of a single row would not show an answer that mixes rows.
                other = _another(serving, graph_def, recorded, inputs)
                known.append((other, _stable(ask(other), recorded)))
            proofs = []
            for count in (1, size + 1) if size > 1 else (2, 3):
                batch, expected = _recut(known, inputs, size, count)
                proofs.append(_proved(_stable(ask(batch), recorded), batch, expected, recorded, size))
    except (*asking.FAILURES, errors.ExportError) as error:
        raise _Kept(f"with another, the original graph fails: {errors.reason(error)}") from error
    _try_others(wider, default, proofs, weights, files)
    return tuple(proofs)


def _refuse_mixing(
    serving: variant.Variant, key: str, inputs: Mapping[str, interface.Input], files: assets.Files
) -> None:
    """Two batches that happen to agree prove nothing: the graph has to show that no row reads another."""
    try:
        original = variant.original(serving, files)
        batched = [original.inputs[key][name] for name, cut in inputs.items() if cut.shape]
        outputs, written = original.outputs[key], serving.model.index
        mixing = batch_axis.mixing(original.graph_def, batched, outputs, original.frozen, written)
    except (*asking.FAILURES, errors.ExportError) as error:
        raise _Kept(f"with another, TensorFlow refuses the graph: {errors.reason(error)}") from error
    for name, where in mixing.items():
        raise _Kept(f"output {name!r} may depend on other rows, which {where} puts together")


def _another(serving: variant.Variant, graph_def, recorded: Sample, inputs: Mapping[str, interface.Input]):
    shapes = {key: list(np.shape(value)) for key, value in recorded.inputs.items()}
    like = {key: dataclasses.replace(spec, shape=shapes[key]) for key, spec in inputs.items()}
    other = next(iter(examples.attempts(serving.model.graph_def, graph_def, like, seed=2)))
    if all(np.array_equal(other[key], recorded.inputs[key]) for key in inputs):
        raise _Kept("no second row could be generated to try it with")
    return other


def _stable(answers: Mapping[str, np.ndarray], recorded: Sample) -> dict[str, np.ndarray]:
    return {key: answers[key] for key in recorded.outputs}


def _recut(known, inputs: Mapping[str, interface.Input], size: int, count: int):
    """Returns `count` rows of known inputs, the second one first, and what is to be expected for each output.

    The rows come in another order and in other company than they were recorded in.
    """
    rows = [at % (size * len(known)) for at in range(1, count + 1)]

    def picked(values: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(values)[rows] if len(values) > 1 else values[0][rows]

    first = known[0][0]
    batch = {
        key: picked([np.asarray(given[key]) for given, _ in known]) if inputs[key].shape else first[key]
        for key in first
    }
    expected = {
        key: picked([answers[key] for _, answers in known]) if value.ndim and len(value) == size else None
        for key, value in known[0][1].items()
    }
    return batch, expected


def _proved(got, batch, expected, recorded: Sample, size: int) -> Sample:
    """Returns answers as a sample after they were found to be the expected rows, or the recorded whole."""
    for key, value in got.items():
        rows, whole = expected[key], recorded.outputs[key]
        if not any(known is not None and _equal(recorded, key, known, value) for known in (rows, whole)):
            count = max(len(value) for value in batch.values() if np.ndim(value))
            kind = "is not one answer for each row" if rows is None or rows.shape != value.shape else "changes"
            raise _Kept(f"output {key!r} {kind}: {list(value.shape)} for {count} rows, {list(whole.shape)} for {size}")
    return Sample(batch, got, origin="the recorded one, in another batch", noise=recorded.noise)


def _equal(recorded: Sample, key: str, known: np.ndarray, value: np.ndarray) -> bool:
    return comparison.compare(key, known, value, noise=recorded.noise.get(key, 0.0)).equal


def _try_others(wider: plan.Plan, default: str, proofs: list[Sample], weights: Weights, files: assets.Files) -> None:
    """Runs the other signatures on the same inputs, so that none of them needs the size that is left open."""
    values = next(
        candidate.signatures[default].inputs for candidate in wider.variants if default in candidate.signatures
    )
    keys = {spec.tensor: key for key, spec in values.items()}
    for built in wider.variants:
        for name, signature in built.signatures.items():
            if name == default or not all(cut.tensor in keys for cut in signature.inputs.values()):
                continue
            try:
                with asking.asking(built, name, weights, files) as (ask, _):
                    for proof in proofs:
                        ask({key: proof.inputs[keys[cut.tensor]] for key, cut in signature.inputs.items()})
            except (*asking.FAILURES, errors.ExportError) as error:
                raise _Kept(f"with another, its signature {name!r} fails: {errors.reason(error)}") from error


def _rows(values: Mapping[str, np.ndarray], inputs: Mapping[str, interface.Input]) -> int:
    return next(len(values[key]) for key, spec in inputs.items() if spec.shape)
