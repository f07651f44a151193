"""What could be chosen from, as flags ready to paste."""

from collections.abc import Iterable

import tensorflow as tf

from export_v1 import errors
from export_v1.interface import choose, ends, given, naming, results, roles, settle
from export_v1.interface.backward import is_saver
from export_v1.interface.choose import Anatomy, Named
from export_v1.interface.types import Candidate, Candidates, Shape
from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef, Tensor
from export_v1.model import Graph

# Candidates shown of each sort; a listing on request shows all.
_SHOWN = 10


def of(anatomy: Anatomy) -> Candidates:
    """Returns all that could be an input, an output or frozen, the likeliest first."""
    return Candidates(
        tuple(_candidate(anatomy, named) for named in _inputs(anatomy)),
        tuple(_candidate(anatomy, named) for named in _outputs(anatomy)),
        tuple(_flags(anatomy)),
    )


def _candidate(anatomy: Anatomy, named: Named) -> Candidate:
    tensor = graph.parse(named.tensor)
    dtype = given.tensor_type(anatomy.index, tensor) or 0
    shape = graph.recorded_shape(anatomy.index[tensor.node], tensor.index)
    return Candidate(named.key, named.tensor, dtype, shape, named.why)


def _inputs(anatomy: Anatomy) -> list[Named]:
    parts = anatomy.roles
    order = {node.name: at for at, node in enumerate(anatomy.index.graph_def.node)}
    ranked = sorted(parts.sources, key=lambda one: (one not in parts.data, order[one.node], one.index))
    why: dict[Tensor, str] = {}
    for tensor in ranked:
        if tensor in parts.data:
            cut = anatomy.input_tensor(tensor)
            why[cut] = "it meets weights, as data does"
            if cut != tensor:
                why[tensor] = f"what {cut.name!r} is read from"
        else:
            why[tensor] = "it meets no weights: a label, or a setting of the training"
    for node in parts.nodes:
        if node.op == "PlaceholderWithDefault" and f"{node.name}:0" not in anatomy.frozen and not is_saver(node):
            why[Tensor(node.name)] = "a placeholder whose default is computed"
    return anatomy.named_inputs(list(why), why)


def _outputs(anatomy: Anatomy) -> list[Named]:
    """The ends, then what has a name of its own or leaves a scope, then what depends on variables alone."""
    parts = anatomy.roles
    why = {end.tensor: end.why for end in [*anatomy.ends, *anatomy.other_ends]}
    named = [node for node in reversed(parts.nodes) if _is_result(anatomy, node)]
    for node in named:
        if parts.in_model(node.name):
            why.setdefault(Tensor(node.name), "it has a name of its own, and depends on data and weights")
    for tensor in ends.scope_results(parts):
        why.setdefault(tensor, f"what scope {naming.scopes(tensor.node)[0]!r} gives to others")
    for node in named:
        if parts.mask(node.name) and not parts.sources_of(node.name) and not parts.readers(node.name):
            why.setdefault(Tensor(node.name), "it has a name of its own, and depends on variables alone")
    return anatomy.named(list(why), why)


def _is_result(anatomy: Anatomy, node: NodeDef) -> bool:
    """Whether a person named a node that is no variable, no loss and no step of something else."""
    if node.op in ops.SOURCES | ops.VARIABLES or not naming.is_given(node) or naming.is_step(node.name):
        return False
    kept = any(reader.op in roles.KEEPERS for reader, _ in anatomy.index.consumers(node.name))
    return not (kept or naming.about_loss(node.name) or node.op in results.NO_RESULTS)


def _flags(anatomy: Anatomy) -> Iterable[Candidate]:
    for name, value in anatomy.frozen.items():
        flag = anatomy.settling.flag(name)
        tensor = graph.parse(name)
        why = flag.why if flag is not None else "its default"
        named = _candidate(anatomy, Named(settle.key(name), name, why))
        yield Candidate(named.key, tensor.name, named.dtype, named.shape, why, value)
    for tensor in anatomy.roles.sources:
        if given.is_bool(anatomy.index, tensor):
            yield _candidate(
                anatomy, Named(settle.key(tensor.name), tensor.name, "what reads it does not tell its use")
            )


def candidates(model: Graph) -> Candidates:
    """Returns what could be the inputs, the outputs and the frozen values of a graph, the likeliest first."""
    from export_v1.interface import resolving

    return of(choose.Anatomy(model, resolving.of(model), {}, [], {}))


def unclear(anatomy: Anatomy, reason: str, place: str) -> errors.ExportError:
    """Returns the error for a choice that is not clear: why, and what there is, as flags to paste."""
    found = of(anatomy)
    lines = [f"What goes in and what comes out is not clear in {place}: {reason}."]
    lines += _section("Inputs", found.inputs, _SHOWN) + _section("Outputs", found.outputs, _SHOWN)
    lines += _section("Frozen", found.freeze, _SHOWN)
    lines.append("  Pass the --output flags you want; the inputs they need follow from them. --list shows everything.")
    return errors.ExportError("\n".join(lines))


def _section(title: str, found: Iterable[Candidate], limit: int | None = None) -> list[str]:
    found = list(found)
    lines = [f"  {title} ({len(found)}):" if found else f"  {title}: none found."]
    for one in found[:limit]:
        lines.append(f"    {_flag(title, one)}   {_type(one)}; {one.why}")
    if limit is not None and len(found) > limit:
        lines.append(f"    … and {len(found) - limit} more")
    return lines


def _flag(title: str, one: Candidate) -> str:
    if title == "Inputs":
        return f"--input={one.key}={one.tensor}"
    if title == "Outputs":
        return f"--output={one.key}={one.tensor}"
    return f"--freeze={one.tensor}={'false|true' if one.value is None else settle.text(one.value)}"


def _type(one: Candidate) -> str:
    return _sized(tf.as_dtype(one.dtype) if one.dtype else None, one.shape)


def _sized(dtype: tf.DType | None, shape: Shape) -> str:
    sizes = "scalar" if shape == [] else given.shape_text(shape) or "of unknown shape"
    return f"{dtype.name if dtype else 'unknown type'} {sizes}"


def listing(model: Graph, variables: Iterable) -> str:
    """Returns what `--list` prints: candidates as flags to paste, what would be chosen, and every variable.

    Args:
        model: the whole graph.
        variables: records with `name`, `dtype`, `shape` and `trainable`.
    """
    from export_v1.interface import resolving

    anatomy = choose.Anatomy(model, resolving.of(model), {}, [], {})
    found = of(anatomy)
    lines = _signatures(model) if model.signatures else _chosen(anatomy)
    lines += _section("Inputs", found.inputs) + _section("Outputs", found.outputs) + _section("Frozen", found.freeze)
    rows = list(variables)
    lines.append(f"  Variables ({len(rows)}):")
    for one in rows:
        shape = None if one.shape is None else list(one.shape)
        lines.append(f"    {one.name}   {_sized(one.dtype, shape)}{'' if one.trainable else '; not trainable'}")
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
        taken = choose.inputs(anatomy, tensors, {}, {})
        settled, _ = anatomy.settling.inference({}, [one.tensor for one in taken], tensors)
        unfed = anatomy.settling.unfed(settled, [one.tensor for one in taken], tensors)
        doubt = choose.undecided(anatomy.settling, next(iter(unfed))) if unfed else ""
    if doubt:
        return [f"Without flags the choice is not clear: {doubt}."]
    flags = [f"--input={one.key}={one.tensor}" for one in taken]
    flags += [f"--output={one.key}={one.tensor}" for one in named]
    return [f"Without flags this is chosen: {' '.join(flags)}"]
