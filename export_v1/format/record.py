"""export_v1.json: what step 1 did, as it travels with an export.

Version history of the format; an export of any version listed here loads:

    1  2026-11  first
    1  2026-11  `proof`, `sets` of the sample: optional, earlier exports lack them
       2026-11  with `resume`, which older versions of the package pass over
       2026-11  `recorded` and `left_behind` of `resume`, which earlier records lack
       2026-11  `replaced`, which earlier records lack: nothing was
       2026-11  `scopes`: optional, earlier records lack them
       2026-11  `optimized`, which earlier records lack: nothing was
       2026-11  `files`, which earlier records lack: nothing is known of them
"""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from export_v1 import errors

PATH = os.path.join("assets.extra", "export_v1.json")
VERSION = 1

# Keys of the signatures of a training, in the order in which variables are looked up: those of the loss are the model's,
# what only the update has is not.
TRAINING_SIGNATURES = (LOSS, VALIDATION, UPDATE, GRADIENTS, RATE) = (
    "loss",
    "validation_loss",
    "update",
    "gradients",
    "learning_rate",
)

# What the names of sets of inputs begin with that differ from the first in their values alone.
OTHER_VALUES = "other values"

# What of a training `--leave_behind` leaves out.
LEFT_BEHIND = (PYTHON, SAMPLING, QUEUES, OPTIMIZER) = ("python", "sampling", "queues", "optimizer")

Shape = Sequence[int | None] | None


@dataclasses.dataclass(frozen=True)
class TensorEntry:
    """A tensor of the original graph.

    Attributes:
        tensor: its tensor name there.
        dtype: name of its DataType, never a reference type.
        shape: its static shape there; None: unknown rank, None inside: unknown size.
        relaxed_shape: its shape in the export, where that leaves open a size which the original fixes; else None.
    """

    tensor: str = ""
    dtype: str = ""
    shape: Shape = None
    relaxed_shape: Shape = None

    @property
    def exported_shape(self) -> Shape:
        """The shape in the export."""
        return self.shape if self.relaxed_shape is None else self.relaxed_shape


@dataclasses.dataclass(frozen=True)
class SignatureEntry:
    """A signature of the export: inputs and outputs by key, in call order."""

    inputs: Mapping[str, TensorEntry] = dataclasses.field(default_factory=dict)
    outputs: Mapping[str, TensorEntry] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class VariableEntry:
    """A variable of the export.

    Attributes:
        name: its name in the graph.
        dtype: name of its type.
        shape: its full shape.
        trainable: whether it is in TRAINABLE_VARIABLES.
        checkpoint_key: where its value was in the checkpoint; None where it was computed or in the graph.
        crc32c: masked checksum of its bytes as written; None where none was taken.
    """

    name: str
    dtype: str = ""
    shape: Sequence[int] = ()
    trainable: bool = False
    checkpoint_key: str | None = None
    crc32c: int | None = None


@dataclasses.dataclass(frozen=True)
class Choice:
    """Something that was not given: what was chosen, and why."""

    what: str
    why: str


@dataclasses.dataclass(frozen=True)
class Unconverted:
    """A construct that stayed as TensorFlow 1 wrote it, and why."""

    construct: str
    why: str


@dataclasses.dataclass(frozen=True)
class Replaced:
    """An op that others stand in for.

    Attributes:
        op: what was replaced.
        count: how many nodes.
        by: what stands in for it; empty where nothing does, since --keep_ops left it as it was.
        in_reference: whether the graph whose answers were recorded has the replacement, too, since the op itself could
            not run there; the recorded answers then prove nothing about it.
    """

    op: str
    count: int = 0
    by: str = ""
    in_reference: bool = False


@dataclasses.dataclass(frozen=True)
class Optimized:
    """What --optimize made of an export, which cannot be trained any more.

    Attributes:
        constants: how many weights are constants of the graph.
        layers: how many convolutions and dense layers took into their kernels what scaled and shifted their channels.
        norms: how many batch norms went so.
        steps: how many other ops went so, such as the addition of a bias.
        identities: how many nodes that only passed a tensor on are gone.
    """

    constants: int = 0
    layers: int = 0
    norms: int = 0
    steps: int = 0
    identities: int = 0

    def __str__(self) -> str:
        return (
            f"{self.constants} weights are constants, which cannot be trained; {self.norms} batch norms and {self.steps} "
            f"other ops went into {self.layers} kernels, {self.identities} identities are gone"
        )


@dataclasses.dataclass(frozen=True)
class Nodes:
    """How many nodes the original graph has, how many of them are in the export, how many were dropped and folded away."""

    original: int = 0
    kept: int = 0
    dropped: int = 0
    folded: int = 0


@dataclasses.dataclass(frozen=True)
class Origin:
    """What was exported: its kind ("checkpoint", "builder", "saved_model", "graph_def") and its path."""

    kind: str
    path: str


@dataclasses.dataclass(frozen=True)
class SampleEntry:
    """The recorded answers, which are in sample.npz.

    Attributes:
        origin: where the inputs are from: "given" or "generated".
        unstable: keys of outputs whose answer changes from run to run, and so proves nothing.
        ranks: output key -> rank of its answer.
        sets: what is special about each further set of inputs, in their order.
    """

    origin: str = ""
    unstable: Sequence[str] = ()
    ranks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    sets: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class ProofEntry:
    """How the answers of `serving_default` compared with the original's when the export was written.

    Attributes:
        verdict: "equal" where all outputs that could be compared are; "not proven" where none could.
        why: why none could be compared; "" otherwise.
        not_proven: output key -> why it could not be compared.
        not_asked: inputs that were wanted for a further set, and why there are no answers to them.
    """

    verdict: str = ""
    why: str = ""
    not_proven: Mapping[str, str] = dataclasses.field(default_factory=dict)
    not_asked: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class GradientEntry:
    """A gradient that the update of a resumed training takes.

    Attributes:
        variable: name of the variable.
        loss: key of the differentiated tensor among the outputs of the signature `loss`.
        values: input key of the signature `update` for the gradient, or for the values of its rows.
        indices: input key for the row numbers; None for a whole tensor.
        dense_shape: input key for the variable's shape; None where the update does not read it.
    """

    variable: str
    loss: str
    values: str
    indices: str | None = None
    dense_shape: str | None = None


@dataclasses.dataclass(frozen=True)
class OptimizerEntry:
    """How one variable is changed by its gradient.

    Attributes:
        variable: its name.
        kind: TensorFlow's op without prefixes ("Adam", "CenteredRMSProp"), or "plain ops".
        settings: argument of the op -> its value, where that is a constant.
        options: attribute of the op -> its value.
        sparse: whether the op changes the rows that the gradient has, and no others.
        rate: output key of the signature `learning_rate`; None where nothing tells which tensor it is.
        gradient: output key of the signature `gradients` for what the op takes; None where there is none.
        slots: argument of the op -> name of the variable that holds it.
    """

    variable: str
    kind: str
    settings: Mapping[str, float] = dataclasses.field(default_factory=dict)
    options: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    sparse: bool = False
    rate: str | None = None
    gradient: str | None = None
    slots: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class ResumeEntry:
    """A training that can be gone on with: signatures `loss`, `update` and `learning_rate`.

    Attributes:
        loss: tensor name of the loss in the original graph.
        labels: input keys of the signature `loss` that are not inputs of `serving_default`.
        train_op: node of the original graph that did one step; "" where several did.
        gradients: what goes into the signature `update`.
        optimizers: how each trained variable is changed.
        counter: name of the variable that counts the steps; None where there is none.
        averages: name of a variable -> name of the variable that holds its moving average.
        proof: "equal" where loss, gradients and update were compared with the original's, perhaps with exceptions; else
            "not proven" and why.
        left_behind: words of --leave_behind for what was not carried over: "python", "sampling", "queues", "optimizer"; with the
            last one there is no signature `update`.
        recorded: whether a step of the original is in training.npz, to be replayed.
        random: whether the loss draws random numbers, as dropout does.
    """

    loss: str
    labels: Sequence[str] = ()
    train_op: str = ""
    gradients: Sequence[GradientEntry] = ()
    optimizers: Sequence[OptimizerEntry] = ()
    counter: str | None = None
    averages: Mapping[str, str] = dataclasses.field(default_factory=dict)
    random: bool = False
    proof: str = ""
    left_behind: Sequence[str] = ()
    recorded: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What step 1 did.

    Attributes:
        format_version: see the module.
        source: what was exported.
        graph_tensorflow_version: what wrote the graph, as it says itself; "" where it does not.
        exported_by_tensorflow: the TensorFlow that wrote the export.
        inputs: of `serving_default`, in call order.
        outputs: of `serving_default`, in call order.
        signatures: every signature by key.
        frozen: tensor name -> value during inference.
        train_frozen: tensor name -> value during training.
        nodes: how many, before and after.
        scopes: name scope -> how many nodes are directly in it, and how many of these were kept; "" is the top level.
        regularization_losses: tensor names in the export.
        converted: kind of control flow -> how many were made functional.
        unconverted: control flow that stayed as it was.
        replaced: ops that others stand in for.
        choices: everything that was not given, in the order of decision.
        variables: of the export.
        sample: about the recorded answers; None where there are none.
        sample_left_out: why none were recorded although they were wanted; None where nothing was left out.
        warnings: what the user should know.
        warmup: rows of each warm-up request for TensorFlow Serving.
        resume: the training that was exported; None where none was.
        optimized: what --optimize did; None where it was not asked for.
        files: name in the export -> digest, of the graph, assets and answers; see `digests.of_export`.
    """

    format_version: int = VERSION
    source: Origin | None = None
    graph_tensorflow_version: str = ""
    exported_by_tensorflow: str = ""
    inputs: Mapping[str, TensorEntry] = dataclasses.field(default_factory=dict)
    outputs: Mapping[str, TensorEntry] = dataclasses.field(default_factory=dict)
    signatures: Mapping[str, SignatureEntry] = dataclasses.field(default_factory=dict)
    frozen: Mapping[str, object] = dataclasses.field(default_factory=dict)
    train_frozen: Mapping[str, object] = dataclasses.field(default_factory=dict)
    nodes: Nodes = Nodes()
    scopes: Mapping[str, Sequence[int]] = dataclasses.field(default_factory=dict)
    regularization_losses: Sequence[str] = ()
    converted: Mapping[str, int] = dataclasses.field(default_factory=dict)
    unconverted: Sequence[Unconverted] = ()
    replaced: Sequence[Replaced] = ()
    choices: Sequence[Choice] = ()
    variables: Sequence[VariableEntry] = ()
    sample: SampleEntry | None = None
    sample_left_out: str | None = None
    proof: ProofEntry | None = None
    warnings: Sequence[str] = ()
    warmup: Sequence[int] = ()
    resume: ResumeEntry | None = None
    optimized: Optimized | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Returns the record as plain JSON values."""
        return plain(self)


def write(record: Record, path: str) -> None:
    """Writes a record as JSON."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(record.to_json(), file, indent=1)
        file.write("\n")


def read(path: str, error: type[errors.UserError], remedy: str = "Export again.") -> Record:
    """Returns the record in a file. Fields that a version knows nothing of have their defaults; unknown ones are ignored.

    Args:
        path: of the file.
        error: class of the error.
        remedy: what to do where it cannot be read.

    Raises:
        UserError: it is damaged, or of a version that this package does not read.
    """
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except (ValueError, RecursionError) as failure:
        raise error(f"{path!r} is damaged: {failure}.\n  {remedy}") from failure
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != VERSION:
        raise error(f"{path!r} has format version {version!r}, this version reads {VERSION}.\n  {remedy}")
    try:
        return _record(values)
    except (TypeError, ValueError, KeyError, AttributeError) as failure:
        raise error(f"{path!r} is damaged: {type(failure).__name__}: {failure}.\n  {remedy}") from failure


def dtype_name(dtype: int) -> str:
    """Returns the name of a DataType; "" where it is none.

    >>> dtype_name(1), dtype_name(0)
    ('float32', '')
    """
    from tensorflow import dtypes

    return dtypes.as_dtype(dtype).base_dtype.name if dtype else ""


def plain(value: Any) -> Any:
    """Returns a value as plain JSON values: dataclasses as dicts, arrays as lists, bytes as text."""
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if isinstance(value, TensorEntry) and value.relaxed_shape is None:
            del fields["relaxed_shape"]
        return plain(fields)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    # NumPy's scalars and arrays.
    return value.tolist() if hasattr(value, "tolist") else value


def _record(values: Mapping) -> Record:
    given = _known(Record, values)
    given |= {
        key: build(given[key])
        for key, build in {
            "source": lambda value: _made(Origin, value),
            "inputs": _tensors,
            "outputs": _tensors,
            "signatures": lambda value: {
                key: SignatureEntry(_tensors(sides.get("inputs", {})), _tensors(sides.get("outputs", {})))
                for key, sides in value.items()
            },
            "nodes": lambda value: _made(Nodes, value),
            "unconverted": lambda value: tuple(_made(Unconverted, item) for item in value),
            "replaced": lambda value: tuple(_made(Replaced, item) for item in value),
            "choices": lambda value: tuple(_choice(item) for item in value),
            "variables": lambda value: tuple(_made(VariableEntry, item) for item in value),
            "sample": lambda value: _made(SampleEntry, value),
            "proof": lambda value: _made(ProofEntry, value),
            "resume": resume_entry,
            "optimized": lambda value: _made(Optimized, value),
        }.items()
        if given.get(key) is not None
    }
    for key in ("frozen", "train_frozen", "converted"):
        dict(given.get(key, {}))
    for total, kept in given.get("scopes", {}).values():
        if not 0 <= kept <= total:
            raise ValueError(f"a scope has {kept!r} of {total!r} nodes")
    record = Record(**given)
    for variable in record.variables:
        if not isinstance(variable.name, str):
            raise TypeError(f"a variable's name is {variable.name!r}")
    if record.sample is not None:
        dict(record.sample.ranks)
    if record.proof is not None:
        dict(record.proof.not_proven)
    return record


def _made(kind, values: Mapping):
    return kind(**_known(kind, values))


def resume_entry(values: Mapping) -> ResumeEntry:
    """Returns the entry of a training from plain values, as `Record.to_json` writes them; unknown fields are ignored.

    Raises:
        TypeError, ValueError, KeyError, AttributeError: they are none.
    """
    given = _known(ResumeEntry, values)
    for key, kind in (("gradients", GradientEntry), ("optimizers", OptimizerEntry)):
        given[key] = tuple(_made(kind, item) for item in given.get(key, ()))
    entry = ResumeEntry(**given)
    dict(entry.averages)
    return entry


def _known(kind, values: Mapping) -> dict[str, Any]:
    names = {field.name for field in dataclasses.fields(kind)}
    return {key: value for key, value in dict(values).items() if key in names}


def _choice(value: Mapping | str) -> Choice:
    # Records of the first days have plain text here.
    return Choice(value, "") if isinstance(value, str) else _made(Choice, value)


def _tensors(values: Mapping | Sequence[str]) -> dict[str, TensorEntry]:
    # A list has keys in call order, and nothing else to say of them.
    if not isinstance(values, Mapping):
        return {str(key): TensorEntry() for key in list(values)}
    return {key: _made(TensorEntry, item) for key, item in values.items()}
