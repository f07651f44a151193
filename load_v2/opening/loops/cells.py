"""One step of an LSTM, a GRU or a simple recurrent network, and the weights of the Keras layer that takes such steps."""

import dataclasses
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from export_v1.ir.match import anything, made_by, matches
from load_v2.opening.context import Context
from load_v2.opening.expressions import Name
from load_v2.opening.loops.affine import Affine, affine, split_bounds, split_source

ACTIVATIONS = {
    "Tanh": "tanh", "Relu": "relu", "Sigmoid": "sigmoid", "Elu": "elu", "Relu6": "relu6", "Softsign": "softsign",
    "Selu": "selu", "Softplus": "softplus",
}  # fmt: skip


# What opens and closes a gate.
_OPENS = frozenset({"sigmoid", "hard_sigmoid"})


@dataclasses.dataclass(frozen=True)
class Cell:
    """One step of a recurrent layer.

    Attributes:
        kind: class of the Keras layer.
        x: what comes in.
        states: the arguments that are the states before the step, in Keras's order.
        new: the states after it; the first is also what comes out.
        units: size of the state.
        weights: in Keras's order, each with the tensors of the loop's body that it is made of.
        options: of the layer's constructor.
    """

    kind: str
    x: Tensor
    states: tuple[Tensor, ...]
    new: tuple[Tensor, ...]
    units: int
    weights: tuple[tuple[np.ndarray, tuple[Tensor, ...]], ...]
    options: Mapping[str, Any]


def cell(context: Context, output: Tensor, states: Container[Tensor]) -> Cell | None:
    """Returns the step whose output is a tensor, None where it is none that a Keras layer takes.

    Args:
        context: of the loop's body.
        output: the tensor.
        states: the body's arguments that change from step to step.
    """
    return next(every(context, output, states), None)


def every(context: Context, output: Tensor, states: Container[Tensor]) -> Iterator[Cell]:
    """Yields each step whose output is a tensor; several where it is open which of two tensors is the state."""
    op = context.op(output)
    if op == "LSTMBlockCell":
        cell = _block_lstm(context, output)
        yield from () if cell is None else (cell,)
    elif op == "GRUBlockCell":
        cell = _block_gru(context, output)
        yield from () if cell is None else (cell,)
    else:
        for kind in (_lstm, _gru, _simple):
            yield from kind(context, output, states)


def without_gates(scope: str) -> str:
    """Returns the scope of a cell for the scope of its weights; TensorFlow 1's GRU makes them in scopes below its own."""
    for ending in ("/gates", "/candidate"):
        scope = scope.removesuffix(ending)
    return scope


# Keras's has another slope; TensorFlow 1's is a function of the generated code.
_HARD_SIGMOID = "hard_sigmoid"
_TIMES_A_FIFTH = made_by("Mul", anything("x"), anything("slope"), any_order=True)
_BELOW_ONE = made_by("Minimum", made_by(ops.ADDS, _TIMES_A_FIFTH, anything("half"), any_order=True), anything("one"))
_CLIPPED = made_by("Maximum", _BELOW_ONE, anything("zero"))


def _hard_sigmoid(context: Context, tensor: Tensor) -> Tensor | None:
    """Returns what a tensor is the `hard_sigmoid` of by which tf.keras opened and closed gates; None where it is none."""
    for captured in matches(context.graph.index, tensor, _CLIPPED):
        numbers = [context.values.number(captured[name]) for name in ("slope", "half", "one", "zero")]
        if None not in numbers and np.allclose(np.array(numbers, "float64"), [0.2, 0.5, 1.0, 0.0], rtol=1e-6):
            return captured["x"]
    return None


def _gate(context: Context, tensor: Tensor) -> tuple[str, Affine] | None:
    """Returns the activation and the linear function under it, also where several gates share an activation."""
    op, sources = context.op(tensor), context.sources(tensor)
    if op in ACTIVATIONS:
        return ACTIVATIONS[op], affine(context, sources[0])
    if op == "Maximum" and (inner := _hard_sigmoid(context, tensor)) is not None:
        return _HARD_SIGMOID, affine(context, inner)
    if op in {"Split", "SplitV"}:
        source, axis = split_source(context, tensor)
        whole = _gate(context, source) if context.is_data(source) else None
        bounds = split_bounds(context, tensor, axis, whole[1].size) if whole else None
        part = whole[1].columns(*bounds) if whole and bounds else None
        return (whole[0], part) if whole and part else None
    return None


def _matrices(gates: Sequence[Affine], x: Tensor, h: Tensor) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns kernel and recurrent kernel of gates that are functions of x and h alone."""
    kernels: list[list[np.ndarray]] = [[], []]
    for gate in gates:
        if set(gate.terms) != {x, h}:
            return None
        for side, source in zip(kernels, (x, h), strict=True):
            matrix = gate.terms[source]
            if matrix is None:
                return None
            side.append(matrix)
    kernel, recurrent = (np.concatenate(side, axis=1) for side in kernels)
    return kernel, recurrent


def _biases(gates: Sequence[Affine]) -> np.ndarray:
    dtype = next(m.dtype for gate in gates for m in gate.terms.values() if m is not None)
    return np.concatenate([np.zeros(gate.size or 0, dtype) if gate.bias is None else gate.bias for gate in gates])


def _only_input(gates: Sequence[Affine], h: Tensor) -> Tensor | None:
    others = {tensor for gate in gates for tensor in gate.terms} - {h}
    return others.pop() if len(others) == 1 else None


def _states_of(gates: Sequence[Affine], states: Container[Tensor]) -> list[Tensor]:
    return list(dict.fromkeys(tensor for gate in gates for tensor in gate.terms if tensor in states))


def _sources(gates: Sequence[Affine]) -> tuple[Tensor, ...]:
    return tuple(dict.fromkeys(tensor for gate in gates for tensor in gate.sources))


def _weights(gates: Sequence[Affine], kernels, bias: np.ndarray | None):
    sources = _sources(gates)
    values = [*kernels, *(() if bias is None else (bias,))]
    return tuple((value, sources) for value in values)


def _lstm(context: Context, output: Tensor, states: Container[Tensor]) -> Iterator[Cell]:
    index = context.graph.index
    for outer in matches(index, output, made_by("Mul", anything("o"), anything("activated"), any_order=True)):
        if context.op(outer["activated"]) not in ACTIVATIONS:
            continue
        activation, memory = ACTIVATIONS[context.op(outer["activated"])], context.sources(outer["activated"])[0]
        product = [made_by("Mul", anything(a), anything(b), any_order=True) for a, b in (("c", "f"), ("i", "g"))]
        for inner in matches(index, memory, made_by(ops.ADDS, *product, any_order=True)):
            all_gates = [_gate(context, inner[name]) for name in "ifg"] + [_gate(context, outer["o"])]
            if inner["c"] not in states or any(gate is None for gate in all_gates):
                continue
            names = [gate[0] for gate in all_gates if gate]
            gates = [gate[1] for gate in all_gates if gate]
            if names[2] != activation or len({names[0], names[1], names[3]}) != 1 or names[0] not in _OPENS:
                continue
            for h in _states_of(gates, states):
                x = _only_input(gates, h)
                kernels = None if x is None or h == inner["c"] else _matrices(gates, x, h)
                if x is not None and kernels is not None and _fit(kernels, 4):
                    options = _activations(activation, names[0])
                    weights = _weights(gates, kernels, _biases(gates))
                    yield Cell("LSTM", x, (h, inner["c"]), (output, memory), kernels[1].shape[0], weights, options)


def _activations(activation: str, recurrent: str) -> dict[str, Any]:
    """Returns the options for the activations that are not Keras's defaults."""
    options: dict[str, Any] = {} if activation == "tanh" else {"activation": activation}
    return options if recurrent == "sigmoid" else {**options, "recurrent_activation": Name(recurrent)}


def _fit(kernels: tuple[np.ndarray, np.ndarray], gates: int) -> bool:
    """Returns whether a state has one number for each unit."""
    return kernels[1].shape[0] * gates == kernels[1].shape[1]


def _gru(context: Context, output: Tensor, states: Container[Tensor]) -> Iterator[Cell]:
    index = context.graph.index
    kept = made_by("Mul", anything("u"), anything("h"), any_order=True)
    fresh = made_by("Mul", made_by("Sub", anything("one"), anything("u")), anything("candidate"), any_order=True)
    for captured in matches(index, output, made_by(ops.ADDS, kept, fresh, any_order=True)):
        h, update, candidate = captured["h"], _gate(context, captured["u"]), captured["candidate"]
        if context.values.number(captured["one"]) != 1 or h not in states or update is None or update[0] not in _OPENS:
            continue
        if context.op(candidate) not in ACTIVATIONS:
            continue
        options = _activations(ACTIVATIONS[context.op(candidate)], update[0])
        inner = affine(context, context.sources(candidate)[0])
        made = _reset_before(context, inner, h, update) or _reset_after(context, candidate, h, update)
        if made is not None:
            x, gates, kernels, bias, after = made
            options["reset_after"] = None if after else False
            yield Cell("GRU", x, (h,), (output,), kernels[1].shape[0], _weights(gates, kernels, bias), options)


def _reset_before(context: Context, inner: Affine, h: Tensor, update: tuple[str, Affine]):
    """GRUCell: the reset gate is applied to the state before its product with the candidate's kernel."""
    for product in inner.terms:
        for captured in matches(
            context.graph.index, product, made_by("Mul", anything("r"), anything("h"), any_order=True)
        ):
            reset = _gate(context, captured["r"])
            if captured["h"] != h or reset is None or reset[0] != update[0]:
                continue
            candidate = dataclasses.replace(inner, terms={h if t == product else t: m for t, m in inner.terms.items()})
            gates = [update[1], reset[1], candidate]
            x = _only_input(gates, h)
            kernels = None if x is None else _matrices(gates, x, h)
            if kernels is not None:
                return x, gates, kernels, _biases(gates), False
    return None


def _reset_after(context: Context, candidate: Tensor, h: Tensor, update: tuple[str, Affine]):
    """CudnnGRU: the reset gate is applied to what the candidate's kernel makes of the state."""
    whole = made_by(
        ops.ADDS, anything("from x"), made_by("Mul", anything("r"), anything("from h"), any_order=True), any_order=True
    )
    for captured in matches(context.graph.index, context.sources(candidate)[0], whole):
        reset = _gate(context, captured["r"])
        if reset is None or reset[0] != update[0]:
            continue
        from_x, from_h = affine(context, captured["from x"]), affine(context, captured["from h"])
        x = _only_input([update[1], reset[1], from_x], h)
        if x is None or set(from_x.terms) != {x} or set(from_h.terms) != {h}:
            continue
        candidate_ = Affine({**from_x.terms, **from_h.terms}, None, from_x.size, (*from_x.sources, *from_h.sources))
        gates = [update[1], reset[1], candidate_]
        kernels = _matrices(gates, x, h)
        if kernels is not None:
            first = _biases([update[1], reset[1], from_x])
            second = np.concatenate([np.zeros_like(_biases([update[1], reset[1]])), _biases([from_h])])
            return x, gates, kernels, np.stack([first, second]), True
    return None


def _simple(context: Context, output: Tensor, states: Container[Tensor]) -> Iterator[Cell]:
    gated = _gate(context, output)
    if gated is None:
        return
    activation, gate = gated
    if activation == _HARD_SIGMOID:
        return
    for h in _states_of([gate], states):
        x = _only_input([gate], h)
        kernels = None if x is None else _matrices([gate], x, h)
        if x is not None and kernels is not None and _fit(kernels, 1):
            options = {} if activation == "tanh" else {"activation": activation}
            weights = _weights([gate], kernels, _biases([gate]))
            yield Cell("SimpleRNN", x, (h,), (output,), gate.size or 0, weights, options)


def _block_lstm(context: Context, output: Tensor) -> Cell | None:
    """The LSTM in one op; its gates are i, j, f, o, Keras's are i, f, j, o."""
    x, c, h, kernel, *_, bias = context.sources(output)
    if (
        output.index != 6
        or context.graph.attr(output, "use_peephole").b
        or context.graph.attr(output, "cell_clip").f > 0
    ):
        return None
    if context.is_data(kernel) or context.is_data(bias):
        return None
    values = lstm_weights(
        context.values.value(kernel), context.values.value(bias), context.graph.attr(output, "forget_bias").f
    )
    weights = tuple((value, (kernel, bias)) for value in values)
    return Cell("LSTM", x, (h, c), (output, Tensor(output.node, 1)), values[1].shape[0], weights, {})


def lstm_weights(kernel: np.ndarray, bias: np.ndarray, forget_bias: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the weights of Keras's LSTM for those of TensorFlow 1's fused op, whose gates are i, j, f, o."""
    order = [0, 2, 1, 3]
    columns = np.concatenate([np.split(kernel, 4, axis=1)[at] for at in order], axis=1)
    parts = [np.split(bias, 4)[at] for at in order]
    parts[1] = parts[1] + bias.dtype.type(forget_bias)
    inputs = kernel.shape[0] - kernel.shape[1] // 4
    return columns[:inputs], columns[inputs:], np.concatenate(parts)


def _block_gru(context: Context, output: Tensor) -> Cell | None:
    """The GRU in one op; its gates are r, u, Keras's are u, r."""
    x, h, *tensors = context.sources(output)
    if output.index != 3 or any(map(context.is_data, tensors)):
        return None
    gates, candidate, gates_bias, candidate_bias = map(context.values.value, tensors)
    reset, update = np.split(gates, 2, axis=1)
    kernel = np.concatenate([update, reset, candidate], axis=1)
    bias = np.concatenate([*np.split(gates_bias, 2)[::-1], candidate_bias])
    units = candidate.shape[1]
    inputs = kernel.shape[0] - units
    weights = [(value, tuple(tensors)) for value in (kernel[:inputs], kernel[inputs:], bias)]
    return Cell("GRU", x, (h,), (output,), units, tuple(weights), {"reset_after": False})
