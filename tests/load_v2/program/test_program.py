"""load_v2.program: what a layer takes out of a graph, and what it refuses to take."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.protobuf import meta_graph_pb2

from export_v1.format import record as record_file
from load_v2 import LoadError
from load_v2.program import artefact, program, subgraph
from load_v2.program.signature import Signature, Spec
from tests.support import graphs, savedmodels
from tests.support.graphs import v1


def _source(
    graph_def: str | subgraph.GraphDef, outputs: dict, inputs: dict | None = None, **fields
) -> artefact.Artefact:
    """An artefact around a graph: outputs and inputs are tensor names by key, or specs."""
    meta_graph = meta_graph_pb2.MetaGraphDef()
    if isinstance(graph_def, str):
        graph_def = text_format.Parse(graph_def, subgraph.GraphDef())
    meta_graph.graph_def.CopyFrom(graph_def)
    specs = [
        {key: Spec(tensor, "float32", None) for key, tensor in side.items()}
        for side in (inputs or {"x": "x:0"}, outputs)
    ]
    fields.setdefault("signatures", {"serving_default": Signature(*specs)})
    variables = artefact._variables(meta_graph, None, "export")
    return artefact.Artefact("export", meta_graph, variables=variables, assets=fields.pop("assets", {}), **fields)


def _record(folder: str, **content) -> None:
    os.makedirs(os.path.join(folder, "assets.extra"), exist_ok=True)
    with open(os.path.join(folder, record_file.PATH), "w") as stream:
        json.dump({"format_version": 1, **content}, stream)


def _minus(folder, train_inputs=("a", "b"), train_outputs=("y",), **order) -> program.Program:
    """`y` is a - b in inference and 10 a - b in training, whatever order the train signature has."""
    with savedmodels.session() as current:
        a, b = (v1.placeholder(tf.float32, [None], name=name) for name in "ab")
        given = {key: {"a": a, "b": b}.get(key, a) for key in train_inputs}
        made = {"y": 10 * a - b, "z": a, "other": b}
        trained = {key: made[key] for key in train_outputs}
        w = savedmodels.variable("w", np.float32(0))
        path = savedmodels.save(folder, current, {"a": a, "b": b}, {"y": a - b + w, "z": a * 1}, train=(given, trained))
    _record(path, signatures=order)
    return program.take(artefact.read(path), "serving_default")


def test_the_training_graph_gives_every_output_or_is_none(tmp_path):
    assert _minus(tmp_path / "lacks", train_outputs=("y",)).train is None
    taken = _minus(tmp_path / "more", train_outputs=("y", "z", "other"))
    assert list(taken.train.outputs) == list(taken.serve.outputs) == ["y", "z"]


@pytest.mark.parametrize("keys", [("a",), ("a", "b", "c"), ("a", "c")])
def test_a_training_graph_with_other_inputs_is_none(tmp_path, keys):
    assert _minus(tmp_path / "m", train_inputs=keys, train_outputs=("y", "z")).train is None


def test_the_training_signature_itself_has_no_training_graph(tmp_path):
    source = _minus(tmp_path / "m", train_outputs=("y", "z")).source
    assert program.take(source, "train").train is None


def test_training_takes_its_inputs_in_the_order_of_the_call(tmp_path):
    order = {"serving_default": {"inputs": ["b", "a"]}, "train": {"inputs": ["a", "b"]}}
    taken = _minus(tmp_path / "m", train_outputs=("y", "z"), **order)
    assert [spec.tensor for spec in taken.serve.inputs] == ["b:0", "a:0"]
    assert [spec.tensor for spec in taken.train.inputs] == ["b:0", "a:0"]


@pytest.mark.parametrize(
    ("signatures", "parts"),
    [
        (["serving_default", "b"], ["Closest: 'serving_default'", 'signature="serving_default"', "Known (2)"]),
        ([], ["There are none"]),
    ],
)
def test_an_unknown_signature_is_told_the_others(signatures, parts):
    one = Signature({}, {})
    source = _source('node { name: "x" }', {}, signatures={key: one for key in signatures})
    with pytest.raises(LoadError) as caught:
        program.take(source, "serving_defualt")
    for part in ["'serving_defualt'", *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(("op", "what"), [("HashTable", "tables"), ("VariableV2", "variables")])
def test_what_is_held_by_reference_is_refused_by_name_where_it_is_needed(op, what):
    text = f"""
        node {{ name: "x" op: "Placeholder" }} node {{ name: "held" op: "{op}" }}
        node {{ name: "y" op: "LookupTableFind" input: "held" input: "x" }} node {{ name: "z" op: "Neg" input: "x" }}
    """
    with pytest.raises(LoadError, match=f"(?s){what}.*'held'.*export_v1 --saved_model=export"):
        program.take(_source(text, {"y": "y:0"}), "serving_default")
    assert graphs.names(program.take(_source(text, {"z": "z:0"}), "serving_default").graph_def) == ["x", "z"]


@pytest.mark.parametrize("op", ["HashTableV2", "MutableHashTableV2", "VarHandleOp"])
def test_what_is_made_inside_a_branch_is_refused_by_name(op):
    text = f"""
        node {{ name: "x" op: "Placeholder" }}
        node {{ name: "y" op: "If" input: "x" attr {{ key: "then_branch" value {{ func {{ name: "f" }} }} }} }}
        library {{ function {{ signature {{ name: "f" }} node_def {{ name: "hidden" op: "{op}" }} }} }}
    """
    with pytest.raises(LoadError, match="'hidden'"):
        program.take(_source(text, {"y": "y:0"}), "serving_default")
    uncalled = text.replace('func { name: "f" }', 'func { name: "g" }')
    assert program.take(_source(uncalled, {"y": "y:0"}), "serving_default").variables == ()


PARTS = """
    node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }
    node { name: "b" op: "VarHandleOp" attr { key: "dtype" value { type: DT_FLOAT } } attr { key: "shape" value { shape { } } } }
    node { name: "a" op: "VarHandleOp" attr { key: "dtype" value { type: DT_FLOAT } } attr { key: "shape" value { shape { } } } }
    node { name: "unused" op: "VarHandleOp" attr { key: "dtype" value { type: DT_FLOAT } }
           attr { key: "shape" value { shape { } } } }
    node { name: "read_a" op: "ReadVariableOp" input: "a" }
    node { name: "read_b" op: "ReadVariableOp" input: "b" }
    node { name: "count" op: "AssignAddVariableOp" input: "b" input: "x" }
    node { name: "noise" op: "RandomUniform" input: "x" }
    node { name: "plain" op: "Mul" input: "x" input: "read_a" input: "^count" }
    node { name: "noisy" op: "Add" input: "plain" input: "noise" }
    node { name: "enter" op: "Enter" input: "x" }
    node { name: "looped" op: "Exit" input: "enter" }
    node { name: "loss" op: "L2Loss" input: "read_a" }
    node { name: "other_loss" op: "L2Loss" input: "read_b" }
    node { name: "table" op: "HashTableV2" attr { key: "shared_name" value { s: "words" } } }
    node { name: "twin" op: "HashTableV2" attr { key: "shared_name" value { s: "words" } } }
    node { name: "apart" op: "HashTableV2" }
    node { name: "file" op: "Const" } node { name: "other_file" op: "Const" }
    node { name: "fill" op: "InitializeTableFromTextFileV2" input: "twin" input: "file" }
    node { name: "fill_apart" op: "InitializeTableFromTextFileV2" input: "apart" input: "other_file" }
    node { name: "found" op: "LookupTableFindV2" input: "table" input: "x" }
    node { name: "own" op: "IdentityN" input: "read_a" attr { key: "_gradient_op_type" value { s: "C" } } }
    node { name: "nobodys" op: "IdentityN" input: "x" attr { key: "_gradient_op_type" value { s: "C" } } }
"""


def _taken(outputs: dict, **fields) -> program.Program:
    return program.take(_source(PARTS, outputs, **fields), "serving_default")


def test_only_variables_that_are_needed_come_in_the_graphs_order():
    taken = _taken({"y": "plain:0"})
    assert [variable.name for variable in taken.variables] == ["b", "a"]
    assert taken.written == {"b"}
    assert [v.name for v in _taken({"y": "read_a:0"}).variables] == ["a"]


def test_inputs_variables_and_tables_are_cut_from_the_parts_and_kept_in_the_graph():
    taken = _taken({"y": "plain:0", "z": "found:0"})
    assert set(graphs.names(taken.serve.graph_def)) == {"read_a", "count", "plain", "found"}
    assert {"x", "a", "b", "table", "twin", "fill", "file"} <= set(graphs.names(taken.graph_def))


def test_a_table_is_filled_by_the_initializer_of_its_twin_and_of_nothing_else():
    assets = {"file:0": "words.txt", "other_file:0": "other.txt"}
    taken = _taken({"y": "found:0"}, assets=assets)
    assert "fill" in graphs.names(taken.graph_def) and "fill_apart" not in graphs.names(taken.graph_def)
    assert taken.assets == {"file:0": "words.txt"}
    assert _taken({"y": "plain:0"}, assets=assets).assets == {}


def test_an_input_that_no_output_needs_stays_in_the_graph():
    assert graphs.names(_taken({"y": "read_a:0"}).graph_def) == ["x", "a", "read_a"]


def test_outputs_behind_a_loop_are_told_apart():
    assert _taken({"plain": "plain:0", "looped": "looped:0"}).serve.v1_control_flow == {"looped"}
    assert _taken({"plain": "plain:0"}).serve.v1_control_flow == frozenset()


def test_losses_that_the_graph_has_come_with_the_variables_they_read():
    losses = ("loss:0", "gone:0", "other_loss:0")
    taken = _taken({"y": "plain:0"}, regularization_losses=losses)
    assert [names for names, _ in taken.regularizers] == [("a",), ("b",)]
    assert [part.outputs["loss"].tensor for _, part in taken.regularizers] == ["loss:0", "other_loss:0"]


def test_a_variable_that_a_loss_alone_reads_is_a_variable_of_the_layer():
    taken = _taken({"y": "read_a:0"}, regularization_losses=("other_loss:0",))
    assert [variable.name for variable in taken.variables] == ["b", "a"]


def test_gradients_of_python_are_named_where_they_are_needed():
    assert _taken({"y": "own:0"}).custom_gradients == ("own",)
    assert _taken({"y": "plain:0"}).custom_gradients == ()


def test_what_cannot_be_taken_apart_is_blamed_on_the_signature():
    broken = PARTS.replace('input: "x" input: "read_a" input: "^count"', 'input: "x:99999999999999999999"')
    call = '; node { name: "call" op: "f" } library { function { signature { name: "f" input_arg { name: "q" } } } }'
    with pytest.raises(LoadError, match="'serving_default' of 'export' cannot be taken out"):
        program.take(_source(broken + call.lstrip(";"), {"y": "plain:0"}), "serving_default")


def _effect() -> subgraph.GraphDef:
    with graphs.tensorflow_1() as made:
        x = v1.placeholder(tf.float32, [], name="x")
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="w", name="w")
        tf.raw_ops.AssignVariableOp(resource=handle, value=x * 2, name="set")
        tf.identity(x + 1, name="y")
    return made.as_graph_def()


def test_a_part_runs_at_once_with_its_effects_and_gives_what_was_fed():
    w = tf.Variable(0.0)
    feeds = {"x:0": tf.constant(3.0), "w:0": w.handle, "unknown:0": tf.constant(1.0)}
    got = program.run_now(_effect(), ["set", "y:0", "x:0"], feeds)
    assert [float(item) for item in got] == [0, 4, 3] and float(w) == 6


def test_a_part_becomes_nodes_while_a_graph_is_built():
    with tf.Graph().as_default() as made:
        x = v1.placeholder(tf.float32, [])
        (y,) = program.run_now(subgraph.needed(_effect(), ["y:0"], ["x:0"]), ["y:0"], {"x:0": x})
    assert y.graph is made
    assert program.import_into_current(subgraph.GraphDef(), ["x:0"], {"x:0": x}) == [x]
    assert program.import_into_current(subgraph.GraphDef(), ["file:0"], {}, {"file:0": x}) == [x]
