"""Which function writes the code of which op."""

from collections.abc import Callable
from typing import TypeAlias

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Piece, Refused
from load_v2.opening.expressions import Expression

Translation: TypeAlias = Callable[[Context, Tensor], Expression]
_TRANSLATIONS: dict[str, Translation] = {}


def translates(*ops: str) -> Callable[[Translation], Translation]:
    """Marks the function that returns the expression for a tensor that one of some ops makes."""

    def mark(function: Translation) -> Translation:
        _TRANSLATIONS.update(dict.fromkeys(ops, function))
        return function

    return mark


def translated(context: Context, tensor: Tensor) -> Piece:
    """Returns the piece for the one node that makes a tensor.

    Raises:
        Refused: there is no code for its op, or not for how it is used here.
    """
    op = context.op(tensor)
    if op not in _TRANSLATIONS:
        raise Refused(f"{op} has no equivalent in keras.ops")
    return context.piece(tensor, _TRANSLATIONS[op](context, tensor), op)
