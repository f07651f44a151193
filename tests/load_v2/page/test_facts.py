"""What is gathered for the page, of exports that are not whole, too."""

import os
import shutil

from export_v1.format.comparison import Verdict
from load_v2.page import document, facts


def test_weights_that_cannot_be_read_are_said_on_the_page(exported, tmp_path):
    copy = shutil.copytree(exported("mlp_layers"), tmp_path / "copy")
    data = next(name for name in os.listdir(copy / "variables") if ".data" in name)
    os.truncate(copy / "variables" / data, 10)
    gathered = facts.gather(copy)
    assert not gathered.numbers and gathered.no_numbers.startswith("The weights cannot be read: ")
    assert gathered.verdict is Verdict.NOT_PROVEN and "It could not be verified" in gathered.conclusion
    assert "The weights cannot be read" in document.text(gathered)


def test_every_signature_has_its_graph_and_every_output_its_plot(exported):
    gathered = facts.gather(exported("convnet_bn_finetune"))
    assert set(gathered.graphs) == {"serving_default", "train"} and not gathered.not_drawn
    assert {plot.comparison.key for plot in gathered.plots} == set(
        gathered.source.signatures["serving_default"].outputs
    )
    assert gathered.verdict is Verdict.EQUAL and gathered.conclusion == "The export answers as the original did."


def test_an_export_without_answers_says_that_it_is_not_proven(exported):
    gathered = facts.gather(exported("mlp_layers", no_sample=True))
    assert gathered.verdict is Verdict.NOT_PROVEN and not gathered.plots
    assert gathered.conclusion.startswith("Nothing to compare, variables intact")
