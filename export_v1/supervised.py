"""`export(…, supervised=True)`: an export in a process of its own."""

import json
import os
from collections.abc import Callable, Mapping

from export_v1 import errors
from export_v1.artifact import destination
from export_v1.artifact.report import Report
from export_v1.console import apart
from export_v1.format import record


def export(flags: Mapping[str, object], export_dir: str | os.PathLike) -> Report:
    """Returns the report of an export that another process has made; see `export_v1.export`.

    Raises:
        ExportError: as `pipeline.export`; or the process ended, and why.
    """
    export_dir = os.fspath(export_dir)
    process = apart.Process("export_v1.supervised:work")
    try:
        reply = json.loads(process.ask(apart.packed({"flags": dict(flags), "export_dir": export_dir})))
    except apart.EndedError as error:
        raise errors.ExportError(f"The export's process ended; nothing was written.\n  Why: {error}.") from None
    finally:
        process.close()
        destination.sweep_for(export_dir, bool(flags.get("versioned")))
    if "error" in reply:
        raise errors.ExportError(reply["error"])
    return Report(reply["path"], record.read(os.path.join(reply["path"], record.PATH), errors.ExportError))


def work(receive: Callable[[], bytes | None], send: Callable[[bytes], None]) -> None:
    """Exports as the one message says; answers with the path, or with what the user can put right."""
    message = receive()
    if message is None:
        return
    request = json.loads(message)
    from export_v1 import pipeline
    from export_v1.request import Request

    try:
        report = pipeline.export(Request(**request["flags"]), request["export_dir"])
        send(apart.packed({"path": os.path.abspath(report.export_dir)}))
    except errors.UserError as error:
        send(apart.packed({"error": str(error)}))
