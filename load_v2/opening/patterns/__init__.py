"""Pieces of graph that are a layer of Keras's, one module for each kind of layer."""

from load_v2.opening.patterns.pattern import Missed, Pattern

__all__ = ["Missed", "Pattern"]
