"""Runs old graph code under the TensorFlow 1 API, and leaves nothing of it behind."""

import contextlib
import importlib.abc
import importlib.machinery
import os
import sys
import types
import warnings
from collections.abc import Iterator

import tensorflow as tf

from export_v1 import errors

v1 = tf.compat.v1
_ALIASED = ("tensorflow", "tensorflow.compat", "tensorflow.compat.v1", "absl.flags")
# Parts of a contrib path that TensorFlow 1 spelled out and that mean the module they are in.
_PASSED = ("python", "ops")
_OURS = ("export_v1", "load_v2")


@contextlib.contextmanager
def old_api(folders: list[str], hidden: str) -> Iterator[types.ModuleType]:
    """Yields the stand-in for `tensorflow`; while the block runs, `import tensorflow` gives it.

    After the block sys.modules, sys.path, sys.argv, TensorShape's and the graph's switches are as they were before.
    What the code imported while it ran, and what holds the stand-in, is forgotten: the next import reads it anew.

    Args:
        folders: go in front of sys.path.
        hidden: top-level module name that is to be imported anew, though it may have been before.

    Raises:
        ExportError: tf-keras or tf-slim is not there.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_graph_switches())
        # Every call of old code warns that it is old.
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(_slim_repaired())
        alias, flag_module = _stand_ins()
        stack.enter_context(_command_line())
        stack.enter_context(_modules(alias, flag_module, hidden))
        stack.enter_context(_path(folders))
        yield alias


def _stand_ins() -> tuple[types.ModuleType, types.ModuleType]:
    try:
        from export_v1.legacy import app_flags, v1_api
    except ImportError as error:
        package = (error.name or "").split(".")[0]
        if package not in ("tf_keras", "tf_slim"):
            raise
        raise errors.ExportError(
            f"--builder needs the package {package.replace('_', '-')}, which is not installed.\n"
            "  Run: pip install tf-keras tf-slim"
        ) from error
    values = app_flags.Flags()
    return v1_api.module(values), app_flags.module("absl.flags", values)


@contextlib.contextmanager
def _graph_switches() -> Iterator[None]:
    """Resource variables and control flow of today, TensorShape of TensorFlow 1; all of them are process-wide."""
    old_shapes = isinstance(tf.TensorShape([1])[0], v1.Dimension)
    resources, control_flow = v1.resource_variables_enabled(), v1.control_flow_v2_enabled()
    verbosity = v1.logging.get_verbosity()
    v1.disable_v2_tensorshape()
    v1.enable_resource_variables()
    v1.enable_control_flow_v2()
    try:
        yield
    finally:
        if not old_shapes:
            v1.enable_v2_tensorshape()
        if not resources:
            v1.disable_resource_variables()
        if not control_flow:
            v1.disable_control_flow_v2()
        v1.logging.set_verbosity(verbosity)


@contextlib.contextmanager
def _slim_repaired() -> Iterator[None]:
    """Puts two things where tf_slim 1.1.0 and TensorFlow 2.21 look for them.

    TensorFlow's own tensorflow.python.layers imports `tf_keras.legacy_tf_layers`, which moved below `tf_keras.src`, and
    tf_slim reads `tensorflow.python.framework.ops.Tensor`, which moved to a module of its own.
    """
    try:
        from tensorflow.python.framework import ops
        from tf_keras.src import legacy_tf_layers
        from tf_keras.src.legacy_tf_layers import base, convolutional, core, normalization, pooling
    except ImportError:
        # Without tf_keras there is nothing to repair, and the error to come says so.
        yield
        return
    moved = {"tf_keras.legacy_tf_layers": legacy_tf_layers}
    for module in (base, convolutional, core, normalization, pooling):
        moved[f"tf_keras.legacy_tf_layers.{module.__name__.rsplit('.', 1)[-1]}"] = module
    added = {name: module for name, module in moved.items() if name not in sys.modules}
    needs_tensor = not hasattr(ops, "Tensor")
    sys.modules.update(added)
    if needs_tensor:
        ops.Tensor = tf.Tensor
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)
        if needs_tensor:
            del ops.Tensor


@contextlib.contextmanager
def _command_line() -> Iterator[None]:
    """Shows the code an empty command line, which old files read while they are imported; and writes no bytecode."""
    before, bytecode = sys.argv, sys.dont_write_bytecode
    sys.argv, sys.dont_write_bytecode = before[:1], True
    try:
        yield
    finally:
        sys.argv, sys.dont_write_bytecode = before, bytecode


@contextlib.contextmanager
def _path(folders: list[str]) -> Iterator[None]:
    before = list(sys.path)
    sys.path[:0] = folders
    try:
        yield
    finally:
        sys.path[:] = before


@contextlib.contextmanager
def _modules(alias: types.ModuleType, flag_module: types.ModuleType, hidden: str) -> Iterator[None]:
    import absl

    before = dict(sys.modules)
    real_flags = absl.flags
    for name in before:
        if hidden and (name == hidden or name.startswith(hidden + ".")):
            del sys.modules[name]
    stand_ins = (alias, alias.compat, alias, flag_module)
    sys.modules.update(zip(_ALIASED, stand_ins, strict=True))
    absl.flags = flag_module
    finder = _Finder(alias)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        absl.flags = real_flags
        for name in _forgotten(before):
            del sys.modules[name]
        sys.modules.update({name: module for name, module in before.items() if sys.modules.get(name) is not module})


def _forgotten(before: dict[str, types.ModuleType]) -> list[str]:
    """Returns the modules that came with the code: they hold a stand-in, or share a package with one that does."""
    new = [name for name, module in sys.modules.items() if before.get(name) is not module]
    of_code = {name.split(".")[0] for name in new if _holds_stand_in(sys.modules[name])} - {"tensorflow", "absl"}
    return [
        name
        for name in new
        if name.split(".")[0] in of_code - set(_OURS)
        or _is_stand_in(sys.modules[name])
        or name.startswith("tensorflow.contrib")
    ]


def _holds_stand_in(module) -> bool:
    return any(map(_is_stand_in, list(vars(module).values()))) if isinstance(module, types.ModuleType) else False


def _is_stand_in(value) -> bool:
    from export_v1.legacy.missing import Missing
    from export_v1.legacy.modules import Forwarding

    # `type`, since isinstance would ask the object for its class, and old code's lazy objects act on that.
    return issubclass(type(value), (Forwarding, Missing))


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `tensorflow.contrib.slim.nets` and the like where attributes of the stand-in lead."""

    def __init__(self, alias: types.ModuleType):
        self._alias = alias

    def find_spec(self, fullname: str, path=None, target=None):
        parts = fullname.split(".")
        if parts[0] != "tensorflow" or len(parts) < 2 or parts[1] not in self._alias.__dict__:
            return None
        if parts[1] in ("python", "compat"):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec):
        from export_v1.legacy.modules import Forwarding

        module = self._alias
        for at, part in enumerate(spec.name.split(".")[1:]):
            inside = module.__name__.rsplit(".", 1)[-1]
            if at > 1 and (part in _PASSED or part == inside.rstrip("s") or part == inside):
                continue
            module = getattr(module, part)
        # Import writes a spec into what it is given, which must not happen to a module that belongs to somebody else.
        return Forwarding(spec.name, module)

    def exec_module(self, module) -> None:
        """Nothing is left to run."""


def folders_of(file: str) -> tuple[list[str], str]:
    """Returns what has to be on sys.path for a file to be imported, and its module name.

    The folder itself, as if it were run as a script; above that, where it is part of a package, the package's folder.
    """
    folder, stem = os.path.dirname(os.path.abspath(file)), os.path.splitext(os.path.basename(file))[0]
    name, top = stem, folder
    while os.path.isfile(os.path.join(top, "__init__.py")):
        name = f"{os.path.basename(top)}.{name}"
        top = os.path.dirname(top)
    return list(dict.fromkeys((top, folder))), name
