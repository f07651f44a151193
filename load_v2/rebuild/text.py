"""Expressions as text, laid out as the usual formatters lay it out."""

from collections.abc import Mapping

from export_v1.ir.graph import Tensor
from load_v2.rebuild import expressions
from load_v2.rebuild.expressions import (
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
            inner = ", ".join(map(self.flat, code.items))
            return f"{self._bracketed(*self._text(code.value), _WHOLE)}[{inner}]", _WHOLE
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
        return (code.function if isinstance(code, Call) else self.maker(code.layer)), arguments

    def maker(self, layer) -> str:
        """Returns a layer as it is called: by its variable, or made on the spot."""
        return layer.variable or f"{layer.constructor}({', '.join(constructor_arguments(layer))})"

    def lines(self, indent: str, prefix: str, code: Expression, suffix: str) -> list[str]:
        """Returns the text on as many lines as it needs."""
        whole = f"{indent}{prefix}{self.flat(code)}{suffix}"
        if len(whole) <= WIDTH:
            return [whole]
        if isinstance(code, LayerCall) and not code.layer.variable:
            _, called_on = self._call(code)
            inside = constructor_arguments(code.layer)
            if inside:
                end = f")({', '.join(called_on)}){suffix}"
                return self._opened(indent, f"{prefix}{code.layer.constructor}(", inside, end)
        if isinstance(code, (Call, LayerCall)):
            head, arguments = self._call(code)
            if len(code.arguments) == 1 and isinstance(code.arguments[0], Sequence) and not code.options:
                return self._opened(indent, f"{prefix}{head}(", arguments, f"){suffix}")
            return self._opened(indent, f"{prefix}{head}(", arguments, f"){suffix}")
        if isinstance(code, Sequence):
            ends = "()" if code.is_tuple else "[]"
            return self._opened(indent, f"{prefix}{ends[0]}", list(map(self.flat, code.items)), f"{ends[1]}{suffix}")
        return self._opened(indent, f"{prefix}(", [self.flat(code)], f"){suffix}", trailing="")

    def _opened(self, indent: str, head: str, inside: list[str], end: str, trailing: str = ",") -> list[str]:
        inner = indent + "    "
        together = inner + ", ".join(inside)
        if len(together) <= WIDTH:
            return [indent + head, together, indent + end]
        return [indent + head, *(f"{inner}{one}{trailing}" for one in inside), indent + end]


def constructor_arguments(layer) -> list[str]:
    """Returns the arguments of a layer's constructor, the name last."""
    arguments = [expressions.literal_text(value) for value in layer.arguments]
    arguments += [f"{key}={expressions.literal_text(value)}" for key, value in layer.options.items()]
    if not layer.name:
        return arguments
    # A name with a placeholder is one in a function that is called for several blocks.
    return [*arguments, f'name={"f" if "{" in layer.name else ""}"{layer.name}"']
