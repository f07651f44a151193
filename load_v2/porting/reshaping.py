"""What would make a variable of one shape a weight of another: as few steps as can be, as lines for a rules file."""

import itertools
import math
from typing import NamedTuple

from load_v2.porting import shape_fitting
from load_v2.porting.types import Entry, Shape, Weight

# Orders of the axes that layers of other libraries and of older code have, before any other.
_USUAL = ((1, 0), (0, 1, 3, 2), (2, 3, 1, 0), (3, 2, 0, 1), (0, 2, 1), (2, 1, 0))


class Way(NamedTuple):
    """Steps that would fit.

    Attributes:
        steps: as they stand in a rules file.
        cost: how unlikely it is that they are meant; 0 for none.
    """

    steps: tuple[str, ...] = ()
    cost: float = 0.0


def way(entry: Entry, weight: Weight) -> Way | None:
    """Returns how a variable could become a weight, or None where it cannot.

    >>> way(Entry("a", (1, 1, 8, 4), "float32"), Weight("b", (8, 4), "float32"))
    Way(steps=('{ squeeze = [0, 1] }',), cost=0.05)
    """
    fitting = _of_shapes(entry.shape, weight.shape)
    if fitting is None or shape_fitting.widens(entry.dtype, weight.dtype):
        return fitting
    return Way((*fitting.steps, f'{{ cast = "{weight.dtype}" }}'), fitting.cost + 0.1)


def _of_shapes(shape: Shape, wanted: Shape) -> Way | None:
    if shape == wanted:
        return Way()
    if math.prod(shape) != math.prod(wanted):
        return None
    if tuple(size for size in shape if size != 1) == wanted:
        return Way((_step("squeeze", [axis for axis, size in enumerate(shape) if size == 1]),), 0.05)
    orders: list[tuple[int, ...]] = [order for order in _USUAL if len(order) == len(shape)]
    if len(shape) == len(wanted) <= 5:
        orders += itertools.permutations(range(len(shape)))
        for order in orders:
            if tuple(shape[axis] for axis in order) == wanted:
                return Way((_step("transpose", order),), 0.15)
    return Way((_step("reshape", wanted),), 0.1 if len(wanted) > len(shape) else 0.2)


def _step(name: str, values) -> str:
    return f"{{ {name} = {list(values)} }}"
