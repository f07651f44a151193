"""Changes to what a layer is made of and takes: freezing, columns, what TensorFlow loaded, clones."""

from tests.mutants.change import Change

_FREEZING = "tests/load_v2/layer/test_freezing.py"
_COLUMNS = "tests/load_v2/layer/test_columns.py"
_TABLES = "tests/load_v2/layer/test_tables.py"
_LOADED = "tests/load_v2/layer/test_loaded.py"
_CONFIG = "tests/load_v2/layer/test_layer_config.py"
_RESUMED = "tests/load_v2/training/test_freezing_resumed.py"


def _layer(file: str, before: str, after: str, *tests: str, why: str = "") -> Change:
    return Change(file=f"load_v2/layer/{file}", before=before, after=after, tests=tests, why=why)


def _training(file: str, before: str, after: str, *tests: str, why: str = "") -> Change:
    names = tuple(f"{_RESUMED}::{test}" for test in tests)
    return Change(file=f"load_v2/training/{file}", before=before, after=after, tests=names, why=why)


CHANGES = [
    Change(
        "export_v1/errors.py",
        "if (whole := other.joinpath(*missing[1:])).exists()] or near",
        "if (whole := other)] or near",
        ("tests/export_v1/test_errors.py",),
    ),
    _layer(
        "columns.py",
        'if made.dtype.kind == "f" and tf.as_dtype(spec.dtype).is_integer and np.isnan(made).any():',
        "if False:",
        "tests/load_v2/layer/test_columns.py",
        why="a missing integer is called a float",
    ),
    _layer("freezing.py", "for scope in _with_scopes(name))", "for scope in [name])", _FREEZING),
    _layer("freezing.py", 'pattern.rstrip("/")', "pattern", _FREEZING),
    _layer(
        "freezing.py",
        "        if not any(_fits(weight.name, pattern) for weight in weights):",
        "        if False:",
        _FREEZING,
    ),
    _layer("freezing.py", "        if nested:\n", "        if False:\n", _FREEZING),
    _layer("freezing.py", "            writers.add(node.name)\n", "            pass\n", _FREEZING),
    _layer("freezing.py", "        if not frozen:\n            return part\n", "        return part\n", _FREEZING),
    _layer(
        "freezing.py",
        "subgraph.split(node.input[0])[0] in handles:",
        "node.input:",
        _FREEZING,
        why="a frozen part stops the moving averages of all",
    ),
    _layer(
        "freezing.py",
        "place = (id(part), frozenset(frozen))",
        "place = (id(part), frozenset())",
        _FREEZING,
        why="what was frozen first stays so for good",
    ),
    _layer("freezing.py", "    if not still:\n        return part\n", "    return part\n", _FREEZING),
    _layer(
        "freezing.py",
        "if not norm.problem and set(norm.variables) <= set(frozen)]",
        "if not norm.problem]",
        _FREEZING,
        why="a norm goes by averages of which one is not frozen",
    ),
    _layer("freezing.py", "    if still:\n        problems", "    if False:\n        problems", _FREEZING),
    _layer("freezing.py", "    if wrong:\n", "    if False:\n", _FREEZING),
    _layer("weights.py", "        self.frozen = not value\n", "        self.frozen = False\n", _FREEZING),
    _layer("weights.py", "return super().trainable and not self.frozen and", "return super().trainable and", _FREEZING),
    _layer(
        "weights.py",
        "return penalty if own is None else lambda value: penalty(value) + own(value)",
        "return penalty",
        _FREEZING,
    ),
    _layer(
        "concrete_functions.py",
        "next((w for w in held if w.trainable), None) is",
        "next((w for w in held), None) is",
        _FREEZING,
    ),
    _layer(
        "freezable.py",
        "weight.frozen, weight.suspended = was_frozen, not value",
        "weight.suspended = not value",
        _FREEZING,
    ),
    _layer("signature_layer.py", "        freezing.freeze_by_name(layer.name, layer._own, frozen)\n", "", _FREEZING),
    _layer(
        "freezable.py",
        "            self._parts.get(self._program, self._program.train, frozen)\n",
        "",
        _FREEZING,
        why="what cannot be frozen alone is told in training only",
    ),
    Change("load_v2/program/writes.py", "offset + index for index in", "index for index in", (_FREEZING,)),
    Change(
        "load_v2/program/writes.py",
        "        edges += [node.input[index] for index in arguments_written_by(node, functions)]\n",
        "",
        ("tests/load_v2/program/test_writes.py",),
    ),
    _layer(
        "cloning.py",
        "        linked._layer = weakref.ref(layer)\n",
        "        linked._layer = lambda: layer\n",
        _CONFIG,
        why="a config keeps its layer alive",
    ),
    _layer("cloning.py", "        return self\n\n", "        return str(self)\n\n", _CONFIG),
    _layer("cloning.py", "return str, (str(self),)", "return object, ()", _CONFIG),
    _layer("signature_layer.py", '        config.pop("origin", None)\n', "", _CONFIG),
    _layer("signature_layer.py", "is_ordered=described.is_ordered", "is_ordered=True", _LOADED),
    _layer("description.py", "order = {} if self.is_ordered else", "order = {} if True else", _LOADED),
    _layer("loaded.py", "is_ordered=bool(orders) or graph is None", "is_ordered=True", _LOADED),
    _layer("loaded.py", "variables=_in_order(loaded, source.variables)", "variables=source.variables", _LOADED),
    _layer("loaded.py", "for name in (key, program.TRAIN) if", "for name in (key,) if", _LOADED),
    _layer(
        "loaded.py",
        '        shutil.rmtree(os.path.join(own.path, "variables"), ignore_errors=True)\n',
        "        pass\n",
        _LOADED,
    ),
    _layer("loaded.py", '        losses[f"{_LOSS}{index}"] = loaded.prune([], tensor)\n', "        pass\n", _LOADED),
    _layer("loaded.py", "orders.get(key, ((), ()))", "((), ())", _LOADED),
    Change(
        "export_v1/artifact/save.py",
        "            v1.add_to_collection(call_order.COLLECTION, call_order.to_text(orders))\n",
        "",
        (_LOADED,),
    ),
    Change(
        "load_v2/program/inline.py",
        '        if node.op == "Identity" and node.attr["T"].type == _RESOURCE:\n',
        "        if False:\n",
        (_LOADED,),
    ),
    _layer("columns.py", "    if twice:\n", "    if False:\n", _TABLES),
    _layer("columns.py", "    if row is not None:\n", "    if False:\n", _COLUMNS),
    _layer("columns.py", "and value.isna().any():", "and False:", _TABLES, why="a missing number becomes NaN"),
    _layer("columns.py", "    if len(shapes) > 1 or", "    if", _COLUMNS),
    _layer("columns.py", "    if value.null_count:\n", "    if False:\n", _TABLES),
    _layer(
        "columns.py", "    if any(isinstance(item, (str, bytes)) for item in items):\n", "    if False:\n", _COLUMNS
    ),
    _layer("columns.py", ".reshape(value.shape + shapes[0])", "", _COLUMNS),
    _layer(
        "binding.py",
        "if len(wanted) == 1 and len(given) == 2 and given[1] == 1 and",
        "if len(wanted) == 1 and len(given) == 2 and",
        _COLUMNS,
    ),
    _layer("binding.py", "if len(wanted) == 2 and wanted[1] == 1 and", "if len(wanted) == 2 and", _COLUMNS),
    _layer("binding.py", "        if key not in table and spec.shape", "        if spec.shape", _TABLES),
    _layer("binding.py", "list(spec.shape[1:]) == [len(table)]", "len(spec.shape) == 2", _TABLES),
    _layer("signature_layer.py", 'and "extra" not in described.inputs:', "and True:", _COLUMNS),
    Change(
        "load_v2/private.py",
        "    if missing:\n        first",
        "    if False:\n        first",
        (_COLUMNS,),
    ),
    Change(
        "load_v2/private.py",
        "if len(missing) < items.size and (",
        "if (",
        (_COLUMNS,),
        why="an array of anything is called strings with missing values",
    ),
    Change(
        "load_v2/page/facts.py",
        "    if not name and len(layers) > 1:\n",
        "    if False:\n",
        ("tests/load_v2/commands/test_report.py",),
    ),
    Change(
        "load_v2/page/weights.py",
        "yield by_name[name], numbers(value)",
        "yield stored.source.variables[0], numbers(value)",
        ("tests/load_v2/commands/test_report.py",),
        why="a page of an archive has the numbers of one weight at another",
    ),
    _training(
        "model.py",
        "_times(gradient, 0.0) if name in frozen and gradient is not None else gradient",
        "gradient",
        "test_gradients_of_frozen_weights_count_as_zero_where_all_are_clipped",
    ),
    _training(
        "model.py",
        "if key in needed}, self._held(frozen))",
        "if key in needed})",
        "test_a_frozen_scope_stays_and_the_rest_goes_on",
    ),
    _training(
        "model.py",
        "list(fed.values()), self._held(frozen))",
        "list(fed.values()))",
        "test_frozen_batch_norm_goes_by_its_averages",
    ),
    _training(
        "freezable.py",
        "| (named - set(self._training.averages.values()))",
        "",
        "test_a_frozen_scope_stays_and_the_rest_goes_on",
    ),
    _training(
        "freezable.py", "(slots[True] - slots[False])", "slots[True]", "test_a_slot_that_all_weights_share_goes_on"
    ),
    _training(
        "model.py",
        "for name, gradient in processed.items() if name in by_name}",
        "for name, gradient in processed.items()}",
        "test_a_frozen_scope_stays_and_the_rest_goes_on",
    ),
    _training(
        "freezable.py",
        "        if self._frozen():\n            self._build_optimizer()\n",
        "",
        "test_another_optimizer_leaves_frozen_weights_alone_and_knows_them",
    ),
    _training(
        "model.py",
        '        freezing.freeze_by_name(model.name, model._extra, config.get("frozen", ()))\n',
        "",
        "test_frozen_weights_that_only_the_training_reads_survive_an_archive",
    ),
]
