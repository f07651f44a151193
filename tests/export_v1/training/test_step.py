"""What a train op does, told by its graph: which gradients go into which variables, and what runs with the loss."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1 import ExportError
from export_v1.ir.graph import Index
from export_v1.model import Graph
from export_v1.training import averages, backprop, gradients, optimizers, step
from tests.support import graphs
from tests.support.trainings import Training

v1 = tf.compat.v1
PLACE = "graph g"


def _graph(built: tf.Graph) -> Graph:
    trainable = {v.op.name: v.trainable for v in built.get_collection("variables")}
    return Graph(built.as_graph_def(add_shapes=True), trainable)


def _variables():
    x, y = v1.placeholder(tf.float32, [None, 3], "x"), v1.placeholder(tf.float32, [None, 1], "y")
    weights, bias = v1.get_variable("w", [3, 1]), v1.get_variable("b", [1])
    return x, y, weights, bias


def _loss():
    x, y, weights, bias = _variables()
    return tf.reduce_mean(tf.square(tf.matmul(x, weights) + bias - y), name="loss")


def _found(model: Graph, loss: str | None = None, frozen=()):
    found = step.find(model, loss, frozen, PLACE)
    return found, gradients.of(Index(model.graph_def), found, model.trainable, PLACE)


def test_gradients_know_their_variables_behind_a_common_norm():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        optimizer = v1.train.GradientDescentOptimizer(0.1)
        grads, variables = zip(*optimizer.compute_gradients(loss), strict=True)
        clipped, _ = tf.clip_by_global_norm(grads, 1.0)
        train = optimizer.apply_gradients(list(zip(clipped, variables, strict=True)))
        raw = {variable.op.name: gradient.name for gradient, variable in zip(grads, variables, strict=True)}
        model = _graph(graph)
    found, matched = _found(model)
    assert found.train_op == train.name and found.losses == ("loss:0",)
    assert {one.variable: one.values for one in matched} == raw
    assert not found.before and not found.reads


def test_what_the_data_writes_runs_with_the_loss():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        moving = v1.get_variable("moving", [], trainable=False, initializer=v1.zeros_initializer())
        update = v1.assign_sub(moving, (moving - loss) * 0.1, name="average")
        with tf.control_dependencies([update]):
            v1.train.AdamOptimizer(0.1).minimize(loss)
        model = _graph(graph)
    found, _ = _found(model)
    assert found.before == ("average",)
    index = Index(found.update)
    reached = index.ancestors(found.runs, stop=[name.rpartition(":")[0] for name in found.cuts])
    assert "average" not in reached and "x" not in reached, "the update does not wait for the forward pass"
    assert "Adam/update_w/ApplyAdam" in reached


def test_an_update_may_read_the_data():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        optimizer = v1.train.GradientDescentOptimizer(0.1)
        scale = tf.reduce_mean(graph.get_tensor_by_name("x:0"))
        optimizer.apply_gradients([(gradient * scale, v) for gradient, v in optimizer.compute_gradients(loss)])
        model = _graph(graph)
    found, matched = _found(model)
    assert found.reads == ("x:0",) and not found.before and len(matched) == 2


def test_a_graph_that_was_imported_under_a_scope():
    with graphs.tensorflow_1() as graph:
        v1.train.AdamOptimizer(0.1).minimize(_loss())
        meta = v1.train.export_meta_graph(graph=graph)
    with graphs.tensorflow_1() as graph:
        v1.train.import_meta_graph(meta, import_scope="model")
        found, matched = _found(_graph(graph))
    assert found.losses == ("model/loss:0",) and {one.variable for one in matched} == {"model/w", "model/b"}


def test_a_train_op_that_gives_the_loss_is_what_it_waits_for():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        update = v1.train.AdamOptimizer(0.1).minimize(loss)
        with tf.control_dependencies([update]):
            tf.identity(loss, name="train_op")
        model = _graph(graph)
    found, _ = _found(model)
    assert found.train_op in ("Adam", "train_op") and found.runs == ("Adam",)


def test_a_schedule_waits_for_a_count_that_nothing_orders():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        count = v1.train.get_or_create_global_step()
        rate = v1.train.exponential_decay(0.1, count, 10, 0.5)
        update = v1.train.GradientDescentOptimizer(rate).minimize(loss)
        tf.group(update, v1.assign(count, tf.add(count, 1, name="next"), name="count"), name="train")
        model = _graph(graph)
    found, _ = _found(model)
    assert found.train_op == "train"
    reader = Index(found.update)["ExponentialDecay/Cast_2"]
    assert "^count" in reader.input
    assert "^count" not in Index(found.update)["next"].input and not found.before
    # What only looks at the rate must not count.
    assert "^count" not in Index(found.detached)["ExponentialDecay/Cast_2"].input


def test_a_count_that_comes_after_the_update_stays_there():
    with graphs.tensorflow_1() as graph:
        loss, count = _loss(), v1.train.get_or_create_global_step()
        rate = v1.train.exponential_decay(0.1, count, 10, 0.5)
        v1.train.GradientDescentOptimizer(rate).minimize(loss, count)
        model = _graph(graph)
    found, _ = _found(model)
    assert not [e for e in Index(found.update)["ExponentialDecay/Cast_2"].input if e.startswith("^GradientDescent")]


@pytest.mark.parametrize("given", [None, "first:0", "second:0"])
def test_of_several_trainings_one_has_to_be_named(given):
    with graphs.tensorflow_1() as graph:
        x, y, weights, bias = _variables()
        first = tf.reduce_mean(tf.square(tf.matmul(x, weights)), name="first")
        second = tf.reduce_mean(tf.square(bias - y), name="second")
        v1.train.GradientDescentOptimizer(0.1).minimize(first, var_list=[weights], name="one")
        v1.train.GradientDescentOptimizer(0.1).minimize(second, var_list=[bias], name="two")
        model = _graph(graph)
    if given is None:
        with pytest.raises(ExportError, match=r"several training steps, for 2 losses") as caught:
            _found(model)
        assert "--loss=first:0" in str(caught.value) and "--loss=second:0" in str(caught.value)
        return
    found, matched = _found(model, given)
    assert found.losses == (given,)
    assert [one.variable for one in matched] == [{"first:0": "w", "second:0": "b"}[given]]


def test_a_named_loss_is_not_the_one_that_it_is_part_of():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        weights, bias = v1.trainable_variables()
        total = tf.add(loss, tf.nn.l2_loss(weights), name="total")
        v1.train.GradientDescentOptimizer(0.1).minimize(loss, var_list=[bias], name="one")
        v1.train.GradientDescentOptimizer(0.1).minimize(total, var_list=[weights], name="two")
        model = _graph(graph)
    found, matched = _found(model, "loss:0")
    assert found.losses == ("loss:0",) and [gradient.variable for gradient in matched] == ["b"]


def test_a_graph_without_gradients_and_one_without_an_update_say_so():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        model = _graph(graph)
        with pytest.raises(ExportError, match="has no gradients: it was saved without its training ops"):
            _found(model)
        tf.gradients(loss, v1.trainable_variables())
        model = _graph(graph)
    with pytest.raises(ExportError, match="changes a variable by the gradients of 'loss:0'"):
        _found(model)
    with pytest.raises(
        ExportError, match=r"(?s)Loss 'x:0' is not in the losses that graph g has gradients of.*Known \(1\): 'loss:0'"
    ):
        _found(model, "x:0")


def test_gradients_gathered_for_some_steps():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        optimizer = v1.train.GradientDescentOptimizer(0.1)
        pairs = optimizer.compute_gradients(loss)
        sums = [v1.get_variable(f"sum_{at}", variable.shape, trainable=False) for at, (_, variable) in enumerate(pairs)]
        added = [v1.assign_add(total, gradient) for total, (gradient, _) in zip(sums, pairs, strict=True)]
        with tf.control_dependencies(added):
            optimizer.apply_gradients([(total.read_value(), v) for total, (_, v) in zip(sums, pairs, strict=True)])
        model = _graph(graph)
    _, matched = _found(model)
    assert {one.variable for one in matched} == {"w", "b"}


def test_rows_come_with_their_numbers():
    with graphs.tensorflow_1() as graph:
        ids = v1.placeholder(tf.int32, [None], "ids")
        table = v1.get_variable("table", [5, 2])
        loss = tf.reduce_sum(tf.square(tf.gather(table, ids)), name="loss")
        v1.train.AdagradOptimizer(0.1).minimize(loss)
        model = _graph(graph)
    found, (matched,) = _found(model)
    assert matched.variable == "table" and matched.indices is not None
    (optimizer,) = optimizers.of(Index(model.graph_def), found, (matched,))
    assert optimizer.sparse and optimizer.kind == "Adagrad" and optimizer.slots == {"accum": "table/Adagrad"}


def test_settings_of_an_optimizer_and_a_variable_that_decays_by_itself():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        weights = v1.trainable_variables()[0]
        decay = v1.assign_sub(weights, 0.01 * weights)
        with tf.control_dependencies([decay]):
            v1.train.AdamOptimizer(0.1, epsilon=1e-4).minimize(loss)
        model = _graph(graph)
    found, matched = _found(model)
    by_name = {one.variable: one for one in optimizers.of(Index(model.graph_def), found, matched)}
    assert by_name["b"].kind == "Adam" and by_name["b"].settings["epsilon"] == pytest.approx(1e-4)
    assert by_name["b"].slots == {
        "m": "b/Adam",
        "v": "b/Adam_1",
        "beta1_power": "beta1_power",
        "beta2_power": "beta2_power",
    }
    assert by_name["w"].kind == optimizers.PLAIN, "the decay is no part of Adam"


def _rates(update, resource: bool) -> dict[str, str | None]:
    """Returns the rates that are told of a training by plain ops: update(gradient, variable)."""
    with graphs.tensorflow_1() as graph:
        with v1.variable_scope("", use_resource=resource):
            loss = _loss()
        trained = v1.trainable_variables()
        steps = [update(gradient, v) for gradient, v in zip(tf.gradients(loss, trained), trained, strict=True)]
        tf.group(*steps, name="train")
        model = _graph(graph)
    found, matched = _found(model)
    return {one.variable: one.rate for one in optimizers.of(Index(model.graph_def), found, matched)}


def _decayed_first(gradient, variable):
    name = variable.op.name
    decay = v1.assign_sub(variable, tf.constant(0.01, name=f"decay_{name}") * variable)
    with tf.control_dependencies([decay]):
        return v1.train.MomentumOptimizer(0.1, 0.9, name=f"of_{name}").apply_gradients([(gradient, variable)])


def _decayed_last(gradient, variable):
    name = variable.op.name
    update = v1.train.GradientDescentOptimizer(0.1, name=f"of_{name}").apply_gradients([(gradient, variable)])
    decay = tf.constant(0.01, name=f"decay_{name}")
    with tf.control_dependencies([update]):
        return v1.assign_sub(variable, decay * variable)


def _decayed_as_it_then_is(gradient, variable):
    rate = tf.constant(0.1, name=f"of_{variable.op.name}/learning_rate")
    with tf.control_dependencies([v1.assign_sub(variable, rate * gradient).op]):
        return v1.assign_sub(variable, tf.constant(0.01) * variable.read_value())


def _by_a_slot(gradient, variable):
    slot = tf.Variable(tf.zeros(variable.shape), False, use_resource="Resource" in type(variable).__name__)
    kept = v1.assign(slot, 0.9 * slot + gradient)
    return v1.assign(variable, variable - tf.constant(0.1, name=f"of_{variable.op.name}/learning_rate") * kept)


def _by_the_norm(gradient, variable):
    return v1.assign_sub(variable, (0.1 / tf.norm(gradient)) * gradient)


def _by_op_and_norm(gradient, variable):
    rate = 0.1 / tf.norm(gradient)
    return v1.train.GradientDescentOptimizer(rate).apply_gradients([(gradient, variable)])


def _at_two_rates(gradient, variable):
    with tf.control_dependencies([v1.assign_sub(variable, tf.constant(0.1) * gradient)]):
        return v1.assign_sub(variable, tf.constant(0.2) * tf.square(gradient))


def _row_by_row(gradient, variable):
    return v1.assign_sub(variable, tf.fill(variable.shape, 0.1) * gradient)


@pytest.mark.parametrize("resource", [False, True])
@pytest.mark.parametrize("update", [_decayed_first, _decayed_last, _decayed_as_it_then_is, _by_a_slot])
def test_the_rate_is_what_the_gradient_is_multiplied_with(update, resource):
    assert _rates(update, resource) == {name: f"of_{name}/learning_rate:0" for name in ("w", "b")}


def _divided(gradient, variable):
    return v1.assign_sub(variable, gradient / tf.constant(10.0))


@pytest.mark.parametrize("update", [_by_the_norm, _by_op_and_norm, _at_two_rates, _row_by_row, _divided])
def test_where_no_number_is_the_rate_none_is_shown(update):
    assert _rates(update, resource=False) == {"w": None, "b": None}


def test_moving_averages_of_weights():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        update = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        with tf.control_dependencies([update]):
            tf.train.ExponentialMovingAverage(0.9).apply(v1.trainable_variables())
        model = _graph(graph)
    found, _ = _found(model)
    names = averages.of_weights(Index(model.graph_def), found)
    assert names == {"w": "w/ExponentialMovingAverage", "b": "b/ExponentialMovingAverage"}


def test_scopes_of_gradients_are_told_by_what_tensorflow_writes():
    with graphs.tensorflow_1() as graph, tf.name_scope("training"):
        loss = _loss()
        tf.gradients(loss, v1.trainable_variables(), name="backward")
        tf.fill([2], 1.0, name="gradients/decoy/Fill")
        model = _graph(graph)
    (call,) = backprop.calls(Index(model.graph_def))
    assert call.scope == "training/backward/" and call.differentiated == ("training/loss:0",)


@pytest.mark.parametrize(
    ("value", "filled", "read_by"),
    [("Const", "mask", "loss_grad"), ("half", "Fill", "loss_grad"), ("Const", "Fill", "twice")],
)
def test_what_people_fill_is_no_gradient(value, filled, read_by):
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        with tf.name_scope("noise"):
            shape, number = tf.shape(loss, name="Shape"), tf.constant(0.5, name=value)
            tf.square(tf.raw_ops.Fill(dims=shape, value=number, name=filled), name=read_by)
        model = _graph(graph)
    assert [call.scope for call in backprop.calls(Index(model.graph_def))] == ["gradients/"]


def test_labels_are_chosen_and_reported(tmp_path):
    case = Training("train_adam")
    flags = case.flags(loss=None, labels={})
    report = export_v1.export(export_dir=str(tmp_path / "1"), **flags)
    resume = report.record.resume
    assert list(resume.labels) == ["labels"] and resume.loss == case.config["resume"]["loss"]
    told = report.text()
    assert "chosen: label 'labels' is labels:0" in told and f"chosen: the loss is {resume.loss}" in told
    assert "Adam on 4 variables" in told
    assert resume.counter == "global_step" and not resume.random


def test_what_stands_in_the_way_is_named(tmp_path):
    case = Training("train_two_losses")
    with pytest.raises(ExportError, match="several training steps") as caught:
        export_v1.export(export_dir=str(tmp_path / "1"), **case.flags(loss=None))
    assert "--loss=generator_loss:0" in str(caught.value)
    adam = Training("train_adam")
    with pytest.raises(ExportError, match=r"--label goes with --resume"):
        export_v1.export(export_dir=str(tmp_path / "1"), **adam.flags(resume=False, loss=None))
    norm = Training("train_batch_norm_ema")
    report = export_v1.export(export_dir=str(tmp_path / "1"), **norm.flags())
    assert report.record.train_frozen == {"is_training:0": True}
    assert list(tmp_path.iterdir()) == [tmp_path / "1"]


@pytest.mark.parametrize(
    "given, message, remedy",
    [
        ({"loss": "Men:0"}, r"^Loss 'Men:0' is not in ", "Pass --loss=Mean:0, or --list"),
        ({"labels": {"y": "label:0"}}, r"^Label 'label:0' is not in ", "Pass --label=y=labels:0, or --list"),
        ({"labels": {"y": "labels:0[None,2]"}}, r"^Label 'y' is given as \[None,2\], but", "Pass --label=y=labels:0"),
        ({"labels": {"y": "labels:0", "z": "labels:0"}}, "^Labels 'y' and 'z' are both 'labels:0'", "another tensor"),
    ],
)
def test_a_loss_or_a_label_that_is_not_there_is_one_message_with_its_own_flag(tmp_path, given, message, remedy):
    with pytest.raises(ExportError, match=message) as caught:
        export_v1.export(export_dir=str(tmp_path / "1"), **Training("train_adam").flags(**given))
    assert remedy in str(caught.value) and not (tmp_path / "1").exists()


def test_a_loss_that_drops_is_said_to_be_random(tmp_path):
    with graphs.tensorflow_1() as graph:
        x, y, weights, bias = _variables()
        answer = tf.add(tf.matmul(x, weights), bias, name="answer")
        loss = tf.reduce_mean(tf.square(v1.nn.dropout(answer, keep_prob=0.5) - y), name="loss")
        v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    del graph
    report = export_v1.export(
        checkpoint=str(tmp_path / "model.ckpt"),
        export_dir=str(tmp_path / "1"),
        inputs={"x": "x:0"},
        outputs={"answer": "answer:0"},
        resume=True,
    )
    assert report.record.resume.random
    assert "draws random numbers" in report.text()
    assert np.all([v.trainable for v in report.record.variables])


def test_a_train_op_behind_the_update_by_what_it_reads():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        train = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        queue = v1.FIFOQueue(9, [tf.float32], [[]], name="memory")
        with tf.control_dependencies([train]):
            tf.group(train, queue.enqueue(tf.identity(loss)), name="step")
        model = _graph(graph)
    found = step.find(model, None, (), "graph")
    assert len(found.writers) == len(set(found.writers)) == 2
    assert found.dropped == ("memory_enqueue",) and len(found.cuts) == 2 and found.runs


def test_a_train_op_is_not_in_a_branch():
    with graphs.tensorflow_1() as graph:
        loss = _loss()
        optimizer = v1.train.GradientDescentOptimizer(0.1)
        pairs = optimizer.compute_gradients(loss)
        sums = [v1.get_variable(f"sum_{at}", initializer=tf.zeros(v.shape)) for at, (_, v) in enumerate(pairs)]
        gathered = [v1.assign_add(total, gradient) for total, (gradient, _) in zip(sums, pairs, strict=True)]
        with tf.control_dependencies(gathered):
            turn = v1.equal(v1.assign_add(v1.train.get_or_create_global_step(), 1) % 2, 0)

        def apply():
            return optimizer.apply_gradients([(t / 2.0, v) for t, (_, v) in zip(sums, pairs, strict=True)], name="now")

        v1.cond(turn, apply, tf.no_op, name="sometimes")
        model = _graph(graph)
    found = step.find(model, None, (), "graph")
    assert found.train_op == "sometimes/Merge" and any("global_step" not in name for name in found.writers)


def test_long_chains_of_control_edges_are_followed():
    with graphs.tensorflow_1() as graph:
        x, y, weights, bias = _variables()
        after = None
        for _ in range(1500):
            with tf.control_dependencies([after] if after is not None else []):
                after = tf.reduce_sum(x).op
        loss = tf.reduce_mean(tf.square(tf.matmul(x, weights) + bias - y), name="loss")
        optimizer = v1.train.GradientDescentOptimizer(0.1)
        pairs = optimizer.compute_gradients(loss)
        with tf.control_dependencies([after]):
            optimizer.apply_gradients(pairs)
        model = _graph(graph)
    assert len(step.find(model, None, (), "graph").cuts) == 2


def test_the_sum_that_tf_gradients_was_asked_for():
    with graphs.tensorflow_1() as graph:
        x, y, weights, bias = _variables()
        error = tf.reduce_mean(tf.square(tf.matmul(x, weights) + bias - y))
        cost = tf.identity(tf.add_n([error, 0.1 * tf.nn.l2_loss(weights), 0.1 * tf.nn.l2_loss(bias)]), name="cost")
        pairs = zip(tf.gradients(cost, [weights, bias]), [weights, bias], strict=True)
        v1.train.GradientDescentOptimizer(0.1).apply_gradients(pairs)
        tf.add(cost, 1.0, name="shown")
        model = _graph(graph)
    assert step.find(model, None, (), "graph").losses == ("AddN:0",)
