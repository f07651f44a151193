"""What `--list` prints: what would be chosen, candidates as flags to paste, and the variables."""

from collections.abc import Iterable

from export_v1.interface import choose, offers
from export_v1.model import Graph


def text(model: Graph, variables: Iterable) -> str:
    """Returns what `--list` prints: candidates as flags to paste, what would be chosen, and every variable.

    Args:
        model: the whole graph.
        variables: records with `name`, `dtype`, `shape` and `trainable`.
    """
    from export_v1.interface import resolving

    anatomy = choose.Anatomy(model, resolving.of(model), {}, [], {})
    found = offers.of(anatomy)
    lines = _signatures(model) if model.signatures else _chosen(anatomy)
    lines += offers.section("Inputs", found.inputs) + offers.section("Outputs", found.outputs)
    lines += offers.section("Frozen", found.freeze)
    rows = list(variables)
    lines.append(f"  Variables ({len(rows)}):")
    for one in rows:
        shape = None if one.shape is None else list(one.shape)
        lines.append(f"    {one.name}   {offers.sized(one.dtype, shape)}{'' if one.trainable else '; not trainable'}")
    return "\n".join(lines)


def _signatures(model: Graph) -> list[str]:
    lines = [f"Without flags all {len(model.signatures)} signatures are kept:"]
    for key, one in model.signatures.items():
        inputs, outputs = (", ".join(f"{k}={t}" for k, t in side.items()) for side in (one.inputs, one.outputs))
        lines.append(f"  {key}: {inputs} -> {outputs}")
    return lines


def _chosen(anatomy: choose.Anatomy) -> list[str]:
    named, doubt = choose.outputs(anatomy)
    if not doubt:
        tensors = [one.tensor for one in named]
        inputs = choose.inputs(anatomy, tensors, {}, {})
        cuts = [one.tensor for one in inputs]
        settled, _ = anatomy.settling.inference({}, cuts, tensors)
        unfed = anatomy.settling.unfed(settled, cuts, tensors)
        doubt = choose.undecided(anatomy.settling, next(iter(unfed))) if unfed else ""
    if doubt:
        return [f"Without flags the choice is not clear: {doubt}."]
    flags = [f"--input={one.key}={one.tensor}" for one in inputs]
    flags += [f"--output={one.key}={one.tensor}" for one in named]
    return [f"Without flags this is chosen: {' '.join(flags)}"]
