"""`show`: what an export holds and what step 1 did, as text."""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from export_v1.console import colour
from load_v2.commands.parsing import Parser

DESCRIPTION = """
Prints signatures, weights, and what step 1 did and chose.
"""
EXAMPLES = (
    "python -m load_v2 show export/1",
    "python -m load_v2 show export/1 --json",
    "python -m load_v2 show model.keras",
)


def add_flags(parser: Parser) -> None:
    """Declares the flags of `show`."""
    parser.add_export("--export_dir of step 1, another SavedModel, or a .keras archive")
    parser.add_json()


def run(args: argparse.Namespace) -> int:
    """Prints the export; returns 0."""
    from load_v2.layer import archive_file
    from load_v2.program import artefact

    if not archive_file.is_archive(args.dir):
        source = artefact.read(args.dir)
        _print(args.json, data(source), describe(source))
        return 0
    with archive_file.opened(args.dir) as layers:
        held = [{"layer": stored.name, "changed": _changed(stored), **data(stored.source)} for stored in layers]
        lines = [line for stored in layers for line in (*describe(stored.source), *stored.lines())]
        _print(args.json, {"path": args.dir, "layers": held}, lines)
    return 0


def _print(as_json: bool, values: Mapping, lines: Iterable[str]) -> None:
    print(json.dumps(values, indent=1) if as_json else colour.report("\n".join(lines), sys.stdout))


def _changed(stored) -> list[str] | None:
    return None if stored.changed is None else list(stored.changed)


def data(source) -> dict[str, Any]:
    """Returns what `describe` says as plain JSON values; `load_v2/README.md` has the fields."""
    return {
        "path": source.path,
        "signatures": {
            key: {"inputs": _specs(signature.inputs), "outputs": _specs(signature.outputs)}
            for key, signature in source.signatures.items()
        },
        "variables": [
            {
                "name": variable.name,
                "dtype": variable.dtype,
                "shape": list(variable.shape),
                "trainable": variable.trainable,
            }
            for variable in source.variables
        ],
        "assets": dict(source.assets),
        "needs_permission": _reaching_out(source),
        "record": source.record.to_json() if source.record else None,
    }


def _specs(specs: Mapping) -> dict[str, Any]:
    return {
        key: {"dtype": spec.dtype, "shape": None if spec.shape is None else list(spec.shape), "tensor": spec.tensor}
        for key, spec in specs.items()
    }


def _reaching_out(source) -> dict[str, list[str]]:
    """Returns the ops that could touch files, network or Python, and the nodes that are such."""
    from export_v1.ir import ops, safety

    reaching_out = safety.refused(source.meta_graph.graph_def, source.assets) if not source.is_object_graph else {}
    return {op: list(nodes) for op, nodes in sorted(reaching_out.items()) if op not in ops.SAVES | ops.RESTORES}


def describe(source) -> Iterator[str]:
    """Yields lines about an artefact: signatures in call order, variables, what step 1 did, ops that reach outside."""
    record = source.record
    origin = record.source if record else None
    made = f", from {origin.kind} {origin.path}" if origin else ", not made by step 1"
    version = record.graph_tensorflow_version if record else ""
    yield f"{source.path}{made}" + (f", TensorFlow {version}" if version else "")
    for key, signature in source.signatures.items():
        yield f"signature {key}"
        for side, specs in (("input", signature.inputs), ("output", signature.outputs)):
            yield from (f"  {side:6} {name}: {spec}   {spec.tensor}" for name, spec in specs.items())
    yield from _variables(source)
    yield from _record(record)
    for op, nodes in _reaching_out(source).items():
        yield f"could touch files, network or Python: {op} in {', '.join(nodes[:5])}"


def _variables(source) -> Iterator[str]:
    from math import prod

    count = sum(prod(variable.shape) for variable in source.variables)
    trainable = sum(variable.trainable for variable in source.variables)
    yield f"variables: {len(source.variables)}, {trainable} of them trainable, {count:,} numbers"
    for variable in source.variables:
        fixed = "" if variable.trainable else "  (not trainable)"
        yield f"  {variable.name}: {variable.dtype} {list(variable.shape)}{fixed}"
    for name, file in source.assets.items():
        yield f"asset {file}   {name}"


def _record(record) -> Iterator[str]:
    if not record:
        return
    for name, values in (("frozen", record.frozen), ("train frozen", record.train_frozen)):
        yield from (f"{name}: {tensor} = {value}" for tensor, value in values.items())
    nodes = record.nodes
    if nodes.original:
        yield f"nodes: {nodes.original} original, {nodes.kept} kept, {nodes.dropped} dropped, {nodes.folded} folded"
    if record.optimized is not None:
        yield f"optimized: {record.optimized}"
    yield from (f"chosen: {choice.what}" + (f" ({choice.why})" if choice.why else "") for choice in record.choices)
    yield from (f"not converted: {item.construct} ({item.why})" for item in record.unconverted)
    proof = record.proof
    if proof:
        yield f"proof: {proof.verdict}" + (f": {proof.why}" if proof.why else "")
        yield from (f"not proven: output {key!r}: {why}" for key, why in proof.not_proven.items())
        yield from (f"not compared on {what}" for what in proof.not_asked)
    if record.sample:
        yield f"sample: {record.sample.origin} inputs" + "".join(f"; {name}" for name in record.sample.sets)
