"""What the user asks step 1 for."""

import dataclasses
from collections.abc import Mapping, Sequence

from export_v1 import errors
from export_v1.console import flags
from export_v1.format.record import LEFT_BEHIND

# Flag -> what it names, for messages.
SOURCES = {
    "saved_model": "a TF1 SavedModel or TF1 Hub module",
    "graph_def": "a frozen GraphDef",
    "builder": "code that rebuilds the graph",
    "checkpoint": "a Saver checkpoint",
}


_MODEL = "The model, exactly one"
_ENDS = "What goes in and out"
_TRAINING = "Training goes on"
_WEIGHTS = "Weights and files"
_PROOF = "Proof"
_TARGET = "Where it is written"
_TRUST = "Trust"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What step 1 is asked for: the flags of `python -m export_v1` under the same names, and their one table."""

    checkpoint: str | None = flags.field(
        "string",
        _MODEL,
        "A Saver checkpoint: its prefix, its folder (the latest one in it), or any of its files.",
        "PREFIX_OR_DIR",
    )
    meta_graph: str | None = flags.field(
        "string",
        _MODEL,
        "MetaGraphDef of the checkpoint, .meta or .pbtxt, or an events file of TensorBoard, which holds the graph, too. "
        "Default: the MetaGraphDef beside the checkpoint.",
        "FILE",
    )
    builder: str | None = flags.field(
        "string",
        _MODEL,
        "Code that rebuilds the graph and returns (inputs, outputs), two dicts of tensors; --checkpoint has the "
        "weights. A function that takes `training` is called once for each mode. This runs the code.",
        "MODULE_OR_FILE:FUNCTION",
    )
    saved_model: str | None = flags.field(
        "string",
        _MODEL,
        "A TF1 SavedModel or TF1 Hub module, a folder or a .tar.gz. All its signatures are kept.",
        "DIR",
    )
    tags: Sequence[str] | None = flags.field(
        "list", _MODEL, "Tags of the MetaGraphDef to take from --saved_model. Default: serve.", "TAG,…"
    )
    graph_def: str | None = flags.field("string", _MODEL, "A frozen GraphDef, .pb or .pbtxt.", "FILE")
    unfreeze: bool = flags.field(
        "bool", _MODEL, "Turn the constants of --graph_def that act as weights into variables."
    )
    inputs: Mapping[str, str] = flags.field(
        "pairs",
        _ENDS,
        "An input; repeatable, in call order. It can be any tensor: the graph is cut there. A shape may follow: "
        "x=images:0[None,224,224,3]. Default: chosen, and reported.",
        "KEY=TENSOR",
        name="input",
        example="x=images:0",
    )
    outputs: Mapping[str, str] = flags.field(
        "pairs",
        _ENDS,
        "An output, such as y=probs:0; repeatable. Default: chosen, and reported.",
        "KEY=TENSOR",
        name="output",
        example="y=probs:0",
    )
    freeze: Mapping[str, object] = flags.field(
        "pairs",
        _ENDS,
        "The value of a tensor during inference, such as is_training:0=false or keep_prob:0=1.0; repeatable. Conditions "
        "on it disappear, and dropout with them. Default: flags for the mode are recognized, and reported.",
        "TENSOR=VALUE",
        example="is_training:0=false",
    )
    train_freeze: Mapping[str, object] = flags.field(
        "pairs",
        _ENDS,
        "The value of a tensor during training; repeatable. Adds the signature `train`. Default: no such signature.",
        "TENSOR=VALUE",
        example="is_training:0=true",
    )
    moving_averages: bool = flags.field(
        "bool",
        _ENDS,
        "Let batch norm that was built for training use its moving averages, as for inference. Default: if training "
        "has updated them.",
    )
    batch_statistics: bool = flags.field(
        "bool", _ENDS, "Let batch norm that was built for training use the statistics of each batch, as the graph does."
    )
    resume: bool = flags.field(
        "bool", _TRAINING, "Keep the loss, the optimizer and its state, so that load_v2.resume continues the training."
    )
    loss: str | None = flags.field(
        "string", _TRAINING, "The loss, with --resume. Default: the tensor that the graph has gradients of.", "TENSOR"
    )
    labels: Mapping[str, str] = flags.field(
        "pairs",
        _TRAINING,
        "What the loss needs besides the inputs, with --resume; repeatable. Default: chosen, and reported.",
        "KEY=TENSOR",
        name="label",
        example="labels=labels:0",
    )
    leave_behind: Sequence[str] = flags.field(
        "list",
        _TRAINING,
        "What of the training not to carry over, with --resume: python, sampling, queues, optimizer. Default: nothing; "
        "the command stops at what cannot be, and says which of these it is.",
        "NAME,…",
    )
    rename: Sequence[str] = flags.field(
        "multi",
        _WEIGHTS,
        "Maps names of variables in the graph to keys of the checkpoint; repeatable. Default: they are the same.",
        "REGEX=REPLACEMENT",
    )
    ema: bool = flags.field(
        "bool", _WEIGHTS, "Restore the ExponentialMovingAverage values where the checkpoint has them."
    )
    init_missing: bool = flags.field("bool", _WEIGHTS, "Initialize variables that the checkpoint lacks.")
    asset: Mapping[str, str] = flags.field(
        "pairs",
        _WEIGHTS,
        "Where a vocabulary or another asset file is now; repeatable. Default: beside the checkpoint, else its old path.",
        "OLD=NEW",
        example="/old/vocab.txt=vocab.txt",
    )
    op_library: Sequence[str] = flags.field(
        "multi", _WEIGHTS, "A library of custom ops, loaded with tf.load_op_library; repeatable. Default: none.", "FILE"
    )
    keep_ops: Sequence[str] = flags.field(
        "list",
        _WEIGHTS,
        "Ops to leave as they are instead of replacing them by what TensorFlow 2 can run; with --op_library. Default: none.",
        "NAME,…",
    )
    optimize: bool = flags.field(
        "bool",
        _WEIGHTS,
        "For inference alone: weights are constants, and batch norm goes into the kernels of convolutions and dense layers. "
        "Answers faster, the same but for rounding; cannot be trained.",
    )
    sample: str | None = flags.field(
        "string",
        _PROOF,
        "Real inputs for the recorded answers, one array per key. Default: generated from dtype, shape and what reads "
        "them, always the same.",
        "FILE.npz",
    )
    no_sample: bool = flags.field("bool", _PROOF, "Run nothing and record no answers: fast, but nothing is proven.")
    require_proof: bool = flags.field(
        "bool",
        _PROOF,
        "Stop if an output cannot be compared with the original's. Default: the export is written, and says so.",
    )
    overwrite: bool = flags.field("bool", _TARGET, "Replace the export, or another SavedModel, at --export_dir.")
    versioned: bool = flags.field(
        "bool", _TARGET, "Write to the next free version number below the folder, as TensorFlow Serving expects."
    )
    warmup: Sequence[int] = flags.field(
        "sizes",
        _TARGET,
        "Add a warm-up request for TensorFlow Serving with N rows of the sample, without N all of them; repeatable. "
        "Needs the extra `serving`. Default: none.",
        "N",
    )
    mlserver: str | None = flags.field(
        "string",
        _TARGET,
        "Write the settings that MLServer starts the export with, under this name; see load_v2.mlserver.",
        "NAME",
        example="digits",
    )
    allow_ops: Sequence[str] = flags.field(
        "list", _TRUST, "Ops to allow although they can touch files, the network or Python. Default: none.", "NAME,…"
    )

    @property
    def files(self) -> tuple[str, ...]:
        """The files, folders and prefixes that are read."""
        builder = self.builder.rpartition(":")[0] if self.builder else None
        read = (self.checkpoint, self.meta_graph, builder, self.saved_model, self.graph_def, self.sample)
        return (*(path for path in read if path), *self.asset.values(), *self.op_library)

    @property
    def source_kind(self) -> str:
        """Which kind of source is asked for.

        Raises:
            ExportError: none is, or flags of two kinds are given.
        """
        given = [name for name in SOURCES if getattr(self, name)]
        if not given:
            listed = "\n".join(f"    --{name}=…  {what}" for name, what in SOURCES.items())
            raise errors.ExportError(
                "No model is given. Its path may stand first: python -m export_v1 model.ckpt-1000 export/1\n"
                f"  Or pass one of:\n{listed}"
            )
        if given == ["builder"]:
            raise errors.ExportError("--builder needs the weights too.\n  Pass --checkpoint=PREFIX.")
        if len(given) > 1 and given != ["builder", "checkpoint"]:
            listed = " and ".join(f"--{name}" for name in given)
            raise errors.ExportError(f"Exactly one model can be exported; {listed} are given.\n  Remove all but one.")
        if self.meta_graph and given != ["checkpoint"]:
            raise errors.ExportError(f"--meta_graph goes with --checkpoint alone, not with --{given[0]}.")
        if self.unfreeze and given != ["graph_def"]:
            raise errors.ExportError(
                "--unfreeze goes with --graph_def: other sources have their variables.\n  Remove it."
            )
        if (self.loss or self.labels or self.leave_behind) and not self.resume:
            flag = "--loss" if self.loss else "--label" if self.labels else "--leave_behind"
            raise errors.ExportError(
                f"{flag} goes with --resume, which exports the training.\n  Pass --resume as well."
            )
        strange = [word for word in self.leave_behind if word not in LEFT_BEHIND]
        if strange:
            raise errors.unknown("Part of a training", strange[0], "the values of --leave_behind", LEFT_BEHIND)
        for flag, given_too in (
            ("resume", self.resume),
            ("train_freeze", self.train_freeze),
            ("unfreeze", self.unfreeze),
        ):
            if self.optimize and given_too:
                raise errors.ExportError(
                    f"--optimize and --{flag} exclude each other: what is optimized cannot be trained.\n"
                    "  Remove one of them, or export twice."
                )
        if self.sample and self.no_sample:
            raise errors.ExportError("--sample and --no_sample exclude each other.\n  Remove one of them.")
        if self.moving_averages and self.batch_statistics:
            raise errors.ExportError(
                "--moving_averages and --batch_statistics exclude each other.\n  Remove one of them, or both: the "
                "checkpoint tells whether the averages were ever updated."
            )
        if self.require_proof and self.no_sample:
            raise errors.ExportError(
                "--require_proof and --no_sample exclude each other: without answers nothing is proven.\n"
                "  Remove one of them."
            )
        if self.versioned and self.overwrite:
            raise errors.ExportError(
                "--versioned and --overwrite exclude each other: a new version never replaces one.\n"
                "  Remove one of them."
            )
        return given[0]
