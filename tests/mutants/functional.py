"""Changes to export_v1/passes/functional, each of which a test has to notice."""

from tests.mutants.change import Change

_PASS = "export_v1/passes/functional/"
_ARRAYS = (
    "tests/export_v1/passes/functional/test_array_ops.py",
    "tests/export_v1/passes/functional/test_array_ops_kept.py",
)
_PARTS = ("tests/export_v1/passes/functional/test_parts.py", "tests/export_v1/passes/functional/test_bounds.py")
_ROWS = ("tests/export_v1/passes/functional/test_rows.py",)
_EDGES = ("tests/export_v1/passes/functional/test_edges.py",)


def _change(module: str, before: str, after: str, tests: tuple[str, ...], why: str = "") -> Change:
    return Change(f"{_PASS}{module}.py", before, after, tests, why)


CHANGES = (
    _change("loops", "if source.node not in switches or source.index != 0:", "if source.node not in switches:", _EDGES),
    _change("loops", "if source.node not in switches or source.index != 0:", "if False:", _EDGES),
    _change(
        "loops", 'Identity", [f"{node.name}:{at + 2}", *controls], T', 'Identity", [f"{node.name}:{at + 2}"], T', _EDGES
    ),
    _change("loops", "            if control not in loop.members:\n", "            if False:\n", _EDGES),
    _change("loops", "if name in cond.nodes and name in body.nodes:", "if False:", _EDGES),
    _change(
        "loops",
        "for enter in [*loop.constants, *(variable.enter for variable in loop.variables)]:",
        "for enter in loop.constants:",
        _EDGES,
    ),
    _change(
        "loops",
        "for enter in [*loop.constants, *(variable.enter for variable in loop.variables)]:",
        "for enter in [variable.enter for variable in loop.variables]:",
        _EDGES,
    ),
    _change("loops", "            if len(conditions) > 1:\n", "            if False:\n", _EDGES),
    _change("loops", '            elif "NextIteration" in ends:\n', "            elif False:\n", _EDGES),
    _change("loops", 'nodes[name].attr["parallel_iterations"].i or loop.parallel', "loop.parallel", _EDGES),
    _change("loops", 'op = "While" if effects else "StatelessWhile"', 'op = "StatelessWhile"', _EDGES),
    _change("loops", '*("^" + control for control in captures.controls)', "", _EDGES),
    _change("loops", 'node.attr["_num_original_outputs"].i = len(inputs)', "pass", _EDGES),
    _change("loops", 'node.attr["_lower_using_switch_merge"].b = True', "pass", _EDGES),
    _change("loops", "loop.exits[name] = switches[source.node]", "loop.exits[name] = 0", _EDGES),
    _change("loops", 'constant(f"{name}/one", 1,', 'constant(f"{name}/one", 2,', _EDGES),
    _change("loops", 'f"{name}/start", taken), 0,', 'f"{name}/start", taken), 1,', _EDGES),
    _change("conditions", "    if not seen & set(condition.merges):\n", "    if True:\n", _EDGES),
    _change(
        "conditions", "    if effects and condition.merges[0] in blocked:\n        return [condition]\n", "", _EDGES
    ),
    _change("conditions", "    if effects:\n        raise", "    if False:\n        raise", _EDGES),
    _change(
        "conditions", 'own = [edge for edge in region.nodes[merge].input if edge.startswith("^")]', "own = []", _EDGES
    ),
    _change(
        "conditions",
        "captures.controls.update(dict.fromkeys(graph.control_inputs(region.nodes[switch])))",
        "pass",
        _EDGES,
    ),
    _change(
        "conditions",
        "if name in region.nodes and regions.stateful(region.nodes[name]):",
        "if False:",
        _EDGES,
    ),
    _change("conditions", "found.resolved[merge][1][side],\n", "side,\n", _EDGES),
    _change(
        "conditions",
        '{"then_branch": parts[1], "else_branch": parts[0]}',
        '{"then_branch": parts[0], "else_branch": parts[1]}',
        _EDGES,
    ),
    _change("conditions", 'if f"{m}:1" in keep or m in ledger.indexed', "if m in ledger.indexed", _EDGES),
    _change("conditions", 'if f"{m}:1" in keep or m in ledger.indexed', 'if f"{m}:1" in keep', _EDGES),
    _change(
        "conditions", "            touched |= members\n", "            touched |= members\n            break\n", _ROWS
    ),
    _change("conditions", "not ledger.is_before(name, condition.merges)", "True", _ROWS),
    _change("conditions", "self._rank[name] < min(", "self._rank[name] < max(", _ROWS),
    _change(
        "conditions",
        'make(name, "IdentityN", [edge, position, *controls])',
        'make(name, "IdentityN", [edge, position])',
        _EDGES,
    ),
    _change("conditions", "    if loop_ops:\n", "    if False:\n", _EDGES),
    _change(
        "region",
        "            captures.controls[tensor.node] = None\n            return None\n",
        "            return None\n",
        _EDGES,
    ),
    _change("contexts", "    if len(alive) > 2:\n", "    if False:\n", _EDGES),
    _change(
        "contexts",
        "    if len(opposite) == 1:\n",
        "    if opposite or True:\n        opposite = opposite or [next(iter(one))]\n",
        _EDGES,
    ),
    _change("convert", "            if fetched:\n", "            if False:\n", _EDGES),
    _change("convert", "    if left and not blocked:\n", "    if False:\n", _EDGES),
    _change("convert", "_drop_idle(region, keep | sinks)", "_drop_idle(region, keep)", _EDGES),
    _change("convert", "    _drop_idle(region, keep | sinks)\n", "", _EDGES),
    _change("region", 'Unconvertible(construct, f"in it, {self}")', "self", _EDGES),
    _change("emit", "function.signature.is_stateful = True\n", "pass\n", _EDGES),
    _change("emit", "function.control_ret[name] = name\n", "pass\n", _EDGES),
    _change("tensor_arrays", "if known and len(known) < len(inputs):", "if False:", _ARRAYS),
    _change("tensor_arrays", "for table in (trace.handles, trace.flows):", "for table in (trace.flows,):", _ARRAYS),
    _change("tensor_arrays", "if flow is not None and inputs[flow] not in trace.flows:", "if False:", _ARRAYS),
    _change("tensor_arrays", "        if tensor in keep:\n", "        if False:\n", _ARRAYS),
    _change("tensor_arrays", "            if node.name in frozen:\n", "            if False:\n", _ARRAYS),
    _change("tensor_arrays", ' and not (node.op == "Switch" and position == 1)', "", _ARRAYS),
    _change("tensor_arrays", 'trace.faults[array] = f"{node.name} ({node.op}) uses it"', "pass", _ARRAYS),
    _change("tensor_arrays", "if edge not in gone]", "]", _ARRAYS),
    _change("tensor_arrays", 'node.attr["T"].type = types_pb2.DT_VARIANT', "pass", _ARRAYS),
    _change("tensor_arrays", "            trace.join(table[tensor], array)\n", "", _ARRAYS),
    _change(
        "array_ops",
        "    return not array.dynamic and any(\n",
        "    return any(\n",
        _ARRAYS,
        "grown: more than was made",
    ),
    _change(
        "array_ops",
        "(array.read_only or _same(region, limit, _size_edge(region, source.node)))",
        "True",
        _ARRAYS,
        "fewer rows than there is room for",
    ),
    _change("array_ops", "(array.read_only or _same(", "(_same(", _ARRAYS),
    _change("array_ops", "len(writers) == 1 and not others", "not others", _ARRAYS),
    _change("array_ops", "len(writers) == 1 and not others", "len(writers) == 1", _ARRAYS),
    _change(
        "array_ops",
        "start is not None and step is not None and start == 0 and step == 1",
        "start is not None and step is not None and step == 1",
        _ARRAYS,
    ),
    _change(
        "array_ops",
        "start is not None and step is not None and start == 0 and step == 1",
        "start is not None and step is not None and start == 0",
        _ARRAYS,
    ),
    _change("array_ops", "    if dict(first.attr) != dict(second.attr):\n        return False\n", "", _ARRAYS),
    _change("array_ops", "or a.index != b.index or", "or", _ARRAYS),
    _change(
        "array_ops",
        'if regions.stateful(first) or first.op in ("Placeholder",',
        'if first.op in ("Placeholder",',
        _ARRAYS,
    ),
    _change("array_ops", 'first.op in ("Placeholder", "Merge",', 'first.op in ("Merge",', _ARRAYS),
    _change(
        "array_ops",
        "    return all(_same(region, x.edge, y.edge, depth - 1) for x, y in zip(left, right, strict=True))",
        "    return True",
        _ARRAYS,
    ),
    _change("array_ops", "        return made in array.names\n", "        return True\n", _ARRAYS),
    _change("array_ops", 'if node.op in ("TensorArraySizeV3", "TensorListLength"):', "if False:", _ARRAYS),
    _change("array_ops", "if array.dynamic else node.name\n", "\n", _ARRAYS),
    _change(
        "array_ops",
        '[made, regions.make(node.name, "TensorListResize", [name, node.input[0]])] if array.dynamic else [made]',
        "[made]",
        _ARRAYS,
    ),
    _change(
        "array_ops",
        '.attr["resize_if_index_out_of_bounds"].b = array.dynamic',
        '.attr["resize_if_index_out_of_bounds"].b = True',
        _ARRAYS,
    ),
    _change(
        "array_ops",
        'any(region.nodes[m].attr["dynamic_size"].b for m in members)',
        'first.attr["dynamic_size"].b',
        _ARRAYS,
    ),
    _change("array_ops", "[array.shape_node, node.input[0], *controls]", "[array.shape_node, node.input[0]]", _ARRAYS),
    _change(
        "array_ops",
        "[edges[2], edges[1], array.shape_node, *controls]",
        "[edges[2], edges[1], array.shape_node]",
        _ARRAYS,
    ),
    _change("array_ops", "[edges[3], edges[1], edges[2], *controls]", "[edges[3], edges[1], edges[2]]", _ARRAYS),
    _change("array_ops", '"TensorListLength", [edges[1], *controls]', '"TensorListLength", [edges[1]]', _ARRAYS),
    _change("array_ops", '"NoOp", controls', '"NoOp", []', _ARRAYS),
    _change(
        "array_ops",
        '"TensorListStack", [edges[2], array.shape_node, *controls]',
        '"TensorListStack", [edges[2], array.shape_node]',
        _ARRAYS,
    ),
    _change(
        "array_ops",
        '"TensorListFromTensor",\n                [edges[2], array.shape_node, *controls]',
        '"TensorListFromTensor",\n                [edges[2], array.shape_node]',
        _ARRAYS,
    ),
    _change("array_ops", "[edges[3], edges[2], edges[1], *controls]", "[edges[3], edges[2], edges[1]]", _ARRAYS),
    _change(
        "array_ops",
        "[edges[1], array.shape_node, edges[2], *controls]",
        "[edges[1], array.shape_node, edges[2]]",
        _ARRAYS,
    ),
    _change(
        "array_ops",
        "[edges[1], shape_node.name, none.name, *controls]",
        "[edges[1], shape_node.name, none.name]",
        _ARRAYS,
    ),
    _change(
        "array_ops",
        "shape = None if rest is None or rest.unknown_rank else [None,",
        "shape = None if True else [None,",
        _ARRAYS,
    ),
    _change("array_ops", "    if source.node not in array.names or source.index != 1:\n", "    if False:\n", _ARRAYS),
    _change("array_ops", '+ [n for n in uses if n.op == "TensorArrayGatherV3"]', "", _ARRAYS),
    _change(
        "array_ops",
        "value = -1 if shape is None else [-1 if size is None else size for size in shape]",
        "value = -1",
        _ARRAYS,
    ),
    _change(
        "array_ops",
        "found = shape if found is None else found.most_specific_compatible_shape(shape)",
        "found = shape",
        _ARRAYS,
    ),
    _change(
        "array_ops",
        "found = shape if found is None else found.most_specific_compatible_shape(shape)",
        "found = found or shape",
        _ARRAYS,
    ),
    _change(
        "array_ops", 'return shape[1:] if node.op != "TensorListSplit" else', "return shape[1:] if True else", _ARRAYS
    ),
    _change(
        "array_ops",
        "    return [b if a is None else a for a, b in zip(known, sizes, strict=True)]",
        "    return known",
        _ARRAYS,
    ),
    _change(
        "element_shapes", "    if array.shape is not None and None not in array.shape:\n        return\n", "", _ARRAYS
    ),
    _change("element_shapes", "        reserve.input[0] = shape\n", "", _ARRAYS),
    _change("element_shapes", "                node.input[1] = shape\n", "                pass\n", _ARRAYS),
    _change("element_shapes", '{"Select": 1,', '{"Select": 1, "ConcatV2": 0,', _ARRAYS),
    _change("convert", "sum(len(array.names) for array in arrays)", "len(arrays)", _ARRAYS),
    _change(
        "convert",
        "frozen = {name for loop in loops.outermost(region, blocked) if loop.condition in blocked for name in loop.members}",
        "frozen = set()",
        _ARRAYS,
    ),
    _change("bounds", 'less.attr["T"].type == types_pb2.DT_INT32', "True", _PARTS),
    _change("bounds", "    if start == 0:\n        return limit\n", "    return limit\n", _PARTS),
    _change("bounds", "max(found, key=lambda entry: entry[0])", "found[0]", _PARTS),
    _change("bounds", 'if node.op == "Less":', 'if node.op in ("Less", "LessEqual"):', _PARTS),
    _change(
        "bounds",
        'if node.op in ("LogicalAnd", "Identity"):',
        'if node.op in ("LogicalAnd", "LogicalOr", "Identity"):',
        _PARTS,
    ),
    _change(
        "bounds",
        "return _scalar(outer, entering[edge]) if _scalar(body, other) == 1 else None",
        "return _scalar(outer, entering[edge])",
        _PARTS,
    ),
    _change("bounds", "return entering[edge] if following[edge] == edge else None", "return entering[edge]", _PARTS),
    _change("bounds", "step.input[1] if step.input[0] == edge else step.input[0]", "step.input[1]", _PARTS),
    _change("region", "node.ByteSize() <= COPIED_BYTES", "True", _PARTS),
    _change("region", "node.ByteSize() <= COPIED_BYTES", "False", _PARTS),
    _change(
        "region",
        "                copy.CopyFrom(node)\n                del copy.input[:]\n",
        "                copy.CopyFrom(node)\n",
        _PARTS,
    ),
    _change(
        "region", "read = {graph.parse(edge).node for part in parts for edge in part.results}", "read = set()", _PARTS
    ),
    _change("region", "            if arg not in read:\n", "            if False:\n", _PARTS),
    _change("region", "            if tensor.index >= 0:\n", "            if False:\n", _PARTS),
    _change("region", 'if node.op.startswith("TensorArray"):', "if False:", _PARTS),
    _change(
        "region", 'copy.input.extend(dict.fromkeys(edge for edge in edges if edge.startswith("^")))', "pass", _PARTS
    ),
    _change(
        "region",
        'dict.fromkeys(edge for edge in edges if edge.startswith("^"))',
        'edge for edge in edges if edge.startswith("^")',
        _PARTS,
    ),
    _change(
        "region",
        'node.op != "_Arg" and (definition is None or definition.is_stateful)',
        "definition is not None and definition.is_stateful",
        _PARTS,
    ),
    _change("region", "definition is None or definition.is_stateful", "definition is None", _PARTS),
    _change("region", 'and s not in done and nodes[s].op != "NextIteration"', "and s not in done", _PARTS),
    _change(
        "region",
        "reversed(sources) if s in nodes and s not in done",
        "reversed(sources) if s in nodes and s in done",
        _PARTS,
    ),
    _change("tidy", "    _drop_idle_controls(region)\n", "", _PARTS),
    _change("tidy", "    _skip_identities(region)\n", "", _PARTS),
    _change("tidy", "    _drop_dead(region)\n\n\ndef _drop_idle", "\n\ndef _drop_idle", _PARTS),
    _change("tidy", " or any(graph.parse(edge).node in effects for edge in node.input):", ":", _PARTS),
    _change("tidy", 'if node.op == "Identity" and len(node.input) == 1:', 'if node.op == "Identity":', _PARTS),
    _change("tidy", 'if node.op == "_Arg" or regions.stateful(node)]', 'if node.op == "_Arg"]', _PARTS),
    _change("tidy", 'if node.op == "_Arg" or regions.stateful(node)]', "if regions.stateful(node)]", _PARTS),
    _change("tidy", "    region.results = [skip(edge) for edge in region.results]\n", "", _PARTS),
    _change(
        "tidy",
        "for name, parts in region.bodies.items() if name in alive}",
        "for name, parts in region.bodies.items()}",
        _PARTS,
    ),
    _change("reads", '"ReadVariableOp", [edge, *waits]', '"ReadVariableOp", [edge]', _PARTS),
    _change("loops", "    if not controls:\n        return edge\n", "    return edge\n", _EDGES),
    _change("array_ops", "if not array.identical and any(", "if any(", _ARRAYS),
    _change("array_ops", "if not array.identical and any(", "if False and any(", _ARRAYS),
    _change("reads", '    batch_dims = node.attr["batch_dims"].i\n', "    batch_dims = 0\n", _PARTS),
    _change("reads", 'out_type=node.attr["out_type"].type', "out_type=types_pb2.DT_INT32", _PARTS),
    _change("reads", "        if len(dtypes) != 1:\n            continue\n", "", _PARTS),
    _change(
        "contexts",
        "            if result.setdefault(key, value) != value:\n                return None\n",
        "            result[key] = value\n",
        _PARTS,
    ),
    _change("contexts", "return context if context[key] == tensor.index else None", "return context", _PARTS),
    _change("contexts", "(alive[one[key]], alive[1 - one[key]])", "(alive[0], alive[1])", _PARTS),
    _change("contexts", "result.live[name] = alive[0]", "result.live[name] = 0", _PARTS),
    _change("contexts", "result.decided[name] = context[key]", "result.decided[name] = 1 - context[key]", _PARTS),
    _change(
        "contexts",
        'while tensor.node in region.nodes and region.nodes[tensor.node].op == "Identity":',
        "while False:",
        _PARTS,
    ),
    _change("contexts", "return _union([common, *edges[data:]])", "return _union([{}, *edges[data:]])", _PARTS),
    _change(
        "contexts",
        'if node.op == "Merge" and name not in opaque and len(edges) < len(node.input):',
        "if False:",
        _PARTS,
    ),
    _change("contexts", "or tensor.node in opaque or tensor.index < 0:", "or tensor.index < 0:", _PARTS),
    _change(
        "emit",
        'return f"{tensor.node}:{arg.name}:{tensor.index - at}"',
        'return f"{tensor.node}:{arg.name}:{tensor.index}"',
        _PARTS,
    ),
    _change(
        "emit", "size = len(node.attr[arg.type_list_attr].list.type) if arg.type_list_attr else 1", "size = 1", _PARTS
    ),
    _change("emit", "size = node.attr[arg.number_attr].i if arg.number_attr else size", "pass", _PARTS),
    _change("emit", 'function.arg_attr[at].attr["_output_shapes"].list.shape.append(shape.as_proto())', "pass", _PARTS),
    _change("emit", "    result.library.CopyFrom(original.library)\n", "", _PARTS),
    _change(
        "shapes",
        "shapes = [one.most_specific_compatible_shape(two) for one, two in zip(*branches, strict=True)]",
        "shapes = branches[0]",
        _PARTS,
    ),
    _change(
        "shapes", 'node.attr["output_shapes"].list.shape.extend(shape.as_proto() for shape in shapes)', "pass", _PARTS
    ),
    _change("shapes", "        except ValueError:\n", "        except KeyError:\n", _PARTS),
    _change(
        "shapes",
        "            shapes = relaxed\n",
        "            return shapes\n",
        ("tests/export_v1/passes/functional/test_functional.py::test_loop_variable_that_grows",),
    ),
)
