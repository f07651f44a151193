"""export(): from a TensorFlow 1 model as it was found to a SavedModel of today, step by step."""

import dataclasses
import os
from collections.abc import Mapping

import tensorflow as tf

from export_v1 import errors, interface
from export_v1.artifact import report, save, versions, warmup
from export_v1.format import record
from export_v1.format import sample as codec
from export_v1.ir import safety, wellformed
from export_v1.model import Source
from export_v1.passes import merge
from export_v1.planning import plan, variant
from export_v1.proof import batch, sample
from export_v1.request import Request
from export_v1.source import assets, inference
from export_v1.weights import located, restore

DEFAULT = "serving_default"


def run(request: Request, export_dir: str) -> report.Report:
    """Returns the report of a finished export; see `export_v1.export`."""
    kind = request.source_kind
    place = {"overwrite": request.overwrite, "versioned": request.versioned}
    versions.check(export_dir, **place)
    warmup.check(request)
    for library in request.op_library:
        _load_ops(library)
    model = read(kind, request)
    with _blamed(model):
        return _run(model, request, export_dir, place)


def _run(model: Source, request: Request, export_dir: str, place: Mapping[str, bool]) -> report.Report:
    if request.moving_averages:
        model = inference.by_moving_averages(model)
    planned = plan.variants(model, request)
    files = assets.Files(request.asset, model.asset_dirs, anywhere=model.kind == "builder")
    built = _built(planned, model, files, request)
    recorded = _sample(planned, built.found.weights, files, request)
    wide = batch.opened(planned, recorded, built.found.weights, files, request)
    if wide.fixed is not None:
        built = _built(wide.planned, model, files, request)
    requests = _warmup(wide.planned, recorded, request)
    with versions.target(export_dir, **place) as target:
        answers = [recorded, *wide.proofs] if recorded else []
        written = _write(built.exported, answers, requests, os.path.join(target.folder, "model"))
        done = _record(model, planned, wide, built, files, written, recorded, requests)
        _finish(target.folder, done, recorded)
        if requests:
            warmup.write(requests, os.path.join(target.folder, "assets.extra"), DEFAULT)
    return report.Report(target.path, done)


@dataclasses.dataclass(frozen=True)
class _Built:
    """A plan carried out: each variant after all passes, the weights, and both together ready to be written."""

    transformed: list[variant.Transformed]
    found: located.Found
    exported: save.Exported


def _built(planned: plan.Plan, model: Source, files: assets.Files, request: Request) -> _Built:
    transformed = [variant.transformed(one, files) for one in planned.variants]
    graphs = {one.prefix: done.graph_def for one, done in zip(planned.variants, transformed, strict=True)}
    graph_def = merge.graphs(graphs)
    found = located.of(graph_def, model, request)
    exported = _exported(graph_def, planned, transformed, found.weights)
    place = f"The outputs of {model.path} need"
    safety.check(graph_def, exported.asset_files, request.allow_ops, place, _how_to_allow)
    return _Built(transformed, found, exported)


def _how_to_allow(ops: list[str]) -> str:
    return (
        f"If you trust where the model comes from, pass --allow_ops={','.join(ops)}.\n"
        "  Or cut the graph after them with --input=KEY=TENSOR."
    )


def _load_ops(library: str) -> None:
    try:
        tf.load_op_library(library)
    except (tf.errors.OpError, OSError) as error:
        raise errors.ExportError(f"Op library {library!r} cannot be loaded: {error}") from error


def listing(request: Request) -> str:
    """Returns what `--list` prints: candidates as flags to paste, and every variable; writes nothing."""
    model = read(request.source_kind, request)
    with _blamed(model):
        return _listing(model)


def candidates(request: Request) -> interface.Candidates:
    """Returns what `export_v1.inspect` does."""
    model = read(request.source_kind, request)
    with _blamed(model):
        return interface.candidates(model.graph)


def _blamed(model: Source):
    graphs = [one.graph_def for one in (model.graph, model.train_graph) if one is not None]
    return wellformed.blamed(lambda: graphs, f"The graph of {model.path!r}")


def _listing(model: Source) -> str:
    said = interface.listing(model.graph, located.listed(model))
    found = interface.candidates(model.graph)
    reaching_out = safety.before(model.graph.graph_def, _tensors(found.outputs), _tensors(found.inputs))
    if reaching_out:
        said += f"\nOps that could touch files, network, Python or other devices:\n{safety.listed(reaching_out)}"
    return said


def _tensors(candidates) -> list[str]:
    return [one.tensor for one in candidates]


def read(kind: str, request: Request) -> Source:
    """Returns the model that a request names, read from its kind of source."""
    if kind == "checkpoint":
        from export_v1.source import checkpoint

        assert request.checkpoint is not None
        return checkpoint.read(request.checkpoint, request.meta_graph)
    if kind == "saved_model":
        from export_v1.source import saved_model

        assert request.saved_model is not None
        return saved_model.read(request.saved_model, request.tags or None)
    if kind == "graph_def":
        from export_v1.source import graph_def

        assert request.graph_def is not None
        return graph_def.read(request.graph_def, unfreeze=request.unfreeze)
    from export_v1.source import builder

    assert request.builder is not None and request.checkpoint is not None
    return builder.read(request.builder, request.checkpoint)


def _exported(graph_def, planned: plan.Plan, transformed, found: restore.Weights) -> save.Exported:
    """Gathers what the variants became under the names that they have in the merged graph."""
    signatures: dict[str, tuple[dict[str, str], dict[str, str], str]] = {}
    losses: list[str] = []
    inits: dict[str, str] = {}
    files: dict[str, str] = {}
    for one, done in zip(planned.variants, transformed, strict=True):
        for key, signature in one.signatures.items():
            for name in (key, *planned.aliases.get(key, ())):
                signatures[name] = (
                    {input_key: one.prefix + tensor for input_key, tensor in done.inputs[key].items()},
                    {output_key: one.prefix + tensor for output_key, tensor in done.outputs[key].items()},
                    signature.method_name,
                )
        losses += [one.prefix + tensor for tensor in done.losses]
        # A table that an earlier variant has, too, is initialized there.
        for init in done.table_inits:
            inits.setdefault(init, one.prefix + init)
        files |= {one.prefix + tensor: path for tensor, path in done.asset_files.items() if _is_used(one.prefix, inits)}
    return save.Exported(graph_def, signatures, tuple(inits.values()), files, tuple(losses), found)


def _is_used(prefix: str, inits: Mapping[str, str]) -> bool:
    return any(name == prefix + init for init, name in inits.items())


def _sample(planned: plan.Plan, found: restore.Weights, files: assets.Files, request: Request) -> sample.Sample | None:
    asked = next((one for one in planned.variants if planned.default in one.signatures), None)
    if asked is None or request.no_sample:
        return None
    # To run a model that is streamed would bring back the memory that streaming saves; real inputs are asked for by name.
    if save.is_streamed(found) and not request.sample:
        return None
    given = sample.read(request.sample, asked.signatures[planned.default].inputs) if request.sample else None
    return sample.record(asked, planned.default, found, files, given)


def _warmup(planned: plan.Plan, recorded: sample.Sample | None, request: Request) -> dict[int, warmup.Batch]:
    asked = next((one for one in planned.variants if planned.default in one.signatures), None)
    inputs = asked.signatures[planned.default].inputs if asked else {}
    return warmup.batches(warmup.sizes(request), recorded, inputs)


def _write(exported: save.Exported, answers: list[sample.Sample], requests, folder: str) -> save.Written:
    """Writes the SavedModel after it has given the original's answers, where there are some."""
    if not answers:
        return save.write(exported, folder)
    inputs, outputs, _ = exported.signatures[DEFAULT]

    def answers_as(one: sample.Sample):
        return lambda session: sample.check(one, session, inputs, outputs)

    warm = [lambda session: warmup.try_out(requests, session, inputs, outputs)] if requests else []
    return save.write(exported, folder, [*map(answers_as, answers), *warm])


def _finish(folder: str, done: record.Record, recorded: sample.Sample | None) -> None:
    """Moves the SavedModel up into its folder and puts the record and the sample beside it."""
    # SavedModelBuilder refuses a folder that exists, and this one has to exist to be claimed.
    written = os.path.join(folder, "model")
    for name in os.listdir(written):
        os.rename(os.path.join(written, name), os.path.join(folder, name))
    os.rmdir(written)
    os.makedirs(os.path.join(folder, "assets.extra"))
    record.write(done, os.path.join(folder, record.PATH))
    if recorded is not None:
        sample.write(recorded, os.path.join(folder, codec.PATH))


def _record(
    model: Source,
    planned: plan.Plan,
    wide: batch.Opened,
    built: _Built,
    files: assets.Files,
    written: save.Written,
    recorded: sample.Sample | None,
    requests: Mapping[int, warmup.Batch],
) -> record.Record:
    transformed, exported, found = built.transformed, built.exported, built.found
    described = wide.described(planned.described())
    choices = [interface.Choice(note, "found so") for note in model.notes]
    choices += [*planned.choices, *wide.choices]
    choices += [interface.Choice(what, why) for what, why in [*found.choices, *dict.fromkeys(files.choices)]]
    kept, original = len(exported.graph_def.node), planned.original_nodes
    serving = described.get(DEFAULT, record.SignatureEntry())
    too_large = written.streamed and recorded is None
    return record.Record(
        source=record.Origin(model.kind, model.path),
        graph_tensorflow_version=model.tensorflow_version,
        exported_by_tensorflow=tf.__version__,
        inputs=serving.inputs,
        outputs=serving.outputs,
        signatures=described,
        frozen=planned.frozen,
        train_frozen=planned.train_frozen,
        nodes=record.Nodes(original, kept, max(original - kept, 0), sum(done.folded for done in transformed)),
        regularization_losses=exported.losses,
        converted=_summed(done.converted for done in transformed),
        unconverted=[
            record.Unconverted(construct, why)
            for construct, why in dict.fromkeys(pair for done in transformed for pair in done.unconverted)
        ],
        choices=choices,
        variables=[_variable(variable, written) for variable in found.weights.variables],
        sample=None if recorded is None else record.SampleEntry(recorded.origin, recorded.unstable, recorded.ranks),
        sample_left_out=f"the variables take {found.weights.size() / 2**20:,.0f} MiB" if too_large else None,
        warnings=[f"variable {name!r} holds NaN or infinity" for name in written.not_finite],
        warmup=sorted(requests),
    )


def _variable(variable: restore.Variable, written: save.Written) -> record.VariableEntry:
    return record.VariableEntry(
        name=variable.name,
        dtype=variable.dtype.name,
        shape=variable.sizes,
        trainable=variable.trainable,
        checkpoint_key=variable.location.key if variable.location else None,
        crc32c=written.checksums[variable.name],
    )


def _summed(counts) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for kind, count in one.items():
            total[kind] = total.get(kind, 0) + count
    return total
