"""Finds the files that tables are read from."""

import os
from collections.abc import Mapping, Sequence

from export_v1 import errors
from export_v1.format import plain_path


class Files:
    """Finds asset files: where the user says, where the graph says, or beside the model."""

    def __init__(
        self, moved: Mapping[str, str], folders: Sequence[str], *, anywhere: bool = False, brings_all: bool = False
    ):
        """Takes --asset, the model's folders, and which files outside of these may be read unasked.

        An export carries its files along. A graph from a stranger that names a private file must not get it by itself.

        Args:
            moved: of --asset.
            folders: of the model.
            anywhere: whether any file may be read.
            brings_all: whether a model of this kind brings all its files along. Else one may be at the absolute path where
                it was when the model was trained.
        """
        self._moved = dict(moved)
        self._folders = tuple(folders)
        self._anywhere = anywhere
        self._brings_all = brings_all
        self.choices: list[tuple[str, str]] = []
        # The paths of what was found: files that belong to the model.
        self.found: set[str] = set()

    def find(self, written: str, known: str | None) -> str:
        """Returns where an asset is, and adds it to `found`.

        Args:
            written: its name in the graph.
            known: its path, where the source says it.

        Raises:
            ExportError: it is not found, or is outside of the model's folder; where it was looked for.
        """
        path = plain_path.in_utf_8(self._where(written, known))
        self.found.add(path)
        return path

    def _where(self, written: str, known: str | None) -> str:
        for old, new in self._moved.items():
            if old in (written, os.path.basename(written)):
                if not os.path.isfile(new):
                    raise errors.ExportError(
                        f"There is no file {new!r}, which --asset={old}={new} names.\n  Pass --asset={old}=WHERE_IT_IS_NOW."
                    )
                return os.path.abspath(new)
        if known and os.path.isfile(known):
            self._refuse_outside(known, known)
            return known
        candidates = [os.path.join(folder, os.path.basename(written)) for folder in self._folders]
        candidates += [os.path.join(folder, written) for folder in self._folders if not os.path.isabs(written)]
        candidates.append(written)
        for path in candidates:
            if os.path.isfile(path):
                if path == written and not self._brings_all and ".." not in path.split(os.sep):
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
        if self._anywhere or any(
            real.startswith(os.path.join(os.path.realpath(folder), "")) for folder in self._folders
        ):
            return
        raise errors.ExportError(
            f"Asset {written!r} is outside of the model's folder: {real!r}.\n"
            "  The export would carry a copy of that file along.\n"
            f"  If it belongs to the model, pass --asset={written}={real}."
        )
