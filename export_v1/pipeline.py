"""From a TensorFlow 1 model as it was found to a SavedModel of today: the order of the work."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping

from export_v1 import errors, interface
from export_v1.analysis import changed_kernels, endless
from export_v1.artifact import assembly, model_settings, recording, save, versions, warmup
from export_v1.artifact.report import Report
from export_v1.console import progress
from export_v1.format import digests, plain_path, record, training_sample
from export_v1.format import sample as codec
from export_v1.format.comparison import Verdict
from export_v1.interface.anatomy import Anatomy
from export_v1.ir import randomness, safety, wellformed
from export_v1.ir.graph import Index, parse
from export_v1.model import Source
from export_v1.passes import replacements
from export_v1.planning import norms, plan
from export_v1.planning.plan import DEFAULT, Plan
from export_v1.proof import batch, checking, memory, sample, training
from export_v1.proof.asking import Unanswered
from export_v1.proof.sample import Sample
from export_v1.request import Request
from export_v1.source import assets, reading
from export_v1.weights import initial, located, original
from export_v1.weights.restore import Weights
from export_v1.weights.session import CONFIG, SERVED, fill


def export(request: Request, export_dir: str) -> Report:
    """Returns the report of a finished export; see `export_v1.export`."""
    place = {"overwrite": request.overwrite, "versioned": request.versioned}
    request.source_kind  # noqa: B018 - raises where the flags contradict each other
    versions.check(export_dir, request.files, **place)
    warmup.check(request)
    model_settings.check(request.mlserver)
    replacements.check_kept(request.keep_ops)
    progress.stage("reading the model")
    model = reading.read(request)
    # Of a folder of versions, or of checkpoints, one was chosen.
    versions.check(export_dir, [path for path in (model.checkpoint, *model.asset_dirs) if path], **place)
    own_code, is_complete = model.kind == "builder", model.kind == "saved_model"
    files = assets.Files(request.asset, model.asset_dirs, anywhere=own_code, brings_all=is_complete)
    policy = safety.Policy(
        frozenset(request.allow_ops),
        own_paths=files.found,
        place=f"The graph of {model.path} has",
        remedy=_how_to_allow,
    )
    with _blamed(model), safety.applied(policy), interface.telling() as choices:
        return _export(model, files, request, export_dir, place, choices)


def _how_to_allow(ops: list[str]) -> str:
    return (
        f"If you trust where the model comes from, pass --allow_ops={','.join(ops)}.\n"
        "  Or cut the graph after them with --input=KEY=TENSOR."
    )


def _export(
    model: Source, files: assets.Files, request: Request, export_dir: str, place: Mapping[str, bool], choices: list
) -> Report:
    progress.stage("choosing inputs and outputs", 0.1)
    model, planned = norms.settled(model, plan.variants(model, request), request)
    choices.extend(planned.choices)
    progress.stage("rewriting the graph", 0.25)
    assembled = assembly.assemble(planned, model, files, request)
    exported_weights = assembled.found.weights
    weights = original.OriginalWeights(
        exported_weights.variables, exported_weights.checkpoint, exported_weights.initial, model, request
    )
    progress.stage("recording the original's answers", 0.4)
    recorded, why_unproven = _recorded(planned, assembled.exported, weights, files, request)
    progress.stage("trying other batch sizes", 0.65)
    opened = batch.opened(planned, recorded, weights, files, request)
    if opened.fixed is not None:
        assembled = assembly.assemble(opened.planned, model, files, request)
    proof = training.Proof("")
    if planned.resume is not None:
        proof = _training_proven(planned, assembled.exported, weights, files, request)
        entry = dataclasses.replace(planned.resume, proof=proof.verdict, recorded=proof.step is not None)
        planned = dataclasses.replace(planned, resume=entry)
    requests = warmup.batches(warmup.sizes(request), recorded, opened.planned.serving_inputs)
    progress.stage("writing weights and comparing answers", 0.75)
    with versions.target(export_dir, **place) as target:
        answers = [*recorded.sets, *opened.proofs] if recorded else []

        _, outputs, _ = assembled.exported.signatures[DEFAULT]
        writes = bool(answers) and save.writes_variables(assembled.exported.graph_def, outputs.values())
        changed = changed_kernels.unproven(assembled.exported.graph_def, outputs) if answers else {}
        written, not_proven = _write(assembled, answers, requests, target.folder, changed, writes)
        recorded = recorded and recorded.without(not_proven)
        if request.require_proof:
            _require(recorded)
        done = recording.record_of(model, planned, opened, assembled, files, written, recorded, why_unproven, requests)
        if recorded is not None:
            sample.write(recorded, os.path.join(target.folder, codec.PATH))
        if proof.step is not None:
            training_sample.write(proof.step, os.path.join(target.folder, training_sample.PATH))
        if requests:
            warmup.write(requests, os.path.join(target.folder, "assets.extra"), DEFAULT)
        done = dataclasses.replace(done, files=digests.of_export(target.folder))
        record.write(done, os.path.join(target.folder, record.PATH))
        if request.mlserver:
            model_settings.write(request.mlserver, target.folder)
    return Report(target.path, done)


def _recorded(
    planned: Plan,
    exported: save.Exported,
    weights: Weights,
    files: assets.Files,
    request: Request,
) -> tuple[Sample | None, str]:
    """Returns the original's answers, or None and why there are none."""
    if request.no_sample:
        return None, "--no_sample skipped running the original and the export, and comparing their answers"
    endless.check(exported.graph_def)
    given = sample.read(request.sample, planned.serving_inputs) if request.sample else None
    try:
        too_large = memory.lacking(weights.size())
        # Real inputs ask for it by name.
        if too_large and given is None:
            raise Unanswered(too_large, "Pass --sample=FILE.npz to run it anyway.")
        _, outputs, _ = exported.signatures[DEFAULT]
        random = randomness.sources(Index(exported.graph_def), outputs)
        return sample.record(planned.serving, planned.default, weights, files, given, random), ""
    except Unanswered as unanswered:
        if request.require_proof:
            raise errors.ExportError(
                f"No answers can be recorded, and --require_proof was given.\n  {unanswered}"
            ) from unanswered
        return None, unanswered.why.rstrip(".")


def _training_proven(
    planned: Plan, exported: save.Exported, weights: Weights, files: assets.Files, request: Request
) -> training.Proof:
    """Returns what is proven of a training: whether loss, gradients and update are the original's."""
    if request.no_sample:
        return training.Proof(f"{Verdict.NOT_PROVEN}: --no_sample skipped it")
    proof = training.prove(planned, exported.graph_def, exported.signatures, weights, files)
    if request.require_proof and proof.verdict.startswith(str(Verdict.NOT_PROVEN)):
        raise errors.ExportError(
            f"The training is {proof.verdict}, and --require_proof was given.\n  Nothing was written."
        )
    return proof


def _require(recorded: Sample | None) -> None:
    if recorded is not None and recorded.not_proven:
        listed = "".join(f"  output {key!r}: {why}\n" for key, why in recorded.not_proven.items())
        raise errors.ExportError(
            f"Not every output can be compared with the original's, and --require_proof was given:\n{listed}"
            "  Nothing was written. Leave these outputs out (--output names the others), or remove --require_proof."
        )


def _write(
    assembled: assembly.Assembly,
    answers: list[Sample],
    requests: Mapping[int, warmup.Batch],
    folder: str,
    changed: Mapping[str, str],
    writes: bool,
) -> tuple[save.Written, dict[str, str]]:
    """Writes the SavedModel after it has given the original's answers; returns which outputs prove nothing after all.

    `writes` tells whether an answer may change variables.
    """
    exported, optimized = assembled.exported, assembled.optimized is not None
    # Constants let TensorFlow rewrite more, and it does so wrongly at times; with variables it is asked as it is written.
    is_rewritten = optimized or not exported.weights.variables
    remedy = checking.OPTIMIZED if optimized else checking.FROZEN if is_rewritten else checking.DEFECT
    inputs, outputs, _ = exported.signatures[DEFAULT]
    not_proven = dict(changed)

    def compare(answer: Sample, session) -> None:
        def refill() -> None:
            if writes:
                fill(session, exported.weights)

        remaining = answer.without(not_proven)
        not_proven.update(checking.check(remaining, session, inputs, outputs, refill, remedy))

    checks: list[Callable] = [functools.partial(compare, answer) for answer in answers]
    if answers and requests:
        checks.append(lambda session: warmup.try_out(requests, session, inputs, outputs))
    # SavedModelBuilder refuses a folder that exists, and this one has to exist to be claimed.
    inner = os.path.join(plain_path.of(folder), "model")
    written = save.write(exported, inner, checks, SERVED if is_rewritten else CONFIG, writing=writes)
    for name in os.listdir(inner):
        os.rename(os.path.join(inner, name), os.path.join(folder, name))
    os.rmdir(inner)
    os.makedirs(os.path.join(folder, "assets.extra"))
    return written, not_proven


def listing(request: Request, pattern: str = "") -> str:
    """Returns what `--list` prints, or `--list=PATTERN`: candidates as flags to paste, and variables; writes nothing."""
    with _looked_at(request) as (model, looked):
        text = interface.listing(model.graph, located.listed(model), pattern, looked)
        for where, reaching_out in _reaching_out(model, request, interface.offered(looked)):
            text += f"\nOps that could touch files, network, Python or other devices, {where}:\n{safety.listed(reaching_out)}"
    return text


def listed(request: Request) -> dict:
    """Returns what `--list --json` prints, as plain JSON values; writes nothing."""
    with _looked_at(request) as (model, looked):
        reaching_out = _reaching_out(model, request, interface.offered(looked))
        candidates = interface.listed(model.graph, located.listed(model), looked)
        return {**candidates, "needs_permission": {where: dict(ops) for where, ops in reaching_out}}


@contextlib.contextmanager
def _looked_at(request: Request) -> Iterator[tuple[Source, Anatomy]]:
    """Yields the model, and what its interface is chosen from."""
    progress.stage("reading the model")
    model = reading.read(request)
    progress.stage("looking for inputs and outputs", 0.3)
    with _blamed(model):
        yield model, interface.look(model.graph)


def _reaching_out(
    model: Source, request: Request, candidates: interface.Candidates
) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Yields where a model has ops that `--allow_ops` would have to let in, and these."""
    index = model.graph.index
    outputs, inputs = ([candidate.tensor for candidate in side] for side in (candidates.outputs, candidates.inputs))
    outputs = [parse(tensor).name for tensor in request.outputs.values()] or outputs
    # Where nothing is known to be an output, any node may be.
    outputs = outputs or list(index.nodes)
    places = {
        "in what the outputs need": (outputs, inputs),
        "in what a loader runs first": (model.graph.main_ops, ()),
        "in what --init_missing may run": (initial.initializers(index), ()),
    }
    for where, (ends, cuts) in places.items():
        reaching_out = safety.before(index, ends, cuts)
        if reaching_out:
            yield where, reaching_out


def candidates(request: Request) -> interface.Candidates:
    """Returns what `export_v1.inspect` does."""
    model = reading.read(request)
    with _blamed(model):
        return interface.candidates(model.graph)


def _blamed(model: Source):
    graphs = [graph.graph_def for graph in (model.graph, model.train_graph) if graph is not None]
    return wellformed.blamed(lambda: graphs, f"The graph of {model.path!r}")
