"""Which files are answered into which, and what of it a run before this one has done.

A `*` in the name of the outputs stands for the name of a file of the inputs: each has an output of its own. Such a job can
end at any time and go on later: an output appears whole, so what is there is done, and a list beside the outputs says of
what, by which export and how, they were made. Where that has changed since, nothing is mixed: it is an error.
"""

import dataclasses
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from export_v1.format import digests
from load_v2.errors import LoadError
from load_v2.scoring import atomic

LIST = ".load_v2-predict.json"
TABLES = (".parquet", ".csv")
RECORDS = (".tfrecord", ".tfrecords", ".tfrecord.gz", ".tfrecords.gz")
ARRAYS = (".npz", ".npy")
_KINDS = (*TABLES, *RECORDS, *ARRAYS)


@dataclasses.dataclass(frozen=True)
class Task:
    """Files that are answered into one.

    Attributes:
        inputs: files, or folders of KEY.npy.
        output: where their answers go.
        failed: where rows without an answer go; None where they are an error.
    """

    inputs: tuple[str, ...]
    output: str
    failed: str | None = None

    @property
    def is_of_tables(self) -> bool:
        """Whether the files are tables."""
        return self.inputs[0].endswith(TABLES)


@dataclasses.dataclass(frozen=True)
class Options:
    """How the rows of a task are answered.

    Attributes:
        columns: input -> name of its column, array or feature, where that is another.
        batch_size: rows at a time; None for 256, or the graph's own.
        progress: called with the rows so far, and how many there are in all if that is known.
    """

    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    batch_size: int | None = None
    progress: Callable[[int, int | None], None] = lambda rows, total: None


def tasks(inputs: str, outputs: str, failed: str | None = None, model: str | None = None) -> list[Task]:
    """Returns what is to be done, in the order of the files' names.

    Args:
        inputs: a file, a folder or a pattern.
        outputs: a file or folder for all of them, or with a `*` for the name of each.
        failed: where rows without an answer go, likewise.
        model: the folder of what answers.

    Raises:
        LoadError: no file matches, the files are of different kinds, or an output would take the place of an input, of
            another output or of a part of the model.
    """
    for flag, path in (("outputs", outputs), ("failed", failed or "")):
        if path.count("*") > 1:
            raise LoadError(
                f"--{flag}={path} has more than one *.\n  One stands for the name of each file of --inputs."
            )
    if failed and ("*" in failed) != ("*" in outputs):
        raise LoadError(
            f"--outputs={outputs} and --failed={failed}: one has a *, for a file for each of --inputs, and the other has "
            f"none.\n  Give both a *, or neither."
        )
    root, files = _found(inputs)
    if len({path.endswith(TABLES) for path in files}) > 1:
        raise LoadError(f"{inputs!r} has tables and other files.\n  Answer them apart: --inputs='{root}/*.parquet'.")
    if "*" in outputs:
        if not os.path.exists(files[0]):
            raise LoadError(f"There is no file {files[0]!r}.\n  Pass --inputs='data/*.parquet', a file or a folder.")
        names = [_name(path, root) for path in files]
        made = [
            Task((path,), outputs.replace("*", name), failed and failed.replace("*", name))
            for path, name in zip(files, names, strict=True)
        ]
    else:
        made = [Task(tuple(files), outputs, failed)]
    _check_apart(made, model)
    return made


def _found(pattern: str) -> tuple[str, list[str]]:
    """Returns the files that are meant, and the folder that their names are relative to."""
    if os.path.isdir(pattern):
        names = sorted(
            name for name in os.listdir(pattern) if name.endswith(_KINDS) and not name.startswith((".", "_"))
        )
        if not names or any(name.endswith(".npy") for name in names):
            # One array for each input, or what the reader has a message for.
            return os.path.dirname(os.path.normpath(pattern)), [pattern]
        return pattern, [os.path.join(pattern, name) for name in names]
    if os.path.exists(pattern) or not glob.has_magic(pattern):
        return os.path.dirname(pattern), [pattern]
    root = os.path.dirname(pattern)
    while glob.has_magic(root):
        root = os.path.dirname(root)
    files = [path for path in glob.glob(pattern, recursive=True) if not os.path.basename(path).startswith("_")]
    if not files:
        raise LoadError(f"No file matches {pattern!r}.\n  Pass --inputs='data/*.parquet', a file or a folder.")
    return root, sorted(files)


def _name(path: str, root: str) -> str:
    name = os.path.relpath(path, root or ".")
    ending = max((ending for ending in _KINDS if name.endswith(ending)), key=len, default="")
    return name.removesuffix(ending)


def _check_apart(made: Sequence[Task], model: str | None) -> None:
    """Checks that nothing is written over what is read, into the model's folder, or twice."""
    inside = os.path.join(os.path.realpath(model), "") if model else None
    read = {os.path.realpath(path) for task in made for path in task.inputs}
    written: dict[str, Task] = {}
    for task in made:
        for path in filter(None, (task.output, task.failed)):
            place = os.path.realpath(path)
            if place in read:
                raise LoadError(f"{path!r} holds inputs, and would be replaced.\n  Name another.")
            if inside and place.startswith(inside):
                raise LoadError(f"{path!r} is in the folder of the model, {model!r}.\n  Name a place outside of it.")
            if place in written:
                other = written[place]
                named = f"{other.inputs[0]!r} and {task.inputs[0]!r}" if other is not task else "--outputs and --failed"
                raise LoadError(f"{path!r} would be written twice: by {named}.\n  Name them apart.")
            written[place] = task


class Ledger:
    """What has been done of a job with an output for each file, and the list that says so.

    Args:
        outputs: the name of the outputs, with a `*`.
        made: all tasks.
        settings: what answers depend on beside the files, as JSON has it.

    Raises:
        LoadError: there are outputs of another export, of other settings or files, or of something else.
    """

    def __init__(self, outputs: str, made: Sequence[Task], settings: Mapping[str, Any]):
        self._folder = os.path.dirname(outputs.partition("*")[0]) or "."
        self._path = os.path.join(self._folder, LIST)
        before = self._read()
        done = [task for task in made if os.path.lexists(task.output)]
        if done:
            self._check(done, before, settings)
        self.left = [task for task in made if task not in done]
        self._files = {**before.get("files", {}), **{self._key(task): _state(task) for task in self.left}}
        if self.left:
            with atomic.file(self._path) as stream:
                stream.write(json.dumps({"settings": settings, "files": self._files}, indent=1).encode())

    def check_unchanged(self, task: Task) -> None:
        """Checks that the file of a task is what it was when the job began; its output goes away otherwise.

        Raises:
            LoadError: it was written to meanwhile.
        """
        if _state(task) != self._files[self._key(task)]:
            if os.path.isdir(task.output):
                shutil.rmtree(task.output)
            else:
                os.unlink(task.output)
            raise LoadError(f"{task.inputs[0]!r} was written to while it was read.\n  Run the command again.")

    def _key(self, task: Task) -> str:
        return os.path.relpath(task.output, self._folder)

    def _read(self) -> dict:
        if not os.path.exists(self._path):
            return {}
        try:
            with open(self._path, encoding="utf-8") as stream:
                content = json.load(stream)
            if not isinstance(content["settings"], dict) or not isinstance(content["files"], dict):
                raise ValueError("it is no such list")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LoadError(f"{self._path!r} cannot be read: {error}.\n  Name another folder in --outputs.") from error
        return content

    def _check(self, done: Sequence[Task], before: Mapping, settings: Mapping[str, Any]) -> None:
        remedy = "Name another folder in --outputs, or remove what is there."
        then = before.get("settings", {})
        for task in done:
            if self._key(task) not in before.get("files", {}):
                raise LoadError(f"{task.output!r} is there already, and is not of this job.\n  {remedy}")
        for name, value in settings.items():
            # A job may go on with --failed that stopped for want of it.
            if then.get(name) != value and not (name == "failed" and then.get(name) is None):
                raise LoadError(
                    f"{done[0].output!r} and {len(done) - 1} more are of another run: {name} was {_text(then.get(name))}, "
                    f"and is {_text(value)}.\n  {remedy}"
                )
        for task in done:
            if before["files"][self._key(task)] != _state(task):
                raise LoadError(
                    f"{task.inputs[0]!r} is not the file any more that {task.output!r} has the answers to.\n"
                    f"  Remove {task.output!r}, and this command answers it again."
                )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _state(task: Task) -> list:
    """Returns what tells that a file is the same as before: its path, size and time."""
    path = os.path.abspath(task.inputs[0])
    files = [entry.path for entry in os.scandir(path)] if os.path.isdir(path) else [path]
    stats = [os.stat(file) for file in files]
    return [path, sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)]


def of_layer(layer) -> dict[str, str]:
    """Returns what tells one signature of one export from another.

    The export is told by its graph, its assets, and the index that has a checksum of each weight.
    """
    export_dir, made = layer.program_source.path, hashlib.sha256()
    names = ["saved_model.pb", os.path.join("variables", "variables.index")]
    for folder, _, files in sorted(os.walk(os.path.join(export_dir, "assets"))):
        names += [os.path.relpath(os.path.join(folder, file), export_dir) for file in sorted(files)]
    for name in names:
        path = os.path.join(export_dir, name)
        if os.path.isfile(path):
            made.update(f"{name} {digests.of_file(path)}\n".encode())
    tensors = (
        ", ".join(f"{key}={spec.tensor}" for key, spec in specs.items())
        for specs in (layer.input_specs, layer.output_specs)
    )
    return {"export": made.hexdigest()[:16], "signature": " -> ".join(tensors)}
