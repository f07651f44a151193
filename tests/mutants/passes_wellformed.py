"""Changes to what is asked of a graph before TensorFlow sees it, each of which a test has to notice."""

from tests.mutants.change import Change

_WELLFORMED, _FORMED = "export_v1/ir/wellformed.py", ("tests/export_v1/ir/test_wellformed.py",)
_FUNCTIONS, _CALLED = "export_v1/ir/library.py", ("tests/export_v1/ir/test_library.py",)
_ORDERING = "export_v1/ir/ordering.py"
_ENDLESS, _ENDED = "export_v1/analysis/endless.py", ("tests/export_v1/analysis/test_endless.py",)

_GRAPHS = (
    Change(_WELLFORMED, "if count > 1 or not name]", "if count > 1]", _FORMED),
    Change(_WELLFORMED, "if count > 1 or not name]", "if not name]", _FORMED),
    Change(_WELLFORMED, "return wrong or _cycle(index)", "return wrong", _FORMED),
    Change(
        _WELLFORMED,
        "[*_attributes(index.kinds[name], given), *_values(node, given)]",
        "[*_attributes(index.kinds[name], given)]",
        _FORMED,
    ),
    Change(
        _WELLFORMED,
        "[*_attributes(index.kinds[name], given), *_values(node, given)]",
        "[*_values(node, given)]",
        _FORMED,
    ),
    Change(_WELLFORMED, "            if not attribute.has_default:\n", "            if False:\n", _FORMED),
    Change(_WELLFORMED, "            if not attribute.has_default:\n", "            if True:\n", _FORMED),
    Change(_WELLFORMED, 'given not in (attribute.field, "placeholder")', "given != attribute.field", _FORMED),
    Change(
        _WELLFORMED,
        "_size(value, attribute) < attribute.minimum:",
        "_size(value, attribute) <= attribute.minimum:",
        _FORMED + ("tests/test_fuzz.py::test_the_golden_graphs_hold_together",),
    ),
    Change(_WELLFORMED, "elif attribute.minimum is not None and", "elif False and", _FORMED),
    Change(_WELLFORMED, "elif attribute.allowed is not None and", "elif False and", _FORMED),
    Change(_WELLFORMED, ' or key.startswith("_"):\n', ":\n", _FORMED),
    Change(_WELLFORMED, '            if _type(data_type).startswith("number"):\n', "            if False:\n", _FORMED),
    Change(_WELLFORMED, "            if not _is_shape(shape):\n", "            if False:\n", _FORMED),
    Change(_WELLFORMED, "            what = _tensor(tensor)\n", '            what = ""\n', _FORMED),
    Change(
        _WELLFORMED,
        "if not 0 <= graph.attr(node, number).i <= graph.MOST_ENDS:",
        "if not 0 <= graph.attr(node, number).i:",
        _FORMED,
    ),
    Change(_WELLFORMED, "any(size < -1 for size in sizes)", "any(size < -2 for size in sizes)", _FORMED),
    Change(_WELLFORMED, "any(size < -1 for size in sizes)", "any(size < 0 for size in sizes)", _FORMED),
    Change(_WELLFORMED, "if len(sizes) > _MOST_AXES or any(size < -1", "if any(size < -1", _FORMED),
    Change(
        _WELLFORMED,
        "if len(sizes) > _MOST_AXES or any(size < -1",
        "if len(sizes) >= _MOST_AXES or any(size < -1",
        _FORMED,
    ),
    Change(_WELLFORMED, "math.prod(size for size in sizes if size > 0) < 2**56", "True", _FORMED),
    Change(_WELLFORMED, "tensor.tensor_shape.unknown_rank or any(size < 0", "any(size < 0", _FORMED),
    Change(
        _WELLFORMED, "any(size < 0 for size in sizes) or len(sizes) > _MOST_AXES:", "len(sizes) > _MOST_AXES:", _FORMED
    ),
    Change(
        _WELLFORMED,
        "any(size < 0 for size in sizes) or len(sizes) > _MOST_AXES:",
        "any(size < 0 for size in sizes):",
        _FORMED,
    ),
    Change(_WELLFORMED, " or tensor.dtype == 0 or tensor.dtype > _REFERENCE:", " or tensor.dtype == 0:", _FORMED),
    Change(_WELLFORMED, "    if count * size > LARGEST:\n", "    if False:\n", _FORMED),
    Change(
        _WELLFORMED,
        "    if count * size > LARGEST:\n",
        "    if count > LARGEST:\n",
        _FORMED,
        why="elements are counted instead of bytes",
    ),
    Change(_WELLFORMED, "    if tensor.tensor_content and dtype == tf.string:\n", "    if False:\n", _FORMED),
    Change(_WELLFORMED, "not in (count * size, -(-count // 2)):", "> count * size:", _FORMED),
    Change(_WELLFORMED, "count * (2 if dtype.is_complex else 1)", "count", _FORMED),
    Change(_WELLFORMED, "count * (2 if dtype.is_complex else 1)", "count * 4", _FORMED),
    Change(_WELLFORMED, "        index.is_disordered(node.name)\n        or not", "        not", _FORMED),
    Change(_WELLFORMED, "    if len(wanted) != len(data):\n", "    if len(wanted) > len(data):\n", _FORMED),
    Change(
        _WELLFORMED,
        "[arg.type for arg in function.input_arg] if function else graph.input_types(node)",
        "graph.input_types(node)",
        _FORMED,
    ),
    Change(_WELLFORMED, "        if tensor.index >= len(made):\n", "        if tensor.index > len(made):\n", _FORMED),
    Change(
        _WELLFORMED,
        "elif made[tensor.index] % _REFERENCE != data_type % _REFERENCE and data_type:",
        "elif made[tensor.index] != data_type and False:",
        _FORMED,
    ),
    Change(
        _WELLFORMED,
        "        if made is None:\n            continue\n",
        "        if made is None:\n            made = []\n",
        _FORMED,
    ),
    Change(_WELLFORMED, "    if not _is_op(node, index):\n        return\n", "", _FORMED),
    Change(_WELLFORMED, " if each not in loops]", "]", _FORMED),
    Change(
        _WELLFORMED,
        "(*(tensor.node for tensor in data), *controls)",
        "(tensor.node for tensor in data)",
        _FORMED,
        why="control edges are no dependencies",
    ),
    Change(_WELLFORMED, "in faults[:3])", "in faults[:4])", _FORMED),
    Change(_WELLFORMED, "len(faults) - 3} more", "len(faults)} more", _FORMED),
    Change(_WELLFORMED, "if len(faults) > 3 else", "if len(faults) >= 3 else", _FORMED),
    Change(_WELLFORMED, 'repr(name if len(name) <= 120 else name[:120] + "…")', "repr(name)", _FORMED),
    Change(_WELLFORMED, "    except errors.ExportError:\n        raise\n", "", _FORMED),
)

_LIBRARIES = (
    Change(_FUNCTIONS, "if count > 1 or not name)", "if count > 1)", _CALLED),
    Change(
        _FUNCTIONS,
        '        faults += [f"function {function.signature.name!r} {what}" for what in _body(function)]\n',
        "        pass\n",
        _CALLED,
    ),
    Change(
        _FUNCTIONS,
        "        called |= {gradients[name] for name in (*called, function.signature.name) if name in gradients}\n",
        "",
        _CALLED,
    ),
    Change(_FUNCTIONS, "(*called, function.signature.name)", "called", _CALLED),
    Change(_FUNCTIONS, "    yield node.op\n", "", _CALLED),
    Change(_FUNCTIONS, "            yield value.func.name\n", "            pass\n", _CALLED),
    Change(_FUNCTIONS, "    if len(nodes) != len(function.node_def):\n", "    if False:\n", _CALLED),
    Change(_FUNCTIONS, "            if not _is_there(edge, nodes, arguments):\n", "            if False:\n", _CALLED),
    Change(
        _FUNCTIONS,
        '        if not _is_there(function.ret.get(arg.name, ""), nodes, arguments):\n',
        "        if False:\n",
        _CALLED,
    ),
    Change(_FUNCTIONS, "    if ordering.unordered(edges):\n", "    if False:\n", _CALLED),
    Change(_FUNCTIONS, " and source not in loops\n", "\n", _CALLED),
    Change(
        _FUNCTIONS,
        '(edge.lstrip("^").split(":")[0] for edge in node.input)',
        '(edge.split(":")[0] for edge in node.input)',
        _CALLED,
    ),
    Change(_FUNCTIONS, "    if name in arguments:\n        return True\n", "", _CALLED),
    Change(
        _FUNCTIONS, 'return output.split(":")[0] in {arg.name for arg in definition.output_arg}', "return True", _CALLED
    ),
    Change(
        _FUNCTIONS,
        "if definition is None or not output:",
        "if not output:",
        _CALLED,
        why="an op of a library has no outputs",
    ),
    Change(_ORDERING, "            waiting[reader] -= 1\n", "            waiting[reader] = 0\n", _CALLED),
    Change(
        _ORDERING,
        "        del waiting[name]\n",
        "        waiting.pop(name, None) if readers[name] else None\n",
        _CALLED,
    ),
    Change(_ENDLESS, "    if endless:\n", "    if len(endless) > 1:\n", _ENDED),
    Change(_ENDLESS, '.removesuffix("/LoopCond")', "", _ENDED),
    Change(_ENDLESS, "if _is_true(values, node.input[0])]", "]", _ENDED),
    Change(_ENDLESS, "*map(_body, functions.values())", "", _ENDED, why="loops inside functions are overlooked"),
    Change(
        _ENDLESS, "if condition is not None and _is_constantly_true(condition)]", "if condition is not None]", _ENDED
    ),
    Change(
        _ENDLESS,
        "if condition is not None and _is_constantly_true(condition)]",
        "if _is_constantly_true(condition)]",
        _ENDED,
    ),
    Change(_ENDLESS, "np.size(value) > 0 and bool(np.all(value))", "bool(np.all(value))", _ENDED),
    Change(_ENDLESS, "np.size(value) > 0 and bool(np.all(value))", "bool(np.any(value))", _ENDED),
    Change(
        _ENDLESS,
        "        copy.input.extend(map(_node_edge, node.input))\n",
        "        copy.input.extend(node.input)\n",
        _ENDED,
    ),
    Change(_ENDLESS, 'output.rpartition(":")[2] in ("", "0")', "True", _ENDED, why="every output is the first"),
)

CHANGES = _GRAPHS + _LIBRARIES
