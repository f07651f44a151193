"""In what the layers of repeated blocks differ: their settings and their names, as parameters of one function."""

import dataclasses
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from load_v2.opening import expressions, naming
from load_v2.opening.expressions import Expression, LayerCall, Name
from load_v2.opening.layers import Layer
from load_v2.opening.statements import Statement

# What positional arguments of layers are called where they become parameters of a function.
_POSITIONAL = {
    "Dense": ("units",), "Embedding": ("rows", "size"), "LSTM": ("units",), "GRU": ("units",), "SimpleRNN": ("units",),
    "Reshape": ("shape",), "Parameter": ("shape",), "DepthwiseConv2D": ("kernel_size",), "ZeroPadding2D": ("padding",),
}  # fmt: skip
_CONVOLUTION = ("filters", "kernel_size")
# What Keras takes where a layer says nothing: so a block may say it, and another not.
_DEFAULTS: Mapping[str, Any] = {"strides": 1, "padding": "valid", "dilation_rate": 1, "activation": None}
_HAVE_DEFAULTS = ("Conv", "SeparableConv", "DepthwiseConv")
_MOST_NAMES = 2


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Parameters of a function for several blocks.

    Attributes:
        values: parameter -> what each block gives.
        naming: those of them that layers are named by.
        prefixes: what the names of each block's layers begin with.
        settings: (statement, layer in it, key) -> the parameter that is given there.
        names: (statement, layer in it) -> its name, with parameters in braces.
    """

    values: Mapping[str, tuple[Any, ...]]
    naming: tuple[str, ...]
    prefixes: tuple[str, ...]
    settings: Mapping[tuple[int, int, Any], str]
    names: Mapping[tuple[int, int], str]

    def generic(self, at: int, statement: Statement) -> Statement:
        """Returns a statement of the first block, with parameters in the places of what differs."""
        numbers = {id(layer): number for number, layer in enumerate(layers_in(statement))}

        def change(part: Expression) -> Expression | None:
            if not isinstance(part, LayerCall):
                return None
            layer, number = part.layer, numbers[id(part.layer)]

            def value(key: Any) -> Any:
                name = self.settings.get((at, number, key))
                return setting(layer, key) if name is None else Name(name)

            added = [key for a, n, key in self.settings if (a, n) == (at, number) and not isinstance(key, int)]
            made = dataclasses.replace(
                layer,
                arguments=tuple(value(key) for key in range(len(layer.arguments))),
                options={key: value(key) for key in dict.fromkeys([*layer.options, *added])},
                name=self.names.get((at, number), layer.name),
            )
            # What it is called on may be the call of a layer, too.
            return LayerCall(
                made,
                tuple(expressions.replaced(argument, change) for argument in part.arguments),
                tuple((key, expressions.replaced(given, change)) for key, given in part.options),
            )

        return dataclasses.replace(statement, code=expressions.replaced(statement.code, change))


def layers_in(statement: Statement) -> list[Layer]:
    """Returns the layers that a statement calls."""
    return [part.layer for part in expressions.walk(statement.code) if isinstance(part, LayerCall)]


def kind_of(layer: Layer) -> str:
    """Returns what two layers have in common if they differ in settings alone."""
    keys = sorted(key for key in layer.options if not (_has_default(layer, key)))
    return f"{layer.kind}/{len(layer.arguments)}/{keys}/{bool(layer.name)}"


def _has_default(layer: Layer, key: str) -> bool:
    return key in _DEFAULTS and layer.kind.startswith(_HAVE_DEFAULTS)


def setting(layer: Layer, key: Any) -> Any:
    """Returns an argument of a layer's constructor, by position or by name; Keras's default where it has none."""
    if isinstance(key, int):
        return layer.arguments[key]
    return layer.options[key] if key in layer.options else _DEFAULTS[key]


def of(blocks: Sequence[Sequence[Statement]]) -> Parameters | None:
    """Returns the parameters of a function for blocks of equal statements; None where their names have nothing in common."""
    rows = [[layers_in(statement) for statement in block] for block in blocks]
    places = [(at, number) for at, layers in enumerate(rows[0]) for number in range(len(layers))]
    columns = {place: tuple(row[place[0]][place[1]] for row in rows) for place in places}
    named = [place for place in places if columns[place][0].name]
    used_names = {*naming.ARGUMENTS, *naming.RESERVED, "h"}
    settings, values = _settings(columns, used_names)
    names = _names([[columns[place][r].name for place in named] for r in range(len(blocks))], used_names)
    if names is None:
        return None
    templates, given, prefixes = names
    return Parameters(
        values={**values, **given},
        naming=tuple(given),
        prefixes=prefixes,
        settings=settings,
        names=dict(zip(named, templates, strict=True)),
    )


def _settings(columns: Mapping[tuple[int, int], tuple[Layer, ...]], used_names: set[str]):
    """Returns the name of each setting that differs, and its values; settings that always agree have one name."""
    settings: dict[tuple[int, int, Any], str] = {}
    values: dict[str, tuple[Any, ...]] = {}
    known: dict[str, str] = {}
    for (at, number), layers in columns.items():
        first = layers[0]
        for key in [*range(len(first.arguments)), *dict.fromkeys(key for layer in layers for key in layer.options)]:
            column = tuple(setting(layer, key) for layer in layers)
            if all(repr(value) == repr(column[0]) for value in column):
                continue
            content = repr(column)
            if content not in known:
                known[content] = naming.fresh(_setting_name(first, key), used_names)
                values[known[content]] = column
            settings[at, number, key] = known[content]
    return settings, values


def _setting_name(layer: Layer, key: Any) -> str:
    if not isinstance(key, int):
        return str(key)
    if layer.kind in _POSITIONAL:
        return _POSITIONAL[layer.kind][key]
    if layer.kind.startswith(("Conv", "Separable")) and key < 2:
        return _CONVOLUTION[key]
    return "size" if "Pooling" in layer.kind else f"size_{key}"


def _names(
    rows: list[list[str]], used_names: set[str]
) -> tuple[list[str], dict[str, tuple[Any, ...]], tuple[str, ...]] | None:
    """Returns the layers' names with parameters in braces, what each block gives for these, and how its names begin.

    Args:
        rows: the names of each block's layers.
        taken: names of parameters that are taken.
    """
    prefixes = tuple(_prefix(row) for row in rows)
    if not rows[0] or all(row == rows[0] for row in rows):
        return list(rows[0]), {}, prefixes
    shared = _with_prefix(rows)
    if shared is not None:
        starts, rests = shared
        return [f"{{name}}{rest}" for rest in rests], {"name": starts}, starts
    if any("{" in name for row in rows for name in row):
        return None
    templates: list[str] = []
    given: dict[str, tuple[Any, ...]] = {}
    for column in zip(*rows, strict=True):
        template = _numbered(column, given, used_names)
        if template is None:
            parameter = naming.fresh("name", used_names if "name" in given else used_names - {"name"})
            given[parameter] = column
            template = f"{{{parameter}}}"
        templates.append(template)
    return (templates, given, prefixes) if len(given) <= _MOST_NAMES else None


def _numbered(column: tuple[str, ...], given: dict[str, tuple[Any, ...]], used_names: set[str]) -> str | None:
    """Returns "conv2d_{n + 1}" for "conv2d_4", "conv2d_7", … where n is 3, 6, …; None for names that differ in more."""
    parted = _varying_number(column)
    if parted is None:
        return None
    head, numbers, tail = parted
    for parameter, known in given.items():
        offsets = {n - k for n, k in zip(numbers, known, strict=True)} if isinstance(known[0], int) else set()
        if len(offsets) == 1:
            offset = offsets.pop()
            code = parameter if not offset else f"{parameter} {'+' if offset > 0 else '-'} {abs(offset)}"
            return f"{head}{{{code}}}{tail}"
    parameter = naming.fresh("n", used_names)
    given[parameter] = numbers
    return f"{head}{{{parameter}}}{tail}"


def _with_prefix(rows: list[list[str]]) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Returns what the names of each row begin with, and what follows, if that is the same in all of them."""
    prefixes = [_prefix(row) for row in rows]
    for _ in range(8):
        if not all(prefixes):
            return None
        rests = Counter(tuple(name[len(p) :] for name in row) for p, row in zip(prefixes, rows, strict=True))
        if len(rests) == 1:
            return tuple(prefixes), next(iter(rests))
        # The prefix of one row may happen to be longer: "unit_1_conv" where all of a unit's layers are convolutions.
        longest = max(prefix.count("_") for prefix in prefixes)
        prefixes = [p.rpartition("_")[0] if p.count("_") == longest else p for p in prefixes]
    return None


def _prefix(names: Sequence[str]) -> str:
    common = os.path.commonprefix([f"{name}_" for name in names])
    return common.rpartition("_")[0]


def _varying_number(names: Sequence[str]) -> tuple[str, tuple[int, ...], str] | None:
    """Returns what stands before, at and behind the one number in which names differ; None where they differ in more."""
    rows = [re.split(r"(\d+)", name) for name in names]
    if len(set(map(len, rows))) != 1:
        return None
    differ = [at for at, column in enumerate(zip(*rows, strict=True)) if len(set(column)) > 1]
    if len(differ) != 1 or not differ[0] % 2:
        return None
    column = [row[differ[0]] for row in rows]
    if any(len(digits) > 1 and digits[0] == "0" for digits in column):
        return None
    head, tail = rows[0][: differ[0]], rows[0][differ[0] + 1 :]
    return "".join(head), tuple(map(int, column)), "".join(tail)


def numbered(names: Sequence[str]) -> tuple[str, int] | None:
    """Returns ("layer_{}", 3) for "layer_3", "layer_4", …; None where names are not numbered one by one."""
    parted = _varying_number(names)
    if parted is None:
        return None
    head, numbers, tail = parted
    start = numbers[0]
    return (f"{head}{{}}{tail}", start) if numbers == tuple(range(start, start + len(numbers))) else None
