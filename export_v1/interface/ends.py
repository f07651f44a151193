"""Where a model ends: the tensors that a loss or a metric takes from it, and those that nothing reads."""

import collections
import dataclasses
from collections import Counter
from collections.abc import Collection

from tensorflow.core.framework import types_pb2

from export_v1.interface import naming, states
from export_v1.interface.results import DECODERS, NO_RESULTS, Results
from export_v1.interface.roles import CROSS_ENTROPIES, FORMS, PARTS, TRAINED, Roles, is_number
from export_v1.ir import ops
from export_v1.ir.graph import NodeDef, Tensor

# What a model may end with after its last layer: a scale, a sum of parts. Roots and logs are a loss's.
_ARITHMETIC = ops.ADDS | {
    "Sub",
    "Mul",
    "RealDiv",
    "Div",
    "AddN",
    "Atan",
    "Sum",
    "ConcatV2",
    "Maximum",
    "Minimum",
    "ClipByValue",
}
_SUMS = ops.ADDS | {"AddN", "ConcatV2"}
# What scales and shifts a value, where the other input is a constant.
_SCALES = ops.ADDS | {"Sub", "Mul", "RealDiv", "Div"}
# Other layouts of the same numbers.
_LAYOUTS = ops.RESHAPES | {"Identity", "Transpose"}
# Of so many parts of one value that a loss compares one by one, each may be an answer; of more, none is told apart.
_MOST_PARTS = 4
DIFFERENCES = frozenset({"Sub", "SquaredDifference"})


@dataclasses.dataclass(frozen=True)
class End:
    """A tensor the model ends at.

    Attributes:
        tensor: its name taken apart.
        kind: "compared" with labels, "in the loss" but beside no label, "unread" by anything, or a new "state".
        nested: another end is computed from this one through further weights.
        old: of a state, the source it is the new value of.
    """

    tensor: Tensor
    kind: str
    nested: bool = False
    old: Tensor | None = None

    @property
    def why(self) -> str:
        """The reason, for the report."""
        return {
            "compared": "the loss or a metric compares it with labels",
            "in the loss": "the loss is computed from it",
            "unread": "no other op uses it",
            "state": f"a loop that starts with {self.old.name if self.old else ''!r} ends with it: the new state",
        }[self.kind]


def find(roles: Roles) -> list[End]:
    """Returns where the model ends, those that labels are compared with first, in graph order."""
    finding = _Finding(roles)
    ends = finding.before_loss()
    kinds = {tensor: "compared" if primary else "in the loss" for tensor, primary in ends.items()}
    if "compared" in kinds.values():
        # Beside a loss that has labels, what else the loss reads are penalties on the model's inside.
        kinds = {tensor: kind for tensor, kind in kinds.items() if kind == "compared"}
    kinds.update({tensor: "unread" for tensor in finding.unread() if tensor not in kinds})
    made = {tensor.node for tensor in kinds}
    old = {tensor: source for tensor, source in states.new(roles).items() if not _passed_on(roles, tensor, made)}
    kinds.update({tensor: "state" for tensor in old})
    order = {node.name: at for at, node in enumerate(roles.nodes)}
    rank = {"compared": 0, "in the loss": 0, "unread": 1, "state": 2}
    ranked = sorted(kinds, key=lambda tensor: (rank[kinds[tensor]], order[tensor.node], tensor.index))
    # A state goes out whatever else is computed from it.
    nested = {tensor: tensor not in old and finding.leads_on(tensor, kinds) for tensor in ranked}
    return [End(tensor, kinds[tensor], nested[tensor], old.get(tensor)) for tensor in ranked]


def _passed_on(roles: Roles, tensor: Tensor, ends: set[str]) -> bool:
    """Whether another end is the same value under a name of its own."""
    readers = [reader for reader, _ in roles.index.tensor_consumers(tensor)]
    return any(reader.op == "Identity" and reader.name in ends for reader in readers)


def scope_results(roles: Roles) -> list[Tensor]:
    """Returns what each outermost scope of the model gives to nodes outside it, the last first."""
    results = Results(roles)
    given_out = []
    for node in reversed(roles.nodes):
        tensor, within = Tensor(node.name), naming.scopes(node.name)
        if not within or not roles.in_model(node.name) or roles.is_scalar(tensor) or node.op in NO_RESULTS:
            continue
        # A function's steps have the name of its result for a scope: "embeddings/Rsqrt" is a step to "embeddings".
        if within[0] in roles.index or not naming.is_given_scope(within[0]) or node.name in results.in_loops:
            continue
        outside = [reader for reader in roles.readers(node.name) if not reader.name.startswith(within[0] + "/")]
        if outside and is_number(results.type_of(tensor)) and not results.in_loss_scope(node):
            given_out.append(tensor)
    return given_out


def beside_data(roles: Roles) -> dict[Tensor, Tensor]:
    """Returns what a loss holds against data that goes into the model itself, as a decoder is held against what it is fed.

    Each is beside the data that it is compared with.
    """
    in_loops, pairs = Results(roles).in_loops, {}
    for node in roles.nodes:
        if node.op not in DIFFERENCES | CROSS_ENTROPIES:
            continue
        read = roles.live.data(node)
        made = [tensor for tensor in read if roles.tensor_mask(tensor) & TRAINED]
        plain = [tensor for tensor in read if tensor in roles.data]
        if len(made) == len(plain) == 1 and made[0].node not in in_loops and not roles.is_scalar(made[0]):
            pairs[made[0]] = plain[0]
    return pairs


class _Finding:
    def __init__(self, roles: Roles):
        self._roles = roles
        self._results = Results(roles)
        # Steps between the model and its losses.
        self._steps: set[str] = set()
        # Those of them that a metric matches with labels, and what only they are chosen by: they are the model's.
        self._classes: set[str] = set()

    def before_loss(self) -> dict[Tensor, bool]:
        """Returns the tensors where ways up from losses enter the model -> whether labels meet it there.

        Where none of them looks like a result, it is what meets a label, whatever it looks like.
        """
        ends, compared = self._up_from_losses(frozenset())
        if compared:
            # What one op compares ends the way up from every other op of the same loss.
            ends, _ = self._up_from_losses(compared)
        return self._with_bases(self._with_parts(self._without_scales(ends)))

    def _up_from_losses(self, ends: Collection[Tensor]) -> tuple[dict[Tensor, bool], set[Tensor]]:
        """What `before_loss` finds with `ends` for ends, and what arithmetic has made that is compared with a label."""
        roles = self._roles
        met: dict[Tensor, bool] = {}
        direct: dict[Tensor, bool] = {}
        made: set[Tensor] = set()
        # What a class was chosen by -> the class; metrics compute it several times.
        classes: dict[Tensor, Tensor] = {}
        seen: set[tuple[str, bool]] = set()
        todo = [(node, roles.meets_label(node.name)) for node in roles.terminals() if self._is_loss(node)]
        while todo:
            node, primary = todo.pop()
            if (node.name, primary) in seen or node.op == "StopGradient":
                continue
            seen.add((node.name, primary))
            self._steps.add(node.name)
            for tensor in roles.live.data(node):
                above = roles.index.nodes.get(tensor.node)
                if above is None or not roles.has_sources(above.name):
                    continue
                labelled = roles.meets_label(above.name)
                if not labelled and self._is_class(above, node):
                    classes.setdefault(roles.live.data(above)[0], Tensor(above.name))
                if tensor in ends:
                    met[tensor] = True
                    continue
                if not labelled and (compared := self._compared(tensor, node)) is not None:
                    met[compared] = True
                    made.add(compared)
                    continue
                still = labelled or (primary and not roles.is_scalar(tensor))
                if not labelled and self._results.is_presentable(above, tensor, node):
                    for result in self._all(above, tensor):
                        met[result] = met.get(result, False) or still
                    if is_number(self._results.type_of(tensor)) or above.op in DECODERS:
                        continue
                if labelled or roles.in_model(above.name):
                    todo.append((above, still))
                    if not labelled and roles.meets_label(node.name) and self._is_value(tensor):
                        direct[tensor] = True
        met.update(dict.fromkeys(classes.values(), True))
        self._classes = self._with_steps_to({tensor.node for tensor in classes.values()})
        return (met if any(met.values()) or not direct else {**met, **direct}), made

    def _with_steps_to(self, names: set[str]) -> set[str]:
        """Returns steps, and those that nothing but they leads to."""
        roles, known, todo = self._roles, set(names), list(names)
        while todo:
            for above in dict.fromkeys(tensor.node for tensor in roles.live.data(roles.index[todo.pop()])):
                if above in self._steps - known:
                    readers = {reader.name for reader in roles.readers(above)} & self._steps
                    if readers <= known:
                        known.add(above)
                        todo.append(above)
        return known

    def _without_scales(self, ends: dict[Tensor, bool]) -> dict[Tensor, bool]:
        """The ends, with one in the place of several that a loss has made of it with constants."""
        unnamed = [tensor for tensor in ends if not naming.is_given(self._roles.index[tensor.node])]
        base = {tensor: self._unscaled(tensor) for tensor in unnamed}
        several = {value for value, count in Counter(base.values()).items() if count > 1 and self._is_value(value)}
        result: dict[Tensor, bool] = {}
        for tensor, primary in ends.items():
            end = base[tensor] if base.get(tensor) in several else tensor
            result[end] = result.get(end, False) or primary
        return result

    def _unscaled(self, tensor: Tensor) -> Tensor:
        """What a tensor is but for arithmetic with constants."""
        roles = self._roles
        while (node := roles.index[tensor.node]).op in _SCALES and tensor not in roles.sources:
            made = [above for above in roles.live.data(node) if roles.tensor_mask(above)]
            if len(made) != 1:
                break
            tensor = made[0]
        return tensor

    def _with_parts(self, ends: dict[Tensor, bool]) -> dict[Tensor, bool]:
        """The ends, and beside each that a loss takes apart, such as boxes and their classes, its parts."""
        roles, result = self._roles, {}
        for tensor, primary in ends.items():
            result[tensor] = primary
            readers = [node for node in roles.readers(tensor.node) if node.name in self._steps]
            parts = [Tensor(node.name) for node in readers if node.op in PARTS]
            parts = parts if not any(self._results.in_loss_scope(node) for node in readers) else []
            if primary and 1 < len(parts) <= _MOST_PARTS and len(parts) == len(readers):
                if not naming.is_given(roles.index[tensor.node]):
                    result.update(dict.fromkeys((part for part in parts if self._is_value(part)), True))
        return result

    def _with_bases(self, ends: dict[Tensor, bool]) -> dict[Tensor, bool]:
        """The ends, and beside each class what it was chosen by, where a person named that.

        The log of a softmax that only losses read is half of a cross entropy: beside it stand the scores it was made of.
        """
        roles, result = self._roles, dict(ends)
        for tensor, primary in ends.items():
            node = roles.index[tensor.node]
            if node.op == "LogSoftmax" and not naming.is_given(node) and tensor not in roles.sources:
                scores = roles.live.data(node)[0]
                if primary and self._is_value(scores):
                    result[scores] = primary
                continue
            while node.op in FORMS and tensor not in roles.sources:
                tensor = roles.live.data(node)[0]
                node = roles.index[tensor.node]
            if node.op == "ArgMax" and tensor not in roles.sources:
                base = roles.live.data(node)[0]
                named = roles.index[base.node]
                if naming.is_given(named) and not naming.about_loss(naming.leaf(named.name)) and self._is_value(base):
                    result.setdefault(base, primary)
        return result

    def _is_class(self, node: NodeDef, reader: NodeDef) -> bool:
        """Whether a node chooses a class that is then matched with a label."""
        if node.op != "ArgMax" or not self._roles.in_model(node.name) or node.name in self._results.in_loops:
            return False
        readers = [reader] if reader.op not in FORMS else self._roles.readers(reader.name)
        return any(matching.op in ("Equal", "NotEqual") for matching in readers)

    def _compared(self, tensor: Tensor, reader: NodeDef) -> Tensor | None:
        """The tensor of the model that `reader` compares with a label, if arithmetic has made it after the last layer.

        A difference compares, a cross entropy, and the product in the one of a sigmoid.
        """
        roles = self._roles
        made = _ARITHMETIC if reader.op in DIFFERENCES | CROSS_ENTROPIES else _SUMS if reader.op == "Mul" else ()
        if not made:
            return None
        others = [roles.tensor_mask(other) for other in roles.live.data(reader) if other != tensor]
        # A target that weights had a say in, as a return that a value is added to, is no label.
        if not any(mask and not mask & (TRAINED | roles.data_mask) for mask in others):
            return None
        while (node := roles.index[tensor.node]).op in FORMS and tensor not in roles.sources:
            reader, tensor = node, roles.live.data(node)[0]
        plain = node.op in made or (reader.op == "Mul" and self._is_scaled(tensor))
        plain = plain and not self._results.in_loss_scope(node) and self._is_value(tensor)
        plain = plain and not self._is_held_against_itself(tensor)
        return tensor if plain and not self._results.is_presentable(node, tensor, reader) else None

    def _is_scaled(self, tensor: Tensor) -> bool:
        """Whether a tensor is a result of the model, scaled by constants."""
        node, result = self._roles.index[tensor.node], self._unscaled(tensor)
        return result != tensor and self._results.is_presentable(self._roles.index[result.node], result, node)

    def _is_held_against_itself(self, tensor: Tensor) -> bool:
        """Whether a tensor is one value beside its own other layout: the rows of a batch in pairs or triplets.

        A loss makes those of embeddings, to choose among them by labels.
        """
        sides = self._roles.live.data(self._roles.index[self._unscaled(tensor).node])
        if len(sides) != 2 or sides[0] == sides[1]:
            return False
        one, other = (self._laid_out(side) for side in sides)
        return one == other

    def _laid_out(self, tensor: Tensor) -> Tensor:
        """What a tensor is but for its layout."""
        roles = self._roles
        while (node := roles.index[tensor.node]).op in _LAYOUTS and tensor not in roles.sources:
            tensor = roles.live.data(node)[0]
        return tensor

    def _is_loss(self, node: NodeDef) -> bool:
        """Whether a node that nothing reads is a loss or a metric."""
        roles = self._roles
        if roles.is_scalar(Tensor(node.name)) and is_number(self._results.type_of(Tensor(node.name))):
            return roles.has_loss
        return roles.meets_label(node.name) and (not self._results.is_kept(node) or roles.is_metric(node))

    def _all(self, node: NodeDef, tensor: Tensor) -> list[Tensor]:
        return self._results.outputs(node) if node.op in DECODERS else [tensor]

    def _is_value(self, tensor: Tensor) -> bool:
        roles, node = self._roles, self._roles.index[tensor.node]
        return (
            roles.in_model(node.name)
            and node.name not in self._results.in_loops
            and not roles.is_scalar(tensor)
            and is_number(self._results.type_of(tensor))
        )

    def unread(self) -> list[Tensor]:
        """Returns the results that nothing reads, or only what is no result: a summary, a shape, a step."""
        roles, results = self._roles, self._results
        losses = {scope for name in self._steps - self._classes for scope in naming.scopes(name)[-1:]}
        unread: dict[Tensor, None] = {}
        dropped: set[str] = set()
        left: dict[str, int] = {}
        todo = collections.deque(node for node in roles.terminals() if not self._is_loss(node))
        todo.extend(self._measured())
        while todo:
            node = todo.popleft()
            if node.name in dropped or not roles.has_sources(node.name) or roles.meets_label(node.name):
                continue
            peeled = bool(roles.readers(node.name))
            if results.is_result(node, losses) and (outputs := results.outputs(node)):
                if not peeled or self._stands_out(node):
                    unread.update(dict.fromkeys([*outputs, *self._made_of(node)]))
                    continue
            dropped.add(node.name)
            for name in dict.fromkeys(tensor.node for tensor in roles.live.data(node)):
                left[name] = left.get(name, len(roles.readers(name))) - 1
                if not left[name] and roles.in_model(name):
                    todo.append(roles.index[name])
        return list(unread)

    def _measured(self) -> list[NodeDef]:
        """Returns the nodes of which others read nothing but the sizes."""
        roles = self._roles
        measured = {tensor.node for node in roles.nodes if node.op in ops.SIZES for tensor in roles.live.data(node)}
        return [
            node
            for node in roles.nodes
            if node.name in measured and all(reader.op in ops.SIZES for reader in roles.readers(node.name))
        ]

    def _stands_out(self, node: NodeDef) -> bool:
        """Whether a node is a result although something reads it: a person named it."""
        return naming.is_given(node) and not naming.about_loss(naming.leaf(node.name)) and not naming.is_step(node.name)

    def _made_of(self, node: NodeDef) -> list[Tensor]:
        """The numbers that a class, a count or a measure was made of, and the class that a text names."""
        roles, results = self._roles, self._results
        kind = results.type_of(Tensor(node.name))
        if not roles.in_model(node.name) or (is_number(kind) and not roles.is_scalar(Tensor(node.name))):
            return []
        if roles.is_counted(node.name) and roles.is_scalar(Tensor(node.name)):
            return []
        parts: list[Tensor] = []
        seen: set[str] = set()
        todo = [node]
        while todo:
            reader = todo.pop()
            for tensor in roles.live.data(reader):
                above = roles.index.nodes.get(tensor.node)
                if above is None or above.name in seen or not roles.in_model(above.name):
                    continue
                seen.add(above.name)
                if above.name in results.in_loops:
                    continue
                number = is_number(results.type_of(tensor))
                if number and (reader.op == "ArgMax" or results.is_presentable(above, tensor, reader)):
                    parts += [tensor] if kind != types_pb2.DT_STRING else []
                    continue
                if above.op == "ArgMax" and naming.is_given(above):
                    parts.append(tensor)
                todo.append(above)
        return parts

    def leads_on(self, tensor: Tensor, others) -> bool:
        """Returns whether further weights lie between `tensor` and another end."""
        roles, seen, todo = self._roles, set(), [(tensor.node, False)]
        wanted = {other.node for other in others} - {tensor.node}
        while todo:
            name, weighed = todo.pop()
            if (name, weighed) in seen:
                continue
            seen.add((name, weighed))
            for reader in roles.readers(name):
                now = weighed or reader.name in roles.mixing
                if now and reader.name in wanted:
                    return True
                todo.append((reader.name, now))
        return False
