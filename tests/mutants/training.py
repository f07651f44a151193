"""Changes to how a training is taken out of its graph, and gone on with."""

from tests.mutants.change import Change

_STEP = "tests/export_v1/training/test_step.py"
_LEAVING = "tests/export_v1/training/test_leaving.py"
_HELD = "tests/export_v1/ir/test_held_draws.py"
_STORED = "tests/export_v1/format/test_training_sample.py"
_PROOF = "tests/export_v1/proof/test_training.py"
_AS_KERAS = "tests/load_v2/training/test_as_a_keras_model.py"
_REPLAYING = "tests/load_v2/training/test_replaying.py"
_RESUMING = "tests/load_v2/training/test_resuming.py"


def _step(file: str, before: str, after: str, *tests: str) -> Change:
    return Change(file=f"export_v1/training/{file}", before=before, after=after, tests=tests or (_STEP,))


def _resumed(file: str, before: str, after: str, *tests: str) -> Change:
    names = tuple(f"{_RESUMING}::{test}" for test in tests) or (_RESUMING,)
    return Change(file=f"load_v2/training/{file}", before=before, after=after, tests=names)


def _keras(file: str, before: str, after: str) -> Change:
    return Change(file=f"load_v2/training/{file}", before=before, after=after, tests=(_AS_KERAS,))


def _replayed(before: str, after: str) -> Change:
    return Change(file="load_v2/training/replaying.py", before=before, after=after, tests=(_REPLAYING,))


def _held(before: str, after: str) -> Change:
    return Change(file="export_v1/ir/held_draws.py", before=before, after=after, tests=(_HELD,))


def _stored(before: str, after: str) -> Change:
    return Change(file="export_v1/format/training_sample.py", before=before, after=after, tests=(_STORED,))


def _left(before: str, after: str) -> Change:
    return _step("leaving.py", before, after, _LEAVING)


def _proven(file: str, before: str, after: str) -> Change:
    return Change(file=f"export_v1/proof/{file}", before=before, after=after, tests=(_PROOF,))


CHANGES = [
    Change(file="export_v1/planning/resuming.py", before=', flag="label")', after=")", tests=(_STEP,)),
    Change(file="export_v1/planning/resuming.py", before='flag="loss"', after='flag="output"', tests=(_STEP,)),
    _step("step.py", "if not is_conditional(self._index, name))", "if True)"),
    _step("dependence.py", "return [*control_inputs(node), *read]", "return control_inputs(node)"),
    _step("backprop.py", "_sum_of(index, operations) if len(operations) > 1 else None", "None"),
    _left("if obstacle.word not in left]", "if False]"),
    _left(
        "dict.fromkeys([*left, *(obstacle.word for obstacle in standing)])",
        "dict.fromkeys(obstacle.word for obstacle in standing)",
    ),
    _left(
        "index.ancestors([*(parse(name).node for name in losses), *step.before], stop=stops) - stops",
        "index.ancestors([*(parse(name).node for name in losses), *step.before])",
    ),
    _left("node.op in ops.PYTHON_CALLS]", "False]"),
    _left("node.op in ops.SAMPLERS]", "False]"),
    _left(" and _queue(index[name]) in queues}", "}"),
    _left("for reader in readers if reader not in names for", "for reader in readers for"),
    _left("if tensor.node in names and tensor.index >= 0}", "if tensor.node in names}"),
    _left('return node.attr["shared_name"].s.decode()', "return node.name"),
    _step("backprop.py", "_FILL.fullmatch(leaf) and ", ""),
    _step("backprop.py", 'removesuffix("_grad")', 'removesuffix("_gradient")'),
    _step("backprop.py", "bool(_SHAPE.fullmatch(shape) and _ONES.fullmatch(ones))", "bool(_SHAPE.fullmatch(shape))"),
    _step("step.py", "if graph.recorded_shape(self._index[node], parse(loss).index):", "if False:"),
    _step("step.py", "        if exact:\n            return exact\n", ""),
    _step("step.py", "if writes[name] == most]", "]"),
    _step("step.py", "            and node.name in self._depends.data_dependent\n", ""),
    _step("step.py", "            and node.name not in self._depends.computed_from_gradients\n", ""),
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
    _step("optimizers.py", "slot = written if written not in trained else None", "slot = None"),
    _step("optimizers.py", "slot = written if written not in trained else None", "slot = written"),
    _step("optimizers.py", "return rate if rate is not None and rate.node not in computed else None", "return rate"),
    _step("optimizers.py", "rates.pop().name if len(rates) == 1 else None", "rates.pop().name if rates else None"),
    _step("optimizers.py", "if len(steps) == 1 and graph.recorded_shape", "if others and graph.recorded_shape"),
    _step(
        "optimizers.py",
        "graph.recorded_shape(index[others[0].node], others[0].index) == []",
        "True",
    ),
    _step("backprop.py", "for call in backprops if call.differentiated]", "for call in backprops]"),
    _held('seed.input.extend(["^" + source] if source in names else [])', "pass"),
    _held('seed.name if is_graph else f"{seed.name}:output:0"', "seed.name"),
    _held("    for function in made.library.function:", "    for function in []:"),
    _held("*values[at:], *_controls(node)]", "*values[at:]]"),
    _held('elif node.op == "RandomShuffle":', "elif False:"),
    _held("elif node.op in ops.SAMPLERS and is_graph:", "elif False:"),
    _held("np.arange(count) % max(1, node.attr", "np.arange(count) + 1 + max(1, node.attr"),
    _held("    if not any(ops.is_random(node.op) for node in graph.all_nodes(graph_def)):", "    if True:"),
    _held("np.full(count, 0.5)", "np.full(count + 1, 0.5)"),
    _stored("if value.size <= _MOST_ELEMENTS:", "if True:"),
    _stored("np.linspace(0, value.size - 1, _MOST_ELEMENTS)", "np.arange(_MOST_ELEMENTS)"),
    _stored('"noise": np.float64(step.noise)', '"noise": np.float64(0)'),
    _stored("float(noise.reshape(())) if usable else 0.0", "float(noise.reshape(()))"),
    _stored("rows = max(_rows(*want), _rows(*have))", "rows = _rows(*want)"),
    _stored("np.add.at(whole, indices, values)", "whole[indices] = values"),
    _stored("    whole = want[1] is None and have[1] is None\n", "    whole = True\n"),
    _stored(
        "comparison.compare(what, expected, actual, noise=noise, sides=sides)",
        "comparison.compare(what, expected, actual, sides=sides)",
    ),
    _replayed("        if training.recorded:\n", "        if False:\n"),
    Change(
        file="load_v2/training/replaying.py",
        before="model.attach({key: program.held(unheld) for key, unheld in model.programs.items()})",
        after="pass",
        tests=(f"{_PROOF}::test_dropout_is_held_for_the_proof",),
    ),
    _replayed("    if OPTIMIZER in training.left_behind:\n", "    if False:\n"),
    _replayed("    if not step.after:\n", "    if False:\n"),
    _replayed("    model.apply_gradients(recorded, fed)\n", ""),
    _replayed("training_sample.thinned(np.asarray(actual))", "np.asarray(actual)"),
    _replayed("    if wrong or not results:\n", "    if not results:\n"),
    _replayed("    if entry.values not in step.gradients or", "    if False or"),
    _proven("training.py", "memory.lacking(self._weights.size(), 2 * self._weights.size(trained))", '""'),
    _proven("training.py", "step.gradient_bytes + 2 * _STEPS * self._weights.size(written))", "0)"),
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
    _keras("optimizer.py", "        self.iterations.assign_add(1)\n", ""),
    _keras("resuming.py", "        optimizer.build(model.trainable_variables)\n", "        pass\n"),
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
    Change(
        file="load_v2/training/keras_optimizers.py",
        before="abs(beta ** (counted + 1) - power) < _CLOSE",
        after="True",
        tests=("tests/load_v2/training/test_keras_optimizers.py",),
    ),
    Change(
        file="load_v2/training/keras_optimizers.py",
        before="if not is_free or not 0 < power < 1:",
        after="if not is_free:",
        tests=("tests/load_v2/training/test_keras_optimizers.py",),
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
    Change(
        file="export_v1/training/optimizers.py",
        before='    if product is None or product.op != "Mul":\n',
        after="    if product is None:\n",
        tests=(_STEP,),
        why="what a gradient is divided by is shown as its rate",
    ),
]
