"""Changes to the rebuild, each of which a test has to notice."""

from tests.mutants.change import Change

_LAYERS = ("tests/load_v2/opening/test_layers.py",)
_OPERATIONS = ("tests/load_v2/opening/test_operations.py",)
_PROOF = ("tests/load_v2/opening/test_proof.py",)
_WHOLE = ("tests/load_v2/opening/test_rebuilding.py",)
_LOOPS = ("tests/load_v2/opening/test_loops.py",)
_TRAINING = ("tests/load_v2/opening/test_training.py",)
_BLOCKS = ("tests/load_v2/opening/test_blocks.py",)
_RULES = ("tests/load_v2/opening/test_weight_rules.py",)

CHANGES = (
    Change(
        "load_v2/opening/printed.py",
        "        return 0.5 * x * (1.0 + ops.erf(x / 1.4142135))\n",
        "        return 0.5 * x * (1.0 + ops.erf(x * 1.4142135))\n",
        _LAYERS,
        why="gelu is another function",
    ),
    Change(
        "load_v2/opening/naming.py",
        '"ops", *printed.HELPERS, ',
        '"ops", ',
        _LAYERS,
        why="a value is called as a function that the code defines",
    ),
    Change(
        "load_v2/opening/refusing.py",
        "                todo += [reader.name for reader, _ in index.consumers(name)]\n",
        "",
        _WHOLE,
        why="a piece without code is told in several",
    ),
    Change(
        "load_v2/opening/rebuilding.py",
        " + len({refusal.node for refusal in refused})",
        "",
        _WHOLE,
        why="what has no code is not counted among the nodes",
    ),
    Change(
        "load_v2/opening/blocks.py",
        "    results = tuple(place for tensor, place in inside.items() if tensor in later or tensor in sequence.ends)\n",
        "    results = tuple(place for tensor, place in inside.items() if tensor in later)\n",
        _BLOCKS,
        why="a block does not return what the model gives",
    ),
    Change(
        "load_v2/opening/block_loops.py",
        "            if target in ends or reads.get(target, []) != [begin + number + 1]:",
        "            if target in ends:",
        _BLOCKS,
        why="a loop hands on what others read, too",
    ),
    Change(
        "load_v2/opening/weight_rules.py",
        "            if value.shape == held.shape and np.allclose(value, held, rtol=1e-6, atol=1e-7):",
        "            if False:",
        _RULES,
        why="no rule is taken for right",
    ),
    Change(
        "load_v2/opening/proof.py",
        "        if not compared.equal:\n            return str(compared)\n",
        "",
        _PROOF,
        why="nothing is ever different",
    ),
    Change(
        "load_v2/opening/patterns/dense.py",
        "kernel = np.ascontiguousarray(kernel.T) if second else kernel",
        "kernel = np.ascontiguousarray(kernel)",
        _LAYERS,
        why="a transposed square kernel",
    ),
    Change(
        "load_v2/opening/context.py",
        "        return self.graph.readers(tensor) == 1",
        "        return True",
        _LAYERS,
        why="a layer swallows what others read",
    ),
    Change(
        "load_v2/opening/operations/elementwise.py",
        'if symbol == "+" and _looks_like_bias(context, right) and not _looks_like_bias(context, left):',
        "if False:",
        _OPERATIONS,
        why="Keras takes a number for each row for a bias",
    ),
    Change(
        "load_v2/opening/rebuilding.py",
        "            if not result.equal:\n",
        "            if False:\n",
        _WHOLE,
        why="a wrong model is returned",
    ),
    Change(
        "load_v2/opening/rebuilding.py",
        "refusals=(*written, *covered.refusals))",
        "refusals=covered.refusals)",
        _WHOLE,
        why="what inference writes is lost in silence",
    ),
    Change(
        "load_v2/opening/loops/unrolled.py",
        " and not _feeds_itself(context, chain)",
        "",
        _LOOPS,
        why="a decoder that reads what it has given is taken for a layer over a sequence",
    ),
    Change(
        "load_v2/opening/loops/unrolled.py",
        "    return _content(context, chain.steps[-1]) == _content(context, step)\n",
        "    return True\n",
        _LOOPS,
        why="steps with other weights go on in the same layer",
    ),
    Change(
        "load_v2/opening/loops/unrolled.py",
        '{"go_backwards": True}',
        "{}",
        _LOOPS,
        why="a sequence that is read backwards is read forwards",
    ),
    Change(
        "load_v2/opening/loops/cells.py",
        "    order = [0, 2, 1, 3]\n",
        "    order = [0, 1, 2, 3]\n",
        _LOOPS,
        why="the gates of the fused op in its own order",
    ),
    Change(
        "load_v2/opening/loops/printed_call.py",
        "        own = sorted(self._weights.values(), key=lambda weight: not self._is_trained(*weight[1:]))\n",
        "        own = sorted(self._weights.values(), key=lambda weight: self._is_trained(*weight[1:]))[:0]\n",
        _LOOPS,
        why="a loop's own weights are not filled",
    ),
    Change(
        "load_v2/opening/patterns/activations.py",
        "            sign = -1 if",
        "            sign = 1 if",
        _LAYERS,
        why="a leak of the other sign",
    ),
    Change(
        "load_v2/opening/patterns/activations.py",
        "len(shape) - (value.size == channels)",
        "len(shape) - 1",
        _LAYERS,
        why="one leak for all channels has the shape of one for each",
    ),
    Change(
        "load_v2/opening/patterns/attention.py",
        "            not math.isclose(scale * query.scale",
        "            False and math.isclose(scale * query.scale",
        _LAYERS,
        why="attention with another scale is taken for Keras's",
    ),
    Change(
        "load_v2/opening/proof.py",
        " or t in context.as_recorded",
        "",
        _LAYERS,
        why="a mask is proven with random numbers",
    ),
    Change(
        "load_v2/opening/patterns/scaling.py",
        "[int(axis) % rank for axis in at.reshape(-1)] != [rank - 1]",
        "False",
        _LAYERS,
        why="a sum over another axis is taken for a product with a vector",
    ),
    Change(
        "load_v2/opening/patterns/group_normalization.py",
        "            if len(given) > 1 or",
        "            if",
        _LAYERS,
        why="of two scales one is lost",
    ),
    Change(
        "load_v2/opening/operations/indexing.py",
        "return length - 1 - first, length - 1 - last, -step",
        "return length - first, length - last, -step",
        _OPERATIONS,
        why="a slice backwards is one place off",
    ),
    Change(
        "load_v2/opening/patterns/normalization.py",
        '                layer = context.notes.setdefault(("averages", id(layer)), printed.by_averages(layer))\n',
        "                pass\n",
        _TRAINING,
        why="averages that the graph keeps are moved in training",
    ),
    Change(
        "load_v2/opening/printed.py",
        "self.layer.moving_variance.assign_add(added / ops.maximum(count - 1.0, 1.0))",
        "pass",
        _TRAINING,
        why="the average of biased variances",
    ),
    Change(
        "load_v2/opening/training.py",
        '            return found["value"], 1 - share\n',
        '            return found["value"], share\n',
        _TRAINING,
        why="the momentum is the share that is moved",
    ),
    Change(
        "load_v2/opening/dropouts.py",
        '    return float(f"{rate:.6g}") if fits else None\n',
        '    return float(f"{rate:.6g}")\n',
        _TRAINING,
        why="a mask of another scale is taken for dropout",
    ),
    Change(
        "load_v2/opening/regularizers.py",
        "        if alone and found and _same_sums(",
        "        if alone and found or _same_sums(",
        _TRAINING,
        why="a penalty of a part of a variable, or of it twice",
    ),
    Change(
        "load_v2/opening/regularizers.py",
        "    l2 = (at_two - 2 * at_one) / (2 * squares)\n",
        "    l2 = (at_two - 2 * at_one) / squares\n",
        _TRAINING,
        why="twice the penalty",
    ),
)
