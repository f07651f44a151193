"""Reads the model that a request names, from whichever kind of source it is."""

import tensorflow as tf

from export_v1 import errors
from export_v1.model import Source
from export_v1.request import Request


def read(request: Request) -> Source:
    """Returns the model that a request names, read after the libraries of its custom ops are loaded.

    Raises:
        ExportError: no source is named or several are, an op library cannot be loaded, or the source cannot be read.
    """
    kind = request.source_kind
    for library in request.op_library:
        _load(library)
    if kind == "checkpoint":
        from export_v1.source import checkpoint

        assert request.checkpoint is not None
        return checkpoint.read(request.checkpoint, request.meta_graph)
    if kind == "saved_model":
        from export_v1.source import saved_model

        assert request.saved_model is not None
        return saved_model.read(request.saved_model, request.tags or None)
    if kind == "graph_def":
        from export_v1.source import graph_def

        assert request.graph_def is not None
        return graph_def.read(request.graph_def, unfreeze=request.unfreeze)
    from export_v1.source import builder

    assert request.builder is not None and request.checkpoint is not None
    return builder.read(request.builder, request.checkpoint)


def _load(library: str) -> None:
    try:
        tf.load_op_library(library)
    except (tf.errors.OpError, OSError) as error:
        raise errors.ExportError(f"Op library {library!r} cannot be loaded: {error}") from error
