"""Ops that are no layer, one by one as `keras.ops`."""

from load_v2.opening.operations import (
    convolutions,
    elementwise,
    finding,
    images,
    indexing,
    lists,
    products,
    reducing,
    shaping,
    sparse,
)
from load_v2.opening.operations.registry import translated

__all__ = [
    "convolutions",
    "elementwise",
    "finding",
    "images",
    "indexing",
    "lists",
    "products",
    "reducing",
    "shaping",
    "sparse",
    "translated",
]
