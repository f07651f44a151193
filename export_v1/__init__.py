"""Exports TensorFlow 1 models as SavedModels that TensorFlow 2 and Keras 3 can use: export() and inspect()."""

from export_v1.errors import ExportError as ExportError

_LAZY = {"export": "export_v1.api", "inspect": "export_v1.api", "Report": "export_v1.artifact.report"}
__all__ = ["ExportError", "Report", "export", "inspect"]


def __getattr__(name: str):
    # Importing tensorflow takes seconds; `python -m export_v1 --help` must not pay for it.
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
