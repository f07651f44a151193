"""Scoring on Apache Spark: a signature of an export as a function of columns. Needs the extra `spark`, and Java."""

import importlib

from load_v2.errors import LoadError

__all__ = ["udf"]

MISSING = (
    "Scoring on Spark needs pyspark 4.1 or later: {}.\n"
    "  pip install 'pyspark>=4.1' pyarrow pandas, or install this project with its extra `spark`."
)


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module("load_v2.spark.columns"), name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("pyspark", "pyarrow", "pandas"):
            raise
        raise LoadError(MISSING.format(error)) from error
