"""Axes of size one that are put in or dropped, by ops of their own or by a Reshape."""

import dataclasses
from collections.abc import Sequence

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context
from load_v2.opening.size_algebra import Size


@dataclasses.dataclass(frozen=True)
class Added:
    """An axis of size one that was put in.

    Attributes:
        at: which one it is.
        source: the tensor without it.
        inside: what is made of that, and read by nothing else.
    """

    at: int
    source: Tensor
    inside: tuple[Tensor, ...]


def added(context: Context, tensor: Tensor) -> Added | None:
    """Returns the axis of size one that a tensor has, and what it is made of has not; None where that is all but one axis."""
    source, inside, is_alone = tensor, list[Tensor](), True
    while context.sizes.keeps_order(source):
        is_alone = is_alone and context.read_once(source)
        inside += [source] if is_alone else []
        source = context.sources(source)[0]
        at = _one_more(context, tensor, source)
        if at is not None:
            return Added(at, source, tuple(inside))
    return None


def dropped(context: Context, tensor: Tensor) -> int | None:
    """Returns the axis of size one that a tensor has not, and what it is made of has; None where that is all but one axis."""
    op = context.op(tensor)
    source = context.sources(tensor)[0] if op in {"Squeeze", "Reshape"} else None
    if source is None:
        return None
    if op == "Reshape":
        return _one_more(context, source, tensor)
    at, rank = list(context.graph.attr(tensor, "squeeze_dims").list.i), context.graph.rank(source)
    return at[0] % rank if len(at) == 1 and rank is not None else None


def _one_more(context: Context, larger: Tensor, smaller: Tensor) -> int | None:
    """Returns the axis of size one that one tensor has more than the other; the first that it can be, behind the batch."""
    more, less = context.sizes.shape(larger), context.sizes.shape(smaller)
    if more is None or less is None or len(more) != len(less) + 1:
        return None
    places = [at for at, size in enumerate(more) if size == 1 and _without(more, at) == list(less)]
    return next((at for at in places if at), None)


def _without(sizes: Sequence[Size], at: int) -> list[Size]:
    return [*sizes[:at], *sizes[at + 1 :]]
