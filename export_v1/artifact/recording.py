"""The record of an export, gathered from every step that has something to say."""

from collections import Counter
from collections.abc import Iterable

import tensorflow as tf

from export_v1 import interface
from export_v1.artifact import scopes
from export_v1.artifact.assembly import Assembly
from export_v1.artifact.save import Written
from export_v1.format import record
from export_v1.format.comparison import Verdict
from export_v1.ir.graph import GraphDef
from export_v1.model import Source
from export_v1.planning.plan import DEFAULT, Plan
from export_v1.planning.variant import Transformed
from export_v1.proof.batch import Opened
from export_v1.proof.sample import Sample
from export_v1.source.assets import Files
from export_v1.weights.restore import Variable


def record_of(
    model: Source,
    plan: Plan,
    opened: Opened,
    assembly: Assembly,
    files: Files,
    written: Written,
    recorded: Sample | None,
    why_unproven: str,
    warmup_sizes: Iterable[int],
) -> record.Record:
    """Returns the record of an export.

    Args:
        model: what was exported.
        plan: with the shapes of the original graph.
        opened: what became of a fixed batch size.
        assembly: what was written.
        files: found the files of tables.
        written: what is known since it was written.
        recorded: the original's answers, where there are some.
        why_unproven: why there are none; "" otherwise.
        warmup_sizes: batch sizes of the warm-up requests.
    """
    transformed, exported, weights = assembly.transformed, assembly.exported, assembly.exported.weights
    described = opened.described(plan.described())
    serving = described.get(DEFAULT, record.SignatureEntry())
    kept, original = _kept(plan, exported.graph_def), plan.original_nodes
    nodes = [node.name for node in plan.serving.model.graph_def.node]
    converted: Counter[str] = Counter()
    for made in transformed:
        converted.update(made.converted)
    unconverted = dict.fromkeys(pair for made in transformed for pair in made.unconverted)
    return record.Record(
        source=record.Origin(model.kind, model.path),
        graph_tensorflow_version=model.tensorflow_version,
        exported_by_tensorflow=tf.__version__,
        inputs=serving.inputs,
        outputs=serving.outputs,
        signatures=described,
        frozen=plan.frozen,
        train_frozen=plan.train_frozen,
        nodes=record.Nodes(original, len(kept), original - len(kept), sum(made.folded for made in transformed)),
        scopes=scopes.counts(nodes, kept),
        regularization_losses=exported.losses,
        converted=dict(converted),
        unconverted=[record.Unconverted(construct, why) for construct, why in unconverted],
        replaced=_replaced(transformed),
        choices=_choices(model, plan, opened, assembly, files),
        variables=[_entry(variable, written) for variable in weights.variables],
        sample=None if recorded is None else _sample_entry(recorded),
        sample_left_out=why_unproven or None,
        proof=_proof_entry(recorded, why_unproven),
        warnings=[
            *plan.warnings,
            *(f"variable {name!r} holds NaN or infinity" for name in written.not_finite),
            *_about_random(plan),
        ],
        warmup=sorted(warmup_sizes),
        resume=plan.resume,
        optimized=assembly.optimized,
    )


def _replaced(transformed: Iterable[Transformed]) -> list[record.Replaced]:
    """Returns what was replaced in all variants together."""
    counts: Counter[tuple] = Counter()
    for made in transformed:
        for item in made.replaced:
            counts[item.op, item.by, item.in_reference] += item.count
    return [record.Replaced(op, count, by, in_reference) for (op, by, in_reference), count in sorted(counts.items())]


def _kept(plan: Plan, graph_def: GraphDef) -> set[str]:
    """Returns which nodes of the original graph are in the export, in its functions, too, whatever was added."""
    written = {node.name for node in graph_def.node}
    for planned in plan.variants:
        written |= {name.removeprefix(planned.prefix) for name in written if name.startswith(planned.prefix)}
    written |= {node.name for function in graph_def.library.function for node in function.node_def}
    return {node.name for node in plan.serving.model.graph_def.node if node.name in written}


def _sample_entry(recorded: Sample) -> record.SampleEntry:
    names = [input_set.name for input_set in recorded.further]
    unstable = [key for key in recorded.ranks if key not in recorded.outputs]
    return record.SampleEntry(recorded.origin, unstable, recorded.ranks, names)


def _proof_entry(recorded: Sample | None, why_unproven: str) -> record.ProofEntry:
    if recorded is None:
        return record.ProofEntry(str(Verdict.NOT_PROVEN), why_unproven)
    compared = any(part.outputs for part in recorded.sets)
    why = "" if compared else "every output changes from run to run"
    verdict = Verdict.EQUAL if compared else Verdict.NOT_PROVEN
    return record.ProofEntry(str(verdict), why, recorded.not_proven, recorded.not_asked)


def _choices(model: Source, plan: Plan, opened: Opened, assembly: Assembly, files: Files) -> list[interface.Choice]:
    pairs = [*assembly.found.choices, *dict.fromkeys(files.choices)]
    return [
        *(interface.Choice(note, "") for note in model.notes),
        *plan.choices,
        *opened.choices,
        *(interface.Choice(what, why) for what, why in pairs),
    ]


def _about_random(plan: Plan) -> list[str]:
    if plan.resume is None or not plan.resume.random:
        return []
    return [
        f"the loss {plan.resume.loss} draws random numbers, as dropout and sampling do: these are not TensorFlow 1's, so "
        "losses differ from step to step; all else in a step is the same"
    ]


def _entry(variable: Variable, written: Written) -> record.VariableEntry:
    return record.VariableEntry(
        name=variable.name,
        dtype=variable.dtype.name,
        shape=variable.sizes,
        trainable=variable.trainable,
        checkpoint_key=variable.location.key if variable.location else None,
        crc32c=written.checksums[variable.name],
    )
