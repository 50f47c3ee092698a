"""Jobs that do not hang on each other, done in this process or in several."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing.connection import wait as wait_for
from typing import Any

_WORTH_A_PROCESS = 8  # jobs a worker


def finish(make: Callable[..., None], jobs: Sequence[tuple[Any, ...]], workers: int) -> Iterator[int]:
    """Do every job, and give the number of each as it is done.

    Args:
        make: Called with a job's values; where processes work, they import it, and the values travel to them.
        jobs: What to do; never more than one beyond ``workers`` has been handed out.
        workers: Most processes; fewer where there are not 8 jobs for each, to make up for its start, and none at all
            besides this one where two would be too many.

    Raises:
        Exception: What a job raises; those that have not begun are dropped.
    """
    workers = min(workers, len(jobs) // _WORTH_A_PROCESS)
    if workers <= 1:
        for number, job in enumerate(jobs):
            make(*job)
            yield number
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_end_with_parent) as pool:
        waiting: dict[Future[None], int] = {}
        try:
            for number, job in enumerate(jobs):
                waiting[pool.submit(make, *job)] = number
                if len(waiting) > workers:
                    yield from _done(waiting)
            while waiting:
                yield from _done(waiting)
        finally:
            pool.shutdown(cancel_futures=True)


def _done(waiting: dict[Future[None], int]) -> Iterator[int]:
    """Wait until one is done or more are; a shard that failed raises here."""
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        future.result()
        yield waiting.pop(future)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for ever, and write what a resumed run writes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait_for([parent.sentinel]), os._exit(1)), daemon=True).start()
