"""A real browser without a window: Chromium, asked over a pipe by its DevTools protocol, so that no driver is needed."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
MISSING = f"no browser: none of {', '.join(_NAMES)} is on PATH (apt-get install chromium)"
# A process that puts its descriptors where the browser looks for them, and becomes the browser.
_ON_3_AND_4 = """
import fcntl, os, sys
reading, writing = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reading, 3)
os.dup2(writing, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def path() -> str | None:
    """Returns where Chromium is; None where there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab. `console` has what was logged, and every error, since it was made."""

    def __init__(self, browser: "_Pipe", session: str):
        self._browser, self._session = browser, session
        self.console: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters) -> dict:
        """Returns the answer to one command of the protocol."""
        answer, events = self._browser.ask(method, parameters, self._session)
        for event in events:
            self._note(event)
        return answer

    def _note(self, event: dict) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.console.append(" ".join(str(one.get("value", "")) for one in parameters["args"]))
        elif method == "Runtime.exceptionThrown":
            self.console.append(parameters["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif method == "Log.entryAdded":
            self.console.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent" and not parameters["request"]["url"].startswith(("file:", "data:")):
            self.console.append(f"asked for {parameters['request']['url']}")

    def open(self, url: str, width: int = 1100, height: int = 900, dark: bool = False, media: str = "screen") -> None:
        """Opens a page and waits until it says that it is ready."""
        self.resize(width, height)
        self.look(dark, media)
        self.ask("Page.navigate", url=url)
        until = time.monotonic() + 60
        while self.run("document.readyState === 'complete' && document.documentElement.dataset.ready") != "yes":
            assert time.monotonic() < until, f"the page is not ready: {self.console}"
            time.sleep(0.05)

    def resize(self, width: int, height: int) -> None:
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def look(self, dark: bool = False, media: str = "screen") -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def run(self, script: str):
        """Returns the value of a JavaScript expression."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, whole: bool = True) -> bytes:
        """Returns a PNG, of the whole page or of what the window shows."""
        answer = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """Returns the page as it is printed on A4."""
        self.look(media="print")
        answer = self.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)
        return base64.b64decode(answer["data"])


class _Pipe:
    def __init__(self, process: subprocess.Popen, sending: int, receiving: int):
        self._process, self._sending, self._receiving = process, sending, receiving
        self._number, self._rest = 0, b""

    def ask(self, method: str, parameters: dict, session: str | None = None) -> tuple[dict, list[dict]]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._sending, json.dumps(message).encode() + b"\0")
        events = []
        while True:
            received = self._receive()
            if received.get("id") == self._number:
                assert "error" not in received, f"{method}: {received['error']}"
                return received["result"], events
            events.append(received)

    def _receive(self) -> dict:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._receiving], [], [], 120)
            piece = os.read(self._receiving, 2**20) if ready else b""
            assert piece, "the browser has gone, or does not answer"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def page() -> Iterator[Page]:
    """Yields a new tab of a new browser, which ends with the block."""
    program = path()
    assert program is not None, MISSING
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The browser reads commands from its descriptor 3 and answers on 4.
        out_read, out_write = os.pipe()
        in_read, in_write = os.pipe()
        arguments = [
            program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", "--disable-background-networking",
            f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", _ON_3_AND_4, str(out_read), str(in_write), *arguments],
            pass_fds=(out_read, in_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        os.close(out_read)
        os.close(in_write)
        pipe = _Pipe(process, out_write, in_read)
        try:
            target, _ = pipe.ask("Target.createTarget", {"url": "about:blank"})
            attached, _ = pipe.ask("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
            yield Page(pipe, attached["sessionId"])
        finally:
            with contextlib.suppress(AssertionError, OSError):
                pipe.ask("Browser.close", {})
            os.close(out_write)
            os.close(in_read)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
