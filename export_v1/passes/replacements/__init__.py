"""What stands in for ops that TensorFlow 2 cannot run, or cannot differentiate: one small module for each family.

How to add an op:

1. Find or make the module of its family here. Its docstring names the op's definition and kernel in TensorFlow 1.15 as
   the source of truth. Write `def op_name(site, input, …)` in TensorFlow's public API: it takes a `Site` (attributes,
   what is around the node, values in the checkpoint) and the node's inputs in the order of the op's definition, and
   returns its outputs. It is traced once for each node, so Python decides by attributes, types and ranks only, which
   may be unknown, and no size of a batch gets into what it builds. Loops are `tf.while_loop`; no variables, no eager
   constants made outside.
2. Add it to the module's `REPLACEMENTS`: op name -> `Replacement(build, by)`. Add a new module to `_FAMILIES` below.
3. An op whose state is in a resource (an ensemble, a quantile stream) is replaced where the resource is used: the
   builder asks `resources.value` what the Saver restores into it, and makes constants of that. The handle itself needs
   no replacement: nobody reads it any more, and it is pruned.
4. Strike it from `not_replaced.py`, and write the table of `export_v1/REMOVED_OPS.md` anew:
   `python -m export_v1.passes.replacements.listing`.
5. Prove it: add the op's cases to `fixtures/replacements_tf115.py`, run that under TensorFlow 1.15.5, and the tests in
   `tests/export_v1/passes/replacements/test_kernels.py` compare every case of every file that it wrote.

Where this TensorFlow has a kernel for such an op (a GPU has cuDNN, a library brings GatherTree) the original's answers
come from the kernel, and prove the replacement; see `sequence`.
"""

from collections.abc import Iterable, Mapping
from importlib import import_module
from types import MappingProxyType

from export_v1 import errors
from export_v1.passes.replacements.site import Replacement, Site

# Every module here that has REPLACEMENTS.
_FAMILIES = (
    "beam_search", "block_cells", "boosted_trees", "buckets", "changed", "clusters", "columns", "cudnn", "elementwise",
    "gradient_trees", "images", "libsvm", "nearest_neighbors", "old_names", "periodic_resample", "products",
    "segmentation", "slices", "strings", "sums", "tensor_forest",
)  # fmt: skip

TABLE: Mapping[str, Replacement] = MappingProxyType(
    {
        op: replacement
        for family in _FAMILIES
        for op, replacement in import_module(f"{__name__}.{family}").REPLACEMENTS.items()
    }
)

__all__ = ["TABLE", "Replacement", "Site", "check_kept"]


def check_kept(kept: Iterable[str]) -> None:
    """Checks the names that --keep_ops gives.

    Raises:
        ExportError: one of them is not an op that would be replaced; the nearest ones.
    """
    for op in kept:
        if op not in TABLE:
            raise errors.unknown(
                "Op", op, "the ops that are replaced", TABLE, "--keep_ops takes names of these; others stay anyway."
            )
