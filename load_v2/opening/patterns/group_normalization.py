"""GroupNormalization: channels parted into groups by a reshape, normalized, and joined by another."""

from collections.abc import Iterator
from typing import ClassVar

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from export_v1.ir.match import anything, either, matches
from load_v2.opening.context import Context, Piece
from load_v2.opening.patterns.normalization import (
    Normalized,
    axes_of_moments,
    between,
    by_moments,
    every,
    product_of,
    said,
    sum_of,
)


class GroupNormalization:
    """Normalization of groups of channels, which TensorFlow 1 code parts by a reshape and joins by another."""

    name: ClassVar[str] = "GroupNormalization"
    roots: ClassVar[frozenset[str]] = ops.ADDS | {"Mul", "Reshape"}

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        for joined, gamma, beta, inside in _affine(context, tensor):
            if context.op(joined) != "Reshape":
                continue
            parted = context.sources(joined)[0]
            normalized = next(
                (candidate for candidate in every(context, parted) if context.op(candidate.x) == "Reshape"), None
            )
            piece = (
                None if normalized is None else self._piece(context, tensor, joined, normalized, (gamma, beta), inside)
            )
            if piece is not None:
                return piece
        return None

    def _piece(
        self, context: Context, tensor: Tensor, joined: Tensor, normalized: Normalized, outer, inside
    ) -> Piece | None:
        source = context.sources(normalized.x)[0]
        whole, parts, rank = (
            context.graph.shape(source),
            context.graph.shape(normalized.x),
            context.graph.rank(normalized.x),
        )
        if whole is None or parts is None or rank is None or context.sizes.shape(joined) != context.sizes.shape(source):
            return None
        if len(parts) != len(whole) + 1 or whole[-1] is None or parts[-2] is None or parts[-1] is None:
            return None
        if parts[-2] * parts[-1] != whole[-1] or axes_of_moments(context, normalized) != [
            *range(1, rank - 2),
            rank - 1,
        ]:
            return None
        weights, options = [], {"groups": parts[-2], "epsilon": said(normalized.epsilon)}
        for key, factors in (("scale", (normalized.gamma, outer[0])), ("center", (normalized.beta, outer[1]))):
            given = [factor for factor in factors if factor is not None]
            if not given:
                options[key] = False
                continue
            if len(given) > 1 or context.values.value(given[0]).size != whole[-1]:
                return None
            weights.append((context.values.value(given[0]).reshape(-1), (given[0],)))
        around = [*inside, normalized.x, context.sources(joined)[0]]
        return by_moments(context, tensor, self.name, normalized, self.name, weights, options, source, around)


def _affine(context: Context, tensor: Tensor) -> Iterator[tuple[Tensor, Tensor | None, Tensor | None, list[Tensor]]]:
    """Yields what is scaled and shifted by weights to make a tensor, with scale, offset, and what is between."""
    yield tensor, None, None, []
    for captured in matches(context.graph.index, tensor, _SCALED_AND_SHIFTED):
        factors = [captured.captures.get(key) for key in ("gamma", "beta")]
        if not any(factor is not None and context.is_data(factor) for factor in factors):
            yield captured["x"], factors[0], factors[1], [captured["x"], *between(context, tensor, {captured["x"]})]


_SCALED_AND_SHIFTED = either(
    sum_of(product_of(anything("x"), anything("gamma")), anything("beta")), product_of(anything("x"), anything("gamma"))
)
