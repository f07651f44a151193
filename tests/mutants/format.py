"""Changes to export_v1/format, each of which a test has to notice."""

from tests.mutants.change import Change

_COMPARISON = ("tests/export_v1/format/test_comparison.py",)
_RECORD = ("tests/export_v1/format/test_record.py",)
_SAMPLE = ("tests/export_v1/format/test_sample_file.py",)


def _change(module: str, before: str, after: str, tests: tuple[str, ...], why: str = "") -> Change:
    return Change(f"export_v1/format/{module}.py", before, after, tests, why)


CHANGES = (
    Change(
        "export_v1/format/table.py",
        "bytes(made[-offset:]) * (length // offset + 1)",
        "bytes(made[-offset:])",
        ("tests/export_v1/format/test_bundle.py",),
    ),
    Change(
        "export_v1/format/table.py",
        "        if not 0 < offset <= len(made):\n",
        "        if False:\n",
        ("tests/export_v1/format/test_bundle.py",),
    ),
    Change(
        "export_v1/format/table.py",
        "    if len(made) != wanted or at != len(block):\n",
        "    if False:\n",
        ("tests/export_v1/format/test_bundle.py",),
    ),
    _change("comparison", '"float32": 1e-5', '"float32": 1e-3', _COMPARISON, "what is no rounding is equal"),
    _change("comparison", '"bfloat16": 5e-2', '"bfloat16": 1e-3', _COMPARISON, "rounding is different"),
    _change("comparison", "np.isnan(want) & np.isnan(have)", "np.isnan(want)", _COMPARISON),
    _change("comparison", "np.isnan(want) & np.isnan(have)", "np.isnan(have)", _COMPARISON),
    _change(
        "comparison",
        "difference = np.where(np.isnan(difference), np.inf, difference)",
        "difference = np.nan_to_num(difference)",
        _COMPARISON,
    ),
    _change(
        "comparison",
        "scale(want)) + noise\n",
        "scale(want)) + 1e-6\n",
        _COMPARISON,
        "a floor under what is equal",
    ),
    _change("comparison", "scale(want)) + noise\n", "scale(want))\n", _COMPARISON, "noise is not allowed for"),
    _change("comparison", "np.sqrt(np.mean(finite**2))", "np.max(finite) ** 2", _COMPARISON),
    _change(
        "comparison",
        "np.abs(values[np.isfinite(values)])",
        "np.abs(values)",
        _COMPARISON,
        "one infinity makes every other element equal",
    ),
    _change("comparison", '"complex128" if want.dtype.kind == "c" else "float64"', '"float64"', _COMPARISON),
    _change("comparison", "if want.dtype != have.dtype:", "if False:", _COMPARISON),
    _change("comparison", "if want.shape != have.shape:", "if want.ndim != have.ndim:", _COMPARISON),
    _change("comparison", "bool(np.all(equal))", "bool(np.any(equal))", _COMPARISON),
    _change(
        "comparison",
        "abs(int(want[index]) - int(have[index]))",
        "abs(float(want[index]) - float(have[index]))",
        _COMPARISON,
    ),
    _change(
        "comparison",
        "    if not differ.any():\n        return",
        "    if not differ.all():\n        return",
        _COMPARISON,
    ),
    _change("record", "    if version != VERSION:", "    if version is None:", _RECORD),
    _change(
        "record",
        '    for key in ("frozen", "train_frozen", "converted"):\n        dict(given.get(key, {}))\n',
        "",
        _RECORD,
    ),
    _change("record", "if key in names}", "}", _RECORD, "a field of a later build stops the reader"),
    _change(
        "record",
        "return self.shape if self.relaxed_shape is None else self.relaxed_shape",
        "return self.shape",
        _RECORD,
    ),
    _change("record", 'del fields["relaxed_shape"]', "pass", _RECORD),
    _change("record", 'value.decode("utf-8", "backslashreplace")', "str(value)", _RECORD),
    _change("sample", "allow_pickle=False", "allow_pickle=True", _SAMPLE),
    _change("sample", 'string.ljust(length, b"\\0")', "string", _SAMPLE, "zero bytes at the end of strings are lost"),
    _change(
        "sample",
        "*(zipfile.BadZipFile, zlib.error, tokenize.TokenError),",
        "*(zlib.error, tokenize.TokenError),",
        _SAMPLE,
    ),
)
