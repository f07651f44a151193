"""Whether a graph is well formed, asked before TensorFlow sees it.

TensorFlow takes a graph from a file at its word. Much of what is wrong in a damaged or a made-up one ends in an error
there, but some of it in an abort of the whole process, a recursion without end, or an allocation of terabytes. What is
looked at here is what the passes and TensorFlow's importer rely on; what an op computes is not looked at.
"""

import collections
import contextlib
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from export_v1 import errors
from export_v1.console import colour
from export_v1.ir import graph, library, ops, ordering
from export_v1.ir.graph import GraphDef, NodeDef

# A protobuf ends at 2 GiB, so no tensor that somebody saved in a graph is larger; only a made-up splat is.
LARGEST = 2**31
# TensorShape holds no more axes than this.
_MOST_AXES = 254
_FIELDS = {"type": "type", "int": "i", "float": "f", "bool": "b", "string": "s", "shape": "shape", "tensor": "tensor",
           "func": "func"}  # fmt: skip
_REFERENCE = 100
# Fields of an attribute that may hold anything; None: it is empty.
_PLAIN = frozenset({"i", "f", "b", "s", "placeholder", None})
# Handles lead to whatever the process holds under a name, and what a variant is made of is not looked at by who uses it.
_HELD = frozenset({tf.resource, tf.variant})
_HANDLE = "a handle or a variant in it, which only a running program has"


def check(
    graph_def: GraphDef,
    place: str = "The graph",
    error: type[errors.UserError] = errors.ExportError,
    index: graph.Index | None = None,
) -> None:
    """Checks that a graph is well formed.

    Args:
        graph_def: the graph.
        place: what it is called in the message.
        error: class of the error.
        index: of the graph, where there is one already.

    Raises:
        UserError: it is not; the first few faults, each with its node. Of class `error`.
    """
    faults = problems(graph_def, index)
    if faults:
        raise error(fault(faults, place))


def check_names(meta_graph, place: str, error: type[errors.UserError] = errors.ExportError) -> None:
    """Checks that no name of a MetaGraphDef has a control character in it.

    TensorFlow gives no node such a name. A signature may have any; printed, it would move a terminal's cursor, or pass for
    a line of a report.

    Raises:
        UserError: one has; the first few. Of class `error`.
    """
    names = [repr(name[:120]) for name in _names(meta_graph) if colour.CONTROL.search(name)]
    if names:
        raise error(
            f"{place} has names with control characters in them: {', '.join(names[:3])}.\n"
            "  No program of TensorFlow's gives such names. If you trust where it comes from, have its author rename them."
        )


def _names(meta_graph) -> Iterator[str]:
    for key, signature in meta_graph.signature_def.items():
        yield key
        for info in (signature.inputs, signature.outputs):
            yield from info
    for node in meta_graph.graph_def.node:
        yield node.name
    for function in meta_graph.graph_def.library.function:
        yield function.signature.name
        for node in function.node_def:
            yield node.name


def fault(faults: list[str], place: str) -> str:
    """Returns the message for a graph with these problems."""
    shown = "\n".join(f"    {problem}" for problem in faults[:3])
    more = f"\n    … and {len(faults) - 3} more" if len(faults) > 3 else ""
    return (
        f"{place} is malformed:\n{shown}{more}\n"
        "  The file is damaged, or was changed by another tool; get a fresh copy of it."
    )


def problems(graph_def: GraphDef, index: graph.Index | None = None) -> list[str]:
    """Returns what is wrong with a graph, one sentence each; empty where nothing is."""
    names = collections.Counter(node.name for node in graph_def.node)
    wrong = [f"{count} nodes have the name {_short(name)}" for name, count in names.items() if count > 1 or not name]
    wrong += library.problems(graph_def.library)
    if wrong:
        return wrong
    index = graph.Index(graph_def) if index is None else index
    outputs: dict[str, list[int] | None] = {}
    for function in graph_def.library.function:
        place = f"in function {function.signature.name!r}"
        wrong += [
            f"node {_short(node.name)} ({_short(node.op)}) {place} {what}"
            for node in function.node_def
            for what in _values(node, _given(node))
        ]
    for name, node in index.nodes.items():
        given = _given(node)
        faults = [*_attributes(index.kinds[name], given), *_values(node, given)]
        outputs[name] = None if faults else _outputs(node, index)
        wrong += [f"node {_short(name)} ({_short(node.op)}) {what}" for what in faults]
    if wrong:
        return wrong
    for name, node in index.nodes.items():
        wrong += [f"node {_short(name)} ({node.op}) {what}" for what in _edges(node, index, outputs)]
    return wrong or _cycle(index)


def _short(name: str) -> str:
    return repr(name if len(name) <= 120 else name[:120] + "…")


def _is_op(node: NodeDef, index: graph.Index) -> bool:
    return node.op in index.functions or graph.op_def(node.op) is not None


def _outputs(node: NodeDef, index: graph.Index) -> list[int] | None:
    """Returns the types of a node's outputs, None where its op is not known (it may be of a library)."""
    return graph.output_types(node, index.functions) if _is_op(node, index) else None


class _Attribute(NamedTuple):
    """What an OpDef says of one attribute, taken out of the protobuf once."""

    name: str
    kind: str
    # The field of an AttrValue that holds it, and of its list; "" where there is none of that name.
    field: str
    listed: str
    has_default: bool
    minimum: int | None
    allowed: frozenset[int] | None


def _known(op: str) -> tuple[tuple[_Attribute, ...], frozenset[str]]:
    """Returns the attributes of an op, and those that say how many inputs or outputs there are; none of an unknown op."""
    return _of_registered(op) if graph.op_def(op) is not None else ((), frozenset())


@functools.cache
def _of_registered(op: str) -> tuple[tuple[_Attribute, ...], frozenset[str]]:
    # To read an OpDef anew for each node is most of the cost of looking at a large graph.
    definition = graph.op_def(op)
    attributes = (
        _Attribute(
            name=attr_def.name,
            kind=attr_def.type,
            field="list" if attr_def.type.startswith("list(") else _FIELDS.get(attr_def.type, ""),
            listed=_FIELDS.get(attr_def.type.removeprefix("list(").removesuffix(")"), "s"),
            has_default=attr_def.HasField("default_value"),
            minimum=attr_def.minimum if attr_def.has_minimum else None,
            allowed=frozenset(attr_def.allowed_values.list.type)
            if attr_def.type == "type" and attr_def.HasField("allowed_values")
            else None,
        )
        for attr_def in definition.attr
    )
    numbers = {arg.number_attr for arg in (*definition.input_arg, *definition.output_arg)} - {""}
    return tuple(attributes), frozenset(numbers)


# Key -> an attribute's value, and the name of the field that holds it.
_Given: TypeAlias = dict[str, tuple[graph.AttrValue, str | None]]


def _given(node: NodeDef) -> _Given:
    return {key: (value, value.WhichOneof("value")) for key, value in node.attr.items()}


def _attributes(op: str, attributes: _Given) -> Iterator[str]:
    for attribute in _known(op)[0]:
        if attribute.name not in attributes:
            if not attribute.has_default:
                yield f"has no attribute {attribute.name!r}"
            continue
        value, given = attributes[attribute.name]
        # A placeholder stands where a function takes the value from its caller.
        if attribute.field and given not in (attribute.field, "placeholder"):
            yield f"has an attribute {attribute.name!r} that is no {attribute.kind}"
        elif attribute.minimum is not None and _size(value, attribute) < attribute.minimum:
            yield f"has an attribute {attribute.name!r} that is less than {attribute.minimum}"
        elif attribute.allowed is not None and value.type not in attribute.allowed:
            yield f"has an attribute {attribute.name!r} of type {_type(value.type)}, which the op does not take"


def _size(value, attribute: _Attribute) -> int:
    return len(getattr(value.list, attribute.listed)) if attribute.field == "list" else value.i


@functools.lru_cache(maxsize=1024)
def _type(data_type: int) -> str:
    try:
        return tf.as_dtype(data_type).name
    except TypeError:
        return f"number {data_type}"


def _values(node: NodeDef, attributes: _Given) -> Iterator[str]:
    for key, (value, given) in attributes.items():
        if given in _PLAIN or key.startswith("_"):
            continue
        types: Sequence[int] = ()
        shapes: Sequence[Any] = ()
        tensors: Sequence[Any] = ()
        functions: Sequence[Any] = ()
        if given == "type":
            types = [value.type]
        elif given == "shape":
            shapes = [value.shape]
        elif given == "tensor":
            tensors = [value.tensor]
        elif given == "func":
            functions = [value.func]
        else:
            types, shapes, tensors = value.list.type, value.list.shape, value.list.tensor
            functions = value.list.func
        for function in functions:
            if any(inner.HasField("func") or inner.list.func for inner in function.attr.values()):
                yield f"gives the function {function.name!r} another one to call"
        for data_type in types:
            if _type(data_type).startswith("number"):
                yield f"has an attribute {key!r} of a type that there is not: {data_type}"
        for shape in shapes:
            if not _is_shape(shape):
                yield f"has an attribute {key!r} with an impossible shape"
        for tensor in tensors:
            what = _tensor(tensor)
            if what:
                yield f"has an attribute {key!r} with {what}"
    if node.op in ops.TABLES_FROM_FILE:
        # Its kernel reads beyond its memory where they are larger.
        for key in ("key_index", "value_index", "vocab_size", "offset"):
            if not -2 <= graph.attr(node, key).i < 2**31:
                yield f"has an attribute {key!r} of {graph.attr(node, key).i:,}"
    if node.op == "ParseTensor" and tf.as_dtype(graph.attr(node, "out_type").type) in _HELD:
        yield f"makes of a string {_HANDLE}"
    for number in _known(node.op)[1]:
        if not 0 <= graph.attr(node, number).i <= graph.MOST_ENDS:
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
    if dtype in _HELD:
        return _HANDLE
    size = dtype.size if dtype != tf.string else 8
    if count * size > LARGEST:
        return f"a tensor of {count * size:,} bytes"
    if tensor.tensor_content and dtype == tf.string:
        return "strings as plain bytes"
    if tensor.tensor_content and len(tensor.tensor_content) not in (count * size, -(-count // 2)):
        return f"{len(tensor.tensor_content):,} bytes for a tensor of {count * size:,}"
    given = max(len(getattr(tensor, field.name)) for field in tensor.DESCRIPTOR.fields if field.name.endswith("_val"))
    return f"{given:,} values for a tensor of {count:,}" if given > count * (2 if dtype.is_complex else 1) else ""


def _lost(node: NodeDef, index: graph.Index) -> str:
    """Returns which of a node's edges comes from nowhere, or after an edge that it may not come after."""
    waits = False
    for edge in node.input:
        tensor = graph.parse(edge)
        if tensor.node not in index:
            return f"reads {_short(edge)}, and there is no such node"
        if waits and tensor.index >= 0:
            return f"reads {_short(edge)} after a control edge"
        waits = waits or tensor.index < 0
    raise AssertionError(f"the edges of {node.name!r} are as they should be")


def _edges(node: NodeDef, index: graph.Index, outputs) -> Iterator[str]:
    data, controls = index.edges(node.name)
    nodes = index.nodes
    if (
        index.is_disordered(node.name)
        or not all(each.node in nodes for each in data)
        or not nodes.keys() >= {*controls}
    ):
        yield _lost(node, index)
        return
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


def _cycle(index: graph.Index) -> list[str]:
    loops = {name for name, op in index.kinds.items() if op in ops.WAYS_BACK}
    needed = {}
    for name in index.nodes:
        data, controls = index.edges(name)
        needed[name] = [each for each in (*(tensor.node for tensor in data), *controls) if each not in loops]
    unordered = ordering.unordered(needed)
    return [f"nodes depend on themselves: {errors.quoted(map(_shortened, unordered), 5)}"] if unordered else []


def _shortened(name: str) -> str:
    return name[:120]


@contextlib.contextmanager
def blamed(graph_defs: Callable[[], Iterable[GraphDef]], place: str) -> Iterator[None]:
    """Where the block fails on a malformed graph, says so instead.

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
            faults = problems(graph_def)
            if faults:
                raise errors.ExportError(fault(faults, place)) from error
        raise
