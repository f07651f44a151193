"""Exports a TensorFlow 1 model as a SavedModel for TensorFlow 2, Keras 3 and TensorFlow Serving.

Look at what is in a checkpoint, then export it:

  python -m export_v1 --checkpoint=model.ckpt-3 --list
  python -m export_v1 --checkpoint=model.ckpt-3 --export_dir=export/1 --input=x=images:0 --output=y=probs:0 \\
      --freeze=is_training:0=false

With no --input and --output the tool chooses, says what and why, or stops and lists the candidates.
"""

import contextlib
import logging
import os
import sys

from absl import app, flags

from export_v1 import errors
from export_v1.console import supervise

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "Saver prefix, its folder (latest checkpoint), or any of its files."
)
_META_GRAPH = flags.DEFINE_string("meta_graph", None, "MetaGraphDef file; default: beside the checkpoint.")
_BUILDER = flags.DEFINE_string(
    "builder",
    None,
    "MODULE_OR_FILE:FUNCTION that rebuilds the graph from code and returns (inputs, outputs), two dicts of tensors. "
    "Takes --checkpoint for the weights. It is run as it is.",
)
_SAVED_MODEL = flags.DEFINE_string("saved_model", None, "Folder or .tar.gz of a TF1 SavedModel or TF1 Hub module.")
_TAGS = flags.DEFINE_list("tags", None, "Tags of the MetaGraphDef to take from --saved_model; default: serve.")
_GRAPH_DEF = flags.DEFINE_string("graph_def", None, "A frozen GraphDef, .pb or .pbtxt.")
_EXPORT_DIR = flags.DEFINE_string("export_dir", None, "Folder to write; appears whole or not at all.")
_INPUT = flags.DEFINE_multi_string(
    "input",
    [],
    "KEY=TENSOR, in call order; any tensor: the graph is cut there. A shape may follow: x=images:0[None,224,224,3]. "
    "Default: chosen.",
)
_OUTPUT = flags.DEFINE_multi_string("output", [], "KEY=TENSOR, such as y=probs:0. Default: chosen.")
_FREEZE = flags.DEFINE_multi_string(
    "freeze", [], "TENSOR=VALUE during inference: is_training:0=false, keep_prob:0=1.0."
)
_TRAIN_FREEZE = flags.DEFINE_multi_string(
    "train_freeze", [], "TENSOR=VALUE during training; asks for the `train` signature."
)
_RENAME = flags.DEFINE_multi_string("rename", [], "REGEX=REPLACEMENT from graph variable name to checkpoint key.")
_EMA = flags.DEFINE_bool("ema", False, "Restore ExponentialMovingAverage shadow values where the checkpoint has them.")
_ASSET = flags.DEFINE_multi_string("asset", [], "OLD=NEW: where an asset file is now.")
_OP_LIBRARY = flags.DEFINE_multi_string("op_library", [], "File for tf.load_op_library, loaded before import.")
_SAMPLE = flags.DEFINE_string(
    "sample", None, ".npz of real inputs, one array per key, for the recorded answers. Default: generated, seeded."
)
_NO_SAMPLE = flags.DEFINE_bool("no_sample", False, "Record no answers: for models too big to run here.")
_LIST = flags.DEFINE_bool("list", False, "Print candidates for --input, --output and --freeze, and every variable.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace what is at --export_dir.")
_INIT_MISSING = flags.DEFINE_bool("init_missing", False, "Variables that the checkpoint lacks take their initializer.")
_UNFREEZE = flags.DEFINE_bool("unfreeze", False, "Constants of --graph_def that act as weights become variables.")
_MOVING_AVERAGES = flags.DEFINE_bool(
    "moving_averages", False, "Batch norm that was built for training goes by its moving averages, as for inference."
)
_VERSIONED = flags.DEFINE_bool(
    "versioned", False, "--export_dir is a base path of TensorFlow Serving: write to its next integer version folder."
)


class _BatchSize(flags.ArgumentParser):
    """A size, or nothing: a flag without a value reads "true"."""

    def parse(self, argument):
        if argument == "true":
            return 0
        if not str(argument).isdigit() or not int(argument):
            raise ValueError(f"{argument!r} is not a batch size; write --warmup=8, or --warmup for the sample's own")
        return int(argument)

    def flag_type(self):
        return "batch size"


_WARMUP = flags.DEFINE_multi(
    _BatchSize(),
    flags.ArgumentSerializer(),
    "warmup",
    [],
    "Batch size of a TensorFlow Serving warm-up request made from the sample; one request each. Without a size: the "
    "sample's own. Needs the extra `serving`.",
)
flags.FLAGS["warmup"].boolean = True
_ALLOW_OPS = flags.DEFINE_list("allow_ops", [], "Ops that may touch files, network or Python and are let in: NAME,…")


def _pairs(flag: str, given: list[str], example: str, last: bool = False) -> dict[str, str]:
    """Splits KEY=VALUE flags at the first "=", or the last one; keys have to differ."""
    pairs: dict[str, str] = {}
    for text in given:
        key, equals, value = text.rpartition("=") if last else text.partition("=")
        if not (key and equals and value):
            raise errors.ExportError(f"--{flag}={text} is not of the form it needs.\n  Write it as --{flag}={example}.")
        if key in pairs:
            raise errors.ExportError(f"--{flag} names {key!r} twice: {pairs[key]!r} and {value!r}.")
        pairs[key] = value
    return pairs


def _request() -> dict[str, object]:
    return {
        "checkpoint": _CHECKPOINT.value,
        "meta_graph": _META_GRAPH.value,
        "builder": _BUILDER.value,
        "saved_model": _SAVED_MODEL.value,
        "tags": _TAGS.value,
        "graph_def": _GRAPH_DEF.value,
        "inputs": _pairs("input", _INPUT.value, "x=images:0"),
        "outputs": _pairs("output", _OUTPUT.value, "y=probs:0"),
        "freeze": _pairs("freeze", _FREEZE.value, "is_training:0=false"),
        "train_freeze": _pairs("train_freeze", _TRAIN_FREEZE.value, "is_training:0=true"),
        "rename": _RENAME.value,
        "ema": _EMA.value,
        "asset": _pairs("asset", _ASSET.value, "/old/vocab.txt=vocab.txt"),
        "op_library": _OP_LIBRARY.value,
        "sample": _SAMPLE.value,
        "overwrite": _OVERWRITE.value,
        "init_missing": _INIT_MISSING.value,
        "unfreeze": _UNFREEZE.value,
        "moving_averages": _MOVING_AVERAGES.value,
        "no_sample": _NO_SAMPLE.value,
        "versioned": _VERSIONED.value,
        "warmup": _WARMUP.value,
        "allow_ops": _ALLOW_OPS.value,
    }


@contextlib.contextmanager
def _silent_stderr():
    """Keeps quiet what C++ code writes to stderr meanwhile.

    While it is imported, TensorFlow 2.21 says that there is no GPU, twice, before any of its log levels has an effect.
    """
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _run(argv: list[str]) -> int:
    from export_v1.planning.request import Request

    if len(argv) > 1:
        raise errors.ExportError(f"{argv[1]!r} is not a flag.\n  Write flags as --name=value; --help lists them.")
    request = Request(**_request())
    request.source_kind  # noqa: B018 - raises where the flags contradict each other
    if not _LIST.value and not _EXPORT_DIR.value:
        raise errors.ExportError("No --export_dir is given.\n  Pass --export_dir=DIR, or --list to look first.")
    if flags.FLAGS.verbosity <= 0:
        # TensorFlow's own log would bury the report; --verbosity=1 shows it.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        with _silent_stderr():
            import tensorflow  # noqa: F401
    from export_v1 import pipeline

    if _LIST.value:
        print(pipeline.listing(request), flush=True)
    else:
        print(pipeline.run(request, _EXPORT_DIR.value).text(), flush=True)
    return 0


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit code, 1 after an error the user can put right."""
    verbose = flags.FLAGS.verbosity > 0
    try:
        with supervise.interruptible():
            return _run(argv)
    except errors.ExportError as error:
        if verbose:
            raise
        print(f"export_v1: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("export_v1: interrupted; nothing was written.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever reads the output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if verbose:
            raise
        print(
            f"export_v1: {type(error).__name__}: {error}\n  This is a defect of the exporter, and nothing was written. "
            "Please report it with what --verbosity=1 prints.",
            file=sys.stderr,
        )
    return 1


def _supervised(argv: list[str]) -> int:
    from export_v1.artifact import destination

    def clear() -> None:
        if _EXPORT_DIR.value:
            destination.sweep_for(_EXPORT_DIR.value, _VERSIONED.value)

    return supervise.supervised(lambda: main(argv), "export_v1", clear)


if __name__ == "__main__":
    app.run(_supervised)
