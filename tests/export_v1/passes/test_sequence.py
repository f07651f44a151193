"""The order of the passes: what each relies on has been guaranteed before, and the original is where the export begins."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.passes import freeze, functional, outputs, portable, prune, sequence, tables, variables
from export_v1.passes.guarantees import Guarantee
from export_v1.passes.result import Notes, Result
from export_v1.passes.state import State
from tests.support import graphs
from tests.support.graphs import v1

FLOAT, BOOL = tf.float32.as_datatype_enum, tf.bool.as_datatype_enum


def _model():
    """A reference variable, a condition on a flag, a loop, a loss with gradients."""
    with graphs.tensorflow_1() as graph:
        x, training = (
            v1.placeholder(tf.float32, [None], name="x"),
            v1.placeholder_with_default(True, [], name="training"),
        )
        w = v1.get_variable("w", [], initializer=v1.constant_initializer(3.0))
        y = tf.cond(training, lambda: x * 100.0, lambda: x * w)
        _, y = tf.while_loop(lambda at, _: at < 3, lambda at, value: (at + 1, value + w), [0, y], name="loop")
        y = tf.identity(y, "y")
        v1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_sum(tf.square(y), name="loss"))
    return graph.as_graph_def(add_shapes=True)


def _state(graph_def=None, **fields) -> State:
    fields = {
        "inputs": {"x:0": (FLOAT, [None])},
        "frozen": {"training:0": False},
        "outputs": {"serving_default": {"y": "y:0"}},
        **fields,
    }
    return State(graph_def=_model() if graph_def is None else graph_def, find=lambda written, known: written, **fields)


def _answer(state: State, **values):
    """What a session answers, fed as the state says, `w` set to 3."""
    fed = {state.name(f"{key}:0"): value for key, value in values.items()}
    return graphs.run(state.graph_def, state.outputs["serving_default"]["y"], {**fed, **state.fed}, {"w": 3.0})


@pytest.mark.parametrize(
    "steps", [sequence.EXPORT, (*sequence.ORIGINAL, *sequence.RUNNABLE)], ids=["export", "original"]
)
def test_what_a_step_needs_was_guaranteed_before(steps):
    given = set()
    for step in steps:
        assert set(step.needs) <= given, step.name
        given |= set(step.gives)
    assert all(step.why for step in steps)


def test_every_guarantee_is_given():
    assert {one for step in sequence.EXPORT for one in step.gives} == set(Guarantee) - {Guarantee.WELL_FORMED}


def test_the_original_is_the_beginning_of_the_export():
    assert sequence.EXPORT[: len(sequence.ORIGINAL)] == sequence.ORIGINAL
    positions = [sequence.EXPORT.index(step) for step in sequence.RUNNABLE]
    assert positions == sorted(positions) and positions[0] > len(sequence.ORIGINAL)


def test_the_original_and_the_export_answer_as_the_graph_that_was_written():
    given = np.float32([1.0, -2.0])
    want = graphs.run(_model(), "y:0", {"x:0": given, "training:0": False}, {"w": 3.0})
    np.testing.assert_array_equal(want, given * 3 + 9)
    with sequence.checked():
        original, exported = sequence.original(_state()), sequence.export(_state())
    np.testing.assert_array_equal(_answer(original, x=given), want)
    np.testing.assert_array_equal(_answer(exported, x=given), want)


def test_the_original_is_fed_what_is_frozen_and_keeps_the_rest_as_it_was_written():
    original, exported = sequence.original(_state()), sequence.export(_state())
    assert original.fed == {"training:0": False} and exported.fed == {}
    assert {"VariableV2", "Switch", "Merge", "Enter"} <= graphs.kinds(original.graph_def)
    assert not {"VariableV2", "Switch", "Merge", "Enter"} & graphs.kinds(exported.graph_def)
    assert original.notes == Notes() and original.outputs == {"serving_default": {"y": "y:0"}}
    assert exported.notes.folded > 0 and exported.notes.converted["while"] == 1


def test_the_first_step_copies_nothing_of_the_training():
    whole = _model()
    names = graphs.names(sequence.ORIGINAL[0].run(_state(whole)).graph_def)
    assert not [name for name in names if name.startswith(("gradients", "GradientDescent", "loss"))]
    assert {"x", "training", "w", "y"} <= set(names) and len(names) < len(whole.node) / 2


def test_what_is_behind_an_input_or_a_frozen_tensor_may_be_malformed():
    graph_def = _model()
    for node in graph_def.node:
        if node.name in ("x", "training"):
            node.CopyFrom(type(node)(name=node.name, op="Identity", input=["gone"], attr=node.attr))
            node.attr["T"].type = node.attr["dtype"].type
    exported = sequence.export(_state(graph_def))
    np.testing.assert_array_equal(_answer(exported, x=np.float32([1.0])), [12.0])


def test_what_is_needed_and_malformed_is_refused_before_any_pass_relies_on_it():
    graph_def = _model()
    del next(node for node in graph_def.node if node.name == "y").attr["T"]
    for run in (sequence.original, sequence.export):
        with sequence.checked(False), pytest.raises(export_v1.ExportError, match="'y'.*has no attribute 'T'"):
            run(_state(graph_def))


def test_an_op_that_nothing_can_run_is_refused_in_the_original_and_in_the_export():
    graph_def = _model()
    next(node for node in graph_def.node if node.name == "y").op = "NoSuchOp"
    for run in (sequence.original, sequence.export):
        with pytest.raises(export_v1.ExportError, match="does not know.*NoSuchOp"):
            run(_state(graph_def))


def _dropping():
    with graphs.tensorflow_1() as graph:
        x, rate = v1.placeholder(tf.float32, [None, 2], name="x"), tf.constant(0.0, name="rate")
        tf.identity(_dropped(x, rate), "y")
    return graph.as_graph_def(add_shapes=True)


def _dropped(x, rate):
    """As tf.nn.dropout of TensorFlow 1.13 wrote it."""
    keep = tf.random.uniform(tf.shape(x)) >= rate
    return x * (1.0 / (1.0 - rate)) * tf.cast(keep, tf.float32)


def test_a_dropout_stays_in_the_original_unless_its_constant_rate_is_frozen():
    asked = {"inputs": {"x:0": (FLOAT, [None, 2])}}
    original = sequence.original(_state(_dropping(), frozen={}, **asked))
    assert "RandomUniform" in graphs.kinds(original.graph_def) and original.notes.folded == 0
    assert "RandomUniform" not in graphs.kinds(sequence.export(_state(_dropping(), frozen={}, **asked)).graph_def)
    original = sequence.original(_state(_dropping(), frozen={"rate:0": 0.0}, **asked))
    assert "RandomUniform" not in graphs.kinds(original.graph_def)
    assert original.notes.folded == 1 and original.fed == {}


def test_a_frozen_constant_has_its_value_in_the_original_and_other_frozen_tensors_their_shape():
    with graphs.tensorflow_1() as graph:
        x, pair = v1.placeholder(tf.float32, [None], name="x"), v1.placeholder(tf.float32, name="pair")
        tf.add(x * tf.constant(5.0, name="factor"), tf.reduce_sum(pair), name="y")
    frozen = {"factor:0": 2.0, "pair:0": np.float32([3.0, 4.0])}
    original = sequence.original(_state(graph.as_graph_def(), frozen=frozen))
    nodes = {node.name: node for node in original.graph_def.node}
    assert nodes["factor"].op == "Const" and list(original.fed) == ["pair:0"]
    assert tf.TensorShape(nodes["pair"].attr["shape"].shape) == [2]
    np.testing.assert_array_equal(graphs.run(original.graph_def, "y:0", {"x:0": [1.0], **original.fed}), [9.0])


def test_a_loss_that_is_an_input_has_its_value():
    with graphs.tensorflow_1() as graph:
        first, second = tf.split(v1.placeholder(tf.float32, [2], name="x"), 2, name="halves")
        tf.add(first, second, name="y")
    asked = _state(graph.as_graph_def(), inputs={"halves:1": (FLOAT, [1])}, frozen={}, losses=("halves:1",))
    assert sequence.original(asked).losses == ("halves_1:0",)
    exported = sequence.export(asked)
    assert graphs.run(exported.graph_def, exported.losses, {"halves_1:0": [7.0]}) == (7.0,)


def test_notes_of_passes_are_added_up():
    one = Notes(folded=2, converted={"while": 1, "cond": 2}, unconverted=[("a", "why")], asset_files={"f:0": "file"})
    two = Notes(folded=3, converted={"while": 4}, unconverted=[("b", "too")], moving_averages=("m",))
    assert one + two == Notes(
        folded=5,
        converted={"while": 5, "cond": 2},
        unconverted=[("a", "why"), ("b", "too")],
        moving_averages=("m",),
        asset_files={"f:0": "file"},
    )


def test_outputs_that_are_inputs_or_frozen_have_their_values():
    tensors = {"y": "y:0", "same": "x:0", "flag": "training:0"}
    for state in (sequence.original, sequence.export):
        made = state(_state(outputs={"serving_default": tensors}))
        fed = {made.name("x:0"): [1.0], **made.fed}
        answers = graphs.run(made.graph_def, made.outputs["serving_default"], fed, {"w": 3.0})
        assert (answers["y"], answers["same"], answers["flag"]) == ([12.0], [1.0], False)


def test_an_input_that_nothing_needs_stays():
    with graphs.tensorflow_1() as graph:
        v1.placeholder(tf.float32, [], name="x")
        v1.placeholder(tf.float32, [], name="other")
        tf.identity(v1.get_variable("w", []), "y")
    asked = _state(graph.as_graph_def(), inputs={"other:0": (FLOAT, [])}, frozen={})
    for state in (sequence.original(asked), sequence.export(asked)):
        assert [node.name for node in state.graph_def.node if node.op == "Placeholder"] == ["other"]


def test_losses_and_outputs_wait_for_what_they_have_to():
    with graphs.tensorflow_1() as graph:
        x, w = v1.placeholder(tf.float32, [], name="x"), v1.get_variable("w", [])
        tf.multiply(x, w, name="y")
        tf.square(w, name="loss")
        v1.assign_add(w, 1.0, name="update")
    asked = _state(
        graph.as_graph_def(), inputs={"x:0": (FLOAT, [])}, frozen={}, losses=("loss:0",), updates=("update",)
    )
    exported = sequence.export(asked)
    nodes = {node.name: node for node in exported.graph_def.node}
    assert exported.losses == ("output/regularization_loss_0:0",)
    assert "^update" in nodes["output/y"].input and "^update" not in nodes["output/regularization_loss_0"].input


def _unchanged(graph_def, *args, **kwargs) -> Result:
    return Result(graph_def)


def _with_a_device(graph_def, *_) -> Result:
    made = type(graph_def)()
    made.CopyFrom(graph_def)
    made.node[0].device = "/gpu:0"
    return Result(made)


def _without_a_node(graph_def, wanted, index, real=prune.to_outputs) -> Result:
    made = tf.compat.v1.GraphDef()
    made.CopyFrom(real(graph_def, wanted, index).graph_def)
    del made.node[[node.name for node in made.node].index("w")]
    return Result(made)


def _not_pinned(graph_def, tensors, *_, **__) -> Result:
    return Result(graph_def, dict(tensors))


def _not_cut(graph_def, inputs, keep, index, real=freeze.to_placeholders) -> Result:
    return real(
        graph_def,
        {name: one for name, one in inputs.items() if name != "training:0"},
        {*keep, "training", "training/input"},
        index,
    )


BROKEN = {
    "cut": (freeze, "to_placeholders", _not_cut, Guarantee.CUT, "after 'cut'"),
    "prune too little": (prune, "to_outputs", _unchanged, Guarantee.PRUNED, "after 'prune'"),
    "prune too much": (prune, "to_outputs", _without_a_node, Guarantee.WELL_FORMED, "after 'prune'"),
    "portable": (portable, "nodes", _with_a_device, Guarantee.PORTABLE, "after 'portable'"),
    "freeze": (freeze, "to_constants", _unchanged, Guarantee.FROZEN, "after 'freeze'"),
    "pin": (outputs, "pinned", _not_pinned, Guarantee.PINNED, "after 'pin outputs'"),
    "variables": (variables, "to_resources", _unchanged, Guarantee.RESOURCES, "after 'variables'"),
    "functional": (functional, "convert", _unchanged, Guarantee.FUNCTIONAL, "after 'functional control flow'"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_pass_that_does_not_keep_its_word_is_noticed_where_it_runs(what, monkeypatch):
    module, name, broken, guarantee, where = BROKEN[what]
    monkeypatch.setattr(module, name, broken)
    with sequence.checked(), pytest.raises(AssertionError, match=f"{where}.*{guarantee.value}"):
        sequence.export(_with_a_second_condition(_state()))


def _with_a_second_condition(state: State) -> State:
    """A condition that is not folded, and a dropout whose random numbers nothing reads once it is removed."""
    with graphs.tensorflow_1() as graph:
        tf.import_graph_def(state.graph_def, name="")
        y, keep = graph.get_tensor_by_name("y:0"), tf.constant(0.5, name="keep_prob")
        dropped = tf.nn.dropout(y, rate=1.0 - keep)
        tf.cond(tf.reduce_sum(y) > 0, lambda: dropped + 1.0, lambda: dropped, name="second")
    asked = {"serving_default": {"y": "second/Merge:0"}}
    return _state(graph.as_graph_def(), outputs=asked, frozen={**state.frozen, "keep_prob:0": 1.0})


def test_what_a_pass_relies_on_is_verified_before_it_runs(monkeypatch):
    def with_a_stray_node(graph_def, real=tables.to_resources):
        made = real(graph_def)
        made.graph_def.node.add(name="stray", op="NoOp")
        return made

    monkeypatch.setattr(tables, "to_resources", with_a_stray_node)
    with sequence.checked(), pytest.raises(AssertionError, match="before 'variables'.*stray"):
        sequence.export(_state())


def test_nothing_is_verified_where_nobody_asks(monkeypatch):
    monkeypatch.setattr(portable, "nodes", _with_a_device)
    with sequence.checked(False):
        with sequence.checked(), pytest.raises(AssertionError):
            sequence.export(_state())
        sequence.export(_state())


def _dead_table():
    with graphs.tensorflow_1() as graph:
        x, training = v1.placeholder(tf.float32, [None], name="x"), v1.placeholder(tf.bool, [], name="training")
        table = tf.raw_ops.HashTable(key_dtype=tf.string, value_dtype=tf.float32, name="table")
        missing = tf.constant(-1.0)

        def looked_up():
            return tf.raw_ops.LookupTableFind(table_handle=table, keys=tf.strings.as_string(x), default_value=missing)

        tf.identity(tf.cond(training, looked_up, lambda: x + 1.0), "y")
    return graph.as_graph_def()


def test_a_table_of_a_dead_branch_needs_no_initializer():
    for run in (sequence.original, sequence.export):
        state = run(_state(_dead_table()))
        assert state.table_inits == ()
    assert "HashTable" not in {kind.removesuffix("V2") for kind in graphs.kinds(state.graph_def)}
    with pytest.raises(export_v1.ExportError, match="'table' .* has no initializer"):
        sequence.export(_state(_dead_table(), frozen={"training:0": True}))


def test_the_name_of_a_table_file_may_be_frozen(tmp_path):
    (tmp_path / "words.txt").write_text("a\nb\n")
    with graphs.tensorflow_1():
        words, name = v1.placeholder(tf.string, [None], name="words"), v1.placeholder(tf.string, [], name="file")
        filler = tf.lookup.TextFileInitializer(
            name, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        w = v1.get_variable("w", [], tf.int64, initializer=v1.ones_initializer())
        tf.multiply(tf.lookup.StaticHashTable(filler, -1).lookup(words), w, name="y")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            prefix = v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    report = export_v1.export(
        checkpoint=prefix,
        inputs={"words": "words:0"},
        outputs={"y": "y:0"},
        freeze={"file:0": str(tmp_path / "words.txt")},
        export_dir=str(tmp_path / "export"),
    )
    assert report["sample"] is not None
    loaded = tf.saved_model.load(report.export_dir).signatures["serving_default"]
    assert loaded(words=tf.constant(["b", "c"]))["y"].numpy().tolist() == [1, -1]
