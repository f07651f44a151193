"""Changes to what is found out about a graph's dead branches and known values, each of which a test has to notice."""

from tests.mutants.change import Change

_FILE = "export_v1/analysis/liveness.py"
_TESTS = ("tests/export_v1/analysis/test_liveness.py",)


def _change(before: str, after: str, why: str = "") -> Change:
    return Change(_FILE, before, after, _TESTS, why)


CHANGES = (
    _change("            self._dead.add(Tensor(node.name, 1 - side))\n", "            pass\n"),
    _change("            self._dead.add(Tensor(node.name, 1 - side))\n", "            self._dead.add(Tensor(node.name, side))\n"),
    _change("under | self._bit(inputs[1], at)", "under"),
    _change("            self._dead_nodes.add(name)\n        else:\n", "            pass\n        else:\n"),
    _change("            self._dead_nodes.add(node.name)\n            return\n", "            return\n", why="a loop never entered"),
    _change("        if inputs[0] in self.known:\n", "        if False:\n"),
    _change("or any(value is not other for value, other in zip(given, operands, strict=True))", ""),
    _change("rest = at + 1", "rest = len(visits)"),
    _change("control not in self._stop_nodes and control not in self._dead_nodes", "control not in self._stop_nodes"),
    _change("[tensor.node for tensor in data if tensor not in stops]", "[tensor.node for tensor in data]"),
    _change("        if len(live) == 1:\n", "        if live:\n", why="what a Merge takes is known although it is not"),
    _change("np.asarray(inputs.index(live[0]), np.int32)", "np.asarray(0, np.int32)"),
    _change("self._conditions[node.name] &= ~self._bit", "self._conditions[node.name] |= self._bit"),
    _change("kind.as_numpy_dtype if kind is not None and kind != tf.string else None", "None"),
    _change("is_true = bool(selector) if selector.shape == () else selector.size > 0", "is_true = bool(selector.size)"),
    _change("        return None if self._alive_under(inputs) & ~alone else at\n", "        return at\n"),
    _change('node.op == "SelectV2" and not self._have_one_shape(inputs[1], inputs[2])', "False"),
    _change("return predicate if alone & ~self._alive_under(others, self.live_controls(node)) else None", "return None"),
    _change("            inputs = [inputs[selected]]\n", "            pass\n"),
    _change("return [tensor for tensor in inputs if tensor not in self._frozen] if self._frozen else inputs", "return inputs"),
    _change("                    controls = [name for name in controls if name not in self._stop_nodes]\n", "                    pass\n"),
)  # fmt: skip
