"""Rules that say which variable of the checkpoint becomes which weight: text in, validated records out.

A rules file is TOML: `ema` (true, false) and any number of `[[rule]]`, tried in order; the first rule that matches a
variable takes it. What no rule mentions is matched by itself.

    [[rule]]
    key = 'block_(\\d+)/conv/weights'     # regular expression on the whole name; a list joins several variables
    weight = 'stage_\\1/kernel'           # path of the Keras weight, or enough of its end; a list feeds several
    transform = [{ transpose = [0, 1, 3, 2] }]      # in order; see `transforms`

    [[rule]]
    key = 'rnn/basic_lstm_cell'          # with a preset, key and weight name a whole scope and a whole layer
    weight = 'lstm'
    preset = "lstm"                      # layer, attention, lstm, gru, cudnn_lstm, cudnn_gru
    forget_bias = 1.0                    # what the cell was built with; TF1 does not save it

    [[rule]]
    key = 'cls/.*'
    skip = "pre-training head"           # left out, with the reason given

    [[rule]]
    weight = 'new_head/.*'               # regular expression on the whole path; without a key
    keep = "trained from here on"        # weights that stay as the model has them, with the reason given

`more = true` leaves the variable to later rules too (a table that is also the output layer's kernel).
"""

import dataclasses
import importlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from load_v2 import errors
from load_v2.errors import LoadError
from load_v2.porting import transforms

_LONGEST_LINE = 10_000

PRESETS = ("layer", "attention", "lstm", "gru", "cudnn_lstm", "cudnn_gru")


@dataclass(frozen=True)
class Concatenate:
    axis: int


@dataclass(frozen=True)
class Rule:
    """One rule, valid by construction; see the module for what the fields mean.

    >>> Rule("conv1/weights", "stem/kernel", transform=[{"transpose": [3, 2, 0, 1]}]).transform
    (Transpose(axes=(3, 2, 0, 1)),)

    Raises:
        LoadError: a pattern, transform or combination of fields makes no sense.
    """

    key: str | Sequence[str] = ()
    weight: str | Sequence[str] | None = None
    transform: Sequence = ()
    preset: str | None = None
    skip: str | bool | None = None
    keep: str | bool | None = None
    forget_bias: float | None = None
    more: bool = False

    def __post_init__(self):
        steps = tuple(_step(step) for step in _sequence(self.transform))
        object.__setattr__(self, "key", () if self.keep and not self.key else _texts(self.key, "key"))
        object.__setattr__(self, "weight", _texts(self.weight, "weight") if self.weight is not None else ())
        object.__setattr__(self, "transform", steps)
        _check_patterns(self)
        _check_fields(self)

    @property
    def targets(self) -> tuple[str, ...]:
        """The patterns of `weight`; none for a rule that skips."""
        return tuple(self.weight or ())

    @property
    def splits(self) -> list[transforms.Split]:
        return [step for step in self.transform if isinstance(step, transforms.Split)]

    @property
    def joins(self) -> list[Concatenate]:
        return [step for step in self.transform if isinstance(step, Concatenate)]


@dataclass(frozen=True)
class RuleSet:
    rules: tuple[Rule, ...] = ()
    ema: bool | None = None
    source: str = "rules"


def load(rules: str | os.PathLike | Iterable[Rule] | None) -> RuleSet:
    """Returns the rules of a TOML file, or those given.

    Raises:
        LoadError: the file is not there, is not TOML, or a rule makes no sense; the message names file and rule.
    """
    if rules is None:
        return RuleSet()
    if not isinstance(rules, (str, os.PathLike)):
        return RuleSet(tuple(_given(rule) for rule in rules))
    name = os.path.basename(os.fspath(rules))
    tomllib = _toml_reader(name)
    try:
        with open(rules, "rb") as file:
            text = file.read().decode()
        # Python's reader takes the square of the length of a dotted key.
        longest = max(map(len, text.splitlines()), default=0)
        if longest > _LONGEST_LINE:
            raise LoadError(
                f"Rules file {name!r} has a line of {longest:,} characters; at most {_LONGEST_LINE:,} are read."
            )
        content = tomllib.loads(text)
    except OSError as error:
        raise LoadError(f"Rules file {os.fspath(rules)!r} cannot be read: {error.strerror}.") from error
    except LoadError:
        raise
    except (ValueError, RecursionError) as error:
        # Among the first are those of its own and of UTF-8, and numbers of too many digits.
        raise LoadError(
            f"Rules file {name!r} is not TOML: {error}.\n  Put regular expressions in single quotes, 'a/(\\d+)/b'."
        ) from error
    return _parsed(content, name)


def _toml_reader(name: str):
    """Returns the module that reads TOML: Python 3.10 has none, and then the package that it came from is needed."""
    for module in ("tomllib", "tomli"):
        try:
            return importlib.import_module(module)
        except ImportError:
            continue
    raise LoadError(
        f"Rules file {name!r} is TOML, which Python 3.10 cannot read by itself.\n"
        "  Run: pip install tomli; or pass Rule objects from Python."
    )


def _parsed(content: dict, name: str) -> RuleSet:
    for field in content:
        if field not in ("ema", "rule"):
            is_table = isinstance(content[field], list)
            what = f"table [[{field}]]" if is_table else f"entry {field!r}"
            near = (
                "[[rule]]" if is_table or errors.closest(field, ["rule"]) else errors.closest(field, ["ema"]) and "ema"
            )
            hint = f"; did you mean {near}?" if near else "."
            raise LoadError(
                f"Rules file {name!r}: unknown {what}{hint}\n"
                "  Known (2): 'ema', 'rule'.\n  Write [[rule]] above each rule, and ema = true or false before the first."
            )
    tables, ema = content.get("rule", []), content.get("ema")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise LoadError(f"Rules file {name!r}: write [[rule]], in double brackets, above each rule.")
    if ema is not None and not isinstance(ema, bool):
        raise LoadError(f"Rules file {name!r}: ema is true or false, not {ema!r}.")
    fields = [field.name for field in dataclasses.fields(Rule)]
    rules = []
    for number, table in enumerate(tables, 1):
        for field in table:
            if field not in fields:
                raise errors.unknown("Field", field, f"rule {number} of {name!r}", fields, "Rename it or remove it.")
        try:
            rules.append(Rule(**table))
        except LoadError as error:
            raise LoadError(f"Rule {number} of {name!r}: {error}") from error
    return RuleSet(tuple(rules), ema, name)


def _given(rule) -> Rule:
    if not isinstance(rule, Rule):
        raise LoadError(f"Rules are Rule objects or the path of a TOML file, not {type(rule).__name__}.")
    return rule


def _sequence(value) -> Sequence:
    if not isinstance(value, (list, tuple)):
        raise LoadError(f"transform is a list of steps such as [{{transpose = [1, 0]}}], not {value!r}")
    return value


def _texts(value, field: str) -> tuple[str, ...]:
    values = (value,) if isinstance(value, str) else value
    if not isinstance(values, (list, tuple)) or not values or not all(isinstance(text, str) for text in values):
        raise LoadError(f"{field} is a string or a list of strings, not {value!r}")
    return tuple(values)


def _check_patterns(rule: Rule) -> None:
    for pattern in rule.targets if rule.keep else ():
        _compiled("weight", pattern)
    for pattern in rule.key:
        compiled = _compiled("key", pattern)
        for template in rule.targets:
            for group in re.findall(r"\\(\d)|\\g<(\w+)>", template):
                name = group[0] or group[1]
                known = name in compiled.groupindex or (name.isdigit() and int(name) <= compiled.groups)
                if not known:
                    raise LoadError(
                        f"weight {template!r} refers to group {name}, which key {pattern!r} does not define"
                    )


def _compiled(field: str, pattern: str) -> re.Pattern:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise LoadError(f"{field} {pattern!r} is not a regular expression: {error}") from error


def _check_fields(rule: Rule) -> None:
    if rule.keep:
        others = (rule.key, rule.transform, rule.preset, rule.skip, rule.forget_bias, rule.more)
        if not rule.targets or any(others):
            raise LoadError("keep = \"reason\" goes with weight = 'REGULAR EXPRESSION' alone, without a key")
        return
    if bool(rule.skip) == bool(rule.weight):
        raise LoadError(f"key {rule.key[0]!r} needs either weight = '…' or skip = \"reason\", and not both")
    if rule.preset is not None and rule.preset not in PRESETS:
        raise errors.unknown("Preset", rule.preset, "the presets", PRESETS, 'Write preset = "layer", for instance.')
    if rule.preset and (rule.transform or len(rule.key) > 1 or len(rule.targets) > 1):
        raise LoadError(f"preset {rule.preset!r} takes one key, one weight and no transform")
    if rule.forget_bias is not None and rule.preset != "lstm":
        raise LoadError('forget_bias belongs to preset = "lstm"')
    if len(rule.joins) > 1 or len(rule.splits) > 1:
        raise LoadError("concatenate and split can be used once in a rule")
    if not rule.skip and (len(rule.key) > 1) != bool(rule.joins):
        raise LoadError("several keys need transform = [{concatenate = AXIS}], and that needs several keys")
    if rule.splits and rule.splits[0].count != len(rule.targets):
        raise LoadError(f"split makes {rule.splits[0].count} parts for {len(rule.targets)} weights")


def _step(step):
    """Returns the step that a table such as {transpose = [1, 0]} means."""
    if not isinstance(step, dict):
        if dataclasses.is_dataclass(step):
            return step
        raise LoadError(f"a transform step is a table such as {{transpose = [1, 0]}}, not {step!r}")
    if len(step) != 1:
        raise LoadError(f"a transform step has one name, not {len(step)}: {step!r}")
    ((name, value),) = step.items()
    if name not in _STEPS:
        raise errors.unknown("Transform", name, "the transforms", _STEPS, "Write {transpose = [1, 0]}, for instance.")
    form, make = _STEPS[name]
    try:
        return make(value)
    except (TypeError, ValueError, KeyError) as error:
        if isinstance(error, LoadError):
            raise
        raise LoadError(f"transform {name} is written {form}, not {value!r}") from error


def _whole(value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(value)
    return value


def _wholes(values) -> tuple[int, ...]:
    if not isinstance(values, (list, tuple)) or not values:
        raise TypeError(values)
    return tuple(_whole(value) for value in values)


def _number(value) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(value)
    return float(value)


def _split(value: dict) -> transforms.Split:
    axis, parts, sizes = _whole(value["axis"]), _whole(value.get("parts", 0)), value.get("sizes")
    if set(value) - {"axis", "parts", "sizes"} or (parts > 0) == bool(sizes):
        raise ValueError(value)
    return transforms.Split(axis, parts, _wholes(sizes) if sizes else ())


def _slice(value: dict) -> transforms.Slice:
    return transforms.Slice(**{name: _whole(number) for name, number in value.items()})


def _cast(value: str) -> transforms.Cast:
    if value not in ("float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"):
        raise ValueError(value)
    return transforms.Cast(value)


def _reorder(value: dict) -> transforms.Reorder:
    order = _wholes(value["order"])
    if set(value) - {"axis", "order"} or sorted(order) != list(range(len(order))):
        raise ValueError(value)
    return transforms.Reorder(_whole(value["axis"]), order)


_STEPS = {
    "transpose": ("{transpose = [1, 0]}", lambda value: transforms.Transpose(_wholes(value))),
    "reshape": ("{reshape = [-1, 3, 8]}", lambda value: transforms.Reshape(_wholes(value))),
    "squeeze": ("{squeeze = [0, 1]}", lambda value: transforms.Squeeze(_wholes(value))),
    "slice": ("{slice = {axis = 0, start = 2, stop = 10}}", _slice),
    "split": ("{split = {axis = 1, parts = 3}} or {split = {axis = 1, sizes = [8, 4]}}", _split),
    "concatenate": ("{concatenate = 0}", lambda value: Concatenate(_whole(value))),
    "cast": ('{cast = "float32"}', _cast),
    "scale": ("{scale = 0.5}", lambda value: transforms.Scale(_number(value))),
    "shift": ("{shift = 1.0}", lambda value: transforms.Shift(_number(value))),
    "reorder": ("{reorder = {axis = -1, order = [1, 0, 2]}}", _reorder),
}
