"""Edges of a graph, both ways."""

from export_v1.ir import ordering
from export_v1.ir.graph import Index, Tensor
from tests.support.graphs import v1


def _graph(edges: dict[str, list[str]]) -> v1.GraphDef:
    graph_def = v1.GraphDef()
    for name, inputs in edges.items():
        graph_def.node.add(name=name, op="NoOp", input=inputs)
    return graph_def


# Several nodes wait for the same others, and one has its control edge first, as only a damaged graph does.
EDGES = {
    "a": [],
    "b": ["a:1", "^w1", "^w2"],
    "w1": ["a"],
    "w2": ["w1"],
    "c": ["a", "b", "^w1", "^w2"],
    "odd": ["^w1", "a:1", "a"],
    "alone": ["^nowhere"],
}


def test_consumers_come_in_the_order_of_the_graph_with_the_position_of_each_edge():
    index = Index(_graph(EDGES))
    for name in [*EDGES, "nowhere"]:
        wanted = [
            (reader, at)
            for reader, inputs in EDGES.items()
            for at, edge in enumerate(inputs)
            if edge.lstrip("^").partition(":")[0] == name
        ]
        assert [(node.name, at) for node, at in index.consumers(name)] == wanted
    found = [(node.name, at) for node, at in index.tensor_consumers(Tensor("a", 1))]
    assert found == [("b", 0), ("odd", 1)]


def test_what_depends_on_a_node_and_what_it_depends_on():
    index = Index(_graph(EDGES))
    assert index.descendants(["w2"]) == {"w2", "b", "c"}
    assert index.descendants(["w1"]) == {"w1", "w2", "b", "c", "odd"}
    assert index.descendants(["nowhere"]) == {"nowhere", "alone"}
    assert index.ancestors(["c", "b"]) == {"a", "b", "c", "w1", "w2"}
    assert index.ancestors(["c"], stop=["b"]) == {"a", "b", "c", "w1", "w2"}
    assert index.ancestors(["c"], stop=["c"]) == {"c"}


def test_who_depends_on_what_is_found_among_what_somebody_needs():
    index = Index(_graph(EDGES))
    for roots in ({"c"}, {"odd", "b"}, set(EDGES)):
        above = index.ancestors(roots)
        for on in ({"a"}, {"w1"}, {"w2", "alone"}, {"c"}):
            assert index.depending(roots, on) == above & index.descendants(on)
    # The walk does not pass what is fed, unless that is asked about itself.
    assert index.depending({"c"}, {"w1"}, stop={"w2", "b"}) == {"w1", "c"}
    assert index.depending({"b"}, {"w1"}, stop={"b"}) == set()
    assert index.depending({"c"}, {"w2"}, stop={"w2"}) == {"w2", "b", "c"}


def test_every_node_comes_after_what_it_reads():
    order = [node.name for node in ordering.in_order(Index(_graph(EDGES)))]
    assert sorted(order) == sorted(EDGES)
    for name, inputs in EDGES.items():
        sources = {edge.lstrip("^").partition(":")[0] for edge in inputs} & EDGES.keys()
        assert all(order.index(source) < order.index(name) for source in sources)


def test_what_is_made_of_an_index_is_made_once():
    index, made = Index(_graph(EDGES)), []

    def make(given: Index) -> list[int]:
        made.append(given)
        return [len(given.nodes)]

    assert index.once(make) is index.once(make) and made == [index]


def test_an_index_that_follows_another_has_the_edges_of_its_own_graph():
    old = Index(_graph({"a": [], "b": ["a", "^a"], "c": ["b:1"], "d": ["^b", "a"], "e": ["c"]}))
    before = {name: old.edges(name) for name in old.nodes}
    new = _graph({"a": [], "b": ["a", "^a"], "c": ["a"], "d": ["^b", "a"], "f": ["d", "^a"]})
    following = old.followed_by(new, changed={"c"})
    fresh = Index(new)
    for name in new.node:
        assert following.edges(name.name) == fresh.edges(name.name)
        assert following.is_disordered(name.name) == fresh.is_disordered(name.name) == (name.name == "d")
        assert [(reader.name, at) for reader, at in following.consumers(name.name)] == [
            (reader.name, at) for reader, at in fresh.consumers(name.name)
        ]
    # What is new there is not in the graph that it was made of.
    assert {name: old.edges(name) for name in old.nodes} == before
    assert old.followed_by(new, changed={"c", "d"}).is_disordered("d")
