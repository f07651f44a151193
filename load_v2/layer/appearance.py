"""How a layer shows itself: inputs, outputs, weights, source, and what was proven, in a few aligned lines."""

import math

from export_v1.console import tables
from export_v1.format.record import Record
from load_v2.layer.description import Description


def table(name: str, described: Description, path: str, record: Record | None, trainable: bool) -> tables.Table:
    """Returns what there is to see of a layer.

    Args:
        name: of the layer.
        described: its signature and its weights.
        path: where its graph is from; "" for a layer that has no graph yet.
        record: what step 1 did; None where something else made the graph, or it is not known yet.
        trainable: whether the layer trains.
    """
    rows: list[tuple[str, ...]] = [("input", key, str(spec), spec.tensor) for key, spec in described.inputs.items()]
    rows += [("output", key, str(spec), spec.tensor) for key, spec in described.outputs.items()]
    variables = described.variables
    training = sum(variable.trainable for variable in variables) if trainable else 0
    numbers = sum(math.prod(variable.shape) for variable in variables)
    rows.append(("weights", f"{len(variables):,}, {training:,} of them trainable, {numbers:,} numbers"))
    if record is not None and record.source is not None:
        version = f", TensorFlow {record.graph_tensorflow_version}" if record.graph_tensorflow_version else ""
        rows.append(("source", f"{record.source.kind} {record.source.path}{version}"))
    rows.append(("proven", _proven(record) if path else "unknown: it has no graph yet"))
    return tables.Table(f"SignatureLayer {name!r}, {described.signature}" + (f" of {path}" if path else ""), rows)


def _proven(record: Record | None) -> str:
    if record is None:
        return "nothing: step 1 did not write it"
    if record.proof is None:
        return "answers are recorded; verify compares them" if record.sample else "nothing: no answers were recorded"
    if record.proof.why:
        return f"{record.proof.verdict}: {record.proof.why}"
    left = ", ".join(record.proof.not_proven)
    return f"{record.proof.verdict} to the original when it was exported" + (f"; not proven: {left}" if left else "")
