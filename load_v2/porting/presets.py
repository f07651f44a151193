"""What TF1 did differently, layer by layer: how a scope's variables become the weights of one Keras layer.

`layer`       same layout, other names: weights -> kernel, biases -> bias, and so on.
`attention`   the same, with kernels and biases reshaped to [hidden, heads, size], [heads, size] or [heads, size,
              hidden].
`lstm`        BasicLSTMCell, LSTMCell, LSTMBlockCell. One kernel [inputs + units, 4 units], gates i, j, f, o; Keras has
              two kernels, gates i, f, c, o. TF1 adds forget_bias (1.0 unless the code said otherwise) when it runs;
              Keras has it in the bias.
`cudnn_lstm`  CudnnLSTM as its Saver writes it, CudnnCompatibleLSTMCell: the same without forget_bias.
`gru`         GRUCell, GRUBlockCell. Gates r, u and a candidate; Keras has z (= u), r, h. TF1 applies the reset gate
              before the product, so the Keras layer is GRU(reset_after=False).
`cudnn_gru`   CudnnGRU as its Saver writes it: reset gate after the product, so GRU(reset_after=True), two biases.
"""

from collections.abc import Mapping

from load_v2.errors import LoadError, quoted
from load_v2.porting import weight_roles
from load_v2.porting.transforms import Heads, Reorder, Reshape, Scale, Shift, Slice
from load_v2.porting.types import Assignment, Entry, Term, Weight

# What a scope must hold to be meant at all: a pattern such as '.*' matches many scopes.
_MARKS = {
    "layer": (),
    "attention": (("kernel",),),
    "lstm": (("kernel",),),
    "cudnn_lstm": (("kernel",),),
    "gru": (("gates/kernel",), ("candidate/kernel",)),
    "cudnn_gru": (("gates/kernel",), ("candidate/input_projection/kernel",), ("candidate/hidden_projection/kernel",)),
}
RECURRENT = ("lstm", "cudnn_lstm", "gru", "cudnn_gru")
_LSTM_ORDER = Reorder(-1, (0, 2, 1, 3))
_GRU_ORDER = Reorder(-1, (1, 0, 2))


def members(preset: str, scope: str, entries: Mapping[str, Entry]) -> dict[str, Entry] | None:
    """Returns the scope's variables by role (`gates/kernel` for nested ones), or None if the preset cannot mean it."""
    by_role = {}
    for key, entry in entries.items():
        if not key.startswith(f"{scope}/"):
            continue
        inside = key[len(scope) + 1 :]
        nested = preset in ("gru", "cudnn_gru")
        if "/" in inside and not nested:
            continue
        role = weight_roles.role_of(inside)
        head = inside.rpartition("/")[0]
        by_role["/".join(filter(None, (head, role if role != weight_roles.UNKNOWN else inside.rsplit("/", 1)[-1])))] = (
            entry
        )
    wanted = [name for names in _MARKS[preset] for name in names]
    return by_role if by_role and all(name in by_role for name in wanted) else None


def expand(
    preset: str, source: Mapping[str, Entry], target: Mapping[str, Weight], forget_bias: float | None = None
) -> list[Assignment]:
    """Returns one assignment for each weight of the layer.

    Args:
        preset: its name.
        source: the scope's variables, as `members` gives them.
        target: the layer's weights by role.
        forget_bias: for `lstm`; 1.0 if None.

    Raises:
        LoadError: the layer cannot do what the scope's variables were made for; the message says how to build it.
    """
    if preset in ("layer", "attention"):
        return _plain(source, target, heads=preset == "attention")
    _check_recurrent(preset, target)
    if preset == "lstm":
        return _lstm(source, target, 1.0 if forget_bias is None else forget_bias)
    if preset == "cudnn_lstm":
        return _lstm(source, target, 0.0)
    return _gru(source, target) if preset == "gru" else _cudnn_gru(source, target)


def _plain(source, target, heads):
    assignments = []
    for role, entry in source.items():
        if role not in target:
            raise LoadError(f"the layer has no {role!r} for {entry.key!r}; it has {quoted(target)}")
        weight = target[role]
        steps = (Heads(weight.shape),) if heads and entry.shape != weight.shape else ()
        assignments.append(Assignment(weight.path, (Term(entry.key),), steps))
    return assignments


def _check_recurrent(preset, target):
    if not {"kernel", "recurrent_kernel"} <= set(target):
        raise LoadError(
            f"preset {preset!r} needs a layer with kernel and recurrent_kernel; this one has {quoted(target)}"
        )
    biased = len(target["bias"].shape) if "bias" in target else 1
    if preset == "gru" and biased == 2:
        raise LoadError("TF1's GRUCell applies the reset gate before the product: build GRU(reset_after=False)")
    if preset == "cudnn_gru" and biased == 1:
        raise LoadError("CudnnGRU applies the reset gate after the product: build GRU(reset_after=True)")


def _both_kernels(terms, order, target, axis=None):
    inputs = target["kernel"].shape[0]
    return [
        Assignment(target["kernel"].path, terms, (Slice(0, 0, inputs), order), axis),
        Assignment(target["recurrent_kernel"].path, terms, (Slice(0, inputs), order), axis),
    ]


def _bias(source, target, *names):
    if "bias" not in target:
        raise LoadError("the scope has a bias and the layer has none: build it with use_bias=True")
    for name in names:
        if name not in source:
            raise LoadError(f"the scope has no {name!r}; it has {quoted(source)}")
    return [source[name].key for name in names]


def _lstm(source, target, forget_bias):
    extra = [name for name in source if name not in ("kernel", "bias")]
    if extra:
        raise LoadError(
            f"the cell has {quoted(extra)} too (peepholes, projection or layer norm), which Keras's LSTM lacks: "
            "write that cell as a layer of its own, and map it with key and weight"
        )
    (bias,) = _bias(source, target, "bias")
    shift = (Shift(forget_bias, block=1, blocks=4),) if forget_bias else ()
    return [
        *_both_kernels((Term(source["kernel"].key),), _LSTM_ORDER, target),
        Assignment(target["bias"].path, (Term(bias),), (_LSTM_ORDER, *shift)),
    ]


def _gru(source, target):
    gates, candidate = _bias(source, target, "gates/bias", "candidate/bias")
    kernels = Term(source["gates/kernel"].key), Term(source["candidate/kernel"].key)
    return [
        *_both_kernels(kernels, _GRU_ORDER, target, axis=1),
        Assignment(target["bias"].path, (Term(gates), Term(candidate)), (_GRU_ORDER,), 0),
    ]


def _cudnn_gru(source, target):
    names = "gates/bias", "candidate/input_projection/bias", "candidate/hidden_projection/bias"
    gates, inward, hidden = _bias(source, target, *names)
    inputs, units = target["kernel"].shape[0], target["recurrent_kernel"].shape[0]
    kernel = source["gates/kernel"].key
    return [
        Assignment(
            target["kernel"].path,
            (Term(kernel, (Slice(0, 0, inputs),)), Term(source["candidate/input_projection/kernel"].key)),
            (_GRU_ORDER,),
            axis=1,
        ),
        Assignment(
            target["recurrent_kernel"].path,
            (Term(kernel, (Slice(0, inputs),)), Term(source["candidate/hidden_projection/kernel"].key)),
            (_GRU_ORDER,),
            axis=1,
        ),
        # The gates' two biases were saved as their sum, which is all that counts: it goes to the input side, and the
        # recurrent side gets zeros there. The candidate's two do not add up, because the reset gate is between them.
        Assignment(
            target["bias"].path,
            (Term(gates), Term(inward), Term(gates, (Scale(0.0),)), Term(hidden)),
            (Reshape((2, 3 * units)), _GRU_ORDER),
            axis=0,
        ),
    ]
