"""What the two sides are made of, and what is to become of them: plain records, no tensors."""

from dataclasses import dataclass, field

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """One variable of the checkpoint. `shape` is that of the whole, where the checkpoint holds it in parts."""

    key: str
    shape: Shape
    dtype: str


@dataclass(frozen=True)
class Weight:
    """One weight of the Keras model, in the model's own order.

    `path` is unique in the model: a second weight with the same path gets `#2`. `layer_class` is the class name of the
    layer that owns it. `given` is the owner's path without the numbers that Keras, not a person, put there: `dense_7`
    tells only how many layers this process had made before.
    """

    path: str
    shape: Shape
    dtype: str
    layer_class: str = ""
    given: str = ""


@dataclass(frozen=True)
class Term:
    """One variable of the checkpoint and what is done to it before it is joined with others."""

    key: str
    steps: tuple = ()


@dataclass(frozen=True)
class Assignment:
    """How one weight gets its value: terms, joined along `axis` if there are several, then `steps`."""

    weight: str
    terms: tuple[Term, ...]
    steps: tuple = ()
    axis: int | None = None
    how: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(term.key for term in self.terms))


@dataclass(frozen=True)
class Ambiguity:
    """A layer that several scopes of the checkpoint fit, or a weight that several of its variables fit."""

    layer: str
    candidates: tuple[str, ...]
    whole_layer: bool


@dataclass
class Plan:
    """Everything decided before a tensor is read: what goes where, what stays out and why, and what does not fit."""

    assignments: list[Assignment] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    misfits: list[str] = field(default_factory=list)
    ambiguous: list[Ambiguity] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    unused_rules: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return not (self.missing or self.left_over or self.misfits)
