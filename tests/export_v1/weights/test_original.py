"""original: variables that only the dead side of the original's conditions reads have their values."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.model import Graph, Source
from export_v1.request import Request
from export_v1.weights import original, restore
from tests.support import cases, graphs, small_models
from tests.support.graphs import v1


@pytest.mark.parametrize("name", ["proof_dead_logstd", "proof_dead_flag_variable"])
def test_a_variable_of_a_dead_branch_stops_no_proof(tmp_path, name):
    report = export_v1.export(export_dir=str(tmp_path / "out"), **cases.load(name).flags(), require_proof=True)
    assert report["proof"]["verdict"] == "equal" and len(report["variables"]) == 1


def _graph() -> v1.GraphDef:
    with graphs.tensorflow_1() as graph:
        v1.get_variable("kept", initializer=tf.constant([1.0]))
        v1.get_variable("stored", initializer=tf.constant([[2.0, 3.0]]))
        v1.get_variable("renamed/stored", initializer=tf.constant([4.0]))
        v1.get_variable("computed", initializer=tf.constant([5, 6]))
        v1.get_variable("of_another_shape", [3], initializer=v1.ones_initializer())
        v1.placeholder(tf.float32, [2], "fed")
        v1.get_variable("depends", initializer=graph.get_tensor_by_name("fed:0") * 2.0)
        return graph.as_graph_def(add_shapes=True)


def test_values_come_from_the_checkpoint_then_from_the_initializer_then_are_zero(tmp_path):
    values = {"kept": [7.0], "stored": [[8.0, 9.0]], "other": [10.0], "of_another_shape": [1.0, 1.0]}
    small_models.write_variables(str(tmp_path / "model"), {key: np.float32(value) for key, value in values.items()})
    exported = small_models.restored(str(tmp_path / "model"), "kept")
    model = Source("checkpoint", "model", Graph(_graph()), checkpoint=str(tmp_path / "model"))
    weights = original.OriginalWeights(
        exported.variables, exported.checkpoint, exported.initial, model, Request(rename=["^renamed/stored$=other"])
    )
    covered = weights.covering(_graph())
    found = {variable.name: covered.value(variable).tolist() for variable in covered.variables}
    assert found == {
        "kept": [7], "stored": [[8, 9]], "renamed/stored": [10], "computed": [5, 6], "of_another_shape": [1, 1, 1],
        "depends": [0, 0],
    }  # fmt: skip


def test_weights_that_know_of_no_others_are_themselves():
    weights = small_models.initial(w=np.float32(1))
    assert weights.covering(_graph()) is weights
    assert isinstance(weights, restore.Weights)
