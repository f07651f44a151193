"""Changes to the passes over dropouts and moving averages, each of which a test has to notice."""

from tests.mutants.change import Change

_DROPOUT, _DROPPED = "export_v1/passes/dropout.py", ("tests/export_v1/passes/test_dropout.py",)
_AVERAGES, _KEPT = "export_v1/ir/norms/inference_form.py", ("tests/export_v1/passes/test_moving_averages_kept.py",)
_ANY, _OPENED = "export_v1/passes/any_batch.py", ("tests/export_v1/passes/test_any_batch.py",)
_FORMS = ("tests/export_v1/passes/test_moving_averages.py::test_every_form_of_an_update_is_understood",)
_OTHERS = ("tests/export_v1/passes/test_moving_averages.py::test_other_updates_are_left_alone",)

_DROPOUTS = (
    Change(
        _DROPOUT,
        'if shape.op == "Shape" and data_inputs(shape)[0] in (data, unscaled):',
        'if shape.op == "Shape":',
        _DROPPED,
        why="a mask shaped by another tensor is taken out",
    ),
    Change(_DROPOUT, 'if shape.op == "Shape" and data_inputs(shape)[0] in (data, unscaled):', "if True:", _DROPPED),
    Change(
        _DROPOUT,
        "        if _is_recorded(index, data_inputs(uniform)[0], data):\n            return unscaled\n",
        "",
        _DROPPED,
    ),
    Change(
        _DROPOUT, '            made.input.extend(edge for edge in node.input if edge.startswith("^"))\n', "", _DROPPED
    ),
    Change(
        _DROPOUT,
        '            made.attr["T"].CopyFrom(node.attr["T"])\n',
        '            made.attr["T"].type = 1\n',
        _DROPPED,
    ),
    Change(_DROPOUT, '    shape.attr["out_type"].CopyFrom(uniform.attr["T"])\n', "", _DROPPED),
    Change(_DROPOUT, 'graph.fresh_name(f"{uniform.name}/of_data", names)', 'f"{uniform.name}/of_data"', _DROPPED),
    Change(
        _ANY,
        "(named(name), value, kind, waits)",
        "(named(name), value, kind)",
        _OPENED,
        why="constants outside of the loop",
    ),
    Change(_ANY, "tf.as_dtype(target.dtype), waits)", "tf.as_dtype(target.dtype))", _OPENED),
    Change(_DROPOUT, "size in (1, known)", "size == known", _OPENED),
    Change(_ANY, "target[0] % size == 0 and math.prod(sizes) == np.prod(target)", "True", _OPENED),
    Change(_ANY, "first % size or size == 1 < first", "False", _OPENED),
    Change(_ANY, "np.any(target < 1)", "False", _OPENED),
    Change(_ANY, "len(shape) != len(sizes) or ", "", _OPENED),
    Change(_ANY, " and _is_outside(index, node)", "", _OPENED),
    Change(_ANY, "_PASSED.get(reader.op) != at", "reader.op not in _PASSED", _OPENED),
    Change(_ANY, "value.size and np.all(value == value.flat[0])", "value.size", _OPENED),
    Change(_ANY, "            and sizes[0] == size\n", "", _OPENED),
    Change(_ANY, "        if source in sizes:\n", "        if False:\n", _OPENED),
    Change(_ANY, '            node.attr["element_shape"].shape.dim[0].size = -1\n', "            pass\n", _OPENED),
    Change(_DROPOUT, "_recorded_sizes(index, data) != list(sizes)", "False", _OPENED),
)

_AVERAGE = (
    Change(_AVERAGES, "        if own != wanted:\n", "        if False:\n", _KEPT),
    Change(_AVERAGES, "SrcT=own, DstT=wanted", "SrcT=wanted, DstT=own", _KEPT),
    Change(_AVERAGES, '    made.attr["is_training"].b = False\n', "", _KEPT),
    Change(_AVERAGES, "((3, 1), (4, 2))", "((3, 2), (4, 1))", _KEPT),
    Change(_AVERAGES, '    if variable.op == "VarHandleOp":\n', "    if False:\n", _KEPT),
    Change(_AVERAGES, 'graph.fresh_name(f"{read.name}/cast", names)', 'f"{read.name}/cast"', _KEPT),
    Change(_AVERAGES, 'graph.fresh_name(f"{variable.name}/average", taken_names)', 'f"{variable.name}/average"', _KEPT),
    Change(_AVERAGES, "tuple(sorted(reads))", "tuple(sorted(reads))[::-1]", _KEPT),
)

_NORM, _NORMS = "export_v1/ir/norms/training_norms.py", ("tests/export_v1/ir/norms/test_training_norms.py",)
_GOLDEN_NORMS = ("tests/export_v1/passes/test_moving_averages.py",)
_CHOSEN = "export_v1/planning/norms.py", ("tests/export_v1/planning/test_norms.py",)
_NORM_CHANGES = (
    Change(_NORM, "        if after & self._summed:\n", "        if False:\n", _NORMS, why="half a norm is replaced"),
    Change(_NORM, "        if beside:\n", "        if False:\n", _NORMS, why="a correction of training stays"),
    Change(_NORM, "corrections[Tensor(name)] = 1, shape", "corrections[Tensor(name)] = 0, shape", _NORMS),
    Change(_NORM, "            if average.variable not in reached:\n", "            if True:\n", _NORMS),
    Change(_NORM, "            if len(of_batch) == 1:\n", "            if False:\n", _NORMS),
    Change("export_v1/ir/norms/moments.py", " and _over_batch(index, made)\n", "\n", _NORMS),
    Change(_NORM, "if len({average.variable for average in unread}) != 1:", "if True:", _GOLDEN_NORMS),
    Change(_CHOSEN[0], "return any(name in updated for name in norm.variables)", "return True", _CHOSEN[1]),
    Change(_CHOSEN[0], "return any(name in updated for name in norm.variables)", "return False", _CHOSEN[1]),
    Change(_CHOSEN[0], "        return request.moving_averages\n", "        return True\n", _CHOSEN[1]),
)
_ROWS, _APART = "export_v1/analysis/rows/{}.py", ("tests/export_v1/analysis/test_batch_axis.py",)
_ROW_CHANGES = (
    Change(_ROWS.format("computing"), "axes is None or rows.axis in axes:", "axes is None:", _APART),
    Change(_ROWS.format("computing"), "and rows.axis < rank - 1 else None", "else None", _APART),
    Change(
        _ROWS.format("computing"),
        "    if any(isinstance(state, Sizes) for state in look.states):\n        return None\n",
        "",
        _APART,
    ),
    Change(_ROWS.format("shaping"), "if not entry or known % entry:", "if not entry:", _APART),
    Change(
        _ROWS.format("slicing"),
        "return Rows(made, state.per) if whole else None",
        "return Rows(made, state.per)",
        _APART,
    ),
    Change(_ROWS.format("flow"), "data if isinstance(predicate, Free) else None", "data", _APART),
    Change(_ROWS.format("flow"), "data if endings.is_kept(look, predicate) else Mixed(look.node.name)", "data", _APART),
    Change(_ROWS.format("endings"), "return done.going and stays_done and _stays", "return _stays", _APART),
    Change(_ROWS.format("endings"), "    if new is None or new == variable:\n", "    if True:\n", _APART),
    Change(_ROWS.format("endings"), " and bool(np.all(steps[0] >= 0))", "", _APART),
    Change(_ROWS.format("endings"), ' and not attr(handle, "dynamic_size").b', "", _APART),
    Change(_ROWS.format("endings"), 'look.node.op == "Max"', 'look.node.op in ("Max", "Min")', _APART),
    Change(_ROWS.format("endings"), "return None if says is None else yes if says else no", "return yes", _APART),
    Change(_ROWS.format("endings"), "kept is not None and _root(look, kept) == variable", "kept is not None", _APART),
    Change(
        "export_v1/analysis/batch_axis.py",
        "                if not isinstance(goes_on, Free):\n",
        "                if False:\n",
        _APART,
    ),
    Change(
        "export_v1/analysis/batch_axis.py",
        "        if not all(isinstance(state, Free) for state in states[:first]):\n",
        "        if False:\n",
        _APART,
    ),
    Change(
        "export_v1/analysis/batch_axis.py",
        "                if joined == states:\n",
        "                if True:\n",
        _APART,
    ),
    Change(
        "export_v1/analysis/batch_axis.py",
        "None if self._live.is_dead(tensor) else self.states.get(tensor)",
        "self.states.get(tensor)",
        _APART,
    ),
)
_RACES = (
    Change(
        "export_v1/analysis/races.py",
        "        and not live.excludes(reader, write)\n",
        "",
        ("tests/export_v1/analysis/test_races.py",),
    ),
    Change(
        "export_v1/analysis/races.py",
        " and live.runs(write)",
        "",
        ("tests/export_v1/analysis/test_races.py",),
    ),
    Change(
        "export_v1/analysis/liveness.py",
        "            not any(node.op in ops.WAYS_BACK for node in map(self._index.__getitem__",
        "            True or not any(node.op in ops.WAYS_BACK for node in map(self._index.__getitem__",
        ("tests/export_v1/analysis/test_races.py",),
    ),
    Change(
        "export_v1/analysis/races.py",
        "        and reader not in before[write]\n",
        "",
        ("tests/export_v1/analysis/test_races.py",),
    ),
    Change(
        "export_v1/analysis/races.py",
        "        and write not in before[reader]\n",
        "",
        ("tests/export_v1/analysis/test_races.py",),
    ),
    Change(
        "export_v1/analysis/races.py",
        "            if reader in above:\n",
        "            if True:\n",
        ("tests/export_v1/analysis/test_races.py",),
    ),
    Change(
        "export_v1/proof/sample.py",
        "        return found.without(original.undecided())\n",
        "        return found\n",
        ("tests/export_v1/test_unproven.py",),
        "answers that agreed by chance prove nothing",
    ),
    Change(
        "export_v1/pipeline.py",
        "    not_proven = dict(changed)\n",
        "    not_proven: dict[str, str] = {}\n",
        ("tests/export_v1/analysis/test_changed_kernels.py",),
    ),
    Change(
        "export_v1/proof/batch.py",
        "        choices = _of_constant_shape(serving, planned.default, files)\n",
        "        choices: tuple[interface.Choice, ...] = ()\n",
        ("tests/export_v1/proof/test_batch.py",),
    ),
)
CHANGES = _RACES + _DROPOUTS + _AVERAGE + _NORM_CHANGES + _ROW_CHANGES
