"""Calls that run side by side, each as soon as those that it needs have ended."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple


class _Job(NamedTuple):
    call: Callable[[], Any]
    result: Future[Any]
    needs: list[Future[Any]]


class Schedule:
    """Calls in threads, the earliest that can begin first.

    After the first failure nothing begins any more: what waits, and what is added, fails with it.
    """

    def __init__(self, at_once: int, *, begin: Callable[[], object]) -> None:
        """Start without calls.

        Args:
            at_once: Calls that run side by side.
            begin: Called first in each thread.
        """
        self._pool = ThreadPoolExecutor(at_once, initializer=begin)
        self._free = at_once
        self._lock = threading.Lock()
        self._waiting: list[_Job] = []
        self._failure: BaseException | None = None

    def add(self, call: Callable[[], Any], needs: Iterable[Future[Any]]) -> Future[Any]:
        """Call later, when what it needs has ended; its result is the future's."""
        job = _Job(call, Future(), list(needs))
        with self._lock:
            self._waiting.append(job)
        self._begin()
        return job.result

    def close(self) -> None:
        """Begin nothing more, and wait for what runs."""
        with self._lock:
            self._failure = self._failure or RuntimeError("closed")
        self._begin()
        self._pool.shutdown()

    def _begin(self) -> None:
        with self._lock:
            if self._failure:
                left, self._waiting = self._waiting, []
                ready = []
            else:
                left, ready = [], [job for job in self._waiting if all(need.done() for need in job.needs)][: self._free]
                self._waiting = [job for job in self._waiting if job not in ready]
                self._free -= len(ready)
        for job in left:
            job.result.set_exception(self._failure)
        for job in ready:
            self._pool.submit(job.call).add_done_callback(partial(self._ended, job))

    def _ended(self, job: _Job, call: Future[Any]) -> None:
        failure = call.exception()
        with self._lock:
            self._free += 1
            self._failure = self._failure or failure
        if failure:
            job.result.set_exception(failure)
        else:
            job.result.set_result(call.result())
        self._begin()
