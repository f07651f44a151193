"""The steps of matching one by one: where each of them has to hold back."""

import pytest

from load_v2.porting import matching, planning, refine, source_graph, weight_roles
from load_v2.porting.flow import Flow
from load_v2.porting.rules import Rule, RuleSet
from load_v2.porting.types import Entry, Weight
from load_v2.porting.weight_roles import Group
from tests.load_v2.porting.test_matching import chain, dense, entries, layer, pairs
from tests.support import graphs


def test_sides_of_other_sizes_are_matched_by_names_alone():
    # Only one variable is a beta, but which of three the unnamed weight takes cannot be known, so nothing is certain.
    source = entries(a__beta=(3,), b__gamma=(3,), c__alpha=(3,))
    found = matching.match(source, [*layer("t", beta=(3,)), Weight("u/places", (3,), "float32", "", "u")])
    assert not found.pairs
    assert {one.layer for one in found.ambiguous} == {"t/beta", "u/places"}


def test_the_only_one_that_fits_is_no_match_where_the_rest_cannot_be_matched():
    source = entries(a__beta=(3,), b__gamma=(3,), c__alpha=(3,))
    weights = [*layer("one", beta=(3,)), *layer("two", beta=(3,)), Weight("u/places", (3,), "float32", "", "u")]
    assert not matching.match(source, weights).pairs


def test_two_scopes_inside_one_are_not_told_apart_by_what_follows_it():
    kernel, beta, gamma = (
        layer(name, **{role: (4,)}) for name, role in (("c", "kernel"), ("n", "beta"), ("m", "gamma"))
    )
    kernel = layer("c", kernel=(9, 4))
    places = [Weight("u/places", (4,), "float32", "", "u")]
    source = entries(conv__kernel=(9, 4), conv__A__beta=(4,), conv__B__gamma=(4,))
    far = layer("far", kernel=(7, 7))
    flow = chain(kernel, beta, far, gamma, places)
    assert pairs(matching.match(source, [*kernel, *beta, *far, *gamma, *places], None, flow)) == {
        "conv/kernel": "c/kernel"
    }
    # With one scope inside, what follows directly is its layer.
    found = matching.match(source[:2], [*kernel, *beta, *far, *gamma, *places], None, flow)
    assert pairs(found)["conv/A/beta"] == "n/beta"


def test_a_layer_that_follows_another_too_is_not_attached_to_one():
    first, second = layer("c", kernel=(9, 4)), layer("d", kernel=(7, 4))
    both, neither = layer("n1", beta=(4,)), layer("n2", beta=(4,))
    operations = {"c/kernel": 0, "d/kernel": 1, "n1/beta": 2, "n2/beta": 3}
    flow = Flow({name: frozenset([at]) for name, at in operations.items()}, {2: frozenset([0, 1]), 3: frozenset([2])})
    source = entries(conv__kernel=(9, 4), other__kernel=(7, 4), conv__A__beta=(4,))
    found = matching.match(source, [*first, *second, *both, *neither], None, flow)
    assert set(pairs(found)) == {"conv/kernel", "other/kernel"}


def test_a_layer_that_follows_nothing_does_not_follow_a_matched_one():
    kernel, first, far, second = (
        layer("c", kernel=(9, 4)), layer("n1", beta=(4,)), layer("far", kernel=(7, 7)), layer("n2", beta=(4,))
    )  # fmt: skip
    source = entries(conv__kernel=(9, 4), conv__A__beta=(4,))
    both = chain(kernel, far, second)
    flow = Flow({**both.operations, "n1/beta": frozenset(["alone"])}, both.feeds)
    assert pairs(matching.match(source, [*kernel, *first, *far, *second], None, flow)) == {"conv/kernel": "c/kernel"}


@pytest.mark.parametrize("names", [("other_2", "other_1"), ("conv_2", "conv-1")])
def test_order_against_the_layers_own_numbers_or_names_is_no_match(names):
    first, second = (layer(name, kernel=(4, 4), bias=(4,)) for name in names)
    source = entries(**dense("conv_1"), **dense("conv_2"))
    assert not matching.match(source, first + second, None, chain(first, second)).pairs
    assert len(matching.match(source, first + second, None, chain(second, first)).pairs) == 4


def test_scopes_of_other_names_have_no_order():
    first, second = (layer(f"d_{n}", given="d", kernel=(4, 4), bias=(4,)) for n in range(2))
    for scopes in (("left", "right"), ("a/b", "a/c_1")):
        source = entries(**dense(scopes[0].replace("/", "__")), **dense(scopes[1].replace("/", "__")))
        assert not matching.match(source, first + second, None, chain(first, second)).pairs


def test_layers_side_by_side_have_no_order():
    flow = Flow({"a/kernel": frozenset([1]), "b/kernel": frozenset([2])}, {1: frozenset([0]), 2: frozenset([0])})
    assert matching.chained(weight_roles.groups(layer("a", kernel=(2,)) + layer("b", kernel=(2,))), flow) is None
    line = Flow({"a/kernel": frozenset([1]), "b/kernel": frozenset([2])}, {1: frozenset([2])})
    made = weight_roles.groups(layer("a", kernel=(2,)) + layer("b", kernel=(2,)))
    assert [group.path for group in matching.chained(made, line)] == ["b", "a"]
    assert matching.chained(made, None) is None
    # A loop is no order either: each computes from the other.
    both = Flow(line.operations, {1: frozenset([2]), 2: frozenset([1])})
    assert matching.chained(made, both) is None


def test_numbers_in_the_middle_of_names_count_too():
    scopes = [f"block{n}__conv" for n in (1, 2, 10)]
    layers = [layer(f"l{n}", given="l", kernel=(4, 4), bias=(4,)) for n in range(3)]
    source = [entry for scope in reversed(scopes) for entry in entries(**dense(scope))]
    found = pairs(matching.match(source, sum(layers, []), None, chain(*layers)))
    assert found["block2/conv/kernel"] == "l1/kernel" and found["block10/conv/kernel"] == "l2/kernel"


def test_paths_are_the_same_at_the_boundary_of_a_part():
    assert matching.same_path("conv1", "Model/Conv1") and not matching.same_path("conv1", "xconv1")


def test_a_recurrent_layer_takes_no_single_variable():
    # A cell's bias has the shape of the layer's, and its gates in another order.
    recurrent = layer("lstm", kernel=(6, 32), recurrent_kernel=(8, 32), bias=(32,))
    assert not matching.match(entries(cell__bias=(32,)), recurrent).pairs


def test_names_may_differ_by_what_all_have_in_common():
    layers = layer("net/left", kernel=(4, 4)) + layer("net/right", kernel=(4, 4))
    source = entries(m__tower_right__kernel=(4, 4), m__tower_left__kernel=(4, 4))
    found = matching.match(source, layers)
    assert pairs(found) == {"m/tower_right/kernel": "net/right/kernel", "m/tower_left/kernel": "net/left/kernel"}
    # One name of two is not enough.
    other = layer("net/left", kernel=(4, 4)) + layer("net/wrong", kernel=(4, 4))
    assert not matching.match(source, other).pairs


def groups(*names):
    return [Group(name, (("kernel", (2,), f"{name}/kernel"),), name) for name in names]


def test_a_graph_that_differs_anywhere_says_nothing():
    (a, b), (x, y) = groups("a", "b"), groups("x", "y")
    classes = [((a, b), (x, y))]

    def flow(names, *feeds):
        operations = {f"{name}/kernel": frozenset([name]) for name in names}
        found = {}
        for later, earlier in feeds:
            found[later] = found.get(later, frozenset()) | {earlier}
        return Flow(operations, found)

    told = refine.told_apart([], classes, flow("ab", ("b", "a")), flow("xy", ("y", "x")))
    assert [(one.path, other.path) for one, other in told] == [("a", "x"), ("b", "y")]
    assert refine.told_apart([], classes, flow("ab", ("b", "a")), flow("xy")) == []
    assert refine.told_apart([], classes, flow("ab"), flow("xy")) == [], "nothing tells twins apart"
    assert refine.told_apart([], classes, flow("a"), flow("xy", ("y", "x"))) == [], "a layer without a place"
    assert refine.told_apart([], [((a,), (x, y))], flow("ab"), flow("xy")) == []
    (c,), (z,) = groups("c"), groups("z")
    assert refine.told_apart([(c, z)], classes, flow("ab", ("b", "a")), flow("xy", ("y", "x"))) == [], "nor has c"
    # A matched neighbour tells its neighbours apart, upstream and downstream.
    for edge in (("c", "a"), ("a", "c")):
        mirrored = tuple({"c": "z", "a": "y"}[end] for end in edge)
        told = refine.told_apart([(c, z)], classes, flow("abc", edge), flow("xyz", mirrored))
        assert [(one.path, other.path) for one, other in told] == [("a", "y"), ("b", "x")]


def test_what_is_nearest_is_met_through_operations_without_variables():
    flow = Flow(
        {"a": frozenset([1]), "b": frozenset([3]), "c": frozenset([5])},
        {3: frozenset([2]), 2: frozenset([1]), 5: frozenset([4, 3]), 4: frozenset([1])},
    )
    assert flow.nearest(["c"]) == {"a", "b"} and flow.nearest(["b"]) == {"a"} and flow.nearest(["a"]) == set()
    assert flow.nearest(["b", "c"]) == {"a"}
    line = Flow({"a": frozenset([1]), "b": frozenset([2]), "c": frozenset([3])}, {2: frozenset([1]), 3: frozenset([2])})
    assert line.nearest(["c"]) == {"b"} and line.after(["c"]) == {"a", "b"}
    assert flow.after(["c"]) == {"a", "b"} and flow.after(["b"]) == {"a"}
    assert flow.knows(["a", "b"]) and not flow.knows(["a", "none"])


def plan(sources, weights, *rules):
    return planning.make({entry.key: entry for entry in sources}, weights, RuleSet(rules))


def test_the_end_of_a_path_is_a_whole_part():
    weights = [*layer("a", my_kernel=(2,)), *layer("b", kernel=(2,))]
    found = plan(entries(x=(2,)), weights, Rule("x", "kernel"))
    assert [one.weight for one in found.assignments] == ["b/kernel"]
    # A whole path is meant before the end of another.
    weights = [*layer("outer/b", kernel=(2,)), *layer("b", kernel=(2,))]
    assert [one.weight for one in plan(entries(x=(2,)), weights, Rule("x", "b/kernel")).assignments] == ["b/kernel"]


def test_a_variable_that_a_rule_has_used_is_not_matched_by_itself():
    weights = [*layer("emb", embeddings=(5, 2)), *layer("other", embeddings=(5, 2))]
    found = plan(entries(table=(5, 2)), weights, Rule("table", "emb/embeddings", more=True))
    assert [one.weight for one in found.assignments] == ["emb/embeddings"]
    assert found.missing == ["other/embeddings"] and not found.left_over


def test_a_rule_for_everything_leaves_out_optimizer_slots():
    source = entries(a__kernel=(2, 2), a__kernel__Adam=(2, 2), a__kernel__Adam_1=(2, 2), global_step=())
    found = plan(source, layer("b", kernel=(2, 2)), Rule("a/(.*)", r"b/\1"))
    assert [one.weight for one in found.assignments] == ["b/kernel"] and not found.misfits
    assert set(found.skipped) == {"a/kernel/Adam", "a/kernel/Adam_1", "global_step"}
    skipped = plan(source, [], Rule(".*", skip="not here"))
    assert skipped.skipped["a/kernel"] == "not here"
    assert skipped.skipped["a/kernel/Adam"] == "optimizer slot of 'a/kernel'", "its own reason says more"


def test_a_pattern_is_for_the_whole_name():
    found = plan(entries(ab=(2,)), layer("b", kernel=(2,)), Rule("a", "b/kernel"), Rule("a|b", skip=True))
    assert [unused.partition(":")[0] for unused in found.unused_rules] == ["rule 1 (a)", "rule 2 (a|b)"]


def test_a_preset_that_cannot_be_followed_takes_its_variables_out():
    found = plan(entries(s__kernel=(2,), s__bias=(2,)), layer("b", kernel=(2,)), Rule("s", "b", preset="layer"))
    assert len(found.misfits) == 1 and "'s': the layer has no 'bias' for 's/bias'; it has 'kernel'" in found.misfits[0]
    assert not found.left_over and not found.complete
    found = plan(entries(s__kernel=(2,)), layer("b", kernel=(2,)), Rule("s", "c", preset="layer"))
    assert "layer 'c' is not in the model" in found.misfits[0]
    twins = [*layer("x/b", kernel=(2,)), *layer("y/b", kernel=(2,))]
    found = plan(entries(s__kernel=(2,)), twins, Rule("s", "b", preset="layer"))
    assert "layer 'b' could be any of 'x/b', 'y/b'" in found.misfits[0]


def test_a_misfit_names_a_pair_of_equal_names_only():
    source = entries(a__kernel=(2, 3), a__bias=(3,))
    found = plan(source, layer("a", kernel=(2, 4), bias=(4,)))
    assert [misfit.partition(":")[0] for misfit in found.misfits] == [
        "'a/kernel' for 'a/kernel'",
        "'a/bias' for 'a/bias'",
    ]
    assert not found.missing and not found.left_over
    found = plan(source, layer("b", kernel=(2, 4), bias=(4,)))
    assert not found.misfits and found.missing == ["b/kernel", "b/bias"]


def graph_flow(build, *names):
    import tensorflow as tf

    with graphs.tensorflow_1() as graph:
        build(tf.compat.v1)
    return source_graph.of_graph(graph.as_graph_def(), {name: Entry(name, (), "float32") for name in names})


def test_the_graph_that_was_saved_shows_the_forward_computation_alone():
    def build(v1):
        x = v1.placeholder(v1.float32, [None, 2], name="x")
        a, b = (v1.get_variable(name, [2, 2], use_resource=False) for name in "ab")
        other = v1.get_variable("other", [2, 2], use_resource=False)
        y = v1.matmul(v1.nn.relu(v1.matmul(x, a, name="one")), b + 0.0, name="two")
        decay = v1.reduce_sum(a * b)
        v1.train.GradientDescentOptimizer(0.1).minimize(v1.reduce_sum(y * y) + decay)
        v1.assign(other, v1.matmul(x, x, transpose_a=True), name="write")
        v1.matmul(x, other, name="read")

    found = graph_flow(build, "a", "b", "other")
    assert found.operations["other"] == {"read"}
    assert found.operations["a"] == {"one"} and found.operations["b"] == {"two"}
    assert found.nearest(["b"]) == {"a"} and found.nearest(["a"]) == set()


def test_a_loop_and_a_branch_of_old_control_flow_have_an_order():
    def build(v1):
        v1.disable_control_flow_v2()
        x = v1.placeholder(v1.float32, [2, 2], name="x")
        flag = v1.placeholder(v1.bool, [], name="flag")
        a, b, c = (v1.get_variable(name, [2, 2], use_resource=False) for name in "abc")
        inside = v1.matmul(x, a)
        inside = v1.while_loop(lambda value: v1.reduce_sum(value) < 9, lambda value: v1.matmul(value, b), [inside])
        inside = v1.cond(flag, lambda: inside * 2, lambda: inside)
        v1.matmul(v1.matmul(inside, c, name="last"), b, name="again")

    found = graph_flow(build, "a", "b", "c")
    assert found.after(["c"]) == {"a", "b"} and "again" not in found.operations["b"]
    # The loop may go round or not.
    assert found.nearest(["c"]) == {"a", "b"}
    assert "a" in found.after(["b"]) and found.after(["a"]) == set()
