"""Signals as a command in the foreground has them."""

import signal

import pytest


@pytest.fixture(autouse=True)
def _heard():
    """Whoever runs the tests in the background, or under nohup, may have these ignored; a child would ignore them, too."""
    handlers = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        if before[number] is signal.SIG_IGN:
            signal.signal(number, handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
