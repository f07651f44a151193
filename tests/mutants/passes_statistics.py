"""Changes to the passes over dropouts and moving averages, each of which a test has to notice."""

from tests.mutants.change import Change

_DROPOUT, _DROPPED = "export_v1/passes/dropout.py", ("tests/export_v1/passes/test_dropout.py",)
_AVERAGES, _KEPT = "export_v1/passes/moving_averages.py", ("tests/export_v1/passes/test_moving_averages_kept.py",)
_FORMS = ("tests/export_v1/passes/test_moving_averages.py::test_every_form_of_an_update_is_understood",)
_OTHERS = ("tests/export_v1/passes/test_moving_averages.py::test_other_updates_are_left_alone",)

_DROPOUTS = (
    Change(
        _DROPOUT,
        "if uniform is None or not _is_recorded(index, data_inputs(uniform)[0], data):",
        "if uniform is None:",
        _DROPPED,
    ),
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
        _DROPOUT,
        "_is(values, inputs[1], 1) or node.op in",
        "True or node.op in",
        _DROPPED,
        why="any scale of the random numbers",
    ),
    Change(_DROPOUT, "_is(values, inputs[1], 0)\n", "True\n", _DROPPED, why="any shift of the random numbers"),
    Change(
        _DROPOUT,
        "                    if uniform.name not in index.ancestors([data.node]):\n",
        "                    if True:\n",
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
    Change(_DROPOUT, '            shape.attr["out_type"].CopyFrom(node.attr["T"])\n', "", _DROPPED),
    Change(_DROPOUT, "yield (*data_inputs(inner), 0)", "yield (*data_inputs(inner)[::-1], 0)", _DROPPED),
    Change(_DROPOUT, "yield (*data_inputs(inner), 0)", "yield (*data_inputs(inner), 1)", _DROPPED),
    Change(_DROPOUT, 'inner.op == "GreaterEqual"', 'inner.op in ("GreaterEqual", "Greater")', _DROPPED),
    Change(_DROPOUT, "        yield other, one, 1\n", "", _DROPPED),
    Change(_DROPOUT, "        yield one, other, 1\n", "", _DROPPED),
    Change(
        _DROPOUT,
        'if node.op == "Mul" and _is(values, inputs[0], 1):',
        "if _is(values, inputs[0], 1):",
        _DROPPED,
        why="1 / x is x",
    ),
    Change(
        _DROPOUT,
        "        if _is(values, inputs[1], 1):\n",
        "        if True:\n",
        _DROPPED,
        why="any scale goes with the mask",
    ),
    Change(_DROPOUT, 'if node.op in ("Mul", "RealDiv") and len(inputs) == 2:', 'if node.op == "Mul":', _DROPPED),
    Change(
        _DROPOUT, "        if _is(values, rate, off):\n", "        if True:\n", _DROPPED, why="any rate is a rate of 0"
    ),
    Change(
        _DROPOUT,
        '_PASSES_ON = frozenset({"Identity", "StopGradient"})',
        '_PASSES_ON = frozenset({"Identity"})',
        _DROPPED,
    ),
    Change(_DROPOUT, 'graph.fresh_name(f"{node.name}/of_data", names)', 'f"{node.name}/of_data"', _DROPPED),
    Change(_DROPOUT, "_recorded_sizes(index, data) == list(", "len(_recorded_sizes(index, data)) == len(", _DROPPED),
)

_AVERAGE = (
    Change(_AVERAGES, ' and len(graph.attr(node, "shape").shape.dim) > 0', "", _KEPT, why="a scalar is an average"),
    Change(_AVERAGES, 'return shaped and not node.name.endswith("/biased")', "return shaped", _KEPT),
    Change(_AVERAGES, 'not node.name.endswith("/biased")', 'not node.name.endswith("biased")', _KEPT),
    Change(
        _AVERAGES,
        " if one.node not in fused - whole}",
        "}",
        _KEPT,
        why="a fused norm with one average is rewired by half",
    ),
    Change(
        _AVERAGES,
        "{Tensor(name, 1), Tensor(name, 2)} <= set(found)",
        "{Tensor(name, 1), Tensor(name, 2)} & set(found)",
        _KEPT,
    ),
    Change(_AVERAGES, "        if own != wanted:\n", "        if False:\n", _KEPT),
    Change(_AVERAGES, "SrcT=own, DstT=wanted", "SrcT=wanted, DstT=own", _KEPT),
    Change(_AVERAGES, '    made.attr["is_training"].b = False\n', "", _KEPT),
    Change(_AVERAGES, "((3, 1), (4, 2))", "((3, 2), (4, 1))", _KEPT),
    Change(_AVERAGES, '    dropped = {one.update: "" for one in used.values()}\n', "    dropped = {}\n", _KEPT),
    Change(_AVERAGES, "(op in _SUBTRACTS) == (at == 0)", "True", _OTHERS),
    Change(_AVERAGES, "(op in _SUBTRACTS) == (at == 0)", "op in _SUBTRACTS and at == 0", _FORMS),
    Change(_AVERAGES, "for own, other in (sides, sides[::-1]):", "for own, other in (sides,):", _FORMS),
    Change(_AVERAGES, "    value = guarded[1] if guarded else value\n", "", _FORMS),
    Change(_AVERAGES, "                if Tensor(variable) in own:\n", "                if True:\n", _KEPT),
    Change(_AVERAGES, "difference[at] == Tensor(variable) and ", "", _KEPT, why="any difference is an average's"),
    Change(_AVERAGES, '_operands(index, factor, "Sub")', '_operands(index, factor, "Sub", "Add", "AddV2")', _KEPT),
    Change(_AVERAGES, "    if node is None or node.op not in _ENDS:\n", "    if node is None:\n", _KEPT),
    Change(
        _AVERAGES, "return is_training(node) if node.op in BATCH_NORMS else tensor.index == 0", "return True", _KEPT
    ),
    Change(_AVERAGES, 'and graph.attr(node, "is_training").b', "", _KEPT),
    Change(_AVERAGES, "    return node.op in BATCH_NORMS and graph", "    return graph", _KEPT),
    Change(_AVERAGES, '    if variable.op == "VarHandleOp":\n', "    if False:\n", _KEPT),
    Change(_AVERAGES, 'graph.fresh_name(f"{read.name}/cast", names)', 'f"{read.name}/cast"', _KEPT),
    Change(_AVERAGES, 'graph.fresh_name(f"{variable.name}/average", taken_names)', 'f"{variable.name}/average"', _KEPT),
    Change(
        _AVERAGES,
        '_READS = frozenset({"Identity", "ReadVariableOp", "Cast"})',
        '_READS = frozenset({"Identity", "ReadVariableOp"})',
        _KEPT,
    ),
    Change(_AVERAGES, "tuple(sorted(reads))", "tuple(sorted(reads))[::-1]", _KEPT),
)

CHANGES = _DROPOUTS + _AVERAGE
