"""Reading ahead and writing behind: files are worked on in threads of their own while a batch is computed."""

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
# Batches that wait between two threads, at most.
_WAITING = 2


def read_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """Yields the items, taken in a thread of its own, a few before they are asked for.

    Raises:
        BaseException: what `items` raised, where it did.
    """
    waiting: queue.Queue = queue.Queue(maxsize=_WAITING)
    stopped = threading.Event()
    end = object()

    def put(item, error: BaseException | None = None) -> bool:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put((item, error), timeout=0.2)
                return True
        return False

    def fill() -> None:
        try:
            if all(put(item) for item in items):
                put(end)
        except BaseException as error:  # it belongs to the thread that consumes the items
            put(None, error)

    threading.Thread(target=fill, daemon=True).start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        stopped.set()


@contextlib.contextmanager
def write_behind() -> Iterator[Callable[..., None]]:
    """Yields a function that has calls made by a thread of its own, in order; when the block ends, all have been made.

    Raises:
        BaseException: what a call raised, soon after it or at the end of the block.
    """
    pending: deque[Future] = deque()

    def wait(most: int) -> None:
        while len(pending) > most:
            pending.popleft().result()

    def call(function: Callable[..., Any], *args: object) -> None:
        wait(_WAITING)
        pending.append(pool.submit(function, *args))

    with ThreadPoolExecutor(1) as pool:
        try:
            yield call
            wait(0)
        finally:
            for future in pending:
                future.cancel()
