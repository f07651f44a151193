"""Names: of layers, after TensorFlow 1's scopes; of variables in the code."""

import builtins
import dataclasses
import keyword
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import keras

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions, printed
from load_v2.opening.expressions import Call, Expression, LayerCall, Sequence
from load_v2.opening.layers import Layer, PrintedClass
from load_v2.opening.statements import Program, hint

# What the generated code calls otherwise.
RESERVED = frozenset({"build", "keras", "layers", "np", "ops", *printed.HELPERS, *keyword.kwlist, *dir(builtins)})
# What the function of a repeated block takes first: data, and the name that its layers begin with.
ARGUMENTS = ("x", "name")
# The function of the call that stands for a repeated block; it has an option for each tensor that is carried.
BLOCK = "block"
_LOOKS_LIKE_A_DIGIT = frozenset("lo")
# Names that Keras gives by itself to layers that the code gives none, and to calls of `keras.ops`.
_AUTOMATIC = re.compile(
    r"(flatten|reshape|dynamic_\w+|(global_)?(max|average)_pooling\d_?d|zero_padding\d_?d|up_sampling\d_?d|functional|dropout"
    r"|activation|(leaky_)?re_lu|permute"
    rf"|get_item|sequence_mask|reverse_sequence|{'|'.join(n for n in dir(keras.ops) if callable(getattr(keras.ops, n)))})(_\d+)?"
)


def name_inputs(keys: Iterable[str]) -> dict[str, str]:
    """Returns key -> the name of the input's layer: the key itself, unless Keras refuses it, or gives it to something else."""
    used_names: set[str] = set()
    names = {}
    for key in keys:
        base = key if re.fullmatch(r"\w+", key) else identifier(key)
        names[key] = fresh(f"{base}_input" if _AUTOMATIC.fullmatch(base) else base, used_names)
    return names


def name_layers(layers: Iterable[Layer], inputs: Iterable[str] = ()) -> None:
    """Gives each layer with weights a name that no other has; Keras allows no "/" in it, on PyTorch no "." either.

    Args:
        layers: of the model.
        inputs: names of its inputs, which are layers, too.
    """
    used_names = set(inputs)
    for layer in layers:
        if not layer.weights:
            continue
        base = re.sub(r"\W+", "_", layer.scope).strip("_") or "layer"
        if _AUTOMATIC.fullmatch(base):
            base += "_layer"
        layer.name = fresh(base, used_names)


def name_classes(layers: Iterable[Layer]) -> None:
    """Gives printed classes that do different things different names."""
    used_names: set[str] = set()
    given: dict[str, PrintedClass] = {}
    for layer in layers:
        if layer.printed is None:
            continue
        if layer.printed.source not in given:
            name = fresh(layer.printed.name, used_names)
            source = layer.printed.source.replace(f"class {layer.printed.name}(", f"class {name}(", 1)
            given[layer.printed.source] = dataclasses.replace(layer.printed, name=name, source=source)
        layer.printed = given[layer.printed.source]
        layer.kind = layer.printed.name


def name_values(
    program: Program,
    inputs: Mapping[str, Tensor],
    given: Mapping[Tensor, str] | None = None,
    shared: Collection[str] = (),
    within: str = "",
) -> dict[Tensor, str]:
    """Returns a name for each tensor that statements give: "x" for one that only the next statement reads.

    Args:
        program: the statements.
        inputs: key -> tensor that is named after it.
        given: tensors that have their names already.
        shared: names that are taken.
        within: the scope that all is in, which no name has to tell.
    """
    used_names = {*RESERVED, *shared, *(given or {}).values()}
    names = {**(given or {}), **{tensor: fresh(identifier(key), used_names) for key, tensor in inputs.items()}}
    passing = fresh("x" if "x" not in used_names else "h", used_names)
    reads = Counter(
        tensor
        for code in [*(statement.code for statement in program.statements), *program.outputs.values()]
        for tensor in expressions.mentions(code)
    )
    ends = Sequence(tuple(program.outputs.values()))
    followers = [*(statement.code for statement in program.statements), ends][1:]
    for statement, following in zip(program.statements, followers, strict=True):
        for target in statement.targets:
            if target is None:
                continue
            if len(statement.targets) == 1 and reads[target] == 1 and _hands_on(target, following):
                names[target] = passing
            else:
                layer = statement.code.layer if isinstance(statement.code, LayerCall) else None
                is_loop = isinstance(statement.code, Call) and statement.code.function == BLOCK
                named = is_loop or (layer is not None and (layer.weights or layer.printed or layer.function))
                scope = statement.scope if named else target.node
                if is_loop:
                    scope = re.sub(r"_?\d+$", "", scope)
                names[target] = fresh(identifier(hint(scope.removeprefix(within))), used_names)
    return names


def _hands_on(target: Tensor, following: Expression) -> bool:
    """Returns whether the next statement reads a tensor, so that it may be called as what is handed on from line to line."""
    if isinstance(following, Call) and following.function == BLOCK:
        # In a loop that name is what is carried; everything else that it reads keeps a name of its own.
        return len(following.options) == 1 and expressions.operands(following)[0] == target
    return target in expressions.operands(following)


def name_shared_layers(program: Program) -> list[Layer]:
    """Gives a variable to each layer that is called more than once, and returns those layers."""
    calls = Counter(
        id(part.layer)
        for statement in program.statements
        for part in expressions.walk(statement.code)
        if isinstance(part, LayerCall) and part.layer.weights
    )
    used_names = set(RESERVED)
    layers = {}
    for statement in program.statements:
        for part in expressions.walk(statement.code):
            if isinstance(part, LayerCall) and calls[id(part.layer)] > 1 and id(part.layer) not in layers:
                layers[id(part.layer)] = part.layer
                part.layer.variable = fresh(f"{identifier(hint(part.layer.scope))}_layer", used_names)
    return list(layers.values())


def common_scopes(scopes: Iterable[str]) -> list[str]:
    """Returns the scopes that names have in common, from the outermost on.

    >>> common_scopes(["bert/layer_1/query", "bert/layer_1/key", "bert/layer_10"])
    ['bert']
    """
    common = []
    for level in zip(*(scope.split("/") for scope in scopes), strict=False):
        if len(set(level)) != 1:
            break
        common.append(level[0])
    return common


def identifier(text: str) -> str:
    """Returns text as a Python identifier in lower case."""
    name = re.sub(r"\W+", "_", text).strip("_").lower() or "x"
    if name in _LOOKS_LIKE_A_DIGIT or keyword.iskeyword(name):
        return f"{name}_"
    return f"x_{name}" if name[0].isdigit() else name


def fresh(base: str, used_names: set[str]) -> str:
    """Returns a name that is not taken yet, and takes it."""
    name, count = base, 1
    while name in used_names:
        count += 1
        name = f"{base}{count}" if base[0].isupper() else f"{base}_{count}"
    used_names.add(name)
    return name
