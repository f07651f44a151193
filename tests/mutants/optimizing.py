"""Changes to what --optimize does, each of which a test has to notice."""

from tests.mutants.change import Change

_AFFINE, _FOLDED = "export_v1/passes/affine.py", ("tests/export_v1/passes/test_affine.py",)
_WEIGHTS, _OPTIMIZE = "export_v1/passes/constant_weights.py", "export_v1/passes/optimize.py"
_CONSTANT = ("tests/export_v1/passes/test_constant_weights.py",)
_OPTIMIZED = ("tests/export_v1/passes/test_optimize.py",)
_ASSEMBLY, _ASSEMBLED = "export_v1/artifact/assembly.py", ("tests/export_v1/artifact/test_assembly.py",)
_PLAN = "export_v1/planning/plan.py"

CHANGES = (
    Change(_AFFINE, "shift * factor + term", "shift + term", _FOLDED, why="a bias before a norm is scaled, too"),
    Change(_AFFINE, "if len(readers) != 1:", "if not readers:", _FOLDED),
    Change(_AFFINE, " or controls or at >= len(data)", " or at >= len(data)", _FOLDED),
    Change(_AFFINE, 'attr(node, "is_training").b or reads_statistics', "reads_statistics", _FOLDED),
    Change(_AFFINE, 'attr(node, "is_training").b or reads_statistics', 'attr(node, "is_training").b', _FOLDED),
    Change(_AFFINE, "variance + attr(node, \"epsilon\").f", "variance", _FOLDED),
    Change(_AFFINE, "(1, -value) if at == 0 else (-1, value)", "(1, -value)", _FOLDED),
    Change(_AFFINE, "(1 / value, 0) if at == 0 else None", "(1 / value, 0)", _FOLDED),
    Change(_AFFINE, "{-1, rank - 1} & set(squeezed)", "{-1} & set(squeezed)", _FOLDED),
    Change(_AFFINE, "or value.size != sizes[axis]", "", _FOLDED),
    Change(_AFFINE, "value is None or value.ndim > rank", "value is None", _FOLDED),
    Change(_AFFINE, 'return (0,) if attr(node, "transpose_b").b else _CHANNELS[node.op]', "return _CHANNELS[node.op]", _FOLDED),
    Change(_AFFINE, '("NCHW", 1) if attr(node, "data_format").s.startswith(b"NC") else ', "", _FOLDED),
    Change(_AFFINE, "if not (np.isfinite(kernel).all() and np.isfinite(shift).all()):", "if False:", _FOLDED),
    Change(_AFFINE, "self.moved[Tensor(reader.name)], self.waits[reader.name] = now, now.node", "self.moved[Tensor(reader.name)] = now", _FOLDED),
    Change(_WEIGHTS, "all(reader.op in _READERS", "any(reader.op in _READERS", _OPTIMIZED),
    Change(_WEIGHTS, "        and not any(_scales_by_data(index, reader) for reader in readers[name])\n", "", _OPTIMIZED),
    Change(_WEIGHTS, "any(index[name].op in ops.PLACEHOLDERS for name in index.ancestors(roots)) if roots else False", "bool(roots)", _OPTIMIZED),
    Change(_WEIGHTS, " and not control_inputs(node)\n", "\n", _CONSTANT),
    Change(_WEIGHTS, "(value, *others, *waits)", "(value, *others)", _CONSTANT),
    Change(_OPTIMIZE, "node.name not in keep and not control_inputs(node)", "node.name not in keep", _OPTIMIZED),
    Change(_OPTIMIZE, "node.name not in keep and not control_inputs(node)", "not control_inputs(node)", _OPTIMIZED),
    Change(_OPTIMIZE, "not awaited or index[source.node].op not in ops.V1_CONTROL_FLOW", "True", _OPTIMIZED),
    Change(_OPTIMIZE, "rewrite.rewired(node, sources, waits)", "rewrite.rewired(node, sources)", _OPTIMIZED),
    Change(_ASSEMBLY, "graph_def=graph_def, losses=(), weights=weights", "graph_def=graph_def, losses=()", _ASSEMBLED),
    Change(_ASSEMBLY, "*exported.table_inits, *exported.asset_files]", "]", _ASSEMBLED),
    Change(_PLAN, "planned = _inference_only(planned)", "pass", _ASSEMBLED),
)  # fmt: skip
