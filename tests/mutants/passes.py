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
        before="sum(node.name not in left for node in graph_def.node)",
        after="len(graph_def.node) - len(folding.nodes)",
        tests=_FOLDED,
        why="constants that were added are subtracted",
    ),
)

_KNOWN = ()

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
    Change(_VARIABLES, "    converting.refuse_leftovers()\n", "", _ORDERED),
    Change(
        _VARIABLES,
        " and graph.ref_inputs(consumer)[at]\n",
        "\n",
        _ORDERED,
        why="the value of a write counts as written",
    ),
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
