"""The recipe that tutorials give, as a baseline: import the whole MetaGraphDef, restore, simple_save.

    python -m tests.benchmarks.naive PREFIX FOLDER INPUT OUTPUT [FROZEN=VALUE ...]

INPUT and OUTPUT are KEY=TENSOR. What is frozen becomes a further input: the recipe cannot do better.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main(prefix: str, folder: str, given: str, wanted: str, *frozen: str) -> None:
    import tensorflow.compat.v1 as tf

    with tf.Session(graph=tf.Graph()) as session:
        tf.train.import_meta_graph(f"{prefix}.meta", clear_devices=True).restore(session, prefix)
        find = session.graph.get_tensor_by_name
        inputs = dict(
            [given.split("=")] + [[name.partition("=")[0].partition(":")[0], name.partition("=")[0]] for name in frozen]
        )
        outputs = dict([wanted.split("=")])
        tf.saved_model.simple_save(
            session,
            folder,
            {key: find(name) for key, name in inputs.items()},
            {key: find(name) for key, name in outputs.items()},
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
