"""A repeated block as text: the function, and the loop that calls it."""

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

from export_v1.ir.graph import Tensor
from load_v2.opening import blocks, expressions, naming, text
from load_v2.opening.blocks import Block
from load_v2.opening.expressions import Expression, LayerCall, Name, Operand
from load_v2.opening.layers import Layer
from load_v2.opening.statements import Program, Statement, hint

# What positional arguments of layers are called where they become arguments of a function.
_POSITIONAL = {
    "Dense": ("units",), "Embedding": ("rows", "size"), "LSTM": ("units",), "GRU": ("units",), "SimpleRNN": ("units",),
    "Reshape": ("shape",), "Parameter": ("shape",), "DepthwiseConv2D": ("kernel_size",),
}  # fmt: skip
_CONVOLUTION = ("filters", "kernel_size")


def loop(block: Block, names: Mapping[Tensor, str], functions: dict[str, str]) -> list[str]:
    """Returns the lines of a loop in `build`.

    Args:
        block: what is repeated.
        names: of the tensors in `build`.
        functions: gets the text of the block's function under its name.
    """
    settings = _distinct(block)
    function = naming.fresh(_title(block), {*naming.RESERVED, *functions, *names.values()})
    functions[function] = _function(block, function, settings)
    results = [names[tensor] for tensor in block.results]
    first = [names[tensor] for tensor, _ in block.carried]
    lines = [f"    {result} = {begin}" for result, begin in zip(results, first, strict=True) if result != begin]
    given = [*results, *(names[tensor] for tensor in block.fixed), *settings.values()]
    targets = ", ".join(results)
    count = len(block.repeats)
    numbered = blocks.numbered(block.names) if any(block.names) else None
    if not settings and not any(block.names):
        return [*lines, f"    for _ in range({count}):", f"        {targets} = {function}({', '.join(given)})"]
    if not settings and numbered is not None:
        pattern, start = numbered
        steps = f"range({count})" if start == 0 else f"range({start}, {start + count})"
        given.append(f'f"{pattern.format("{i}")}"')
        return [*lines, f"    for i in {steps}:", f"        {targets} = {function}({', '.join(given)})"]
    columns = list(settings.values())
    rows: list[tuple] = [tuple(values[repeat] for values in _values(block, settings)) for repeat in range(count)]
    if any(block.names):
        columns.append("name")
        given.append("name")
        rows = [(*row, name) for row, name in zip(rows, block.names, strict=True)]
    table = [f"        {expressions.literal_text(row if len(row) > 1 else row[0])}," for row in rows]
    head = f"    for {', '.join(columns)} in ["
    return [
        *lines,
        head,
        *(f"    {row}" for row in table),
        "    ]:",
        f"        {targets} = {function}({', '.join(given)})",
    ]


def _title(block: Block) -> str:
    """Returns a name for the function: that of its layers, without what numbers them."""
    name = re.sub(r"_?\d+", "", next((name for name in block.names if name), "")) or "block"
    words = [word for word in name.lower().split("_") if word]
    return naming.identifier("_".join(words[-2:]) or "block")


def _distinct(block: Block) -> dict[tuple, str]:
    """Returns a name for each setting that differs between repeats; settings that always agree have one name."""
    given: dict[tuple, str] = {}
    known: dict[tuple[Any, ...], str] = {}
    taken = {"name", *naming.RESERVED}
    for (at, key), values in block.settings.items():
        layer = next(part.layer for part in expressions.walk(block.repeats[0][at].code) if isinstance(part, LayerCall))
        if values not in known:
            known[values] = naming.fresh(_setting_name(layer, key), taken)
            given[at, key] = known[values]
    return given


def _values(block: Block, settings: Mapping[tuple, str]) -> list[tuple[Any, ...]]:
    return [block.settings[key] for key in settings]


def _setting_name(layer: Layer, key: Any) -> str:
    if not isinstance(key, int):
        return str(key)
    if layer.kind in _POSITIONAL:
        return _POSITIONAL[layer.kind][key]
    return _CONVOLUTION[key] if layer.kind.startswith(("Conv", "Separable")) and key < 2 else f"size_{key}"


def _function(block: Block, function: str, settings: Mapping[tuple, str]) -> str:
    statements = [_generic(block, at, settings) for at in range(len(block.repeats[0]))]
    taken = {"name", *naming.RESERVED, *settings.values()}
    given: dict[Tensor, str] = {}
    for place, (tensor, _) in enumerate(block.carried):
        given[tensor] = "x" if len(block.carried) == 1 else f"x{place + 1}"
    taken.update(given.values())
    for tensor in block.fixed:
        given[tensor] = naming.fresh(naming.identifier(hint(tensor.node)), taken)
    ends = {str(place): Operand(_target(block.repeats[0][at])) for place, (_, at) in enumerate(block.carried)}
    program = Program(tuple(statements), dict(ends))
    scopes = [f"{statement.scope}/" for statement in statements]
    within = os.path.commonprefix(scopes).rpartition("/")[0] + "/"
    names = naming.name_values(program, {}, given, shared=taken, within=within)
    named = any(block.names)
    arguments = ", ".join([*given.values(), *settings.values(), *(["name"] if named else [])])
    lines = [f"def {function}({arguments}):", f'    """One of {len(block.repeats)} blocks."""']
    if named:
        ends_of = sorted({block.names[0], block.names[-1]}, key=block.names.index)
        lines[1] = f'    """One of the blocks {" to ".join(repr(name) for name in ends_of)}."""'
    for statement in statements:
        lines.append(text.statement(f"{names[_target(statement)]} = ", statement.code, names))
    lines.append(f"    return {', '.join(names[end.tensor] for end in ends.values())}")
    return "\n".join(lines) + "\n"


def _target(statement: Statement) -> Tensor:
    target = statement.targets[0]
    assert target is not None
    return target


def _generic(block: Block, at: int, settings: Mapping[tuple, str]) -> Statement:
    """Returns a statement of the first repeat, with the function's arguments in the place of what differs."""
    statement = block.repeats[0][at]
    by_values = {block.settings[key]: name for key, name in settings.items()}

    def change(part: Expression) -> Expression | None:
        if not isinstance(part, LayerCall):
            return None
        layer = part.layer

        def value(key: Any) -> Any:
            values = block.settings.get((at, key))
            return blocks.setting(layer, key) if values is None else Name(by_values[values])

        name = "{name}" + layer.name[len(block.names[0]) :] if layer.name else ""
        generic = dataclasses.replace(
            layer,
            arguments=tuple(value(key) for key in range(len(layer.arguments))),
            options={key: value(key) for key in layer.options},
            name=name,
        )
        return dataclasses.replace(part, layer=generic)

    return dataclasses.replace(statement, code=expressions.replaced(statement.code, change))
