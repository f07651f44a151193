"""Changes to export_v1/interface, each of which a test has to notice."""

from tests.mutants.change import Change

_FLAGS = ("tests/test_interface_flags.py",)
_ROLES = ("tests/test_interface_roles.py",)


def _change(module: str, before: str, after: str, tests: tuple[str, ...], why: str = "") -> Change:
    return Change(f"export_v1/interface/{module}.py", before, after, tests, why)


CHANGES = (
    _change("flags", "0.0 if kept_above == (rate == inputs[1]) else 1.0", "0.0 if kept_above else 1.0", _FLAGS),
    _change("flags", "0.0 if kept_above == (rate == inputs[1]) else 1.0", "0.0", _FLAGS),
    _change("flags", "        verdicts.update(self._by_rate(sides))\n", "", _FLAGS),
    _change("flags", "if len(set(verdicts.values())) != 1:", "if not verdicts:", _FLAGS),
    _change("flags", "if len(values) != 1 or not 0.0 <= min(values) <= 1.0:", "if len(values) != 1:", _FLAGS),
    _change("flags", "if len(values) != 1 or not", "if not values or not", _FLAGS),
    _change(
        "flags",
        "if value in (0.0, 1.0) and value != self._steps.constants.get(tensor):",
        "if value in (0.0, 1.0):",
        _FLAGS,
    ),
    _change(
        "flags",
        "if value in (0.0, 1.0) and value != self._steps.constants.get(tensor):",
        "if value is not None:",
        _FLAGS,
    ),
    _change("flags", "inference = no if training == yes else yes", "inference = no", _FLAGS),
    _change("flags", "[Dropout(node.name, rate, 1.0)", "[Dropout(node.name, rate, 0.0)", _FLAGS),
    _change("flags", 'adding.op not in ("Add", "AddV2")', 'adding.op not in ("Add", "AddV2", "Mul")', _FLAGS),
    _change(
        "flags", "node.name not in self._backward and self._is_mask(node.name)", "self._is_mask(node.name)", _FLAGS
    ),
    _change(
        "flags",
        "node.name not in self._backward and self._is_mask(node.name)",
        "node.name not in self._backward",
        _FLAGS,
    ),
    _change("flags", "if dtype in _INTEGERS and self._is_compared(tensor):", "if False:", _FLAGS),
    _change(
        "flags",
        "return (slope, offset - other) if at == 0 else (-slope, other - offset)",
        "return slope, offset - other",
        _FLAGS,
    ),
    _change("flags", "return slope, offset + other", "return slope, offset", _FLAGS),
    _change("flags", "return slope * other, offset * other", "return slope * other, offset", _FLAGS),
    _change("flags", "return slope / other, offset / other", "return None", _FLAGS),
    _change(
        "flags",
        "    if len(inputs) != 2 or inputs[1 - at] not in known or",
        "    if len(inputs) != 2 or inputs[1 - at] not in known or at or",
        _FLAGS,
    ),
    _change("flags", '("moments of the batch", lambda node: node.op == "SquaredDifference"),', "", _FLAGS),
    _change("flags", '("random numbers", lambda node: node.op in RANDOM),', "", _FLAGS),
    _change("live", " or any(name in self._dead_nodes for name in self._steps.controls(node)):", ":", _FLAGS),
    _change("live", "and tensor not in self.stops\n\n    def _visit", "\n\n    def _visit", _FLAGS),
    _change("live", "Tensor(node.name, 0 if predicate else 1)", "Tensor(node.name, 1 if predicate else 0)", _FLAGS),
    _change("live", "inputs = [inputs[1 if self.known[inputs[0]] else 2]]", "pass", _FLAGS),
    _change("live", "            inputs = inputs[:1]\n", "            pass\n", _FLAGS),
    _change(
        "live",
        "inputs = [tensor for tensor in inputs if not self.is_dead(tensor)]\n        elif",
        "pass\n        elif",
        _FLAGS,
    ),
    _change("live", 'and bool(known[tensor]) == (node.op == "LogicalOr"):', "and bool(known[tensor]):", _FLAGS),
    _change("live", "return [tensor for tensor in inputs if tensor not in self._frozen]", "return inputs", _FLAGS),
    _change(
        "settle",
        "if not self.backward or any(self.flag(name) is not None for name in frozen):",
        "if not self.backward:",
        _FLAGS,
    ),
    _change(
        "settle",
        "if not self.backward or any(self.flag(name) is not None for name in frozen):",
        "if any(self.flag(name) is not None for name in frozen):",
        ("tests/test_interface.py",),
    ),
    _change(
        "settle",
        "        names.sort(key=lambda name: given.tensor_type(self.index, graph.parse(name)) != types_pb2.DT_BOOL)\n",
        "",
        _FLAGS,
    ),
    _change(
        "settle",
        "        if flag is not None:\n            differs",
        "        if flag is not None and default is None:\n            differs",
        _FLAGS,
        "the default wins",
    ),
    _change("settle", "differs = default is not None and default != flag.inference", "differs = False", _FLAGS),
    _change("settle", "if dropout.node in needed and rate", "if rate", _FLAGS),
    _change("settle", "None if shape or dtype is None else", "None if dtype is None else", _FLAGS),
    _change("settle", "            if value is None and flag is not None:\n", "            if False:\n", _FLAGS),
    _change("settle", "if name not in train and flags[name] is None}", "if name not in train}", _FLAGS),
    _change("settle", "if name not in train and flags[name] is None}", "if False}", _FLAGS),
    _change("settle", 'return None, "nothing is given for it and its default is computed"', 'return None, ""', _FLAGS),
    _change(
        "settle",
        "value = default if flag is None or flag.training is None else flag.training",
        "value = default",
        ("tests/test_interface.py",),
    ),
    _change("backward", 'and "Backprop" not in node.op', "", _FLAGS),
    _change(
        "backward",
        "    if _UPDATE_OP.match(node.op) or _SCOPE.search(node.name):",
        "    if _SCOPE.search(node.name):",
        _FLAGS,
    ),
    _change(
        "backward",
        "    if _UPDATE_OP.match(node.op) or _SCOPE.search(node.name):",
        "    if _UPDATE_OP.match(node.op):",
        _FLAGS,
    ),
    _change(
        "backward",
        "return index.descendants(node.name for node in index.graph_def.node if _is_gradient(node))",
        "return {node.name for node in index.graph_def.node if _is_gradient(node)}",
        _FLAGS,
    ),
    _change("backward", '_SAVER = re.compile(r"(^|/)save', '_SAVER = re.compile(r"save', _FLAGS),
)
