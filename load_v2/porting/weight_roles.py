"""What part of a layer a variable is, told by the last part of its name, in all the dialects of TF1 code."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from load_v2.porting.types import Entry, Shape, Weight

# tf.layers and Keras; slim and contrib; sonnet 1 and code that called tf.get_variable("w").
_ROLES = {
    "kernel": "kernel weights weight w",
    "bias": "bias biases b",
    "gamma": "gamma scale",
    "beta": "beta offset",
    "moving_mean": "moving_mean",
    "moving_variance": "moving_variance moving_var",
    "embeddings": "embeddings embedding embedding_table embedding_weights",
    "depthwise_kernel": "depthwise_kernel depthwise_weights w_dw",
    "pointwise_kernel": "pointwise_kernel pointwise_weights w_pw",
    "recurrent_kernel": "recurrent_kernel",
    "alpha": "alpha alphas",
}
_ROLE_OF = {name: role for role, names in _ROLES.items() for name in names.split()}
# A variable whose name says nothing about its part: `word_embeddings`, `Variable_3`. It stands alone.
UNKNOWN = "?"


def role_of(name: str) -> str:
    """Returns the role that the last part of a variable name tells.

    >>> role_of("conv1/weights"), role_of("fc/b"), role_of("Variable_3")
    ('kernel', 'bias', '?')
    """
    return _ROLE_OF.get(name.rsplit("/", 1)[-1].split("#")[0].lower(), UNKNOWN)


@dataclass(frozen=True)
class Group:
    """The variables of one layer: `members` are (role, shape, name), sorted by role.

    `given` is the path without numbers that Keras made up. A single variable keeps its layer's members in `whole`.
    """

    path: str
    members: tuple[tuple[str, Shape, str], ...]
    given: str = ""
    whole: tuple[tuple[str, Shape, str], ...] = ()

    @property
    def signature(self) -> tuple[tuple[str, Shape], ...]:
        return tuple(member[:2] for member in self.members)

    @property
    def names(self) -> list[str]:
        return [name for _, _, name in self.members]


def scope_of(name: str) -> str:
    """Returns the name without its last part; a mark like `#2` stays.

    >>> scope_of("a/b/kernel"), scope_of("kernel"), scope_of("dense/kernel#2")
    ('a/b', '', 'dense#2')
    """
    leaf, _, mark = name.partition("#")
    return leaf.rpartition("/")[0] + (f"#{mark}" if mark else "")


def groups(variables: Iterable[Entry | Weight], *, as_dense: bool = False) -> list[Group]:
    """Returns the variables by layer, in order of first appearance; those of unknown role each by themselves.

    Args:
        variables: of one side.
        as_dense: whether the kernel of a convolution of one position counts as that of a dense layer.
    """
    members: dict[str, list] = {}
    owners: dict[str, Entry | Weight] = {}
    for variable in variables:
        name = variable.key if isinstance(variable, Entry) else variable.path
        role = role_of(name)
        layer_class = getattr(variable, "layer_class", "")
        if layer_class.startswith("Depthwise") and role == "kernel":
            role = "depthwise_kernel"  # Keras 3 calls it `kernel`; TF1 and Keras 2 do not.
        path = name if role == UNKNOWN else scope_of(name)
        shape = variable.shape
        if as_dense and role == "kernel" and len(shape) > 2 and set(shape[:-2]) == {1}:
            shape = shape[-2:]
        members.setdefault(path, []).append((role, shape, name))
        owners.setdefault(path, variable)
    return [
        Group(path, tuple(sorted(group)), getattr(owners[path], "given", "") or path) for path, group in members.items()
    ]


def alike(source: Group, target: Group) -> bool:
    """Tells whether the variables of `source` can be the weights of `target`, by roles and shapes alone."""
    if source.signature == target.signature and not _conflict(source, target):
        return True
    if len(source.members) != 1 or len(target.members) != 1:
        return False
    (role, shape, _), (wanted, size, _) = source.members[0], target.members[0]
    if _conflict(source, target):
        return False
    # Tables are as often called `weights` as `embeddings`; a name that tells no role can be any single weight.
    return shape == size and (UNKNOWN in (role, wanted) or {role, wanted} == {"kernel", "embeddings"})


def _conflict(source: Group, target: Group) -> bool:
    """Tells whether the rest of two layers shows that they are of different kinds, whatever one variable looks like.

    A TF1 LSTM's bias has the shape of a Keras LSTM's and the gates in another order; its kernel's shape gives it away.
    """
    shapes, sizes = dict(member[:2] for member in source.whole), dict(member[:2] for member in target.whole)
    return "recurrent_kernel" in sizes or any(shapes[role] != sizes[role] for role in shapes.keys() & sizes.keys())


_NUMBER = re.compile(r"_?(\d+)$")


def parts(path: str) -> list[tuple[str, int | None]]:
    """Returns each path part as (lower-case base, number at its end or None).

    >>> parts("block2/conv_1/BatchNorm")
    [('block', 2), ('conv', 1), ('batchnorm', None)]
    """
    result: list[tuple[str, int | None]] = []
    for part in path.split("#")[0].lower().split("/"):
        match = _NUMBER.search(part)
        result.append((part[: match.start()], int(match[1])) if match else (part, None))
    return result


def words(path: str) -> list[tuple[str, int | None]]:
    """Returns the words of a path, each with the number that follows it.

    >>> words("layer_0/conv1_bn")
    [('layer', 0), ('conv', 1), ('bn', None)]
    """
    result: list[tuple[str, int | None]] = []
    for word in re.split(r"[/_.-]+", path.split("#")[0].lower()):
        trailing = re.search(r"\d+\Z", word)
        base, digits = (word[: trailing.start()], trailing[0]) if trailing else (word, "")
        if not base and digits and result and result[-1][1] is None:
            result[-1] = (result[-1][0], int(digits))
        elif word:
            result.append((base, int(digits) if digits else None))
    return result
