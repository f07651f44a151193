"""The message for a graph that cannot be rebuilt: every op without code, where it is, and what to do."""

from collections import Counter
from collections.abc import Sequence

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.errors import LoadError, quoted
from load_v2.opening.context import Context
from load_v2.opening.cover import Refusal

_STRINGS = ops.TABLES | {
    "LookupTableFindV2", "StringSplit", "StringSplitV2", "StringToHashBucketFast", "StringToHashBucket", "StringJoin",
    "DecodeRaw", "DecodeJpeg", "DecodePng", "DecodeImage", "DecodeBase64", "ParseExample", "ParseSingleExample",
    "ParseExampleV2", "RegexReplace", "StringStrip", "StringToNumber", "AsString", "DecodeWav",
}  # fmt: skip
_DETAILED = 10


def islands(context: Context, refusals: Sequence[Refusal]) -> list[str]:
    """Returns a line for each piece of graph without code: how many nodes of which ops, what it reads, what reads it."""
    index = context.graph.index
    left = dict.fromkeys(refusal.node for refusal in refusals if refusal.node in index.nodes)
    lines = []
    while left:
        todo, island = [next(iter(left))], dict[str, None]()
        while todo:
            name = todo.pop()
            if left.pop(name, name) is None:
                island[name] = None
                todo += [tensor.node for tensor in context.graph.sources(Tensor(name))]
                todo += [reader.name for reader, _ in index.consumers(name)]
        read = [t.node for name in island for t in context.graph.sources(Tensor(name)) if context.is_data(t)]
        readers = [reader.name for name in island for reader, _ in index.consumers(name)]
        ends = [key for key, tensor in context.graph.outputs.items() if tensor.node in island]
        kinds = ", ".join(f"{count} {op}" for op, count in Counter(index[name].op for name in island).items())
        sources = [name for name in dict.fromkeys(read) if name not in island]
        targets = [name for name in dict.fromkeys(readers) if name not in island]
        lines.append(
            f"{kinds}"
            + (f"; reads {quoted(sources)}" if sources else "")
            + (f"; read by {quoted(targets)}" if targets else "")
            + (f"; gives output {quoted(ends)}" if ends else "")
        )
    return lines


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
    if any(ops.writes_variable(refusal.op) for refusal in refusals):
        remedies.append("SignatureLayer writes what inference writes.")
    return LoadError(
        f"Signature {signature!r} of {path!r} cannot become a Keras model as a whole.\n  "
        + "\n  ".join(lines)
        + "\n  "
        + "\n  ".join(remedies)
    )
