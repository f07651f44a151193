"""The way from variables of a TensorFlow 1 checkpoint to a rebuilt model's weights, as rules that `port` reads.

What a weight is made of is found by trying what `port` can do on the values themselves; then `port`'s own plan makes every
weight from these rules, and what does not come out as it is in the model gets no rule.
"""

import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from load_v2.opening.layers import Layer
from load_v2.porting import planning, target, values
from load_v2.porting.rules import Rule, RuleSet
from load_v2.porting.suggestions import quoted
from load_v2.porting.types import Entry
from load_v2.program import artefact

Table = dict[str, Any]
_PART = re.compile(r"/part_(\d+)$")
_MOST_AXES = 5


def text(
    model: keras.Model,
    layers: Iterable[Layer],
    variables: Iterable[artefact.Variable],
    read: Callable[[artefact.Variable], np.ndarray],
    code: str = "model.py",
) -> tuple[str, tuple[str, ...]]:
    """Returns a rules file as TOML, and the weights that it cannot make from another checkpoint, with the reason.

    Args:
        model: with its weights.
        layers: of the plan that it was built from.
        variables: of the export.
        read: gives a variable's value.
        code: name of the generated file, for the comment.
    """
    whole = _Variables(variables, read)
    paths = {id(variable): path for path, variable in target.variables(model).items()}
    tables: list[Table] = []
    for layer in layers:
        if layer.weights:
            tables += _of_layer(layer, [paths[id(weight)] for weight in model.get_layer(layer.name).weights], whole)
    used = {name for layer in layers for name in map(_whole_name, layer.variables)}
    skipped = [_skipped(name) for name in whole.names if name not in used]
    tables, missing = _proven(_joined(tables), skipped, model, whole)
    wrong = tuple(f"{path}: no variable of the graph becomes it by transposing, joining or cutting" for path in missing)
    head = (
        "# Which variable of a checkpoint of this architecture becomes which weight.\n"
        f"# python -m load_v2 port --checkpoint=PREFIX --model={code}:build --rules=THIS_FILE --weights=OUT.weights.h5\n"
    )
    return head + "".join(f"\n[[rule]]\n{_toml(table)}" for table in [*tables, *skipped]), wrong


class _Variables:
    """The graph's variables by the names that a Saver gives them: partitioned ones are one."""

    def __init__(self, variables: Iterable[artefact.Variable], read: Callable[[artefact.Variable], np.ndarray]):
        self._parts: dict[str, list[artefact.Variable]] = {}
        for variable in variables:
            self._parts.setdefault(_whole_name(variable.name), []).append(variable)
        for parts in self._parts.values():
            parts.sort(key=lambda variable: int(match[1]) if (match := _PART.search(variable.name)) else 0)
        self._read = read
        self._values: dict[str, np.ndarray] = {}
        self.names = tuple(self._parts)

    def value(self, name: str) -> np.ndarray:
        """Returns a variable's value, read once, partitions joined along the axis in which they are the parts of a whole."""
        if name not in self._values:
            self._values[name] = self._from_parts(name)
        return self._values[name]

    def _from_parts(self, name: str) -> np.ndarray:
        parts = [self._read(variable) for variable in self._parts[name]]
        if len(parts) == 1:
            return parts[0]
        differ = [
            at for at, sizes in enumerate(zip(*(part.shape for part in parts), strict=True)) if len(set(sizes)) > 1
        ]
        return np.concatenate(parts, axis=differ[0] if differ else 0)


def _whole_name(name: str) -> str:
    return _PART.sub("", name)


def _skipped(name: str) -> Table:
    return {"key": re.escape(name), "skip": "not in this signature"}


def _of_layer(layer: Layer, paths: Sequence[str], whole: _Variables) -> Iterator[Table]:
    origins = [tuple(dict.fromkeys(map(_whole_name, names))) for names in layer.origins] or [
        tuple(dict.fromkeys(map(_whole_name, layer.variables)))
    ] * len(paths)
    at = 0
    while at < len(paths):
        end = at + 1
        if paths[at].endswith("/kernel"):
            while end < len(paths) and os.path.dirname(paths[end]) == os.path.dirname(paths[at]):
                end += 1
        recurrent = [path for path in paths[at:end] if path.endswith("/recurrent_kernel")]
        table = _recurrent(paths[at:end], origins[at], layer.weights[at:end], whole) if recurrent else None
        if table is not None:
            yield table
            at = end
            continue
        transform = _transform([whole.value(name) for name in origins[at]], layer.weights[at])
        if transform is not None:
            yield {"key": _one([re.escape(name) for name in origins[at]]), "weight": paths[at], "transform": transform}
        at += 1


def _one(items: list[str]) -> Any:
    return items[0] if len(items) == 1 else items


def _recurrent(paths: Sequence[str], origins: Sequence[str], weights: Sequence[np.ndarray], whole: _Variables):
    """Returns the rule for a recurrent layer: a preset, which knows the order of gates."""
    scope = os.path.commonpath([os.path.dirname(name) for name in origins]) if origins else ""
    if not scope or len(weights) != 3:
        return None
    rule: Table = {"key": re.escape(scope), "weight": os.path.dirname(os.path.dirname(paths[0])) or paths[0]}
    nested = any(name.startswith((f"{scope}/gates", f"{scope}/candidate")) for name in origins)
    if nested:
        return {**rule, "preset": "cudnn_gru" if weights[2].ndim == 2 else "gru"}
    units = weights[1].shape[0]
    biases = [whole.value(name) for name in origins if whole.value(name).shape == (4 * units,)]
    if len(biases) != 1 or weights[2].shape != (4 * units,):
        return None
    # Keras's gates are i, f, c, o, those of TensorFlow 1 are i, j, f, o and the bias of f goes on top of the variable's.
    added = weights[2][units : 2 * units] - biases[0][2 * units : 3 * units]
    return {**rule, "preset": "lstm", "forget_bias": round(float(np.mean(added)), 6)}


def _transform(sources: Sequence[np.ndarray], weight: np.ndarray) -> list[Table] | None:
    """Returns the steps that make a weight of variables; None where these do not do it."""
    if len(sources) == 1:
        return _of_one(sources[0], weight)
    for axis in range(max((source.ndim for source in sources), default=0)):
        try:
            joined = np.concatenate(sources, axis=axis)
        except ValueError:
            continue
        steps = _of_one(joined, weight)
        if steps is not None:
            return [{"concatenate": axis}, *steps]
    return None


def _of_one(source: np.ndarray, weight: np.ndarray) -> list[Table] | None:
    if source.size == weight.size:
        return _same_size(source, weight)
    for axis in range(source.ndim):
        size, rest = divmod(weight.size * source.shape[axis], source.size)
        if rest or not 0 < size < source.shape[axis]:
            continue
        for start in range(source.shape[axis] - size + 1):
            steps = _same_size(np.take(source, range(start, start + size), axis), weight)
            if steps is not None:
                return [{"slice": {"axis": axis, "start": start, "stop": start + size}}, *steps]
    return None


def _same_size(source: np.ndarray, weight: np.ndarray) -> list[Table] | None:
    if source.ndim > _MOST_AXES:
        return None
    for axes in itertools.permutations(range(source.ndim)):
        turned = source.transpose(axes)
        steps: list[Table] = [] if axes == tuple(range(source.ndim)) else [{"transpose": list(axes)}]
        if turned.shape == weight.shape and _are_equal(turned, weight):
            return steps
    for axes in itertools.permutations(range(source.ndim)):
        steps = [] if axes == tuple(range(source.ndim)) else [{"transpose": list(axes)}]
        if _are_equal(source.transpose(axes).reshape(weight.shape), weight):
            return [*steps, {"reshape": list(weight.shape)}]
    return None


def _are_equal(value: np.ndarray, weight: np.ndarray) -> bool:
    if value.shape != weight.shape or (value.size and value.flat[0] != weight.flat[0]):
        return False
    return np.array_equal(value, weight)


def _joined(tables: list[Table]) -> list[Table]:
    """Returns the rules with one for all that differ in numbers alone, which stand in the key and in the weight alike."""
    groups: dict[str, list[Table]] = {}
    for table in tables:
        content = {key: value for key, value in table.items() if key not in ("key", "weight")}
        numbers = re.findall(r"\d+", table["key"]) if isinstance(table["key"], str) else None
        shared = numbers and numbers == re.findall(r"\d+", table["weight"])
        where = [re.sub(r"\d+", "#", table[key]) if shared else table[key] for key in ("key", "weight")]
        groups.setdefault(repr((where, content)), []).append(table)
    alone, joined = [], []
    for members in groups.values():
        first = members[0]
        if len(members) == 1:
            alone.append(first)
            continue
        texts = re.split(r"\d+", first["weight"])
        weight = texts[0] + "".join(f"\\g<{number}>{rest}" for number, rest in enumerate(texts[1:], 1))
        joined.append({**first, "key": re.sub(r"\d+", r"(\\d+)", first["key"]), "weight": weight})
    # A rule for one comes before one for many, which might take it.
    return [*alone, *joined]


def _proven(tables: list[Table], skipped: list[Table], model: keras.Model, whole: _Variables):
    """Returns the rules that make the model's weights, and the paths of the weights that none makes."""
    known: Mapping[str, np.ndarray] = {name: whole.value(name) for name in whole.names}
    entries = {name: Entry(name, value.shape, value.dtype.name) for name, value in known.items()}
    weights = target.variables(model)
    for _ in range(2):
        rules = tuple(Rule(**{**table, "more": True}) for table in tables)
        plan = planning.make(entries, target.weights(model), RuleSet((*rules, *(Rule(**table) for table in skipped))))
        made, wrong = set(), set()
        for assignment in plan.assignments:
            at = _rule(assignment.how)
            if at is None:
                continue
            held = values.held(weights[assignment.weight])
            value = values.of(assignment, known.__getitem__, held.dtype.name)
            if value.shape == held.shape and np.allclose(value, held, rtol=1e-6, atol=1e-7):
                made.add(assignment.weight)
            else:
                wrong.add(at)
        # Behind the tables are the rules that skip.
        unused = {at for at in map(_rule, plan.unused_rules) if at is not None and at < len(tables)}
        if not wrong | unused:
            break
        tables = [table for at, table in enumerate(tables) if at not in wrong | unused]
    return [_with_more(table, tables) for table in tables], [path for path in weights if path not in made]


def _rule(line: str) -> int | None:
    """Returns which rule a line of `port`'s begins with, counted from zero; None for none."""
    match = re.match(r"rule (\d+)", line)
    return None if match is None else int(match[1]) - 1


def _with_more(table: Table, tables: Sequence[Table]) -> Table:
    """Returns a rule that leaves its variable to others, where another takes it, too."""
    again = sum(other["key"] == table["key"] for other in tables) > 1
    return {**table, "more": True} if again else table


def _toml(table: Table) -> str:
    lines = [f"{key} = {_value(value)}" for key, value in table.items() if value != []]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {_value(inner)}' for key, inner in value.items())} }}"
    return repr(value)
