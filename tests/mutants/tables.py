"""Changes to how tables are answered, each of which a test has to notice."""

from tests.mutants.change import Change

TABLES = ("tests/load_v2/scoring/test_tables.py",)
ELEMENTS = ("tests/load_v2/scoring/test_elements.py",)
MANY = ("tests/load_v2/scoring/test_jobs.py",)
FILE, FILES, JOBS = "load_v2/scoring/tables.py", "load_v2/scoring/table_files.py", "load_v2/scoring/jobs.py"

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
        before="later(good.write, kept if at < 0 else kept.filter(pyarrow.compute.invert(refused)))",
        after="later(good.write, kept)",
        tests=TABLES,
        why="rows without an answer are among the answers, too",
    ),
    Change(
        file=JOBS,
        before="    return root, sorted(found)",
        after="    return root, sorted(found)[::-1]",
        tests=TABLES,
        why="the order of the files is another",
    ),
    Change(
        file=JOBS,
        before="if place in read:",
        after="if False:",
        tests=MANY,
        why="inputs are replaced by answers",
    ),
    Change(file=JOBS, before="if place in written:", after="if False:", tests=MANY, why="one output is written over another"),
    Change(file=JOBS, before="        done = [task for task in made if os.path.lexists(task.output)]", after="        done = []",
           tests=MANY, why="what is done is done again"),
    Change(file=JOBS, before="if before[\"files\"][self._key(task)] != _state(task):", after="if False:", tests=MANY,
           why="answers to a file that has changed stay"),
    Change(file=JOBS, before="            if then.get(name) != value and not", after="            if False and not", tests=MANY,
           why="answers of two models are mixed"),
    Change(file=JOBS, before="not in before.get(\"files\", {}):", after="in ():", tests=MANY,
           why="a file of somebody else's passes for answers"),
    Change(file=JOBS, before="        if _state(task) != self._files[self._key(task)]:", after="        if False:", tests=MANY),
    Change(file=JOBS, before="{**before.get(\"files\", {}), **{", after="{**{", tests=MANY,
           why="a second kill forgets what the first run did"),
    Change(file="load_v2/scoring/memory.py", before="if value.ctypes.data % _ALIGNMENT or not", after="if not",
           tests=("tests/load_v2/scoring/test_memory.py",), why="TensorFlow ends the process"),
    Change(file="load_v2/scoring/memory.py", before="or value.dtype.name != dtype ", after="",
           tests=("tests/load_v2/scoring/test_memory.py",)),
    Change(file="load_v2/scoring/threads.py", before="        wait(_WAITING)\n", after="",
           tests=("tests/load_v2/scoring/test_threads.py",), why="all answers wait in memory for a slow disk"),
    Change(file="load_v2/scoring/threads.py", before="            wait(0)\n", after="",
           tests=("tests/load_v2/scoring/test_threads.py",), why="an answer that could not be written is lost silently"),
)  # fmt: skip
