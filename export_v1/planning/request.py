"""What the user asks step 1 for."""

import dataclasses
from collections.abc import Mapping, Sequence

from export_v1 import errors

# Flag -> what it names, for messages.
SOURCES = {
    "saved_model": "a TF1 SavedModel or TF1 Hub module",
    "graph_def": "a frozen GraphDef",
    "builder": "code that rebuilds the graph",
    "checkpoint": "a Saver checkpoint",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """The flags of `python -m export_v1`, under the same names; see there for what each means."""

    checkpoint: str | None = None
    meta_graph: str | None = None
    builder: str | None = None
    saved_model: str | None = None
    tags: Sequence[str] | None = None
    graph_def: str | None = None
    inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    outputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    freeze: Mapping[str, object] = dataclasses.field(default_factory=dict)
    train_freeze: Mapping[str, object] = dataclasses.field(default_factory=dict)
    rename: Sequence[str] = ()
    ema: bool = False
    asset: Mapping[str, str] = dataclasses.field(default_factory=dict)
    op_library: Sequence[str] = ()
    sample: str | None = None
    overwrite: bool = False
    init_missing: bool = False
    unfreeze: bool = False
    moving_averages: bool = False
    no_sample: bool = False
    versioned: bool = False
    warmup: Sequence[int] = ()
    allow_ops: Sequence[str] = ()

    @property
    def source_kind(self) -> str:
        """Which kind of source is asked for.

        Raises:
            ExportError: none is, or flags of two kinds are given.
        """
        given = [name for name in SOURCES if getattr(self, name)]
        if not given:
            listed = "\n".join(f"    --{name}=…  {what}" for name, what in SOURCES.items())
            raise errors.ExportError(f"No model is given. Pass one of:\n{listed}")
        if given == ["builder"]:
            raise errors.ExportError("--builder needs the weights too.\n  Pass --checkpoint=PREFIX.")
        if len(given) > 1 and given != ["builder", "checkpoint"]:
            listed = " and ".join(f"--{name}" for name in given)
            raise errors.ExportError(
                f"Exactly one model can be exported; {listed} are given.\n  Leave all but one away."
            )
        if self.meta_graph and given != ["checkpoint"]:
            raise errors.ExportError(f"--meta_graph goes with --checkpoint alone, not with --{given[0]}.")
        if self.unfreeze and given != ["graph_def"]:
            raise errors.ExportError("--unfreeze goes with --graph_def: other sources have their variables.")
        if self.sample and self.no_sample:
            raise errors.ExportError("--sample and --no_sample exclude each other.\n  Leave one of them away.")
        if self.versioned and self.overwrite:
            raise errors.ExportError(
                "--versioned and --overwrite exclude each other: a new version never replaces one.\n"
                "  Leave one of them away."
            )
        return given[0]
