"""Every pattern, in the order in which they are tried."""

from load_v2.opening.context import Pattern, Patterns
from load_v2.opening.loops import block, fused, printed_loops, recurrent, unrolled
from load_v2.opening.patterns import (
    activations,
    attention,
    dropout,
    embedding,
    group_normalization,
    grouped,
    normalization,
    pooling,
    positions,
    scaling,
    weighted,
)

_OF_MODEL: tuple[Pattern, ...] = (
    recurrent.Recurrent(),
    unrolled.Unrolled(),
    block.BlockLSTM(),
    fused.FusedLSTM(),
    printed_loops.PrintedLoop(),
    printed_loops.PrintedCondition(),
    normalization.BatchNormalization(),
    normalization.LayerNormalization(),
    group_normalization.GroupNormalization(),
    embedding.Embedding(),
    embedding.EmbeddingSum(),
    activations.Gelu(),
    activations.Swish(),
    activations.LeakyRelu(),
    activations.ParametricRelu(),
    attention.MultiHeadAttention(),
    weighted.Weighted(),
    scaling.Scaling(),
    scaling.WeightedSum(),
    grouped.Grouped(),
    positions.Positions(),
    positions.FirstPositions(),
    dropout.DropsOut(),
    dropout.DropsNothing(),
    pooling.Pooling(),
    pooling.GlobalPooling(),
    pooling.ZeroPadding(),
)


# Activations, and layers with weights, which are parts of the layer in whose call they are.
_OF_CALL: tuple[Pattern, ...] = (
    printed_loops.PrintedLoop(),
    printed_loops.PrintedCondition(),
    normalization.BatchNormalization(),
    normalization.LayerNormalization(),
    embedding.Embedding(),
    embedding.EmbeddingSum(),
    activations.Gelu(),
    activations.Swish(),
    activations.LeakyRelu(),
    weighted.Weighted(),
    scaling.Scaling(),
    scaling.WeightedSum(),
    grouped.Grouped(),
)

ALL = Patterns(of_model=_OF_MODEL, of_call=_OF_CALL)
