"""Variables that belong to training and not to the model: optimizer slots, counters, moving averages."""

import re
from collections.abc import Mapping

from load_v2.porting.types import Entry

AVERAGE = "ExponentialMovingAverage"
# The last part of a slot's name; before it stands the name of the variable that it belongs to. TF1 optimizers, then
# BERT's own, then Adafactor's, then those of TF1 Keras.
_SLOT = re.compile(
    r"(Adam|AdamW|AdaMax|LAMB|LARS|Momentum|RMSProp|Adagrad|AdagradDA|Adadelta|Ftrl|Adafactor|adam_m|adam_v|vr|vc|"
    r"m|v|vhat|rms|mg|momentum|accumulator|accum_grad|accum_var|linear)(_\d+)?"
)
_SCALARS = re.compile(
    r"(.*/)?(?P<name>beta[12]_power(_\d+)?|global_step|loss_scale|current_loss_scale|good_steps|"
    r"(training(_\d+)?/)?(Adam|AdamW|SGD|RMSprop|Adagrad|Adadelta|Adamax|Nadam|Ftrl|TFOptimizer)(_\d+)?/"
    r"(iter|iterations|beta_[12]|decay|learning_rate|lr|rho|momentum|epsilon|schedule_decay))"
)
_OBJECT_GRAPH = re.compile(r"_CHECKPOINTABLE_OBJECT_GRAPH|save_counter(/.*)?")


def reasons(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Returns, for each variable that is no part of the model, why it is not.

    A name alone is not enough for a slot or an average: the variable that it belongs to must be in the checkpoint too,
    under the rest of the name.
    """
    why = {}
    for key, entry in entries.items():
        base, _, leaf = key.rpartition("/")
        owner = _owner(base, entries)
        if leaf == AVERAGE and base in entries:
            why[key] = f"moving average of {base!r}"
        elif owner and _SLOT.fullmatch(leaf) and _fits(entry, entries[owner]):
            why[key] = f"optimizer slot of {owner!r}"
        elif leaf in ("biased", "local_step") and base.removesuffix(f"/{AVERAGE}") in entries:
            why[key] = f"bookkeeping of a debiased average, {base!r}"
        elif not entry.shape and (match := _SCALARS.fullmatch(key)):
            why[key] = "training step counter" if match["name"] == "global_step" else "optimizer's own scalar"
        elif _OBJECT_GRAPH.fullmatch(key):
            why[key] = "checkpoint's own record"
    return why


def averages(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Returns the moving averages: name of the variable -> key of its average."""
    tail = f"/{AVERAGE}"
    return {key.removesuffix(tail): key for key in entries if key.endswith(tail)}


def _owner(base: str, entries: Mapping[str, Entry]) -> str | None:
    """Returns the variable that a slot belongs to: its name may follow the optimizer's scope."""
    while base:
        if base in entries:
            return base
        base = base.partition("/")[2]
    return None


def _fits(slot: Entry, owner: Entry) -> bool:
    # Adafactor keeps means over rows (vr) and columns (vc); every other slot has the shape of what it belongs to.
    factored = slot.key.rsplit("/", 1)[-1] in ("vr", "vc") and len(slot.shape) < len(owner.shape)
    return factored or slot.shape == owner.shape
