"""Which heads of a saved graph a model has: only where one choice of them has its roles and shapes, all of them."""

from load_v2.porting import heads
from load_v2.porting.flow import Flow
from load_v2.porting.types import Entry, Weight

TRUNK = {"trunk": (4, 4)}
FEEDS = {"a": ("trunk",), "b": ("trunk",), "c": ("trunk",)}


def needed(shapes, model):
    flow = Flow({f"{name}/kernel": frozenset([name]) for name in shapes}, FEEDS)
    entries = [Entry(f"{name}/kernel", shape, "float32") for name, shape in shapes.items()]
    weights = [Weight(f"w{n}/kernel", shape, "float32") for n, shape in enumerate(model)]
    return {entry.key.partition("/")[0] for entry in heads.needed(entries, weights, flow)}


def test_the_heads_whose_parts_are_the_models():
    shapes = {**TRUNK, "a": (4, 2), "b": (4, 3), "c": (4, 5)}
    assert needed(shapes, [(4, 4), (4, 3)]) == {"trunk", "b"}
    assert needed(shapes, [(4, 4), (4, 3), (4, 2)]) == {"trunk", "a", "b"}
    # A convolution of one position counts as a dense layer, on either side.
    assert needed(shapes, [(4, 4), (1, 1, 4, 3)]) == {"trunk", "b"}


def test_where_it_is_not_certain_all_are_needed():
    every = {"trunk", "a", "b", "c"}
    # Two heads of one shape; a model that has none of them as they are; one that has them all.
    assert needed({**TRUNK, "a": (4, 3), "b": (4, 3), "c": (4, 5)}, [(4, 4), (4, 3)]) == every
    assert needed({**TRUNK, "a": (4, 2), "b": (4, 3), "c": (4, 5)}, [(4, 4), (4, 9)]) == every
    assert needed({**TRUNK, "a": (4, 2), "b": (4, 3), "c": (4, 5)}, [(4, 4), (4, 2), (4, 3), (4, 5)]) == every
    entries = [Entry("a/kernel", (2, 2), "float32"), Entry("b/kernel", (2, 3), "float32")]
    assert heads.needed(entries, [Weight("w/kernel", (2, 2), "float32")], None) == entries


def test_more_heads_than_can_be_tried_are_all_needed():
    names = [f"head{n}" for n in range(heads._MOST + 1)]
    entries = [Entry(f"{name}/kernel", (1, n + 1), "float32") for n, name in enumerate(names)]
    flow = Flow({f"{name}/kernel": frozenset([name]) for name in names}, {name: ("x",) for name in names})
    assert heads.needed(entries, [Weight("w/kernel", (1, 1), "float32")], flow) == entries
    assert heads.needed(entries[:-1], [Weight("w/kernel", (1, 1), "float32")], flow) == entries[:1]
