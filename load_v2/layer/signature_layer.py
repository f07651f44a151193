"""SignatureLayer: a signature of an export as a Keras 3 layer."""

import contextlib
import dataclasses
import os
import weakref
from collections.abc import Collection, Iterator, Sequence

import keras
import tensorflow as tf
from absl import logging

from export_v1.console import tables
from export_v1.format import digests
from export_v1.ir import safety
from load_v2 import private
from load_v2.errors import LoadError, quoted
from load_v2.layer import (
    appearance,
    archive,
    binding,
    cloning,
    concrete_functions,
    description,
    freezable,
    freezing,
    loaded,
    weights,
)
from load_v2.program import artefact, xla
from load_v2.program import program as programs

# What a config may hold: what `get_config` writes, and nothing that lets a graph do more than compute. Permissions are
# given where a layer is made or loaded, and never travel.
# Earlier versions wrote `origin`, which led to the layer that a clone was made from.
_CONFIG_KEYS = frozenset({"name", "trainable", "dtype", "description", "extra", "frozen", "origin"})


def _how_to_allow(ops: list[str]) -> str:
    return f"If you trust where it comes from, pass allow_ops={ops}."


def _how_to_load(ops: list[str]) -> str:
    return "If you trust where it comes from, pass safe_mode=False to keras.models.load_model."


@keras.saving.register_keras_serializable(package="load_v2")
class SignatureLayer(freezable.FreezableLayer):
    """A signature of a SavedModel, as a layer that owns its weights.

    Guaranteed: one Keras weight for each variable the graph needs, under its TensorFlow 1 name and with its value;
    called with a tensor, a dict, keywords or positions in the order of step 1, it answers what the graph answers: the
    tensor where there is one output, else a dict by key. `training=True` runs the export's `train` signature, its
    update ops included, where there is one and the layer is trainable, else the same graph as in inference, which is
    said once.

    Args:
        path: what `tf.saved_model.load` or `hub.load` returned, or the folder of an export or another SavedModel. From a folder
            the layer is made faster, and values are in memory once; of what was loaded it has a copy of its own.
        signature: which of its signatures.
        name: of the layer.
        trainable: as of any Keras layer; setting it to False also stops the updates of moving averages.
        allow_ops: ops to let run although they could touch files, network or Python.
        extra: what becomes of inputs and columns that the signature does not have: "refuse", or "ignore".

    Raises:
        LoadError: the folder, the signature or a variable is not there, or the graph cannot be run as it is.
    """

    def __init__(
        self,
        path: str | os.PathLike | description.Description | object,
        signature: str = "serving_default",
        *,
        name: str | None = None,
        trainable: bool = True,
        allow_ops: Collection[str] = (),
        extra: str = "refuse",
        **kwargs,
    ):
        if keras.config.backend() != "tensorflow":
            raise LoadError(
                f"KERAS_BACKEND is {keras.config.backend()!r}, and only TensorFlow can run a TensorFlow graph.\n"
                "  Set KERAS_BACKEND=tensorflow before Keras is imported."
            )
        super().__init__(name=name, trainable=True, **kwargs)
        private.take_arguments_as_they_are(self)
        self._policy = safety.Policy(frozenset(allow_ops), remedy=_how_to_allow, error=LoadError)
        # What a graph that comes in an archive may do, whatever the layer's own has been allowed.
        self._of_archive = safety.Policy(remedy=_how_to_load, error=LoadError)
        self._extra = binding.known_extra(extra)
        self._program: programs.Program | None = None
        self._functions: concrete_functions.Functions | None = None
        # Tables and files, once there is a graph: TensorFlow saves what a module holds.
        self._resources = tf.Module()
        self._model: weakref.ref[SignatureLayer] | None = None
        self._said: set[str] = set()
        self._parts = freezing.Parts(
            f"Layer {self.name!r}", "Leave them out of the pattern, or freeze the whole layer: layer.trainable = False."
        )
        from_config = isinstance(path, description.Description)
        with contextlib.nullcontext((None, None)) if from_config else loaded.opened(path, signature) as (program, kept):
            bundle = None
            if program is None:
                assert isinstance(path, description.Description), "else there is a program"
                self._description = path
            else:
                self._policy = dataclasses.replace(self._policy, place=f"The graph of {program.source.path!r} holds")
                # Before any weight is made; what is imported is checked again, where it is imported.
                self._policy.check(program.graph_def, program.assets)
                weights.check(program.variables, program.source)
                self._description = description.of_program(program, xla.may_be_tried(program.graph_def))
                bundle = program.source.bundle
            if any(spec.dtype == "string" for spec in self._description.inputs.values()):
                private.let_models_take_strings()
            self.supports_jit = self._description.supports_jit
            self._shapes = dict(self._description.shapes)
            self._own = weights.create(self._description.variables, self.name, self._description.written, bundle)
        self.trainable = trainable
        self.built = True
        if program is not None:
            self._attach(program, kept)

    def _attach(self, program: programs.Program, keep: object = None) -> None:
        """Takes the graph: `keep` is what must live as long as the layer (a folder of its own for assets)."""
        by_name = {weight.name: weight for weight in self._own}
        functions = concrete_functions.over(program, by_name, self._policy)
        self._resources.tables = list(dict.fromkeys(functions.tables.values()))
        self._resources.assets = list(functions.assets.values())
        self._resources.kept = archive.Kept(keep)
        self._program = program
        self._functions = functions
        concrete_functions.add_penalties(functions, program, by_name)

    @property
    def input_specs(self) -> dict:
        """Inputs by key, in call order: tensor in the graph, dtype, shape."""
        return dict(self._description.inputs)

    @property
    def output_specs(self) -> dict:
        """Outputs by key."""
        return dict(self._description.outputs)

    @property
    def policy(self) -> safety.Policy:
        """Which ops the layer lets in: what its maker allowed, or what an archive may hold."""
        return self._policy

    @property
    def program_source(self) -> artefact.Artefact:
        """The artefact that the layer was made of."""
        return self._ready().source

    def __repr__(self) -> str:
        return self._table().text()

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return self._table().html()

    def _table(self) -> tables.Table:
        source = self._program.source if self._program is not None else None
        record = source.record if source is not None else None
        return appearance.table(self.name, self._description, source.path if source else "", record, self.trainable)

    def build(self, *shapes, **shapes_by_key):
        """Does nothing: a layer has its weights from the beginning, whatever shapes it is told."""

    def __call__(self, *args, training=None, **kwargs):
        inputs = self._description.inputs
        values = self._by_order(args, kwargs)
        if tf.executing_eagerly() and self._functions is not None and not private.inside_a_layer_call():
            if not any(isinstance(value, keras.KerasTensor) for value in values):
                # The plain eager call: nothing that Keras would do around it (casting, masks, name scopes, a parent's
                # training flag) applies, and it would cost as much as a small graph itself.
                return self._run(values, training)
        given = values[0] if len(inputs) == 1 else dict(zip(inputs, values, strict=True))
        # Keras takes a `training` that is None for an answer, and hides that of the outer layer from all that follows.
        return super().__call__(given, **({} if training is None else {"training": training}))

    def tensors(self, *args, **kwargs) -> dict[str, tf.Tensor]:
        """Returns what a call makes of its arguments: a tensor for each input, by key, in the signature's type and rank.

        `model.predict(layer.tensors(table))` and `model.fit(layer.tensors(table), …)` so take whatever the layer takes:
        data frames, Arrow tables, dicts of lists or of columns. Keras itself takes a list in a dict for a structure of
        inputs, and casts a missing number to an integer; here missing values are refused by their place.

        Args:
            args, kwargs: as of a call.

        Raises:
            LoadError: the layer would refuse them.
        """
        return dict(zip(self._description.inputs, self._tensors(self._by_order(args, kwargs)), strict=True))

    def call(self, inputs, training=None):
        return self._run(self._by_order((inputs,), {}), training)

    def _by_order(self, args: tuple, kwargs: dict) -> list:
        described, extra = self._description, self._extra
        if kwargs and "extra" in kwargs and "extra" not in described.inputs:
            extra = binding.known_extra(kwargs.pop("extra"))
        return binding.by_order(described.inputs, args, kwargs, self.name, extra=extra, is_ordered=described.is_ordered)

    def _tensors(self, values: list) -> list:
        specs = self._description.inputs.items()
        return [binding.tensor(key, spec, value, self.name) for (key, spec), value in zip(specs, values, strict=True)]

    def _run(self, values: list, training):
        tensors = self._tensors(values)
        if self._program is None and self._model is None and private.is_asked_for_shapes():
            # Keras builds a subclassed model of an archive by tracing its call, before graphs are read.
            return self._keyed([tf.compat.v1.placeholder(dtype, shape) for shape, dtype in self._output_specs(tensors)])
        part = self._part(training)
        finer = None if tf.executing_eagerly() else concrete_functions.finer_shapes(part, tensors)
        assert self._functions is not None, "a layer with a program has its functions"
        return self._keyed(self._functions(part, tensors, finer))

    def _keyed(self, results: Sequence):
        outputs = self._description.outputs
        return results[0] if len(results) == 1 else dict(zip(outputs, results, strict=True))

    def _part(self, training) -> programs.Part:
        program = self._ready()
        if not training or not self.trainable:
            return program.serve
        if program.custom_gradients:
            self._say_once(
                "Layer %r: %d nodes had a gradient of their own, a Python function that is in no file; TensorFlow's "
                "gradient of what they compute is used: %s.",
                len(program.custom_gradients),
                quoted(program.custom_gradients),
            )
        if program.train is None:
            self._say_once(
                "Layer %r has no training graph: training runs the inference graph (no dropout, moving averages "
                "fixed). Step 1 makes one with --train_freeze."
            )
            return program.serve
        return self._parts.get(program, program.train, freezing.names(self._own))

    def _say_once(self, message: str, *values) -> None:
        if message not in self._said:
            self._said.add(message)
            logging.warning(message, self.name, *values)

    def _ready(self) -> programs.Program:
        model = self._model() if self._model is not None else None
        if self._program is None and model is not None and model._program is not None:
            # Its graph is in this process already, let in by whoever made that layer.
            self._policy = model._policy
            self._attach(model._program, model._resources.kept)
        if self._program is None:
            raise LoadError(
                f"Layer {self.name!r} was made from a config and has no graph.\n"
                "  Load the model with keras.models.load_model, clone it with keras.models.clone_model while the original is "
                "there, or create the layer with SignatureLayer(DIR)."
            )
        return self._program

    def compute_output_spec(self, *args, training=None, **kwargs):
        tensors = self._tensors(self._by_order(args, kwargs))
        return self._keyed([keras.KerasTensor(shape, dtype=dtype) for shape, dtype in self._output_specs(tensors)])

    def _output_specs(self, tensors: list) -> list[tuple[tuple, str]]:
        """Returns shape and dtype of each output."""
        specs = self._description.outputs
        shapes = self._output_shapes(tensors)
        for key, shape in zip(specs, shapes, strict=True):
            if shape is None:
                raise LoadError(
                    f"Layer {self.name!r}: the rank of output {key!r} is unknown, so it cannot be an output of a "
                    f"functional model.\n"
                    "  Call the layer on real tensors, or in the call() of a keras.Model of your own."
                )
        return [(shape, spec.dtype) for shape, spec in zip(shapes, specs.values(), strict=True)]

    def _output_shapes(self, tensors: list) -> tuple:
        """Returns the outputs' shapes; kept for the config, from which a model is rebuilt before it has its graphs."""
        given = tuple(tuple(tensor.shape) for tensor in tensors)
        if given not in self._shapes:
            shapes = tuple(spec.shape for spec in self._description.outputs.values())
            if self._program is not None or self._model is not None:
                part = self._ready().serve
                assert self._functions is not None, "a layer with a program has its functions"
                shapes = self._functions.output_shapes(part, tensors)
            self._shapes = {**self._shapes, given: shapes}
        return self._shapes[given]

    def get_config(self):
        known = tuple(self._shapes.items())
        described = dataclasses.replace(self._description, shapes=known).to_config()
        described["signature"] = cloning.LinkedKey.of(described["signature"], self)
        frozen = freezing.names(self._own)
        # Earlier versions do not know these keys, and need them only where they say something.
        optional = {"frozen": frozen or None, "extra": self._extra if self._extra != binding.EXTRA[0] else None}
        return {
            **super().get_config(),
            "description": described,
            **{key: value for key, value in optional.items() if value is not None},
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        unknown = sorted(set(config) - _CONFIG_KEYS)
        if unknown:
            raise LoadError(
                f"The config of a SignatureLayer has unknown keys: {quoted(unknown)}.\n"
                "  The archive was changed after it was saved. Save the model again."
            )
        content, frozen = config.pop("description", {}), config.pop("frozen", ())
        config.pop("origin", None)
        described = description.from_config(content)
        origin = cloning.original(content.get("signature"))
        layer = cls(described, **config)
        layer._policy = layer._of_archive = safety.Policy(
            everything=private.safe_mode() is False,
            place=f"The graph of layer {layer.name!r} holds",
            remedy=_how_to_load,
            error=LoadError,
        )
        freezing.freeze_by_name(layer.name, layer._own, frozen)
        if origin is not None and not origin._description.same_as(described):
            # A clone in the same process starts from the values of the layer it was made from, and takes its graph when
            # first called: before that an archive may bring another.
            layer._model = weakref.ref(origin)
            for weight, value in zip(layer._own, origin._own, strict=True):
                weight.assign(value)
        return layer

    def save_assets(self, dir_path):
        archive.write(self._ready(), dir_path)
        digests.write(dir_path, self._digests())

    def _digests(self) -> Iterator[tuple[str, str]]:
        return ((weight.name, digests.of_array(keras.ops.convert_to_numpy(weight))) for weight in self._saved_order())

    def load_assets(self, dir_path):
        program, kept = archive.read(dir_path, self._description, self.name)
        self._policy = self._of_archive
        self._policy.check(program.graph_def, program.assets)
        # Replicas are averaged when they are read, and that may round.
        is_mirrored = any(isinstance(weight.value, tf.distribute.DistributedValues) for weight in self._own)
        archive.check_digests(dir_path, None if is_mirrored else dict(self._digests()), self.name)
        self._attach(program, kept)

    def load_own_variables(self, store):
        weights.check_stored(self._saved_order(), store, self.name)
        super().load_own_variables(store)

    def _saved_order(self) -> list[weights.Weight]:
        return self._trainable_variables + self._non_trainable_variables
