"""Tables and the files they are read from."""

import os
from collections.abc import Mapping, Sequence

import tensorflow as tf

from export_v1 import errors
from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, Index, Tensor, attr, data_inputs, parse
from export_v1.passes import tables

_TABLES = tables.TABLES | {old for old, new in tables.TWINS.items() if new in tables.TABLES}
_INITIALIZERS = tables.INITIALIZERS | {old for old, new in tables.TWINS.items() if new in tables.INITIALIZERS}
_FROM_FILE = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})


def table_initializers(whole: GraphDef, kept: GraphDef) -> tuple[str, ...]:
    """Returns the ops of the whole graph that initialize the tables of the kept one.

    Raises:
        ExportError: a kept table has no initializer in the graph.
    """
    handles = [node.name for node in kept.node if node.op in _TABLES]
    if not handles:
        return ()
    index, found = Index(whole), []
    for handle in handles:
        writers = _writers(index, handle)
        # The Saver's own import op fills a mutable table from a checkpoint; it is not an initializer.
        writers = [name for name in writers if not _reads_checkpoint(index, name)]
        if not writers and "Mutable" not in index[handle].op:
            raise errors.ExportError(
                f"Table {handle!r} ({index[handle].op}) has no initializer in the graph.\n"
                "  It was filled from Python; cut the graph after its look-up with --input=KEY=TENSOR."
            )
        found += writers[:1]
    return tuple(dict.fromkeys(found))


def _writers(index: Index, handle: str) -> list[str]:
    found, todo, seen = [], [handle], set()
    while todo:
        name = todo.pop()
        for consumer, at in index.consumers(name):
            if consumer.name in seen or consumer.input[at].startswith("^"):
                continue
            seen.add(consumer.name)
            if consumer.op in _INITIALIZERS and at == 0:
                found.append(consumer.name)
            elif consumer.op == "Identity":
                todo.append(consumer.name)
    return sorted(found)


def _reads_checkpoint(index: Index, node: str) -> bool:
    return any(index[name].op in ("RestoreV2", "Restore") for name in index.ancestors([node]))


class Files:
    """Finds asset files: where the user says, where the graph says, or beside the model."""

    def __init__(self, moved: Mapping[str, str], folders: Sequence[str], anywhere: bool = False):
        """Takes --asset, the model's folders, and whether files outside of these may be read unasked.

        An export carries its files along. A graph from a stranger that names a private file must not get it by itself.
        """
        self._moved = dict(moved)
        self._folders = tuple(folders)
        self._anywhere = anywhere
        self.choices: list[tuple[str, str]] = []

    def located(
        self, graph_def: GraphDef, inits: Sequence[str], known: Mapping[str, str]
    ) -> tuple[GraphDef, dict[str, str]]:
        """Returns the graph with a Const file name per table file, and filename tensor -> path for each.

        Args:
            graph_def: holds `inits`. Not modified.
            inits: ops that initialize tables.
            known: filename tensor -> path, where the source says it.

        Raises:
            ExportError: a file is not found; where it was looked for.
        """
        index = Index(graph_def)
        made, paths = {}, {}
        for name in inits:
            if index[name].op not in _FROM_FILE:
                continue
            tensor = data_inputs(index[name])[1]
            constant = _constant_behind(index, tensor, known)
            if constant is None:
                raise errors.ExportError(
                    f"The file that {name!r} reads is not named by a constant: {tensor.name!r} ({index[tensor.node].op}).\n"
                    f"  Freeze it with --freeze={tensor.name}=FILE."
                )
            written = _text(index[constant.node]) if index[constant.node].op == "Const" else ""
            path = self._find(written, known.get(constant.name))
            made[constant] = rewrite.constant(constant.node, path.encode(), tf.string)
            paths[constant.name] = path
        return rewrite.replace_tensors(graph_def, made)[0], paths

    def _find(self, written: str, known: str | None) -> str:
        for old, new in self._moved.items():
            if old in (written, os.path.basename(written)):
                if not os.path.isfile(new):
                    raise errors.ExportError(f"Asset {new!r} is not there (--asset={old}={new}).")
                return os.path.abspath(new)
        if known and os.path.isfile(known):
            self._refuse_outside(known, known)
            return known
        candidates = [os.path.join(folder, os.path.basename(written)) for folder in self._folders]
        candidates += [os.path.join(folder, written) for folder in self._folders if not os.path.isabs(written)]
        candidates.append(written)
        for path in candidates:
            if os.path.isfile(path):
                if path == written and ".." not in path.split(os.sep):
                    # A checkpoint's own record of where its file was: people export where they trained.
                    why = "the file is still at its old path; the export carries a copy of it"
                else:
                    self._refuse_outside(path, written)
                    why = "a file of that name is beside the model"
                self.choices.append((f"asset {written!r} is {path!r}", why))
                return os.path.abspath(path)
        raise errors.ExportError(
            f"Asset {written!r} is not found.\n"
            f"  Looked for: {errors.quoted(dict.fromkeys(candidates))}.\n"
            f"  Pass --asset={written}=WHERE_IT_IS_NOW."
        )

    def _refuse_outside(self, path: str, written: str) -> None:
        real = os.path.realpath(path)
        if self._anywhere or any(real.startswith(os.path.join(os.path.realpath(one), "")) for one in self._folders):
            return
        raise errors.ExportError(
            f"Asset {written!r} is outside of the model's folder: {real!r}.\n"
            "  The export would carry a copy of that file along.\n"
            f"  If it belongs to the model, pass --asset={written}={real}."
        )


def _constant_behind(index: Index, tensor: Tensor, known: Mapping[str, str]) -> Tensor | None:
    while tensor.name not in known:
        node = index[tensor.node]
        if node.op == "Const":
            return tensor
        if node.op not in ("Identity", "PlaceholderWithDefault"):
            return None
        tensor = data_inputs(node)[0]
    return tensor


def _text(node: graph.NodeDef) -> str:
    return tf.make_ndarray(attr(node, "value").tensor).item().decode()


def file_tensors(graph_def: GraphDef, inits: Sequence[str]) -> list[str]:
    """Returns the tensors that name the files which `inits` read."""
    index = Index(graph_def)
    return [data_inputs(index[name])[1].name for name in inits if index[parse(name).node].op in _FROM_FILE]
