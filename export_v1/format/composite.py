"""Tensors of a signature that are made up of several, such as a RaggedTensor: TensorFlow 2 calls a signature with dense ones."""

from collections.abc import Iterator

from tensorflow.core.protobuf import meta_graph_pb2, struct_pb2

_RAGGED = struct_pb2.TypeSpecProto.RAGGED_TENSOR_SPEC


def parts(key: str, info: meta_graph_pb2.TensorInfo) -> Iterator[tuple[str, meta_graph_pb2.TensorInfo]]:
    """Yields key and TensorInfo of each dense tensor that makes up a composite one, in TensorFlow's order.

    Those of a RaggedTensor are its values and, from the outside to the inside, where its rows begin and end; those of
    another type are numbered.
    """
    composite = info.composite_tensor
    is_ragged = composite.type_spec.type_spec_class == _RAGGED
    splits = len(composite.components) - 1
    for at, component in enumerate(composite.components):
        if not is_ragged:
            yield f"{key}_{at}", component
        elif at == 0:
            yield f"{key}_values", component
        else:
            yield f"{key}_row_splits" + (f"_{at}" if splits > 1 else ""), component
