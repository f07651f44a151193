"""What `export` returns and the command prints."""

import dataclasses
from collections.abc import Mapping, Sequence

from export_v1.format.record import Record, Shape, TensorEntry


@dataclasses.dataclass(frozen=True)
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
        lines += [f"  left as it was: {item.construct}: {item.why}" for item in record.unconverted]
        lines += [f"  replaced: {item.count} {item.op} by {item.by}" for item in record.replaced]
        lines += [f"  chosen: {choice.what} ({choice.why})" for choice in record.choices]
        lines += [f"  warning: {warning}" for warning in record.warnings]
        if record.sample_left_out:
            lines.append(
                f"  sample: none recorded: {record.sample_left_out}; --sample=FILE.npz records one all the same"
            )
        elif record.sample is None:
            lines.append("  sample: none recorded (--no_sample)")
        else:
            lines.append(f"  sample: {record.sample.origin} inputs; the export answers as the original does")
            in_reference = [item.op for item in record.replaced if item.in_reference]
            if in_reference:
                lines.append(
                    f"  sample: the reference uses replacements for {', '.join(in_reference)}, which cannot run here"
                )
            lines += [f"  not compared: output {key!r} changes from run to run" for key in record.sample.unstable]
        if record.warmup:
            lines.append(f"  warm-up requests: of {_counted(record.warmup)} rows")
        return "\n".join(lines)


def _counted(sizes: Sequence[int]) -> str:
    shown = [str(size) for size in sizes[:8]]
    return ", ".join(shown + [f"… ({len(sizes)} in all)"] * (len(sizes) > 8))


def _listed(tensors: Mapping[str, TensorEntry]) -> str:
    return ", ".join(f"{key} {entry.dtype} {_shape_text(entry.exported_shape)}" for key, entry in tensors.items())


def _shape_text(shape: Shape) -> str:
    return "of any rank" if shape is None else "[" + ", ".join("None" if n is None else str(n) for n in shape) + "]"
