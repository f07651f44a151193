"""Changes to what proves an export, in step 1 and in `verify`, each of which a test has to notice."""

from tests.mutants.change import Change

_UNPROVEN = ("tests/export_v1/test_unproven.py",)
_VERIFICATION = ("tests/load_v2/test_verification.py",)


def _proof(module: str, before: str, after: str, why: str = "", tests: tuple[str, ...] = ()) -> Change:
    return Change(
        f"export_v1/proof/{module}.py", before, after, tests or (f"tests/export_v1/proof/test_{module}.py",), why
    )


def _change(file: str, before: str, after: str, tests: tuple[str, ...], why: str = "") -> Change:
    return Change(file, before, after, tests, why)


_SAMPLE = ("tests/export_v1/proof/test_sample.py",)

CHANGES = (
    # asking
    _proof("asking", "        if self._writes or written:\n", "        if False:\n", "variables are what the run before left", _SAMPLE),
    _proof("asking", "        if self._tables is not None:\n", "        if False:\n", "tables hold what the run before left", _SAMPLE),
    _proof("asking", "    fed.update(frozen)\n", "", "", _SAMPLE),
    _change(
        "export_v1/pipeline.py",
        "SERVED if is_rewritten else CONFIG",
        "CONFIG",
        ("tests/export_v1/test_oddities.py",),
    ),
    _change("export_v1/artifact/save.py", "if tables.are_written(exported.graph_def):", "if False:", _SAMPLE),
    _change("export_v1/weights/tables.py", "for node in graph.all_nodes(graph_def)", "for node in graph_def.node",
            ("tests/export_v1/weights/test_tables.py",), "functions write to tables, too"),
    _change("load_v2/replay.py", "return Reader(lambda inputs: (unused.pop() if unused else load()).answer(inputs), first.not_finite)", "return first",
            _VERIFICATION, "a table holds what the answer before left"),
    _proof(
        "asking", "timeout_in_ms=int(1000 * seconds)", "timeout_in_ms=int(seconds)", "",
        ("tests/export_v1/proof/test_checking.py",),
    ),
    _proof(
        "asking", "weights = weights.covering(original.graph_def)", "pass",
        "variables of dead branches have no values", ("tests/export_v1/weights/test_original.py",),
    ),
    _proof("randomness", "            return suspects\n", "            continue\n", "", _SAMPLE),
    _proof(
        "randomness", "DRAWS if original.draws_out_of_reach else 1", "1",
        "two draws in a loop that agree make an answer stable", _SAMPLE,
    ),
    _proof("randomness", "for drawn in _extremes(original, inputs):", "for drawn in ():",
           "two draws that agree make an answer stable", _SAMPLE),
    _proof("randomness", "below_1 = one - (", "below_1 = one + (", "a mask that keeps all is said to change", _SAMPLE),
    # sample
    _proof("sample", "for key, value in first.items() if key not in changing}, reasons", "for key, value in first.items()}, reasons"),
    _proof("sample", "if key in elsewhere)", "if False)", "an output that is random at first is not mentioned"),
    _proof("sample", "    if value.dtype.kind in \"SU\":\n", "    if False:\n"),
    _proof("sample", "if not codec.is_about_another(name)", "if True"),
    _proof("sample", "    for key in inputs:\n        if key not in arrays:\n", "    for key in inputs:\n        if False:\n"),
    _proof("sample", "made_up and cut.tensor not in steering", "made_up", "a loop is given values on which it never ends"),
    _proof("sample", "if time.monotonic() > until:", "if False:"),
    _proof("sample", "other.without(not_proven) for other in", "other for other in"),
    _proof("sample", "== tf.bfloat16 and", "== tf.float16 and"),
    # variations
    _proof("variations", "and np.ndim(value) == 0:", "and False:", "the other side of a condition is not recorded"),
    _proof("variations", "{**first, key: flipped}", "dict(first)"),
    _proof("variations", "if any(not np.array_equal(inputs[key], value) for key, value in first.items()):", "if True:"),
    _proof("variations", "other[key] if key in free else value", "other[key]", "what may not vary does"),
    # rounding
    _proof("rounding", "np.array_equal(before, after) else np.inf", "np.array_equal(before, after) else 0.0"),
    _proof("rounding", "comparison.scale(value.astype(np.complex128)) < _NOISY_BELOW", "True"),
    _proof("rounding", "    return bool(np.isfinite(noise)) and", "    return True or"),
    _proof("rounding", "return {key: _FACTOR * size for", "return {key: size for"),
    _proof("rounding", "_HIDES_IN_SHORT_TYPES if value.dtype.name in", "_HIDES if value.dtype.name in"),
    _proof("rounding", "range(max(nudges, -(-_ELEMENTS // fewest)))", "range(nudges)", "a number that stays by chance"),
    _proof("rounding", "if turn >= nudges and time.monotonic() - began > _FAST_SECONDS:", "if False:"),
    # checking
    _proof("checking", "    if wrong - drawn:\n", "    if len(wrong) > 1:\n"),
    _proof("checking", "except tf.errors.OpError as error", "except KeyError as error", "a bare error of TensorFlow"),
    _proof("checking", "for key in wrong & set(sample.drawn) if", "for key in wrong if", "what changes by mistake is let through"),
    _proof("checking", "        refill()\n", "", "what an answer wrote changes the next"),
    # memory
    _proof("memory", "needed <= room", "needed >= room"),
    _proof("memory", "max(min(known), 0)", "max(known)", "the loosest limit counts"),
    _proof("memory", "bound - in_use + int(", "bound - in_use - int("),
    # what is made of it
    _change("export_v1/pipeline.py", "answers = [*recorded.sets, *opened.proofs] if", "answers = [*recorded.sets] if",
            ("tests/export_v1/proof/test_batch.py",), "the export is not compared in other batches"),
    _change("export_v1/pipeline.py", "    except Unanswered as unanswered:\n        if request.require_proof:",
            "    except Unanswered as unanswered:\n        if True:", _UNPROVEN, "no sample, no export"),
    _change("export_v1/pipeline.py", "        if request.require_proof:\n            _require(recorded)", "        pass", _UNPROVEN),
    _change("export_v1/pipeline.py", "if too_large and given is None:", "if too_large:",
            ("tests/export_v1/weights/test_stream.py",)),
    _change("export_v1/artifact/recording.py", "verdict = Verdict.EQUAL if compared else Verdict.NOT_PROVEN",
            "verdict = Verdict.EQUAL", _UNPROVEN, "what was not compared is called equal"),
    _change("export_v1/artifact/report.py", "    elif proof.not_proven:\n", "    elif False:\n",
            ("tests/export_v1/test_request.py",), "what was compared in part answers as the original does"),
    _change("export_v1/artifact/save.py", "exported.weights.size() > STREAMED_ABOVE", "exported.weights.size() >= STREAMED_ABOVE",
            ("tests/export_v1/artifact/test_save.py",)),
    _change("export_v1/artifact/save.py", "                if writing:", "                if False:",
            ("tests/export_v1/artifact/test_save.py",), "what a check wrote is exported"),
    _change("export_v1/analysis/changed_kernels.py", "if sigma is None or np.any(sigma):", "if np.any(sigma):",
            ("tests/export_v1/analysis/test_changed_kernels.py",), "a sigma that is fed is taken for 0"),
    _change("export_v1/analysis/changed_kernels.py", "if sigma is None or np.any(sigma):", "if True:",
            ("tests/export_v1/analysis/test_changed_kernels.py",)),
    _change("export_v1/analysis/changed_kernels.py", "callers = set(_callers(graph_def))", "callers = set()",
            ("tests/export_v1/analysis/test_changed_kernels.py",), "a function may hold one"),
    _change("export_v1/pipeline.py", "changed_kernels.unproven(assembled.exported.graph_def, outputs) if answers else {}", "{}",
            ("tests/export_v1/analysis/test_changed_kernels.py",), "boxes that TensorFlow 1 dropped are called equal"),
    _change("export_v1/weights/original.py", "if location is not None:", "if False:", ("tests/export_v1/weights/test_original.py",)),
    _change("export_v1/ir/randomness.py", "        return node.op\n", "        return None\n", ("tests/export_v1/ir/test_randomness.py",)),
    _change("export_v1/ir/randomness.py", "drawing.get(gradients.get(name, \"\"))\n", "None\n", ("tests/export_v1/ir/test_randomness.py",)),
    _change("export_v1/analysis/loop_conditions.py", "if index[name].op not in ops.SIZES:", "if True:",
            ("tests/export_v1/analysis/test_loop_conditions.py",)),
    _change("export_v1/console/outcome.py", "return (status.st_dev, status.st_ino) == (device, number)", "return True",
            ("tests/export_v1/console/test_outcome.py",), "what was not yet renamed had been written"),
    _change("export_v1/artifact/destination.py", "    outcome.about_to_appear(partial, path)\n", "",
            ("tests/export_v1/console/test_signals.py",), "nothing is said to have been written although it was"),
    # format
    _change("export_v1/format/sample.py", 'prefix = f"sets/{at}/" if at else ""', 'prefix = ""',
            ("tests/export_v1/format/test_sample_file.py",)),
    _change("export_v1/format/sample.py", 'stored |= {f"{prefix}noise/{key}": np.float64(value) for key, value in one_set.noise.items()}',
            "pass", ("tests/export_v1/format/test_sample_file.py",)),
    _change("export_v1/format/sample.py", "    if dtype is not None:\n", "    if False:\n",
            ("tests/export_v1/format/test_sample_file.py",), "bfloat16 is read as another type"),
    _change("export_v1/format/comparison.py", "(Verdict.DIFFERENT, Verdict.EQUAL) if verdict in", "(Verdict.EQUAL, Verdict.DIFFERENT) if verdict in",
            ("tests/export_v1/format/test_comparison.py",), "verdict output that is equal hides verdict that is not"),
    _change("export_v1/format/comparison.py", "        largest = np.inf\n", "        pass\n", ("tests/export_v1/format/test_comparison.py",)),
    _change("load_v2/scoring/arrays.py", "rows = known_to_files(np.asarray(rows))", "rows = np.asarray(rows)",
            ("tests/load_v2/scoring/test_arrays.py",), "an answer of bfloat16 loses its type"),
    # verify
    _change("load_v2/verification.py", "        if self.damaged or self.unlike or", "        if self.unlike or", _VERIFICATION),
    _change("load_v2/verification.py", "        if self.damaged or self.unlike or", "        if self.damaged or", _VERIFICATION),
    _change("load_v2/verification.py", "return [*lines, *self.notes, f", "return [*lines, f", _VERIFICATION),
    _change("load_v2/verification.py", "if crc32c is None or stored(name) != crc32c]", "if stored(name) != crc32c]", _VERIFICATION),
    _change("load_v2/verification.py", "    damaged += [name for name in keys if name not in recorded]\n", "", _VERIFICATION),
    _change("load_v2/verification.py", "    if len(expected.sets) != len(sample.further):\n", "    if False:\n", _VERIFICATION),
    _change("load_v2/verification.py", "    if entry.dtype and entry.dtype != spec.dtype:\n", "    if False:\n", _VERIFICATION),
    _change("load_v2/verification.py", "        if held is None:\n", "        if False:\n", _VERIFICATION),
    _change("export_v1/format/comparison.py", "_WORST_FIRST = (Verdict.DIFFERENT, Verdict.NOT_PROVEN, Verdict.EQUAL)",
            "_WORST_FIRST = (Verdict.EQUAL, Verdict.NOT_PROVEN, Verdict.DIFFERENT)", _VERIFICATION, "one set that is equal hides another"),
    _change("load_v2/replay.py", "    yield SAVED_MODEL, lambda: _apart(source, lambda: _saved_model(source, allow_ops))\n", "", _VERIFICATION, "one reader is left out"),
    _change("load_v2/replay.py", "        with _blamed(source, LAYER):\n            _restore(as_loaded)\n", "        with _blamed(source, LAYER):\n",
            _VERIFICATION, "what an answer wrote changes the next"),
    _change("load_v2/replay.py", "return bool(np.isfinite(values.sum()) or np.isfinite(values).all())",
            "return bool(np.isfinite(values.sum()))", _VERIFICATION, "a large sum is said to hold infinity"),
    _change("load_v2/replay.py", "return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)",
            "return np.asarray(value)", _VERIFICATION, "zeros at the end of a string are lost"),
    _change("load_v2/verification.py", "        if held.get(name) != digest\n", "        if name not in held\n", _VERIFICATION,
            "a vocabulary in another order is not noticed"),
    _change("load_v2/verification.py", '"\\n  ".join([str(error), *unlike])', "str(error)", _VERIFICATION),
    _change("load_v2/verification.py", "    unlike = changed + _unlike", "    unlike = _unlike", _VERIFICATION),
    _change("load_v2/verification.py", 'dict.fromkeys([*record.outputs, *_ends(source, "outputs")])', "record.outputs", _VERIFICATION,
            "an output that record and sample both lost is not missed"),
    _change("load_v2/verification.py", 'dict.fromkeys([*record.inputs, *_ends(source, "inputs")])', "record.inputs", _VERIFICATION),
    _change("export_v1/format/digests.py", 'return not name.endswith(".npz")', "return True", _VERIFICATION),
    _change("export_v1/format/digests.py", ' or name == "model-settings.json"', "", _VERIFICATION),
    _change("load_v2/commands/verify.py", "return 1 if report.verdict is Verdict.DIFFERENT else 0", "return 0",
            ("tests/load_v2/commands/test_commands.py",)),
)  # fmt: skip
