"""Scoring on Apache Beam: exports as a ModelHandler for RunInference, on any runner. Needs the extra `beam`."""

import importlib

from load_v2.errors import LoadError

_HOMES = {
    "SignatureModelHandler": "load_v2.beam.handler",
    "Failure": "load_v2.scoring.scorer",
    "Score": "load_v2.beam.score",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("apache_beam"):
            raise
        raise LoadError(MISSING.format(error)) from error


MISSING = (
    "Scoring on Beam needs Apache Beam: {}.\n"
    "  pip install apache-beam google-crc32c pyarrow, or install this project with its extra `beam`."
)
