"""Changes to the passes that cut, merge and complete graphs, each of which a test has to notice."""

from tests.mutants.change import Change

_PRUNE, _PRUNED = "export_v1/passes/prune.py", ("tests/export_v1/passes/test_prune.py",)
_FREEZE, _FROZEN = "export_v1/passes/freeze.py", ("tests/export_v1/passes/test_freeze.py",)
_OUTPUTS, _PORTABLE = "export_v1/passes/outputs.py", "export_v1/passes/portable.py"
_TABLES, _TABLED = "export_v1/passes/tables.py", ("tests/export_v1/passes/test_tables.py",)
_INITIALIZERS, _INITIALIZED = "export_v1/artifact/initializers.py", ("tests/export_v1/artifact/test_initializers.py",)
_ARRAYS, _RENEWED = "export_v1/passes/old_arrays.py", ("tests/export_v1/passes/test_old_arrays.py",)
_MERGE, _MERGED = "export_v1/passes/merge.py", ("tests/export_v1/passes/test_merge.py",)

_CUTS = (
    Change(
        "export_v1/ir/library.py",
        "        todo.extend(callee for node in functions[name].node_def for callee in called_by(node))\n",
        "",
        _PRUNED,
    ),
    Change(_PRUNE, "    _drop_unreached_functions(kept)\n", "", _PRUNED),
    Change(_PRUNE, "    _refuse_dangling(keep, index)\n", "", _PRUNED),
    Change(_PRUNE, "_refuse_dangling(keep, index)", "_refuse_dangling(index.nodes, index)", _PRUNED),
    Change(_PRUNE, "            if target not in nodes:\n", "            if False:\n", _PRUNED),
    Change(
        _PRUNE,
        "for target in (*(tensor.node for tensor in data), *controls):",
        "for target in (tensor.node for tensor in data):",
        _PRUNED,
    ),
    Change(
        _PRUNE,
        "(node for name, node in index.nodes.items() if name in keep)",
        "(index[name] for name in sorted(keep))",
        _PRUNED,
    ),
    Change(
        _FREEZE,
        'return graph.fresh_name(f"{tensor.node}_{tensor.index}", used_names)',
        'return f"{tensor.node}_{tensor.index}"',
        _FROZEN,
    ),
    Change(
        _FREEZE,
        "shape=tf.TensorShape(shape)",
        "shape=tf.TensorShape(shape or None)",
        _FROZEN,
        why="a scalar has no rank",
    ),
    Change(_FREEZE, "            dtype=tf.as_dtype(data_type),\n", "            dtype=tf.float32,\n", _FROZEN),
    Change(_FREEZE, "value, tf.as_dtype(data_type))", "value, tf.float32)", _FROZEN),
    Change(_OUTPUTS, '        pin.input.extend("^" + parse(wait).node for wait in waits)\n', "", _FROZEN),
    Change(_OUTPUTS, 'graph.fresh_name(f"output/{key}", used_names)', 'f"output/{key}"', _FROZEN),
    Change(_OUTPUTS, '"Identity", [tensor])', '"Identity", [Tensor(tensor.node)])', _FROZEN),
    Change(_PORTABLE, '        node.device = ""\n', "", _FROZEN),
    Change(
        _PORTABLE,
        "    for node in graph.all_nodes(new):\n",
        "    for node in new.node:\n",
        _FROZEN,
    ),
    Change(_PORTABLE, '"_XlaScope", ', "", _FROZEN),
    Change(_PORTABLE, '"_tpu_replicate",', "", _FROZEN),
    Change(_PORTABLE, '"_output_shapes", ', "", _FROZEN),
    Change(_TABLES, '            node.attr["T"].type = tf.resource.as_datatype_enum\n', "            pass\n", _TABLED),
    Change(_TABLES, " and node.input[0] in tables:", ":", _TABLED),
    Change(_INITIALIZERS, "            node = made\n", "", _INITIALIZED, why="a handle keeps its unknown shape"),
    Change(
        _INITIALIZERS,
        "made = rewrite.rewired(node, {})",
        "made = node",
        _INITIALIZED,
        why="the caller's graph is changed",
    ),
    Change(_INITIALIZERS, 'graph.fresh_name(f"{name}/{suffix}", names)', 'f"{name}/{suffix}"', _INITIALIZED),
    Change(_INITIALIZERS, "                is_resource=True,\n", "", _INITIALIZED),
    Change(_INITIALIZERS, "                trainable=variable.trainable,\n", "", _INITIALIZED),
    Change(_INITIALIZERS, "snapshot_name=read.name", "snapshot_name=handle.name", _INITIALIZED),
    Change(_INITIALIZERS, "initial_value_name=fill.name", "initial_value_name=zero.name", _INITIALIZED),
    Change(_INITIALIZERS, "initializer_name=assign.node", "initializer_name=assign.name", _INITIALIZED),
    Change(_INITIALIZERS, 'b"" if variable.dtype == tf.string else False', "False", _INITIALIZED),
    Change(_INITIALIZERS, "else False if variable.dtype == tf.bool else 0", "else 1", _INITIALIZED),
    Change(_INITIALIZERS, " and node.name in shapes:", ":", _INITIALIZED),
)

_PARTS = (
    Change(
        _MERGE,
        'shared_name = attr(node, "shared_name").s.decode() if node.op == "VarHandleOp" else ""',
        'shared_name = ""',
        _MERGED,
    ),
    Change(_MERGE, ' if node.op == "VarHandleOp" else ""\n', "\n", _MERGED, why="tables are one by their shared name"),
    Change(_MERGE, "return node.op, shared_name or node.name", 'return "", shared_name or node.name', _MERGED),
    Change(_MERGE, "if node.name not in used_names else prefix + node.name", "", _MERGED),
    Change(
        _MERGE,
        "if node.name in filled or (node.name in standing and renamed[node.name] in used_names):",
        "if node.name in filled:",
        _MERGED,
    ),
    Change(_MERGE, "if node.name in filled or (", "if (", _MERGED),
    Change(_MERGE, "made = rewrite.rewired(node, moved, renamed)", "made = rewrite.rewired(node, moved)", _MERGED),
    Change(_MERGE, "Tensor(renamed[tensor.node], tensor.index)", "Tensor(renamed[tensor.node])", _MERGED),
    Change(_MERGE, '        made.attr["shared_name"].s = made.name.encode()\n', "        pass\n", _MERGED),
    Change(_MERGE, "    _rename_calls(made, calls)\n", "", _MERGED),
    Change(_MERGE, "    node.op = calls.get(node.op, node.op)\n", "", _MERGED),
    Change(_MERGE, "[value.func, *value.list.func]", "[value.func]", _MERGED),
    Change(_MERGE, "[value.func, *value.list.func]", "value.list.func", _MERGED),
    Change(_MERGE, "            _rename_calls(node, renamed)\n", "            pass\n", _MERGED),
    Change(_MERGE, "min((part.versions", "max((part.versions", _MERGED),
    Change(_MERGE, '.strip("/").replace("/", "_")', '.strip("/")', _MERGED),
)

_FUNCTIONS = (
    Change(_MERGE, "        if copy not in merged.library.gradient:", "        if True:", _MERGED),
    Change(_MERGE, "renamed.get(gradient.gradient_func, gradient.gradient_func)", "gradient.gradient_func", _MERGED),
    Change(_MERGE, "renamed.get(gradient.function_name, gradient.function_name)", "gradient.function_name", _MERGED),
    Change(
        _MERGE,
        "        clashing |= more\n",
        "        break\n",
        _MERGED,
        why="who calls a renamed function calls the other",
    ),
    Change(
        _MERGE,
        'SHARED = ops.TABLES | {"VarHandleOp"}',
        'SHARED = frozenset({"VarHandleOp"})',
        ("tests/export_v1/test_oddities.py",),
        why="training looks words up in a table of its own",
    ),
    Change(
        "export_v1/ir/ops.py",
        '"SampleDistortedBoundingBox", ',
        "",
        ("tests/export_v1/test_oddities.py",),
        why="what is cropped at random is compared",
    ),
    Change(_MERGE, "        if function.signature.name in same - clashing:\n", "        if False:\n", _MERGED),
    Change(_MERGE, "& present.keys() - same", "& present.keys() - present.keys()", _MERGED),
    Change(_MERGE, "& present.keys() - same", "& present.keys()", _MERGED, why="what is the same is there twice"),
)

_OLD = (
    Change(_ARRAYS, "if len(arrays) == 1}", "if False}", _RENEWED, why="a flow begins at a constant still"),
    Change(_ARRAYS, " and deep == depth", "", _RENEWED, why="an array is read from a frame where it is not"),
    Change(_ARRAYS, 'made.op = node.op.removeprefix("Ref")', "pass", _RENEWED),
    Change(_ARRAYS, 'made.attr["T"].type = tf.resource.as_datatype_enum', "pass", _RENEWED),
    Change(_ARRAYS, "made.input.insert(1, numbers.edge)", "pass", _RENEWED),
    Change(_ARRAYS, "if source.op in ops.MERGES else (0,)", "if False else (0,)", _RENEWED),
    Change(
        _ARRAYS,
        "value, tf.int32, [flow.node]",
        "value, tf.int32",
        _RENEWED,
        why="a constant of a loop is outside of it",
    ),
    Change(
        "export_v1/passes/sequence.py",
        "state if result.graph_def is state.graph_def else _prune(state.after(result))",
        "state",
        _RENEWED,
    ),
)

CHANGES = _CUTS + _PARTS + _FUNCTIONS + _OLD
