"""Loops and conditions that are no layer of Keras's, as layers whose call has `ops.scan`, `ops.while_loop` or `ops.cond`."""

import re
from collections.abc import Sequence
from typing import ClassVar

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening import expressions, functions, text
from load_v2.opening.context import Context, Piece, operand
from load_v2.opening.expressions import Expression, Item, LayerCall, Name, Slice, call
from load_v2.opening.expressions import Sequence as Items
from load_v2.opening.functions import Function
from load_v2.opening.layers import Layer, PrintedClass
from load_v2.opening.loops import printed_function, steps
from load_v2.opening.loops.printed_call import PrintedCall
from load_v2.opening.operations import shaping
from load_v2.opening.patterns.pattern import Missed
from load_v2.opening.sizes import Sizes
from load_v2.opening.statements import hint

# Such outputs of a loop's node stand for what its layer gives.
_BEYOND = 200_000


class PrintedLoop:
    """A While: over sequences as a scan, which has gradients everywhere; any other as a loop with a condition."""

    name: ClassVar[str] = "loop"
    roots: ClassVar[frozenset[str]] = ops.WHILES | {"TensorListStack"}

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the value of the loop's layer that a tensor is; the layer itself is a piece of its own."""
        stacked = context.op(tensor) == "TensorListStack"
        source = context.sources(tensor)[0] if stacked else tensor
        if context.op(source) not in ops.WHILES:
            return None
        key = ("printed loop", source.node)
        if key not in context.notes:
            context.notes[key] = _given_by_loop(context, Tensor(source.node))
        given = context.notes[key]
        if source.index not in given:
            raise Missed("it gives a list that nothing reads as a tensor")
        return context.piece(tensor, operand(given[source.index]), self.name)


class PrintedCondition:
    """An If."""

    name: ClassVar[str] = "condition"
    roots: ClassVar[frozenset[str]] = ops.IFS

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the piece that ends in a tensor."""
        node = Tensor(tensor.node)
        predicate = context.sources(node)[0]
        branches = [functions.of_branch(context, node, attr) for attr in ("then_branch", "else_branch")]
        count = len(branches[0].results)
        call_ = PrintedCall(context, node.node)
        condition = call_.argument(predicate, "condition")
        body = []
        for name, branch in zip(("then", "otherwise"), branches, strict=True):
            if any(branch.context.graph.dtype(result) == "variant" for result in branch.results):
                raise Missed("it chooses between lists")
            body += [f"        def {name}():", *_lines(call_, branch, branch.results, {}, 12)[0], ""]
        body.append(f"        return ops.cond({condition}, then, otherwise)")
        layer = call_.layer(f"Condition {node.node!r} of the original graph.", body, "a condition on data")
        outputs = tuple(Tensor(node.node, index) for index in range(count))
        return Piece(outputs, LayerCall(layer, call_.arguments), self.name, frozenset({node.node}), node.node)


def _given_by_loop(context: Context, loop: Tensor) -> dict[int, Tensor]:
    """Returns the tensors that stand for a loop's results: result -> tensor; a list's is all of it, steps first."""
    try:
        return _scan(context, loop)
    except Missed:
        return _while(context, loop)


def _register(
    context: Context, loop: Tensor, layer: Layer, call_: PrintedCall, results: Sequence[int]
) -> dict[int, Tensor]:
    given = {at: Tensor(loop.node, _BEYOND + at) for at in results}
    outputs = tuple(given.values())
    piece = Piece(outputs, LayerCall(layer, call_.arguments), PrintedLoop.name, frozenset({loop.node}), loop.node)
    context.virtual.update(dict.fromkeys(outputs, piece))
    return given


def _scan(context: Context, loop: Tensor) -> dict[int, Tensor]:
    taken = steps.taken_apart(context, loop)
    steps.check_past(context, taken)
    sequences = steps.sequences(context, taken)
    body = taken.body
    call_ = PrintedCall(context, loop.node)
    names = {counter: "step" for counter in taken.counters}
    outside = [call_.argument(source, f"{hint(source.node)}_steps") for source in sequences.values()]
    items = [f"input_{at}" if len(sequences) > 1 else "inputs" for at in range(len(sequences))]
    names.update(zip(sequences, items, strict=True))
    states = [f"state_{at}" if len(taken.states) > 1 else "state" for at in range(len(taken.states))]
    names.update(zip(taken.state_arguments, states, strict=True))
    first = [call_.argument(body.given[at], f"first_{name}") for at, name in zip(taken.states, states, strict=True)]
    # What is written is a state, too: on TensorFlow, Keras's scan gives what it carries, step by step, and nothing else.
    written = [at for at, value in taken.written.items() if value not in taken.states.values()]
    first += [_zeros(call_, body, sequences, taken.written[at]) for at in written]
    wanted = [*taken.states.values(), *(taken.written[at] for at in written)]
    lines, new, _ = _lines_and_results(call_, body, wanted, names, 12)
    carried = [*states, *("_" for _ in written)]
    if not carried or re.search(r"\bstep\b", "\n".join([*lines, *new])):
        carried, new, first = [*carried, "step"], [*new, "step + 1"], [*first, 'ops.zeros((), "int32")']
    # On TensorFlow, Keras's scan takes one sequence of unknown length, but not several.
    counted = len(items) > 1 and not all(isinstance(context.sizes.axis(s, 0), int) for s in sequences.values())
    code = [f"        def take(carried, {'at' if counted else 'inputs'}):"]
    code += [f"            {_tuple(carried)} = carried"] if set(carried) != {"_"} else []
    if counted:
        code += [
            f"            {item} = ops.take({whole}, at, axis=0)" for item, whole in zip(items, outside, strict=True)
        ]
    else:
        code += [f"            {_tuple(items)} = inputs"] if len(items) > 1 else []
    code += [*lines, f"            carried = {_bracketed(new)}", "            return carried, carried", ""]
    over = Name(f"ops.arange(ops.shape({outside[0]})[0])") if counted else _names(outside)
    scanned = call("ops.scan", Name("take"), _names(first), over)
    code.append(text.statement("last, steps = ", scanned, {}, indent=8))
    given = [f"steps[{wanted.index(value)}]" for value in taken.written.values()]
    given += [f"last[{at}]" for at in range(len(states))]
    if len(carried) == 1:
        given = [member.partition("[")[0] for member in given]
    code.append(f"        return {_tuple(given)}")
    order = [*taken.written, *taken.states]
    layer = call_.layer(
        f"Loop {loop.node!r} of the original graph, step by step.", code, "steps that no recurrent layer takes"
    )
    return _register(context, loop, layer, call_, order)


def _while(context: Context, loop: Tensor) -> dict[int, Tensor]:
    body = functions.of_loop(context, loop)
    condition = functions.of_loop(context, loop, "cond")
    call_ = PrintedCall(context, loop.node)
    changing = [at for at in range(len(body.arguments)) if not body.is_same(at)]
    names = {at: f"value_{place}" for place, at in enumerate(changing)}
    first = [_initial(context, call_, body, at) for at in changing]
    arguments = ", ".join(names[at] for at in changing)
    code = []
    for name, function, wanted in (
        ("proceed", condition, condition.results),
        ("take", body, [body.results[at] for at in changing]),
    ):
        own = {function.arguments[at]: names[at] for at in changing}
        lines = _lines(call_, function, wanted, own, 12, as_tuple=name == "take")[0]
        code += [f"        def {name}({arguments}):", *lines, ""]
    repeated = call("ops.while_loop", Name("proceed"), Name("take"), Items(tuple(map(Name, first)), is_tuple=True))
    code.append(text.statement("return ", repeated, {}, indent=8))
    layer = call_.layer(f"Loop {loop.node!r} of the original graph.", code, "a loop that ends by its data")
    if len(changing) == 1:
        layer.printed = None if layer.printed is None else _unpacked(layer.printed)
    return _register(context, loop, layer, call_, changing)


def _unpacked(made: PrintedClass) -> PrintedClass:
    source = made.source.replace("return ops.while_loop(", "(value_0,) = ops.while_loop(") + "        return value_0\n"
    return PrintedClass(made.name, source, made.reason)


def _initial(context: Context, call_: PrintedCall, body: Function, at: int) -> str:
    """Returns the code for what a loop begins with."""
    given = body.given[at]
    if context.graph.dtype(given) != "variant":
        if context.values.kind(given) == "constant" and context.values.value(given).ndim == 0:
            value = context.values.value(given)
            return f'ops.convert_to_tensor({value.item()!r}, "{value.dtype.name}")'
        return call_.argument(given)
    inner, result = body.context, body.results[at]
    if inner.op(result) != "TensorListSetItem":
        raise Missed("it changes a list in another way than filling it")
    code = _list(context, given, body, inner.sources(result)[2])
    return text.flat(code, {tensor: call_.argument(tensor) for tensor in expressions.operands(code)})


def _list(context: Context, given: Tensor, body: Function, value: Tensor) -> Expression:
    """Returns the tensor that stands for a list outside, whose elements are like a value inside."""
    op, sources = context.op(given), context.sources(given)
    if op == "TensorListFromTensor":
        return operand(sources[0])
    if op == "TensorListSetItem":
        before = _list(context, sources[0], body, value)
        place = context.values.number(sources[1])
        if place is None or context.graph.rank(sources[2]) is None:
            raise Missed("it begins with a list that is filled at computed places")
        first = Item(before, (Slice(None, int(place)),))
        rest = Item(before, (Slice(int(place) + 1, None),))
        return call("ops.concatenate", Items((first, call("ops.expand_dims", operand(sources[2]), 0), rest)), axis=0)
    if op != "TensorListReserve":
        raise Missed(f"it begins with a list that {op} makes")
    length = context.sizes.array(sources[1])
    head = operand(sources[1]) if length is None else shaping.size(length.item())
    return _zeros_of(context, body, {}, value, head)


def _zeros(call_: PrintedCall, body: Function, sequences: dict[Tensor, Tensor], value: Tensor) -> str:
    code = _zeros_of(call_.context, body, sequences, value)
    return text.flat(code, {tensor: call_.argument(tensor) for tensor in expressions.operands(code)})


def _zeros_of(
    context: Context, body: Function, sequences: dict[Tensor, Tensor], value: Tensor, *head: Expression
) -> Expression:
    """Returns zeros of the shape of a value inside a loop, in terms of what the loop is given."""
    given = {argument: context.sizes.shape(tensor) for argument, tensor in zip(body.arguments, body.given, strict=True)}
    for item, sequence in sequences.items():
        whole = context.sizes.shape(sequence)
        given[item] = None if whole is None else whole[1:]
    inner = body.context
    shape = Sizes(inner.graph, inner.values, given).shape(value)
    if shape is None:
        raise Missed("it computes a tensor of unknown rank")
    code = call("ops.zeros", Items((*head, *map(shaping.size, shape)), is_tuple=True), inner.graph.dtype(value))
    if not all(tensor in context.graph for tensor in expressions.operands(code)):
        raise Missed("it computes a tensor whose size depends on data")
    return code


def _lines_and_results(
    call_: PrintedCall, function: Function, wanted: Sequence[Tensor], names: dict[Tensor, str], indent: int
):
    outside = {}
    above = function.context.graph.index.ancestors(
        (tensor.node for tensor in wanted), stop=[tensor.node for tensor in names]
    )
    for argument, given in zip(function.arguments, function.given, strict=True):
        if argument.node in function.context.graph.weights:
            continue
        if argument not in names and argument.node in above and argument in function.context.graph:
            if function.context.op(argument) != "Placeholder":
                continue
            if function.context.graph.dtype(argument) == "variant":
                given = _list_of(call_, given)
            outside[argument] = call_.argument(given)
    call_.function = function
    everything = {**names, **outside}
    lines, results, given_names = printed_function.lines(function.context, wanted, everything, indent, call_)
    return lines, [text.flat(result, given_names) for result in results], given_names


def _list_of(call_: PrintedCall, given: Tensor) -> Tensor:
    context = call_.context
    if context.op(given) != "TensorListFromTensor":
        raise Missed(f"it reads a list that {context.op(given)} makes")
    return context.sources(given)[0]


def _lines(call_: PrintedCall, function: Function, wanted, names, indent: int, as_tuple: bool = False):
    lines, results, given = _lines_and_results(call_, function, wanted, names, indent)
    returned = _bracketed(results, always=as_tuple) if len(results) > 1 or as_tuple else results[0]
    return [*lines, f"{' ' * indent}return {returned}"], given


def _names(items: Sequence[str]) -> Expression:
    return Name(items[0]) if len(items) == 1 else Items(tuple(map(Name, items)), is_tuple=True)


def _tuple(items: Sequence[str]) -> str:
    return ", ".join(items)


def _bracketed(items: Sequence[str], always: bool = False) -> str:
    if len(items) == 1:
        return f"({items[0]},)" if always else items[0]
    return f"({', '.join(items)})"
