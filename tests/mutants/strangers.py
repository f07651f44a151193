"""What a stranger's files may do that nobody writes: changes to what refuses it, and to what comes of odd files and places."""

from tests.mutants.change import Change

_BY_FUNCTIONS = ("tests/test_let_in_by_functions.py",)
_DESTINATION = ("tests/export_v1/artifact/test_destination.py",)
_ASSETS = ("tests/export_v1/source/test_assets.py",)
_CHECKPOINTS = ("tests/export_v1/format/test_checkpoints.py",)
_ONE_MESSAGE = ("tests/test_one_message.py",)
_UNFINISHED = ("tests/export_v1/console/test_unfinished.py",)
_APART = ("tests/export_v1/test_supervised.py",)
_FULL = ("tests/load_v2/scoring/test_commands_atomic.py",)
_SAVED_MODEL = ("tests/export_v1/source/test_saved_model.py",)


def _change(file: str, before: str, after: str, tests: tuple[str, ...], why: str = "") -> Change:
    return Change(file, before, after, tests, why)


CHANGES = (
    # functions
    _change("export_v1/ir/library.py", "        if attr.type in (\"func\", \"list(func)\"):\n", "        if False:\n", _BY_FUNCTIONS,
            "TensorFlow ends the process over it"),
    _change("export_v1/ir/wellformed.py", "if any(inner.HasField(\"func\") or inner.list.func for inner", "if any(False for inner",
            _BY_FUNCTIONS, "what is called cannot be counted"),
    _change("export_v1/ir/library.py", "    if deep[deepest] > MOST_DEEP:\n", "    if False:\n", ("tests/export_v1/ir/test_importing.py",),
            "TensorFlow follows functions by recursion"),
    _change("export_v1/ir/library.py", "    kinds = ((reachable(graph_def), ops.VARIABLES), (", "    kinds = ((", _BY_FUNCTIONS,
            "an export that no layer takes"),
    _change("export_v1/passes/sequence.py", "    if hidden:\n", "    if False:\n", _BY_FUNCTIONS),
    _change("load_v2/program/program.py", "    hidden += [node.name for node in kept.node if node.op == \"VarHandleOp\" and "
            "node.name not in owned]\n", "", _BY_FUNCTIONS),
    _change("export_v1/passes/prune.py", "    graph_def.library.gradient.extend(gradient for gradient in gradients if gradient.function_name in called)\n", "",
            ("tests/export_v1/passes/test_prune.py",),
            "the gradient that a node asks for is another"),
    _change("export_v1/ir/importing.py", "            node.attr[_SAID].s = colour.visible(_said(node)).encode()\n", "            pass\n",
            _BY_FUNCTIONS, "what a graph prints moves the cursor"),
    _change("export_v1/ir/importing.py", "if colour.visible(_said(node)) != _said(node) else []", "if False else []", _BY_FUNCTIONS),
    # files
    _change("export_v1/source/assets.py", "if path == written and not self._brings_all and", "if path == written and", _ASSETS,
            "a SavedModel gets a file of whoever reads it"),
    _change("export_v1/artifact/destination.py", "        own = {os.path.join(_ASSETS, *name.split(\"/\")) for name in _assets(path)}\n",
            "        own = set(strange)\n", _DESTINATION, "somebody's file among the vocabularies is deleted"),
    _change("export_v1/artifact/destination.py", "    |variables(/variables\\.(index|data-\\d{5}-of-\\d{5}))?|",
            "    |variables(/variables\\..*)?|", _DESTINATION),
    _change("load_v2/scoring/jobs.py", "            if inside and place.startswith(inside):\n", "            if False:\n", _ONE_MESSAGE,
            "answers take the place of the recorded ones"),
    _change("export_v1/format/checkpoints.py", "        if table.is_one(path):\n", "        if True:\n", _CHECKPOINTS),
    _change("export_v1/source/checkpoint.py", "        checkpoints.check_kind(prefix)\n", "", _CHECKPOINTS),
    _change("export_v1/format/plain_path.py", "    return _is_utf_8(text) and not", "    return not", _ONE_MESSAGE),
    _change("export_v1/format/plain_path.py", "    return path if _is_utf_8(path) else", "    return path if True else", _ONE_MESSAGE),
    _change("export_v1/console/running.py", "        sys.stdout.reconfigure(errors=\"backslashreplace\")", "        pass", _ONE_MESSAGE),
    _change("export_v1/console/unfinished.py", "        if os.path.lexists(lock) and not stat.S_ISREG(os.lstat(lock).st_mode):\n",
            "        if False:\n", _UNFINISHED, "whoever sweeps waits for a pipe"),
    _change("export_v1/console/unfinished.py", "    if not stat.S_ISREG(os.fstat(descriptor).st_mode):\n", "    if False:\n", _UNFINISHED),
    # full disks
    _change("load_v2/scoring/table_files.py", "            writer.abandon()\n", "", _FULL, "an open file keeps its room on the disk"),
    _change("load_v2/commands/rebuild.py", "atomic.published(weights, \".weights.h5\", size)", "atomic.published(weights, \".weights.h5\")",
            _FULL, "HDF5 ends the process"),
    # processes of their own
    _change("export_v1/console/apart.py", "        os.set_blocking(descriptor, until is None)\n", "", _APART, "who writes waits for good"),
    _change("export_v1/console/apart.py", "            self._wait(descriptor, select.POLLOUT, until)\n", "", _APART),
    _change("load_v2/program/artefact.py", "and 0 <= recorded[key] <= _MOST_AXES", "", _ONE_MESSAGE, "8 GB for a list of sizes"),
    # signatures
    _change("export_v1/source/meta_graph.py", "        if info.WhichOneof(\"encoding\") == \"composite_tensor\":\n", "        if False:\n",
            _SAVED_MODEL),
    _change("load_v2/program/signature.py", "        elif info.WhichOneof(\"encoding\") == \"composite_tensor\":\n", "        elif False:\n",
            _SAVED_MODEL),
    _change("export_v1/format/composite.py", "if splits > 1 else", "if True else", _SAVED_MODEL),
)  # fmt: skip
