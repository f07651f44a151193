"""Reading ahead and writing behind: in order, bounded, and no failure is lost."""

import threading
import time

import pytest

from load_v2.scoring import threads


def test_what_fails_while_reading_ahead_fails_in_its_turn():
    def batches():
        yield from ("one", "two")
        raise ValueError("no more")

    read = threads.read_ahead(batches())
    assert [next(read), next(read)] == ["one", "two"]
    with pytest.raises(ValueError, match="no more"):
        next(read)


def test_reading_ahead_stops_with_the_consumer():
    before, taken = set(threading.enumerate()), []

    def batches():
        for at in range(100):
            taken.append(at)
            yield at

    read = threads.read_ahead(batches())
    next(read)
    (thread,) = set(threading.enumerate()) - before
    read.close()
    thread.join(60)
    assert not thread.is_alive() and len(taken) < 10


def test_calls_are_made_in_order_by_another_thread_and_all_of_them():
    made, here = [], threading.get_ident()
    with threads.write_behind() as later:
        for at in range(20):
            later(lambda value: (time.sleep(0.001), made.append((value, threading.get_ident() != here))), at)
    assert made == [(at, True) for at in range(20)]


def test_few_calls_wait():
    free, made = threading.Event(), []
    with threads.write_behind() as later:
        later(free.wait)
        for at in range(2):
            later(made.append, at)
        waiting = threading.Thread(target=lambda: later(made.append, 2))
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive(), "the fourth does not wait in memory"
        free.set()
        waiting.join()
    assert made == [0, 1, 2]


@pytest.mark.parametrize("calls", [1, 50])
def test_what_a_call_raises_is_raised(calls):
    made = []

    def fails(at):
        made.append(at)
        if at == 0:
            raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        with threads.write_behind() as later:
            for at in range(calls):
                later(fails, at)
    assert len(made) < 10


def test_what_the_block_raises_is_raised_when_calls_are_over():
    made = []
    with pytest.raises(KeyError):
        with threads.write_behind() as later:
            later(lambda: (time.sleep(0.05), made.append(1)))
            time.sleep(0.01)
            raise KeyError("x")
    assert made == [1]
