"""What becomes of ops that TensorFlow 2 does not know, cannot run or cannot differentiate: the table of REMOVED_OPS.md."""

import pathlib

import export_v1
from export_v1.ir import removed
from export_v1.passes.replacements import TABLE
from export_v1.passes.replacements.not_replaced import NOT_REPLACED, WITHOUT_KERNEL

FILE = pathlib.Path(export_v1.__file__).parent / "REMOVED_OPS.md"
# What stands before the tables.
_MARK = "<!-- table -->\n"


def markdown() -> str:
    """Returns three tables: ops that TensorFlow 2 does not know, others that are replaced, and others that are not."""
    unknown = sorted(removed.definitions(), key=str.lower)
    replaced = [op for op in unknown if op in TABLE]
    rows = [f"| `{op}` | {TABLE[op].by if op in TABLE else 'none: ' + NOT_REPLACED[op]} |" for op in unknown]
    known = [f"| `{op}` | {TABLE[op].by} |" for op in sorted(TABLE, key=str.lower) if op not in unknown]
    reasons: dict[str, list[str]] = {}
    for op, why in WITHOUT_KERNEL.items():
        reasons.setdefault(why, []).append(op)
    head = ["| op | what stands in for it |", "|---|---|"]
    return "\n".join(
        [
            f"## {len(unknown)} ops that TensorFlow 2.21 does not know, {len(replaced)} of them replaced",
            "",
            *head,
            *rows,
            "",
            f"## {len(known)} that it knows, and cannot run on a CPU, runs otherwise, cannot differentiate, or takes from old "
            "graphs alone",
            "",
            *head,
            *known,
            "",
            f"## {len(WITHOUT_KERNEL)} that it knows, has no kernel for on a CPU, and nothing stands in for",
            "",
            "| why | ops |",
            "|---|---|",
            *(f"| {why} | {', '.join(f'`{op}`' for op in ops)} |" for why, ops in reasons.items()),
            "",
        ]
    )


def write() -> None:
    """Writes the tables into the file, below what is said there first."""
    text = FILE.read_text(encoding="utf-8").partition(_MARK)[0]
    FILE.write_text(text + _MARK + markdown(), encoding="utf-8")


if __name__ == "__main__":
    write()
