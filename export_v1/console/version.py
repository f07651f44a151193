"""What `--version` prints, without an import of what it names."""

import importlib.metadata
import platform

_NAME = "tf1-to-keras3"


def text() -> str:
    """Returns one line: the version of this project, and of what it runs on."""
    parts = [f"{name} {version}" for name in ("tensorflow", "keras") if (version := _of(name))]
    return f"{_NAME} {_of(_NAME) or '(not installed)'}; {', '.join([*parts, f'Python {platform.python_version()}'])}"


def _of(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
