"""Loops and conditions that are no layer of Keras's, as layers whose call has `ops.scan`, `ops.while_loop` or `ops.cond`.

Inside such a call the same code stands in the function that has the loop or the condition.
"""

import contextlib
import dataclasses
import re
from collections.abc import Sequence
from typing import ClassVar, TypeAlias

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening import expressions, functions, text
from load_v2.opening.context import Context, Piece, operand
from load_v2.opening.expressions import Expression, LayerCall, Literal, Local, Name, call
from load_v2.opening.expressions import Sequence as Items
from load_v2.opening.functions import Function
from load_v2.opening.loops import printed_function, steps
from load_v2.opening.loops.printed_call import NestedCall, PrintedCall
from load_v2.opening.operations import shaping
from load_v2.opening.patterns.pattern import Missed
from load_v2.opening.sizes import Sizes
from load_v2.opening.statements import hint

# Such outputs of a loop's node stand for what its layer gives.
_BEYOND = 200_000
_OF_SIZES = "a condition on sizes that are only known when it runs"
_Call: TypeAlias = PrintedCall | NestedCall


@dataclasses.dataclass(frozen=True)
class _Code:
    """A loop or a condition as code.

    Attributes:
        lines: that define its functions and run it.
        values: the text of each of its results.
        results: which these are.
        says, reason: for the layer, and for the report.
        lists: results that are lists -> the shape of each value, and its type; as far as they are known.
        grows: whether some of the lists have as many elements as the loop took steps.
    """

    lines: list[str]
    values: list[str]
    results: list[int]
    says: str
    reason: str
    lists: dict[int, tuple[tuple[int | None, ...], str]] = dataclasses.field(default_factory=dict)
    grows: bool = False


class PrintedLoop:
    """A While: over sequences as a scan, which has gradients everywhere; any other as a loop with a condition."""

    name: ClassVar[str] = "loop"
    roots: ClassVar[frozenset[str]] = ops.WHILES | {"TensorListStack", "TensorListConcatV2"}

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the value of the loop's layer that a tensor is; the layer itself is a piece of its own."""
        joined = context.op(tensor) == "TensorListConcatV2"
        source = context.sources(tensor)[0] if joined or context.op(tensor) == "TensorListStack" else tensor
        if context.op(source) not in ops.WHILES:
            return None
        key = ("printed loop", source.node)
        if key not in context.notes:
            context.notes[key] = self._given(context, Tensor(source.node))
        given = context.notes[key]
        if source.index not in given:
            raise Missed("it gives a list that nothing reads as a tensor")
        whole = operand(given[source.index])
        return context.piece(tensor, _joined(context, tensor, whole) if joined else whole, self.name)

    def _given(self, context: Context, loop: Tensor) -> dict[int, Tensor]:
        """Returns the tensors that stand for a loop's results: result -> tensor; a list's is all of it, steps first."""
        code, results = _made(context, loop, _loop)
        given = {at: Tensor(loop.node, _BEYOND + at) for at in results}
        outputs = tuple(given.values())
        piece = Piece(outputs, code, self.name, frozenset({loop.node}), loop.node)
        context.virtual.update(dict.fromkeys(outputs, piece))
        return given


def _joined(context: Context, tensor: Tensor, whole: Expression) -> Expression:
    """Returns the rows of a list's tensors one after the other, of the tensor that has these tensors as its rows."""
    given = context.sources(tensor)[0]
    element, _ = _shape_of_element(functions.of_loop(context, Tensor(given.node)), given.index)
    if tensor.index or not element or None in element:
        raise Missed("it joins tensors that may have different lengths")
    return call("ops.reshape", whole, (-1, *element[1:]))


class PrintedCondition:
    """An If."""

    name: ClassVar[str] = "condition"
    roots: ClassVar[frozenset[str]] = ops.IFS

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the piece that ends in a tensor."""
        node = Tensor(tensor.node)
        code, results = _made(context, node, _condition)
        outputs = tuple(Tensor(node.node, index) for index in results)
        return Piece(outputs, code, self.name, frozenset({node.node}), node.node)


def _made(context: Context, node: Tensor, write) -> tuple[Expression, list[int]]:
    """Returns the call of a layer that has a loop or a condition; inside the call of one, that itself."""
    call_ = PrintedCall(context, node.node)
    if not context.inside_call:
        made: _Code = write(call_, node, 8)
        body = [*made.lines, _returned(made.values, 8)]
        told = _told(context, node, made)
        if not told and (made.grows or made.reason == _OF_SIZES):
            raise Missed("it gives a tensor of unknown rank")
        body += ["", *told] if told else []
        layer = call_.layer(made.says, body, made.reason)
        layer.made_of = tuple(t for t in context.sources(node) if context.values.kind(t) == "weight")
        return LayerCall(layer, call_.arguments), made.results
    # What it reads gets its names when all around it has them.
    trial = NestedCall(context, call_)
    results = write(trial, node, 8).results

    def lines(names, indent: int, owner: _Call) -> tuple[list[str], list[str]]:
        written: _Code = write(NestedCall(context, owner, names), node, indent)
        return written.lines, written.values

    operands = tuple(trial.asked)
    return Local(operands, tuple(map(operand, operands)), lines), results


def _told(context: Context, loop: Tensor, made: _Code) -> list[str]:
    """Returns the method that tells shapes, which Keras need not find out then; none where a rank is not known.

    Some it cannot find out before a loop has run. And it takes a product with a number for sparse, until one runs.
    """
    told = []
    for at in made.results:
        result = Tensor(loop.node, at)
        shape, dtype = made.lists.get(at) or (context.graph.shape(result), context.graph.dtype(result))
        if shape is None or dtype == "variant":
            return []
        told.append(f'keras.KerasTensor({shape!r}, "{dtype}")')
    lines = ["    def compute_output_spec(self, *inputs):"]
    if len(told) == 1:
        return [*lines, f"        return {told[0]}"]
    return [*lines, "        return (", *(f"            {line}," for line in told), "        )"]


def _own(call_: _Call, name: str) -> str:
    """Returns a name that no function around uses."""
    return f"{name}_{call_.depth + 1}" if call_.depth else name


def _condition(call_: _Call, node: Tensor, indent: int) -> _Code:
    context = call_.context
    predicate = context.sources(node)[0]
    branches = [functions.of_branch(context, node, attr) for attr in ("then_branch", "else_branch")]
    of_sizes = context.sizes.array(predicate)
    if of_sizes is None:
        reason = "a condition on data"
        function, condition = "ops.cond", call_.argument(predicate, "condition")
    else:
        reason = _OF_SIZES
        code = shaping.size(of_sizes.item())
        function, condition = "decided", text.flat(code, {t: call_.argument(t) for t in expressions.operands(code)})
    names, lines = [_own(call_, name) for name in ("then", "otherwise")], []
    for name, branch in zip(names, branches, strict=True):
        if any(branch.context.graph.dtype(result) == "variant" for result in branch.results):
            raise Missed("it chooses between lists")
        body = _lines(call_, branch, branch.results, {}, indent + 4)[0]
        lines += [f"{' ' * indent}def {name}():", *body, ""]
    results = list(range(len(branches[0].results)))
    chosen = f"{function}({condition}, {', '.join(names)})"
    if len(results) > 1:
        values = [_own(call_, f"chosen_{at}") for at in results]
        lines.append(f"{' ' * indent}{', '.join(values)} = {chosen}")
    else:
        values = [chosen]
    return _Code(lines, values, results, f"Condition {node.node!r} of the original graph.", reason)


def _loop(call_: _Call, loop: Tensor, indent: int) -> _Code:
    try:
        return _scan(call_, loop, indent)
    except Missed:
        return _while(call_, loop, indent)


def _scan(call_: _Call, loop: Tensor, indent: int) -> _Code:
    context, inside = call_.context, " " * (indent + 4)
    parts = steps.taken_apart(context, loop)
    steps.gives_zeros(context, parts)  # or what it gave before: else an output is more than the lines of one step tell
    sequences = steps.sequences(context, parts)
    body = parts.body
    take, carried_, inputs, step, at_ = (_own(call_, name) for name in ("take", "carried", "inputs", "step", "at"))
    names = {counter: step for counter in parts.counters}
    outside = [call_.argument(source, f"{hint(source.node)}_steps") for source in sequences.values()]
    items = [_own(call_, f"input_{at}") if len(sequences) > 1 else inputs for at in range(len(sequences))]
    names.update(zip(sequences, items, strict=True))
    states = [_own(call_, f"state_{at}" if len(parts.states) > 1 else "state") for at in range(len(parts.states))]
    names.update(zip(parts.state_arguments, states, strict=True))
    first = [call_.argument(body.given[at], f"first_{name}") for at, name in zip(parts.states, states, strict=True)]
    # What is written is a state, too: on TensorFlow, Keras's scan gives what it carries, step by step, and nothing else.
    written = [at for at, value in parts.written.items() if value not in parts.states.values()]
    first += [_zeros(call_, body, sequences, parts.written[at]) for at in written]
    wanted = [*parts.states.values(), *(parts.written[at] for at in written)]
    lines, new, _ = _lines_and_results(call_, body, wanted, names, indent + 4)
    carried = [*states, *("_" for _ in written)]
    if not carried or re.search(rf"\b{step}\b", "\n".join([*lines, *new])):
        carried, new, first = [*carried, step], [*new, f"{step} + 1"], [*first, 'ops.zeros((), "int32")']
    # On TensorFlow, Keras's scan takes one sequence of unknown length, but not several.
    counted = len(items) > 1 and not all(isinstance(context.sizes.axis(s, 0), int) for s in sequences.values())
    code = [f"{inside[4:]}def {take}({carried_}, {at_ if counted else inputs}):"]
    code += [f"{inside}{_tuple(carried)} = {carried_}"] if set(carried) != {"_"} else []
    if counted:
        code += [
            f"{inside}{item} = ops.take({whole}, {at_}, axis=0)" for item, whole in zip(items, outside, strict=True)
        ]
    else:
        code += [f"{inside}{_tuple(items)} = {inputs}"] if len(items) > 1 else []
    code += [*lines, f"{inside}{carried_} = {_bracketed(new)}", f"{inside}return {carried_}, {carried_}", ""]
    over = Name(f"ops.arange(ops.shape({outside[0]})[0])") if counted else _names(outside)
    scanned = call("ops.scan", Name(take), _names(first), over)
    last, all_ = _own(call_, "last"), _own(call_, "steps")
    code.append(text.statement(f"{last}, {all_} = ", scanned, {}, indent=indent))
    given = [f"{all_}[{wanted.index(value)}]" for value in parts.written.values()]
    given += [f"{last}[{at}]" for at in range(len(states))]
    if len(carried) == 1:
        given = [member.partition("[")[0] for member in given]
    graph = body.context.graph
    shapes = {at: graph.shape(value) for at, value in parts.written.items()}
    lists = {at: ((None, *shape), graph.dtype(parts.written[at])) for at, shape in shapes.items() if shape is not None}
    says = f"Loop {loop.node!r} of the original graph, step by step."
    return _Code(code, given, [*parts.written, *parts.states], says, "steps that no recurrent layer takes", lists)


def _while(call_: _Call, loop: Tensor, indent: int) -> _Code:
    context = call_.context
    body = functions.of_loop(context, loop)
    condition = functions.of_loop(context, loop, "cond")
    changing = [at for at in range(len(body.arguments)) if not body.is_same(at)]
    names = {at: _own(call_, f"value_{place}") for place, at in enumerate(changing)}
    grown = {at: steps.counter_of(body, at) for at in changing if steps.grows(context, body, at)}
    room = {at: steps.room(condition, body, at, counter) for at, counter in grown.items()}
    counted = {at: f"{_own(call_, 'counted')}[{changing.index(grown[at])}]" for at in grown if room[at] is None}
    room.update(dict.fromkeys(counted, Literal(0)))
    elements = {at: _sizes_of(context, body, {}, _filled_with(body, at)) for at in changing if _is_made(body, at)}
    unknown = [at for at, sizes in elements.items() if sizes is None]
    elements.update({at: (Literal(1),) * len(_shape_of_element(body, at)[0]) for at in unknown})

    def first() -> list[str]:
        return [_initial(call_, body, at, room.get(at), elements.get(at) or ()) for at in changing]

    begin = first()
    arguments = ", ".join(names[at] for at in changing)
    code = []
    proceed, take = _own(call_, "proceed"), _own(call_, "take")
    for name, function, wanted in (
        (proceed, condition, condition.results),
        (take, body, [body.results[at] for at in changing]),
    ):
        own = {function.arguments[at]: names[at] for at in changing}
        lines = _lines(call_, function, wanted, own, indent + 4, as_tuple=name == take)[0]
        code += [text.head(name, [names[at] for at in changing], indent), *lines, ""]
    tab = " " * indent
    if unknown:
        tried = _own(call_, "tried")
        code.append(f"{tab}# The first step is taken once more, for the sizes of what it gives.")
        code.append(text.statement(f"{tried} = ", call(take, *map(Name, begin)), {}, indent=indent))
        elements.update({at: (Name(f"*ops.shape({tried}[{changing.index(at)}])[1:]"),) for at in unknown})
        begin = first()
    if counted:
        code.append(f"{tab}# Nothing says beforehand how many steps it takes: the first time, they are only counted.")
        code.append(text.statement(f"{_own(call_, 'counted')} = ", _repeated(proceed, take, begin), {}, indent=indent))
        room.update({at: Name(length) for at, length in counted.items()})
        begin = first()
    targets = f"({arguments},)" if len(changing) == 1 else arguments
    if len(f"{tab}{targets} = ops.while_loop(") > text.WIDTH:
        targets = "\n".join(["(", *(f"{tab}    {names[at]}," for at in changing), f"{tab})"])
    code.append(text.statement(f"{targets} = ", _repeated(proceed, take, begin), {}, indent=indent))
    values = [f"{names[at]}[:{names[grown[at]]}]" if at in grown else names[at] for at in changing]
    lists = {at: _shape_of_list(body, at) for at in grown}
    for at in changing:
        if _is_list(body, at) and at not in grown:
            with contextlib.suppress(Missed):
                lists[at] = _shape_of_list(body, at)
    says = f"Loop {loop.node!r} of the original graph."
    return _Code(code, values, changing, says, "a loop that ends by its data", lists, bool(grown))


def _repeated(proceed: str, take: str, first: Sequence[str]) -> Expression:
    return call("ops.while_loop", Name(proceed), Name(take), Items(tuple(map(Name, first)), is_tuple=True))


def _is_list(body: Function, at: int) -> bool:
    return body.outer.graph.dtype(body.given[at]) == "variant"


def _is_made(body: Function, at: int) -> bool:
    """Returns whether an argument of a loop is a list that begins without elements but for what is put into it."""
    given = body.given[at]
    while body.outer.op(given) == "TensorListSetItem":
        given = body.outer.sources(given)[0]
    return _is_list(body, at) and steps.is_empty(body.outer, given)


def _filled_with(body: Function, at: int) -> Tensor:
    """Returns what a step fills a list with."""
    result = body.results[at]
    if body.context.op(result) != "TensorListSetItem":
        raise Missed("it changes a list in another way than filling it")
    return body.context.sources(result)[2]


def _shape_of_element(body: Function, at: int) -> tuple[tuple[int | None, ...], str]:
    """Returns the shape and the type of what a step fills a list with, as far as they are known."""
    graph, value = body.context.graph, _filled_with(body, at)
    shape = graph.shape(value)
    if shape is None:
        raise Missed("it fills a list with tensors of unknown rank")
    return tuple(shape), graph.dtype(value)


def _shape_of_list(body: Function, at: int) -> tuple[tuple[int | None, ...], str]:
    shape, dtype = _shape_of_element(body, at)
    return (None, *shape), dtype


def _initial(call_: _Call, body: Function, at: int, room: Expression | None, element: tuple[Expression, ...]) -> str:
    """Returns the code for what a loop begins with.

    Args:
        call_: what is written.
        body: of the loop.
        at: which of its arguments.
        room: the length of a list that the loop makes longer, None if it has one.
        element: the sizes of what is in a list.
    """
    context, given = call_.context, body.given[at]
    if not _is_list(body, at):
        if context.values.kind(given) == "constant" and context.values.value(given).ndim == 0:
            number = context.values.value(given)
            return f'ops.convert_to_tensor({number.item()!r}, "{number.dtype.name}")'
        return call_.argument(given)
    code = _list(context, given, room, element, _shape_of_element(body, at)[1])
    return text.flat(code, {tensor: call_.argument(tensor) for tensor in expressions.operands(code)})


def _list(
    context: Context, given: Tensor, room: Expression | None, element: tuple[Expression, ...], dtype: str
) -> Expression:
    """Returns the tensor that stands for a list outside a loop; arguments as above."""
    op, sources = context.op(given), context.sources(given)
    if op == "TensorListFromTensor":
        return operand(sources[0])
    if op == "Placeholder" and context.inside_call:
        return operand(given)
    if op == "TensorListSetItem":
        before = _list(context, sources[0], room, element, dtype)
        place = context.values.number(sources[1])
        if place is None or context.graph.rank(sources[2]) is None:
            raise Missed("it begins with a list that is filled at computed places")
        return call("put", before, int(place), operand(sources[2]))
    if not steps.is_empty(context, given):
        raise Missed(f"it begins with a list that {op} makes")
    if room is None:
        length = context.sizes.array(sources[1])
        room = operand(sources[1]) if length is None else shaping.size(length.item())
    return call("ops.zeros", Items((room, *element), is_tuple=True), dtype)


def _zeros(call_: _Call, body: Function, sequences: dict[Tensor, Tensor], value: Tensor) -> str:
    sizes = _sizes_of(call_.context, body, sequences, value)
    if sizes is None:
        raise Missed("it computes a tensor whose size depends on data")
    code = call("ops.zeros", Items(sizes, is_tuple=True), body.context.graph.dtype(value))
    return text.flat(code, {tensor: call_.argument(tensor) for tensor in expressions.operands(code)})


def _sizes_of(
    context: Context, body: Function, sequences: dict[Tensor, Tensor], value: Tensor
) -> tuple[Expression, ...] | None:
    """Returns the sizes of a value inside a loop in terms of what the loop is given; None where they depend on more."""
    given = {argument: context.sizes.shape(tensor) for argument, tensor in zip(body.arguments, body.given, strict=True)}
    for item, sequence in sequences.items():
        whole = context.sizes.shape(sequence)
        given[item] = None if whole is None else whole[1:]
    inner = body.context
    # A state has the same sizes after each step.
    given.update(
        {
            result: given[argument]
            for argument, result in zip(body.arguments, body.results, strict=True)
            if inner.graph.dtype(result) != "variant" and given.get(argument) is not None and result not in given
        }
    )
    shape = Sizes(inner.graph, inner.values, given).shape(value)
    if shape is None:
        return None
    sizes = tuple(map(shaping.size, shape))
    known = all(tensor in context.graph for size in sizes for tensor in expressions.operands(size))
    return sizes if known else None


def _lines_and_results(
    call_: _Call, function: Function, wanted: Sequence[Tensor], names: dict[Tensor, str], indent: int
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


def _list_of(call_: _Call, given: Tensor) -> Tensor:
    context = call_.context
    if context.op(given) == "Placeholder" and context.inside_call:
        return given
    if context.op(given) != "TensorListFromTensor":
        raise Missed(f"it reads a list that {context.op(given)} makes")
    return context.sources(given)[0]


def _lines(call_: _Call, function: Function, wanted, names, indent: int, as_tuple: bool = False):
    lines, results, given = _lines_and_results(call_, function, wanted, names, indent)
    return [*lines, _returned(results, indent, as_tuple)], given


def _returned(values: Sequence[str], indent: int, as_tuple: bool = False) -> str:
    whole = f"{' ' * indent}return {_bracketed(values, always=True) if as_tuple else _tuple(values)}"
    if len(whole) <= text.WIDTH:
        return whole
    return text.statement("return ", Items(tuple(map(Name, values)), is_tuple=True), {}, indent)


def _names(items: Sequence[str]) -> Expression:
    return Name(items[0]) if len(items) == 1 else Items(tuple(map(Name, items)), is_tuple=True)


def _tuple(items: Sequence[str]) -> str:
    return ", ".join(items)


def _bracketed(items: Sequence[str], always: bool = False) -> str:
    if len(items) == 1:
        return f"({items[0]},)" if always else items[0]
    return f"({', '.join(items)})"
