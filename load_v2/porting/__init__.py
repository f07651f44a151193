"""A TF1 checkpoint's variables straight into a Keras model: by name, or by rules; all or nothing, and proven.

    report = load_checkpoint_weights(model, "model.ckpt-3")
    report = load_checkpoint_weights(model, "model.ckpt-3", rules=[Rule("conv1", "stem", preset="layer")])

How names find each other is told in `matching`; what a rules file may say, in `rules`.
"""

__all__ = ["Rule", "load_checkpoint_weights", "suggest_rules"]


def __getattr__(name: str):
    # Lazy, because `commands/port.py` declares its flags from this package and must do so without importing tensorflow.
    if name == "Rule":
        from load_v2.porting.rules import Rule

        return Rule
    if name in ("load_checkpoint_weights", "suggest_rules"):
        from load_v2.porting import load

        return getattr(load, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
