"""Ports for servers that tests start."""

import contextlib
import socket


def free() -> int:
    """Returns a port of the loopback interface that nobody listens on."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
