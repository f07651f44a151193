"""What leads from a config back to the layer that it was taken from, inside one process and outside of the config's content."""

import weakref


class LinkedKey(str):
    """The key of a signature as it stands in a config, which also knows the layer that wrote the config.

    Keras hands strings of a config on as they are, from `get_config` to `from_config`, nested models and wrappers included: so a
    clone finds its original. The config's content has no part in it: written to JSON, pickled or compared, it is a
    string.
    """

    _layer: weakref.ref

    @classmethod
    def of(cls, key: str, layer: object) -> "LinkedKey":
        """Returns the key with a weak reference to a layer."""
        linked = cls(key)
        linked._layer = weakref.ref(layer)
        return linked

    def __deepcopy__(self, memo) -> "LinkedKey":
        return self

    def __reduce__(self):
        return str, (str(self),)


def original(key: object) -> object | None:
    """Returns the layer that wrote a config, given the key in it; None where it is gone, or the config was in a file."""
    return key._layer() if isinstance(key, LinkedKey) else None
