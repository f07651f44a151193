"""Changes to the replacements of ops, each of which a test has to notice."""

from tests.mutants.change import Change

_REPLACE, _FRAGMENT = "export_v1/passes/replace.py", "export_v1/ir/fragment.py"
_PASS = ("tests/export_v1/passes/test_replace.py",)
_MODELS = ("tests/test_replaced_ops.py",)
_FOLDER = "export_v1/passes/replacements/"


def _kernel(*cases: str) -> tuple[str, ...]:
    file = "tests/export_v1/passes/replacements/test_kernels.py"
    return tuple(f"{file}::test_answers_as_the_kernel[{case}]" for case in cases)


CHANGES = (
    Change(
        _REPLACE,
        "waits_of_constants = [pivot.node]",
        "waits_of_constants = waits",
        _PASS,
        why="a constant in a loop that is not in the loop's frame",
    ),
    Change(_REPLACE, 'first.input.extend(f"^{name}" for name in waits)', "pass", _PASS),
    Change(
        _REPLACE,
        "nodes, pivot = [side], Tensor(side.name)",
        "pass",
        _PASS,
        why="constants that wait for a Switch, and so for neither of its sides",
    ),
    Change(_REPLACE, 'first = rewrite.node(node.name, "NoOp", [])', "first = node", _PASS),
    Change(
        _FOLDER + "clusters.py",
        "if len(set(data_inputs(site.node))) > 1:",
        "if False:",
        _PASS,
        why="the first replica's input stands for others",
    ),
    Change(_REPLACE, "            moved |= _call_outputs(original)\n", "", _PASS),
    Change(_REPLACE, "    if unrunnable_only:\n        wrong", "    if False:\n        wrong", _PASS),
    Change(
        _REPLACE,
        "inferred.get(tensor.name) if recorded is None else recorded",
        "recorded",
        _PASS,
        why="shapes that nobody recorded stay unknown",
    ),
    Change(
        _REPLACE,
        "else [None] * shape.rank) for shape in shapes]",
        "else shape) for shape in shapes]",
        _kernel("boosted_trees-00-other_batch", "gather_tree-00-other_batch"),
        why="the size of a training batch in what stands in for an op",
    ),
    Change(
        _FRAGMENT,
        'f"{hint}_{stem}_{digest[:10]}"',
        'f"{stem}_{digest[:10]}"',
        _PASS,
        why="two nodes that share a function",
    ),
    Change(
        "export_v1/passes/sequence.py",
        "_prune(_replace(state, unrunnable_only=False))",
        "_replace(state, unrunnable_only=True)",
        _MODELS,
        why="block cells keep the op that has no gradient",
    ),
    Change(
        "export_v1/weights/derived.py",
        "if restored and all(part.key in checkpoint.shapes for part in restored.values()):",
        "if False:",
        _MODELS,
    ),
    Change(
        "export_v1/analysis/kernels.py",
        "if allowed and types == _NO_TYPE:",
        "if types == _NO_TYPE:",
        ("tests/export_v1/analysis/test_kernels.py",),
    ),
    Change(
        "export_v1/analysis/kernels.py",
        "if allowed and types == _NO_TYPE:",
        "if False:",
        ("tests/export_v1/analysis/test_kernels.py",),
    ),
    Change(_FOLDER + "beam_search.py", "tf.where(ended, end_token, tokens)", "tokens", _kernel("gather_tree-00")),
    Change(
        _FOLDER + "beam_search.py",
        "tf.minimum(tf.ensure_shape(max_sequence_lengths, [None]), time)",
        "tf.ensure_shape(max_sequence_lengths, [None])",
        _kernel("gather_tree-05", "gather_tree-14"),
    ),
    Change(
        _FOLDER + "beam_search.py",
        "tf.where(is_followed, path, -1)",
        "path",
        _kernel("gather_tree-11", "gather_tree-12"),
    ),
    Change(_FOLDER + "beam_search.py", "return 2 * span, ", "return 4 * span, ", _kernel("gather_tree-14")),
    Change(
        _FOLDER + "block_cells.py",
        "tf.where(tf.math.is_inf(state), tf.zeros_like(state), state - tf.stop_gradient(state))",
        "(state - tf.stop_gradient(state))",
        _kernel("block_cells-12"),
    ),
    Change(
        _FOLDER + "block_cells.py",
        "state = clipped + tf.where(tf.math.is_inf(state), tf.zeros_like(state), state - tf.stop_gradient(state))",
        "state = tf.clip_by_value(state, -clip, clip)",
        _kernel("block_cells-05"),
        why="a clipped state that passes no gradient on",
    ),
    Change(_FOLDER + "cudnn.py", "_reversed(steps, length) if direction else steps", "steps", _kernel("cudnn_rnn-01")),
    Change(
        _FOLDER + "cudnn_cells.py",
        "candidate + reset * h_candidate",
        "candidate + h_candidate",
        _kernel("cudnn_rnn-05"),
    ),
    Change(
        _FOLDER + "cudnn.py",
        'if site.attr("is_training") and site.training else',
        'if site.attr("is_training") else',
        _PASS,
    ),
    Change(
        _FOLDER + "images.py",
        "x, y = (tf.where(inside, part, tf.constant(-2, part.dtype)) for part in (x, y))\n",
        "pass\n",
        _kernel("images-00", "images-10"),
        why="a gradient of a point that is nowhere",
    ),
    Change(_FOLDER + "images.py", "output_shape=tf.maximum(sizes, 1)", "output_shape=sizes", _kernel("images-20")),
    Change(
        _FOLDER + "segmentation.py",
        "meets = tf.equal(image[:, :-1], image[:, 1:]) & ~background[:, 1:]",
        "meets = ~background[:, :-1] & ~background[:, 1:]",
        _kernel("segmentation-05"),
    ),
    Change(
        _FOLDER + "nearest_neighbors.py",
        "(score, tf.where(is_end, infinity, instead_score), ",
        "(score, instead_score, ",
        _kernel("nearest_neighbors-03", "nearest_neighbors-05"),
    ),
    Change(
        _FOLDER + "libsvm.py",
        """tf.debugging.assert_non_negative(numbers, "a feature's index is negative")""",
        "tf.no_op()",
        _kernel("libsvm-11"),
    ),
    Change(
        _FOLDER + "products.py",
        "(tf.reshape(unobserved_weight, []) + weights)",
        "weights",
        _kernel("products-09"),
    ),
    Change(
        _FOLDER + "slices.py",
        "    result = tf.where((sizes > 0)[:, tf.newaxis, tf.newaxis], result, first)\n",
        "",
        _kernel("slices-00", "slices-16"),
    ),
    Change(
        _FOLDER + "segmentation.py",
        "ranks = tf.where(of_row[:, tf.newaxis] | of_column[tf.newaxis], beyond, ranks)",
        "ranks = tf.where(of_row[:, tf.newaxis], beyond, ranks)",
        _kernel("segmentation-08"),
    ),
    Change(
        _FOLDER + "resources.py",
        "if other.op == handle.op and _identity(other) == _identity(handle):",
        "if other.op == handle.op:",
        ("tests/export_v1/passes/replacements/test_resources.py",),
    ),
    Change(
        _FOLDER + "resources.py",
        "    if keys:\n",
        "    if False:\n",
        ("tests/export_v1/passes/replacements/test_resources.py",),
        why="an ensemble that the checkpoint lacks is taken as it was made",
    ),
    Change(
        _FOLDER + "trees.py",
        'raise ValueError("a tree of its ensemble contains a cycle")',
        "return depth",
        ("tests/export_v1/passes/replacements/test_trees.py",),
    ),
    Change(
        _FOLDER + "boosted_trees.py",
        "before = (tf.gather(values, cached) - tf.gather(changes, row))",
        "before = (tf.gather(values, cached) + tf.gather(changes, row))",
        _kernel("boosted_trees-13"),
    ),
    Change(
        _FOLDER + "boosted_trees.py",
        "return node.categorical_split.value, node.categorical_split.value",
        "return _LOWEST, node.categorical_split.value",
        _kernel("boosted_trees-04", "boosted_trees-05"),
    ),
    Change(
        _FOLDER + "columns.py",
        "(remainder + (2**64 % divisor - divisor)) % divisor",
        "remainder",
        _kernel("columns-00", "columns-03"),
    ),
    Change(
        _FOLDER + "buckets.py",
        "tf.cast(boundaries, values.dtype), values",
        "boundaries, tf.cast(values, tf.float32)",
        _kernel("buckets-04"),
        why="boundaries of integers are integers",
    ),
    Change(
        _FOLDER + "gradient_trees.py",
        'missing = "-inf" if name.endswith("left") else "nan"',
        'missing = "nan"',
        _kernel("gradient_trees-03"),
    ),
    Change(
        _FOLDER + "gradient_trees.py",
        "made = tf.where(tf.math.is_nan(made), -np.inf, made)",
        "pass",
        _kernel("gradient_trees-09"),
    ),
    Change(
        "export_v1/source/meta_graph.py",
        'node.op.startswith("ReduceSlice")',
        "False",
        ("tests/export_v1/source/test_meta_graph.py",),
        why="a rank that TensorFlow 1 had wrong is recorded",
    ),
    Change(_REPLACE, "if TABLE[node.op].where(node)]", "]", _PASS, why="floats are not rounded any more"),
    Change(
        _REPLACE, "[*wrong, *kernels", "[*kernels", _PASS, why="answers that TensorFlow 2 has wrong are the reference"
    ),
    Change(
        _FOLDER + "products.py",
        "tf.round(result)",
        "tf.floor(result + 0.5)",
        _kernel("products-13", "products-14"),
        why="halves",
    ),
    Change(_FOLDER + "products.py", "0 if is_relu else -128", "-128", _kernel("products-13", "products-16")),
    Change(
        _FOLDER + "products.py",
        'any("VECT" in layout for layout in formats)',
        "False",
        _PASS,
        why="a layout that no CPU has is taken for another",
    ),
    Change(
        _FOLDER + "tensor_forest.py",
        "for root in nodes.roots]",
        "for root in nodes.roots[:1]]",
        (
            "tests/export_v1/passes/replacements/test_kernels.py::test_the_trees_of_a_forest_are_one_piece_and_answer_as_their_kernels_each",
        ),
    ),
    Change(
        _REPLACE,
        "*(edge for edge in node.input if edge != data_inputs(node)[0].edge)",
        "",
        _PASS,
        why="trees that are asked about other examples are joined",
    ),
    Change(_REPLACE, 'if name[0] != "_")', 'if name[0] == "_")', _PASS, why="nodes of other attributes are joined"),
    Change(
        _FOLDER + "tensor_forest.py",
        "if not params.is_regression and (total > 0).all()",
        "if (total > 0).all()",
        _kernel("tensor_forest-04"),
    ),
    Change(
        _FOLDER + "tensor_forest.py",
        "if width is not None and features.size and features.max() >= width:",
        "if False:",
        ("tests/export_v1/passes/replacements/test_trees.py",),
        why="a tree that reads beyond its row",
    ),
    Change(
        _FOLDER + "tensor_forest.py",
        "test.type == _LESS_OR_EQUAL",
        "True",
        _kernel("tensor_forest-05"),
    ),
    Change(
        "export_v1/weights/restore.py",
        "np.array(value, object) if isinstance(value, bytes) else np.asarray(value)",
        "np.asarray(value)",
        ("tests/export_v1/weights/test_restore.py",),
    ),
    Change(
        "export_v1/interface/roles.py",
        "        if step.op in ops.TREES:\n            return TRAINED\n",
        "",
        ("tests/export_v1/interface/test_roles.py",),
    ),
)
