"""What is built so that training can go on: the loss, what the optimizer makes of its gradients, the learning rate.

loss              inputs and labels -> the loss, in training mode; moving averages of batch norm are updated with it
validation_loss   the same in inference mode, where the graph has what that takes
update            gradients -> nothing: clipping, optimizer and whatever else the train op did, on the variables
gradients         gradients -> the same as the optimizer's ops take them, after clipping
learning_rate     nothing -> the rate of the next step, by the variables' values
"""

import dataclasses
import functools
from collections.abc import Mapping

import tensorflow as tf

from export_v1 import errors, interface
from export_v1.analysis import variables
from export_v1.format.record import (
    GRADIENTS,
    LOSS,
    OPTIMIZER,
    RATE,
    UPDATE,
    VALIDATION,
    GradientEntry,
    OptimizerEntry,
    ResumeEntry,
)
from export_v1.interface import given, settle
from export_v1.interface.settle import Settling
from export_v1.interface.types import Input
from export_v1.ir import graph, ops, randomness, rewrite
from export_v1.ir.graph import Index, Tensor, parse
from export_v1.model import Graph
from export_v1.planning import variant
from export_v1.request import Request
from export_v1.training import averages, gradients, leaving, optimizers, step
from export_v1.training.gradients import Gradient
from export_v1.training.step import TrainStep


@dataclasses.dataclass(frozen=True)
class Resumed:
    """The variants that a resumed training needs, and what the record says about it."""

    variants: tuple[variant.Variant, ...]
    entry: ResumeEntry
    frozen: Mapping[str, object]
    choices: tuple[interface.Choice, ...]


def variants(
    model: Graph, serving: Graph, inputs: Mapping[str, Input], request: Request, place: str, prefix: Mapping[str, str]
) -> Resumed:
    """Returns what has to be built.

    Args:
        model: the graph as it was trained.
        serving: the same, with batch norm as inference has it.
        inputs: those of the signature that is served, by key.
        request: with the loss and the labels, where they are given.
        place: what the graph is called in messages.
        prefix: signature key -> name prefix of its variant.

    Raises:
        ExportError: the graph has no training to go on with, or what it needs is not clear; see `training.step.find`.
    """
    settling = settle.of(model)
    index = settling.index
    freeze = given.values(index, request.freeze, flag="freeze", place=place)
    train = given.values(index, request.train_freeze, flag="train_freeze", place=place)
    labels = given.inputs(index, request.labels, place=place, flag="label")
    named = given.tensor(index, request.loss, flag="loss", key="", place=place).name if request.loss else None
    left = request.leave_behind
    seek = step.loss_alone if OPTIMIZER in left else step.find
    train_step = seek(model, named, {*freeze, *train}, place)
    loss = named or _only(train_step, place)
    differentiated = list(dict.fromkeys([loss, *train_step.losses]))
    cuts = [entry.tensor for entry in (*inputs.values(), *labels.values())]
    obstacles = leaving.of(index, train_step, differentiated, [*cuts, *freeze, *train])
    leaving.refuse(obstacles, left, place)
    computed = {settle.key(name): name for name in leaving.label_names(obstacles)}
    replaced = given.inputs(index, computed, place=place)
    cuts += [entry.tensor for entry in replaced.values()]
    frozen, choices = settling.training(freeze, train, cuts, [*differentiated, *train_step.before])
    labels, label_choices = _labels(settling, labels, {**inputs, **replaced}, frozen, differentiated, place)
    labels = {**labels, **replaced}
    kinds: tuple[optimizers.Optimizer, ...] = ()
    if OPTIMIZER in left:
        obstacles.append(leaving.Obstacle(OPTIMIZER, "the optimizer, its slots and its schedule"))
        grads = gradients.of_loss(index, loss, model.trainable)
    else:
        grads = gradients.of(index, train_step, model.trainable, place)
        kinds = optimizers.of(index, train_step, grads)
    building = _Building(model, index, train_step, grads, kinds, frozen, prefix)
    keys = {name: LOSS if name == loss else f"{LOSS}_{at}" for at, name in enumerate(differentiated)}
    made = [building.loss({**inputs, **labels}, keys)]
    made += building.validation(serving, settling, {**inputs, **labels}, loss, freeze, train)
    processed: list[variant.Variant] = []
    if kinds:
        processed = building.processed()
        made += [building.update(inputs, labels, place), *processed, *building.rates()]
    why = "given" if named else "the graph has gradients of it, and of nothing else"
    reported = [interface.Choice(f"the loss is {loss}", why), *choices]
    if kinds:
        how = f"training goes on as {train_step.train_op or 'the updates'} did: {_summary(kinds)}"
        reported.append(interface.Choice(how, f"{len(grads)} gradients of {train_step.losses[0]} go into it"))
    dropped = [
        interface.Choice(f"left behind: {obstacle.what}; {obstacle.without}", f"--leave_behind={obstacle.word}")
        for obstacle in obstacles
    ]
    entry = building.entry(loss, labels, keys, bool(processed))
    entry = dataclasses.replace(entry, left_behind=[obstacle.word for obstacle in obstacles])
    return Resumed(tuple(made), entry, frozen, (*reported, *label_choices, *dropped))


def _only(train_step: TrainStep, place: str) -> str:
    if len(train_step.losses) == 1:
        return train_step.losses[0]
    flags = "\n".join(f"    --loss={name}" for name in train_step.losses)
    raise errors.ExportError(
        f"The gradients in {place} are of {len(train_step.losses)} losses; it is not clear which one to report.\n"
        f"  Pass one of them, or their sum:\n{flags}"
    )


def _labels(settling: Settling, labels, inputs, frozen, wanted: list[str], place: str):
    """Returns what the loss needs besides the inputs, by key; and the choices, where none was given."""
    cuts = [entry.tensor for entry in (*inputs.values(), *labels.values())]
    unfed = settling.unfed(frozen, cuts, wanted)
    if labels or not unfed:
        settling.refuse_unfed(unfed, {settle.key(name): name for name in wanted}, place, "label")
        return labels, []
    chosen: dict[str, str] = {}
    for name in unfed:
        if given.is_bool(settling.index, parse(name)):
            settling.refuse_unfed({name: unfed[name]}, {LOSS: wanted[0]}, place, "train_freeze")
        key = graph.fresh_name(settle.key(name), {*inputs, *chosen})
        chosen[key] = name
    fed = given.inputs(settling.index, chosen, place=place)
    return fed, [interface.Choice(f"label {key!r} is {name}", "the loss depends on it") for key, name in chosen.items()]


def _summary(kinds: tuple[optimizers.Optimizer, ...]) -> str:
    counts: dict[str, int] = {}
    for optimizer in kinds:
        name = (
            optimizer.kind
            if optimizer.kind == optimizers.PLAIN
            else ("Sparse" if optimizer.sparse else "") + optimizer.kind
        )
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{name} on {count} variables" for name, count in counts.items())


class _Building:
    def __init__(self, model: Graph, index: Index, train_step: TrainStep, grads, kinds, frozen, prefix):
        self._index, self._step, self._prefix = index, train_step, prefix
        self._model = model
        self._gradients: tuple[Gradient, ...] = grads
        self._optimizers: tuple[optimizers.Optimizer, ...] = kinds
        self._frozen = frozen
        used_names = set(index.nodes)
        self._done = graph.fresh_name("update/done", used_names)
        done = rewrite.constant(self._done, True, tf.bool)
        self._update = dataclasses.replace(
            model, graph_def=rewrite.with_nodes(train_step.update, [*train_step.update.node, done]), original=None
        )
        self._detached = dataclasses.replace(model, graph_def=train_step.detached, original=None)
        rates = [
            name for name in optimizers.rates(self._optimizers) if not step.is_conditional(index, parse(name).node)
        ]
        self._rates = {name: RATE if at == 0 else f"{RATE}_{at}" for at, name in enumerate(rates)}
        self._keys = self._gradient_keys()

    def _gradient_keys(self) -> dict[Gradient, str]:
        several = len({gradient.loss for gradient in self._gradients}) > 1
        losses = list(dict.fromkeys(gradient.loss for gradient in self._gradients))
        return {
            gradient: f"{gradient.variable}/{losses.index(gradient.loss)}" if several else gradient.variable
            for gradient in self._gradients
        }

    def loss(self, inputs: Mapping[str, Input], keys: Mapping[str, str]) -> variant.Variant:
        outputs = {key: name for name, key in keys.items()}
        signature = variant.PlannedSignature(inputs, outputs, self._frozen)
        return variant.Variant(
            self._prefix[LOSS], self._model, {LOSS: signature}, updates=self._step.before, training=True
        )

    def validation(self, serving: Graph, settling: Settling, inputs: Mapping[str, Input], loss: str, freeze, train):
        cuts = [entry.tensor for entry in inputs.values()]
        frozen, _ = settling.inference(freeze, cuts, [loss], train)
        if settling.unfed(frozen, cuts, [loss]):
            return []
        signature = variant.PlannedSignature(inputs, {LOSS: loss}, frozen)
        return [variant.Variant(self._prefix[VALIDATION], serving, {VALIDATION: signature})]

    def _fed(self) -> dict[str, Input]:
        fed = {}
        for gradient, key in self._keys.items():
            shape = step.shape_of(self._index, gradient.variable)
            dtype = self._index.data_type(parse(gradient.values))
            assert dtype is not None, "a gradient is a float"
            if gradient.indices is None:
                fed[key] = Input(gradient.values, dtype, shape)
                continue
            fed[key] = Input(gradient.values, dtype, None if shape is None else [None, *shape[1:]])
            fed[f"{key}/indices"] = Input(gradient.indices, self._type(gradient.indices), [None])
            if gradient.dense_shape is not None:
                fed[f"{key}/dense_shape"] = Input(gradient.dense_shape, self._type(gradient.dense_shape), None)
        return fed

    def _type(self, name: str) -> int:
        dtype = self._index.data_type(parse(name))
        assert dtype is not None, "row numbers are integers"
        return dtype

    def update(self, inputs: Mapping[str, Input], labels: Mapping[str, Input], place: str) -> variant.Variant:
        known = {entry.tensor: (key, entry) for key, entry in {**inputs, **labels}.items()}
        unknown = [name for name in self._step.reads if name not in known and name not in self._frozen]
        if unknown:
            raise errors.ExportError(
                f"The update of the variables in {place} needs {errors.quoted(unknown)}, which is neither an input nor a "
                f"label.\n  Pass --train_freeze={unknown[0]}=VALUE, or --label=KEY={unknown[0]}."
            )
        # What the update reads of the data itself.
        read = {key: entry for name, (key, entry) in known.items() if name in self._step.reads}
        signature = variant.PlannedSignature(
            {**self._fed(), **read}, {"done": Tensor(self._done).name}, self._frozen_in_update
        )
        return variant.Variant(self._prefix[UPDATE], self._update, {UPDATE: signature}, updates=self._step.runs)

    @functools.cached_property
    def _frozen_in_update(self) -> dict[str, object]:
        reached = self._update.index.ancestors(self._step.runs, stop=[parse(cut).node for cut in self._step.cuts])
        return {name: value for name, value in self._frozen.items() if parse(name).node in reached}

    def processed(self) -> list[variant.Variant]:
        """The gradients as the optimizer's ops take them, where every variable has such an op."""
        if any(optimizer.gradient is None or optimizer.sparse for optimizer in self._optimizers):
            return []
        outputs = {
            optimizer.variable: optimizer.gradient for optimizer in self._optimizers if optimizer.gradient is not None
        }
        signature = variant.PlannedSignature(self._fed(), outputs, self._frozen_in_update)
        return [variant.Variant(self._prefix[GRADIENTS], self._detached, {GRADIENTS: signature}, training=True)]

    def rates(self) -> list[variant.Variant]:
        if not self._rates:
            return []
        signature = variant.PlannedSignature(
            {}, {key: name for name, key in self._rates.items()}, self._frozen_in_update
        )
        return [variant.Variant(self._prefix[RATE], self._detached, {RATE: signature})]

    def entry(
        self, loss: str, labels: Mapping[str, Input], keys: Mapping[str, str], has_processed: bool
    ) -> ResumeEntry:
        return ResumeEntry(
            loss=loss,
            labels=list(labels),
            train_op=self._step.train_op,
            gradients=[
                GradientEntry(
                    gradient.variable,
                    keys[gradient.loss],
                    key,
                    f"{key}/indices" if gradient.indices else None,
                    f"{key}/dense_shape" if gradient.dense_shape else None,
                )
                for gradient, key in self._keys.items()
            ],
            optimizers=[
                OptimizerEntry(
                    optimizer.variable,
                    optimizer.kind,
                    optimizer.settings,
                    optimizer.options,
                    optimizer.sparse,
                    self._rates.get(optimizer.rate) if optimizer.rate else None,
                    optimizer.variable if has_processed else None,
                    optimizer.slots,
                )
                for optimizer in self._optimizers
            ],
            counter=self._counter(),
            averages=averages.of_weights(self._index, self._step),
            random=bool(randomness.sources(self._index, {LOSS: loss}, {parse(name).node for name in self._frozen})),
        )

    def _counter(self) -> str | None:
        """The variable that the step counts in: a whole number that it adds one to."""
        for name in sorted(self._index.ancestors(self._step.runs)):
            node = self._index[name]
            if node.op not in ops.ASSIGN_ADDS | ops.ASSIGNS:
                continue
            variable = variables.read_by(self._index, graph.data_inputs(node)[0])
            if variable is None or not tf.as_dtype(self._index[variable].attr["dtype"].type).is_integer:
                continue
            if node.op in ops.ASSIGN_ADDS or self._adds_to(variable, graph.data_inputs(node)[1]):
                return variable
        return None

    def _adds_to(self, variable: str, value: Tensor) -> bool:
        node = self._index[value.node]
        return node.op in ops.ADDS and any(
            variables.read_by(self._index, tensor) == variable for tensor in graph.data_inputs(node)
        )
