"""Ops that are no layer, one by one as `keras.ops`."""

from load_v2.opening.operations import (
    complex_numbers,
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
    "complex_numbers",
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
