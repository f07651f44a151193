"""A graph's functions: which are called, whether they hold together, and how large they are once they are inlined."""

import collections
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping

from export_v1 import errors
from export_v1.ir import graph, ops, ordering, rewrite

# TensorFlow puts functions in the place of their calls, and follows the calls without counting. A graph may become this
# many nodes or bytes by that, or this many times what is written in it.
MOST_NODES, MOST_BYTES = 50_000, 2**28
MOST_TIMES = 10
# No program nests them so deep; TensorFlow follows them by recursion, and step 1 once for each level.
MOST_DEEP = 50


def problems(library) -> list[str]:
    """Returns what is wrong with a FunctionDefLibrary, one sentence each; empty where nothing is.

    A function that calls itself, straight or by way of others, is wrong: no TensorFlow 1 program writes one, and
    TensorFlow's own passes do not come back from it.
    """
    names = collections.Counter(function.signature.name for function in library.function)
    twice = sorted(name for name, count in names.items() if count > 1 or not name)
    faults = [f"two functions have the name {name!r}" for name in twice]
    faults += [f"function {name!r} has the name of an op" for name in names if name and graph.op_def(name) is not None]
    for function in library.function:
        faults += [f"function {function.signature.name!r} {what}" for what in _body(function)]
    gradients = {gradient.function_name: gradient.gradient_func for gradient in library.gradient}
    calls = {}
    for function in library.function:
        called = {name for node in function.node_def for name in called_by(node)}
        called |= {gradients[name] for name in (*called, function.signature.name) if name in gradients}
        calls[function.signature.name] = [name for name in called if name in names]
    around = ordering.unordered(calls)
    return faults + [f"function {name!r} calls itself" for name in around if not twice][:3]


@dataclasses.dataclass(frozen=True)
class Body:
    """What a function does, as a graph: its arguments are placeholders.

    Attributes:
        graph_def: with the library of the graph that the function is from.
        arguments: one tensor for each.
        returned: one tensor for each.
    """

    graph_def: graph.GraphDef
    arguments: list[graph.Tensor]
    returned: list[graph.Tensor]


def body(graph_def: graph.GraphDef, name: str) -> Body:
    """Returns the body of a function of a graph's library as a graph of its own.

    Raises:
        KeyError: there is no such function, or it reads what is not in it.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    function, made = functions[name], rewrite.with_nodes(graph_def, ())
    signatures = {called: other.signature for called, other in functions.items()}
    tensors: dict[str, graph.Tensor] = {}
    for arg in function.signature.input_arg:
        made.node.add(name=arg.name, op="Placeholder").attr["dtype"].type = arg.type
        tensors[arg.name] = graph.Tensor(arg.name)
    for node in function.node_def:
        at = 0
        for output, count in graph.named_outputs(node, signatures):
            for each in range(count):
                tensors[f"{node.name}:{output}:{each}"] = graph.Tensor(node.name, at + each)
            at += count
    for node in function.node_def:
        copy = made.node.add()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(edge if edge.startswith("^") else tensors[_first_of(edge)].edge for edge in node.input)
    arguments = [graph.Tensor(arg.name) for arg in function.signature.input_arg]
    returned = [tensors[_first_of(function.ret[arg.name])] for arg in function.signature.output_arg]
    return Body(made, arguments, returned)


def _first_of(edge: str) -> str:
    """Returns an edge in a function with its position, which may be left out where it is the first."""
    return f"{edge}:0" if edge.count(":") == 1 else edge


def called_by(node) -> set[str]:
    """Returns the names of the functions that a node may call."""
    return set(_names(node))


def reachable(graph_def, nodes: Iterable | None = None) -> set[str]:
    """Returns names of the functions that nodes call, directly, through other functions or by a gradient.

    Args:
        graph_def: has the functions.
        nodes: some of the graph's; None: all of them.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    gradients = {gradient.function_name: gradient.gradient_func for gradient in graph_def.library.gradient}
    reached: set[str] = set()
    nodes = graph_def.node if nodes is None else nodes
    todo = [name for node in nodes for name in called_by(node)] if functions else []
    while todo:
        name = todo.pop()
        if name in reached or name not in functions:
            continue
        reached.add(name)
        todo.extend(callee for node in functions[name].node_def for callee in called_by(node))
        todo.extend([gradients[name]] if name in gradients else [])
    return reached


def check_size(graph_def, error: type[errors.UserError] = errors.ExportError) -> None:
    """Checks that a graph stays of a reasonable size when its functions take the place of their calls.

    Raises:
        UserError: it does not, or functions call one another without end, or too deep.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    if not functions:
        return
    calls = {name: _calls(function.node_def, functions) for name, function in functions.items()}
    if ordering.unordered({name: list(called) for name, called in calls.items()}):
        raise error("The graph's functions call one another without end.\n  No TensorFlow program writes such a graph.")
    order = list(_callees_first(calls))
    deep: dict[str, int] = {}
    for name in order:
        deep[name] = 1 + max((deep[callee] for callee in calls[name]), default=0)
    deepest = max(deep, key=deep.__getitem__)
    if deep[deepest] > MOST_DEEP:
        raise error(
            f"The graph's functions call one another {deep[deepest]:,} deep, from {deepest!r} on; at most {MOST_DEEP} are "
            "taken.\n  No TensorFlow program is known that writes such a graph; get it from its author anew."
        )
    called = _calls(graph_def.node, functions)
    for measure, unit, least in ((len, "nodes", MOST_NODES), (_bytes, "bytes", MOST_BYTES)):
        own = {name: measure(functions[name].node_def) for name in order}
        grown: dict[str, int] = {}
        for name in order:
            grown[name] = own[name] + sum(times * grown[callee] for callee, times in calls[name].items())
        outside = measure(graph_def.node)
        written = outside + sum(own.values())
        size = outside + sum(times * grown[name] for name, times in called.items())
        most = max(least, MOST_TIMES * written)
        if size > most:
            shown = f"{size:,}" if size < 10**15 else "more than 10^15"
            raise error(
                f"The graph's functions call one another so often that its {written:,} {unit} become {shown}; "
                f"at most {most:,} are taken.\n  No TensorFlow program is known that writes such a graph; get it from its "
                "author anew."
            )


def hidden_state(graph_def) -> list[str]:
    """Returns names of nodes in functions that make what nobody outside of them can hold: variables and tables.

    A table does not count in a function that is called and nothing else: its body stands in the graph in the end.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    if not functions:
        return []
    branching = rewrite.with_nodes(
        graph_def, (n for n in graph.all_nodes(graph_def) if n.op not in ops.CALLS and n.op not in functions)
    )
    kinds = ((reachable(graph_def), ops.VARIABLES), (reachable(branching), ops.TABLES | ops.REF_TABLES))
    return [
        node.name
        for name, function in functions.items()
        for node in function.node_def
        if any(name in within and node.op in made for within, made in kinds)
    ]


def _bytes(nodes) -> int:
    return sum(node.ByteSize() for node in nodes)


def _callees_first(calls: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Yields the names of functions, each once, after those that it calls; none calls itself."""
    done: set[str] = set()
    for root in calls:
        stack = [root]
        while stack:
            waiting = [callee for callee in calls[stack[-1]] if callee not in done]
            stack.extend(waiting)
            if not waiting:
                name = stack.pop()
                if name not in done:
                    done.add(name)
                    yield name


def _calls(nodes, functions) -> collections.Counter[str]:
    """Returns how often each function is called by some nodes."""
    called: collections.Counter[str] = collections.Counter()
    for node in nodes:
        called.update(name for name in _names(node) if name in functions)
    return called


def _names(node) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _body(function) -> Iterator[str]:
    nodes = {node.name: node for node in function.node_def}
    arguments = {arg.name for arg in function.signature.input_arg}
    if len(nodes) != len(function.node_def):
        yield "has two nodes of one name"
    for node in function.node_def:
        for edge in node.input:
            if not _is_there(edge, nodes, arguments):
                yield f"has a node {node.name!r} that reads {edge!r}, and there is no such thing in it"
    for arg in function.signature.output_arg:
        if not _is_there(function.ret.get(arg.name, ""), nodes, arguments):
            yield f"returns {arg.name!r}, which nothing in it makes"
    for node_name in function.control_ret.values():
        if node_name not in nodes:
            yield f"waits for a node {node_name!r}, and there is no such thing in it"
    for attr in function.signature.attr:
        # Whom such a function calls depends on who calls it, so it cannot be counted; TensorFlow ends the process over some.
        if attr.type in ("func", "list(func)"):
            yield f"takes a function, {attr.name!r}"
    declared = {attr.name for attr in function.signature.attr}
    for arg in (*function.signature.input_arg, *function.signature.output_arg):
        # TensorFlow ends the process over some of these.
        if arg.number_attr or arg.type_list_attr:
            yield f"has an argument or a result {arg.name!r} of several tensors"
        elif not arg.type and arg.type_attr not in declared:
            yield f"has an argument or a result {arg.name!r} of no type"
    loops = {name for name, node in nodes.items() if node.op in ops.WAYS_BACK}
    edges = {
        name: [
            source
            for source in (edge.lstrip("^").split(":")[0] for edge in node.input)
            if source in nodes and source not in loops
        ]
        for name, node in nodes.items()
    }
    if ordering.unordered(edges):
        yield "has nodes that depend on themselves"


def _is_there(edge: str, nodes, arguments: set[str]) -> bool:
    name, _, output = edge.lstrip("^").partition(":")
    if name in arguments:
        return True
    definition = graph.op_def(nodes[name].op) if name in nodes else None
    if definition is None or not output:
        return name in nodes
    return output.split(":")[0] in {arg.name for arg in definition.output_arg}
