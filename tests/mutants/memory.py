"""Changes to what keeps memory small, each of which a test has to notice."""

from tests.mutants.change import Change

CHANGES = (
    Change(
        file="load_v2/porting/values.py",
        before='progress.counted(largest_first(assignments, variables), "filling weights")',
        after='progress.counted(assignments, "filling weights")',
        tests=("tests/load_v2/commands/test_port.py::test_one_weight_at_a_time_in_memory",),
    ),
    Change(
        file="load_v2/porting/values.py",
        before="reverse=True",
        after="reverse=False",
        tests=("tests/load_v2/commands/test_port.py::test_one_weight_at_a_time_in_memory",),
    ),
    Change(
        file="load_v2/porting/proof.py",
        before="for assignment in values.largest_first(assignments, variables)",
        after="for assignment in assignments",
        tests=("tests/load_v2/commands/test_port.py::test_one_weight_at_a_time_in_memory",),
    ),
    Change(
        file="load_v2/program/resource_tables.py",
        before="    with private.eagerly():\n        tf.raw_ops.Destroy",
        after="    with tf.init_scope():\n        tf.raw_ops.Destroy",
        tests=("tests/load_v2/test_private.py",),
        why="a table dropped while a graph is built stays",
    ),
    Change(
        file="load_v2/program/resource_tables.py",
        before="    with private.eagerly():\n        tf.raw_ops.Destroy",
        after="    if True:\n        tf.raw_ops.Destroy",
        tests=("tests/load_v2/test_private.py",),
        why="a table dropped while a function is traced becomes a node of it",
    ),
    Change(
        file="load_v2/scoring/arrays.py",
        before="    if not array.flags.c_contiguous or not math.prod(shape):\n",
        after="    if True:\n",
        tests=("tests/load_v2/commands/test_predict.py::test_memory_does_not_grow_with_the_file",),
        why="the whole file stays mapped",
    ),
    Change(
        file="load_v2/scoring/arrays.py",
        before="if not shape or not spec.has_rows or fortran or dtype.hasobject:",
        after="if True:",
        tests=("tests/load_v2/commands/test_predict.py::test_memory_does_not_grow_with_the_file",),
        why="archives are read whole",
    ),
)
