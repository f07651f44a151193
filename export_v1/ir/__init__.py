"""Graphs as data: a GraphDef read, checked and written anew, and what its ops mean. Nothing here runs one."""
