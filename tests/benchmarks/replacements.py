"""What replacements of ops cost, beside the kernels of TensorFlow 1.15.

    python -m tests.benchmarks replacements -- --tf1=PYTHON

PYTHON is the interpreter of an environment with TensorFlow 1.15 and tf.contrib. Each op is run alone, by a Session of
either TensorFlow in a process of its own; the two take turns.
"""

import argparse
import dataclasses
import functools
import os
import sys
import tempfile

import numpy as np
import tensorflow as tf

from export_v1.ir import rewrite
from export_v1.ir.graph import GraphDef, NodeDef, Tensor
from export_v1.passes import prune, replace
from export_v1.passes.replacements import boosted_trees, gradient_trees, tensor_forest
from tests.benchmarks import measure

WORKER = os.path.join(os.path.dirname(__file__), "op_worker.py")


@dataclasses.dataclass(frozen=True)
class Trees:
    """An ensemble in a resource, the first input of an op; a list of them: of as many nodes of the op, one forest.

    Attributes:
        handle: op of the resource.
        maker: op that fills it.
        serialized: what it is filled with.
        stamped: whether the maker takes a stamp before that.
        attrs: of the maker.
    """

    handle: str
    maker: str
    serialized: bytes
    stamped: bool = True
    attrs: dict = dataclasses.field(default_factory=dict)

    def nodes(self, at: int) -> list[NodeDef]:
        """Returns the handle `tree_AT`, the maker `make_AT` and what it takes."""
        values = {"stamp": (0, tf.int64)} if self.stamped else {}
        values["serialized"] = (self.serialized, tf.string)
        made = [rewrite.constant(f"{name}_{at}", value, dtype) for name, (value, dtype) in values.items()]
        handle = rewrite.node(f"tree_{at}", self.handle, shared_name=f"trees_{at}", container="")
        read = map(Tensor, (node.name for node in (handle, *made)))
        return [handle, *made, rewrite.node(f"make_{at}", self.maker, read, **self.attrs)]


def grown(nodes, depth: int, split, leaf) -> None:
    """Fills a tree's nodes: all splits above the last level.

    Args:
        nodes: of a message.
        depth: levels of splits.
        split: called with a node, and the positions of its children.
        leaf: called with a node.
    """
    made = [nodes.add() for _ in range(2 ** (depth + 1) - 1)]
    for at, node in enumerate(made):
        if at < 2**depth - 1:
            split(node, 2 * at + 1, 2 * at + 2)
        else:
            leaf(node)


def boosted(random, trees: int, depth: int) -> Trees:
    """Returns an ensemble of BoostedTreesPredict over 20 features of 32 buckets."""
    ensemble = boosted_trees.MESSAGES.classes["TreeEnsemble"]()

    def split(node, left, right):
        chosen = node.bucketized_split
        chosen.feature_id, chosen.threshold = int(random.integers(20)), int(random.integers(32))
        chosen.left_id, chosen.right_id = left, right

    for _ in range(trees):
        tree = ensemble.trees.add()
        grown(tree.nodes, depth, split, lambda node: setattr(node.leaf, "scalar", float(random.normal())))
        ensemble.tree_weights.append(0.1)
    handle, maker = "BoostedTreesEnsembleResourceHandleOp", "BoostedTreesCreateEnsemble"
    return Trees(handle, maker, ensemble.SerializeToString())


def gradient(random, trees: int, depth: int) -> Trees:
    """Returns an ensemble of GradientTreesPrediction over 20 dense features."""
    ensemble = gradient_trees.MESSAGES.classes["DecisionTreeEnsembleConfig"]()

    def split(node, left, right):
        chosen = node.dense_float_binary_split
        chosen.feature_column, chosen.threshold = int(random.integers(20)), float(random.normal())
        chosen.left_id, chosen.right_id = left, right

    for _ in range(trees):
        tree = ensemble.trees.add()
        grown(tree.nodes, depth, split, lambda node: node.leaf.vector.value.append(float(random.normal())))
        ensemble.tree_weights.append(0.1)
    return Trees("DecisionTreeEnsembleResourceHandleOp", "CreateTreeEnsembleVariable", ensemble.SerializeToString())


def forest(random, depth: int) -> Trees:
    """Returns a tree of TreePredictionsV4 over 20 dense features, of 3 classes."""
    schema = tensor_forest.MESSAGES
    nodes: list[bytes] = []
    for at in range(2 ** (depth + 1) - 1):
        node = schema.classes["TreeNode"]()
        node.node_id.value = at
        if at < 2**depth - 1:
            node.binary_node.left_child_id.value, node.binary_node.right_child_id.value = 2 * at + 1, 2 * at + 2
            test = node.binary_node.inequality_left_child_test
            test.feature_id.id.value, test.threshold.float_value = str(random.integers(20)), float(random.normal())
        else:
            for value in random.random(3):
                node.leaf.vector.value.add().float_value = float(value)
        nodes.append(node.SerializeToString())
    model = schema.classes["Model"]()
    model.decision_tree.nodes.extend(nodes)
    return Trees(
        "DecisionTreeResourceHandleOp", "CreateTreeVariable", model.SerializeToString(), False, {"params": _FOREST}
    )


_FOREST = tensor_forest.MESSAGES.classes["TensorForestParams"](num_outputs=3).SerializeToString()


def cases() -> dict[str, tuple[list, dict]]:
    """Returns op, and what tells it from another of that op, -> inputs and attributes, of the size of a small model's."""
    random = np.random.default_rng(0)

    def floats(*shape):
        return random.standard_normal(shape, dtype=np.float32)

    def cell(gates):
        return [floats(32, 256), floats(32, 256), *[floats(32, 256)] * (gates == 4), floats(512, 256 * (gates or 2))]

    steps = [random.integers(0, high, [50, 32, 10], dtype=np.int32) for high in (100, 10)]
    size = 2 * (4 * 128 * (64 + 128) + 8 * 128)
    spans = np.sort(random.integers(0, 1000, [200, 2]), 1)
    features = [np.array([[row, at] for row in range(1000) for at in range(3)]) for _ in range(2)]
    words = [np.array([b"word%d" % number for number in random.integers(0, 99, 3000)], object) for _ in range(2)]
    crossed = [*features, *words, *[np.array([1000, 3])] * 2]
    cross = {
        "N": 2,
        "sparse_types": [tf.string, tf.string],
        "dense_types": [],
        "hashed_output": True,
        "num_buckets": 1000,
        "out_type": tf.int64,
        "internal_type": tf.string,
    }
    entries = np.stack([np.repeat(np.arange(500), 10), random.integers(0, 800, 5000)], 1)
    none = np.zeros([0], np.float32)
    asked = [floats(1000, 20), np.zeros([0], np.int64), none, np.zeros([0], np.int64)]
    of_forest = {
        "params": _FOREST,
        "input_spec": b"dense_features_size: 20 dense: [{name: d original_type: 0 size: 20}] sparse: []",
    }
    return {
        "GatherTree": ([*steps, np.full([32], 50, np.int32), np.int32(2)], {"T": tf.int32}),
        "GRUBlockCell": ([*cell(0), floats(512, 256), floats(512), floats(256)], {"T": tf.float32}),
        "LSTMBlockCell": ([*cell(4), *[floats(256)] * 3, floats(1024)], {"T": tf.float32}),
        "CudnnRNN": (
            [floats(40, 16, 64), np.zeros([2, 16, 128], "f"), np.zeros([2, 16, 128], "f"), 0.1 * floats(size)],
            {"T": tf.float32, "direction": "bidirectional", "is_training": False},
        ),
        "Resampler": ([floats(8, 64, 64, 16), 70 * random.random([8, 4096, 2], np.float32)], {"T": tf.float32}),
        "ReduceSliceSum": ([floats(1000, 64), spans, np.int64(0)], {"T": tf.float32, "Tindices": tf.int64}),
        "ReduceSliceMax": ([floats(1000, 64), spans, np.int64(0)], {"T": tf.float32, "Tindices": tf.int64}),
        "PeriodicResample": ([floats(64, 64, 32)], {"T": tf.float32, "shape": tf.TensorShape([256, 256, None])}),
        "ImageConnectedComponents": ([random.random([4, 128, 128]) < 0.6], {"dtype": tf.bool}),
        "BipartiteMatch": ([floats(100, 60), np.float32([-1])], {}),
        "MaskedMatmul": (
            [floats(500, 64), floats(64, 500), random.integers(0, 500, [5000, 2]), np.bool_(False), np.bool_(False)],
            {},
        ),
        "AdjustHsvInYiq": (
            [floats(8, 64, 64, 3), np.float32(0.3), np.float32(1.1), np.float32(0.9)],
            {"T": tf.float32},
        ),
        "BoostedTreesPredict": (
            [boosted(random, 100, 6), *random.integers(0, 32, [20, 1000], dtype=np.int32)],
            {"num_bucketized_features": 20, "logits_dimension": 1},
        ),
        "GradientTreesPrediction": (
            [gradient(random, 100, 6), np.int64(0), *floats(20, 1000, 1)],
            {
                "learner_config": gradient_trees.MESSAGES.classes["LearnerConfig"](num_classes=2).SerializeToString(),
                "num_dense_float_features": 20,
                **dict.fromkeys(("num_sparse_float_features", "num_sparse_int_features"), 0),
                **dict.fromkeys(("use_locking", "apply_dropout", "apply_averaging", "center_bias"), False),
                "reduce_dim": True,
            },
        ),
        "TreePredictionsV4": ([forest(random, 10), *asked], of_forest),
        "TreePredictionsV4, a forest": ([[forest(random, 10) for _ in range(50)], *asked], of_forest),
        "SparseFeatureCross": (crossed, cross),
        "SparseFeatureCrossV2": (crossed, {**cross, "hash_key": 956888297470}),
        "BucketizeWithInputBoundaries": ([floats(100000), np.sort(floats(50))], {"T": tf.float32}),
        "HyperplaneLSHProbes": (
            [floats(100, 10 * 12), np.int32(10), np.int32(12), np.int32(50)],
            {"CoordinateType": tf.float32},
        ),
        "WALSComputePartialLhsAndRhs": (
            [floats(800, 20), none, np.float32(0.1), none, entries, floats(5000), random.random(5000, np.float32)]
            + [np.int64(500), np.bool_(False)],
            {},
        ),
        "DecodeLibsvm": (
            [np.array([b"1 1:3.5 2:-2e3 8:0.1 17:1 30:0.25"] * 1000, object)],
            {"dtype": tf.float32, "label_dtype": tf.int64, "num_features": 40},
        ),
        "CompareAndBitpack": ([floats(256, 1024), np.float32(0)], {"T": tf.float32}),
    }


def write(folder: str, name: str, inputs: list, attrs: dict, replaced: bool) -> None:
    """Writes the graph of one op and its inputs."""
    graph_def = GraphDef()
    graph_def.versions.producer = 134
    trees = inputs[0] if isinstance(inputs[0], list) else [value for value in inputs if isinstance(value, Trees)]
    fed = {at: value for at, value in enumerate(inputs) if not isinstance(value, Trees | list)}
    for at, tree in enumerate(trees):
        graph_def.node.extend(tree.nodes(at))
    if trees:
        graph_def.node.append(rewrite.node("make", "NoOp"))
        graph_def.node[-1].input.extend(f"^make_{at}" for at in range(len(trees)))
    for at, value in fed.items():
        dtype, shape = tf.as_dtype(value.dtype if value.dtype != object else "string"), tf.TensorShape(np.shape(value))
        graph_def.node.append(rewrite.node(f"in_{at}", "Placeholder", dtype=dtype, shape=shape))
    types = {key: value for key, value in attrs.items() if isinstance(value, list)}
    single = {key: value for key, value in attrs.items() if key not in types}
    read = [Tensor(f"in_{at}") for at in fed]
    nodes = []
    for handles in [[Tensor(f"tree_{at}")] for at in range(len(trees))] or [[]]:
        node = rewrite.node(f"node_{len(nodes)}", name.split(",")[0], [*handles, *read], **single)
        for key, value in types.items():
            node.attr[key].list.SetInParent()
            node.attr[key].list.type.extend(dtype.as_datatype_enum for dtype in value)
        nodes.append(node)
    graph_def.node.extend(nodes)
    if len(nodes) == 1:
        graph_def.node[-1].name = "node"
    else:
        summed = [Tensor(node.name) for node in nodes]
        graph_def.node.append(rewrite.node("node", "AddN", summed, T=tf.float32, N=len(summed)))
    if replaced:
        graph_def = replace.ops(graph_def, written=graph_def, stored=lambda key: None).graph_def
        graph_def = prune.to_outputs(graph_def, ["node:0", *(f"in_{at}:0" for at in fed)]).graph_def
    with open(os.path.join(folder, f"{name}.pb"), "wb") as file:
        file.write(graph_def.SerializeToString())
    np.savez(
        os.path.join(folder, f"{name}.npz"),
        **{f"in_{at}": value.astype("S") if value.dtype == object else value for at, value in fed.items()},
    )


def main() -> None:
    """Prints a table: op, times of the replacement and of the kernel, ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tf1", required=True, help="a Python with TensorFlow 1.15")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--only", default="", help="what the names of ops to measure start with")
    args = parser.parse_args()
    chosen = {name: case for name, case in cases().items() if name.startswith(args.only)}
    with tempfile.TemporaryDirectory() as folder:
        for side in ("replaced", "kernel"):
            os.mkdir(os.path.join(folder, side))
            for name, (inputs, attrs) in chosen.items():
                write(os.path.join(folder, side), name, inputs, attrs, side == "replaced")
        workers = {
            "ours": measure.Worker(sys.executable, WORKER, os.path.join(folder, "replaced")),
            "theirs": measure.Worker(args.tf1, WORKER, os.path.join(folder, "kernel")),
        }
        rows = []
        for name in chosen:
            request = {"name": name, "calls": args.calls}
            sides = {side: functools.partial(worker.ask, request) for side, worker in workers.items()}
            found = measure.alternating(sides, args.rounds)
            times = {
                side: [1000 * value for answer in answers for value in answer["seconds"]]
                for side, answers in found.items()
            }
            ratio = measure.ratio(times["ours"], times["theirs"])
            rows.append([name, *(measure.shown(times[side], "ms") for side in ("ours", "theirs")), f"{ratio:.2f}"])
        print(measure.table(["op", "replacement, TensorFlow 2", "kernel, TensorFlow 1.15", "ratio"], rows))
        for worker in workers.values():
            worker.end()


if __name__ == "__main__":
    main()
