"""Writers of a graph: each pass takes a GraphDef and returns a new one, with no Session."""
