"""Loops of the graph that are recurrent layers."""
