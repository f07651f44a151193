"""sources: what the graph calls the data of a queue or an iterator."""

import pytest
import tensorflow as tf

from export_v1.interface import sources
from export_v1.ir.graph import Index, Tensor
from tests.support import control_flow
from tests.support.control_flow import v1


def _index(make) -> Index:
    with control_flow.graph() as built:
        make()
        return Index(built.as_graph_def(add_shapes=True))


def _read(data) -> list[tf.Tensor]:
    return list(v1.data.make_initializable_iterator(data).get_next())


def test_a_placeholder_that_a_dataset_is_made_of_names_its_component():
    def make():
        parts = v1.placeholder(tf.float32, [None, 3], "features"), v1.placeholder(tf.int64, [None], "ages")
        _read(tf.data.Dataset.from_tensor_slices(parts).shuffle(10).repeat().batch(4).prefetch(1))

    index = _index(make)
    assert [sources.name(index, Tensor("IteratorGetNext", at)) for at in (0, 1)] == ["features", "ages"]


def test_a_parsing_spec_in_a_mapped_function_names_what_it_parsed():
    def parsed(record):
        spec = {"image": tf.io.FixedLenFeature([4], tf.float32), "age": tf.io.FixedLenFeature([], tf.int64)}
        found = tf.io.parse_single_example(record, spec)
        return found["image"], tf.cast(found["age"], tf.int32)

    def make():
        data = tf.data.Dataset.from_tensor_slices(v1.placeholder(tf.string, [None], "records"))
        _read(data.map(parsed).batch(2))

    index = _index(make)
    assert [sources.name(index, Tensor("IteratorGetNext", at)) for at in (0, 1)] == ["image", "age"]


def test_a_queue_is_called_as_what_was_put_into_it():
    def make():
        record = v1.placeholder(tf.string, [], "record")
        parsed = v1.parse_single_example(record, {"image": tf.io.FixedLenFeature([4], tf.float32)})
        queue = tf.queue.FIFOQueue(8, [tf.int64, tf.float32], [[], [4]])
        queue.enqueue([v1.placeholder(tf.int64, [], "label"), parsed["image"]])
        queue.dequeue_many(2)

    index = _index(make)
    [dequeue] = [node.name for node in index.graph_def.node if node.op == "QueueDequeueManyV2"]
    assert [sources.name(index, Tensor(dequeue, at)) for at in (0, 1)] == ["label", "image"]


@pytest.mark.parametrize(
    ("scopes", "name"),
    [
        (["dnn/input_layer/age/ToFloat"], "age"),
        (["linear/linear_model/linear_model/education/lookup"], "education"),
        (["input_layer/kind_embedding/lookup"], "kind"),
        (["input_layer/kind_indicator/hot", "linear_model/kind/lookup"], "kind"),
        (["linear_model/a_X_b/lookup", "linear_model/a/lookup"], "a"),
        (["input_layer/a/lookup", "input_layer/b/lookup"], None),
        (["input_layer/concat"], None),
        (["hidden/age/ToFloat"], None),
    ],
)
def test_the_feature_column_that_reads_it_names_it(scopes, name):
    def make():
        one, _ = _read(tf.data.Dataset.from_tensor_slices((tf.zeros([4]), tf.zeros([4]))))
        for scope in scopes:
            tf.identity(one * 2.0, name=scope)
            tf.raw_ops.Neg(x=one, name=scope + "_1")

    assert sources.name(_index(make), Tensor("IteratorGetNext", 0)) == name


def test_what_stands_in_the_scope_of_all_columns_is_none():
    def make():
        one, _ = _read(tf.data.Dataset.from_tensor_slices((tf.zeros([4]), tf.zeros([4]))))
        tf.identity(one, name="input_layer/concat")

    assert sources.name(_index(make), Tensor("IteratorGetNext", 0)) is None


def test_a_mapped_function_may_hand_components_on_in_another_order():
    def make():
        parts = v1.placeholder(tf.float32, [None, 3], "features"), v1.placeholder(tf.int64, [None], "ages")
        _read(tf.data.Dataset.from_tensor_slices(parts).map(lambda features, ages: (ages, features)))

    index = _index(make)
    assert [sources.name(index, Tensor("IteratorGetNext", at)) for at in (0, 1)] == ["ages", "features"]


def test_unnamed_data_has_no_name():
    index = _index(lambda: _read(tf.data.Dataset.from_tensor_slices((tf.zeros([4]), tf.ones([4])))))
    assert sources.name(index, Tensor("IteratorGetNext", 1)) is None
