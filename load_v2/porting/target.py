"""The Keras side: a model's weights with their layers, and what computes before what in it."""

import re
from collections.abc import Hashable

import keras

from load_v2.errors import LoadError
from load_v2.porting.flow import Flow
from load_v2.porting.types import Weight

# The layers and the operations of `keras.ops` that put their inputs beside each other, in their order.
_JOINS = frozenset({"Concatenate", "Stack"})


def variables(model: keras.layers.Layer) -> dict[str, "keras.Variable"]:
    """Returns the model's weights by path, in its own order; a second weight with the same path gets `#2`.

    Raises:
        LoadError: this is no Keras 3 layer, or it has not made its weights yet.
    """
    if not isinstance(model, keras.layers.Layer):
        raise LoadError(
            f"The model is a {type(model).__module__}.{type(model).__name__}, not a Keras 3 model or layer.\n"
            "  Give an instance of keras.Model; tf_keras models are another library's."
        )
    if not model.built or not model.weights:
        raise LoadError(
            f"Model {model.name!r} has no weights yet: it does not know the shape of its input.\n"
            "  Add keras.Input(shape) as its first layer, or call it once on an example, or pass expect= to do so."
        )
    by_path: dict[str, keras.Variable] = {}
    for variable in model.weights:
        path, number = variable.path, 1
        while path in by_path:
            number += 1
            path = f"{variable.path}#{number}"
        by_path[path] = variable
    return by_path


def weights(model: keras.layers.Layer) -> list[Weight]:
    """Returns the model's weights as plain records, in the order of `variables`."""
    # The one private Keras name for the layers: `layers` is only there in models, and shows one level. (3.10 to 3.15.)
    classes = {layer.path: type(layer).__name__ for layer in model._flatten_layers() if layer.path}
    records = []
    for path, variable in variables(model).items():
        owner = variable.path.rpartition("/")[0]
        shape = tuple(int(side) for side in variable.shape)
        dtype = keras.backend.standardize_dtype(variable.dtype)
        records.append(Weight(path, shape, dtype, classes.get(owner, ""), _given(owner, classes)))
    return records


def _given(path: str, classes: dict[str, str]) -> str:
    """Returns a layer's path without the numbers that Keras added: those after the class's own name."""
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        name = keras.src.utils.naming.to_snake_case(classes.get("/".join(path.split("/")[:end]), ""))
        if name and re.fullmatch(rf"{re.escape(name)}(_\d+)?", parts[end - 1]):
            parts[end - 1] = name
    return "/".join(parts)


def flow(model: keras.layers.Layer) -> Flow | None:
    """Returns what computes before what, or None where the model is code (a subclass) and nobody knows before it runs.

    A layer made of layers counts as one operation, so no order is claimed inside it; nested functional models are
    entered.
    """
    try:
        outputs = keras.tree.flatten(model.outputs)
    except (AttributeError, ValueError):
        return None
    if not outputs:
        return None
    feeds: dict[Hashable, list[Hashable]] = {}
    layers: dict[int, keras.Operation] = {}
    joins: set[int] = set()
    seen, stack = set(), list(outputs)
    while stack:
        operation, node = _producer(stack.pop(), feeds, stack)
        if (id(operation), id(node)) in seen:
            continue
        seen.add((id(operation), id(node)))
        # One that is called twice joins different things; then their order says nothing.
        if type(operation).__name__ in _JOINS and id(operation) not in layers:
            joins.add(id(operation))
        else:
            joins.discard(id(operation))
        layers[id(operation)] = operation
        for tensor in node.input_tensors:
            feeds.setdefault(id(operation), []).append(id(_producer(tensor, feeds, stack)[0]))
            stack.append(tensor)
    paths = {id(variable): path for path, variable in variables(model).items()}
    operations: dict[str, set[int]] = {}
    for name, operation in layers.items():
        for variable in getattr(operation, "weights", ()):
            if id(variable) in paths:
                operations.setdefault(paths[id(variable)], set()).add(name)
    return Flow(
        {path: frozenset(names) for path, names in operations.items()},
        feeds,
        frozenset(joins),
    )


def _producer(tensor, feeds, stack):
    """Returns the operation and node that made a Keras tensor; inside a nested model, the one in there."""
    while True:
        # How Keras itself rebuilds a model from its outputs. (`_keras_history`, `_inbound_nodes`: 3.10 to 3.15.)
        operation, index, position = tensor._keras_history
        node = operation._inbound_nodes[index]
        inner = getattr(operation, "outputs", None) if isinstance(operation, keras.Model) else None
        if not inner or len(operation.inputs) != len(node.input_tensors):
            return operation, node
        for inside, outside in zip(operation.inputs, node.input_tensors, strict=True):
            entrance = inside._keras_history.operation
            feeds.setdefault(id(entrance), []).append(id(_producer(outside, feeds, stack)[0]))
            stack.append(outside)
        tensor = inner[position]
