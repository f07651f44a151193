"""load_v2.functions: one function for each kind of call, what it waits for, and which shapes make another."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from export_v1.format.record import Record, Unconverted
from load_v2 import LoadError, SignatureLayer
from load_v2.layer import concrete_functions
from load_v2.program import program
from load_v2.program.signature import Spec
from load_v2.program.subgraph import GraphDef
from tests.support import savedmodels

X = np.float32([[1, 2, 3], [3, 4, 5]])


@pytest.fixture
def with_train(tmp_path):
    return SignatureLayer(savedmodels.with_train(tmp_path / "with_train"))


def test_threads_that_call_at_once_build_one_function(with_train, monkeypatch):
    # Whoever builds waits for a second builder, which a lock keeps out: then the wait ends in vain.
    meeting, built, build = threading.Barrier(2), [], concrete_functions.Functions._build

    def slow(self, *args):
        try:
            meeting.wait(1)
        except threading.BrokenBarrierError:
            pass
        built.append(args)
        return build(self, *args)

    monkeypatch.setattr(concrete_functions.Functions, "_build", slow)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(with_train(X)["y"])) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3 and len(built) == with_train._functions.count == 1


def test_each_part_and_each_kind_of_shapes_has_a_function(with_train):
    made, taken = with_train._functions, with_train._program
    serve = made.get(taken.serve)
    assert made.get(taken.serve) is serve and made.count == 1
    assert made.get(taken.train) is not serve and made.count == 2
    assert made.get(taken.serve, ((2, 3),)) is not serve and made.count == 3
    assert made.get(taken.serve, ((2, 3),)).outputs[1].shape == (2, 2)


def test_a_function_ends_when_all_that_uses_its_variables_has_run(with_train):
    graph = with_train._functions.get(with_train._program.train).graph
    waited = {operation.type for operation in graph.control_outputs}
    assert {"ReadVariableOp", "AssignVariableOp"} <= waited


def test_a_function_is_watched_for_the_variables_it_uses_alone(with_train):
    losses = [part for _, part in with_train._program.regularizers]
    by_id = {id(weight.value): weight.name for weight in with_train.weights}
    used = [{by_id[id(v)] for v in with_train._functions.get(part).graph.variables} for part in losses]
    assert sorted(map(sorted, used)) == [["b", "w"], ["w"]]


def test_a_loop_answers_but_its_gradient_is_refused_with_the_reasons(tmp_path):
    layer = SignatureLayer(savedmodels.while_loop(tmp_path / "loop"))
    record = Record(unconverted=[Unconverted("loop 'while'", "it has no bound")])
    object.__setattr__(layer._program.source, "record", record)
    x = tf.constant([1.0])
    with pytest.raises(LoadError, match="(?s)'y'.*loop 'while': it has no bound"), tf.GradientTape() as tape:
        tape.watch(x)
        tape.gradient(layer(x), x)
    object.__setattr__(layer._program.source, "record", None)
    with pytest.raises(LoadError, match="Step 1"), tf.GradientTape() as tape:
        tape.gradient(layer(x), layer.trainable_weights)
    with tf.GradientTape() as tape:
        tape.watch(x)
        answer = layer(x) + x
    assert answer.numpy().tolist() == [9]


def _part(*shapes) -> program.Part:
    return program.Part(GraphDef(), tuple(Spec(f"{at}:0", "float32", shape) for at, shape in enumerate(shapes)), {})


@pytest.mark.parametrize(
    ("specs", "given", "finer"),
    [
        ([(None, 3)], [(2, 3)], None),
        ([(4, 3)], [(4, 3)], None),
        ([(None, None)], [(2, 3)], ((None, 3),)),
        ([(2, None)], [(2, 3)], ((2, 3),)),
        ([(None, None)], [(2, None)], None),
        ([None], [(2, 3)], ((2, 3),)),
        ([None], [()], ((),)),
        ([(None, None), (None, 3)], [(2, 5), (2, 3)], ((None, 5), (None, 3))),
        ([(None, None), None], [(2, 5), None], None),
        ([()], [()], None),
    ],
)
def test_shapes_that_say_more_than_the_graph_beside_the_batch(specs, given, finer):
    values = [tf.TensorSpec(shape, tf.float32) for shape in given]
    assert concrete_functions.finer_shapes(_part(*specs), values) == finer


def test_a_penalty_is_the_sum_of_its_losses(with_train):
    by_name = {weight.name: weight for weight in with_train.weights}
    assert float(by_name["w"].regularizer(None)) == pytest.approx(66.5)
    assert by_name["b"].regularizer is None and by_name["moving"].regularizer is None


def test_a_graph_that_tensorflow_refuses_is_a_message(tmp_path):
    layer = SignatureLayer(savedmodels.scale(tmp_path / "scale"))
    next(node for node in layer._program.serve.graph_def.node if node.op == "Mul").op = "NoSuchOp"
    with pytest.raises(LoadError, match="NoSuchOp"):
        layer(1.0)


def test_outputs_have_the_shapes_of_the_signature(tmp_path):
    with savedmodels.session() as current:
        x = tf.compat.v1.placeholder(tf.float32, [None, 4], name="x")
        hidden = tf.compat.v1.placeholder_with_default(x * savedmodels.variable("w", np.float32(2)), None)
        path = savedmodels.save(tmp_path / "ranks", current, {"x": x}, {"y": hidden})
    layer = SignatureLayer(path)
    part = layer._program.serve
    told = program.Part(part.graph_def, part.inputs, {"y": Spec(part.outputs["y"].tensor, "float32", (None, 4))})
    assert part.outputs["y"].shape is None
    assert layer._functions.get(told).outputs[0].shape.as_list() == [None, 4]
