"""Expressions as text, laid out as the usual formatters lay it out."""

import re
from collections.abc import Mapping

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions
from load_v2.opening.expressions import (
    Binary,
    Call,
    Expression,
    Item,
    LayerCall,
    Literal,
    Name,
    Negative,
    Operand,
    Sequence,
    Slice,
)

WIDTH = 120
_PRECEDENCE = {"<": 0, "<=": 0, ">": 0, ">=": 0, "+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2, "**": 4}
_UNARY, _WHOLE = 3, 5


def flat(code: Expression, names: Mapping[Tensor, str]) -> str:
    """Returns an expression on one line."""
    return _Writer(names).flat(code)


def head(name: str, arguments: list[str], indent: int = 0) -> str:
    """Returns the first line of a function, or its lines where one would be too long."""
    tab, inside = " " * indent, ", ".join(arguments)
    whole = f"{tab}def {name}({inside}):"
    if len(whole) <= WIDTH:
        return whole
    within = f"{tab}    {inside}\n" if len(inside) <= WIDTH - indent - 4 else None
    return f"{tab}def {name}(\n{within or ''.join(f'{tab}    {argument},' + chr(10) for argument in arguments)}{tab}):"


def statement(prefix: str, code: Expression, names: Mapping[Tensor, str], indent: int = 4) -> str:
    """Returns a statement that ends in an expression, on as many lines as it needs."""
    return "\n".join(_Writer(names).lines(" " * indent, prefix, code, ""))


class _Writer:
    def __init__(self, names: Mapping[Tensor, str]):
        self._names = names

    def flat(self, code: Expression) -> str:
        return self._text(code)[0]

    def _text(self, code: Expression) -> tuple[str, int]:
        """Returns the text, and how tightly its outermost operator binds."""
        if isinstance(code, Operand):
            return self._names[code.tensor], _WHOLE
        if isinstance(code, Name):
            return code.text, _WHOLE
        if isinstance(code, Literal):
            text = "..." if code.value is ... else expressions.literal_text(code.value)
            return text, _UNARY if text.startswith("-") else _WHOLE
        if isinstance(code, Binary):
            own = _PRECEDENCE[code.symbol]
            left, right = self._text(code.left), self._text(code.right)
            # Equal operators group to the left, powers to the right.
            left_text = self._bracketed(*left, own + (code.symbol == "**"))
            right_text = self._bracketed(*right, own + (code.symbol != "**"))
            return f"{left_text} {code.symbol} {right_text}", own
        if isinstance(code, Negative):
            return "-" + self._bracketed(*self._text(code.value), _UNARY), _UNARY
        if isinstance(code, Slice):
            start, stop = (
                "" if end is None else self.flat(end) if isinstance(end, Expression) else str(end)
                for end in (code.start, code.stop)
            )
            return f"{start}:{stop}" + ("" if code.step is None else f":{code.step}"), _WHOLE
        if isinstance(code, Item):
            places = [self.flat(item) for item in code.items]
            if len(code.items) == 1 and not (
                isinstance(code.items[0], Literal) and isinstance(code.items[0].value, int)
            ):
                # A symbolic tensor of Keras's takes one slice only as part of a tuple.
                places.append("...")
            return f"{self._bracketed(*self._text(code.value), _WHOLE)}[{', '.join(places)}]", _WHOLE
        if isinstance(code, Sequence):
            inner = ", ".join(map(self.flat, code.items))
            if code.is_tuple:
                return f"({inner},)" if len(code.items) == 1 else f"({inner})", _WHOLE
            return f"[{inner}]", _WHOLE
        head, arguments = self._call(code)
        return f"{head}({', '.join(arguments)})", _WHOLE

    def _bracketed(self, text: str, binds: int, needed: int) -> str:
        return text if binds >= needed else f"({text})"

    def _call(self, code: Expression) -> tuple[str, list[str]]:
        """Returns what stands before the last brackets of a call, and what stands inside them."""
        assert isinstance(code, (Call, LayerCall))
        arguments = [*map(self.flat, code.arguments), *(f"{key}={self.flat(value)}" for key, value in code.options)]
        if isinstance(code, LayerCall) and code.layer.function is not None:
            return code.layer.kind, [*arguments, *parameters(code.layer)]
        return (code.function if isinstance(code, Call) else self.maker(code.layer)), arguments

    def maker(self, layer) -> str:
        """Returns a layer as it is called: by its variable, or made on the spot."""
        return layer.variable or constructed(layer)

    def lines(self, indent: str, prefix: str, code: Expression, suffix: str, inside: bool = False) -> list[str]:
        """Returns the text on as many lines as it needs.

        Args:
            indent: before each line.
            prefix, suffix: before and behind the expression.
            code: the expression.
            inside: whether it stands between brackets already, so that it may go on in the next line.
        """
        whole = f"{indent}{prefix}{self.flat(code)}{suffix}"
        if len(whole) <= WIDTH:
            return [whole]
        items: list[tuple[str, Expression]] = []
        if isinstance(code, (Call, LayerCall)):
            items += (("", argument) for argument in code.arguments)
            items += ((f"{key}=", value) for key, value in code.options)
        if isinstance(code, LayerCall) and code.layer.function is not None:
            named: list[tuple[str, Expression]] = [("", Name(argument)) for argument in self._call(code)[1]]
            return self._opened(indent, f"{prefix}{code.layer.kind}(", named, f"){suffix}")
        head = len(f"{indent}{prefix}{self._call(code)[0]}(") if isinstance(code, LayerCall) else 0
        if isinstance(code, LayerCall) and not code.layer.variable and head > WIDTH:
            arguments = constructor_arguments(code.layer)
            if arguments:
                end = f")({', '.join(self._call(code)[1])}){suffix}"
                named = [("", Name(argument)) for argument in arguments]
                made = self._opened(indent, f"{prefix}{code.layer.constructor}(", named, end)
                if len(made[-1]) <= WIDTH:
                    return made
                return [*made[:-1], *self._opened(indent, ")(", items, f"){suffix}")]
        if isinstance(code, (Call, LayerCall)):
            return self._opened(indent, f"{prefix}{self._call(code)[0]}(", items, f"){suffix}")
        if isinstance(code, Sequence) or (isinstance(code, Literal) and isinstance(code.value, (tuple, list))):
            is_tuple = code.is_tuple if isinstance(code, Sequence) else isinstance(code.value, tuple)
            members = code.items if isinstance(code, Sequence) else tuple(map(Literal, code.value))
            ends = "()" if is_tuple else "[]"
            return self._opened(indent, f"{prefix}{ends[0]}", [("", item) for item in members], f"{ends[1]}{suffix}")
        if isinstance(code, Negative):
            return self._operand(indent, f"{prefix}-", code.value, suffix, _UNARY)
        if isinstance(code, Item):
            places = self.flat(Item(Name(""), code.items))
            return self._operand(indent, prefix, code.value, f"{places}{suffix}", _WHOLE)
        if isinstance(code, Binary) and inside:
            return self._chain(indent, prefix, code, suffix)
        if inside:
            return [whole]
        return [f"{indent}{prefix}(", *self.lines(f"{indent}    ", "", code, "", inside=True), f"{indent}){suffix}"]

    def _opened(self, indent: str, head: str, items: list[tuple[str, Expression]], end: str) -> list[str]:
        inner = indent + "    "
        together = inner + ", ".join(f"{prefix}{self.flat(item)}" for prefix, item in items)
        if len(together) <= WIDTH:
            return [indent + head, together, indent + end]
        body = [line for prefix, item in items for line in self.lines(inner, prefix, item, ",", inside=True)]
        return [indent + head, *body, indent + end]

    def _chain(self, indent: str, prefix: str, code: Binary, suffix: str) -> list[str]:
        """Returns the operands of operators that bind alike, each on a line that begins with its operator."""
        parts: list[tuple[str, Expression]] = []
        left: Expression = code
        own = _PRECEDENCE[code.symbol]
        while isinstance(left, Binary) and _PRECEDENCE[left.symbol] == own and left.symbol != "**":
            parts.insert(0, (f"{left.symbol} ", left.right))
            left = left.left
        if code.symbol == "**":
            # Powers group to the right.
            base = self._operand(indent, prefix, code.left, "", own + 1)
            return [*base, *self._operand(indent, "** ", code.right, suffix, own)]
        lines = self._operand(indent, prefix, left, "", own)
        for at, (symbol, right) in enumerate(parts):
            lines += self._operand(indent, symbol, right, suffix if at == len(parts) - 1 else "", own + 1)
        return lines

    def _operand(self, indent: str, prefix: str, code: Expression, suffix: str, needed: int) -> list[str]:
        if self._text(code)[1] >= needed:
            return self.lines(indent, prefix, code, suffix, inside=isinstance(code, (Call, LayerCall)))
        if len(f"{indent}{prefix}({self.flat(code)}){suffix}") <= WIDTH:
            return [f"{indent}{prefix}({self.flat(code)}){suffix}"]
        return [f"{indent}{prefix}(", *self.lines(f"{indent}    ", "", code, "", inside=True), f"{indent}){suffix}"]


def constructor_arguments(layer) -> list[str]:
    """Returns the arguments of a layer's constructor, the name last."""
    arguments = [value(given) for given in layer.arguments]
    arguments += [f"{key}={value(given)}" for key, given in layer.options.items()]
    return [*arguments, f"name={value(layer.name)}"] if layer.name else arguments


def constructed(layer) -> str:
    """Returns the call of a layer's constructor."""
    return f"{layer.constructor}({', '.join(constructor_arguments(layer))})"


def of_wrapper(parts) -> tuple[Name, ...]:
    """Returns what a layer around others is made with; one that reads backwards is told where it is not just that."""
    forward, backward = parts
    given = [Name(constructed(forward))]
    own = {key: value for key, value in backward.options.items() if key != "go_backwards"}
    if repr(own) != repr(dict(forward.options)):
        given.append(Name(f"backward_layer={constructed(backward)}"))
    return tuple(given)


def parameters(layer) -> list[str]:
    """Returns what a function is called with beside tensors: what differs from its defaults, by name."""
    given = {**layer.options, "name": layer.name}
    arguments = [value(given[key]) for key in layer.function.parameters if key not in layer.function.defaults]
    return arguments + [
        f"{key}={value(given[key])}"
        for key, usual in layer.function.defaults.items()
        if repr(given[key]) != repr(usual)
    ]


def value(given) -> str:
    """Returns a plain value as it is written in code; a string with parameters in braces as one that is filled in."""
    text = expressions.literal_text(given)
    if not isinstance(given, str) or "{" not in given:
        return text
    return given[1:-1] if re.fullmatch(r"\{\w+\}", given) else f"f{text}"
