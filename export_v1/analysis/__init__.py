"""Readers of a graph: each answers one question about it and changes nothing."""
