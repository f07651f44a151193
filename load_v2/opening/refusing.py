"""The message for a graph that cannot be rebuilt: every op without code, where it is, and what to do."""

from collections.abc import Sequence

from export_v1.ir import ops
from load_v2.errors import LoadError, quoted
from load_v2.opening.cover import Refusal

_STRINGS = ops.TABLES | {
    "LookupTableFindV2", "StringSplit", "StringSplitV2", "StringToHashBucketFast", "StringToHashBucket", "StringJoin",
    "DecodeRaw", "DecodeJpeg", "DecodePng", "DecodeImage", "DecodeBase64", "ParseExample", "ParseSingleExample",
    "ParseExampleV2", "RegexReplace", "StringStrip", "StringToNumber", "AsString", "DecodeWav",
}  # fmt: skip
_DETAILED = 10


def error(path: str, signature: str, refusals: Sequence[Refusal]) -> LoadError:
    """Returns the error for what was refused, with one line for each op and reason."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for refusal in refusals:
        grouped.setdefault((refusal.op, refusal.reason), []).append(refusal.node)
    lines = [
        f"{op} ({len(nodes)}: {quoted(nodes)}): {reason}" for (op, reason), nodes in list(grouped.items())[:_DETAILED]
    ]
    if len(grouped) > _DETAILED:
        lines.append(f"and {len(grouped) - _DETAILED} more")
    remedies = ["Use SignatureLayer for the whole of it, or cut the graph in step 1 with --input and --output."]
    if any(refusal.op in _STRINGS for refusal in refusals):
        remedies.insert(0, "Numbers become strings and numbers again there: export from the last of those on,")
        remedies.insert(1, "  with --input=KEY=TENSOR in step 1, and do what is before them in Python.")
    return LoadError(
        f"Signature {signature!r} of {path!r} cannot become a Keras model as a whole.\n  "
        + "\n  ".join(lines)
        + "\n  "
        + "\n  ".join(remedies)
    )
