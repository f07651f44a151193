"""What could be chosen from, as flags ready to paste."""

from collections.abc import Iterable, Iterator, Sequence

import tensorflow as tf

from export_v1 import errors
from export_v1.interface import ends, given, naming, results, roles, settle, states
from export_v1.interface.anatomy import Anatomy, Named
from export_v1.interface.backward import is_saver
from export_v1.interface.results import Results
from export_v1.interface.types import Candidate, Candidates, Shape
from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef, Tensor
from export_v1.model import Graph

_RESHAPES = frozenset({"Reshape", "Squeeze", "Transpose"})
_PRODUCTS = frozenset({"MatMul", "BatchMatMul", "BatchMatMulV2"})
# Candidates shown of each sort in an error; a listing on request shows more.
_SHOWN = 15
# What tf.distributions calls the parameters of its distributions.
_PARAMETERS = frozenset({"loc", "scale", "logits", "probs", "concentration", "rate", "mean", "stddev"})
# Of candidates that are told by one sign alone, so many come before the named ones.
_FEW = 4
# A flag that is longer than this is not waited for by those below it.
_WIDEST = 48


def of(anatomy: Anatomy) -> Candidates:
    """Returns all that could be an input, an output or frozen, the likeliest first."""
    if anatomy.offered is None:
        randomized = _randomized(anatomy)
        anatomy.offered = Candidates(
            tuple(_candidate(anatomy, named) for named in _inputs(anatomy, randomized)),
            tuple(_candidate(anatomy, named) for named in _outputs(anatomy, randomized)),
            tuple(_flags(anatomy)),
        )
    return anatomy.offered


def _candidate(anatomy: Anatomy, named: Named) -> Candidate:
    tensor = graph.parse(named.tensor)
    dtype = given.tensor_type(anatomy.index, tensor) or 0
    shape = graph.recorded_shape(anatomy.index[tensor.node], tensor.index)
    return Candidate(named.key, named.tensor, dtype, shape, named.why)


def _inputs(anatomy: Anatomy, randomized: list[tuple[Tensor, str]]) -> list[Named]:
    parts = anatomy.roles
    order, data = anatomy.index.order, set(parts.data)
    ranked = sorted(parts.sources, key=lambda source: (source not in data, order[source.node], source.index))
    why: dict[Tensor, str] = {}
    for tensor in ranked:
        if tensor in anatomy.constants:
            why[tensor] = (
                "a constant of the graph that is combined with weights, as data is; without this flag it stays"
            )
        elif tensor in anatomy.made_up:
            why[tensor] = (
                "the graph draws it for itself, and it is combined with weights; without this flag it is drawn"
            )
        elif tensor in anatomy.drawn:
            why[tensor] = "random numbers that are combined with weights, as data is; without this flag they are drawn"
        elif tensor in data:
            cuts = anatomy.cuts(tensor)
            why.update(dict.fromkeys(cuts, "it is combined with weights, as data is"))
            if cuts == [anatomy.input_tensor(tensor)] != [tensor]:
                why[tensor] = f"{cuts[0].name!r} is read from it"
        else:
            why.update(
                dict.fromkeys(anatomy.cuts(tensor), "it is not combined with weights: a label, or a training setting")
            )
    # A decoder's user draws for himself.
    for tensor, _ in randomized[:_FEW]:
        if anatomy.index[tensor.node].op in ops.ADDS and any(
            anatomy.reads(end.tensor, [tensor]) for end in anatomy.ends
        ):
            why.setdefault(
                tensor, "random numbers are combined with the model's output here; cut here to give what you draw"
            )
    for node in parts.nodes:
        tensor = Tensor(node.name)
        if node.op == "PlaceholderWithDefault" and tensor.name not in anatomy.frozen and not is_saver(node.name):
            why.setdefault(tensor, "a placeholder whose default is computed")
    return anatomy.named_inputs(list(why), why)


def _outputs(anatomy: Anatomy, randomized: list[tuple[Tensor, str]]) -> list[Named]:
    """The ends, then what one sign tells, then what has a name of its own or leaves a scope."""
    parts, judge = anatomy.roles, Results(anatomy.roles)
    inside = judge.in_loops
    all_ends = [*anatomy.ends, *anatomy.other_ends]
    # Of very many ends, the likeliest; then what the signs tell has a place among what is shown.
    first = len(all_ends) if len(all_ends) <= _SHOWN else _SHOWN // 2
    why = {end.tensor: end.why for end in all_ends[:first]}
    signs = [
        _handed_over(anatomy),
        _beside_data(anatomy),
        _likenesses(anatomy, judge),
        _drawn_choices(judge, randomized),
        _of_distributions(anatomy),
        randomized,
        _choices(judge),
        _of_weights(anatomy),
        _ended(anatomy),
        _read_choices(judge),
        _returned(anatomy, judge),
        _in_other_forms(anatomy, judge, [end.tensor for end in anatomy.ends if end.kind == "compared"]),
        joined := _joined(anatomy, judge),
        _in_other_forms(anatomy, judge, [tensor for tensor, _ in joined]),
    ]
    for sign in signs:
        for tensor, reason in sign[:_FEW]:
            why.setdefault(tensor, reason)
    for end in all_ends[first:]:
        why.setdefault(end.tensor, end.why)
    named = [node for node in reversed(parts.nodes) if node.name not in inside and _is_result(anatomy, node)]
    for node in named:
        if parts.in_model(node.name):
            why.setdefault(Tensor(node.name), "it has a name of its own, and depends on data and weights")
    for tensor in ends.scope_results(parts):
        why.setdefault(tensor, f"the output of scope {naming.scopes(tensor.node)[0]!r}")
    for sign in signs:
        for tensor, reason in sign[_FEW:]:
            why.setdefault(tensor, reason)
    return anatomy.named(list(why), why)


def _handed_over(anatomy: Anatomy) -> list[tuple[Tensor, str]]:
    return [(tensor, "one optimizer trains it, and another what reads it") for tensor in anatomy.handed_over]


def _randomized(anatomy: Anatomy) -> list[tuple[Tensor, str]]:
    """Where random numbers are added to what the model has made, or drawn by it: the action of a policy."""
    parts, dropouts = anatomy.roles, anatomy.settling.flags.dropouts
    dropped = anatomy.index.ancestors(dropout.node for dropout in dropouts)
    noise = {node.name: 1 for node in parts.nodes if ops.is_random(node.op) and node.name not in dropped}
    drawn = parts.spread(noise)
    candidates = []
    for node in parts.nodes:
        above = [tensor.node for tensor in parts.live.data(node)]
        if not parts.in_model(node.name) or not any(map(parts.in_model, above)) or node.name in dropped:
            continue
        # A deviation times noise is not yet what is drawn; the mean is added to it.
        shifted = node.op in ops.ADDS and any(parts.in_model(name) and not drawn.get(name) for name in above)
        if node.name in noise:
            candidates.append((Tensor(node.name), "it is sampled at random from the model's output"))
        elif any(drawn.get(name) and (shifted or not parts.in_model(name)) for name in above):
            if node.op != "Mul" and not parts.is_scalar(Tensor(node.name)):
                candidates.append((Tensor(node.name), "random numbers are combined with the model's output here"))
    return candidates


def _drawn_choices(judge: Results, randomized: list[tuple[Tensor, str]]) -> list[tuple[Tensor, str]]:
    """What is chosen by randomized scores, whatever else reads it: the largest of logits with noise is a drawn class."""
    readers = [reader for tensor, _ in randomized for reader in judge.roles.readers(tensor.node)]
    return [
        (Tensor(node.name), "it is drawn at random by what the model has made")
        for node in readers
        if judge.is_choice(node)
    ]


def _beside_data(anatomy: Anatomy) -> list[tuple[Tensor, str]]:
    pairs = ends.beside_data(anatomy.roles)
    return [(made, f"the loss compares it with {data.name!r}, which is data, too") for made, data in pairs.items()]


def _likenesses(anatomy: Anatomy, judge: Results) -> list[tuple[Tensor, str]]:
    """Products summed up of two things that are made of different data: how alike a question and an answer are."""
    parts, reasons = anatomy.roles, {}
    for node in parts.nodes:
        product = node
        if node.op == "Sum":
            product = anatomy.index.nodes.get(parts.live.data(node)[0].node, node)
        if product.op not in (_PRODUCTS if product is node else {"Mul"}) or node.name in judge.in_loops:
            continue
        sides = parts.live.data(product)
        if parts.is_scalar(Tensor(node.name)) or not all(parts.tensor_mask(side) & roles.TRAINED for side in sides):
            continue
        one, other = (set(parts.sources_of(side.node)) for side in sides)
        if one - other and other - one:
            reasons[Tensor(node.name)] = "it holds two things against each other that are made of different data"
    return list(reasons.items())


def _joined(anatomy: Anatomy, judge: Results) -> list[tuple[Tensor, str]]:
    """What joins several ends: the boxes of all layers of a detector, which each leave a scope of their own."""
    ended = {end.tensor for end in anatomy.ends}
    return [
        (Tensor(node.name), f"it joins {len(parts)} tensors that are offered")
        for node in anatomy.roles.nodes
        if node.op in ("ConcatV2", "Pack") and not judge.in_loss_scope(node)
        if len(parts := set(anatomy.live.data(node)) & ended) > 1
    ]


def _in_other_forms(anatomy: Anatomy, judge: Results, tensors: list[Tensor]) -> list[tuple[Tensor, str]]:
    """Tensors as the loss reads them, flattened or squeezed by the model's own code: that may be what its author reads."""
    return [
        (Tensor(reader.name), f"it is {tensor.name!r} in the shape that the loss reads")
        for tensor in tensors
        for reader, _ in anatomy.index.tensor_consumers(tensor)
        if reader.op in _RESHAPES and anatomy.roles.readers(reader.name) and not judge.in_loss_scope(reader)
    ]


def _of_distributions(anatomy: Anatomy) -> list[tuple[Tensor, str]]:
    """What the model gives to a distribution for a parameter: the mean and the deviation of a decoder, of an action."""
    parts, parameters = anatomy.roles, {}
    for node in parts.nodes:
        if node.op == "Identity" and naming.leaf(node.name) in _PARAMETERS and parts.in_model(node.name):
            parameter = parts.live.data(node)[0]
            if not parts.is_scalar(parameter) and parameter.index == 0:
                parameters[parameter] = f"a distribution takes it for its {naming.leaf(node.name)!r}"
    return list(parameters.items())


def _choices(judge: Results) -> list[tuple[Tensor, str]]:
    """What the model chose: an action that no loss or metric reads, the classes that come out of a condition."""
    return [
        (Tensor(node.name), "it is chosen by what the model has made")
        for node in judge.roles.nodes
        if (judge.is_choice(node) and not judge.roles.readers(node.name)) or judge.is_decided(node)
    ]


def _read_choices(judge: Results) -> list[tuple[Tensor, str]]:
    """What the model chose for something else to read: the cluster that a step of training counts a row in."""
    chosen = [node for node in judge.roles.nodes if judge.is_choice(node) and judge.roles.readers(node.name)]
    shaped = [
        reader
        for node in chosen
        for reader, _ in judge.roles.index.tensor_consumers(Tensor(node.name))
        if reader.op in _RESHAPES and judge.roles.readers(reader.name)
    ]
    return [
        (Tensor(node.name), "it is chosen by what the model has made, for others to read") for node in chosen + shaped
    ]


def _returned(anatomy: Anatomy, judge: Results) -> list[tuple[Tensor, str]]:
    """What a function returns beside what is read of it: another head, a class."""
    functions = {function.signature.name: function.signature for function in anatomy.index.graph_def.library.function}
    calls = ops.CALLS | functions.keys()
    backward = anatomy.settling.backward
    tensors = [
        Tensor(node.name, at)
        for node in judge.roles.nodes
        if node.op in calls and judge.roles.in_model(node.name) and node.name not in judge.in_loops
        for at in range(len(graph.output_types(node, functions)))
    ]
    # A gradient's call reads what the function hands over to it; of a result it only reads the shape.
    return [
        (tensor, "a function returns it, and nothing reads it")
        for tensor in tensors
        if all(
            reader.name in backward and reader.op not in calls for reader, _ in anatomy.index.tensor_consumers(tensor)
        )
    ]


def _of_weights(anatomy: Anatomy) -> list[tuple[Tensor, str]]:
    """What depends on variables alone: word vectors and their likenesses; a transition matrix that the loss reads."""
    parts, candidates = anatomy.roles, {}
    for node in reversed(parts.nodes):
        kept = any(reader.op in roles.KEEPERS for reader, _ in anatomy.index.consumers(node.name))
        if parts.readers(node.name) or kept or naming.is_step(node.name) or not _is_of_weights(anatomy, node):
            continue
        if naming.is_given(node):
            candidates[Tensor(node.name)] = "it has a name of its own, and depends on variables alone"
        elif node.op not in ops.VARIABLE_READS and not parts.is_scalar(Tensor(node.name)):
            candidates[Tensor(node.name)] = "nothing reads it, and it depends on variables alone"
            for above in parts.live.data(node):
                made = anatomy.index.nodes.get(above.node)
                if made is not None and made.op not in ops.VARIABLE_READS and _is_of_weights(anatomy, made):
                    candidates[above] = "it depends on variables alone"
    if not parts.data or anatomy.constants:
        candidates.update(_trained_alone(anatomy))
    return [*candidates.items(), *_only_in_loss(anatomy)]


def _trained_alone(anatomy: Anatomy) -> Iterator[tuple[Tensor, str]]:
    """Where no data comes in: what has a name and is made of weights, and the weights themselves."""
    parts = anatomy.roles
    for node in parts.nodes:
        alone = parts.mask(node.name) & roles.TRAINED and not parts.has_sources(node.name)
        if not alone or parts.is_scalar(Tensor(node.name)) or naming.about_loss(node.name):
            continue
        if node.op in ops.REF_VARIABLES:
            yield Tensor(node.name), "weights, and no data comes in"
        elif naming.is_given(node) and node.op not in ops.VARIABLES and _is_of_weights(anatomy, node):
            if not naming.is_step(node.name) and node.op not in ops.VARIABLE_READS:
                yield Tensor(node.name), "it has a name of its own, and depends on variables alone"


def _is_of_weights(anatomy: Anatomy, node: NodeDef) -> bool:
    parts = anatomy.roles
    if not parts.mask(node.name) or parts.has_sources(node.name) or node.op in results.NO_RESULTS | ops.VARIABLES:
        return False
    return naming.is_given(node) or roles.is_number(given.tensor_type(anatomy.index, Tensor(node.name)))


def _only_in_loss(anatomy: Anatomy) -> Iterator[tuple[Tensor, str]]:
    """Square weights that the likeliest end does not need and a loss does, as the transitions of a CRF."""
    parts = anatomy.roles
    used = set(anatomy.live.needed([end.tensor for end in anatomy.ends[:1]], ops.SOURCES))
    for node in parts.nodes:
        shape = graph.recorded_shape(node, 0) or [dim.size for dim in graph.attr(node, "shape").shape.dim]
        if (
            node.op not in ops.REF_VARIABLES
            or len(shape) != 2
            or shape[0] != shape[1]
            or node.name in used
            or not parts.mask(node.name) & roles.TRAINED
        ):
            continue
        seen, todo = {node.name}, [node.name]
        while todo and not parts.meets_label(todo[-1]):
            readers = [reader.name for reader in parts.readers(todo.pop()) if reader.name not in seen]
            seen.update(readers)
            todo += readers
        if todo:
            yield Tensor(node.name), "weights that only the loss reads"


def _ended(anatomy: Anatomy) -> list[tuple[Tensor, str]]:
    parts = anatomy.roles
    unread = [tensor for tensor in states.ended(parts) if not parts.readers(tensor.node)]
    return [
        (tensor, "the last value of a variable of a loop, such as the state of a recurrent cell") for tensor in unread
    ]


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
                anatomy, Named(settle.key(tensor.name), tensor.name, "the ops that read it do not show what it is for")
            )


def candidates(model: Graph) -> Candidates:
    """Returns what could be the inputs, the outputs and the frozen values of a graph, the likeliest first."""
    return of(look(model))


def look(model: Graph) -> Anatomy:
    """Returns the parts of a graph of which nothing is given."""
    return Anatomy(model, settle.of(model), {}, [], {})


def unclear(anatomy: Anatomy, reason: str, place: str) -> errors.ExportError:
    """Returns the error for a choice that is not clear: why, and what there is, as flags to paste."""
    candidates = of(anatomy)
    lines = [f"What goes in and what comes out is not clear in {place}: {reason}."]
    lines += section("Inputs", candidates.inputs, _SHOWN) + section("Outputs", candidates.outputs, _SHOWN)
    lines += section("Frozen", candidates.freeze, _SHOWN)
    lines.append("  Pass the --output flags you want; the inputs they need follow from them. --list shows everything.")
    return errors.ExportError("\n".join(lines))


def section(title: str, candidates: Iterable[Candidate], limit: int | None = None) -> list[str]:
    """Returns one heading and one line for each candidate, as a flag; at most `limit` of them."""
    candidates = list(candidates)
    lines = [f"  {title} ({len(candidates)}):" if candidates else f"  {title}: none found."]
    lines += aligned(
        [(_flag(title, candidate), f"{_type(candidate)}; {candidate.why}") for candidate in candidates[:limit]]
    )
    if limit is not None and len(candidates) > limit:
        lines.append(f"    … and {len(candidates) - limit} more")
    return lines


def aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Returns a line for each pair, the second parts below each other as far as the first are not very long."""
    width = max((len(first) for first, _ in rows if len(first) <= _WIDEST), default=0)
    return [f"    {first.ljust(width)}   {second}" for first, second in rows]


def _flag(title: str, candidate: Candidate) -> str:
    if title == "Inputs":
        return f"--input={candidate.key}={candidate.tensor}"
    if title == "Outputs":
        return f"--output={candidate.key}={candidate.tensor}"
    return f"--freeze={candidate.tensor}={'false|true' if candidate.value is None else settle.text(candidate.value)}"


def _type(candidate: Candidate) -> str:
    return sized(tf.as_dtype(candidate.dtype) if candidate.dtype else None, candidate.shape)


def sized(dtype: tf.DType | None, shape: Shape) -> str:
    """Returns a type and a shape in words: "float32 [None,3]", "int64 scalar"."""
    sizes = "scalar" if shape == [] else given.shape_text(shape) or "of unknown shape"
    return f"{dtype.name if dtype else 'unknown type'} {sizes}"
