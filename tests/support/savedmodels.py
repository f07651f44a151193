"""Small SavedModels written with tf.compat.v1, for what no golden case has."""

import contextlib
import pathlib

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


@contextlib.contextmanager
def session():
    """A fresh graph and a session on it."""
    with tf.Graph().as_default(), v1.Session() as current:
        yield current


def variable(name: str, value, trainable: bool = True):
    """A resource variable of the current graph."""
    return v1.get_variable(name, initializer=np.asarray(value), use_resource=True, trainable=trainable)


def save(folder: pathlib.Path, current, inputs: dict, outputs: dict, **signatures) -> str:
    """Writes the session's graph: `serving_default`, and other signatures given as (inputs, outputs)."""
    current.run([v1.global_variables_initializer(), v1.tables_initializer()])
    builder = v1.saved_model.Builder(str(folder))
    sides = {"serving_default": (inputs, outputs), **signatures}
    definitions = {
        key: v1.saved_model.predict_signature_def(inputs=given, outputs=wanted)
        for key, (given, wanted) in sides.items()
    }
    assets = v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS)
    builder.add_meta_graph_and_variables(
        current,
        ["serve"],
        signature_def_map=definitions,
        assets_collection=assets or None,
        main_op=v1.tables_initializer(),
    )
    builder.save()
    return str(folder)


def scale(folder: pathlib.Path, value: float = 3.0) -> str:
    """One float input of unknown rank, times one variable `scale`."""
    with session() as current:
        x = v1.placeholder(tf.float32, None, name="x")
        return save(folder, current, {"x": x}, {"y": x * variable("scale", np.float32(value))})


def two_inputs(folder: pathlib.Path) -> str:
    """`ids` and `mask` to `sum` and `product` of them, with a variable `w`; called in alphabetical order."""
    with session() as current:
        ids = v1.placeholder(tf.int32, [None, 2], name="ids")
        mask = v1.placeholder(tf.float32, [None, 2], name="mask")
        w = variable("w", np.float32([1, 2]))
        number = tf.cast(ids, tf.float32)
        return save(folder, current, {"ids": ids, "mask": mask}, {"sum": number + mask * w, "product": number * mask})


def with_train(folder: pathlib.Path, stale: float = 0.9) -> str:
    """Batch centring: inference subtracts `moving`, training the batch mean, updating `moving`; and a dropout.

    Regularization losses: half the sum of squares of `w`, and the sum of `w` and `b`, which belong to `w`.
    """
    with session() as current:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        w, b = variable("w", np.float32([[1, 2], [3, 4], [5, 6]])), variable("b", np.float32([0.5, -0.5]))
        moving = variable("moving", np.zeros(3, np.float32), trainable=False)
        served = tf.matmul(x - moving.read_value(), w) + b
        mean = tf.reduce_mean(x, 0)
        update = moving.assign(moving * stale + mean * (1 - stale), read_value=False)
        with tf.control_dependencies([update]):
            trained = tf.identity(tf.matmul(x - mean, w) + b)
            dropped = tf.nn.dropout(tf.ones_like(x), rate=0.5, seed=3)
        for loss in (0.5 * tf.reduce_sum(w * w), tf.reduce_sum(w) + tf.reduce_sum(b)):
            v1.add_to_collection(v1.GraphKeys.REGULARIZATION_LOSSES, loss)
        noise = {"y": served, "noise": tf.ones_like(x)}
        return save(folder, current, {"x": x}, noise, train=({"x": x}, {"y": trained, "noise": dropped}))


def vocabulary(folder: pathlib.Path, words: list[str]) -> str:
    """Words to their place in a vocabulary file, and back by a table in memory."""
    file = folder.parent / f"{folder.name}_words.txt"
    file.write_text("\n".join(words) + "\n")
    with session() as current:
        asset = tf.constant(str(file), name="words_file")
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
        initializer = tf.lookup.TextFileInitializer(asset, tf.string, 0, tf.int64, 1, delimiter="\n")
        del initializer  # the ops below are what TensorFlow 1 wrote
        table = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="words", name="table")
        fill = tf.raw_ops.InitializeTableFromTextFileV2(
            table_handle=table, filename=asset, key_index=-2, value_index=-1, vocab_size=-1, delimiter="\t"
        )
        v1.add_to_collection(v1.GraphKeys.TABLE_INITIALIZERS, fill)
        given = v1.placeholder(tf.string, [None], name="words")
        found = tf.raw_ops.LookupTableFindV2(table_handle=table, keys=given, default_value=tf.constant(-1, tf.int64))
        return save(folder, current, {"words": given}, {"ids": found})


def while_loop(folder: pathlib.Path) -> str:
    """x times w to the power 3, by a TensorFlow 1 while loop left as it is."""
    with session() as current:
        v1.disable_control_flow_v2()
        x = v1.placeholder(tf.float32, [None], name="x")
        w = variable("w", np.float32(2))
        _, y = v1.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * w), [0, x])
        return save(folder, current, {"x": x}, {"y": y})


def reads_file(folder: pathlib.Path) -> str:
    """Reads whatever file it is told to."""
    with session() as current:
        name = v1.placeholder(tf.string, [], name="name")
        return save(folder, current, {"name": name}, {"content": tf.io.read_file(name)})


def reference(folder: pathlib.Path) -> str:
    """A TensorFlow 1 reference variable."""
    with session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        w = v1.get_variable("old/w", initializer=np.float32(2), use_resource=False)
        return save(folder, current, {"x": x}, {"y": x * w})
