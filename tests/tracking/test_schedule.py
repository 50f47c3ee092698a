"""Calls side by side: order, needs, failures."""

import threading
from concurrent.futures import Future

import pytest

from conceptcaps.tracking.schedule import Schedule


def wrong() -> None:
    raise KeyError("wrong")


def test_calls_begin_in_order_once_their_needs_have_ended():
    order: list[str] = []
    schedule = Schedule(1)
    gate: Future[None] = Future()
    late = schedule.add(lambda: order.append("late"), [gate])
    early = schedule.add(lambda: order.append("early"), [])
    early.result(timeout=30)
    gate.set_result(None)
    last = schedule.add(lambda: order.append("last"), [late])
    last.result(timeout=30)
    schedule.close()
    assert order == ["early", "late", "last"]


def test_the_call_for_which_most_others_wait_begins_first():
    order: list[str] = []
    schedule, gate = Schedule(1), threading.Event()
    opened = schedule.add(gate.wait, [])

    def add(name: str, *needs: Future[None]) -> Future[None]:
        return schedule.add(lambda: order.append(name), needs)

    add("nobody waits", opened)
    one, two = add("one waits", opened), add("two wait", opened)
    last = add("last", add("after two", two), one)
    gate.set()
    last.result(timeout=30)
    schedule.close()
    assert order == ["two wait", "one waits", "after two", "nobody waits", "last"]


def test_no_more_than_so_many_run_at_once():
    lock, running, most = threading.Lock(), [0], [0]

    def call() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.01)
        with lock:
            running[0] -= 1

    schedule = Schedule(3)
    for later in [schedule.add(call, []) for _ in range(20)]:
        later.result(timeout=30)
    schedule.close()
    assert 1 <= most[0] <= 3


def test_after_a_failure_what_waits_and_what_is_added_fail_with_it():
    schedule = Schedule(2)
    failed = schedule.add(wrong, [])
    below = schedule.add(lambda: pytest.fail("it began"), [failed])
    with pytest.raises(KeyError, match="wrong"):
        below.result(timeout=30)
    with pytest.raises(KeyError, match="wrong"):
        schedule.add(lambda: pytest.fail("it began"), []).result(timeout=30)
    schedule.close()


def test_what_runs_and_waits_is_waited_for_when_it_closes():
    done: list[bool] = []
    schedule, begun = Schedule(1), threading.Event()
    assert schedule.idle

    def call() -> None:
        begun.set()
        threading.Event().wait(0.05)
        done.append(True)

    schedule.add(call, [])
    begun.wait(timeout=30)
    assert not schedule.idle
    schedule.add(lambda: done.append(True), [])
    schedule.close()
    assert done == [True, True] and schedule.idle


def test_refused_nothing_begins_and_what_runs_ends():
    go, done = threading.Event(), []
    schedule, begun = Schedule(1), threading.Event()

    def call() -> None:
        begun.set()
        go.wait(timeout=30)
        done.append(True)

    running = schedule.add(call, [])
    begun.wait(timeout=30)
    waiting = schedule.add(lambda: done.append(False), [])
    schedule.refuse(KeyboardInterrupt())
    assert isinstance(waiting.exception(timeout=30), KeyboardInterrupt)
    go.set()
    assert running.result(timeout=30) is None
    schedule.close()
    assert done == [True]
