"""A keras.Model that goes on with a training of TensorFlow 1."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from export_v1.format import digests, record
from export_v1.format.record import ResumeEntry
from load_v2 import private
from load_v2.errors import LoadError, unknown
from load_v2.layer import archive, binding, freezing, weights
from load_v2.layer.signature_layer import SignatureLayer
from load_v2.program import artefact
from load_v2.program.program import Program
from load_v2.training import optimizer
from load_v2.training.freezable import Freezable
from load_v2.training.graphs import Graphs
from load_v2.training.schedule import GraphSchedule


@keras.saving.register_keras_serializable(package="load_v2")
class ResumedModel(Freezable):
    """What was trained, with the loss it was trained by; made by `load_v2.resume`.

    Guaranteed: called, it answers as `serving_default` (with `training=True`, as `train`). `fit`, `train_on_batch` and
    `evaluate` take dicts with the inputs and the labels by key, or pairs of two such dicts; one step does what one run
    of TensorFlow 1's train op did, but for random numbers: loss, gradients, what stood between these and the
    optimizer, the update, moving averages. The loss that is shown is the graph's own, regularization included.

    Args:
        layer: answers for inference; owns the weights.
        training: what the record says of the training.
        extra: variables of the loss that inference does not have: (name, dtype, shape, trainable).
    """

    def __init__(self, layer: SignatureLayer, training: ResumeEntry, extra=(), bundle: str | None = None, **kwargs):
        super().__init__(**kwargs)
        self.layer = layer
        self._training = training
        # In an archive they are Keras's, and have no key.
        self._extra_described = [
            artefact.Variable(name, (name,), dtype, tuple(shape), trainable, *(stored or (name,)))
            for name, dtype, shape, trainable, *stored in extra
        ]
        self._extra = weights.create(self._extra_described, self.name, (), bundle)
        self._graphs: Graphs | None = None
        self._programs: dict[str, Program] = {}
        self._kept: list[object] = []
        self._loss_mean = keras.metrics.Mean(name="loss")
        self.built = True

    @property
    def by_name(self) -> dict[str, weights.Weight]:
        """Every weight by its name in the graph."""
        return {weight.name: weight for weight in [*self.layer.weights, *self._extra]}

    @property
    def held(self) -> dict[str, keras.Variable]:
        """Every variable of the training by its name in the graph: weights, and slots of TensorFlow 1's own optimizer."""
        own = self._graph_optimizer
        return {**(own.slots if own is not None else {}), **self.by_name}

    @property
    def programs(self) -> dict[str, Program]:
        """The graphs of the training by key."""
        return dict(self._programs)

    @property
    def labels(self) -> list[str]:
        """Keys of what the loss needs besides the inputs."""
        return list(self._training.labels)

    @property
    def metrics(self):
        # Keras's own mean of losses has the same name, and gets none: the loss is not one of `compile`.
        return [self._loss_mean, *(metric for metric in super().metrics if metric.name != self._loss_mean.name)]

    def attach(self, programs: Mapping[str, Program]) -> None:
        """Takes the graphs of the training, over the model's weights and the optimizer's slots."""
        owned, own = self.held, self._graph_optimizer
        # Without TensorFlow 1's own optimizer there is nobody to update, and nothing to read its slots.
        usable = {
            key: program
            for key, program in programs.items()
            if all(variable.name in owned for variable in program.variables)
        }
        self._programs = dict(programs)
        self._graphs = Graphs(usable, owned, self.layer.policy)
        if own is not None:
            own.attach(self._graphs)
        compiled = self._compiled_optimizer
        schedule = private.schedule_of(compiled) if compiled is not None else None
        if isinstance(schedule, GraphSchedule):
            schedule.attach(programs[record.RATE], self.layer.policy)

    def call(self, inputs, training=None):
        if isinstance(inputs, Mapping):
            inputs = {key: value for key, value in inputs.items() if key not in self._training.labels}
        return self.layer(inputs, training=training)

    def _ready(self) -> Graphs:
        if self._graphs is None:
            raise LoadError(
                f"Model {self.name!r} was made from a config and has no graphs.\n"
                "  Load it with keras.models.load_model, or make it with load_v2.resume(DIR)."
            )
        return self._graphs

    def _tensors(self, key: str, data) -> dict[str, tf.Tensor]:
        """Returns what a program takes, by key, from a batch as `fit` gives it."""
        fed = self._by_key(data)
        specs = self._ready().inputs(key)
        missing = [name for name in specs if name not in fed]
        if missing:
            raise unknown("Input", missing[0], "the batch", fed, f"Give a dict with the keys {list(specs)}.")
        return {name: binding.tensor(name, spec, fed[name], self.name) for name, spec in specs.items()}

    def _by_key(self, data) -> dict[str, Any]:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            raise LoadError(
                "The loss is TensorFlow 1's own and takes no sample_weight.\n  Feed the weights as a label."
            )
        sides = [(x, list(self.layer.input_specs)), (y, self.labels)]
        fed: dict[str, Any] = {}
        for side, keys in sides:
            if isinstance(side, Mapping):
                fed |= side
            elif side is not None:
                values = list(side) if isinstance(side, (list, tuple)) else [side]
                fed |= dict(zip(keys, values, strict=False))
        return fed

    def train_step(self, data):
        losses, gradients, fed = self.differentiated(data)
        self.apply_gradients(_averaged(gradients), fed)
        return self._report(losses[record.LOSS], fed)

    def differentiated(self, data) -> tuple[dict[str, tf.Tensor], list, dict[str, tf.Tensor]]:
        """Returns the losses of a batch by key, the gradients that the update takes, in order, and what was fed by key."""
        ready = self._ready()
        fed = self._tensors(record.LOSS, data)
        entries = self._training.gradients
        by_name, frozen = self.by_name, self._frozen()
        with tf.GradientTape(persistent=len({entry.loss for entry in entries}) > 1) as tape:
            for entry in entries:
                tape.watch(by_name[entry.variable].value)
            losses = ready(record.LOSS, list(fed.values()), self._held(frozen))
        gradients: dict[tuple[str, str], Any] = {}
        for loss in dict.fromkeys(entry.loss for entry in entries):
            names = [entry.variable for entry in entries if entry.loss == loss]
            given = tape.gradient(losses[loss], [by_name[name].value for name in names])
            gradients |= {
                (loss, name): _times(gradient, 0.0) if name in frozen and gradient is not None else gradient
                for name, gradient in zip(names, given, strict=True)
            }
        return losses, [gradients[entry.loss, entry.variable] for entry in entries], fed

    def apply_gradients(self, grads: Sequence, fed: Mapping[str, tf.Tensor]) -> None:
        """Makes the step: clipping and whatever else TensorFlow 1 did, and the optimizer.

        Args:
            grads: as `differentiated` returns them.
            fed: what the loss was fed, by key; an update may read it, too.
        """
        entries, ready, frozen = self._training.gradients, self._ready(), self._frozen()
        own = self._graph_optimizer
        if own is not None:
            needed = ready.inputs(record.UPDATE)
            own.update(grads, {key: value for key, value in fed.items() if key in needed}, self._held(frozen))
            return
        if record.GRADIENTS in ready:
            processed = ready(record.GRADIENTS, list(optimizer.fed(entries, grads).values()))
        else:
            processed = {}
            for entry, gradient in zip(entries, grads, strict=True):
                other = processed.get(entry.variable)
                processed[entry.variable] = gradient if other is None else other + gradient
        by_name = {name: weight for name, weight in self.by_name.items() if name not in frozen}
        processed = {name: gradient for name, gradient in processed.items() if name in by_name}
        # Keras adds up what the replicas give; these are equal.
        share = 1.0 / tf.distribute.get_strategy().num_replicas_in_sync
        self.optimizer.apply(
            [_times(gradient, share) for gradient in processed.values()], [by_name[name] for name in processed]
        )

    def _report(self, loss: tf.Tensor, fed: Mapping[str, tf.Tensor]) -> dict:
        rows = [tf.shape(value)[0] for value in fed.values() if value.shape.rank]
        # TensorFlow 1 differentiates the sum; of most losses there is one element, and of some nothing tells the rank.
        self._loss_mean.update_state(tf.reduce_sum(loss), sample_weight=rows[0] if rows else None)
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data):
        ready = self._ready()
        if record.VALIDATION not in ready:
            raise LoadError(
                f"Model {self.name!r} has no loss for evaluation: its graph needs more in inference mode than inputs and "
                "labels.\n  Export again with --freeze=TENSOR=VALUE for what it lacks."
            )
        fed = self._tensors(record.VALIDATION, data)
        return self._report(ready(record.VALIDATION, list(fed.values()))["loss"], fed)

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """In the block, weights have the values of their moving averages; see `swap_ema`."""
        self.swap_ema()
        try:
            yield
        finally:
            self.swap_ema()

    def swap_ema(self) -> list[str]:
        """Exchanges weights with their moving averages, and returns the names of those; once more puts them back.

        Raises:
            LoadError: the training keeps none.
        """
        held = self.held
        pairs = {name: average for name, average in self._training.averages.items() if average in held and name in held}
        if not pairs:
            raise LoadError(f"The training of model {self.name!r} keeps no moving averages of its weights.")
        for name, average in pairs.items():
            kept = tf.identity(held[name].value)
            held[name].assign(held[average].value)
            held[average].assign(kept)
        return list(pairs)

    def get_config(self):
        extra = [[v.name, v.dtype, list(v.shape), v.trainable] for v in self._extra_described]
        frozen = freezing.names(self._extra)
        return {
            # The layer's own are in its config. Earlier versions do not know the key.
            **({"frozen": frozen} if frozen else {}),
            "name": self.name,
            "layer": keras.saving.serialize_keras_object(self.layer),
            "training": dataclasses.asdict(self._training),
            "extra": extra,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        layer = keras.saving.deserialize_keras_object(config.pop("layer"))
        training = record.resume_entry(config.pop("training"))
        # Nothing else of a config reaches the constructor: what is let in is not the archive's to say.
        model = cls(layer, training, config.get("extra", ()), name=config.get("name"))
        freezing.freeze_by_name(model.name, model._extra, config.get("frozen", ()))
        return model

    def save_assets(self, dir_path):
        for key, program in self._programs.items():
            archive.write(program, os.path.join(dir_path, key))
            digests.write(os.path.join(dir_path, key), ())

    def load_assets(self, dir_path):
        if dir_path is None:
            raise LoadError(
                f"The archive has no graphs for model {self.name!r}: it was truncated, or saved as weights only.\n"
                f"  Save the whole model: model.save(FILE.keras)."
            )
        programs = {}
        for key in record.TRAINING_SIGNATURES:
            folder = os.path.join(dir_path, key)
            if os.path.isdir(folder):
                changed = digests.changed_files(folder, LoadError)
                if changed:
                    raise LoadError(
                        f"The archive was changed after model {self.name!r} was saved: {', '.join(changed)} of {key!r}.\n"
                        "  It is damaged, or somebody wrote into it. Save the model again."
                    )
                own = archive.OwnFolder()
                self._kept.append(archive.Kept(own))
                programs[key] = archive.moved(folder, key, own)
        self.attach(programs)


def _averaged(grads: list) -> list:
    """Returns gradients as the mean over the replicas, which is that of the whole batch."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return grads
    whole = [gradient for gradient in grads if not isinstance(gradient, tf.IndexedSlices)]
    reduced = iter(context.all_reduce(tf.distribute.ReduceOp.MEAN, whole) if whole else ())
    share = 1.0 / context.num_replicas_in_sync
    return [
        # The rows of all replicas: an update of rows leaves the others alone, so these cannot become a whole tensor.
        tf.IndexedSlices(
            context.all_gather(gradient.values * share, axis=0),
            context.all_gather(gradient.indices, axis=0),
            gradient.dense_shape,
        )
        if isinstance(gradient, tf.IndexedSlices)
        else next(reduced)
        for gradient in grads
    ]


def _times(gradient, factor: float):
    if factor == 1.0:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * factor, gradient.indices, gradient.dense_shape)
    return gradient * factor
