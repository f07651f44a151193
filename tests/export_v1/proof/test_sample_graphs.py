"""Graphs that a genuine TensorFlow 1.15.5 wrote: each answers to inputs that were made up for it."""

import json

import pytest
import tensorflow as tf

from export_v1.interface import Input
from export_v1.ir import graph as ir
from export_v1.passes import freeze, prune
from export_v1.proof import examples
from tests.support import cases, graphs

FOLDER = cases.FOLDER / "sample_graphs"
GRAPHS = json.loads((FOLDER / "graphs.json").read_text())
# Of those that are run before one fits; shape functions refuse the others.
MOST_REFUSED = 3


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_of_tensorflow_1_answers_to_inputs_made_up_for_it(name):
    whole = ir.GraphDef.FromString((FOLDER / f"{name}.pb").read_bytes())
    index, output = ir.Index(whole), GRAPHS[name]["output"]
    inputs = {}
    for key, tensor in enumerate(map(ir.parse, GRAPHS[name]["inputs"])):
        inputs[str(key)] = Input(
            tensor.name, index.data_type(tensor) or 0, ir.recorded_shape(index[tensor.node], tensor.index)
        )
    cuts = {one.tensor: (one.dtype, one.shape) for one in inputs.values()}
    cut = freeze.to_placeholders(whole, cuts)
    feeds = {key: cut.renamed.get(one.tensor, one.tensor) for key, one in inputs.items()}
    pruned = prune.to_outputs(cut.graph_def, [output]).graph_def
    attempts = examples.attempts(whole, pruned, inputs)
    for refused, made in enumerate(attempts):
        try:
            answer = graphs.run(pruned, output, {feeds[key]: value for key, value in made.items()})
        except (tf.errors.OpError, ValueError) as error:
            attempts.refused(str(error))
            continue
        assert answer.size and refused <= MOST_REFUSED
        return
    pytest.fail(attempts.reason)
