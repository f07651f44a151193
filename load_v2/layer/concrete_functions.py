"""Concrete functions over a program's parts, one per part, replica and kind of input shapes; made when first called."""

import functools
import threading
from collections.abc import Iterable, Mapping, Sequence

import tensorflow as tf

from export_v1.format import plain_path
from export_v1.ir import safety
from load_v2 import errors, private
from load_v2.errors import LoadError, quoted
from load_v2.layer.weights import Weight
from load_v2.program import program as programs
from load_v2.program import resource_tables, signature, subgraph


class Functions:
    """Calls the parts of a program on the tensors of a layer.

    `tf.compat.v1.wrap_function` builds them rather than `tf.function`: it adds no automatic control dependencies, which
    break TensorFlow 1 control flow and would order what the original graph left unordered, and the result is called
    without looking for a matching trace, which is the layer's speed in eager mode.

    Attributes:
        tables: tensor name of a table's handle -> the table.
        assets: tensor name of a path -> the file.
    """

    def __init__(
        self,
        program: programs.Program,
        weights: Mapping[str, Weight],
        tables: Mapping[str, resource_tables.Table],
        assets: Mapping[str, tf.saved_model.Asset],
        policy: safety.Policy | None = None,
    ):
        """Args:
        taken: the program whose parts are called.
        weights: tensor name of a variable's handle -> its weight.
        tables: tensor name of a table's handle -> the table.
        assets: tensor name of a path -> the file.
        policy: which ops may be in a part; None: those that only compute.
        """
        self._program = program
        self._weights = weights
        self.tables = tables
        self.assets = assets
        self._policy = policy or safety.Policy(error=LoadError)
        self._cache: dict = {}
        self._lock = threading.RLock()
        self.is_distributed = any(isinstance(w.value, tf.distribute.DistributedValues) for w in weights.values())

    def __call__(self, part: programs.Part, tensors: Sequence, shapes: tuple | None = None) -> Sequence:
        """Returns the outputs of a part for tensors in its input order; `shapes` as for `get`."""
        if part.v1_control_flow:
            return self._without_gradient(part, tensors, shapes)
        return private.call(self.get(part, shapes), tensors)

    def _without_gradient(self, part: programs.Part, tensors: Sequence, shapes: tuple | None) -> Sequence:
        """Calls a part with a TensorFlow 1 loop or condition in it; whoever asks for its gradient is told why not.

        TensorFlow would fail inside its own gradient code, and as soon as a tape is there, wanted or not.
        """
        function = self.get(part, shapes)
        reasons = "; ".join(self._program.source.unconverted)
        weights = [weight.value.read_value() for weight in self._weights.values() if weight.trainable]

        @tf.custom_gradient
        def run(*values):
            def gradient(*_, **__):
                raise LoadError(
                    f"Outputs {quoted(part.v1_control_flow)} cannot be differentiated: they are behind a TensorFlow 1 "
                    f"loop or condition.\n  {reasons or 'Step 1 turns these into TensorFlow 2 ones: run it.'}\n"
                    "  Set layer.trainable = False, or use the layer for inference alone."
                )

            with private.no_recording():
                return list(function(*values[: len(tensors)])), gradient

        return run(*tensors, *weights)

    def get(self, part: programs.Part, shapes: tuple | None = None) -> tf.types.experimental.ConcreteFunction:
        """Returns the function of a part: tensors in the part's input order to a tuple of tensors.

        Args:
            part: a part of the program these functions were made for.
            shapes: static shapes of the inputs where they say more than the graph's own.
        """
        handles = self._handles() if self.is_distributed else None
        replica = id(next(iter(handles.values()))) if handles else None
        key = (id(part), shapes, replica)
        function = self._cache.get(key)
        if function is None:
            with self._lock:
                function = self._cache.get(key)
                if function is None:
                    function = self._cache[key] = self._build(part, shapes, handles or self._handles())
        return function

    def output_shapes(self, part: programs.Part, tensors: Sequence) -> tuple[tuple | None, ...]:
        """Returns the shapes of a part's outputs as far as the shapes of its inputs tell them; None: unknown rank."""
        given = tuple(tuple(tensor.shape) for tensor in tensors)
        declared = tuple(spec.shape for spec in part.outputs.values())
        if None not in declared and given == tuple(spec.shape for spec in part.inputs):
            return declared
        try:
            function = self.get(part, given)
        except LoadError:
            # A graph may be written for some sizes of a batch alone, and Keras asks for others.
            function = self.get(part, finer_shapes(part, tensors))
        return tuple(None if o.shape.rank is None else tuple(o.shape.as_list()) for o in function.outputs)

    @property
    def count(self) -> int:
        """How many functions there are; it stays the same once every kind of call was made."""
        return len(self._cache)

    def _handles(self) -> dict[str, tf.Tensor]:
        return {name: _handle(weight) for name, weight in self._weights.items()}

    def _build(self, part: programs.Part, shapes: tuple | None, handles: Mapping[str, tf.Tensor]):
        known: Sequence = shapes or [spec.shape for spec in part.inputs]
        specs = [tf.TensorSpec(shape, spec.dtype) for shape, spec in zip(known, part.inputs, strict=True)]
        used = _names_used(part)

        def run(*inputs):
            feeds = {spec.tensor: value for spec, value in zip(part.inputs, inputs, strict=True)}
            captured = {name: tf.convert_to_tensor(handle) for name, handle in handles.items() if name in used}
            feeds |= captured
            feeds |= {name: table.resource_handle for name, table in self.tables.items() if name in used}
            files = {name: asset.asset_path for name, asset in self.assets.items() if name in used}
            names = [spec.tensor for spec in part.outputs.values()]
            outputs = programs.import_into_current(part.graph_def, names, feeds, files, self._policy)
            for output, spec in zip(outputs, part.outputs.values(), strict=True):
                output.set_shape(spec.shape)
            self._watch(used)
            if not part.v1_control_flow:
                _finish_with(captured.values())
            return tuple(tf.identity(output) for output in outputs)

        with tf.init_scope(), errors.blamed(f"TensorFlow {tf.__version__} refuses the graph"):
            return tf.compat.v1.wrap_function(run, specs)

    def _watch(self, used: set[str]) -> None:
        # Imported nodes are not seen by gradient tapes. A function's list of variables is what a tape watches when
        # the function is called, and what Keras exports; gradients go through the function as a whole, and
        # IndexedSlices stay what they are.
        building = tf.compat.v1.get_default_graph()
        for name, weight in self._weights.items():
            if name in used:
                building.watch_variable(weight.value)


def over(program: programs.Program, weights: Mapping[str, Weight], policy: safety.Policy) -> Functions:
    """Returns the functions of a program over weights that are given by the name of their variable; makes its tables.

    Raises:
        LoadError: a table cannot be made.
    """
    held = {f"{handle}:0": weights[variable.name] for variable in program.variables for handle in variable.handles}
    assets = {name: tf.saved_model.Asset(plain_path.in_utf_8(file)) for name, file in program.assets.items()}
    with errors.blamed(f"The tables of {program.source.path!r} cannot be made"):
        run = functools.partial(programs.run_now, policy=policy)
        made = resource_tables.create_all(program.graph_def, run, assets)
    tables = {f"{name}:0": table for name, table in made.items()}
    return Functions(program, held, tables, assets, policy)


def _finish_with(handles: Iterable[tf.Tensor]) -> None:
    """Makes the function being built end only when every op on these variables has run.

    Whoever assigns a variable after a call waits for the call to end. Without this, TensorFlow inlines the call into a
    training step, finds nothing in it to wait for, and a loss is now and then read from weights already updated.
    (A node inside a TensorFlow 1 loop or condition cannot be waited for; such parts do not train.)
    """
    ends = tf.compat.v1.get_default_graph().control_outputs
    ends.extend(dict.fromkeys(operation for handle in handles for operation in handle.consumers()))


def _names_used(part: programs.Part) -> set[str]:
    ends = {spec.tensor for spec in part.outputs.values()}
    return ends | {subgraph.tensor_name(edge) for node in part.graph_def.node for edge in node.input}


def _handle(weight: Weight) -> tf.Tensor:
    variable = weight.value
    if not isinstance(variable, tf.distribute.DistributedValues):
        return variable.handle
    if tf.distribute.in_cross_replica_context():
        return tf.distribute.get_strategy().experimental_local_results(variable)[0].handle
    return variable.handle


def finer_shapes(part: programs.Part, tensors: Sequence) -> tuple | None:
    """Returns the static shapes of tensors where, beside the leading size, they say more than the graph; else None.

    The leading size stays as the graph has it, so that a last, smaller batch makes no new function.
    """
    if all(spec.shape is not None and None not in spec.shape[1:] for spec in part.inputs):
        return None
    shapes = []
    for spec, tensor in zip(part.inputs, tensors, strict=True):
        shape = tf.TensorShape(tensor.shape)
        if shape.rank is None:
            return None
        known = shape.as_list()
        shapes.append(tuple(known if spec.shape is None else [*_leading(spec, known), *known[1:]]))
    plain = tuple(None if spec.shape is None else tuple(spec.shape) for spec in part.inputs)
    return None if tuple(shapes) == plain else tuple(shapes)


def _leading(spec: signature.Spec, known: list) -> list:
    return list(spec.shape[:1]) if known and spec.shape else []


class Penalty:
    """The regularization losses of a graph that a weight has a part in, as Keras calls a weight's regularizer.

    A loss of several weights counts once: with the first of them that trains.

    Args:
        functions: calls the losses' parts.
        losses: of each loss, the weights in it and its part.
        weight: whose regularizer this is.
    """

    def __init__(self, functions: Functions, losses: Sequence[tuple[Sequence[Weight], programs.Part]], weight: Weight):
        self._functions = functions
        self._losses = losses
        self._weight = weight

    def is_due(self) -> bool:
        """Whether one of the losses counts with the weight as things are."""
        return bool(self._due())

    def _due(self) -> list[programs.Part]:
        return [part for held, part in self._losses if next((w for w in held if w.trainable), None) is self._weight]

    def __call__(self, _, /) -> tf.Tensor:
        return tf.add_n([self._functions(part, ())[0] for part in self._due()])


def add_penalties(functions: Functions, program: programs.Program, weights: Mapping[str, Weight]) -> None:
    """Gives each weight the regularization losses of the graph that it has a part in.

    Args:
        functions: of the program.
        taken: the program.
        weights: by the name of their variable.
    """
    losses = [([weights[name] for name in names], part) for names, part in program.regularizers]
    for weight in weights.values():
        held = [loss for loss in losses if any(other is weight for other in loss[0])]
        weight.penalty = Penalty(functions, held, weight) if held else None
