"""Changes to how tables are answered, each of which a test has to notice."""

from tests.mutants.change import Change

TABLES = ("tests/load_v2/scoring/test_tables.py",)
ELEMENTS = ("tests/load_v2/scoring/test_elements.py",)
FILE, FILES = "load_v2/scoring/tables.py", "load_v2/scoring/table_files.py"

CHANGES = (
    Change(
        file=FILE,
        before="places.append(at if reason is None else None)",
        after="places.append(at)",
        tests=TABLES,
        why="a row without an answer has its neighbour's",
    ),
    Change(
        file=FILE,
        before='dtype=object if spec.dtype == "string" else None)',
        after="dtype=None)",
        tests=TABLES,
        why="strings lose zero bytes at their ends",
    ),
    Change(
        file=FILE,
        before="column = column.flatten()",
        after="column = column.values",
        tests=TABLES,
        why="a slice has the values of the whole",
    ),
    Change(
        file=FILE,
        before="        if len(lengths) != 1:\n            return None\n",
        after="",
        tests=TABLES,
        why="rows of different lengths are one array",
    ),
    Change(
        file=FILE,
        before="size = scorer.fixed or batch_size or BATCH_SIZE",
        after="size = BATCH_SIZE",
        tests=TABLES,
        why="--batch_size is forgotten",
    ),
    Change(
        file=FILE,
        before="np.int32) * np.int32(size)",
        after="np.int32)",
        tests=TABLES,
        why="lists have one value each",
    ),
    Change(
        file="load_v2/scoring/elements.py",
        before="if flat and wanted is not None and array.ndim < 2:",
        after="if flat and wanted is not None:",
        tests=TABLES,
        why="[6, 5] passes for [5, 6]",
    ),
    Change(
        file="load_v2/scoring/elements.py",
        before="made.dtype != array.dtype and not np.array_equal(made, array)",
        after="False",
        tests=TABLES,
        why="an integer becomes another",
    ),
    Change(
        file="load_v2/scoring/elements.py",
        before="    if value is None:\n",
        after="    if False:\n",
        tests=ELEMENTS,
    ),
    Change(
        file=FILES,
        before="good.write(kept if at < 0 else kept.filter(pyarrow.compute.invert(refused)))",
        after="good.write(kept)",
        tests=TABLES,
        why="rows without an answer are among the answers, too",
    ),
    Change(
        file=FILES,
        before="    return sorted(found)",
        after="    return sorted(found)[::-1]",
        tests=TABLES,
        why="the order of the files is another",
    ),
    Change(
        file=FILES,
        before="if os.path.realpath(path) in map(os.path.realpath, paths):",
        after="if False:",
        tests=TABLES,
        why="inputs are replaced by answers",
    ),
)
