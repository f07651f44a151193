"""A plan carried out: every variant after all passes, joined into one graph, with its weights."""

import dataclasses
import functools

from export_v1 import errors
from export_v1.artifact import save
from export_v1.format import record
from export_v1.ir import safety
from export_v1.ir.graph import GraphDef
from export_v1.model import Source
from export_v1.passes import constant_weights, merge, optimize
from export_v1.planning import variant
from export_v1.planning.plan import Plan
from export_v1.request import Request
from export_v1.source import assets
from export_v1.weights import located
from export_v1.weights.restore import Weights

# Bytes of weights; what else is in a graph takes the rest of the 2 GiB that one may have.
_MOST_CONSTANTS = 2**31 - 2**26


@dataclasses.dataclass(frozen=True)
class Assembly:
    """What is to be written, and what led to it.

    Attributes:
        transformed: each variant after all passes, in the plan's order.
        found: the weights, and the choices made about them.
        exported: the joined graph, ready to be written.
        optimized: what --optimize did; None where it was not asked for.
    """

    transformed: list[variant.Transformed]
    found: located.Found
    exported: save.Exported
    optimized: record.Optimized | None = None


def assemble(plan: Plan, model: Source, files: assets.Files, request: Request) -> Assembly:
    """Returns what a plan becomes.

    Raises:
        ExportError: a pass cannot do its work, a variable has no value, a graph cannot hold the weights as constants, or
            the graph would touch files or the network without being allowed to.
    """
    transformed = [variant.transformed(planned, files) for planned in plan.variants]
    prefixed = zip(plan.variants, transformed, strict=True)
    graph_def = merge.graphs({planned.prefix: made.graph_def for planned, made in prefixed})
    located_weights = located.of(graph_def, model, request)
    exported = _exported(graph_def, plan, transformed, located_weights.weights)
    # Before anything is run or written; what is imported is checked again, where it is imported.
    safety.current().check(graph_def)
    if not request.optimize:
        return Assembly(transformed, located_weights, exported)
    return Assembly(transformed, located_weights, *_for_inference(exported))


def _for_inference(exported: save.Exported) -> tuple[save.Exported, record.Optimized]:
    names = set(constant_weights.constant(exported.graph_def))
    size = exported.weights.size(names)
    if size > _MOST_CONSTANTS:
        raise errors.ExportError(
            f"--optimize makes weights constants of the graph, which cannot hold more than 2 GiB; these are "
            f"{size / 2**30:.1f} GiB.\n  Export without --optimize."
        )
    weights = exported.weights
    values = {
        variable.name: functools.partial(weights.value, variable)
        for variable in weights.variables
        if variable.name in names
    }
    sides = [tensors for inputs, outputs, _ in exported.signatures.values() for tensors in (inputs, outputs)]
    ends = [*(name for tensors in sides for name in tensors.values()), *exported.table_inits, *exported.asset_files]
    graph_def, optimized = optimize.inference(exported.graph_def, ends, values)
    rest = tuple(variable for variable in weights.variables if variable.name not in names)
    weights = dataclasses.replace(weights, variables=rest)
    return dataclasses.replace(exported, graph_def=graph_def, losses=(), weights=weights), optimized


def _exported(graph_def: GraphDef, plan: Plan, transformed: list[variant.Transformed], weights: Weights):
    """Gathers what the variants became under the names that they have in the joined graph."""
    signatures: dict[str, tuple[dict[str, str], dict[str, str], str]] = {}
    losses: list[str] = []
    inits: dict[str, str] = {}
    files: dict[str, str] = {}
    for planned, made in zip(plan.variants, transformed, strict=True):
        prefix = planned.prefix
        for key, signature in planned.signatures.items():
            sides = (
                {name: prefix + tensor for name, tensor in made.inputs[key].items()},
                {name: prefix + tensor for name, tensor in made.outputs[key].items()},
            )
            for name in (key, *plan.aliases.get(key, ())):
                signatures[name] = (*sides, signature.method_name)
        losses += [prefix + tensor for tensor in made.losses]
        # A table that an earlier variant has, too, is initialized there.
        for init in made.table_inits:
            inits.setdefault(init, prefix + init)
        if any(name == prefix + init for init, name in inits.items()):
            files |= {prefix + tensor: path for tensor, path in made.asset_files.items()}
    return save.Exported(graph_def, signatures, tuple(inits.values()), files, tuple(losses), weights)
