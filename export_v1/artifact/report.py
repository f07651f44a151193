"""What `export` returns and the command prints."""

import dataclasses
from collections.abc import Mapping, Sequence

from export_v1.console import tables
from export_v1.format.record import (
    OPTIMIZER,
    OTHER_VALUES,
    TRAINING_SIGNATURES,
    Record,
    SampleEntry,
    Shape,
    SignatureEntry,
    TensorEntry,
)


@dataclasses.dataclass(frozen=True, repr=False)
class Report:
    """What was exported and how.

    `report[name]` is a field of the record as plain JSON values.

    Attributes:
        export_dir: where the SavedModel is.
        record: the content of assets.extra/export_v1.json.
    """

    export_dir: str
    record: Record

    def __getitem__(self, name: str):
        return self.record.to_json()[name]

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        title, *lines = self.text().splitlines()
        # A line is "what: the rest"; one that is further in goes on with the line before it.
        rows = [("", line.strip()) if line.startswith("   ") else tuple(line.strip().split(": ", 1)) for line in lines]
        return tables.Table(title, rows).html()

    def text(self) -> str:
        """Returns the report as the command prints it."""
        record, nodes = self.record, self.record.nodes
        assert record.source is not None, "an export's record names its source"
        lines = [f"{self.export_dir}: exported from {record.source.kind} {record.source.path}"]
        for key, signature in record.signatures.items():
            lines.append(f"  signature {key}: {_listed(signature.inputs)} -> {_listed(signature.outputs)}")
        trainable = sum(variable.trainable for variable in record.variables)
        lines.append(f"  variables: {len(record.variables)}, {trainable} of them trainable")
        lines.append(f"  nodes: {nodes.kept} of {nodes.original} kept, {nodes.folded} folded away")
        lines += [f"  made functional: {count} {kind}" for kind, count in record.converted.items() if count]
        lines += [f"  optimized: {record.optimized}"] * (record.optimized is not None)
        lines += [f"  left as it was: {item.construct}: {item.why}" for item in record.unconverted]
        lines += [f"  replaced: {item.count} {item.op} by {item.by}" for item in record.replaced if item.by]
        lines += [
            f"  kept: {item.count} {item.op}, as --keep_ops says; what loads the export needs the op's library first"
            for item in record.replaced
            if not item.by
        ]
        lines += [f"  chosen: {choice.what}" + f" ({choice.why})" * bool(choice.why) for choice in record.choices]
        lines += [f"  warning: {warning}" for warning in record.warnings]
        lines += [f"  {line}" for line in proof_lines(record)]
        if record.resume is not None:
            count = len(record.resume.gradients)
            what = "loss" if OPTIMIZER in record.resume.left_behind else f"loss, step and {count} gradients"
            lines.append(f"  training: {what} against the original's: {record.resume.proof}")
        if record.warmup:
            lines.append(f"  warm-up requests: of {_counted(record.warmup)} rows")
        return "\n".join(lines)


def proof_lines(record: Record) -> list[str]:
    """Returns what is proven of an export, what is not and why, and how to make up for it."""
    proof = record.proof
    if proof is None:
        return []
    if record.sample is None:
        return [f"proof: {proof.verdict}: {proof.why}", *_how_to_prove(record)]
    compared = [key for key in record.outputs if key not in proof.not_proven]
    inputs = _inputs(record.sample)
    if not compared:
        lines = [f"proof: {proof.verdict}: {proof.why}"]
    elif proof.not_proven:
        lines = [f"proof: {proof.verdict}: {', '.join(compared)}; compared on {inputs}"]
    else:
        lines = [f"proof: {proof.verdict}: the export answers as the original does; compared on {inputs}"]
    in_reference = [item.op for item in record.replaced if item.in_reference]
    if in_reference:
        lines.append(
            f"  the reference uses replacements for {', '.join(in_reference)}, which cannot run here as in TensorFlow 1"
        )
    lines += [f"  not proven: output {key!r}: {why}" for key, why in proof.not_proven.items()]
    # Those of a training have a verdict of their own.
    judged = TRAINING_SIGNATURES if record.resume is not None else ()
    others = sorted(
        key for key, entry in record.signatures.items() if not _is_default(entry, record) and key not in judged
    )
    if others:
        lines.append(f"  not proven: signature {', '.join(map(repr, others))}: only serving_default is compared")
    return lines + [f"  not compared on {what}" for what in proof.not_asked]


def _inputs(sample: SampleEntry) -> str:
    """Returns the sets of inputs in words; those that differ in their values alone are counted."""
    others = [name for name in sample.sets if name.startswith(OTHER_VALUES)]
    named = [name for name in sample.sets if name not in others]
    more = f"{len(others)} more {'set' if len(others) == 1 else 'sets'} of values"
    return " and ".join([", ".join([f"{sample.origin} inputs", *named]), *([more] if others else [])])


def _is_default(entry: SignatureEntry, record: Record) -> bool:
    sides = ((entry.inputs, record.inputs), (entry.outputs, record.outputs))
    return all(
        [entry.tensor for entry in own.values()] == [entry.tensor for entry in its.values()] for own, its in sides
    )


def _how_to_prove(record: Record) -> list[str]:
    if record.proof is None or record.proof.why.startswith("--no_sample"):
        return []
    arrays = ", ".join(f"{key}={_example(entry)}" for key, entry in record.inputs.items())
    return [
        "  to prove it later, save real inputs to a file, such as:",
        f"    python -c 'import numpy as np; np.savez(\"sample.npz\", **dict({arrays}))'",
        "  and run the same command again with --sample=sample.npz --overwrite. The inputs:",
        *(
            f"    --input={key}={entry.tensor}{_pasted_shape(entry.exported_shape)}  {entry.dtype}"
            for key, entry in record.inputs.items()
        ),
    ]


def _example(entry: TensorEntry) -> str:
    sizes = [1 if size is None else size for size in entry.exported_shape or ()]
    if entry.dtype == "string":
        return f'np.full({sizes}, b"")'
    # numpy's files have no bfloat16; step 1 casts.
    return f'np.zeros({sizes}, "{"float32" if entry.dtype == "bfloat16" else entry.dtype}")'


def _pasted_shape(shape: Shape) -> str:
    return "" if shape is None else "[" + ",".join("None" if size is None else str(size) for size in shape) + "]"


def _counted(sizes: Sequence[int]) -> str:
    shown = [str(size) for size in sizes[:8]]
    return ", ".join(shown + [f"… ({len(sizes)} in all)"] * (len(sizes) > 8))


def _listed(tensors: Mapping[str, TensorEntry]) -> str:
    return ", ".join(f"{key} {entry.dtype} {_shape_text(entry.exported_shape)}" for key, entry in tensors.items())


def _shape_text(shape: Shape) -> str:
    return "of any rank" if shape is None else "[" + ", ".join("None" if n is None else str(n) for n in shape) + "]"
