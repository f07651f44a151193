"""What step 1 did: the record that travels with the export, and what the command prints."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import tensorflow as tf

FORMAT_VERSION = 1
# 1  2026-11  first.


@dataclasses.dataclass(frozen=True)
class Report:
    """What was exported and how; `record` is the content of assets.extra/export_v1.json.

    Attributes:
        export_dir: where the SavedModel is.
        record: as written to disk; see the README for its fields.
    """

    export_dir: str
    record: Mapping[str, object]

    def __getitem__(self, key: str):
        return self.record[key]

    def text(self) -> str:
        """Returns the report as the command prints it."""
        record = self.record
        nodes = record["nodes"]
        lines = [f"{self.export_dir}: exported from {record['source']['kind']} {record['source']['path']}"]
        for key, signature in record["signatures"].items():
            lines.append(f"  signature {key}: {_listed(signature['inputs'])} -> {_listed(signature['outputs'])}")
        trainable = sum(variable["trainable"] for variable in record["variables"])
        lines.append(f"  variables: {len(record['variables'])}, {trainable} of them trainable")
        lines.append(f"  nodes: {nodes['kept']} of {nodes['original']} kept, {nodes['folded']} folded away")
        lines += [f"  made functional: {count} {kind}" for kind, count in record["converted"].items() if count]
        lines += [f"  left as it was: {one['construct']}: {one['why']}" for one in record["unconverted"]]
        lines += [f"  chosen: {choice['what']} ({choice['why']})" for choice in record["choices"]]
        lines += [f"  warning: {warning}" for warning in record["warnings"]]
        sample = record["sample"]
        if record["sample_left_out"]:
            lines.append(
                f"  sample: none recorded: {record['sample_left_out']}; --sample=FILE.npz records one all the same"
            )
        elif sample is None:
            lines.append("  sample: none recorded (--no_sample)")
        else:
            lines.append(f"  sample: {sample['origin']} inputs; the export answers as the original does")
            lines += [f"  not compared: output {key!r} changes from run to run" for key in sample["unstable"]]
        if record.get("warmup"):
            lines.append(f"  warm-up requests: of {_counted(record['warmup'])} rows")
        return "\n".join(lines)


def _counted(sizes: Sequence[int]) -> str:
    shown = [str(size) for size in sizes[:8]]
    return ", ".join(shown + [f"… ({len(sizes)} in all)"] * (len(sizes) > 8))


def _listed(tensors: Mapping[str, Mapping[str, object]]) -> str:
    return ", ".join(
        f"{key} {one['dtype']} {_shape_text(one.get('relaxed_shape', one['shape']))}" for key, one in tensors.items()
    )


def _shape_text(shape: Sequence[int | None] | None) -> str:
    return "of any rank" if shape is None else "[" + ", ".join("None" if n is None else str(n) for n in shape) + "]"


def tensor(name: str, data_type: int, shape: Sequence[int | None] | None) -> dict[str, object]:
    """Returns how the record describes a tensor of the original graph."""
    return {
        "tensor": name,
        "dtype": tf.as_dtype(data_type).base_dtype.name,
        "shape": None if shape is None else [None if size is None else int(size) for size in shape],
    }


def write(record: Mapping[str, object], path: str) -> None:
    """Writes the record as JSON."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1, default=_plain)
        file.write("\n")


def _plain(value):
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.tolist()
