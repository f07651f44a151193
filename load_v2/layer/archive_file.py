"""A .keras archive looked at without Keras: the graphs of the layers in it, and whether they are what was saved."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from export_v1.format import digests, packed
from load_v2.errors import LoadError, quoted
from load_v2.program import artefact

_GRAPH = "saved_model.pb"
_WEIGHTS = "model.weights.h5"
_ASSETS = "assets/"
# A weight that is mostly zeros may be stored in a small part of its size.
_MOST_TIMES, _MOST_BYTES = 200, 2**30


@dataclasses.dataclass(frozen=True)
class Stored:
    """The graph of one layer in an archive.

    Attributes:
        name: of the layer, with the layers that it is in.
        source: its graph.
        changed: files and weights that are not what they were when the archive was saved; None where it does not tell.
        weights: names of the weights that have digests, as they are stored.
        file: where the weights are while the archive is open.
    """

    name: str
    source: artefact.Artefact
    changed: tuple[str, ...] | None
    weights: tuple[str, ...]
    file: str

    def lines(self) -> list[str]:
        """Returns what is to be said about its digests."""
        if self.changed is None:
            return [f"digests of {self.name}: none; an earlier version saved it"]
        lines = [f"digests of {self.name}: {name} was CHANGED after the archive was saved" for name in self.changed]
        return lines or [
            f"digests of {self.name}: graph, record, files and {len(self.weights)} weights are what was saved "
            "(which proves nothing against somebody who changes the digests, too)"
        ]

    def values(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields name and value of each weight, one at a time in memory; the archive is open.

        Raises:
            LoadError: one is not there, or the archive has no digests, which tell the names.
        """
        if self.changed is None:
            raise LoadError(
                f"{self.source.path!r} was saved by an earlier version, which did not name the weights in it."
            )
        with _blamed(self.source.path):
            for name, value in _values(self.file, self.name, self.weights):
                if value is None:
                    raise LoadError(f"{self.source.path!r} has no weight {name!r}.\n  Save the model again.")
                yield name, value


def is_archive(path: str | os.PathLike) -> bool:
    """Returns whether a path is a file that ends in .keras."""
    return os.fspath(path).endswith(".keras") and os.path.isfile(path)


@contextlib.contextmanager
def opened(path: str | os.PathLike) -> Iterator[list[Stored]]:
    """Yields what an archive holds of each SignatureLayer; the files that these name go away when the block ends.

    Raises:
        LoadError: it is no archive, or damaged, or holds no SignatureLayer.
    """
    path = os.fspath(path)
    folder = tempfile.mkdtemp(prefix="load_v2_")
    try:
        with _blamed(path), zipfile.ZipFile(path) as archive:
            names = _unpacked(archive, folder, path)
        folders = sorted(os.path.dirname(name) for name in names if os.path.basename(name) == _GRAPH)
        if not folders:
            raise LoadError(f"{path!r} holds no graph: no layer of it is a SignatureLayer.")
        yield [_stored(folder, name, path) for name in folders]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _blamed(path: str) -> Iterator[None]:
    try:
        yield
    except LoadError:
        raise
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise LoadError(f"{path!r} is not a complete .keras archive: {error}.\n  Save the model again.") from error


def _unpacked(archive: zipfile.ZipFile, folder: str, path: str) -> list[str]:
    """Unpacks graphs and weights; returns the names of the members."""
    members = [
        member
        for member in archive.infolist()
        if member.filename == _WEIGHTS or (member.filename.startswith(_ASSETS) and not member.is_dir())
    ]
    sizes = ((member.filename, member.file_size) for member in members)
    packed.check(path, sizes, LoadError, "Save the model again.")
    twice = [name for name, count in Counter(member.filename for member in members).items() if count > 1]
    if twice:
        # Whoever reads it takes the first, the last, or each in its turn.
        raise LoadError(f"{path!r} has several members of one name: {quoted(twice)}.\n  Save the model again.")
    for member in members:
        if ".." in member.filename.split("/") or "\\" in member.filename:
            raise LoadError(
                f"{path!r} has a member that leads out of it: {member.filename!r}.\n  Save the model again."
            )
        # Content alone: no links, and no owners or modes of another machine.
        target = os.path.join(folder, *member.filename.split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with archive.open(member) as content, open(target, "wb") as stream:
            shutil.copyfileobj(content, stream)
    return [member.filename for member in members]


def _stored(folder: str, name: str, path: str) -> Stored:
    own = os.path.join(folder, *name.split("/"))
    layer = name.removeprefix(_ASSETS)
    try:
        source = dataclasses.replace(artefact.read(own), path=f"{path}: {layer}")
        changed, wanted = digests.changed_files(own, LoadError), digests.weights(own, LoadError)
    except LoadError as error:
        # Nobody else knows the folder that it was unpacked into.
        raise LoadError(str(error).replace(own, f"{path}: {layer}")) from error
    file = os.path.join(folder, _WEIGHTS)
    if changed is None or wanted is None:
        return Stored(layer, source, None, (), file)
    names = tuple(name for name, _ in wanted)
    if not os.path.exists(file):
        return Stored(layer, source, (*changed, "the file of the weights"), names, file)
    with _blamed(path):
        for (name, digest), (_, value) in zip(wanted, _values(file, layer, names), strict=True):
            if value is None or digests.of_array(value) != digest:
                changed.append(f"weight {name}")
    return Stored(layer, source, tuple(changed), names, file)


def _values(file: str, layer: str, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray | None]]:
    """Yields name and value of each weight of a layer, as they are stored; see `_value`."""
    import h5py

    most = max(_MOST_BYTES, _MOST_TIMES * os.path.getsize(file))
    with h5py.File(file) as stored:
        group = stored.get(f"{layer}/vars", {})
        for index, name in enumerate(names):
            yield name, _value(group, str(index), most)


def _value(group, key: str, most: int) -> np.ndarray | None:
    """Returns a weight; None where it is none, or lies elsewhere, or its file could not hold so much."""
    import h5py

    if not isinstance(group, h5py.Group) or not isinstance(group.get(key, getlink=True), h5py.HardLink):
        return None
    weight = group[key]
    if not isinstance(weight, h5py.Dataset) or weight.external or weight.is_virtual or weight.nbytes > most:
        return None
    return np.asarray(weight)
