"""Changes to the passes over dropouts and moving averages, each of which a test has to notice."""

from tests.mutants.change import Change

_DROPOUT, _DROPPED = "export_v1/passes/dropout.py", ("tests/export_v1/passes/test_dropout.py",)
_AVERAGES, _KEPT = "export_v1/passes/moving_averages.py", ("tests/export_v1/passes/test_moving_averages_kept.py",)
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
    Change(_DROPOUT, '            shape.attr["out_type"].CopyFrom(node.attr["T"])\n', "", _DROPPED),
    Change(_DROPOUT, 'graph.fresh_name(f"{node.name}/of_data", names)', 'f"{node.name}/of_data"', _DROPPED),
    Change(_DROPOUT, "_recorded_sizes(index, data) == list(", "len(_recorded_sizes(index, data)) == len(", _DROPPED),
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

CHANGES = _DROPOUTS + _AVERAGE
