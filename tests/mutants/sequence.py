"""Changes to the list of passes, to what passes between them and to what is verified around them."""

from tests.mutants.change import Change

_SEQUENCE, _STATE = "export_v1/passes/sequence.py", "export_v1/passes/state.py"
_RESULT, _GUARANTEES = "export_v1/passes/result.py", "export_v1/passes/guarantees.py"
_PRUNE, _VARIANT = "export_v1/passes/prune.py", "export_v1/planning/variant.py"
_TESTS = ("tests/export_v1/passes/test_sequence.py",)

CHANGES = (
    Change(_SEQUENCE, "    wellformed.check(cut.graph_def, index=cut.index)\n", "", _TESTS),
    Change(_SEQUENCE, "    keep |= prune.needed(index, inits, ends)\n", "", ("tests/export_v1/source/test_assets.py",)),
    Change(_SEQUENCE, "[*state.fetched, *state.updates], ends)", "state.fetched, ends)", _TESTS, "updates are lost"),
    Change(_SEQUENCE, "prune.needed(index, [*state.fetched, *state.updates], ends)", "set(index.nodes)", _TESTS),
    Change(_SEQUENCE, ' and index[parse(tensor).node].op != "Const":', ":", _TESTS),
    Change(_SEQUENCE, "return frozen if frozen is state else frozen.after", "return frozen.after", _TESTS),
    Change(_SEQUENCE, "*ORIGINAL,\n    # The", "# The", _TESTS),
    Change(_SEQUENCE, "_run((*ORIGINAL, UNFED, *RUNNABLE), state)", "_run(ORIGINAL, state)", _TESTS),
    Change(_SEQUENCE, "_run((*ORIGINAL, UNFED, *RUNNABLE), state)", "_run(EXPORT, state)", _TESTS),
    Change(_SEQUENCE, "    *RUNNABLE,\n", "", _TESTS),
    Change(
        _SEQUENCE, "pinned(graph_def, tensors, state.updates, index)", "pinned(graph_def, tensors, (), index)", _TESTS
    ),
    Change(_SEQUENCE, "frozen=state.fed, find", "frozen={}, find", _TESTS),
    Change(_SEQUENCE, "    tables.refuse_unfilled(", "    (lambda *_: None)(", _TESTS),
    Change(_SEQUENCE, '_verify(f"before {step.name!r}", step.needs, state)', "pass", _TESTS),
    Change(_SEQUENCE, "(Guarantee.WELL_FORMED, *step.gives)", "step.gives", _TESTS),
    Change(_SEQUENCE, "(Guarantee.WELL_FORMED, *step.gives)", "(Guarantee.WELL_FORMED,)", _TESTS),
    Change(_SEQUENCE, "        _CHECKED.reset(token)\n", "        pass\n", _TESTS),
    Change(_STATE, "[*self.fetched, *map(self.name, self.inputs), *self.updates]", "self.fetched", _TESTS),
    Change(_STATE, "losses=tuple(new.get(tensor, tensor) for tensor in self.losses)", "losses=self.losses", _TESTS),
    Change(_STATE, "notes=self.notes + result.notes", "notes=result.notes", _TESTS),
    Change(_RESULT, "folded=self.folded + other.folded", "folded=self.folded", _TESTS),
    Change(_RESULT, "counts.get(kind, 0) + count", "count", _TESTS),
    Change(_RESULT, "[*self.unconverted, *other.unconverted]", "self.unconverted", _TESTS),
    Change(_PRUNE, "tensor in ends or tensor in waits", "tensor in ends", ("tests/export_v1/passes/test_prune.py",)),
    Change(
        _VARIANT,
        "model.graph_def if model.original is None else model.original",
        "model.graph_def",
        ("tests/export_v1/planning/test_variant.py",),
    ),
    *(
        Change(_GUARANTEES, f"    Guarantee.{name}: _{check},\n", f'    Guarantee.{name}: lambda *_: "",\n', _TESTS)
        for name, check in {
            "WELL_FORMED": "wellformed",
            "CUT": "cut",
            "PRUNED": "pruned",
            "PORTABLE": "portable",
            "FROZEN": "frozen",
            "PINNED": "pinned",
            "RESOURCES": "resources",
            "FUNCTIONAL": "functional",
        }.items()
    ),
)
