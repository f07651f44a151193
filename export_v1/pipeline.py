"""From a TensorFlow 1 model as it was found to a SavedModel of today: the order of the work."""

import functools
import os
from collections.abc import Callable, Mapping

from export_v1 import interface
from export_v1.artifact import assembly, recording, save, versions, warmup
from export_v1.artifact.report import Report
from export_v1.format import record
from export_v1.format import sample as codec
from export_v1.ir import safety, wellformed
from export_v1.model import Source
from export_v1.passes import replacements
from export_v1.planning import plan
from export_v1.planning.plan import DEFAULT, Plan
from export_v1.proof import batch, sample
from export_v1.proof.sample import Sample
from export_v1.request import Request
from export_v1.source import assets, inference, reading
from export_v1.weights import located
from export_v1.weights.restore import Weights


def export(request: Request, export_dir: str) -> Report:
    """Returns the report of a finished export; see `export_v1.export`."""
    place = {"overwrite": request.overwrite, "versioned": request.versioned}
    request.source_kind  # noqa: B018 - raises where the flags contradict each other
    versions.check(export_dir, **place)
    warmup.check(request)
    replacements.check_kept(request.keep_ops)
    model = reading.read(request)
    with _blamed(model):
        return _export(model, request, export_dir, place)


def _export(model: Source, request: Request, export_dir: str, place: Mapping[str, bool]) -> Report:
    if request.moving_averages:
        model = inference.by_moving_averages(model)
    planned = plan.variants(model, request)
    files = assets.Files(request.asset, model.asset_dirs, anywhere=model.kind == "builder")
    assembled = assembly.assemble(planned, model, files, request)
    weights = assembled.found.weights
    recorded = _recorded(planned, weights, files, request)
    opened = batch.opened(planned, recorded, weights, files, request)
    if opened.fixed is not None:
        assembled = assembly.assemble(opened.planned, model, files, request)
    requests = warmup.batches(warmup.sizes(request), recorded, opened.planned.serving_inputs)
    with versions.target(export_dir, **place) as target:
        answers = [recorded, *opened.proofs] if recorded else []
        written = _write(assembled.exported, answers, requests, target.folder)
        done = recording.record_of(model, planned, opened, assembled, files, written, recorded, requests)
        record.write(done, os.path.join(target.folder, record.PATH))
        if recorded is not None:
            sample.write(recorded, os.path.join(target.folder, codec.PATH))
        if requests:
            warmup.write(requests, os.path.join(target.folder, "assets.extra"), DEFAULT)
    return Report(target.path, done)


def _recorded(planned: Plan, weights: Weights, files: assets.Files, request: Request) -> Sample | None:
    # To run a model that is streamed would bring back the memory that streaming saves; real inputs ask for it by name.
    if request.no_sample or (save.is_streamed(weights) and not request.sample):
        return None
    given = sample.read(request.sample, planned.serving_inputs) if request.sample else None
    return sample.record(planned.serving, planned.default, weights, files, given)


def _write(exported: save.Exported, answers: list[Sample], requests: Mapping[int, warmup.Batch], folder: str):
    """Writes the SavedModel after it has given the original's answers, where there are some."""
    checks: list[Callable] = []
    if answers:
        inputs, outputs, _ = exported.signatures[DEFAULT]
        checks += [functools.partial(_compare, answer, inputs, outputs) for answer in answers]
        if requests:
            checks.append(lambda session: warmup.try_out(requests, session, inputs, outputs))
    # SavedModelBuilder refuses a folder that exists, and this one has to exist to be claimed.
    inner = os.path.join(folder, "model")
    written = save.write(exported, inner, checks)
    for name in os.listdir(inner):
        os.rename(os.path.join(inner, name), os.path.join(folder, name))
    os.rmdir(inner)
    os.makedirs(os.path.join(folder, "assets.extra"))
    return written


def _compare(answer: Sample, inputs: Mapping[str, str], outputs: Mapping[str, str], session) -> None:
    sample.check(answer, session, inputs, outputs)


def listing(request: Request) -> str:
    """Returns what `--list` prints: candidates as flags to paste, and every variable; writes nothing."""
    model = reading.read(request)
    with _blamed(model):
        text = interface.listing(model.graph, located.listed(model))
        found = interface.candidates(model.graph)
        outputs, inputs = ([candidate.tensor for candidate in side] for side in (found.outputs, found.inputs))
        reaching_out = safety.before(model.graph.graph_def, outputs, inputs)
    if reaching_out:
        text += f"\nOps that could touch files, network, Python or other devices:\n{safety.listed(reaching_out)}"
    return text


def candidates(request: Request) -> interface.Candidates:
    """Returns what `export_v1.inspect` does."""
    model = reading.read(request)
    with _blamed(model):
        return interface.candidates(model.graph)


def _blamed(model: Source):
    graphs = [graph.graph_def for graph in (model.graph, model.train_graph) if graph is not None]
    return wellformed.blamed(lambda: graphs, f"The graph of {model.path!r}")
