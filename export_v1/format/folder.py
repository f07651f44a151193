"""The folder of an artefact: a SavedModel, or an export. Plain files and folders, whoever it comes from."""

import os
import stat

from export_v1 import errors


def check(path: str, error: type[errors.UserError] = errors.ExportError) -> None:
    """Checks that there is nothing below a folder but plain files and folders; the folder itself may be a link.

    A link in an artefact from somebody else would lead to a file of whoever reads it, and an export would carry a copy
    of that along.

    Raises:
        UserError: there is a link, a device or a pipe; each by its name.
    """
    strange, waiting = [], [path]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    waiting.append(entry.path)
                elif not stat.S_ISREG(mode):
                    strange.append(
                        (os.path.relpath(entry.path, path), "links" if stat.S_ISLNK(mode) else "devices or pipes")
                    )
    if strange:
        listed = errors.quoted(name for name, _ in sorted(strange))
        raise error(
            f"{path!r} holds {' and '.join(sorted({what for _, what in strange}))}, which could lead elsewhere: {listed}.\n"
            f"  If you trust where it comes from, copy it with its links replaced by what they lead to: "
            f"cp -rL {path} NEW_FOLDER"
        )
