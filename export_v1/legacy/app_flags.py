"""Command-line flags of old code: definitions of its own, never ours, and never a command line to read."""

import functools

from absl import flags

from export_v1.legacy.modules import Forwarding

# tf.flags of TensorFlow 1 called its arguments so before it was absl's.
_OLD_NAMES = {"flag_name": "name", "default_value": "default", "docstring": "help"}


class Flags(flags.FlagValues):
    """Flags that all have their defaults: the command line is not theirs to read."""

    def __init__(self):
        super().__init__()
        self.mark_as_parsed()

    def __call__(self, argv, known_only: bool = False):
        return list(argv[:1])

    def _parse_flags(self, args=None):
        return []


def module(name: str, values: Flags) -> Forwarding:
    """Returns absl.flags as a module that defines and reads `values` and nothing else."""
    own: dict[str, object] = {"FLAGS": values}
    for attribute in dir(flags):
        if attribute.startswith("DEFINE"):
            own[attribute] = _defining(getattr(flags, attribute), values)
        elif attribute.startswith(("mark_", "register_", "declare_key", "adopt_")):
            # What has no command line has nothing to be checked.
            own[attribute] = lambda *args, **kwargs: None
    own["validator"] = own["multi_flags_validator"] = lambda *args, **kwargs: lambda function: function
    return Forwarding(name, flags, own=own)


def _defining(define, values: Flags):
    @functools.wraps(define)
    def defined(*args, **kwargs):
        kwargs = {_OLD_NAMES.get(name, name): value for name, value in kwargs.items()}
        kwargs.pop("required", None)
        # The function that defines a flag may be called once for each mode.
        return define(*args, **{"flag_values": values, "allow_override": True, **kwargs})

    return defined
