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
        tests=("tests/export_v1/passes/test_fold.py",),
        why="constants that were added are subtracted",
    ),
)

_KNOWN = ()

_FOUND = "export_v1/analysis/references.py"
_VARIABLES, _ORDERED = "export_v1/passes/variables.py", ("tests/export_v1/passes/test_variables_order.py",)

_NEW_AXES, _AXES = "export_v1/passes/new_axes.py", ("tests/export_v1/passes/test_new_axes.py",)

_SLICES = (
    Change(_NEW_AXES, "if count and _takes(node, count):", "if False:", _AXES, why="TensorFlow forgets new axes"),
    Change(_NEW_AXES, "begin_mask=begin | new, end_mask=end | new", "begin_mask=begin, end_mask=end", _AXES),
    Change(_NEW_AXES, "value.size if np.all(value == 1) else 0", "value.size", _AXES),
    Change(_NEW_AXES, "return any(not (whole", "return True or any(not (whole", _AXES),
    Change(_NEW_AXES, "{}:output:0", "{}", _AXES),
)

_SAVED_TABLES, _SAVED = "export_v1/passes/saved_tables.py", ("tests/export_v1/passes/test_saved_tables.py",)

_TABLES = (
    Change(_SAVED_TABLES, "[table.name] is None:", "[table.name]:", _SAVED, why="tables of a checkpoint stay empty"),
    Change(_SAVED_TABLES, " and tables.initializers(written, [table])[table.name] is None", "", _SAVED),
    Change(_SAVED_TABLES, "for position in (1, 2))", "for position in (1, 1))", _SAVED),
    Change(_SAVED_TABLES, 'if "Dense" in table.op:', "if False:", _SAVED),
    Change(_SAVED_TABLES, "if saved_keys is not None and saved_values is not None:", "if True:", _SAVED),
)

_LAYER_NORMS, _NORMS = "export_v1/passes/layer_norms.py", ("tests/export_v1/passes/test_layer_norms.py",)

_WRITTEN_NORMS = (
    Change(_LAYER_NORMS, "if not axes:", "if True:", _NORMS, why="TensorFlow forgets an epsilon"),
    Change(_LAYER_NORMS, "== axis + 1}", "}", _NORMS),
    Change(_LAYER_NORMS, 'and attr(source, "keep_dims").b', "", _NORMS),
    Change(_LAYER_NORMS, '{"StopGradient", "Identity"}', '{"Identity"}', _NORMS),
    Change(_LAYER_NORMS, "shapes = static_shapes.inferred(index.graph_def)", "shapes = {}", _NORMS),
    Change(_LAYER_NORMS, "value.size == 1 and ", "", _NORMS),
    Change(_LAYER_NORMS, "tf.as_dtype(value.dtype), control_inputs(constant)", "tf.as_dtype(value.dtype)", _NORMS),
)

_SELECT = "export_v1/passes/ref_select.py"
_SELECTED = ("tests/export_v1/passes/test_ref_select.py",)

_REFERENCES = (
    Change(_SELECT, 'constant(fresh("limit"), at + 1,', 'constant(fresh("limit"), at,', _SELECTED),
    Change(
        _SELECT,
        "*(tensor.node for tensor in references)]",
        "]",
        ("tests/test_references.py",),
        why="a write that another reference is of comes after the selection",
    ),
    Change(_VARIABLES, "        waits = [*waits, *control_inputs(node)]\n", "", _ORDERED),
    Change(
        _VARIABLES,
        "waits = control_inputs(node)\n",
        "waits = []\n",
        _ORDERED,
        why="a read of its own that waits for nothing",
    ),
    Change(
        _VARIABLES,
        "for wait in control_inputs(node) + self._waits(inputs[0])))\n            self",
        "for wait in self._waits(inputs[0])))\n            self",
        _ORDERED,
    ),
    Change(
        _VARIABLES,
        "control_inputs(node) + self._waits(inputs[0])))\n            self",
        "control_inputs(node)))\n            self",
        _ORDERED,
    ),
    Change(_VARIABLES, "for wait in control_inputs(node) + waits))", "for wait in control_inputs(node)))", _ORDERED),
    Change(_VARIABLES, "for wait in control_inputs(node) + waits))", "for wait in waits))", _ORDERED),
    Change(_VARIABLES, "for wait in [*waits, *own]))", "for wait in waits))", _ORDERED),
    Change(
        _VARIABLES,
        "                    waits = [*waits, *(wait for other in inputs if other != tensor for wait in self._made_by(other))]\n",
        "                    pass\n",
        ("tests/export_v1/passes/test_variables.py",),
    ),
    Change(_VARIABLES, "self._references.variables(tensor) & self._references.written:", "True:", _ORDERED),
    Change(_VARIABLES, "            if tensor not in reads:", "            if True:", _ORDERED),
    Change(_VARIABLES, "graph.input_types(node, self._index.functions)", "graph.input_types(node)", _ORDERED),
    Change(_VARIABLES, 'target = "dtype" if key == "T" and "T" not in attributes else key', "target = key", _ORDERED),
    Change(_VARIABLES, "            if target in attributes:", "            if True:", _ORDERED),
    Change(_VARIABLES, "            if target in attributes:", '            if target == "dtype":', _ORDERED),
    Change(_VARIABLES, "shared_name=node.name", 'shared_name=attr(node, "shared_name").s', _ORDERED),
    Change(_VARIABLES, '        made.attr["shape"].CopyFrom(node.attr["shape"])\n', "", _ORDERED),
    Change(
        _VARIABLES,
        '        made.attr["T"].type = (tf.bool if self._references.is_decided(node) else tf.resource).as_datatype_enum\n',
        "",
        _ORDERED,
    ),
    Change(_VARIABLES, "dtype=tf.as_dtype(data_type).base_dtype)", "dtype=tf.as_dtype(data_type)._as_ref)", _ORDERED),
    Change(_VARIABLES, "    converting.refuse_leftovers()\n", "", _ORDERED),
    Change(
        _FOUND,
        " and graph.ref_inputs(consumer)[at]\n",
        "\n",
        _ORDERED,
        why="the value of a write counts as written",
    ),
    Change(
        _FOUND,
        'ops.IDENTITIES | ops.RESHAPES | {"Switch"}',
        'ops.RESHAPES | {"Switch"}',
        ("tests/export_v1/passes/test_variables.py", *_ORDERED),
    ),
    Change(_FOUND, 'ops.IDENTITIES | ops.RESHAPES | {"Switch"}', "ops.IDENTITIES", _ORDERED),
    Change(_FOUND, "known | roots[tensor]", "roots[tensor]", ("tests/export_v1/analysis/test_references.py",)),
    Change(
        _FOUND,
        "            and len({self.base(tensor) for tensor in data_inputs(merge)}) == 1\n",
        "",
        _ORDERED,
        why="one of two variables is taken, whichever branch has run",
    ),
    Change(
        _VARIABLES,
        '            made.input.extend(f"^{wait}" for tensor in data_inputs(node) for wait in self._waits(tensor))\n',
        "",
        _ORDERED,
        why="a write is lost when its reference goes through a condition",
    ),
    Change(_VARIABLES, '            made.input.extend(f"^{wait}" for wait in waits)\n', "", _ORDERED),
    Change(
        _VARIABLES,
        "(self._handle(tensor) if refs[at] else values.get(tensor, tensor))",
        "self._handle(tensor)",
        _ORDERED,
    ),
    Change(_VARIABLES, "if not refs[at] and tensor in self._references]", "if tensor in self._references]", _ORDERED),
)

CHANGES = _CONDITIONS + _KNOWN + _SLICES + _TABLES + _WRITTEN_NORMS + _REFERENCES
