"""Graphs that are well-formed protobufs and nonsense all the same."""

import functools
import random
from collections.abc import Callable

import tensorflow as tf
from tensorflow.core.framework import graph_pb2, types_pb2
from tensorflow.python.framework import op_def_registry

GraphDef = graph_pb2.GraphDef
_EXTREMES = (0, -1, 1, -(2**63), 2**63 - 1, 2**31, 2**40, 2**62)
_NAMES = ("", " ", "^x", "x:0", "../../x", "a" * 70_000, "\u2603", "_", "-", "/")


def _some(graph_def: GraphDef, rng: random.Random, has: Callable = bool):
    """Returns a node, more often one near the answers; they stand late in the graph and before the training ops."""
    nodes = [node for node in graph_def.node if has(node)] or list(graph_def.node)
    early = nodes[: max(len(nodes) // 3, 1)]
    return rng.choice(rng.choice((early, early, nodes)))


def _edge(graph_def, rng, edge: str):
    node = _some(graph_def, rng, lambda one: one.input)
    if node.input:
        node.input[rng.randrange(len(node.input))] = edge
    else:
        node.input.append(edge)


def dangling_input(graph_def, rng):
    _edge(graph_def, rng, rng.choice(("no/such/node", "^no/such/node", "", ":", "^", "x:y", "\u2603")))


def cycle(graph_def, rng):
    node = _some(graph_def, rng, lambda one: one.input)
    later = [one for one in graph_def.node if node.name in {edge.split(":")[0] for edge in one.input}] or [node]
    if node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice((node, *later)).name
    node.input.append(f"^{rng.choice(later).name}")


def other_input(graph_def, rng):
    _edge(graph_def, rng, rng.choice(graph_def.node).name)


def output_index(graph_def, rng):
    name = _some(graph_def, rng).name
    _edge(graph_def, rng, f"{name}:{rng.choice((1, 7, 2**31, 2**32, 2**64, '-1', '07'))}")


def input_count(graph_def, rng):
    node = _some(graph_def, rng, lambda one: one.input)
    if rng.random() < 0.5 and node.input:
        del node.input[rng.randrange(len(node.input))]
    else:
        node.input.extend([rng.choice(graph_def.node).name] * rng.choice((1, 2, 500)))


def control_first(graph_def, rng):
    node = _some(graph_def, rng, lambda one: one.input)
    node.input.insert(0, f"^{rng.choice(graph_def.node).name}")


def duplicate_name(graph_def, rng):
    node = _some(graph_def, rng)
    if rng.random() < 0.5:
        graph_def.node.add().CopyFrom(node)
    else:
        _some(graph_def, rng).name = node.name


def strange_name(graph_def, rng):
    _some(graph_def, rng).name = rng.choice(_NAMES)


def attribute_missing(graph_def, rng):
    node = _some(graph_def, rng, lambda one: one.attr)
    if node.attr:
        del node.attr[rng.choice(sorted(node.attr))]


def attribute_of_another(graph_def, rng):
    node, other = (_some(graph_def, rng, lambda one: one.attr) for _ in range(2))
    if node.attr and other.attr:
        value = other.attr[rng.choice(sorted(other.attr))]
        node.attr[rng.choice(sorted(node.attr))].CopyFrom(value)


def number_attribute(graph_def, rng):
    node = _some(graph_def, rng, lambda one: any(v.HasField("i") or v.list.i for v in one.attr.values()))
    for value in node.attr.values():
        if value.HasField("i"):
            value.i = rng.choice(_EXTREMES)
        elif value.list.i:
            value.list.i[rng.randrange(len(value.list.i))] = rng.choice(_EXTREMES)


def wrong_type(graph_def, rng):
    node = _some(graph_def, rng, lambda one: any(v.HasField("type") for v in one.attr.values()))
    keys = [key for key in sorted(node.attr) if node.attr[key].HasField("type")]
    if keys:
        node.attr[rng.choice(keys)].type = rng.choice((*types_pb2.DataType.values(), 999))


def _is_shaped(node):
    return any(value.HasField("shape") or value.HasField("tensor") for value in node.attr.values())


def huge_shape(graph_def, rng):
    node = _some(graph_def, rng, _is_shaped)
    for value in node.attr.values():
        shape = (
            value.shape if value.HasField("shape") else value.tensor.tensor_shape if value.HasField("tensor") else None
        )
        if shape is not None:
            del shape.dim[:]
            for _ in range(rng.choice((1, 2, 3, 300))):
                shape.dim.add(size=rng.choice(_EXTREMES))


def constant_content(graph_def, rng):
    node = _some(graph_def, rng, lambda one: one.op == "Const")
    if "value" not in node.attr:
        return
    tensor = node.attr["value"].tensor
    content = tensor.tensor_content or b"1234"
    tensor.tensor_content = rng.choice((content[:-1], content * 3, b"", rng.randbytes(len(content))))
    if rng.random() < 0.3:
        tensor.dtype = rng.choice(types_pb2.DataType.values())


def unknown_op(graph_def, rng):
    _some(graph_def, rng).op = rng.choice(("NoSuchOp", "", "_Retval", "matmul", "\u2603"))


def other_op(graph_def, rng):
    _some(graph_def, rng).op = rng.choice(_ops())


@functools.cache
def _ops() -> list[str]:
    return sorted(op for op in dir(tf.raw_ops) if op_def_registry.get(op) is not None)


def _ends(op: str) -> tuple[int, int]:
    definition = op_def_registry.get(op)
    return len(definition.input_arg), len(definition.output_arg)


def any_op_in_between(graph_def, rng):
    """An op of the same signature in the place of another; its kernel gets what it never expected."""
    node = _some(graph_def, rng, lambda one: one.input)
    if op_def_registry.get(node.op) is None:
        return
    node.op = rng.choice([op for op in _ops() if _ends(op) == _ends(node.op)] or _ops())
    for attr in op_def_registry.get(node.op).attr:
        if attr.name in node.attr or attr.HasField("default_value"):
            continue
        if attr.type == "type":
            node.attr[attr.name].type = types_pb2.DT_FLOAT
        elif attr.type == "int":
            node.attr[attr.name].i = rng.choice(_EXTREMES)
        elif attr.type == "shape":
            node.attr[attr.name].shape.dim.add(size=rng.choice(_EXTREMES))
        elif attr.type == "list(int)":
            node.attr[attr.name].list.i.extend([rng.choice(_EXTREMES)] * 4)


def _function(graph_def, name: str, calls: str):
    function = graph_def.library.function.add()
    function.signature.name = name
    function.signature.input_arg.add(name="x", type=types_pb2.DT_FLOAT)
    function.signature.output_arg.add(name="y", type=types_pb2.DT_FLOAT)
    inner = function.node_def.add(name="again", op=calls, input=["x"])
    if calls == "PartitionedCall":
        inner.attr["f"].func.name = name
        inner.attr["Tin"].list.type.append(types_pb2.DT_FLOAT)
        inner.attr["Tout"].list.type.append(types_pb2.DT_FLOAT)
    function.ret["y"] = "again:output:0" if calls == "PartitionedCall" else "again:y:0"


def recursive_function(graph_def, rng):
    way = rng.choice(("itself", "partitioned", "mutual", "gradient"))
    _function(graph_def, "around", {"partitioned": "PartitionedCall", "mutual": "about"}.get(way, "around"))
    if way == "mutual":
        _function(graph_def, "about", "around")
    if way == "gradient":
        graph_def.library.gradient.add(function_name="around", gradient_func="around")
    _called(graph_def, rng, "around")


def _called(graph_def, rng, function: str):
    node = _some(
        graph_def, rng, lambda one: one.op in ("Relu", "Identity", "MatMul", "BiasAdd", "Tanh", "Add", "Softmax")
    )
    own = f"{node.name}/inner"
    copy = graph_def.node.add()
    copy.CopyFrom(node)
    copy.name = own
    node.Clear()
    node.name, node.op = own.removesuffix("/inner"), function
    node.input.append(own)


def damaged_function(graph_def, rng):
    """A function that is called and whose body does not hold together."""
    _function(graph_def, "bad", rng.choice(("Identity", "NoSuchOp", "MatMul")))
    function = graph_def.library.function[-1]
    damage = rng.randrange(4)
    if damage == 0:
        function.node_def[0].input[0] = rng.choice(("nothing:0", "again:y:0", ""))
    elif damage == 1:
        function.ret["y"] = rng.choice(("nothing:y:0", "", "x:9"))
    elif damage == 2:
        function.signature.output_arg[0].type = rng.choice(types_pb2.DataType.values())
    else:
        function.node_def.add().CopyFrom(function.node_def[0])
    _called(graph_def, rng, "bad")


def very_deep(graph_def, rng):
    node = _some(
        graph_def, rng, lambda one: one.input and one.op in ("Relu", "BiasAdd", "MatMul", "Identity", "Softmax")
    )
    if not node.input:
        return
    before = node.input[0]
    count = rng.choice((100, 3000, 20_000))
    for at in range(count):
        one = graph_def.node.add(name=f"deep_{at}", op="Identity", input=[before])
        one.attr["T"].type = types_pb2.DT_FLOAT
        before = one.name
    node.input[0] = before


def control_flow_ops(graph_def, rng):
    node = _some(graph_def, rng, lambda one: one.input)
    node.op = rng.choice(
        ("Enter", "Exit", "NextIteration", "Switch", "Merge", "LoopCond", "While", "If", "PartitionedCall")
    )


def versions(graph_def, rng):
    graph_def.versions.producer = rng.choice((0, 1, 8, 10**6, -5, 2**31 - 1))
    graph_def.versions.min_consumer = rng.choice((0, 0, 10**6))
    graph_def.versions.bad_consumers.extend(rng.choice(([], [graph_def.versions.producer], [2000])))


def shuffled(graph_def, rng):
    nodes = list(graph_def.node)
    rng.shuffle(nodes)
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph_def.node[:]
    graph_def.node.extend(copies)


def place(graph_def, rng):
    _some(graph_def, rng).device = rng.choice(("/gpu:9", "nonsense", "/job:w/task:7", "\u2603"))


ALL = (
    dangling_input, cycle, other_input, output_index, input_count, control_first, duplicate_name, strange_name,
    attribute_missing, attribute_of_another, number_attribute, wrong_type, huge_shape, constant_content, unknown_op,
    other_op, any_op_in_between, recursive_function, damaged_function, very_deep, control_flow_ops, versions, shuffled,
    place,
)  # fmt: skip


def any_of(graph_def: GraphDef, rng: random.Random) -> str:
    """Changes a graph in one way, now and then in two or three; returns what was done."""
    done = [rng.choice(ALL) for _ in range(rng.choice((1, 1, 1, 2, 3)))]
    for mutate in done:
        mutate(graph_def, rng)
    return "+".join(mutate.__name__ for mutate in done)
