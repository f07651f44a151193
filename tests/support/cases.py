"""The golden cases: models written by TensorFlow 1.15.5, and the answers it gave."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping

import numpy as np

FOLDER = pathlib.Path(__file__).parents[2] / "fixtures"
# |a - b| <= this * (1 + |a|): the answers come from another version of TensorFlow, another processor and another order
# of summation. Integers and strings have to be identical.
TOLERANCE = 1e-5
KINDS = ("meta_ckpt", "saved_model", "hub_module", "frozen", "builder")


@dataclasses.dataclass(frozen=True)
class Case:
    """One folder of `fixtures/`.

    Attributes:
        name: of the folder.
        config: content of case.json.
        folder: where the case's files are.
    """

    name: str
    config: Mapping[str, object]
    folder: pathlib.Path

    @property
    def kind(self) -> str:
        """Kind of source: one of KINDS, or one that only tests of its own read."""
        return self.config.get("kind", "meta_ckpt")

    def flags(self) -> dict[str, object]:
        """Returns what `export_v1.export` is called with."""
        names = {key: self.config.get(key, {}) for key in ("inputs", "outputs", "freeze", "train_freeze")}
        if self.kind == "meta_ckpt":
            more = self.config.get("flags", {})
            return {"checkpoint": str(self.folder / self.config["checkpoint"]), **names, **more}
        if self.kind == "frozen":
            return {"graph_def": str(self.folder / self.config["pb"]), **names}
        if self.kind == "builder":
            return {
                "builder": str(self.folder / self.config["builder"]),
                "checkpoint": str(self.folder / self.config["checkpoint"]),
            }
        usual = "module" if self.kind == "hub_module" else "saved_model"
        written = self.config.get("saved_model") or self.config.get("module") or usual
        return {"saved_model": str(self.folder / written)}

    def oracle(self, group: str = "out") -> dict[str, np.ndarray]:
        """Returns the arrays of one group of oracle.npz by key, strings as objects: "in", "out", "ema", "finetune"."""
        with np.load(self.folder / "oracle.npz", allow_pickle=True) as arrays:
            found = {key: arrays[key] for key in arrays.files if key.startswith(group + "/")}
        return {
            key.partition("/")[2]: value.astype(object) if value.dtype.kind in "SU" else value
            for key, value in found.items()
        }


def load(name: str) -> Case:
    """Returns the golden case of that name."""
    return at(FOLDER / name)


def at(folder: pathlib.Path) -> Case:
    """Returns the case in a folder."""
    return Case(folder.name, json.loads((folder / "case.json").read_text()), folder)


def names(kind: str | None = None) -> list[str]:
    """Returns the names of the cases that have an oracle, of one kind of source or of all."""
    found = sorted(path.parent.name for path in FOLDER.glob("*/case.json") if (path.parent / "oracle.npz").exists())
    return [name for name in found if load(name).kind in (KINDS if kind is None else (kind,))]


def assert_equal(got: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    """Asserts that answers are TensorFlow 1.15's, output by output."""
    for key, want in expected.items():
        have = np.asarray(got[key])
        assert have.shape == want.shape, f"{key}: shape {have.shape}, TensorFlow 1.15's is {want.shape}"
        if want.dtype.kind == "f":
            np.testing.assert_allclose(have, want, rtol=TOLERANCE, atol=TOLERANCE, err_msg=key)
        else:
            assert np.array_equal(have, want), f"{key}: {have}, TensorFlow 1.15's is {want}"
