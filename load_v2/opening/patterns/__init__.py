"""Pieces of graph that are a layer of Keras's, one module for each kind of layer."""
