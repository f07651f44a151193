"""Changes to how inputs are made up in export_v1/proof, each of which a test has to notice."""

from tests.mutants.change import Change

_BY_CLASS = "tests/export_v1/proof/test_samples_by_class.py"
_MADE = "tests/export_v1/proof/test_examples.py"
_SIZES = "tests/export_v1/proof/test_sizes.py"
_SPARSE = "tests/export_v1/proof/test_sparse.py"
_GRAPHS = "tests/export_v1/proof/test_sample_graphs.py"


def _change(module: str, before: str, after: str, tests: str = _BY_CLASS, why: str = "") -> Change:
    return Change(f"export_v1/proof/{module}.py", before, after, (tests,), why)


CHANGES = (
    _change("candidates", "            most -= 1\n", "", why="repairs take all judgements"),
    _change("sizes", "wanted = probe.wanted(self.reading, node, at, so_far)", "wanted = so_far", why="no op is asked"),
    _change("sizes", '    "Transpose": _Search.transposed,\n', "", _SIZES),
    _change("sizes", '    "GatherV2": _Search.gathered,\n', "", _SIZES),
    _change("sizes", '    "StridedSlice": _Search.sliced,\n', "", _SIZES),
    _change("probe", "if op.takes(_with(shape, axis, _ABSURD)):", "if True:", why="no size is found"),
    _change("probe", "yield from (value.i, *value.list.i, value.i**2)", "pass", _SIZES),
    _change("values", "return domain.shifted(lambda limit: limit - by)", "return domain"),
    _change("values", "return domain.shifted(lambda limit: limit + by) if at == 0 else None", "return domain"),
    _change("values", "return self._placed(node, wanted)", "return wanted"),
    _change("values", 'return self._elements(data_inputs(node)[0], "TensorArrayReadV3", depth)', "return None"),
    _change(
        "rules",
        '    return None if not rows else Domain(0, max(min(rows, most or rows), 1), "rising")',
        "    return None",
    ),
    _change("rules", "        return Domain(1, size + 1) if size else None", "        return None"),
    _change(
        "size_rules", "added = np.zeros([length], int) if paddings is None else np.sum(paddings, axis=1)", "return None"
    ),
    _change(
        "size_rules", "small[place] * step if is_same else (small[place] - 1) * step + reach", "small[place] * step"
    ),
    _change(
        "arrays",
        "    if numbers.size > 1 and np.all(numbers == numbers.flat[0]):",
        "    if False:",
        "tests/export_v1/proof/test_arrays.py",
    ),
    _change("arrays", "    if not sizes:\n", "    if False:\n", "tests/export_v1/proof/test_arrays.py"),
    _change("candidates", "for length in _LENGTHS", "for length in ()", "tests/export_v1/proof/test_sample.py"),
    _change(
        "candidates", "        if refusal is None:\n", "        if True:\n", _GRAPHS, "nothing is judged before it runs"
    ),
    _change(
        "candidates",
        "for first, others in ((BATCH, SIZES[0]), (SIZES[0], SIZES[0])):",
        "for first, others in ((BATCH, SIZES[0]),):",
    ),
    _change("candidates", "if sizes_[name][axis] + other - size > 0:", "if False:"),
    _change(
        "told",
        "is_old = original.graph_def.versions.producer <= _RANK_0_IS_UNKNOWN",
        "is_old = False",
        "tests/export_v1/proof/test_told.py",
    ),
    _change(
        "told",
        "return component if component is None or not is_batch else [None, *component]",
        "return component",
        "tests/export_v1/proof/test_told.py",
    ),
    _change(
        "flat",
        "return at + (int(index) if index else 0)",
        "return int(index) if index else 0",
        "tests/export_v1/proof/test_flat.py",
    ),
    _change(
        "flat",
        '            self._append(name, "PlaceholderWithDefault", [tensor], tf.as_dtype(types[at]), shape=shape)\n            tensors.append(Tensor(name))',
        "            tensors.append(inputs[0])",
        "tests/export_v1/proof/test_flat.py",
    ),
    _change("sparse", "dense[-axis] = size", "pass", _SPARSE),
    _change("sparse", "return (size, None) if attr", "return (size,) if attr", _SPARSE, "a turned factor"),
    _change("sparse", "_in_order(_sizes(reading, node, operands), order)", "_sizes(reading, node, operands)", _SPARSE),
    _change("sparse", "tensor = inputs[tensor.index]", "break", _SPARSE, "what is sorted is something else"),
    _change("sparse", "    if node.op in _BESIDE_DENSE:\n", "    if False:\n", _SPARSE),
    _change("sparse", '            if node.op == "CTCLoss":\n', "            if False:\n", _SPARSE),
    _change(
        "examples",
        "        return sparse.found(self.reading, self.placeholders)\n",
        "        return self._parts()\n",
        _SPARSE,
        "sizes beside it say nothing about it",
    ),
    _change("divisions", "    return ordered(use)\n", "    return None\n"),
    _change(
        "divisions",
        "    rows = _compared(use.reading, _last(use.reading, tensor))\n",
        "    rows = None\n",
        _BY_CLASS,
    ),
    _change("divisions", 'made is not None and made.op != "Const"', "made is not None", why="no rows are divided"),
    _change("divisions", "max(shape[0] - _is_compared(reading, Tensor(placeholder)), 0)", "shape[0]"),
    _change("divisions", "    return None if rows is None or rows < 0 else parts(rows)\n", "    return None\n"),
    _change("divisions", "key=lambda name: not _is_compared(reading, Tensor(name))", "key=str", why="by name alone"),
    _change("rules", '    **_each("UpperBound LowerBound", at_0=divisions.ordered),\n', ""),
    _change("rules", '    **_each("SparseTensorDenseMatMul", at_0=_places_of_factor),\n', ""),
    _change("rules", "lambda use: Domain(low, high, is_loose=True)", "lambda use: Domain(low, high)"),
    _change("values", "divisions.parts(int(np.max(ends.high)) - 1)", "None"),
    _change(
        "values", 'return dataclasses.replace(domain.at((..., at)), order="") if is_column else None', "return None"
    ),
    _change("domain", '_WHOLE = ("splits", "parts")', "_WHOLE = ()"),
    _change(
        "candidates",
        "changed = sizes_ | {name: [length] for name in vectors}",
        "changed = sizes_",
        why="parts are as many as rows",
    ),
    _change("candidates", "yield from self._divided(made)", "pass"),
    _change("examples", "division = maker.division(sizes, like)", 'division = ""'),
    _change(
        "strings",
        'return [base64.urlsafe_b64encode(item).rstrip(b"=") for item in inner]',
        "return inner",
        "tests/export_v1/proof/test_examples.py",
    ),
    _change(
        "examples",
        "if self._trial is not None and count else None",
        "if self._trial is not None else None",
        "tests/export_v1/proof/test_trial.py",
        "the ordinary model starts a process",
    ),
    _change("examples", "[zlib.crc32(key.encode()), seed]", "[7, seed]", _MADE),
    _change("examples", "[zlib.crc32(key.encode()), seed]", "[zlib.crc32(key.encode())]", _MADE),
    _change(
        "strings", "_keys(reading, inputs[at]) for at in (2, 3)", "_keys(reading, inputs[at]) for at in (3, 2)", _MADE
    ),
    _change("strings", "        yield key, data_type, 2\n", "        yield key, data_type, 1\n", _MADE),
    _change("strings", '    "ParseSingleExample": _example_proto,\n', "", _MADE),
    _change("strings", '    "StringToNumber": _number,\n', "", _MADE),
    _change("rules", '    **_each("OneHot", at_0=_depth, at_1=between(4, 7)),\n', "", _MADE),
    _change("rules", "    **{(op, 1): _rows for op in ops.GATHERS},\n", "", _MADE),
    _change(
        "told",
        "    return None if static.rank is None else static.as_list()\n",
        "    return static.as_list()\n",
        "tests/export_v1/proof/test_told.py",
    ),
)
