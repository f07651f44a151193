"""Changes to export_v1/interface, each of which a test has to notice."""

from tests.mutants.change import Change

_FLAGS = ("tests/export_v1/interface/test_mode_flags.py",)
_GIVEN = ("tests/export_v1/interface/test_interface.py", "tests/export_v1/interface/test_given.py")
_ROLES = ("tests/export_v1/interface/test_roles.py",)
_CHOICE = ("tests/export_v1/interface/test_interface_choice.py",)
_LOSSES = (*_ROLES, *_CHOICE)
_LISTING = ("tests/export_v1/interface/test_listing.py",)
_SOURCES = ("tests/export_v1/interface/test_sources.py",)
_TELLING = ("tests/export_v1/interface/test_telling.py",)
_RATES = ("tests/export_v1/analysis/test_dropout.py",)
_ODD = ("tests/export_v1/test_oddities.py",)


def _change(module: str, before: str, after: str, tests: tuple[str, ...], why: str = "") -> Change:
    room = "analysis" if module in ("live", "dropout") else "interface"
    return Change(f"export_v1/{room}/{module}.py", before, after, tests, why)


CHANGES = (
    _change("given", "        if keyword.iskeyword(key):\n", "        if False:\n", _GIVEN),
    _change("dropout", "for _ in range(_RATE_STEPS):", "for _ in range(_RANDOM_STEPS):", _RATES),
    _change("dropout", "return tensor, bool(value) if index", "return tensor, value if index", _RATES),
    _change("results", "if roles.in_model(node.name) and self._is_class(node):", "if False:", _LOSSES),
    _change(
        "results",
        "return self.is_choice(node) and above is not None and above.op in FORMS | PARTS",
        "return self.is_choice(node)",
        _ROLES,
    ),
    _change(
        "results",
        "return self.is_choice(node) and not self.roles.is_scalar(Tensor(node.name))",
        "return self.roles.is_scalar(Tensor(node.name))",
        _ROLES,
    ),
    _change("offers", "        _choices(judge),\n", "", _ROLES),
    _change("offers", "        _beside_data(anatomy, judge),\n", "", _ROLES),
    _change("offers", "        _drawn_choices(judge, randomized),\n", "", _ROLES),
    _change("offers", " or judge.is_decided(node)\n", "\n", _ROLES),
    _change("ends", "                    result[scores] = primary\n", "                    pass\n", _ROLES),
    _change("ends", 'if node.op == "LogSoftmax" and not naming.is_given(node)', 'if node.op == "LogSoftmax"', _ROLES),
    _change("anatomy", "self.drawn: list[Tensor] = [] if cuts else self._drawn(model)", "self.drawn = []", _LOSSES),
    _change(
        "anatomy",
        "used = [tensor for tensor in drawn if any(tensor in roles.sources_of(made.node) for made in handed_over)]",
        "used = drawn",
        _ROLES,
    ),
    _change(
        "choose",
        "is_plain_placeholder(source) or source in anatomy.drawn for",
        "is_plain_placeholder(source) for",
        _ROLES,
    ),
    _change("roles", "tensors.update((self._unformed(tensor), None) for", "tensors.update((tensor, None) for", _ROLES),
    _change("mode_flags", "        verdicts.update(self._by_rate(sides))\n", "", _FLAGS),
    _change("mode_flags", "if len(set(verdicts.values())) != 1:", "if not verdicts:", _FLAGS),
    _change("mode_flags", "inference = no if training == yes else yes", "inference = no", _FLAGS),
    _change("mode_flags", "if dtype in _INTEGERS and self._is_compared(tensor):", "if False:", _FLAGS),
    _change("mode_flags", '("moments of the batch", lambda node: node.op == "SquaredDifference"),', "", _FLAGS),
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
        ("tests/export_v1/interface/test_interface.py",),
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
        ("tests/export_v1/interface/test_interface.py",),
    ),
    _change("backward", ' and "Backprop" not in op', "", _FLAGS),
    _change(
        "backward",
        "return index.descendants(name for name, op in index.kinds.items() if _is_gradient(name, op))",
        "return {name for name, op in index.kinds.items() if _is_gradient(name, op)}",
        _FLAGS,
    ),
    _change("backward", '_SAVER = re.compile(r"(^|/)save', '_SAVER = re.compile(r"save', _FLAGS),
    _change("choose", 'reader.op == "Sigmoid" and naming.is_given(reader)', "False", _ROLES),
    _change("choose", 'reader.op == "Sigmoid" and naming.is_given(reader)', 'reader.op == "Sigmoid"', _ROLES),
    _change("ends", "ends, _ = self._up_from_losses(compared)", "ends, _ = self._up_from_losses(frozenset())", _ROLES),
    _change("ends", "if count > 1 and self._is_value(value)", "if False", _ROLES),
    _change("ends", 'or (reader.op == "Mul" and self._is_scaled(tensor))', "", _ROLES),
    _change("ends", "1 < len(parts) <= _MOST_PARTS", "1 < len(parts)", _ROLES),
    _change("ends", "1 < len(parts) <= _MOST_PARTS", "0 < len(parts) <= _MOST_PARTS", _ROLES),
    _change("ends", "                    result.setdefault(base, primary)\n", "                    pass\n", _ROLES),
    _change("offers", "(shifted or not parts.in_model(name))", "not parts.in_model(name)", _ROLES),
    _change("offers", "if ops.is_random(node.op) and node.name not in dropped}", "if ops.is_random(node.op)}", _ROLES),
    _change("roles", "if outside & ~self._numbers or (outside and not mask & TRAINED):", "if outside:", _ROLES),
    _change("results", "(is_number(kind) or kind in _INTEGERS)", "is_number(kind)", _ROLES),
    _change("offers", "        _of_distributions(anatomy),\n", "", _ROLES),
    _change("anatomy", "target(?!_?(net|q|model|actor|critic|policy))", "target", _ROLES),
    _change(
        "choose",
        "    if naming.is_given(anatomy.index[end.tensor.node]):\n        return False\n    for reader",
        "    for reader",
        _ROLES,
    ),
    _change("doubts", "    if len(chosen) > MOST_OUTPUTS:\n", "    if False:\n", _ROLES),
    _change("doubts", "    if len(chosen) > MOST_OUTPUTS:\n", "    if len(chosen) >= MOST_OUTPUTS:\n", _ROLES),
    _change("doubts", 'in {random!r}" if random else ""', 'in {random!r}" if False else ""', _ROLES),
    _change("choose", "if shape is not None and len(shape) == 3 else None", "", _ROLES),
    _change(
        "choose",
        "if shape is not None and len(shape) == 3 else None",
        "if shape is not None and len(shape) >= 3 else None",
        _ROLES,
    ),
    _change("doubts", "    if len(set(needed.values())) > 1:\n", "    if False:\n", _ROLES),
    _change("choose", "        return by_sources[by_hand[0]]\n", "        pass\n", _ROLES),
    _change("anatomy", '"x" if at == nameless[0] else choice.key', "choice.key", _ROLES),
    _change("doubts", "    if not chosen:\n        return", "    if False:\n        return", _ROLES),
    _change(
        "choose",
        "not given.is_bool(anatomy.index, tensor)]",
        "True]",
        ("tests/export_v1/interface/test_interface_choice.py",),
    ),
    _change("doubts", "    if anatomy.doubtful:\n", "    if False:\n", _CHOICE),
    _change(
        "roles",
        "        if step.op in _ADDITIONS and all(self.is_scalar(tensor) for tensor in weights):\n            return False\n",
        "",
        _ROLES,
    ),
    _change(
        "roles",
        "any(not self.is_scalar(tensor) for tensor in others)",
        "bool(others)",
        _ROLES,
    ),
    _change("roles", "made |= mask if op not in _SIZES or mask & _SIZED else 0", "made |= mask", _ROLES),
    _change(
        "roles", "TRAINED if not self._trainable or step.name in self._trainable else OTHER_VARIABLE", "TRAINED", _ROLES
    ),
    _change(
        "roles",
        "if self._frozen_graph and step.op",
        "if step.op",
        _ROLES,
    ),
    _change("roles", '            and "Summary" not in visit.op\n', "", _ROLES),
    _change(
        "roles",
        "            if visit.name not in settling.backward\n            and",
        "            if",
        ("tests/export_v1/interface/test_interface_choice.py",),
    ),
    _change("ends", 'if kind == "compared"}', "}", _ROLES),
    _change(
        "results", "or self.is_kept(node):\n            return False", "or False:\n            return False", _ROLES
    ),
    _change("results", " or self._is_summarized(node))", ")", _ROLES),
    _change("results", "dtype == types_pb2.DT_STRING or chosen", "chosen", _ROLES),
    _change("results", "dtype in _INTEGERS and bool(roles.mask(node.name) & TRAINED)", "False", _ROLES),
    _change("results", "counts = roles.is_counted(node.name) and", "counts =", _ROLES),
    _change("results", 'return all(reader.op != "Softmax" for', 'return all(reader.op != "" for', _CHOICE),
    _change("offers", "if parts.readers(node.name) or kept or", "if kept or", _ROLES),
    _change("offers", "        _handed_over(anatomy),\n", "", _ROLES),
    _change("offers", "_SHOWN // 2", "_SHOWN", _ROLES),
    _change("offers", "        randomized,\n", "", _CHOICE),
    _change("offers", "    if not parts.data or anatomy.constants:\n", "    if False:\n", _ROLES),
    _change("roles", "            met |= self._late(met) - set(labels)\n", "            pass\n", _ROLES),
    _change("roles", "late & ~labels & bit", "late & bit", _ROLES),
    _change(
        "roles", " or step.op in CROSS_ENTROPIES:\n            return False\n", ":\n            return False\n", _LOSSES
    ),
    _change(
        "roles",
        "if scores & target & self._label_mask and",
        "if scores & self._label_mask and",
        _ROLES,
        "a mask is no margin",
    ),
    _change("roles", "if made & TRAINED and _is_sized_by_value", "if _is_sized_by_value", _LOSSES),
    _change("doubts", "    if roles.margins():\n", "    if False:\n", _ROLES),
    _change("doubts", "    if pair:\n", "    if False:\n", _ROLES),
    _change("doubts", "        if reading:\n", "        if False:\n", _ROLES),
    _change("doubts", "    if not roles.has_loss and len(chosen) > 1 and", "    if len(chosen) > 9 and", _CHOICE),
    _change("doubts", 'if end.kind == "in the loss" and not roles.labels and', 'if end.kind == "" and', _CHOICE),
    _change(
        "choose",
        "for name in (*entries, *settling.unfed(settled, entries, tensors))]",
        "for name in settling.unfed(settled, [], tensors)]",
        _CHOICE,
    ),
    _change("trainings", "sharing = [group for group in merged if group & names]", "sharing = []", _ROLES),
    _change(
        "ends",
        "if not any(mask and not mask & (TRAINED | roles.data_mask) for mask in others):",
        "if not any(others):",
        _LOSSES,
    ),
    _change("ends", "_ARITHMETIC if reader.op in DIFFERENCES | CROSS_ENTROPIES else", "() if True else", _ROLES),
    _change(
        "ends", 'return any(matching.op in ("Equal", "NotEqual") for matching in readers)', "return False", _CHOICE
    ),
    _change(
        "states",
        "if source in roles.data and any(other_source in roles.data for other_source in others):",
        "if source in roles.data:",
        _LOSSES,
    ),
    _change("settle", "        if above & _WEIGHTED:\n            return False\n", "", _ROLES),
    _change("settle", "            if not cuts and self.takes_data", "            if self.takes_data", _ROLES),
    _change("backward", " and op not in _ACCUMULATORS and", " and", _CHOICE),
    _change("telling", "if not choices or _HEADING in text:", "if not choices:", _TELLING),
    _change("telling", "dict.fromkeys(lines)", "lines", _TELLING),
    _change("listing", "if len(members) < _ALIKE:", "if True:", _LISTING),
    _change("listing", "if len(members) < _ALIKE:", "if len(members) < 2:", _LISTING),
    _change("listing", "} - trained\n", "}\n", _LISTING),
    _change(
        "listing",
        "name for name in variables if name.rpartition",
        "name for name in () if name.rpartition",
        _LISTING,
    ),
    _change("sources", 'return _COLUMN_SUFFIX.sub("", parts[at + 1])', "return parts[at + 1]", _SOURCES),
    _change("sources", "for at, part in enumerate(parts[:-2]):", "for at, part in enumerate(parts[:-1]):", _SOURCES),
    _change("sources", 'if "_X_" not in column]', "]", _SOURCES),
    _change("sources", "            at = through\n", "            pass\n", _SOURCES),
    _change(
        "offers",
        "(source not in data, order[source.node], source.index)",
        "(source in data, order[source.node], source.index)",
        _ROLES,
    ),
    _change("offers", "        if given.is_bool(anatomy.index, tensor):\n", "        if False:\n", _ROLES),
    _change("offers", "candidates[:limit]", "candidates", _ROLES),
    _change("offers", "if limit is not None and len(candidates) > limit:", "if False:", _ROLES),
    _change("naming", 'name.endswith(f"_{index}")', "True", _ROLES),
    _change("naming", 're.sub(r"\\W", "_", name)', "name", _ROLES),
    _change("naming", "named[-1] if named else role", "named[0] if named else role", _ROLES),
    _change("naming", "and not (bare and op.startswith(bare))", "", _ROLES),
    _change("naming", 'return bare != "placeholder"', "return True", _ROLES),
    _change("naming", "and not about_loss(leaf(node.name))", "", _ROLES),
    _change("naming", "_DEFAULTS | _FUNCTIONS", "_DEFAULTS", _ROLES),
    _change("given", "        if source.name in keys:\n", "        if False:\n", _GIVEN),
    _change(
        "given",
        "            _check_shape(key, source.name, shape, recorded, place, flag)\n",
        "            pass\n",
        _GIVEN,
    ),
    _change("given", "shape if has_shape else recorded)", "recorded)", _GIVEN),
    _change("given", "agree = len(shape) == len(recorded) and all(", "agree = all(", _GIVEN),
    _change("given", "a == b or a is None or b is None for", "a == b or b is None for", _GIVEN),
    _change("given", "    if not fits:\n", "    if False:\n", _GIVEN),
    _change(
        "given", "    if parsed.index < 0 or parsed.node not in index:\n", "    if parsed.node not in index:\n", _GIVEN
    ),
    _change("given", "parsed.index >= len(types):", "parsed.index > len(types):", _GIVEN),
    _change(
        "given",
        "        if dtype is None:\n            raise errors.ExportError(\n",
        "        if False:\n            raise errors.ExportError(\n",
        _GIVEN,
    ),
    _change(
        "given",
        '        if dtype is None:\n            raise errors.ExportError(f"The type of {target.name!r}',
        '        if False:\n            raise errors.ExportError(f"The type of {target.name!r}',
        _GIVEN,
    ),
    _change("given", "            return types[position]\n", "            return None\n", _GIVEN),
    _change("given", '    if raw.dtype.kind == "b":\n', "    if False:\n", _GIVEN),
    _change(
        "resolving", "    _refuse_both([source.tensor for source in fed.values()], {**frozen, **train})\n", "", _GIVEN
    ),
    _change("resolving", "{**frozen, **train})", "frozen)", _GIVEN),
    _change("resolving", 'wanted, place, "freeze")', 'dict(wanted), place, "train_freeze")', _GIVEN),
    _change("resolving", 'wanted, place, "train_freeze")', 'wanted, place, "freeze")', _GIVEN),
    _change("resolving", "            told.extend(chosen)\n", "", _CHOICE),
    _change("resolving", "[*choices, *_without_effect(index, {**frozen, **train}, cuts, names)]", "choices", _ODD),
    _change("settle", "        if not unfed:\n", "        if True:\n", _GIVEN),
    _change(
        "settle",
        "        if dtype == types_pb2.DT_BOOL:\n            return f",
        "        if False:\n            return f",
        _GIVEN,
    ),
)
