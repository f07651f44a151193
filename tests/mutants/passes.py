"""Changes to the passes over conditions and variables, each of which a test has to notice."""

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

CHANGES = _CONDITIONS + _KNOWN + _REFERENCES
