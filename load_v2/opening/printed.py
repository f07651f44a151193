"""Classes that the generated code defines for itself, where Keras has no layer that does the same."""

import dataclasses
import re
import textwrap
from typing import Any

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions, sparse_functions, text
from load_v2.opening.context import Context
from load_v2.opening.expressions import Binary, Call, Expression, Item, Negative
from load_v2.opening.layers import Layer, PrintedClass

REGISTERED = '@keras.saving.register_keras_serializable(package="rebuilt")\n'

PARAMETER = PrintedClass(
    "Parameter",
    REGISTERED
    + textwrap.dedent('''\
    class Parameter(layers.Layer):
        """A weight that belongs to no layer of Keras's own; what it is called on only says where in the model it is."""

        def __init__(self, shape, value_dtype="float32", **options):
            super().__init__(**options)
            self.value_shape, self.value_dtype = tuple(shape), value_dtype

        def build(self, input_shape):
            options = {"initializer": "zeros", "trainable": self.trainable, "autocast": False}
            self.value = self.add_weight(self.value_shape, dtype=self.value_dtype, name="value", **options)

        def call(self, inputs):
            return ops.convert_to_tensor(self.value)

        def compute_output_spec(self, inputs):
            return keras.KerasTensor(self.value_shape, self.value_dtype)

        def get_config(self):
            return {**super().get_config(), "shape": self.value_shape, "value_dtype": self.value_dtype}
    '''),
    "a weight that no layer of Keras's holds",
)


def parameter(context: Context, tensor: Tensor | None, value: np.ndarray, name: str) -> Layer:
    """Returns a layer that holds one weight, or a large constant.

    Args:
        context: of the graph.
        tensor: whose value it is; None for a constant that no tensor is.
        value: the value.
        name: what the layer is named after where no variable is behind it.
    """
    variables = context.values.variables(tensor) if tensor is not None else ()
    if tensor is not None:
        context.held(tensor)
    # PyTorch has no gradients of integers.
    trainable = value.dtype.kind in "fc" and any(variable.trainable for variable in variables)
    return Layer(
        kind="Parameter",
        scope=variables[0].name if variables else name,
        arguments=(tuple(value.shape),),
        options={
            **({} if value.dtype.name == "float32" else {"value_dtype": value.dtype.name}),
            **({} if trainable else {"trainable": False}),
        },
        weights=(value,),
        variables=tuple(variable.name for variable in variables),
        printed=PARAMETER,
    )


_SEQUENCE_MASK = PrintedClass(
    "SequenceMask",
    REGISTERED
    + textwrap.dedent('''\
    class SequenceMask(layers.Layer):
        """True for the steps of each sequence before its length, False after them."""

        def call(self, sequences, lengths):
            steps = ops.arange(ops.shape(sequences)[1], dtype="int32")
            return ops.expand_dims(steps, 0) < ops.expand_dims(ops.cast(lengths, "int32"), 1)

        def compute_output_spec(self, sequences, lengths):
            return keras.KerasTensor(sequences.shape[:2], "bool")
    '''),
    "lengths become a mask of as many steps as the sequences have",
)


def sequence_mask(scope: str) -> Layer:
    """Returns the layer that makes a mask from sequences and their lengths."""
    return Layer(kind="SequenceMask", scope=scope, printed=_SEQUENCE_MASK)


_UNBIASED = PrintedClass(
    "UnbiasedBatchNormalization",
    REGISTERED
    + textwrap.dedent('''\
    class UnbiasedBatchNormalization(layers.Wrapper):
        """Batch norm that moves towards the unbiased variance of a batch, as TensorFlow 1's fused one does."""

        def call(self, inputs, training=False):
            before = ops.copy(self.layer.moving_variance)
            outputs = self.layer(inputs, training=training)
            if training and self.layer.trainable:
                # What the biased variance of `count` numbers has added, times 1 / (count - 1) once more.
                count = ops.cast(ops.size(inputs), "float32") / inputs.shape[-1]
                added = self.layer.moving_variance - self.layer.momentum * before
                self.layer.moving_variance.assign_add(added / ops.maximum(count - 1.0, 1.0))
            return outputs
    '''),
    "TensorFlow 1's fused batch norm keeps an average of unbiased variances, Keras's layer one of biased ones",
)


_BY_AVERAGES = PrintedClass(
    "FixedBatchNormalization",
    REGISTERED
    + textwrap.dedent('''\
    class FixedBatchNormalization(layers.Wrapper):
        """Batch norm by averages that stay as they are, in training, too; scale and offset are trained."""

        def call(self, inputs):
            return self.layer(inputs, training=False)
    '''),
    "in training, the graph normalizes by averages that it does not change, and Keras's layer by each batch",
)


def unbiased(layer: Layer) -> Layer:
    """Returns a layer around a BatchNormalization that averages unbiased variances."""
    return _around(layer, _UNBIASED)


def by_averages(layer: Layer) -> Layer:
    """Returns a layer around a BatchNormalization that never normalizes by a batch."""
    return _around(layer, _BY_AVERAGES)


_TIED = PrintedClass(
    "Tied",
    REGISTERED
    + textwrap.dedent('''\
    class Tied(layers.Wrapper):
        """A layer whose kernel or table the model reads elsewhere, too: called with its name as `weight`, it gives that."""

        def __init__(self, layer, input_shape, **options):
            super().__init__(layer, **options)
            self.of_inputs = tuple(input_shape)

        def build(self, input_shape=None):
            super().build(self.of_inputs)

        def call(self, inputs, weight=None, **options):
            if weight is None:
                return self.layer(inputs, **options)
            if self.layer.quantization_mode:
                raise ValueError(f"{self.name} is read elsewhere, too: leave it out, by the filters of quantize")
            return ops.convert_to_tensor(getattr(self.layer, weight))

        def compute_output_spec(self, inputs, weight=None, **options):
            if weight is None:
                return self.layer.compute_output_spec(inputs, **options)
            return keras.KerasTensor(getattr(self.layer, weight).shape, self.compute_dtype)

        def get_config(self):
            return {**super().get_config(), "input_shape": self.of_inputs}
    '''),
    "Keras's layers keep their weights for themselves, and another place of the graph reads this one",
)
# Class of a layer that can be tied -> what its first weight is called.
TIED_WEIGHTS = {
    "Dense": "kernel", "Conv1D": "kernel", "Conv2D": "kernel", "Conv3D": "kernel", "Embedding": "embeddings",
    "ReversibleEmbedding": "embeddings",
}  # fmt: skip


def tie(layer: Layer) -> None:
    """Puts a layer of Keras's, in its place, into one that also gives its first weight; its calls stay as they are."""
    inner = dataclasses.replace(layer)
    layer.kind, layer.printed, layer.parts, layer.arguments, layer.options = "Tied", _TIED, (inner,), inside(inner), {}


def inside(layer: Layer) -> tuple[Any, ...]:
    """Returns what Tied is made with: a layer, and the shape of what it takes."""
    *sizes, last, _ = layer.weights[0].shape
    shape = (None, *(None for _ in sizes), last) if layer.kind in _WITH_CHANNELS else (None,)
    return (expressions.Name(text.constructed(dataclasses.replace(layer, name="layer"))), shape)


_WITH_CHANNELS = frozenset({"Dense", "Conv1D", "Conv2D", "Conv3D"})


def _around(layer: Layer, wrapper: PrintedClass) -> Layer:
    # Keras would number the inner layer by how many there were before, and its weights are found by their paths.
    inner = text.constructed(dataclasses.replace(layer, name="norm"))
    return Layer(
        kind=wrapper.name,
        scope=layer.scope,
        arguments=(expressions.Name(inner),),
        weights=layer.weights,
        variables=layer.variables,
        origins=layer.origins,
        parts=(layer,),
        printed=wrapper,
    )


# Functions that the code defines for itself, by name.
_RESIZE = textwrap.dedent('''\
    def resize(images, height, width, nearest, align_corners, half_pixel):
        """Returns images in another size, by the rules of TensorFlow 1 for where a new pixel lies among the old ones."""
        for axis, size in ((1, height), (2, width)):
            old = ops.cast(ops.shape(images)[axis], "float32")
            new = ops.cast(size, "float32")
            places = ops.arange(size, dtype="float32")
            if align_corners:
                places = places * ((old - 1.0) / ops.maximum(new - 1.0, 1.0))
            elif half_pixel:
                places = (places + 0.5) * (old / new) - 0.5
            else:
                places = places * (old / new)
            if nearest:
                picked = ops.round(places) if align_corners else ops.floor(places + (0.5 if half_pixel else 0.0))
                images = ops.take(images, ops.cast(ops.clip(picked, 0.0, old - 1.0), "int32"), axis=axis)
                continue
            places = ops.maximum(places, 0.0)
            low = ops.minimum(ops.floor(places), old - 1.0)
            high = ops.minimum(low + 1.0, old - 1.0)
            share = ops.reshape(places - low, (1, -1) + (1,) * (3 - axis))
            first, second = (ops.take(images, ops.cast(at, "int32"), axis=axis) for at in (low, high))
            images = first * (1.0 - share) + second * share
        return images
''')


_CROP_AND_RESIZE = textwrap.dedent('''\
    def crop_and_resize(images, boxes, owners, height, width, outside, nearest):
        """Returns what boxes hold of images, each in one size; pixels outside of the box's image are `outside`.

        Boxes are rows of top, left, bottom and right, as shares of the image; `owners` tells the image of each.
        """
        places, inside = [], []
        for axis, size in ((1, height), (2, width)):
            last = ops.cast(ops.shape(images)[axis] - 1, "float32")
            start, end = boxes[:, axis - 1 : axis], boxes[:, axis + 1 : axis + 2]
            if size > 1:
                at = start * last + ops.arange(size, dtype="float32") * ((end - start) * last / (size - 1))
            else:
                at = 0.5 * (start + end) * last
            places.append(ops.clip(at, 0.0, last))
            inside.append(ops.logical_and(at >= 0.0, at <= last))
        rows, columns = (ops.shape(images)[axis] for axis in (1, 2))
        pixels = ops.cast(ops.reshape(images, (-1, ops.shape(images)[3])), "float32")
        first = ops.reshape(ops.cast(owners, "int32"), (-1, 1, 1)) * rows

        def pick(y, x):
            y, x = ops.cast(ops.expand_dims(y, 2), "int32"), ops.cast(ops.expand_dims(x, 1), "int32")
            return ops.take(pixels, (first + y) * columns + x, axis=0)

        y, x = places
        if nearest:
            found = pick(ops.floor(y + 0.5), ops.floor(x + 0.5))
        else:
            top, bottom, left, right = ops.floor(y), ops.ceil(y), ops.floor(x), ops.ceil(x)
            down, along = ops.reshape(y - top, (-1, height, 1, 1)), ops.reshape(x - left, (-1, 1, width, 1))
            upper = pick(top, left) + (pick(top, right) - pick(top, left)) * along
            lower = pick(bottom, left) + (pick(bottom, right) - pick(bottom, left)) * along
            found = upper + (lower - upper) * down
        inside = ops.logical_and(ops.expand_dims(inside[0], 2), ops.expand_dims(inside[1], 1))
        return ops.where(ops.expand_dims(inside, 3), found, outside)
''')


_GELU = textwrap.dedent('''\
    def gelu(x):
        """Returns x times the normal distribution's share below it; ONNX has no op for what ops.gelu is made of."""
        return 0.5 * x * (1.0 + ops.erf(x / 1.4142135))
''')


_HARD_SIGMOID = REGISTERED + textwrap.dedent('''\
    def hard_sigmoid(x):
        """Returns a line of slope 1/5 between 0 and 1, as tf.keras had it; Keras's has slope 1/6."""
        return ops.clip(0.2 * x + 0.5, 0.0, 1.0)
''')


_CHOOSE = textwrap.dedent('''\
    def choose(condition, yes, no):
        """Returns numbers of two tensors by a condition for each, or whole rows of them by one for each row."""
        condition = ops.reshape(condition, ops.shape(condition) + (1,) * (len(yes.shape) - len(condition.shape)))
        return ops.where(condition, yes, no)
''')


_PUT = textwrap.dedent('''\
    def put(steps, place, value):
        """Returns steps with another value at a place."""
        here = ops.equal(ops.arange(ops.shape(steps)[0], dtype="int32"), ops.cast(place, "int32"))
        here = ops.reshape(here, (-1,) + (1,) * (len(steps.shape) - 1))
        return ops.where(here, ops.expand_dims(value, 0), steps)
''')


_OF_SIZES = textwrap.dedent('''\
    def of_sizes(function, *sizes):
        """Returns what a function gives for sizes; for those that are known before anything runs, a plain number."""
        if any(ops.is_tensor(size) for size in sizes):
            return getattr(ops, function)(*sizes)
        result = getattr(np, function)(*sizes)
        return result[()] if result.dtype.kind == "f" else result.item()
''')


_AS_TYPE = textwrap.dedent('''\
    def as_type(size, dtype):
        """Returns a size in another type, in which it is computed with; a whole one in Python's."""
        if ops.is_tensor(size):
            return ops.cast(size, dtype)
        number = np.dtype(dtype).type(size)
        return number if number.dtype.kind == "f" else number.item()
''')


_DECIDED = textwrap.dedent('''\
    def decided(condition, then, otherwise):
        """Returns what one of two functions gives; where the sizes are known before anything runs, the other never runs."""
        if ops.is_tensor(condition):
            return ops.cond(condition, then, otherwise)
        return then() if condition else otherwise()
''')


_AS_COMPLEX = textwrap.dedent('''\
    def as_complex(parts):
        """Returns complex numbers of their real and their imaginary parts."""
        real, imaginary = (ops.cast(part, "complex64") for part in parts)
        return real + imaginary * 1j
''')


HELPERS = {
    "resize": _RESIZE, "crop_and_resize": _CROP_AND_RESIZE, "choose": _CHOOSE, "hard_sigmoid": _HARD_SIGMOID,
    "put": _PUT, "gelu": _GELU, "of_sizes": _OF_SIZES, "as_complex": _AS_COMPLEX,
    "as_type": _AS_TYPE, "decided": _DECIDED, **sparse_functions.FUNCTIONS,
}  # fmt: skip
# Those of them that need the sizes of real tensors.
ASKING = frozenset(
    {"resize", "crop_and_resize", "choose", "put", "of_sizes", "as_type", "decided", *sparse_functions.FUNCTIONS}
)


def helpers(code: str) -> list[str]:
    """Returns the definitions of the functions above that code uses."""
    return [source for name, source in HELPERS.items() if re.search(rf"(?<![\w.\"]){name}\b(?!\"| =)", code)]


_REVERSE_SEQUENCE = PrintedClass(
    "ReverseSequence",
    REGISTERED
    + textwrap.dedent('''\
    class ReverseSequence(layers.Layer):
        """The steps of each sequence before its length in reverse; those after it stay where they are."""

        def call(self, sequences, lengths):
            steps = ops.expand_dims(ops.arange(ops.shape(sequences)[1], dtype="int32"), 0)
            lengths = ops.expand_dims(ops.cast(lengths, "int32"), 1)
            places = ops.where(steps < lengths, lengths - 1 - steps, steps)
            places = ops.reshape(places, ops.shape(places) + (1,) * (len(sequences.shape) - 2))
            return ops.take_along_axis(sequences, places, axis=1)

        def compute_output_spec(self, sequences, lengths):
            return keras.KerasTensor(sequences.shape, sequences.dtype)
    '''),
    "Keras reverses all of a sequence, or what a mask leaves of it inside a recurrent layer",
)


def reverse_sequence(scope: str) -> Layer:
    """Returns the layer that reverses sequences of given lengths."""
    return Layer(kind="ReverseSequence", scope=scope, printed=_REVERSE_SEQUENCE)


def of_expression(
    rule: str, scope: str, code: Expression, spec: tuple[tuple[int | None, ...], str] | None
) -> tuple[Layer, list[Tensor]]:
    """Returns a layer whose call computes an expression, and the tensors to call it on.

    Args:
        rule: of the piece of graph that it stands for.
        scope: what it is named after.
        code: the expression.
        spec: shape and type of its value, where they are known.
    """
    tensors = expressions.operands(code)
    names = {tensor: name for tensor, name in zip(tensors, _names(len(tensors)), strict=True)}
    body = text.statement("return ", code, names, indent=8)
    title = "Dynamic" + re.sub(r"\W", "", rule)
    arguments = ", ".join(names.values())
    source = (
        f"{REGISTERED}class {title}(layers.Layer):\n"
        f'    """{rule} with sizes that are only known when it runs."""\n\n'
        f"    def call(self, {arguments}):\n{body}\n"
    )
    if spec is not None and (len(tensors) > 1 or _computes_sizes(code)):
        # Keras, which tries a layer on made-up sizes, does not know how those of several tensors belong together, and
        # JAX's have no differences and remainders.
        source += f"\n    def compute_output_spec(self, {arguments}):\n"
        source += f"        return keras.KerasTensor({expressions.literal_text(spec[0])}, {expressions.literal_text(spec[1])})\n"
    made = PrintedClass(title, source, "it needs the sizes of real tensors")
    return Layer(kind=title, scope=scope, printed=made), tensors


def _computes_sizes(code: Expression) -> bool:
    """Returns whether an expression computes with sizes, beyond multiplying them."""
    parts = list(expressions.walk(code))
    if any(isinstance(part, Call) and part.function in ASKING for part in parts):
        return True
    return any(isinstance(p, Binary) and p.symbol != "*" and (_is_size(p.left) or _is_size(p.right)) for p in parts)


def _is_size(code: Expression) -> bool:
    if isinstance(code, Binary):
        return _is_size(code.left) or _is_size(code.right)
    if isinstance(code, Negative):
        return _is_size(code.value)
    return isinstance(code, Item) and isinstance(code.value, Call) and code.value.function == "ops.shape"


def _names(count: int) -> list[str]:
    return ["x"] if count == 1 else [f"x{at}" for at in range(1, count + 1)]
