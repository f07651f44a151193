"""Changes to how a training is taken out of its graph, and gone on with."""

from tests.mutants.change import Change

_STEP = "tests/export_v1/training/test_step.py"
_RESUMING = "tests/load_v2/training/test_resuming.py"


def _step(file: str, before: str, after: str, *tests: str) -> Change:
    return Change(file=f"export_v1/training/{file}", before=before, after=after, tests=tests or (_STEP,))


def _resumed(file: str, before: str, after: str, *tests: str) -> Change:
    names = tuple(f"{_RESUMING}::{test}" for test in tests) or (_RESUMING,)
    return Change(file=f"load_v2/training/{file}", before=before, after=after, tests=names)


CHANGES = [
    _step("step.py", "if not is_conditional(self._index, name))", "if True)"),
    _step("step.py", "return [*control_inputs(node), *read]", "return control_inputs(node)"),
    _step("backprop.py", "_sum_of(index, operations) if len(operations) > 1 else None", "None"),
    _step("leaving.py", "if one.word not in left]", "if False]", "tests/export_v1/training/test_leaving.py"),
    _step("backprop.py", "_FILL.fullmatch(leaf) and ", ""),
    _step("backprop.py", 'removesuffix("_grad")', 'removesuffix("_gradient")'),
    _step("backprop.py", "bool(_SHAPE.fullmatch(shape) and _ONES.fullmatch(ones))", "bool(_SHAPE.fullmatch(shape))"),
    _step("step.py", "if graph.recorded_shape(self._index[node], parse(loss).index):", "if False:"),
    _step("step.py", "        if exact:\n            return exact\n", ""),
    _step("step.py", "if writes[name] == max(writes.values())]", "]"),
    _step("step.py", "            and node.name in self._data_dependent\n", ""),
    _step("step.py", "            and node.name not in self._computed_from_gradients\n", ""),
    _step("step.py", "update=self._with(counted)", "update=self._with(rewired)"),
    _step("step.py", "detached=self._with(rewired)", "detached=self._with(counted)"),
    _step("step.py", "if reader in region and reader not in before:", "if reader in region:"),
    _step("step.py", "            if waits != control_inputs(node):", "            if False:"),
    _step("gradients.py", "gathered = () if node.name in self._trained else", "gathered = () if True else"),
    _step("gradients.py", "rows[0].name if rows else None", "None"),
    _step(
        "gradients.py",
        "floats = [cut for cut in floats if variable in self._variables_of(cut)]",
        "floats = floats[:1]",
        f"{_RESUMING}::test_it_goes_on_as_tensorflow_1_did",
    ),
    _step("optimizers.py", "reached = {*index.ancestors(step.runs), *step.writers}", "reached = {*step.writers}"),
    _step("optimizers.py", '"SparseApply" in node.op', "False"),
    _step("averages.py", "if variable is not None and variable != average:", "if variable is None:"),
    _resumed(
        "model.py",
        "if own is not None:\n            needed",
        "if False:\n            needed",
    ),
    _resumed(
        "model.py",
        "        if record.GRADIENTS in ready:",
        "        if False:",
        "test_another_optimizer_gets_the_clipped_gradients",
    ),
    _resumed("model.py", "held[average].assign(kept)", "pass", "test_moving_averages_of_weights_are_swapped_and_back"),
    _resumed(
        "model.py", "fed = self._tensors(record.VALIDATION, data)", "fed = self._tensors(record.LOSS, data)[::-1]"
    ),
    _resumed(
        "optimizer.py",
        "        self.iterations.assign_add(1)\n",
        "",
        "test_saved_in_the_middle_it_is_where_it_was",
        "test_it_goes_on_as_tensorflow_1_did",
    ),
    _resumed(
        "resuming.py", "optimizer.slots[variable.name].assign(value)", "pass", "test_it_goes_on_as_tensorflow_1_did"
    ),
    _resumed("keras_optimizers.py", "-rate * value if", "value if", "test_it_goes_on_as_tensorflow_1_did"),
    _resumed(
        "keras_optimizers.py",
        "return not programs[record.UPDATE].written <= known",
        "return False",
        "test_it_goes_on_as_tensorflow_1_did",
    ),
    _resumed(
        "keras_optimizers.py",
        "abs(beta ** (counted + 1) - power) < _CLOSE",
        "True",
        "test_it_goes_on_as_tensorflow_1_did",
    ),
    _resumed(
        "keras_optimizers.py",
        "variable = next(slots)",
        "variable = made.variables[-1]",
        "test_it_goes_on_as_tensorflow_1_did",
    ),
    Change(
        file="load_v2/training/model.py",
        before="context.all_reduce(tf.distribute.ReduceOp.MEAN, whole)",
        after="whole",
        tests=("tests/load_v2/training/test_mirrored.py",),
    ),
    Change(
        file="load_v2/training/model.py",
        before="context.all_gather(gradient.values * share, axis=0)",
        after="context.all_gather(gradient.values, axis=0)",
        tests=("tests/load_v2/training/test_mirrored.py",),
    ),
    Change(
        file="load_v2/training/model.py",
        before="share = 1.0 / tf.distribute.get_strategy().num_replicas_in_sync",
        after="share = 1.0",
        tests=("tests/load_v2/training/test_mirrored.py",),
    ),
]
