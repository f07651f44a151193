"""The call order of each signature, in the graph itself: tf.saved_model.load keeps a graph's collections and no other file."""

import json
from collections.abc import Iterable, Mapping, Sequence

COLLECTION = "export_v1_call_order"


def to_text(signatures: Mapping[str, tuple[Sequence[str], Sequence[str]]]) -> str:
    """Returns the collection's one item, for the keys of inputs and of outputs of each signature."""
    return json.dumps({key: [list(inputs), list(outputs)] for key, (inputs, outputs) in signatures.items()})


def from_items(items: Iterable[object]) -> dict[str, tuple[list[str], list[str]]]:
    """Returns what `to_text` was given, of a collection's items; empty where there are none, or other ones."""
    for item in items:
        try:
            text = item.decode() if isinstance(item, bytes) else str(item)
            return {key: (list(inputs), list(outputs)) for key, (inputs, outputs) in json.loads(text).items()}
        except (ValueError, TypeError, AttributeError):
            continue
    return {}
