"""A graph rebuilt from the code that built it, under the TensorFlow 1 API."""

import contextlib
import dataclasses
import importlib
import inspect
import os
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from export_v1 import errors
from export_v1.legacy import missing, running
from export_v1.model import DeclaredSignature, Graph, Source
from export_v1.source import meta_graph
from export_v1.source.checkpoint import check_files, find_prefix

v1 = tf.compat.v1
_KEY = "serving_default"
_FORM = "def build(): …; return {'x': images}, {'y': probabilities}"


def read(spec: str, checkpoint: str) -> Source:
    """Returns the graph that a function builds, and its checkpoint, as a source.

    The function builds into the default graph, which is new, and returns its inputs and outputs as two dicts. One that
    takes `training` is called once with False and once with True, each in a graph of its own; what has the same name in
    both is one variable.

    Args:
        spec: MODULE_OR_FILE:FUNCTION.
        checkpoint: as for `checkpoint.find_prefix`.

    Raises:
        ExportError: there is no such function, it fails, or returns something else; a package is missing.
    """
    prefix, notes = find_prefix(checkpoint)
    check_files(prefix)
    place, function_name = _split(spec)
    folders, module, hidden = _where(place)
    training_graph = None
    with running.old_api(folders, hidden):
        function = _function(module, function_name, spec)
        takes_training = "training" in _parameters(function)
        graph = _built(function, spec, {"training": False} if takes_training else {})
        if takes_training:
            training_graph = _built(function, spec, {"training": True})
    return Source(
        kind="builder",
        path=spec,
        graph=graph,
        train_graph=training_graph,
        checkpoint=prefix,
        tensorflow_version=tf.__version__,
        asset_dirs=tuple(dict.fromkeys((os.path.dirname(os.path.abspath(prefix)), *folders))),
        notes=notes,
    )


def _split(spec: str) -> tuple[str, str]:
    place, colon, function = spec.rpartition(":")
    if not (colon and place and function.isidentifier()):
        raise errors.ExportError(
            f"--builder={spec} is not of the form MODULE_OR_FILE:FUNCTION.\n  Write it as --builder=model.py:build."
        )
    return place, function


def _where(place: str) -> tuple[list[str], str, str]:
    """Returns folders for sys.path, the module's name and its top-level package."""
    if place.endswith(".py") or os.sep in place:
        if not os.path.isfile(place):
            folder = os.path.dirname(place) or "."
            modules = [name for name in os.listdir(folder) if name.endswith(".py")] if os.path.isdir(folder) else []
            raise errors.unknown("File", os.path.basename(place), f"folder {folder!r}", modules)
        folders, module = running.folders_of(place)
    else:
        folders, module = [os.getcwd()], place
    return folders, module, module.split(".")[0]


def _function(module: str, name: str, spec: str) -> Callable:
    with _blamed(f"Importing {module!r} for --builder={spec}"):
        imported = importlib.import_module(module)
    function = getattr(imported, name, None)
    if not callable(function):
        known = [
            name for name, value in vars(imported).items() if inspect.isfunction(value) and not name.startswith("_")
        ]
        near = errors.closest(name, known)
        remedy = f"Pass --builder={spec.rpartition(':')[0]}:{near[0] if near else 'FUNCTION'}."
        raise errors.unknown("Function", name, f"module {module!r}", known, remedy)
    return function


def _parameters(function: Callable) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


@contextlib.contextmanager
def _blamed(what: str):
    """Turns whatever the code raises into one error: where, then the code's own traceback, without our frames."""
    missing.LAST.clear()
    try:
        yield
    except errors.ExportError:
        raise
    except (Exception, SystemExit) as error:
        lost = error if isinstance(error, missing.MissingError) else None
        if lost is None and missing.LAST and isinstance(error, (ImportError, AttributeError)):
            lost = missing.LAST[-1]
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
        where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "its first line"
        if lost is not None:
            raise errors.ExportError(f"{what} needs {lost.name} at {where}.\n  {lost}\n  {lost.remedy}") from error
        shown = "".join(traceback.format_list(frames) + traceback.format_exception_only(error)).rstrip()
        raise errors.ExportError(
            f"{what} raised {type(error).__name__} at {where}:\nTraceback (most recent call last):\n{shown}"
        ) from error


def _is_ours(file: str) -> bool:
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return file.startswith((package + os.sep, "<frozen importlib")) or file == importlib.__file__


def _built(function: Callable, spec: str, mode: Mapping[str, bool]) -> Graph:
    arguments = ", ".join(f"{name}={value}" for name, value in mode.items())
    with tf.Graph().as_default():
        with _blamed(f"The builder {spec}({arguments})"):
            returned = function(**mode)
        inputs, outputs = _tensors(returned, spec)
        owner = next(iter(outputs.values())).graph
        _refuse_strangers({**inputs, **outputs}, owner, spec)
        meta = v1.train.export_meta_graph(graph=owner, clear_devices=True)
    signature = DeclaredSignature(
        {key: tensor.name for key, tensor in inputs.items()}, {key: tensor.name for key, tensor in outputs.items()}
    )
    return dataclasses.replace(meta_graph.to_graph(meta), signatures={_KEY: signature})


def _tensors(returned: Any, spec: str) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    pair = isinstance(returned, (tuple, list)) and len(returned) == 2
    if not pair or not all(isinstance(part, Mapping) for part in returned):
        raise errors.ExportError(
            f"The builder {spec} returned {_shown(returned)}.\n"
            f"  It has to return two dicts of tensors, inputs and outputs:\n    {_FORM}"
        )
    if not returned[1]:
        raise errors.ExportError(f"The builder {spec} returned no outputs.\n  Write it as:\n    {_FORM}")
    made = []
    for part, what in zip(returned, ("input", "output"), strict=True):
        tensors = {}
        for key, value in part.items():
            value = value.value() if isinstance(value, tf.Variable) else value
            wrong = value if isinstance(key, str) else key
            if wrong is key or not isinstance(value, tf.Tensor):
                raise errors.ExportError(
                    f"The builder {spec} returned {_shown(wrong)} as {what}{' key' if wrong is key else ''} {key!r}.\n"
                    f"  Keys are strings and values tensors of the graph that it builds:\n    {_FORM}"
                )
            tensors[key] = value
        made.append(tensors)
    return made[0], made[1]


def _shown(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(type(part).__name__ for part in value)}"
    return "nothing (None)" if value is None else f"a {type(value).__name__}"


def _refuse_strangers(tensors: Mapping[str, tf.Tensor], owner: tf.Graph, spec: str) -> None:
    strangers = [key for key, tensor in tensors.items() if getattr(tensor, "graph", None) is not owner]
    if strangers:
        raise errors.ExportError(
            f"The builder {spec} returned tensors of more than one graph: {errors.quoted(strangers)} are of another.\n"
            "  Build everything in one call, in the default graph."
        )
