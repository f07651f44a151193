"""Functions for repeated blocks, and loops that call them, as text."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from export_v1.ir.graph import Tensor
from load_v2.opening import block_loops, expressions, naming, text
from load_v2.opening.block_loops import Loop
from load_v2.opening.blocks import Function
from load_v2.opening.expressions import Operand
from load_v2.opening.statements import Program, Statement, hint


def function(made: Function, functions: Collection[str]) -> str:
    """Returns the definition of a function, no variable of which is called as one of `functions`, which it may call."""
    ends = frozenset(made.results)
    items = block_loops.found(made.statements, ends)
    used_names = {*naming.ARGUMENTS, *naming.RESERVED, *made.parameters, *functions}
    given = {made.inputs[0]: "x"} if made.inputs else {}
    for tensor in made.inputs:
        if tensor not in given:
            given[tensor] = naming.fresh(naming.identifier(hint(tensor.node)), used_names)
    outputs = {str(at): Operand(tensor) for at, tensor in enumerate(made.results)}
    program = Program(tuple(map(as_statement, items)), dict(outputs))
    common = naming.common_scopes(statement.scope for statement in made.statements)
    within = "".join(f"{scope}/" for scope in common)
    names = naming.name_values(program, {}, given, shared=used_names, within=within)
    lines = body(items, outputs, names, frozenset(made.inputs))
    last = lines[-1]
    if len(made.results) == 1 and last.startswith(f"    {names[made.results[0]]} = "):
        lines[-1] = "    return " + last.partition(" = ")[2]
    else:
        lines.append(f"    return {', '.join(names[tensor] for tensor in made.results)}")
    arguments = ", ".join(
        [
            *(given[tensor] for tensor in made.inputs),
            *(
                f"{name}={text.value(made.defaults[name])}" if name in made.defaults else name
                for name in made.parameters
            ),
        ]
    )
    head = f"def {made.name}({arguments}):"
    if len(head) > text.WIDTH:
        head = f"def {made.name}(\n    {arguments}\n):"
    return "\n".join([head, f"    {_says(made)}", *lines]) + "\n"


def _says(made: Function) -> str:
    first, last = made.firsts
    if not first or "{" in first + last:
        return expressions.docstring_text(f"One of {made.count} blocks that differ in their weights.")
    between = "and" if made.count == 2 else "to"
    which = f"{first!r} {between} {last!r}" if first != last else f"the first in {first!r}"
    return expressions.docstring_text(f"One of {made.count} blocks, {which}.")


def body(
    items: Sequence[Statement | Loop],
    outputs: Mapping[str, expressions.Expression],
    names: dict[Tensor, str],
    inputs: frozenset[Tensor],
) -> list[str]:
    """Returns the lines of statements and loops, each item's text in one string.

    Args:
        items: in order.
        outputs: what is read behind them.
        names: of the tensors; what goes into a loop gets the name of what comes out, where nothing else reads it
            and nothing that is made between the two has that name.
        inputs: tensors whose names are fixed.
    """
    codes = [*(as_statement(item).code for item in items), *outputs.values()]
    reads = Counter(tensor for code in codes for tensor in expressions.operands(code))
    given = [as_statement(item).targets for item in items]
    made = {tensor: at for at, targets in enumerate(given) for tensor in targets}
    for at, item in enumerate(items):
        if isinstance(item, Loop):
            for first, result in zip(item.first, item.results, strict=True):
                between = (t for targets in given[made.get(first, -1) + 1 : at] for t in targets if t is not None)
                if reads[first] == 1 and first not in inputs and names[result] not in {names[t] for t in between}:
                    names[first] = names[result]
    return ["\n".join(_loop(item, names)) if isinstance(item, Loop) else statement(item, names) for item in items]


def statement(item: Statement, names: Mapping[Tensor, str], indent: int = 4) -> str:
    """Returns an assignment as text."""
    targets = ", ".join("_" if target is None else names[target] for target in item.targets)
    return text.statement(f"{targets} = ", item.code, names, indent)


def _loop(loop: Loop, names: Mapping[Tensor, str]) -> list[str]:
    first, results = [names[t] for t in loop.first], [names[t] for t in loop.results]
    lines = [f"    {result} = {begin}" for result, begin in zip(results, first, strict=True) if result != begin]
    order = dict(zip((at for _, at in loop.carried), results, strict=True))
    targets = ", ".join(order.get(at, "_") for at in range(len(loop.calls[-1].targets)))
    call = text.statement(f"{targets} = ", block_loops.call_of(loop), names, indent=8)
    return [*lines, f"    for {loop.head}:", call]


def as_statement(item: Statement | Loop) -> Statement:
    """Returns a statement that reads and gives what a loop does, for the names."""
    if isinstance(item, Statement):
        return item
    options = {f"carried_{at}": at for at in range(len(item.carried))}
    code = expressions.call(naming.BLOCK, *map(Operand, (*item.first, *item.fixed)), **options)
    return Statement(item.results, code, item.calls[0].scope)
