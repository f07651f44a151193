"""Whether a graph from a file holds together, asked before TensorFlow gets to see it.

Most of what is wrong with a damaged or a made-up graph is an error in TensorFlow, and becomes a LoadError here. What
would end the whole process, never end, or ask for terabytes has to be found before: nodes and functions that depend on
themselves, names that are there twice, tensors larger than any file that could hold them.
"""

import collections
import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf
from google.protobuf.message import DecodeError

from load_v2.errors import LoadError
from load_v2.program import subgraph

# A protobuf ends at 2 GiB, so no tensor that somebody saved in a graph is larger; only a made-up splat is.
_LARGEST = 2**31
# No node has more inputs or outputs than this, and TensorShape no more axes than that.
_MOST_ENDS, _MOST_AXES = 100_000, 254
_LOOPS_BACK = frozenset({"NextIteration", "RefNextIteration"})
_FAILURES = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, MemoryError),
    *(tf.errors.OpError, DecodeError),
)
_REMEDY = "It is damaged, or of another TensorFlow. Export again."
_COUNTS = frozenset({"N", "num_split", "num", "num_outputs"})


def check(graph_def: subgraph.GraphDef, path: str) -> None:
    """Checks that a graph holds together.

    Raises:
        LoadError: it does not; the first few faults.
    """
    found = [*_graph(graph_def), *_functions(graph_def.library)]
    if found:
        listed = "\n".join(f"    {one}" for one in found[:3])
        raise LoadError(f"The graph of {path!r} does not hold together:\n{listed}\n  It is damaged. Export again.")


@contextlib.contextmanager
def blamed(what: str) -> Iterator[None]:
    """Where the block fails on what is in a file, raises a LoadError that begins with `what` and has the reason."""
    try:
        yield
    except LoadError:
        raise
    except _FAILURES as error:
        raise LoadError(f"{what}: {reason(error)}\n  {_REMEDY}") from error


def reason(error: Exception) -> str:
    """Returns what an error says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # The fact stands before the line that names the node; what comes before both is about Python stacks.
    node = next((at for at, line in enumerate(lines) if line.startswith("[[{{node")), 0)
    said = lines[node - 1] if node else lines[0] if lines else ""
    kind = "" if isinstance(error, (ValueError, tf.errors.OpError)) else f"{type(error).__name__}: "
    return f"{kind}{said[:300]}"


def _graph(graph_def: subgraph.GraphDef) -> Iterator[str]:
    count = collections.Counter(node.name for node in graph_def.node)
    twice = [name for name, times in count.items() if times > 1 or not name]
    yield from (f"{count[name]} nodes have the name {name[:120]!r}" for name in twice)
    for node in subgraph.all_nodes(graph_def):
        yield from (f"node {node.name[:120]!r} ({node.op}) {what}" for what in _values(node))
    edges = {node.name: [subgraph.split(edge)[0] for edge in node.input] for node in graph_def.node}
    for name, needed in edges.items():
        yield from (
            f"node {name[:120]!r} reads {one[:120]!r}, which is not there" for one in needed if one not in edges
        )
    loops = {node.name for node in graph_def.node if node.op in _LOOPS_BACK}
    around = _unordered(
        {name: [one for one in needed if one in edges and one not in loops] for name, needed in edges.items()}
    )
    if around and not twice:
        yield f"nodes depend on themselves: {', '.join(repr(name[:120]) for name in around[:5])}"


def _values(node: subgraph.NodeDef) -> Iterator[str]:
    for key, value in node.attr.items():
        if key in _COUNTS and not 0 <= value.i <= _MOST_ENDS:
            yield f"has an attribute {key!r} of {value.i}"
        shapes = [value.shape] if value.HasField("shape") else value.list.shape
        if any(dim.size < -1 or dim.size > 2**56 for shape in shapes for dim in shape.dim):
            yield f"has an attribute {key!r} with an impossible shape"
        tensors = [value.tensor] if value.HasField("tensor") else value.list.tensor
        for tensor in tensors:
            sizes = [dim.size for dim in tensor.tensor_shape.dim]
            if (
                any(size < 0 for size in sizes)
                or len(sizes) > _MOST_AXES
                or math.prod(sizes) * _size(tensor) > _LARGEST
            ):
                yield f"has an attribute {key!r} with a tensor of shape {sizes[:8]}"


def _size(tensor) -> int:
    try:
        return max(tf.as_dtype(tensor.dtype).size or 1, 1)
    except (TypeError, KeyError):
        return 1


def _functions(library) -> Iterator[str]:
    names = collections.Counter(function.signature.name for function in library.function)
    yield from (f"two functions have the name {name!r}" for name in sorted(one for one in names if names[one] > 1))
    gradients = {one.function_name: one.gradient_func for one in library.gradient}
    calls = {}
    for function in library.function:
        called = {name for node in function.node_def for name in subgraph.called(node)}
        called |= {gradients[name] for name in (*called, function.signature.name) if name in gradients}
        calls[function.signature.name] = [name for name in called if name in names]
    yield from (f"function {name!r} calls itself" for name in _unordered(calls)[:3])


def _unordered(needed: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns the names that depend on themselves, or on one that does.

    >>> _unordered({"a": ["b"], "b": ["a"], "c": []})
    ['a', 'b']
    """
    waiting = {name: len(names) for name, names in needed.items()}
    readers = collections.defaultdict(list)
    for name, names in needed.items():
        for one in names:
            readers[one].append(name)
    ready = [name for name, count in waiting.items() if not count]
    while ready:
        name = ready.pop()
        del waiting[name]
        for reader in readers[name]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    return list(waiting)
