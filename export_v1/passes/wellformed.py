"""wellformed: whether a graph holds together, asked before TensorFlow gets to see it.

TensorFlow takes a graph from a file at its word. Much of what is wrong in a damaged or a made-up one ends in an error
there, but some of it in an abort of the whole process, a recursion without end, or an allocation of terabytes. What is
looked at here is what the passes and TensorFlow's importer rely on; what an op computes is not looked at.
"""

import collections
import contextlib
import math
from collections.abc import Callable, Iterable, Iterator

import tensorflow as tf

from export_v1 import errors, graph
from export_v1.graph import GraphDef, NodeDef
from export_v1.passes import functions, ordering

# A protobuf ends at 2 GiB, so no tensor that somebody saved in a graph is larger; only a made-up splat is.
LARGEST = 2**31
# TensorShape holds no more axes than this.
_MOST_AXES = 254
_FIELDS = {"type": "type", "int": "i", "float": "f", "bool": "b", "string": "s", "shape": "shape", "tensor": "tensor",
           "func": "func"}  # fmt: skip
_REFERENCE = 100


def check(graph_def: GraphDef, place: str = "The graph") -> None:
    """Checks that a graph holds together.

    Raises:
        ExportError: it does not; the first few faults, each with its node.
    """
    found = problems(graph_def)
    if found:
        raise fault(found, place)


def fault(found: list[str], place: str) -> errors.ExportError:
    """Returns the error for a graph with these problems."""
    shown = "\n".join(f"    {one}" for one in found[:3])
    more = f"\n    … and {len(found) - 3} more" if len(found) > 3 else ""
    return errors.ExportError(
        f"{place} does not hold together:\n{shown}{more}\n"
        "  The file is damaged, or was changed by another tool; get a fresh copy of it."
    )


def problems(graph_def: GraphDef) -> list[str]:
    """Returns what is wrong with a graph, one sentence each; empty where nothing is."""
    names = collections.Counter(node.name for node in graph_def.node)
    found = [f"{count} nodes have the name {_short(name)}" for name, count in names.items() if count > 1 or not name]
    found += functions.problems(graph_def.library)
    if found:
        return found
    index = graph.Index(graph_def)
    outputs: dict[str, list[int] | None] = {}
    for node in graph_def.node:
        told = [*_attributes(node), *_values(node)]
        outputs[node.name] = None if told else _outputs(node, index)
        found += [f"node {_short(node.name)} ({_short(node.op)}) {what}" for what in told]
    if found:
        return found
    for node in graph_def.node:
        found += [f"node {_short(node.name)} ({node.op}) {what}" for what in _edges(node, index, outputs)]
    return found or _cycle(graph_def)


def _short(name: str) -> str:
    return repr(name if len(name) <= 120 else name[:120] + "…")


def _is_op(node: NodeDef, index: graph.Index) -> bool:
    return node.op in index.functions or graph.op_def(node.op) is not None


def _outputs(node: NodeDef, index: graph.Index) -> list[int] | None:
    """Returns the types of a node's outputs, None where its op is not known (it may be of a library)."""
    return graph.output_types(node, index.functions) if _is_op(node, index) else None


def _attributes(node: NodeDef) -> Iterator[str]:
    definition = graph.op_def(node.op)
    for one in definition.attr if definition else ():
        if one.name not in node.attr:
            if not one.HasField("default_value"):
                yield f"has no attribute {one.name!r}"
            continue
        value = node.attr[one.name]
        field = "list" if one.type.startswith("list(") else _FIELDS.get(one.type)
        # A placeholder stands where a function takes the value from its caller.
        if field and value.WhichOneof("value") != field and not (value.WhichOneof("value") == "placeholder"):
            yield f"has an attribute {one.name!r} that is no {one.type}"
        elif one.has_minimum and (len(_listed(value, one.type)) if field == "list" else value.i) < one.minimum:
            yield f"has an attribute {one.name!r} that is less than {one.minimum}"
        elif one.type == "type" and one.HasField("allowed_values") and not _is_allowed(value.type, one):
            yield f"has an attribute {one.name!r} of type {_type(value.type)}, which the op does not take"


def _is_allowed(data_type: int, one) -> bool:
    return data_type in one.allowed_values.list.type


def _listed(value, kind: str):
    return getattr(value.list, _FIELDS.get(kind.removeprefix("list(").removesuffix(")"), "s"))


def _type(data_type: int) -> str:
    try:
        return tf.as_dtype(data_type).name
    except TypeError:
        return f"number {data_type}"


def _values(node: NodeDef) -> Iterator[str]:
    for key, value in node.attr.items():
        if key.startswith("_"):
            continue
        for data_type in (*([value.type] if value.HasField("type") else []), *value.list.type):
            if _type(data_type).startswith("number"):
                yield f"has an attribute {key!r} of a type that there is not: {data_type}"
        for shape in (*([value.shape] if value.HasField("shape") else []), *value.list.shape):
            if not _is_shape(shape):
                yield f"has an attribute {key!r} with an impossible shape"
        for tensor in (*([value.tensor] if value.HasField("tensor") else []), *value.list.tensor):
            what = _tensor(tensor)
            if what:
                yield f"has an attribute {key!r} with {what}"
    definition = graph.op_def(node.op)
    for number in {arg.number_attr for arg in (*definition.input_arg, *definition.output_arg)} if definition else ():
        if number and not 0 <= graph.attr(node, number).i <= graph.MOST_ENDS:
            yield f"has an attribute {number!r} of {graph.attr(node, number).i}"


def _is_shape(shape) -> bool:
    sizes = [dim.size for dim in shape.dim]
    if len(sizes) > _MOST_AXES or any(size < -1 for size in sizes):
        return False
    return math.prod(size for size in sizes if size > 0) < 2**56


def _tensor(tensor) -> str:
    """Returns what is wrong with a TensorProto; "" where nothing is."""
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in sizes) or len(sizes) > _MOST_AXES:
        return "a tensor of no definite shape"
    if _type(tensor.dtype).startswith("number") or tensor.dtype == 0 or tensor.dtype > _REFERENCE:
        return f"a tensor of type number {tensor.dtype}"
    dtype, count = tf.as_dtype(tensor.dtype), math.prod(sizes)
    if dtype in (tf.resource, tf.variant):
        return ""
    size = dtype.size if dtype != tf.string else 8
    if count * size > LARGEST:
        return f"a tensor of {count * size:,} bytes"
    if tensor.tensor_content and dtype == tf.string:
        return "strings as plain bytes"
    if tensor.tensor_content and len(tensor.tensor_content) not in (count * size, -(-count // 2)):
        return f"{len(tensor.tensor_content):,} bytes for a tensor of {count * size:,}"
    given = max(len(getattr(tensor, field.name)) for field in tensor.DESCRIPTOR.fields if field.name.endswith("_val"))
    return f"{given:,} values for a tensor of {count:,}" if given > count * (2 if dtype.is_complex else 1) else ""


def _edges(node: NodeDef, index: graph.Index, outputs) -> Iterator[str]:
    data = []
    for at, edge in enumerate(node.input):
        tensor = graph.parse(edge)
        if tensor.node not in index:
            yield f"reads {_short(edge)}, and there is no such node"
            return
        if tensor.index >= 0 and at > len(data):
            yield f"reads {_short(edge)} after a control edge"
            return
        if tensor.index >= 0:
            data.append(tensor)
    if not _is_op(node, index):
        return
    function = index.functions.get(node.op)
    wanted = [arg.type for arg in function.input_arg] if function else graph.input_types(node)
    if len(wanted) != len(data):
        yield f"has {len(data)} inputs, its op takes {len(wanted)}"
        return
    for tensor, data_type in zip(data, wanted, strict=True):
        made = outputs[tensor.node]
        if made is None:
            continue
        if tensor.index >= len(made):
            yield f"reads {_short(tensor.name)}, and that node has {len(made)} outputs"
        elif made[tensor.index] % _REFERENCE != data_type % _REFERENCE and data_type:
            yield (
                f"reads {_short(tensor.name)} of type {_type(made[tensor.index])}, "
                f"where its op takes {_type(data_type)}"
            )


def _cycle(graph_def: GraphDef) -> list[str]:
    loops = {node.name for node in graph_def.node if node.op in ordering.LOOPS_BACK}
    rest = ordering.unordered(
        {
            node.name: [one for one in (graph.parse(edge).node for edge in node.input) if one not in loops]
            for node in graph_def.node
        }
    )
    return [f"nodes depend on themselves: {errors.quoted(map(_shortened, rest), 5)}"] if rest else []


def _shortened(name: str) -> str:
    return name[:120]


@contextlib.contextmanager
def blamed(graph_defs: Callable[[], Iterable[GraphDef]], place: str) -> Iterator[None]:
    """Where the block fails on a graph that does not hold together, says so instead.

    What no output needs may be as it likes, so nobody checks a whole graph beforehand; a walk over it may trip, though.

    Raises:
        ExportError: the block failed, and a graph has a fault that explains it.
    """
    try:
        yield
    except errors.ExportError:
        raise
    except Exception as error:
        for graph_def in graph_defs():
            found = problems(graph_def)
            if found:
                raise fault(found, place) from error
        raise
