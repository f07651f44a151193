"""Changes to export_v1/passes, each of which a test has to notice."""

from tests.mutants.change import Change

_FOLD, _FOLDED, _VALUES = (
    "export_v1/passes/fold.py",
    ("tests/export_v1/passes/test_fold_edges.py",),
    ("tests/export_v1/passes/test_fold_values.py",),
)

_CONDITIONS = (
    Change(
        file=_FOLD,
        before='        made.input.extend("^" + name for name in control_inputs(node) if name not in self._dead_nodes)\n',
        after="",
        tests=_FOLDED,
    ),
    Change(
        file=_FOLD,
        before='if node.op == "RefSwitch" or not control_inputs(node):',
        after="if True:",
        tests=_FOLDED,
        why="readers bypass a Switch that waits for something",
    ),
    Change(file=_FOLD, before='if node.op == "RefSwitch" or not', after="if not", tests=_FOLDED),
    Change(
        file=_FOLD,
        before="branches[at if 0 <= at < len(branches) else -1]",
        after="branches[at if 0 <= at < len(branches) else 0]",
        tests=_FOLDED,
    ),
    Change(
        file=_FOLD,
        before="branches[at if 0 <= at < len(branches) else -1]",
        after="branches[min(at, len(branches) - 1)]",
        tests=_FOLDED,
        why="a negative index counts from the end",
    ),
    Change(
        file=_FOLD,
        before="true = bool(selector) if selector.shape == () else selector.size > 0",
        after="true = selector.size > 0 and bool(np.all(selector))",
        tests=_FOLDED,
    ),
    Change(
        file=_FOLD, before='"PartitionedCall" if stateless', after='"PartitionedCall" if not stateless', tests=_FOLDED
    ),
    Change(
        file=_FOLD,
        before="made.input.extend(rewrite.rewired(node, self._resolve).input[1:])",
        after="made.input.extend(tensor.edge for tensor in map(self._resolve, data_inputs(node)[1:]))",
        tests=_FOLDED,
        why="a call does not wait for what the If waited for",
    ),
    Change(
        file=_FOLD,
        before=" or any(name in self._dead_nodes for name in control_inputs(node)):",
        after=":",
        tests=_FOLDED,
    ),
    Change(
        file=_FOLD,
        before=" and np.shape(self._values.get(resolved[1], [0])) == ():",
        after=" and resolved[1] in self._values:",
        tests=_FOLDED,
    ),
    Change(
        file=_FOLD, before="Tensor(node.name, 1 - predicate)", after="Tensor(node.name, int(predicate))", tests=_FOLDED
    ),
    Change(
        file=_FOLD,
        before='            if node.op == "RefMerge":\n                self._stands_in[Tensor(node.name, 0)] = source\n',
        after="",
        tests=_FOLDED,
    ),
    Change(
        file=_FOLD,
        before='f"{node.name}/value_index", live[0]',
        after='f"{node.name}/value_index", 0',
        tests=("tests/export_v1/passes/test_fold.py",),
    ),
    Change(file=_FOLD, before="N=len(live)", after="N=len(inputs)", tests=_FOLDED),
    Change(
        file=_FOLD,
        before='            kept.input.extend("^" + name for name in control_inputs(node) if name not in self._dead_nodes)\n',
        after="",
        tests=_FOLDED,
    ),
    Change(
        file=_FOLD,
        before='kept.input.extend("^" + name for name in control_inputs(node) if name not in self._dead_nodes)',
        after='kept.input.extend("^" + name for name in control_inputs(node))',
        tests=_FOLDED,
    ),
    Change(
        file=_FOLD,
        before="control_inputs(node) if name in self._dead_nodes}",
        after="()}",
        tests=_FOLDED,
        why="a Merge waits for a node that is gone",
    ),
    Change(
        file=_FOLD,
        before="        if not entries:",
        after="        if not live:",
        tests=("tests/export_v1/passes/test_fold.py",),
        why="a loop that is never entered stays",
    ),
    Change(
        file=_FOLD,
        before="sum(node.name not in left for node in graph_def.node)",
        after="len(graph_def.node) - len(folding.nodes)",
        tests=_FOLDED,
        why="constants that were added are subtracted",
    ),
    Change(
        file=_FOLD, before='node.attr["then_branch" if true', after='node.attr["then_branch" if not true', tests=_FOLDED
    ),
    Change(
        file=_FOLD,
        before="        if source in self._values:",
        after="        if False:",
        tests=_FOLDED,
        why="the value of a folded Merge is not followed",
    ),
)

_KNOWN = (
    Change(file=_FOLD, before="MOST_ELEMENTS = 16", after="MOST_ELEMENTS = 17", tests=_VALUES),
    Change(
        file=_FOLD,
        before="if value is not None and np.size(value) <= MOST_ELEMENTS:",
        after="if value is not None:",
        tests=_VALUES,
    ),
    Change(
        file=_FOLD,
        before='"Enter": lambda node, x: x if attr(node, "is_constant").b else None',
        after='"Enter": lambda node, x: x',
        tests=_VALUES,
    ),
    Change(file=_FOLD, before="np.less(x, y)", after="np.less(y, x)", tests=_VALUES),
    Change(file=_FOLD, before="np.greater_equal(x, y)", after="np.greater(x, y)", tests=_VALUES),
    Change(file=_FOLD, before="np.less_equal(x, y)", after="np.less(x, y)", tests=_VALUES),
    Change(
        file=_FOLD, before='"Sub": lambda node, x, y: x - y', after='"Sub": lambda node, x, y: y - x', tests=_VALUES
    ),
    Change(
        file=_FOLD,
        before=".astype(x.dtype) if np.all(y) else None",
        after=".astype(x.dtype) if np.any(y) else None",
        tests=_VALUES,
    ),
    Change(file=_FOLD, before=".astype(x.dtype) if np.all(y) else None", after=".astype(x.dtype)", tests=_VALUES),
    Change(
        file=_FOLD,
        before='np.squeeze(x) if not attr(node, "squeeze_dims").list.i else None',
        after="np.squeeze(x)",
        tests=_VALUES,
    ),
    Change(
        file=_FOLD,
        before='np.any(x, axis=tuple(np.ravel(axes)), keepdims=attr(node, "keep_dims").b)',
        after="np.any(x, axis=tuple(np.ravel(axes)))",
        tests=_VALUES,
    ),
    Change(
        file=_FOLD,
        before='np.all(x, axis=tuple(np.ravel(axes)), keepdims=attr(node, "keep_dims").b)',
        after="np.all(x)",
        tests=_VALUES,
    ),
    Change(
        file=_FOLD,
        before="with contextlib.suppress(ValueError):",
        after="with contextlib.nullcontext():",
        tests=_VALUES,
    ),
    Change(file=_FOLD, before='deciding = op == "LogicalOr"', after='deciding = op != "LogicalOr"', tests=_VALUES),
    Change(
        file=_FOLD,
        before="operand.shape == () and bool(operand) == deciding",
        after="operand.size == 1 and bool(operand) == deciding",
        tests=_VALUES,
    ),
    Change(file=_FOLD, before=" and one.op not in _WAY_BACK)", after=")", tests=_VALUES),
    Change(
        file=_FOLD,
        before="(index.nodes.get(parse(edge).node) for edge in node.input)",
        after="(index.nodes.get(one.node) for one in data_inputs(node))",
        tests=_VALUES,
        why="control edges are no order",
    ),
)

_VARIABLES, _ORDERED = "export_v1/passes/variables.py", ("tests/export_v1/passes/test_variables_order.py",)

_REFERENCES = (
    Change(_VARIABLES, "            waits = waits + control_inputs(self._index[tensor.node])\n", "", _ORDERED),
    Change(
        _VARIABLES,
        "waits = control_inputs(node)\n",
        "waits = []\n",
        _ORDERED,
        why="a read of its own that waits for nothing",
    ),
    Change(
        _VARIABLES,
        "for wait in control_inputs(node) + self._writer(tensor)))\n            self",
        "for wait in self._writer(tensor)))\n            self",
        _ORDERED,
    ),
    Change(
        _VARIABLES,
        "control_inputs(node) + self._writer(tensor)))\n            self",
        "control_inputs(node)))\n            self",
        _ORDERED,
    ),
    Change(_VARIABLES, "for wait in control_inputs(node) + waits))", "for wait in control_inputs(node)))", _ORDERED),
    Change(_VARIABLES, "for wait in control_inputs(node) + waits))", "for wait in waits))", _ORDERED),
    Change(_VARIABLES, "for wait in waits + self._writer(tensor)))", "for wait in waits))", _ORDERED),
    Change(
        _VARIABLES,
        "                    waits = waits + [other.node for other in inputs if not self._is_variable(other)]\n",
        "                    pass\n",
        ("tests/export_v1/passes/test_variables.py",),
    ),
    Change(
        _VARIABLES,
        "if node.op not in MERGES and self._roots",
        "if self._roots",
        _ORDERED,
        why="a Merge waits for all of its inputs",
    ),
    Change(_VARIABLES, "self._roots.get(tensor, self._shared.get(tensor)) in self._written:", "True:", _ORDERED),
    Change(
        _VARIABLES,
        "self._roots.get(tensor, self._shared.get(tensor)) in",
        "self._roots.get(tensor) in",
        ("tests/export_v1/passes/test_variables.py",),
    ),
    Change(_VARIABLES, "            if tensor not in reads:", "            if True:", _ORDERED),
    Change(_VARIABLES, "graph.input_types(node, self._index.functions)", "graph.input_types(node)", _ORDERED),
    Change(_VARIABLES, 'target = "dtype" if key == "T" and "T" not in attributes else key', "target = key", _ORDERED),
    Change(_VARIABLES, "            if target in attributes:", "            if True:", _ORDERED),
    Change(_VARIABLES, "            if target in attributes:", '            if target == "dtype":', _ORDERED),
    Change(_VARIABLES, "shared_name=node.name", 'shared_name=attr(node, "shared_name").s', _ORDERED),
    Change(_VARIABLES, '        made.attr["shape"].CopyFrom(node.attr["shape"])\n', "", _ORDERED),
    Change(_VARIABLES, '        made.attr["T"].type = tf.resource.as_datatype_enum\n', "", _ORDERED),
    Change(_VARIABLES, "dtype=tf.as_dtype(data_type).base_dtype)", "dtype=tf.as_dtype(data_type)._as_ref)", _ORDERED),
    Change(_VARIABLES, "output if consumer.op in ALIASES else handles[tensor]", "handles[tensor]", _ORDERED),
    Change(_VARIABLES, "    converting.refuse_leftovers()\n", "", _ORDERED),
    Change(
        _VARIABLES,
        "            if consumer.op in WRITES and graph.ref_inputs(consumer)[at]\n",
        "",
        _ORDERED,
        why="every variable counts as written",
    ),
    Change(
        _VARIABLES,
        " and graph.ref_inputs(consumer)[at]\n",
        "\n",
        _ORDERED,
        why="the value of a write counts as written",
    ),
    Change(_VARIABLES, '"AssignAdd": "AssignAddVariableOp"', '"AssignAdd": "AssignSubVariableOp"', _ORDERED),
    Change(
        _VARIABLES,
        'consumer.op == "Identity" and output',
        "False and output",
        ("tests/export_v1/passes/test_variables.py",),
    ),
    Change(
        _VARIABLES,
        "(self._handle_of(tensor) if refs[at] else values.get(tensor, tensor))",
        "self._handle_of(tensor)",
        _ORDERED,
    ),
    Change(_VARIABLES, "if not refs[at] and self._is_variable(tensor)", "if self._is_variable(tensor)", _ORDERED),
)

_PRUNE, _PRUNED = "export_v1/passes/prune.py", ("tests/export_v1/passes/test_prune.py",)
_FREEZE, _FROZEN = "export_v1/passes/freeze.py", ("tests/export_v1/passes/test_freeze.py",)
_OUTPUTS, _PORTABLE = "export_v1/passes/outputs.py", "export_v1/passes/portable.py"
_TABLES, _TABLED = "export_v1/passes/tables.py", ("tests/export_v1/passes/test_tables.py",)
_INITIALIZERS, _INITIALIZED = "export_v1/artifact/initializers.py", ("tests/export_v1/artifact/test_initializers.py",)
_MERGE, _MERGED = "export_v1/passes/merge.py", ("tests/export_v1/passes/test_merge.py",)

_CUTS = (
    Change(
        _PRUNE,
        "    graph_def.library.gradient.extend(one for one in gradients if one.gradient_func in reached)\n",
        "",
        _PRUNED,
    ),
    Change(_PRUNE, " if one.gradient_func in reached)", ")", _PRUNED),
    Change(
        _PRUNE,
        "in graph_def.library.gradient if one.function_name in reached]",
        "in graph_def.library.gradient]",
        _PRUNED,
    ),
    Change(
        _PRUNE, " | {func.name for func in attr.list.func}", "", _PRUNED, why="functions of Case branches are dropped"
    ),
    Change(_PRUNE, "            todo_ops.extend(node.op for node in functions[name].node_def)\n", "", _PRUNED),
    Change(
        _PRUNE,
        "            todo.extend(attr for node in functions[name].node_def for attr in node.attr.values())\n",
        "",
        _PRUNED,
    ),
    Change(_PRUNE, "    _drop_unreached_functions(kept)\n", "", _PRUNED),
    Change(_PRUNE, "    _refuse_dangling(kept, index)\n", "", _PRUNED),
    Change(_PRUNE, "_refuse_dangling(kept, index)", "_refuse_dangling(graph_def, index)", _PRUNED),
    Change(_PRUNE, "if target not in index:", "if False:", _PRUNED),
    Change(
        _PRUNE,
        "for edge in node.input:",
        "for edge in (one for one in node.input if not one.startswith('^')):",
        _PRUNED,
    ),
    Change(
        _PRUNE,
        "(node for node in graph_def.node if node.name in keep)",
        "(index[name] for name in sorted(keep))",
        _PRUNED,
    ),
    Change(
        _FREEZE,
        " and len(graph.output_types(node)) == 1:",
        ":",
        _FROZEN,
        why="output 0 of several takes the node's name",
    ),
    Change(
        _FREEZE,
        'return graph.fresh_name(f"{tensor.node}_{tensor.index}", taken)',
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
    Change(_FREEZE, "dtype=tf.as_dtype(data_type)", "dtype=tf.float32", _FROZEN),
    Change(_FREEZE, "value, tf.as_dtype(data_type))", "value, tf.float32)", _FROZEN),
    Change(_OUTPUTS, '        pin.input.extend("^" + parse(wait).node for wait in waits)\n', "", _FROZEN),
    Change(_OUTPUTS, 'graph.fresh_name(f"output/{key}", taken)', 'f"output/{key}"', _FROZEN),
    Change(_OUTPUTS, '"Identity", [tensor])', '"Identity", [Tensor(tensor.node)])', _FROZEN),
    Change(_PORTABLE, '        node.device = ""\n', "", _FROZEN),
    Change(
        _PORTABLE,
        "    bodies = [function.node_def for function in new.library.function]\n",
        "    bodies = []\n",
        _FROZEN,
    ),
    Change(_PORTABLE, '"_XlaScope", ', "", _FROZEN),
    Change(_PORTABLE, ', "_tpu_replicate")', ")", _FROZEN),
    Change(_PORTABLE, '("_output_shapes", ', "(", _FROZEN),
    Change(_TABLES, '            node.attr["T"].type = tf.resource.as_datatype_enum\n', "            pass\n", _TABLED),
    Change(_TABLES, " and node.input[0] in tables:", ":", _TABLED),
    Change(_TABLES, '        "InitializeTable",\n', "", _TABLED),
    Change(_TABLES, "    new = with_nodes(graph_def, graph_def.node)\n", "    new = graph_def\n", _TABLED),
    Change(_TABLES, '"MutableHashTableOfTensorsV2", ', "", _TABLED),
    Change(_TABLES, ', "LookupTableImportV2"', "", _TABLED),
    Change(_INITIALIZERS, "            node = made\n", "", _INITIALIZED, why="a handle keeps its unknown shape"),
    Change(
        _INITIALIZERS,
        "made = rewrite.rewired(node, {})",
        "made = node",
        _INITIALIZED,
        why="the caller's graph is changed",
    ),
    Change(_INITIALIZERS, 'graph.fresh_name(f"{name}/{suffix}", taken)', 'f"{name}/{suffix}"', _INITIALIZED),
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
    Change(_MERGE, "if node.name not in taken else prefix + node.name", "", _MERGED),
    Change(
        _MERGE,
        "            if node.name in standing and renamed[node.name] in taken:\n                continue\n",
        "",
        _MERGED,
    ),
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
    Change(_MERGE, "renamed.get(one.gradient_func, one.gradient_func)", "one.gradient_func", _MERGED),
    Change(_MERGE, "renamed.get(one.function_name, one.function_name)", "one.function_name", _MERGED),
    Change(
        _MERGE,
        "        clashing |= more\n",
        "        break\n",
        _MERGED,
        why="who calls a renamed function calls the other",
    ),
    Change(_MERGE, "        if function.signature.name in same - clashing:\n", "        if False:\n", _MERGED),
    Change(_MERGE, "& there.keys() - same", "& there.keys() - there.keys()", _MERGED),
    Change(_MERGE, "& there.keys() - same", "& there.keys()", _MERGED, why="what is the same is there twice"),
)

CHANGES = _CONDITIONS + _KNOWN + _REFERENCES + _CUTS + _PARTS + _FUNCTIONS
