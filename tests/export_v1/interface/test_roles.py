"""What is data, what a label, and where a small model ends."""

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from export_v1 import errors, interface
from export_v1.interface import ends, naming, offers, settle
from export_v1.interface.anatomy import Anatomy
from export_v1.ir import graph
from export_v1.source import meta_graph
from tests.support import control_flow, node_defs
from tests.support.control_flow import v1

PLACE = "graph model.meta"


def read(make, trainable=None):
    with control_flow.graph() as built:
        make(v1.placeholder(tf.float32, [None, 4], "x"))
        model = meta_graph.to_graph(meta_graph_pb2.MetaGraphDef(graph_def=built.as_graph_def(add_shapes=True)))
    if trainable is not None:
        model = type(model)(model.graph_def, trainable)
    return model


def anatomy(make, trainable=None):
    model = read(make, trainable)
    return Anatomy(model, settle.of(model), {}, [], {})


def chosen(make, **given):
    """Returns the inputs and outputs chosen, by key."""
    found = interface.resolve(read(make), place=PLACE, **given)
    return {key: one.tensor for key, one in found.inputs.items()}, dict(found.outputs)


def unclear(make):
    """Returns the reason, the first line of the message."""
    return message(make).splitlines()[0]


def message(make):
    with pytest.raises(errors.ExportError) as caught:
        interface.resolve(read(make), place=PLACE)
    return str(caught.value)


def weight(shape, name="w"):
    return v1.get_variable(name, shape, use_resource=False)


def dense(x, units, name="w"):
    return tf.add(tf.matmul(x, weight([int(x.shape[1]), units], name)), weight([units], name + "_b"))


def labels(units=3):
    return v1.placeholder(tf.float32, [None, units], "seen")


def test_logits_stay_beside_their_sigmoid():
    """Who restored the model may have read either."""

    def make(x):
        logits = dense(x, 3)
        v1.nn.sigmoid(logits)
        tf.reduce_mean(v1.nn.sigmoid_cross_entropy_with_logits(labels=labels(), logits=logits))

    assert chosen(make) == ({"x": "x:0"}, {"logits": "Add:0", "probabilities": "Sigmoid:0"})


def test_logits_are_said_better_by_a_sigmoid_that_a_person_named():
    def make(x):
        logits = dense(x, 3)
        v1.nn.sigmoid(logits, name="likelihood")
        tf.reduce_mean(v1.nn.sigmoid_cross_entropy_with_logits(labels=labels(), logits=logits))

    assert chosen(make) == ({"x": "x:0"}, {"likelihood": "likelihood:0"})


def test_logits_stay_beside_their_softmax():
    """A Softmax forgets what is the same in all logits."""

    def make(x):
        logits = dense(x, 3)
        tf.nn.softmax(logits)
        tf.reduce_mean(v1.nn.softmax_cross_entropy_with_logits_v2(labels=labels(), logits=logits))

    assert chosen(make) == ({"x": "x:0"}, {"logits": "Add:0", "probabilities": "Softmax:0"})


def test_logits_with_a_name_of_their_own_stay_beside_their_sigmoid():
    def make(x):
        logits = tf.identity(dense(x, 3), name="scores")
        v1.nn.sigmoid(logits, name="likelihood")
        tf.reduce_mean(v1.nn.sigmoid_cross_entropy_with_logits(labels=labels(), logits=logits))

    assert chosen(make)[1].keys() == {"scores", "likelihood"}


def test_probabilities_of_which_others_read_the_size_stand_beside_the_class_that_a_metric_counts():
    """As `tf.contrib.learn` makes a head: the names of the classes are repeated for each row of the probabilities."""

    def make(x):
        logits, seen = dense(x, 3), v1.placeholder(tf.int64, [None], "seen")
        with v1.name_scope("predictions"):
            likelihood = tf.nn.softmax(logits, name="likelihood")
            classes = tf.argmax(logits, 1, name="classes")
        tf.reduce_mean(v1.nn.sparse_softmax_cross_entropy_with_logits(labels=seen, logits=logits))
        tf.reduce_mean(tf.cast(tf.equal(classes, seen), tf.float32))
        tf.as_string(tf.tile([[0, 1, 2]], [tf.shape(likelihood)[0], 1]))

    assert set(chosen(make)[1].values()) >= {"predictions/likelihood:0", "predictions/classes:0"}


def test_a_sigmoid_called_logistic_is_a_result_and_the_class_made_of_it_takes_nothing_away():
    """As `tf.contrib.learn` makes a head of two classes."""

    def make(x):
        logits, seen = dense(x, 1), v1.placeholder(tf.int64, [None, 1], "seen")
        with v1.name_scope("head"):
            target = tf.cast(seen, tf.float32)
            tf.reduce_mean(v1.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits))
            with v1.name_scope("predictions"):
                likelihood = tf.sigmoid(logits, name="logistic")
                both = tf.concat([tf.zeros_like(logits), logits], 1)
                classes = tf.argmax(both, 1, name="classes")
                shares = tf.nn.softmax(both, name="shares")
            tf.reduce_mean(tf.cast(tf.equal(classes, seen[:, 0]), tf.float32))
            tf.reduce_mean(tf.cast(tf.equal(tf.squeeze(likelihood, 1) > 0.5, seen[:, 0] > 0), tf.float32))
        tf.as_string(tf.tile([[0, 1]], [tf.shape(shares)[0], 1]))

    wanted = {"head/predictions/logistic:0", "head/predictions/shares:0", "head/predictions/classes:0"}
    assert set(chosen(make)[1].values()) >= wanted


def test_what_joins_the_ends_of_several_layers_is_offered():
    """As a detector has it: the boxes of each layer leave a scope of their own, and targets are made of the image's size."""

    def make(x):
        boxes = []
        for layer in range(2):
            with v1.variable_scope(f"predictor_{layer}"):
                boxes.append(tf.reshape(dense(x, 8), [-1, 2, 1, 4]))
        joined = tf.squeeze(tf.concat(boxes, 1), 2)
        with v1.name_scope("loss"):
            seen = v1.placeholder(tf.float32, [None, 4, 4], "seen")
            tf.reduce_mean(tf.abs(joined - seen * x[:, :1, tf.newaxis]))

    why = {candidate.tensor: candidate.why for candidate in offers.of(anatomy(make)).outputs}
    assert {"predictor_0/Reshape:0", "predictor_1/Reshape:0"} < why.keys()
    assert why["concat:0"] == "it joins 2 tensors that are offered"
    assert why["Squeeze:0"] == "it is 'concat:0' in the shape that the loss reads"


def test_how_alike_two_things_of_different_data_are_is_offered():
    """As recommenders and StarSpace have it: the loss reads parts of it."""

    def make(x):
        y = v1.placeholder(tf.float32, [None, 3, 4], "y")
        one, other = dense(x, 5, "a"), tf.einsum("bnk,ku->bnu", y, weight([4, 5], "b"))
        attention = tf.matmul(dense(x, 5, "c"), dense(x, 5, "d"), transpose_b=True)
        like = tf.reduce_sum(tf.expand_dims(tf.nn.l2_normalize(one, -1), 1) * tf.nn.l2_normalize(other, -1), -1)
        tf.reduce_mean(tf.maximum(0.0, 0.8 - like[:, 0]) + tf.maximum(0.0, tf.reduce_max(like[:, 1:], -1)), name="loss")
        tf.reduce_mean(attention)

    why = "it holds two things against each other that are made of different data"
    assert [one.tensor for one in offers.of(anatomy(make)).outputs if one.why == why] == ["Sum:0"]


@pytest.mark.parametrize(("count", "trained"), [(1, False), (12, False), (13, False), (6, True), (7, True)])
def test_so_many_answers_are_not_clear(count, trained):
    """Many heads of a model that nothing was trained of, as a detector's, are its answers; beside a loss fewer are."""

    def make(x):
        heads = [tf.identity(dense(x, 3, f"w{at}"), name=f"head{'abcdefghijklm'[at]}") for at in range(count)]
        if trained:
            tf.reduce_mean([tf.reduce_mean((head - labels()) ** 2) for head in heads])

    if count <= (6 if trained else 12):
        assert list(chosen(make)[1].values()) == [f"head{letter}:0" for letter in "abcdefghijklm"[:count]]
    else:
        assert f"{count} tensors may be answers" in unclear(make)


def _two_heads(trunk):
    """A head that a loss compares, and another, of weights of its own, that nothing reads."""

    def make(x):
        shared = tf.nn.relu(dense(x, 4, "trunk"))
        tf.reduce_mean((dense(shared, 3, "one") - labels()) ** 2)
        tf.nn.relu(dense(shared if trunk else x, 2, "two"))

    return make


def test_an_unread_head_of_the_same_trunk_is_an_answer_beside_what_the_loss_compares():
    assert chosen(_two_heads(trunk=True))[1] == {"output": "Add_1:0", "output_1": "Relu_1:0"}


def test_an_unread_head_that_shares_no_weights_may_be_another_models():
    assert "'Relu_1:0' may be an answer too" in unclear(_two_heads(trunk=False))


def test_beside_what_a_loss_holds_against_data_an_unread_head_is_not_clear():
    """A decoder's answer, held against what it was fed, is no end; so what ends the model is not all there is."""

    def make(x):
        shared = tf.nn.relu(dense(x, 4, "trunk"))
        again = dense(shared, 4, "again")
        tf.reduce_mean((again - x) ** 2)
        tf.reduce_mean((dense(again, 3, "one") - labels()) ** 2)
        tf.nn.relu(dense(shared, 2, "two"))

    assert "'Relu_1:0' may be an answer too" in unclear(make)


def test_data_in_another_form_that_nothing_reads_is_no_answer():
    def make(x):
        tf.nn.softmax(dense(x, 3))
        x[:, :2] * 2.0

    assert chosen(make)[1] == {"probabilities": "Softmax:0"}


def test_parts_that_a_loss_takes_in_its_own_scope_are_steps_of_it():
    def make(x):
        scores = dense(x, 5)
        with v1.name_scope("box_loss"):
            tf.reduce_mean((scores[:, :3] - labels()) ** 2) + tf.reduce_mean((scores[:, 2:] - labels()) ** 2)

    assert chosen(make)[1] == {"output": "Add:0"}


def test_random_answers_are_not_clear():
    def make(x):
        tf.add(dense(x, 2), tf.random.normal([2], name="noise"), name="sampled")

    assert "noise/RandomStandardNormal" in unclear(make)


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_dropout_that_drops_nothing_is_not_random(rate):
    def make(x):
        y = dense(x, 2)
        kept = tf.random.uniform(tf.shape(y)) >= tf.constant(rate)
        tf.multiply(y, tf.cast(kept, tf.float32), name="thinned")

    if rate:
        assert "random_uniform/RandomUniform" in unclear(make)
    else:
        assert chosen(make)[1] == {"thinned": "thinned:0"}


def encoder(sequence):
    """A first-token pooler on what `sequence` makes of x."""

    def make(x):
        inner = sequence(x)
        first = tf.squeeze(inner[:, 0:1], [1])
        first = tf.reshape(first, [-1, 3])
        tf.tanh(dense(first, 3, "pool"))

    return make


def test_an_encoder_has_two_answers():
    make = encoder(lambda x: tf.reshape(dense(x, 6), [-1, 2, 3]))
    assert chosen(make)[1] == {"pooled": "Tanh:0", "sequence": "Reshape:0"}


@pytest.mark.parametrize("shape", [[-1, 6], [-1, 2, 3, 1]])
def test_what_is_no_sequence_is_no_answer_of_an_encoder(shape):
    def make(x):
        inner = tf.reshape(dense(x, 6), shape)
        tf.tanh(dense(tf.reshape(inner[:, 0:1] if len(shape) > 2 else inner[:, 0:3], [-1, 3]), 3, "pool"))

    assert list(chosen(make)[1].values()) == ["Tanh:0"]


def test_what_only_decides_is_no_data():
    def make(x):
        step = v1.placeholder(tf.float32, [None], "step")
        y = v1.cond(tf.reduce_max(step) > 5.0, lambda: dense(x, 3, "late"), lambda: dense(x, 3, "early"))
        tf.identity(y, name="scores")

    found = anatomy(make)
    assert [one.name for one in found.roles.data] == ["x:0"]
    assert [one.name for one in found.roles.labels] == ["step:0"]
    assert not found.roles.meets_label("scores")


@pytest.mark.parametrize("penalty", [True, False])
def test_a_penalty_beside_the_loss_of_each_example_makes_no_label_data(penalty):
    def make(x):
        scores = tf.identity(dense(x, 3), name="scores")
        each = v1.nn.softmax_cross_entropy_with_logits_v2(labels=labels(), logits=scores)
        tf.reduce_mean(each + tf.nn.l2_loss(v1.global_variables()[0]) if penalty else each)

    assert chosen(make) == ({"x": "x:0"}, {"scores": "scores:0"})
    assert [one.name for one in anatomy(make).roles.labels] == ["seen:0"]


def test_how_big_something_is_does_not_make_it_data():
    def make(x):
        like = tf.shape(v1.placeholder(tf.float32, [None, 3], "other"))
        tf.identity(dense(x, 3) + tf.broadcast_to(weight([3], "row"), like), name="scores")

    assert [one.name for one in anatomy(make).roles.data] == ["x:0"]


def test_a_scalar_that_meets_weights_is_no_data():
    def make(x):
        scale = v1.placeholder(tf.float32, [], "scale")
        tf.identity(dense(x, 2), name="scores")
        tf.reduce_sum(weight([2], "gain") * scale)

    assert [one.name for one in anatomy(make).roles.data] == ["x:0"]


def test_a_weight_that_a_number_from_outside_scales_is_a_weight():
    def make(x):
        scale = v1.placeholder(tf.float32, [], "scale")
        tf.reduce_mean((tf.matmul(x, weight([4, 3]) * scale) - labels()) ** 2)

    inputs, outputs = chosen(make)
    assert set(inputs.values()) == {"x:0", "scale:0"} and list(outputs.values()) == ["MatMul:0"]


def test_big_constants_are_no_weights_where_there_are_variables():
    def make(x):
        tf.identity(dense(x, 2), name="scores")
        tf.multiply(v1.placeholder(tf.float32, [None, 20], "other"), tf.range(20.0), name="scaled")
        tf.add(v1.placeholder(tf.float32, [None, 20], "more"), tf.constant([0.5 + i for i in range(20)]), name="moved")

    assert [one.name for one in anatomy(make).roles.data] == ["x:0"]


def test_variables_that_are_not_trained_make_no_data():
    def make(x):
        tf.identity(tf.matmul(x, weight([4, 2], "kept")), name="scores")
        weight([2], "trained")

    assert [one.name for one in anatomy(make, {"kept": True}).roles.data] == ["x:0"]
    assert [one.name for one in anatomy(make, {"kept": False, "trained": True}).roles.data] == []


@pytest.mark.parametrize(("size", "weights"), [(16, False), (17, True)])
def test_big_constants_of_a_frozen_graph_are_weights(size, weights):
    def make(x):
        tf.identity(v1.placeholder(tf.float32, [None, size], "rows") * tf.constant([0.5 + i for i in range(size)]), "y")

    assert bool(anatomy(make).roles.data) == weights


def test_what_a_variable_keeps_or_a_summary_shows_is_no_answer():
    def make(x):
        y = dense(x, 3)
        tf.identity(y, name="scores")
        kept = v1.get_variable("kept", [3], trainable=False, use_resource=False)
        kept.assign(tf.reduce_mean(y, 0, name="batch_mean"))
        v1.summary.histogram("shown", tf.reduce_mean(y, 1))

    assert chosen(make)[1] == {"scores": "scores:0"}


def test_two_models_are_not_clear():
    def make(x):
        tf.identity(dense(x, 2, "one"), name="first")
        tf.identity(dense(v1.placeholder(tf.float32, [None, 4], "z"), 2, "two"), name="second")

    assert "more than one model" in unclear(make)


def test_the_model_on_placeholders_is_preferred_to_its_like_on_a_queue():
    def make(x):
        queue = v1.FIFOQueue(8, [tf.float32], [[2, 4]]).dequeue()
        with v1.variable_scope("net", reuse=v1.AUTO_REUSE):
            tf.identity(dense(queue, 2), name="trained_on")
            tf.identity(dense(x, 2), name="served")

    assert chosen(make) == ({"x": "x:0"}, {"served": "net/served:0"})


def test_nothing_that_ends_a_model():
    assert "no tensor" in unclear(lambda x: tf.reduce_mean(x, name="mean"))


def test_inputs_without_a_name_and_with_one():
    def make(x):
        one, two = v1.placeholder(tf.float32, [None, 4]), v1.placeholder(tf.float32, [None, 4], "two")
        tf.identity(dense(one + two + x, 2), name="scores")

    # One alone that nobody named would be "x", which is taken.
    assert chosen(make)[0] == {"x": "x:0", "x_1": "Placeholder:0", "two": "two:0"}


def test_texts_and_numbers_that_nothing_reads_are_answers_and_sizes_are_not():
    def make(x):
        y = dense(x, 3)
        tf.strings.as_string(y)
        tf.shape(y, name="sizes")

    assert chosen(make)[1] == {"output": "AsString:0"}


def test_candidates_come_with_types_shapes_and_values():
    def make(x):
        mode = v1.placeholder(tf.bool, [], "unsure")
        tf.identity(dense(x, 3), name="scores")
        seen = labels()
        v1.where(mode, seen, seen, name="meets")
        tf.multiply(weight([4, 2], "table"), 2.0, name="doubled")

    found = offers.of(anatomy(make))
    assert [(one.key, one.tensor) for one in found.inputs[:1]] == [("x", "x:0")]
    assert found.inputs[0].dtype == tf.float32.as_datatype_enum and found.inputs[0].shape == [None, 4]
    assert (
        "weights" in found.inputs[0].why
        and "not combined with weights" in {one.key: one.why for one in found.inputs}["seen"]
    )
    assert found.outputs[0].tensor == "scores:0"
    assert "variables alone" in {one.key: one.why for one in found.outputs}["doubled"]
    assert [(one.tensor, one.value) for one in found.freeze] == [("unsure:0", None)]


def test_an_error_shows_fifteen_of_a_sort_and_a_listing_all():
    def make(x):
        for at in range(17):
            tf.identity(dense(x, 2, f"w{at}"), name=f"head{'abcdefghijklmnopq'[at]}")

    with pytest.raises(errors.ExportError) as caught:
        interface.resolve(read(make), place=PLACE)
    lines = str(caught.value).splitlines()
    assert "  Outputs (17):" in lines and sum("--output=" in line for line in lines[1:-1]) == 15
    assert any("2 more" in line for line in lines)
    text = interface.listing(read(make), [])
    assert text.count("--output=") == 17 and "more" not in text


def test_ends_say_their_reason():
    reasons = {ends.End(graph.Tensor("y"), kind).why for kind in ("compared", "in the loss", "unread")}
    assert len(reasons) == 3


def test_compared_with_labels_outweighs_penalties():
    def make(x):
        hidden = tf.nn.relu(dense(x, 4, "hidden"))
        scores = dense(hidden, 3, "out")
        tf.reduce_mean(
            v1.nn.softmax_cross_entropy_with_logits_v2(labels=labels(), logits=scores)
        ) + 0.1 * tf.reduce_sum(tf.abs(hidden))

    kinds = {end.tensor.name: end.kind for end in anatomy(make).ends}
    assert set(kinds.values()) == {"compared"} and len(kinds) == 1


@pytest.mark.parametrize(
    ("name", "op", "given"),
    [
        ("Placeholder_3", "Placeholder", False),
        ("images", "Placeholder", True),
        ("a/MatMul_1", "MatMul", False),
        ("a/add", "AddV2", False),
        ("a/scores", "AddV2", True),
        ("a/Mean", "Mean", False),
        ("a/xw_plus_b", "BiasAdd", False),
        ("a/SparseSoftmax", "SparseSoftmaxCrossEntropyWithLogits", False),
    ],
)
def test_names_that_a_person_gave(name, op, given):
    assert naming.is_given(node_defs.node(name, op)) == given


@pytest.mark.parametrize(
    ("name", "index", "key"),
    [
        ("a/scores", 0, "scores"),
        ("a/scores", 1, "scores_1"),
        ("a/scores_1", 1, "scores_1"),
        ("head/BiasAdd", 0, "head"),
        ("head/dense_2/BiasAdd", 0, "head"),
        ("alpha/head/BiasAdd", 0, "head"),
        ("dense_2/BiasAdd", 0, "role"),
        ("a/b-c.d", 0, "b_c_d"),
    ],
)
def test_keys(name, index, key):
    op = "BiasAdd" if name.endswith("BiasAdd") else "Split"
    assert naming.key(node_defs.node(name, op), index, "role") == key


def test_what_names_tell():
    assert naming.scopes("a/b/c") == ["a", "a/b"] and naming.leaf("a/b/c") == "c"
    assert naming.is_step("x/moments/mean") and not naming.is_step("x/mean")
    assert naming.about_loss("total_loss") and not naming.about_loss("scores")
    assert naming.is_given_scope("head") and not naming.is_given_scope("a/dropout_1")
    answers = ["predictions", "scores", "prediction_error"]
    assert [naming.is_answer(node_defs.node(name, "Add")) for name in answers] == [True, False, False]


def test_trees_are_weights():
    def make(x):
        handle = tf.raw_ops.BoostedTreesEnsembleResourceHandleOp(name="trees")
        buckets = tf.unstack(tf.cast(x, tf.int32), axis=1)
        logits = tf.raw_ops.BoostedTreesPredict(
            tree_ensemble_handle=handle, bucketized_features=buckets, logits_dimension=1
        )
        tf.sigmoid(logits, name="probabilities")

    assert chosen(make) == ({"x": "x:0"}, {"probabilities": "probabilities:0"})


# What comes after the last layer, and what else the answer may be.


def test_a_margin_that_labels_set_is_no_mask():
    """The loss of an embedding changes the score of the right class before it compares: the scores are no answer."""

    def make(x):
        scores = dense(x, 3)
        wanted = labels()
        v1.losses.softmax_cross_entropy(wanted, scores - 0.5 * wanted)

    assert "labels change" in unclear(make)


def test_a_label_that_another_answer_is_made_of_sets_no_margin():
    """What comes second is told the first label, as in teacher forcing, and is compared with a label of its own."""

    def make(x):
        first, second = labels(), v1.placeholder(tf.float32, [None, 3], "second")
        hidden = dense(x, 3)
        v1.losses.softmax_cross_entropy(first, hidden)
        v1.losses.softmax_cross_entropy(second, dense(tf.concat([hidden, first], 1), 3, "v"))

    assert anatomy(make).roles.margins() == []


def test_a_label_that_meets_weights_in_its_loss_alone_is_no_data():
    """A bandit's policy: weights without data."""

    def make(_):
        v1.nn.softmax_cross_entropy_with_logits_v2(labels=labels(), logits=tf.reshape(weight([3]), [1, 3]))

    assert "seen:0   float32 [None,3]; it is not combined with weights" in message(make)


def test_a_summary_is_no_output():
    assert "histogram" not in message(lambda x: v1.summary.histogram("histogram", dense(x, 3)))


def test_a_mask_on_what_a_softmax_reads_is_data():
    def make(x):
        mask = v1.placeholder(tf.float32, [None, 3], "mask")
        policy = tf.nn.softmax(dense(x, 3) * mask)
        tf.reduce_mean(labels() * tf.math.log(policy))

    assert chosen(make) == ({"x": "x:0", "mask": "mask:0"}, {"probabilities": "Softmax:0"})


def test_a_weight_of_the_loss_is_no_mask():
    def make(x):
        weights = v1.placeholder(tf.float32, [None], "mask")
        tf.reduce_mean(weights * v1.nn.softmax_cross_entropy_with_logits_v2(labels=labels(), logits=dense(x, 3)))

    assert chosen(make)[0] == {"x": "x:0"}


def pair(make_answer):
    def make(x):
        other = v1.placeholder(tf.float32, [None, 4], "other")
        shared = weight([4, 3])
        answer = make_answer(tf.matmul(x, shared), tf.matmul(other, shared))
        tf.reduce_mean((v1.placeholder(tf.float32, [None], "seen") - answer) ** 2)

    return make


def test_an_unnamed_answer_about_a_pair_may_be_about_one_of_them():
    reason = unclear(pair(lambda one, other: tf.reduce_sum(one * other, 1)))
    assert "'other:0', 'x:0' are combined with the same weights" in reason


def test_a_pair_whose_answer_has_a_name_is_a_pair():
    found = chosen(pair(lambda one, other: tf.reduce_sum(one * other, 1, name="likeness")))
    assert found == ({"x": "x:0", "other": "other:0"}, {"likeness": "likeness:0"})


def optimized(loss, *variables):
    v1.train.GradientDescentOptimizer(0.1).minimize(loss, var_list=list(variables))


def test_what_one_optimizer_trains_for_another_to_read_may_be_the_answer():
    def make(x, together=False):
        first, second = weight([4, 3], "first"), weight([3, 2], "second")
        answer = tf.matmul(tf.tanh(tf.matmul(x, first)), second)
        if together:
            optimized(tf.reduce_mean(answer), first, second)
        else:
            optimized(tf.reduce_mean(answer), second)
            optimized(-tf.reduce_mean(answer), first)

    assert "'MatMul_1:0' is computed from 'Tanh:0', which other variables are trained to give" in unclear(make)
    found = {candidate.tensor: candidate.why for candidate in offers.of(anatomy(make)).outputs}
    assert "one optimizer trains it" in found["Tanh:0"]
    assert chosen(lambda x: make(x, together=True))[1] == {"output": "MatMul_1:0"}


def test_two_losses_over_one_set_of_variables_are_one_training():
    def make(x):
        first, second = weight([4, 3], "first"), weight([3, 2], "second")
        answer = tf.matmul(tf.tanh(tf.matmul(x, first)), second)
        optimized(tf.reduce_mean(answer), first, second)
        optimized(tf.reduce_mean(answer**2), second)

    assert chosen(make)[1] == {"output": "MatMul_1:0"}


@pytest.mark.parametrize(
    ("default", "shape", "takes"),
    [
        (lambda: tf.zeros([1, 4]), [None, 4], True),
        (lambda: tf.zeros([4]), [4], False),
        (lambda: tf.constant(0.5), [], False),
        (lambda: tf.constant([True]), [None], False),
        (lambda: v1.placeholder(tf.float32, [2, 4], "fed") / 255.0, [2, 4], True),
        (lambda: tf.matmul(v1.placeholder(tf.float32, [2, 4], "fed"), tf.zeros([4, 4])), [None, 4], False),
    ],
)
def test_a_placeholder_with_a_default_takes_data_where_that_stands_for_data(default, shape, takes):
    model = read(lambda x: v1.placeholder_with_default(default(), shape, "given"))
    assert settle.of(model).takes_data("given:0") is takes


def test_a_default_stays_where_inputs_are_given():
    def make(x):
        given = v1.placeholder_with_default(tf.ones([1, 4]), [None, 4], "weights_of_features")
        tf.identity(tf.matmul(x * given, weight([4, 2])), name="y")

    assert chosen(make)[0] == {"x": "x:0", "weights_of_features": "weights_of_features:0"}
    found = interface.resolve(read(make), place=PLACE, inputs={"x": "x:0"}, outputs={"y": "y:0"})
    assert list(found.inputs) == ["x"] and "weights_of_features:0" in found.frozen


@pytest.mark.parametrize(
    ("finish", "name"),
    [
        (lambda y, seen: (2.0 * tf.atan(y) - seen) ** 2, "mul:0"),
        (lambda y, seen: (tf.sqrt(y) - seen) ** 2, "Add:0"),
        (lambda y, seen: seen * tf.math.log(2.0 * y), "Add:0"),
        (lambda y, seen: (tf.reshape(2.0 * y, [-1]) - tf.reshape(seen, [-1])) ** 2, "mul:0"),
    ],
)
def test_arithmetic_between_the_last_layer_and_a_difference_from_labels_is_the_models(finish, name):
    assert list(chosen(lambda x: tf.reduce_mean(finish(dense(x, 3), labels())))[1].values()) == [name]


def test_a_sum_with_the_input_is_the_answer_of_a_cross_entropy_not_what_it_adds():
    """A network that corrects what it is given: every op of the loss reads the sum."""

    def make(x):
        scores = x + dense(x, 4)
        v1.nn.sigmoid(scores)
        tf.reduce_mean(v1.nn.sigmoid_cross_entropy_with_logits(labels=labels(4), logits=scores))

    assert set(chosen(make)[1].values()) == {"add_1:0", "Sigmoid:0"}


def test_a_named_activation_scaled_by_a_constant_is_the_answer_that_a_loss_weighs():
    def make(x):
        position = tf.nn.relu6(dense(x, 1), name="limit") / 6.0
        tf.reduce_mean((labels(1) - 0.01) * position)

    assert list(chosen(make)[1].values()) == ["truediv:0"]


def test_one_answer_that_a_loss_scales_in_several_ways_is_the_answer():
    def make(x):
        clean = tf.clip_by_value(dense(x, 3), 0.0, 1.0)
        tf.reduce_sum(2.0 * clean - labels() + tf.exp(labels() - 4.0 * clean))

    assert list(chosen(make)[1].values()) == ["clip_by_value:0"]


def test_what_a_named_class_was_chosen_by_is_an_answer_where_it_has_a_name():
    """A loss with weights of the classes reads something else."""

    def make(x):
        logits = dense(x, 3)
        tf.cast(tf.argmax(tf.nn.softmax(logits, name="Chances"), 1), tf.float32, name="Picked") * labels()[:, 0]
        tf.reduce_mean(v1.nn.softmax_cross_entropy_with_logits(labels=labels(), logits=logits * [1.0, 2.0, 3.0]))

    assert {"Chances:0", "Picked:0"} <= set(chosen(make)[1].values())


@pytest.mark.parametrize("loss", ["log_softmax", "named", "beside_a_penalty"])
def test_scores_stand_beside_the_log_of_their_softmax(loss):
    """A cross entropy that is written out reads the log; who predicts reads the scores, as beside a fused one."""

    def make(x):
        scores = dense(x, 3)
        logs = tf.nn.log_softmax(scores, name="Chances" if loss == "named" else None)
        entropy = -tf.reduce_sum(labels() * logs, -1)
        tf.reduce_mean(entropy) if loss != "beside_a_penalty" else tf.reduce_mean(entropy) + tf.reduce_mean(scores**2)

    found = chosen(make)[1].values()
    assert set(found) == ({"Chances:0"} if loss == "named" else {"LogSoftmax:0", "Add:0"})


def test_what_a_loss_holds_against_data_is_offered_beside_what_it_holds_against_labels():
    """A decoder that is fed the frames before, and predicts them, beside what is made of its answer."""

    def make(x):
        hidden = dense(x, 4)
        frames = tf.add(hidden, tf.constant([1.0, 2.0, 3.0, 4.0]), name="frames")
        last = dense(tf.nn.relu(frames), 3, "v")
        tf.reduce_mean(abs(frames - x)) + tf.reduce_mean(abs(last - labels()))

    offered = {one.tensor: one.why for one in interface.candidates(read(make)).outputs}
    assert offered["frames:0"] == "the loss compares it with 'x:0', which is data, too"


def test_an_end_that_the_loss_reads_in_another_shape_is_offered_in_both():
    def make(x):
        board = tf.nn.selu(tf.reshape(dense(x, 4), [-1, 2, 2, 1]), name="out")
        flat = tf.reshape(board, [-1, 4], name="Flatten/Reshape")
        seen = v1.placeholder(tf.int32, [None], "seen")
        v1.nn.sparse_softmax_cross_entropy_with_logits(labels=seen, logits=flat)

    offered = {one.tensor: one.why for one in interface.candidates(read(make)).outputs}
    assert "out:0" in offered
    assert offered["Flatten/Reshape:0"] == "it is 'out:0' in the shape that the loss reads"


def test_a_class_that_noise_on_the_scores_decides_is_offered_whatever_reads_it():
    """A policy that acts at random, and asks how likely what it did was."""

    def make(x):
        scores = dense(x, 3)
        noisy = scores - tf.math.log(-tf.math.log(tf.random.uniform(tf.shape(scores))))
        action = tf.argmax(noisy, -1, name="action")
        likely = v1.nn.softmax_cross_entropy_with_logits(labels=tf.one_hot(action, 3), logits=scores)
        tf.identity(likely, name="likely")
        tf.reduce_mean((scores - labels()) ** 2)

    offered = {one.tensor: one.why for one in interface.candidates(read(make)).outputs}
    assert offered["action:0"] == "it is drawn at random by what the model has made"


def test_classes_out_of_a_condition_are_offered_whatever_reads_them():
    """A decoder with a side for sequences of one step, and an accuracy that counts in a loop."""

    def make(x):
        scores = dense(x, 3)
        lengths = v1.placeholder(tf.int32, [None], "lengths")
        tags = tf.cond(
            tf.equal(tf.shape(x)[0], 1),
            lambda: tf.argmax(scores, 1),
            lambda: tf.reverse(tf.argmax(scores[::-1], 1), [0]),
        )
        right = tf.equal(tags, tf.argmax(labels(), 1))
        tf.while_loop(lambda at, _: at < tf.shape(lengths)[0], lambda at, hit: (at + 1, right[at] | hit), (0, False))
        v1.nn.softmax_cross_entropy_with_logits(labels=labels(), logits=scores)

    offered = {one.tensor: one.why for one in interface.candidates(read(make)).outputs}
    assert "cond/Merge:0" in offered


def test_what_a_decoder_is_given_can_be_cut_where_noise_meets_the_mean():
    def make(x):
        mean, deviation = dense(x, 2), tf.exp(dense(x, 2, "v"))
        drawn = tf.add(mean, deviation * tf.random.normal([2]), name="z")
        tf.reduce_mean((dense(drawn, 4, "d") - x) ** 2)

    found = offers.of(anatomy(make))
    assert "z:0" in [candidate.tensor for candidate in found.inputs]
    assert "z:0" in [candidate.tensor for candidate in found.outputs]


def test_a_dropout_is_no_noise_that_a_mean_meets():
    def make(x):
        hidden = dense(x, 4)
        tf.reduce_mean((tf.nn.dropout(hidden, rate=0.5) + hidden - labels(4)) ** 2)

    found = offers.of(anatomy(make))
    assert not any("random" in candidate.why for candidate in [*found.inputs, *found.outputs])


def test_of_what_weights_alone_make_the_last_is_what_nothing_reads():
    def make(x):
        tf.reduce_mean((dense(x, 3) - labels()) ** 2)
        tf.sqrt(tf.exp(weight([3, 3], "alone")))

    found = {candidate.tensor: candidate.why for candidate in offers.of(anatomy(make)).outputs}
    assert "nothing reads it" in found["Sqrt:0"] and "nothing reads it" not in found["Exp:0"]


def parts(sizes):
    def make(x):
        both = tf.nn.max_pool1d(tf.nn.relu(dense(x, sum(sizes)))[:, None], 1, 1, "VALID")
        at, losses = 0, []
        for size in sizes:
            losses.append(tf.reduce_mean((tf.slice(both, [0, 0, at], [-1, -1, size])[:, 0] - labels(size)) ** 2))
            at += size
        tf.add_n(losses)

    return make


def test_parts_that_a_loss_compares_one_by_one_are_answers_beside_the_whole():
    assert {"Slice:0", "Slice_1:0"} <= set(chosen(parts([2, 3]))[1].values())


def test_one_part_or_many_are_none():
    assert not any("Slice" in name for name in chosen(parts([2]))[1].values())
    assert not any("Slice" in name for name in chosen(parts([1, 1, 1, 1, 1]))[1].values())


def test_a_place_is_an_answer_where_nothing_was_trained():
    """A self-organizing map answers with the place of the nearest cell."""

    def make(x):
        nearest = tf.argmin(tf.reduce_sum((weight([5, 4]) - x[0]) ** 2, 1))
        nearest % 3

    assert "mod:0" in offered(make)


def offered(make):
    model = anatomy(make)
    return [candidate.tensor for candidate in offers.of(model).outputs]


def test_parameters_of_a_distribution_are_offered():
    def make(x):
        mean, deviation = tf.tanh(dense(x, 2)), tf.exp(dense(x, 2, "v"))
        with tf.name_scope("Normal"):
            loc, scale = tf.identity(mean, "loc"), tf.identity(deviation, "scale")
        tf.add(loc, scale * tf.random.normal([2]), name="drawn")

    assert {"Tanh:0", "Exp:0"} <= set(offered(make))


def test_what_signs_tell_is_shown_among_very_many_ends():
    def make(x):
        mean = tf.tanh(dense(x, 2))
        with tf.name_scope("Normal"):
            loc = tf.identity(mean, "loc")
        for at in range(20):
            tf.nn.relu(dense(loc, 3, f"v{at}"))

    with pytest.raises(errors.ExportError, match="=Tanh:0"):
        interface.resolve(read(make), place=PLACE)


@pytest.mark.parametrize(("name", "doubt"), [("TargetNetwork/state", False), ("target_q/s", False), ("target", True)])
def test_the_input_of_a_target_network_has_no_name_of_a_label(name, doubt):
    def make(x):
        other = v1.placeholder(tf.float32, [None, 4], name)
        tf.reduce_mean((dense(x, 3) - dense(other, 3, "v") - labels()) ** 2)

    assert bool(anatomy(make).doubtful) is doubt


def test_integers_that_weights_decide_are_answers_and_counters_are_not():
    def make(x):
        scores = tf.sigmoid(dense(x, 3))
        tf.where(scores > 0.5)
        tf.range(tf.shape(x)[0])
        tf.reduce_mean((scores - labels()) ** 2)

    assert list(chosen(make)[1].values()) == ["Sigmoid:0", "Where:0"]


def test_a_summary_of_zeros_does_not_hide_the_named_answer_before_it():
    def make(x):
        scores = dense(x, 3)
        classes = tf.argmax(scores, 1, name="prediction")
        v1.summary.image("seen", tf.cast(tf.reshape(classes, [-1, 1, 1, 1]), tf.uint8))
        v1.losses.softmax_cross_entropy(labels(), scores)

    assert chosen(make)[1] == {"output": "Add:0", "prediction": "prediction:0"}


def test_constants_are_offered_only_where_no_data_comes_in():
    def make(x, fed=False):
        hidden = tf.matmul(tf.constant([[1.0, 2.0, 3.0, 4.0]] * 5, name="data"), weight([4, 3]))
        out = dense(x, 3, "v") if fed else hidden
        tf.reduce_mean((out - tf.ones([5, 3])) ** 2)
        optimized(tf.reduce_mean(hidden), *v1.trainable_variables())

    assert "'data:0'" in unclear(make)
    assert anatomy(lambda x: make(x, fed=True)).constants == []


def test_without_data_the_weights_are_offered():
    def make(x):
        tf.matmul(weight([2, 3], "u"), weight([3, 2], "v"), name="product")

    found = interface.candidates(read(make))
    assert {"product:0", "u:0", "v:0"} <= {one.tensor for one in found.outputs}
    assert "no data goes in" in unclear(make)


def recurrent(x, start, steps=3):
    """Returns what a loop makes of its start and of data."""
    shared = weight([3, 3], "shared")
    fed = tf.matmul(x, weight([4, 3], "fed"))
    return v1.while_loop(lambda i, h: i < steps, lambda i, h: (i + 1, tf.tanh(tf.matmul(h, shared) + fed)), [0, start])[
        1
    ]


def test_a_state_that_comes_in_goes_out_again():
    def make(x):
        state = v1.placeholder(tf.float32, [None, 2, 3], "h")
        tf.matmul(recurrent(x, state[:, 1]), weight([3, 2], "v"), name="out")

    inputs, outputs = chosen(make)
    assert set(inputs) == {"x", "h"} and outputs == {"out": "out:0", "next_h": "while/Exit_1:0"}


def test_a_state_that_is_only_as_long_as_the_batch_is_none():
    def make(x):
        rows = v1.placeholder(tf.int32, [], "batch_size")
        tf.matmul(recurrent(x, tf.fill([rows, 3], 0.0)), weight([3, 2], "v"), name="out")

    assert chosen(make)[1] == {"out": "out:0"}


def test_a_loop_over_its_own_start_gives_no_state():
    def make(x):
        shared = weight([4, 4], "shared")
        _, h = v1.while_loop(lambda i, h: i < 3, lambda i, h: (i + 1, tf.matmul(h, shared)), [0, x])
        tf.matmul(h, weight([4, 2], "v"), name="out")

    assert chosen(make)[1] == {"out": "out:0"}


def test_a_named_number_that_counts_no_rows_of_an_answer_is_none():
    def make(x):
        scores = dense(x, 3)
        tf.cast(tf.reduce_sum(scores), tf.int32, name="total")
        tf.size(tf.where(tf.identity(scores, name="scores") > 0), name="positives")
        tf.reduce_mean((scores - labels()) ** 2)

    assert "total:0" not in chosen(make)[1].values() and "positives:0" in chosen(make)[1].values()


def test_one_integer_over_the_batch_beside_a_loss_is_no_output():
    def make(x):
        label = v1.placeholder(tf.float32, [None, 3], "label")
        scores = tf.matmul(x, v1.get_variable("w", [4, 3]), name="scores")
        tf.argmax(tf.reduce_sum(scores, 0), name="most_frequent")
        tf.reduce_mean(tf.square(scores - label), name="loss")

    assert "most_frequent:0" not in chosen(make)[1].values()
    assert "scores:0" in chosen(make)[1].values()


@pytest.mark.parametrize("took", ["row", "choice", "squeezed"])
def test_the_class_of_the_only_row_is_an_output(took):
    """An agent that acts in one place reads a single number."""

    def make(x):
        scores = dense(x, 3)
        if took == "row":
            tf.argmax(tf.argmax(scores, 1)[:1], 0)
            v1.argmax(scores[0], name="action")
        elif took == "choice":
            tf.cast(tf.argmax(scores, 1)[0], tf.int32, name="action")
        else:
            tf.squeeze(tf.argmax(scores, 1), name="action")
        tf.reduce_mean((scores - labels()) ** 2)

    assert "action:0" in chosen(make)[1].values()


def test_a_choice_that_several_rows_were_summed_up_for_is_offered():
    def make(x):
        scores = dense(x, 3)
        tf.argmax(tf.reduce_mean(scores, 0))
        tf.reduce_mean((scores - labels()) ** 2)

    offered = {one.tensor: one.why for one in interface.candidates(read(make)).outputs}
    assert "chosen by what the model has made" in offered["ArgMax:0"]
    assert "ArgMax:0" not in chosen(make)[1].values()


def adversaries(make_noise):
    """A generator and its critic, each with an optimizer of its own."""

    def make(x):
        made = tf.tanh(tf.matmul(make_noise(x), weight([5, 4], "generator")), name="made")
        critic = weight([4, 1], "critic")
        on_made, on_real = tf.matmul(made, critic), tf.matmul(x, critic)
        v1.train.GradientDescentOptimizer(1.0).minimize(-tf.reduce_mean(on_made), var_list=[variable("generator")])
        loss = tf.reduce_mean(on_made) - tf.reduce_mean(on_real)
        v1.train.GradientDescentOptimizer(1.0).minimize(loss, var_list=[variable("critic")])

    return make


def variable(name):
    return next(one for one in v1.global_variables() if one.op.name == name)


def test_noise_that_a_generator_draws_is_data():
    make = adversaries(lambda x: tf.reshape(tf.random.normal([2, 10]), [4, 5]))
    assert "more than one model" in unclear(make)
    found = interface.candidates(read(make))
    (noise,) = [one for one in found.inputs if one.tensor == "random_normal:0"]
    assert noise.key == "noise" and "without this flag they are drawn" in noise.why
    assert "made:0" in [one.tensor for one in found.outputs]


def test_numbers_that_one_training_alone_draws_stay_in_the_graph():
    """Such as those that an autoencoder makes samples of beside its answer."""

    def make(x):
        decoder = weight([4, 3], "decoder")
        tf.matmul(tf.random.normal([2, 4]), decoder)
        loss = tf.reduce_mean((tf.matmul(x, decoder, name="out") - labels()) ** 2)
        v1.train.GradientDescentOptimizer(1.0).minimize(loss)

    assert chosen(make) == ({"x": "x:0"}, {"out": "out:0"})


def offers_of(make):
    """Returns the tensors that are offered as inputs and as outputs."""
    found = offers.of(anatomy(make))
    return [one.tensor for one in found.inputs], [one.tensor for one in found.outputs]


def task():
    """Sequences and what is to be made of them, drawn in the graph as those of a copy task are."""
    bits = tf.cast(tf.random.uniform([5, 2, 3], maxval=2, dtype=tf.int32, name="bits"), tf.float32)
    data = tf.reshape(tf.concat([bits, tf.zeros([5, 2, 1])], 2), [5, 2, 4], name="observations")
    return data, tf.reverse(bits, [0], name="target")


def test_data_that_the_graph_draws_for_itself_is_offered_and_not_chosen():
    """Read row by row in a loop, beside a state: the whole of it is the data, and its labels are told from it."""

    def make(x):
        data, target = task()
        kernel, out = weight([7, 3]), weight([3, 3], "out")
        rows = tf.TensorArray(tf.float32, 5).unstack(data)

        def step(at, state, made):
            state = tf.tanh(tf.matmul(tf.concat([rows.read(at), state], 1), kernel))
            return at + 1, state, made.write(at, state)

        start = (0, tf.zeros([2, 3]), tf.TensorArray(tf.float32, 5))
        states = tf.while_loop(lambda at, *_: at < 5, step, start)[2].stack()
        logits = tf.reshape(tf.matmul(tf.reshape(states, [-1, 3]), out), [5, 2, 3], name="logits")
        mask = tf.reduce_max(target, 2, keepdims=True)
        tf.reduce_mean(v1.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits) * mask)

    inputs, outputs = offers_of(make)
    assert inputs == ["observations:0", "target:0"] and outputs[0] == "logits:0"
    assert "the graph draws its data for itself, 'observations:0'" in unclear(make)
    assert chosen(make, outputs={"y": "logits:0"}) == ({}, {"y": "logits:0"})
    cut = chosen(make, inputs={"x": "observations:0"}, outputs={"y": "logits:0"})
    assert cut == ({"x": "observations:0"}, {"y": "logits:0"})


def test_what_is_drawn_beside_data_is_no_data():
    """A graph with a placeholder for its data has that one, whatever it draws."""

    def make(x):
        noisy = x + tf.random.normal(tf.shape(x), name="noise")
        tf.reduce_mean(v1.nn.softmax_cross_entropy_with_logits_v2(labels=labels(), logits=dense(noisy, 3)))

    inputs, _ = offers_of(make)
    assert inputs[0] == "x:0" and not [name for name in inputs if name.startswith("noise")]


def test_the_cluster_that_training_counts_a_row_in_is_offered():
    """As k-means of contrib has it: nothing but the step reads which cluster is the nearest."""

    def make(x):
        centers, counts = weight([6, 4], "centers"), weight([6], "counts")
        nearest, distances = tf.raw_ops.NearestNeighbors(points=x, centers=centers, k=1)
        cluster = tf.squeeze(nearest, 1)
        ones = tf.ones_like(tf.cast(cluster, tf.float32))
        v1.assign_add(counts, tf.math.unsorted_segment_sum(ones, cluster, 6))
        tf.reduce_sum(distances, name="score")

    _, outputs = offers_of(make)
    assert {"NearestNeighbors:0", "Squeeze:0"} <= set(outputs)


@pytest.mark.parametrize("is_trained", [False, True])
def test_what_a_function_returns_and_nothing_reads_is_offered(is_trained):
    """The gradient of a function reads the shapes of such results, and what the function keeps for it."""

    def make(x):
        kernel, first, second = (
            v1.get_variable(name, shape, use_resource=True)
            for name, shape in {"kernel": [4, 8], "first": [8, 3], "second": [8, 2]}.items()
        )

        @tf.function(autograph=False)
        def heads(x):
            hidden = tf.nn.relu(tf.matmul(x, kernel))
            return tf.matmul(hidden, first), tf.matmul(hidden, second), tf.argmax(tf.matmul(hidden, second), 1)

        loss = tf.reduce_mean(v1.nn.softmax_cross_entropy_with_logits_v2(labels=labels(), logits=heads(x)[0]))
        if is_trained:
            v1.train.GradientDescentOptimizer(0.1).minimize(loss)

    _, outputs = offers_of(make)
    calls = [name for name in outputs if "PartitionedCall" in name]
    assert [name.rpartition(":")[2] for name in calls] == ["0", "1", "2"]


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_embeddings_that_a_loss_puts_into_triplets_are_the_output(margin):
    """Labels are multiplied with the distances' differences, as the cross entropy of a sigmoid multiplies them with scores."""

    def make(x):
        classes = v1.placeholder(tf.int32, [None], "seen")
        embeddings = tf.add(tf.matmul(x, weight([4, 3])), weight([3], "b"), name="embedded")
        distances = 1.0 - tf.matmul(embeddings, tf.transpose(embeddings))
        same = tf.cast(tf.equal(classes[:, None], classes[None, :]), tf.float32)
        nearer = tf.expand_dims(distances, 2) - tf.transpose(tf.expand_dims(distances, 2), [0, 2, 1])
        nearer = nearer + margin if margin else nearer
        tf.reduce_mean(tf.maximum(nearer * (tf.expand_dims(same, 2) - tf.expand_dims(same, 1)), 0.0))

    assert chosen(make) == ({"x": "x:0"}, {"embedded": "embedded:0"})
