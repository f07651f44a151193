"""Changes to what people see and type: the page, help, progress, colour, tables, kinds of sources, proposed rules."""

from tests.mutants.change import Change

_SCOPES = ("tests/load_v2/page/test_scopes.py",)
_PAGE = ("tests/load_v2/commands/test_report.py",)
_PROOF = ("tests/load_v2/page/test_proof.py",)
_PROPOSING = ("tests/load_v2/porting/test_proposing.py",)
_PROGRESS = ("tests/export_v1/console/test_progress.py",)
_COLOUR = ("tests/export_v1/console/test_colour.py",)
_HELPING = ("tests/export_v1/console/test_helping.py",)
_KINDS = ("tests/export_v1/source/test_kinds.py",)
_PRINTING = ("tests/test_printing.py",)
_MAIN = ("tests/export_v1/test_main.py",)

CHANGES = (
    Change("export_v1/artifact/scopes.py", "shown = scope if scope in alive else", "shown = scope if True else",
           ("tests/export_v1/artifact/test_scopes.py",), "dropped scopes at any depth"),
    Change("export_v1/artifact/scopes.py", "after[scope] += name in kept", "after[scope] += 1",
           ("tests/export_v1/artifact/test_scopes.py",)),
    Change("export_v1/artifact/scopes.py", "max(_DROPPED_DEPTH, depth + 1)", "_DROPPED_DEPTH",
           ("tests/export_v1/artifact/test_scopes.py",)),
    Change("load_v2/page/scopes.py", "    return reached or known\n", "    return reached\n", _SCOPES),
    Change("load_v2/page/scopes.py", "    _prune(root)\n", "", _SCOPES, "scopes of weights alone"),
    Change("load_v2/page/scopes.py", 'path = _scopes(node.name) + ([node.name] if node.name in inner else [])',
           "path = _scopes(node.name)", _SCOPES),
    Change("load_v2/page/scopes.py", "if a is not b)", "if False)", _SCOPES),
    Change("load_v2/page/weights.py", "        flat = flat[np.isfinite(flat)]\n", "        pass\n",
           ("tests/load_v2/page/test_weights.py",)),
    Change("load_v2/page/weights.py", "if math.isfinite(highest - lowest) else 0.25", "if True else 0.25",
           ("tests/load_v2/page/test_weights.py",)),
    Change("load_v2/page/proof.py", "worst = finite[np.argsort(parts[finite])[-_POINTS // 10 :]]", "worst = finite[:1]", _PROOF),
    Change("load_v2/page/proof.py", 'side="left"', 'side="right"', _PROOF, "identical elements are none"),
    Change("load_v2/page/proof.py", "if other is None or comparison.rank(plot.comparison) < comparison.rank(other.comparison):", "if other is None:", _PROOF),
    Change("load_v2/page/document.py", '.replace("<", "\\\\u003c")', "", _PAGE, "a name ends the script"),
    Change("load_v2/page/document.py", "    return html.escape(str(value))\n", "    return str(value)\n", _PAGE),
    Change("load_v2/page/document.py", "default-src 'none'; ", "", _PAGE),
    Change("load_v2/page/facts.py", "        return [], f\"The weights cannot be read: {error}\"\n", "        raise\n",
           ("tests/load_v2/page/test_facts.py",)),
    Change("load_v2/page/limits.py", "    if not xla.may_be_tried(needed):\n", "    if True:\n",
           ("tests/load_v2/page/test_limits.py",)),
    Change("load_v2/commands/report.py", "    if os.path.lexists(args.html) and not args.overwrite:\n", "    if False:\n", _PAGE),
    Change("load_v2/porting/likeness.py", "    if word.number and other.number and word.number != other.number:\n", "    if False:\n",
           _PROPOSING),
    Change("load_v2/porting/proposing.py", "        if scope in used or path in used:\n", "        if False:\n", _PROPOSING),
    Change("load_v2/porting/proposing.py", "    if len(roles) > 1 and weight_roles.UNKNOWN not in roles and", "    if False and",
           _PROPOSING),
    Change("load_v2/porting/reshaping.py", "tuple(shape[axis] for axis in order) == wanted", "True", _PROPOSING),
    Change("load_v2/porting/starter.py", "        if entry.key not in used:\n", "        if True:\n", _PROPOSING),
    Change("load_v2/porting/starter.py", "free = {key: entry for key, entry in report.entries.items() if key not in assigned}",
           "free = {key: report.entries[key] for key in report.left_over}", _PROPOSING),
    Change("load_v2/porting/near_misses.py", "re.compile(pattern, re.IGNORECASE)", "re.compile(pattern)", _PROPOSING),
    Change("load_v2/commands/port.py", "    if os.path.lexists(args.suggest):\n", "    if False:\n",
           ("tests/load_v2/commands/test_port.py",)),
    Change("load_v2/commands/port.py", 'model.save(files.enter_context(atomic.published(archive, ".keras", size)))', "pass",
           ("tests/load_v2/commands/test_port.py",)),
    Change("export_v1/console/progress.py", "    if not stream.isatty() or", "    if", _PROGRESS),
    Change("export_v1/console/progress.py", "seconds / count * (total - count)", "seconds / count * total", _PROGRESS),
    Change("export_v1/console/progress.py", "        _current.clear()\n", "", _PROGRESS),
    Change("export_v1/console/colour.py", 'not os.environ.get("NO_COLOR") and ', "", _COLOUR),
    Change("export_v1/console/colour.py", "    return stream.isatty() and", "    return", _COLOUR),
    Change("export_v1/console/helping.py", "    return [line + mark for line in lines[:-1]] + lines[-1:]\n", "    return lines\n", _HELPING),
    Change("export_v1/console/helping.py", "max(20, min(shutil.get_terminal_size((80, 24)).columns, _WIDEST))", "_WIDEST", _HELPING),
    Change("export_v1/console/tables.py", "return f\"<b>{html.escape(cell)}</b>\" if is_heading else html.escape(cell)",
           "return f\"<b>{cell}</b>\" if is_heading else cell", ("tests/export_v1/console/test_tables.py",)),
    Change("export_v1/source/kinds.py", "    if saved and checkpoints:\n", "    if False:\n", _KINDS),
    Change("export_v1/source/kinds.py", "name.endswith(PACKED):", "False:", _KINDS),
    Change("export_v1/__main__.py", '        if named:\n            raise', "        if False:\n            raise", _MAIN),
    Change("export_v1/format/comparison.py", "value if np.isfinite(value) else None", "value", _PRINTING),
    Change("load_v2/layer/appearance.py", "if trainable else 0", "", ("tests/load_v2/layer/test_appearance.py",)),
    Change("load_v2/layer/appearance.py", "    if record.proof.why:\n", "    if False:\n", ("tests/load_v2/layer/test_appearance.py",)),
    Change("load_v2/verification.py", "            seen(want, answers[key], result, noise)\n", "            pass\n", _PAGE),
)  # fmt: skip
