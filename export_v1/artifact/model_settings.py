"""The file that MLServer starts an export by: model-settings.json, beside the SavedModel."""

import json
import os
import re

from export_v1 import errors

FILE = "model-settings.json"
_RUNTIME = "load_v2.mlserver.SignatureRuntime"
# As MLServer's own paths have it: /v2/models/NAME/versions/VERSION.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check(name: str | None) -> None:
    """Checks that a model can have this name.

    Raises:
        ExportError: it could not stand in a server's path.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise errors.ExportError(
            f"--mlserver={name} is no name for a model: letters, digits, '.', '_' and '-', a letter or digit first.\n"
            "  For example --mlserver=digits."
        )


def write(name: str, folder: str) -> None:
    """Writes the settings of a model into a folder.

    They name no version: MLServer has requests wait for nothing while it loads a model of the same version again, and
    refuses them while it loads another version.
    """
    settings = {"name": name, "implementation": _RUNTIME, "parameters": {"uri": "."}}
    with open(os.path.join(folder, FILE), "w", encoding="utf-8") as file:
        json.dump(settings, file, indent=2)
        file.write("\n")
