"""Whether the model gets plain values or their moving averages."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from load_v2.errors import LoadError
from load_v2.porting import bookkeeping
from load_v2.porting.types import Entry, Plan


@dataclass(frozen=True)
class Chosen:
    """`entries`: the variables to plan with. `stand_ins`: name -> key of the average read in its place.

    `plain`: the names that have a plain value in the checkpoint.
    """

    entries: Mapping[str, Entry]
    stand_ins: Mapping[str, str]
    plain: frozenset[str]
    choice: str = ""


def choose(entries: Mapping[str, Entry], ema: bool | None) -> Chosen:
    """Returns the variables under their own names, with averages behind them where these are wanted.

    Plain values are the default, because that is what the training program itself would have restored. An average
    whose plain variable is not in the checkpoint is used in any case.

    Raises:
        LoadError: averages are wanted, and there are none.
    """
    averages = bookkeeping.averages(entries)
    alone = {name: key for name, key in averages.items() if name not in entries}
    if ema and not averages:
        raise LoadError(
            f"The checkpoint has no moving averages: none of its {len(entries)} variables ends with "
            f"/{bookkeeping.AVERAGE}.\n  Leave out ema."
        )
    stand_ins = averages if ema else alone
    whole = {key: entry for key, entry in entries.items() if key not in alone.values()}
    whole.update({name: replace(entries[key], key=name) for name, key in stand_ins.items()})
    choice = ""
    if averages and ema is None and len(alone) < len(averages):
        choice = f"plain values, although there are moving averages of {len(averages)} variables: ema=True takes those"
    elif alone:
        choice = f"moving averages of {len(alone)} variables, because their plain values are not there"
    return Chosen(dict(sorted(whole.items())), stand_ins, frozenset(entries), choice)


def settle(plan: Plan, chosen: Chosen) -> None:
    """Puts the averages' own keys into a plan made under the variables' names, and accounts for the plain ones."""
    if chosen.choice:
        plan.choices.append(chosen.choice)
    keys = chosen.stand_ins
    plan.assignments = [
        replace(assignment, terms=tuple(replace(term, key=keys.get(term.key, term.key)) for term in assignment.terms))
        for assignment in plan.assignments
    ]
    used = {key for assignment in plan.assignments for key in assignment.keys}
    for name, key in keys.items():
        if key in used:
            plan.skipped.pop(key, None)
            if name in chosen.plain and name not in used:
                plan.skipped[name] = f"its moving average {key!r} is used"
        elif name not in chosen.plain and name in plan.skipped:
            plan.skipped[key] = plan.skipped.pop(name)
    plan.left_over = [name if name in chosen.plain else keys[name] for name in plan.left_over]
