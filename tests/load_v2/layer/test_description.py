"""load_v2.description and load_v2.signature: what a config tells of a layer, and calls in their order."""

import json

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from export_v1.format import record as record_file
from load_v2 import LoadError
from load_v2.layer import description
from load_v2.program import artefact, signature
from load_v2.program.signature import Spec


def _variable(name: str, dtype: str = "float32", shape=(2,), trainable: bool = True) -> artefact.Variable:
    return artefact.Variable(name, (name,), dtype, shape, trainable, name)


def _description(**changed) -> description.Description:
    fields = {
        "signature": "serving_default",
        "inputs": {"b": Spec("", "int32", (None, 2)), "a": Spec("", "string", None)},
        "outputs": {"y": Spec("", "float32", ())},
        "variables": (_variable("w"), _variable("moving", "float64", (), False)),
        "written": frozenset({"moving"}),
        "supports_jit": False,
        "shapes": ((((3, 2), None), ((),)),),
    }
    return description.Description(**{**fields, **changed})


def test_a_config_is_plain_json_and_tells_all():
    config = json.loads(json.dumps(_description().to_config()))
    again = description.from_config(config)
    assert again == _description()
    assert list(again.inputs) == ["b", "a"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"inputs": {"a": Spec("", "string", None), "b": Spec("", "int32", (None, 2))}}, "inputs"),
        ({"inputs": {"b": Spec("", "int64", (None, 2)), "a": Spec("", "string", None)}}, "int64"),
        ({"inputs": {"b": Spec("", "int32", (None, 3)), "a": Spec("", "string", None)}}, "inputs"),
        ({"outputs": {"y": Spec("", "float32", (1,))}}, "outputs"),
        ({"outputs": {"z": Spec("", "float32", ())}}, "outputs"),
        ({"variables": (_variable("v"), _variable("moving", "float64", ()))}, "'v'"),
        ({"variables": (_variable("w", "float16"), _variable("moving", "float64", ()))}, "float16"),
        ({"variables": (_variable("w", shape=(3,)), _variable("moving", "float64", ()))}, "(3,)"),
        ({"variables": (_variable("w"),)}, "2 variables and 1"),
        ({"variables": ()}, "2 variables and 0"),
    ],
)
def test_what_differs_is_told(changed, said):
    found = _description().same_as(_description(**changed))
    assert len(found) == 1 and said in found[0]


def test_tensor_names_and_what_may_change_make_no_difference():
    outputs = {"y": Spec("y:0", "float32", ())}
    other = _description(outputs=outputs, supports_jit=True, shapes=(), written=frozenset(), signature="other")
    assert _description().same_as(other) == []


def _damaged(**changed) -> dict:
    return {**_description().to_config(), **changed}


@pytest.mark.parametrize(
    "config",
    [
        {},
        *({key: value for key, value in _damaged().items() if key != gone} for gone in _damaged()),
        _damaged(inputs=[["x", "float31", [1]]]),
        _damaged(inputs=[["x", "float32"]]),
        _damaged(inputs=[["x", "float32", [-2]]]),
        _damaged(outputs=3),
        _damaged(variables=[["w", "float32", [1], True]]),
        _damaged(variables=[["w", "float32", ["one"], True, False]]),
        _damaged(shapes=[[[["two"]]]]),
    ],
)
def test_a_damaged_config_is_a_message(config):
    with pytest.raises(LoadError, match="config of a SignatureLayer is damaged"):
        description.from_config(config)


def test_shapes_are_written_as_people_do():
    texts = [signature.shape_text(shape) for shape in ((None, 16), (3,), (), None)]
    assert texts == ["[None, 16]", "[3]", "scalar", "of unknown rank"]
    assert str(Spec("x:0", "int32", (None, 2))) == "int32 [None, 2]"


def _meta_graph(**signatures) -> meta_graph_pb2.MetaGraphDef:
    """Signatures by key: names of inputs, names of outputs."""
    made = meta_graph_pb2.MetaGraphDef()
    for key, sides in signatures.items():
        definition = made.signature_def[key]
        for infos, names in zip((definition.inputs, definition.outputs), sides, strict=True):
            for name in names:
                infos[name].name, infos[name].dtype = f"{name}:0", tf.float32.as_datatype_enum
                infos[name].tensor_shape.unknown_rank = True
    return made


@pytest.mark.parametrize(
    ("record", "order"),
    [
        ({}, (["a", "b", "c"], ["x", "y"])),
        ({"inputs": ["c", "a"], "outputs": ["y"]}, (["c", "a", "b"], ["y", "x"])),
        ({"inputs": ["c", "gone"], "outputs": []}, (["c", "a", "b"], ["x", "y"])),
        (
            {"inputs": ["c"], "signatures": {"key": {"inputs": {"b": {}}, "outputs": {"y": {}}}}},
            (["b", "a", "c"], ["y", "x"]),
        ),
        ({"inputs": ["c"], "signatures": {"key": {"inputs": {}}}}, (["c", "a", "b"], ["x", "y"])),
        ({"inputs": ["c"], "signatures": {"other": {"inputs": {"b": {}}}}}, (["c", "a", "b"], ["x", "y"])),
    ],
)
def test_call_order_is_the_records_then_alphabetical(record, order, tmp_path):
    (tmp_path / "record.json").write_text(json.dumps({"format_version": 1, **record}))
    read_record = record_file.read(str(tmp_path / "record.json"), LoadError)
    (read,) = signature.read_all(_meta_graph(key=("abc", "xy")), read_record).values()
    assert (list(read.inputs), list(read.outputs)) == order


def test_what_initialises_is_no_signature():
    made = _meta_graph(serve=("a", "b"), __saved_model_init_op=("", "n"), __saved_model_train_op=("", "n"))
    assert list(signature.read_all(made, None)) == ["serve"]


def test_types_and_shapes_are_read_and_sparse_inputs_are_three():
    made = _meta_graph(serve=("xu", "y"))
    info = made.signature_def["serve"].inputs["x"]
    info.dtype = tf.int64.as_datatype_enum
    info.tensor_shape.CopyFrom(tf.TensorShape([None, 3]).as_proto())
    sparse = made.signature_def["serve"].inputs["s"]
    sparse.dtype = tf.string.as_datatype_enum
    for part in ("indices", "values", "dense_shape"):
        setattr(sparse.coo_sparse, f"{part}_tensor_name", f"{part}:0")
    assert signature.read_all(made, None)["serve"].inputs == {
        "s_indices": Spec("indices:0", "int64", (None, None)),
        "s_values": Spec("values:0", "string", (None,)),
        "s_dense_shape": Spec("dense_shape:0", "int64", (None,)),
        "x": Spec("x:0", "int64", (None, 3)),
        "u": Spec("u:0", "float32", None),
    }


def test_output_shapes_are_replaced_by_tensor():
    one = signature.Signature(
        {"x": Spec("y:0", "int32", None)}, {"y": Spec("y:0", "int32", None), "z": Spec("z:0", "int32", ())}
    )
    got = signature.with_output_shapes(one, {"y:0": (None, 2)})
    assert got.outputs["y"] == Spec("y:0", "int32", (None, 2)) and got.outputs["z"] == one.outputs["z"]
    assert got.inputs == one.inputs and one.outputs["y"].shape is None
