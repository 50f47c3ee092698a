"""Calls that run side by side, each as soon as those that it needs have ended."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple


class _Job(NamedTuple):
    call: Callable[[], Any]
    result: Future[Any]
    needs: list[Future[Any]]


class Schedule:
    """Calls in threads; of those that can begin the one first for which most others wait, and the earliest of such.

    After the first failure nothing begins any more: what waits, and what is added, fails with it.
    """

    def __init__(self, at_once: int) -> None:
        """Start without calls; ``at_once`` of them, 1 or more, will run side by side."""
        self._pool = ThreadPoolExecutor(at_once)
        self._at_once = self._free = at_once
        self._lock = threading.Lock()
        self._waiting: list[_Job] = []
        self._added: list[Future[Any]] = []
        self._failure: BaseException | None = None

    def add(self, call: Callable[[], Any], needs: Iterable[Future[Any]]) -> Future[Any]:
        """Call later, when what it needs has ended; its result is the future's."""
        job = _Job(call, Future(), list(needs))
        with self._lock:
            self._waiting.append(job)
            self._added.append(job.result)
        self._begin()
        return job.result

    def refuse(self, failure: BaseException) -> None:
        """Begin nothing any more: what waits fails."""
        with self._lock:
            self._failure = self._failure or failure
        self._begin()

    @property
    def idle(self) -> bool:
        """Whether nothing runs."""
        return self._free == self._at_once

    def close(self) -> None:
        """Wait for all calls, those that wait included."""
        for later in list(self._added):
            later.exception()
        self._pool.shutdown()

    def _begin(self) -> None:
        with self._lock:
            if self._failure:
                left, self._waiting = self._waiting, []
                ready = []
            else:
                ready = [job for job in self._waiting if all(need.done() for need in job.needs)]
                behind = self._behind()
                left, ready = [], sorted(ready, key=lambda job: -len(behind[job.result]))[: self._free]
                self._waiting = [job for job in self._waiting if job not in ready]
                self._free -= len(ready)
        for job in left:
            job.result.set_exception(self._failure)
        for job in ready:
            self._pool.submit(job.call).add_done_callback(partial(self._ended, job))

    def _behind(self) -> defaultdict[Future[Any], set[Future[Any]]]:
        """Of each call those that wait for it, directly or not."""
        behind: defaultdict[Future[Any], set[Future[Any]]] = defaultdict(set)
        for job in reversed(self._waiting):  # what a call needs was added before it
            for need in job.needs:
                behind[need] |= {job.result, *behind[job.result]}
        return behind

    def _ended(self, job: _Job, call: Future[Any]) -> None:
        failure = call.exception()
        if failure:
            with self._lock:
                self._failure = self._failure or failure
            job.result.set_exception(failure)
        else:
            job.result.set_result(call.result())
        with self._lock:
            self._free += 1
        self._begin()
