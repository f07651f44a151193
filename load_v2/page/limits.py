"""What cannot be done with an export, why, and what to do about it."""

from collections.abc import Iterator
from typing import NamedTuple

from export_v1.ir import ops, safety
from load_v2.errors import quoted
from load_v2.program import artefact, subgraph, xla

_SIGNATURE = "serving_default"


class Limit(NamedTuple):
    """Something that cannot be done.

    Attributes:
        what: cannot be done.
        why: it cannot.
        remedy: what can be done instead; "" where there is nothing.
    """

    what: str
    why: str
    remedy: str = ""


def of(source: artefact.Artefact, not_finite: list[str], in_archive: bool = False) -> list[Limit]:
    """Returns the limits of an export, the gravest first.

    Args:
        source: the export.
        not_finite: names of variables with NaN or infinity.
        in_archive: whether it is that of a layer in a .keras archive.
    """
    return [
        *_without_answers(source, in_archive),
        *_running(source),
        *_training(source, not_finite),
        *_using(source),
        *_proof(source),
    ]


def _without_answers(source: artefact.Artefact, in_archive: bool) -> Iterator[Limit]:
    if in_archive:
        yield Limit(
            "Replay the recorded answers",
            "none travel in an archive",
            "Run python -m load_v2 verify on the export that it was made of.",
        )
    elif source.record is None:
        yield Limit(
            "Prove that it answers as the original does",
            "step 1 did not write it, so no answers were recorded",
            "Run python -m export_v1 on the original model.",
        )


def _running(source: artefact.Artefact) -> Iterator[Limit]:
    refused = {} if source.is_object_graph else safety.refused(source.meta_graph.graph_def, source.assets)
    outside = sorted(set(refused) - ops.SAVES - ops.RESTORES)
    if outside:
        yield Limit(
            "Run it without permission",
            f"the graph has ops that could touch files, the network or Python: {quoted(outside)}",
            f"Pass --allow_ops={','.join(outside)} if you trust where the model comes from.",
        )
    signature = source.signatures.get(_SIGNATURE)
    if signature is None:
        yield Limit("Serve it by default", f"it has no signature {_SIGNATURE!r}", "Name one with --signature.")
        return
    needed = subgraph.needed(source.meta_graph.graph_def, [spec.tensor for spec in signature.outputs.values()])
    if not xla.may_be_tried(needed):
        yield Limit(
            "Compile it with XLA (jit_compile=True)",
            "the graph has strings, tables, or control flow that stayed as TensorFlow 1 wrote it",
        )
    for key, spec in signature.inputs.items():
        if spec.shape and spec.shape[0] is not None:
            yield Limit(
                f"Feed input {key!r} with another number of rows than {spec.shape[0]}",
                "the original graph fixes it",
                f"Try --input={key}=TENSOR[None,…] in step 1; predict and Beam fill up short batches.",
            )


def _training(source: artefact.Artefact, not_finite: list[str]) -> Iterator[Limit]:
    record = source.record
    for item in record.unconverted if record else ():
        yield Limit(f"Take gradients through {item.construct}", item.why)
    if not any(variable.trainable for variable in source.variables):
        yield Limit("Train it", "no variable of it is trainable", "Pass --unfreeze in step 1 if the graph was frozen.")
        return
    if "train" not in source.signatures:
        yield Limit(
            "Train with dropout, batch statistics and updates of moving averages",
            "there is no signature 'train': training runs the graph for inference",
            "Pass --train_freeze=is_training:0=true (or what the flag is called) in step 1.",
        )
    if record is not None and record.resume is None:
        yield Limit(
            "Go on with the original training (its loss, optimizer, slots and schedule)",
            "it was exported without --resume",
            "Export again with --resume where the checkpoint holds a training.",
        )
    if not_finite:
        yield Limit("Train every weight", f"these hold NaN or infinity: {quoted(not_finite)}")


def _using(source: artefact.Artefact) -> Iterator[Limit]:
    signature = source.signatures.get(_SIGNATURE)
    if signature is None:
        return
    for key, spec in signature.outputs.items():
        if spec.shape is None:
            yield Limit(
                f"Use output {key!r} in a functional model", "its rank is unknown", "Call the layer on tensors."
            )
    nodes = {node.op for node in subgraph.all_nodes(source.meta_graph.graph_def)}
    specs = [*signature.inputs.values(), *signature.outputs.values()]
    if nodes & ops.TABLES or any(spec.dtype == "string" for spec in specs):
        yield Limit(
            "Rebuild all of it as Keras layers for JAX and PyTorch",
            "it takes or looks up strings, which only TensorFlow has",
            "Export from the first numeric tensors behind them on, with --input.",
        )


def _proof(source: artefact.Artefact) -> Iterator[Limit]:
    record = source.record
    proof = record.proof if record else None
    if record is None or proof is None:
        return
    if proof.why:
        yield Limit("Call it proven", proof.why, "Pass --sample=FILE.npz with real inputs in step 1.")
    for key, why in proof.not_proven.items():
        yield Limit(f"Call output {key!r} proven", why)
    for item in record.replaced:
        if item.in_reference:
            yield Limit(
                f"Hold {item.op} against TensorFlow 1's own kernel",
                f"it cannot run here as in TensorFlow 1; the recorded answers come from its replacement, {item.by}",
            )
    others = sorted(set(record.signatures) - {_SIGNATURE})
    if others:
        yield Limit(f"Call signature {quoted(others)} proven", f"only {_SIGNATURE!r} is compared")
