"""What the names in a graph say: which were chosen by a person, and what key they suggest."""

import keyword
import re

from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef

# Names that TensorFlow's Python functions give, where they differ from the op's own.
_DEFAULTS = frozenset(
    "abs add all and any argmax argmin assign axis batchdequeue batchnorm begin biasadd boolmask cast clipbynorm "
    "clipbyvalue concat controldependency conv2d conv2dtranspose ctcgreedydecoder delta dense dimension div "
    "embeddinglookup embeddinglookupsparse eq exit exp expanddims fill flatten floordiv gather gathernd identity "
    "importexample inverse iteratorgetnext l2loss labelsstopgradient lambda leakyrelu limit log lookup "
    "lookuptablefindv2 matmul max maxpool mean merge min mod mul ne neg norm not onehot ones oneslike or "
    "fifoqueuedequeue fifoqueuedequeuemany parseexample placeholder pow predid prod randomnormal "
    "randomshufflequeuedequeue randomshufflequeuedequeuemany randomuniform range read readvariableop "
    "reductionindices relu reshape resizebilinear shape sigmoid size slice softmax split sqrt square squeeze "
    "stack start stridedslice sub sum switch switchf switcht tanh tensordot todouble tofloat toint32 toint64 "
    "transpose truediv truncatednormal unstack unweightedloss where xentropy xwplusb zeros zeroslike".split()
)
# Scopes that functions of TensorFlow open around their steps.
_FUNCTIONS = frozenset(
    "moments batchnorm dropout gradients l2normalize randomuniform randomnormal sequencemask zerofraction countnonzero "
    "countstofraction".split()
)
# Scopes that layers open for themselves.
_LAYER_SCOPES = re.compile(
    r"^(dense|conv\d?d?|convolution\d?d?|fully_?connected|linear|fc|layer|logistic|rnn|lstm|gru|flatten|dropout|batch_?norm"
    r"(alization)?|batchnorm|layernorm|cond|while|model|network|net|nn|loss|cost|tower|output|input|inputdata|targetsdata"
    r"|bert|pooler|hash_table_lookup|string_to_index_lookup|embedding_lookup|sequential|iteratorgetnext|placeholder)"
    r"(_?\d+)?$",
    re.IGNORECASE,
)
_LOSS = re.compile(r"loss|cost|entropy|xent|accuracy|metric|error|objective|regulari[sz]|penalty", re.IGNORECASE)
# Nobody nests scopes so deep, and a name of nothing but slashes would have as many as it is long.
_DEEPEST = 100
_ANSWER = re.compile(r"pred|output|answer|result|response", re.IGNORECASE)


def leaf(node: str) -> str:
    """Returns the last part of a node's name."""
    return node.rsplit("/", 1)[-1]


def scopes(node: str) -> list[str]:
    """Returns the scopes a node is in, outermost first: "a/b/c" is in "a" and "a/b"; none deeper than `_DEEPEST`."""
    parts = node.split("/", _DEEPEST)[:-1]
    return ["/".join(parts[: at + 1]) for at in range(len(parts))]


def _bare(name: str) -> str:
    return re.sub(r"_\d+$", "", name).replace("_", "").lower()


def is_given(node: NodeDef) -> bool:
    """Returns whether a person chose the last part of a node's name, so far as one can tell."""
    bare, op = _bare(leaf(node.name)), node.op.lower()
    if node.op in ops.PLACEHOLDERS:
        return bare != "placeholder"
    return bare not in _DEFAULTS and bare != op and not (bare and op.startswith(bare))


def is_given_scope(scope: str) -> bool:
    """Returns whether a person opened a scope, so far as one can tell: not a function of TensorFlow for itself."""
    return _bare(leaf(scope)) not in _DEFAULTS | _FUNCTIONS


def is_step(node: str) -> bool:
    """Returns whether a node is a step of a function of TensorFlow, by the scope it is in."""
    within = scopes(node)
    return bool(within) and _bare(leaf(within[-1])) in _FUNCTIONS


def about_loss(name: str) -> bool:
    """Returns whether a name speaks of a loss or a metric."""
    return bool(_LOSS.search(name))


def is_answer(node: NodeDef) -> bool:
    """Returns whether a person named a node as the model's answer."""
    return is_given(node) and bool(_ANSWER.search(leaf(node.name))) and not about_loss(leaf(node.name))


def key(node: NodeDef, index: int, role: str) -> str:
    """Returns the key a tensor goes by: its own name or its scope's, where a person chose it, else `role`."""
    if is_given(node):
        name = leaf(node.name)
    else:
        named = [part for part in node.name.split("/")[:-1] if not (_LAYER_SCOPES.match(part) or about_loss(part))]
        name = named[-1] if named else role
    name = as_key(name)
    return f"{name}_{index}" if index and not name.endswith(f"_{index}") else name


def as_key(name: str) -> str:
    """Returns a name as a key may be written: letters, digits and underscores, and no keyword of Python.

    tf.saved_model.load makes an argument of each input.

    >>> as_key("conv-1"), as_key("lambda")
    ('conv_1', 'lambda_')
    """
    name = re.sub(r"\W", "_", name)
    return f"{name}_" if keyword.iskeyword(name) else name


def unique(wanted: list[str]) -> list[str]:
    """Returns the keys with a number behind every one that was there before.

    >>> unique(["x", "y", "x"])
    ['x', 'y', 'x_1']
    """
    keys: set[str] = set()
    return [graph.fresh_name(name, keys) for name in wanted]
