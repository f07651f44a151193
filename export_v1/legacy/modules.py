"""Modules made of what other modules have."""

import types
from collections.abc import Mapping

from export_v1.legacy.missing import Missing, MissingError


class Forwarding(types.ModuleType):
    """A module whose names are its own first, then those of the modules it forwards to.

    It stands in for a module of TensorFlow 1, under that module's name, and never changes what it forwards to. What is
    in none of them raises MissingError, or is a `Missing` where the module is `lazy`.
    """

    def __init__(self, name: str, *targets, own: Mapping[str, object] | None = None, lazy: bool = False):
        super().__init__(name)
        self.__dict__.update(own or {})
        self.__path__: list[str] = []
        self._targets, self._lazy = targets, lazy
        self._shown = name.replace("tensorflow", "tf", 1)

    def __getattr__(self, name: str):
        if name == "__all__":
            return [name for name in dir(self) if not name.startswith("_")]
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        for target in self._targets:
            try:
                return getattr(target, name)
            except AttributeError:
                continue
        if self._lazy:
            return Missing(f"{self._shown}.{name}")
        raise MissingError(f"{self._shown}.{name}")

    def __dir__(self):
        names = {name for target in self._targets for name in dir(target)}
        return sorted(names | {name for name in self.__dict__ if not name.startswith("_")})
