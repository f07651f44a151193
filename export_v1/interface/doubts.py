"""Why a choice is not clear: where another reading of the graph is possible, the command stops and lists what there is."""

from export_v1 import errors
from export_v1.analysis import constants
from export_v1.interface import naming
from export_v1.interface.anatomy import Anatomy
from export_v1.interface.ends import End
from export_v1.ir import ops
from export_v1.ir.graph import Tensor

MOST_OUTPUTS = 6
# So many heads of one model may be its answers, where nothing was trained and nothing reads any of them.
MOST_HEADS = 12


def about_inputs(anatomy: Anatomy) -> str:
    """Returns why it is not clear what the data are, or ""."""
    if anatomy.constants:
        names = errors.quoted(tensor.name for tensor in anatomy.constants)
        return f"the data are constants of the graph, {names}: --input cuts there, an --output alone keeps them"
    if anatomy.made_up:
        names = errors.quoted(tensor.name for tensor in anatomy.made_up)
        return f"the graph draws its data for itself, {names}: --input cuts there, an --output alone draws them again"
    if anatomy.doubtful:
        return f"{anatomy.doubtful[0].name!r} is combined with weights as data is, but is named like a label"
    return ""


def about_outputs(anatomy: Anatomy, chosen: list[End]) -> str:
    """Returns why it is not clear that these ends are the answers, or ""."""
    roles = anatomy.roles
    if not chosen and not roles.sources:
        return "no data goes in; what is computed from weights alone can be an --output, and the export then takes no input"
    if not chosen:
        return "no tensor was found that depends on data and on weights and ends the model"
    if not roles.has_loss and len(chosen) > 1 and (scalars := [end for end in chosen if roles.is_scalar(end.tensor)]):
        return f"nothing was trained here, so {scalars[0].tensor.name!r} may be the answer, or a metric"
    nested = [end.tensor.name for end in chosen if end.nested]
    if nested:
        return f"another answer is computed from {nested[0]!r} through more weights, so it may be no answer itself"
    needed = {end.tensor.name: tuple(roles.needed_sources([end.tensor.node])) for end in chosen}
    if len(set(needed.values())) > 1:
        first, second = next((a, b) for a in needed for b in needed if needed[a] != needed[b])
        return f"{first!r} and {second!r} depend on different inputs: there is more than one model in the graph"
    heads = not roles.has_loss and all(end.kind == "unread" for end in chosen)
    if len(chosen) > (MOST_HEADS if heads else MOST_OUTPUTS):
        return f"{len(chosen)} tensors may be answers"
    if roles.margins():
        return f"labels change {chosen[0].tensor.name!r} before the loss compares it, as losses of embeddings do"
    pair = _compared_pair(anatomy, chosen)
    if pair:
        names = errors.quoted(tensor.name for tensor in pair)
        return f"{names} are combined with the same weights, so the answer may belong to any of them"
    for tensor in anatomy.handed_over:
        reading = next((end.tensor.name for end in chosen if anatomy.reads(end.tensor, [tensor])), "")
        if reading:
            return f"{reading!r} is computed from {tensor.name!r}, which other variables are trained to give"
    for end in chosen:
        if end.kind == "in the loss" and not roles.labels and (better := _named_before(anatomy, end)):
            return f"the loss reads {end.tensor.name!r}, which is computed from {better!r} without weights"
    random = _random(anatomy, [end.tensor for end in chosen])
    return f"the answer depends on random numbers drawn in {random!r}" if random else ""


def _compared_pair(anatomy: Anatomy, chosen: list[End]) -> frozenset[Tensor]:
    """Inputs that an answer without a name compares after the same weights have met each: a siamese network's."""
    roles = anatomy.roles
    pairs = roles.towers(lookups=False) + ([] if roles.labels else roles.towers(lookups=True))
    for end in chosen:
        if not naming.is_given(anatomy.index[end.tensor.node]):
            for pair in pairs:
                if pair <= set(roles.sources_of(end.tensor.node)):
                    return pair
    return frozenset()


def _named_before(anatomy: Anatomy, end: End) -> str:
    """A tensor that a person named, behind the last weights of an end that nobody did; "" where there is none."""
    roles = anatomy.roles
    if naming.is_given(anatomy.index[end.tensor.node]):
        return ""
    for name in anatomy.live.needed([end.tensor], ops.SOURCES):
        node = anatomy.index[name]
        named = name not in roles.mixing and roles.in_model(name) and naming.is_given(node)
        if named and not naming.is_step(name) and not naming.about_loss(name) and not roles.is_scalar(Tensor(name)):
            if name != end.tensor.node and anatomy.same_weights(Tensor(name), end.tensor):
                return f"{name}:0"
    return ""


def _random(anatomy: Anatomy, tensors: list[Tensor]) -> str:
    """The first node that draws random numbers for the tensors, except for a dropout that drops nothing; or ""."""
    harmless: set[str] = set()
    for dropout in anatomy.settling.flags.dropouts:
        if constants.equals(anatomy.live.known.get(dropout.rate), dropout.off):
            harmless |= anatomy.index.ancestors([dropout.node])
    needed = anatomy.live.needed(tensors, ops.SOURCES)
    return next((name for name in needed if ops.is_random(anatomy.index[name].op) and name not in harmless), "")
