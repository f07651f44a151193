"""Readers of each kind of source: a Saver checkpoint, code that builds the graph, a SavedModel or Hub module, a GraphDef.

Every one returns a `model.Source`; what comes after does not know the difference.
"""
