"""The cases train_*: trainings of TensorFlow 1.15.5, and how they went on."""

import json

import numpy as np

from tests.support import cases

NAMES = sorted(path.parent.name for path in cases.FOLDER.glob("train_*/case.json"))


class Training:
    """One case: what is exported, and what it is fed step by step."""

    def __init__(self, name: str):
        self.name, self.folder = name, cases.FOLDER / name
        self.config = json.loads((self.folder / "case.json").read_text())
        with np.load(self.folder / "oracle.npz") as arrays:
            self._arrays = {key: arrays[key] for key in arrays.files}
        self.losses = self._arrays["resume/losses"]
        self.after = self._arrays["resume/out_after"]
        self.rates = self._arrays.get("resume/lr")
        self.curve = self._arrays.get("resume/curve")

    @property
    def keys(self) -> list[str]:
        """Keys of inputs and labels."""
        return [*self.config["inputs"], *self.config["resume"]["labels"]]

    def flags(self, **others) -> dict:
        """Returns what `export_v1.export` is called with."""
        named = {key: self.config[key] for key in ("inputs", "outputs", "freeze", "train_freeze")}
        resume = self.config["resume"]
        checkpoint = str(self.folder / self.config["checkpoint"])
        # Its graph has batch norm in the training form alone, and its answers are those of the graph as it is.
        others = {"batch_statistics": True, **others} if self.name == "train_slim" else others
        return {
            "checkpoint": checkpoint,
            "resume": True,
            "loss": resume["loss"],
            "labels": resume["labels"],
            **named,
            **others,
        }

    def batch(self, step: int) -> dict[str, np.ndarray]:
        """Returns what a step is fed, by key."""
        return {key: self._arrays[f"resume/{step}/{key}"] for key in self.keys}

    def inputs(self) -> dict[str, np.ndarray]:
        """Returns what `after` is the answer to."""
        return {key: self._arrays[f"in/{key}"] for key in self.config["inputs"]}

    def drawn(self, step: int) -> dict[str, np.ndarray]:
        """Returns what a step of the curve is fed: as the generator of the cases draws it."""
        rng = np.random.RandomState(step)
        return {key: self._drawn(rng, self.batch(0)[key]) for key in self.keys}

    def _drawn(self, rng, like: np.ndarray) -> np.ndarray:
        if like.dtype.kind == "f":
            return rng.randn(*like.shape).astype(like.dtype)
        return rng.randint(0, self.config["high"], like.shape).astype(like.dtype)


def loss(model, batch) -> float:
    """Returns the loss of one step of a model."""
    model.reset_metrics()
    return float(np.ravel(model.train_on_batch(batch))[0])
