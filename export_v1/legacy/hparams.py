"""tf.contrib.training.HParams: named settings, by attribute."""

import json


class HParams:
    """Settings that are attributes; names are those of the TensorFlow 1 class."""

    def __init__(self, hparam_def=None, model_structure=None, **settings):
        self.__dict__["_settings"] = dict(settings)

    def __getattr__(self, name: str):
        if name.startswith("__") or name not in self.__dict__.get("_settings", {}):
            raise AttributeError(f"HParams has no {name!r}")
        return self._settings[name]

    def __setattr__(self, name: str, value) -> None:
        self._settings[name] = value

    def __contains__(self, name: str) -> bool:
        return name in self._settings

    def add_hparam(self, name: str, value) -> None:
        """Adds a setting; it must be new."""
        if name in self._settings:
            raise ValueError(f"HParams has {name!r} already")
        self._settings[name] = value

    def set_hparam(self, name: str, value) -> None:
        """Changes a setting; it must be there."""
        self.override_from_dict({name: value})

    def del_hparam(self, name: str) -> None:
        """Removes a setting."""
        self._settings.pop(name, None)

    def get(self, name: str, default=None):
        """Returns a setting or the default."""
        return self._settings.get(name, default)

    def values(self) -> dict[str, object]:
        """Returns all settings by name."""
        return dict(self._settings)

    def override_from_dict(self, values) -> "HParams":
        """Changes settings that are there; returns itself."""
        for name, value in values.items():
            if name not in self._settings:
                raise KeyError(f"HParams has no {name!r}")
            self._settings[name] = value
        return self

    def parse(self, text: str) -> "HParams":
        """Changes settings from "name=value,other=value", each read as the type that the setting has."""
        for pair in filter(None, text.split(",")):
            name, _, value = pair.partition("=")
            old = self._settings[name.strip()]
            kind = type(old)
            self._settings[name.strip()] = (
                value.lower() == "true" if kind is bool else kind(value) if old is not None else value
            )
        return self

    def to_json(self, **kwargs) -> str:
        """Returns all settings as JSON."""
        return json.dumps(self._settings, **kwargs)

    def parse_json(self, text: str) -> "HParams":
        """Changes settings from JSON."""
        return self.override_from_dict(json.loads(text))
