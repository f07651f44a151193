"""Signatures of a Session bundle, which TensorFlow Serving took before SavedModels: in its MetaGraphDef collections."""

from tensorflow.core.protobuf import meta_graph_pb2

from export_v1.ir import messages
from export_v1.model import DeclaredSignature

_COLLECTION = "serving_signatures"
# The messages of TensorFlow 1's manifest.proto.
MESSAGES = messages.Schema(
    "tensorflow.serving",
    {
        "TensorBinding": [(1, "tensor_name", "string")],
        "RegressionSignature": [(1, "input", "TensorBinding"), (2, "output", "TensorBinding")],
        "ClassificationSignature": [
            (1, "input", "TensorBinding"),
            (2, "classes", "TensorBinding"),
            (3, "scores", "TensorBinding"),
        ],
        "GenericEntry": [(1, "key", "string"), (2, "value", "TensorBinding")],
        "GenericSignature": [(1, "map", "repeated GenericEntry")],
        "Signature": [
            (1, "regression_signature", "RegressionSignature"),
            (2, "classification_signature", "ClassificationSignature"),
            (3, "generic_signature", "GenericSignature"),
        ],
        "NamedEntry": [(1, "key", "string"), (2, "value", "Signature")],
        "Signatures": [(1, "default_signature", "Signature"), (2, "named_signatures", "repeated NamedEntry")],
    },
)


def signatures(meta_graph: meta_graph_pb2.MetaGraphDef) -> dict[str, DeclaredSignature]:
    """Returns the signatures of a Session bundle by key, empty for any other MetaGraphDef.

    The default signature is `serving_default`; the generic signatures named "inputs" and "outputs" are the two sides of
    one, which is `serving_default` where there is no other and `predict` otherwise. The rest keep their names.
    """
    if _COLLECTION not in meta_graph.collection_def:
        return {}
    declared: dict[str, DeclaredSignature] = {}
    for content in meta_graph.collection_def[_COLLECTION].any_list.value:
        try:
            message = MESSAGES.parse("Signatures", content.value)
        except ValueError:
            continue
        named = {entry.key: entry.value for entry in message.named_signatures}
        complete = {"serving_default": _whole(message.default_signature)}
        complete |= {key: _whole(signature) for key, signature in named.items()}
        declared |= {key: signature for key, signature in complete.items() if signature is not None}
        inputs, outputs = (dict(_generic(named[side])) if side in named else {} for side in ("inputs", "outputs"))
        if inputs and outputs:
            declared["predict" if "serving_default" in declared else "serving_default"] = DeclaredSignature(
                inputs, outputs
            )
    return declared


def _whole(message) -> DeclaredSignature | None:
    """Returns a signature that has both sides; None for a generic one, which is a plain map of tensors."""
    if message.HasField("regression_signature"):
        sides = message.regression_signature
        outputs = {"outputs": sides.output.tensor_name}
        return DeclaredSignature({"inputs": sides.input.tensor_name}, outputs, "tensorflow/serving/regress")
    if message.HasField("classification_signature"):
        sides = message.classification_signature
        outputs = {"classes": sides.classes.tensor_name, "scores": sides.scores.tensor_name}
        outputs = {key: tensor for key, tensor in outputs.items() if tensor}
        return DeclaredSignature({"inputs": sides.input.tensor_name}, outputs, "tensorflow/serving/classify")
    return None


def _generic(message) -> list[tuple[str, str]]:
    return sorted((entry.key, entry.value.tensor_name) for entry in message.generic_signature.map)
