"""Changes to the rebuild, each of which a test has to notice."""

from tests.mutants.change import Change

_LAYERS = ("tests/load_v2/opening/test_layers.py",)
_OPERATIONS = ("tests/load_v2/opening/test_operations.py",)
_PROOF = ("tests/load_v2/opening/test_proof.py",)
_WHOLE = ("tests/load_v2/opening/test_rebuilding.py",)

CHANGES = (
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
        "                if not compared.equal:\n",
        "                if False:\n",
        _WHOLE,
        why="a wrong model is returned",
    ),
    Change(
        "load_v2/opening/graph.py",
        "    _refuse_writes(part, taken)\n",
        "",
        _WHOLE,
        why="what inference writes is lost in silence",
    ),
)
