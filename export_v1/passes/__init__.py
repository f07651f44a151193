"""Writers of a graph: each pass takes a GraphDef and returns a `Result`, with no Session.

`sequence` is the list of them in order, with the reason for each place in it. `merge` comes after the list: it joins
the graphs of several variants.
"""
