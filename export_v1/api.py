"""The two functions of step 1."""

from export_v1 import interface, pipeline
from export_v1.artifact import report
from export_v1.request import Request


def export(*, export_dir: str, **flags) -> report.Report:
    """Exports a TensorFlow 1 model as a SavedModel, and returns what was done.

    The folder appears whole or not at all. Every automatic choice is in the report. The exported graph has given the
    answers of the original one, pruned and otherwise untouched, before it is written. Where answers cannot be recorded
    or compared it is written all the same, and `report["proof"]` says what is not proven, and why.

    Args:
        export_dir: the folder to write; must not exist, or be empty, unless `overwrite`.
        **flags: as those of `python -m export_v1`, under the same names: `checkpoint`, `meta_graph`, `builder`,
            `saved_model`, `tags`, `graph_def`; `inputs` and `outputs` (key -> tensor name, in call order), `freeze` and
            `train_freeze` (tensor name -> value), `rename` (list of "REGEX=REPLACEMENT"), `ema`, `asset` (old path ->
            new path), `op_library` (list of files), `sample`, `overwrite`, `init_missing`, `unfreeze`, `moving_averages`,
            `resume`, `loss`, `labels` (key -> tensor name), `no_sample`, `require_proof`, `versioned`, `warmup`, `allow_ops`.

    Raises:
        ExportError: something the user can put right; nothing has been written.
        TypeError: an argument that is not there.
    """
    return pipeline.export(Request(**flags), export_dir)


def inspect(**flags) -> interface.Candidates:
    """Returns what could be inputs, outputs and frozen values of a model, best first; writes nothing.

    Args:
        **flags: which model, as for `export`.

    Raises:
        ExportError: the model cannot be read.
    """
    request = Request(**flags)
    return pipeline.candidates(request)
