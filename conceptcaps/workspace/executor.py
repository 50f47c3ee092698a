"""Independent jobs, run in this process, in several, or by the actors of a Ray cluster.

References:
    Moritz et al., Ray: a distributed framework for emerging AI applications (2018), arXiv 1712.05889.
"""

import logging
import multiprocessing
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import wait as wait_for
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, TypeVar

from conceptcaps.errors import Failure
from conceptcaps.workspace import quiet
from conceptcaps.workspace.project import PROJECT

EXECUTORS = ("local", "ray")
Result = TypeVar("Result")
_WORTH_A_PROCESS = 3  # jobs a worker
_DEATHS = 3  # of the actors of one job: it kills them
_STARTING = threading.Lock()  # of processes, for which the program is changed a moment
_NOT_SENT = [".git", ".venv", ".launcher", "outputs", "mlruns", "mlartifacts"]


@dataclass(frozen=True)
class Ray:
    """A Ray cluster: ``local`` starts one on this machine, and an address such as ``ray://head:10001`` joins one."""

    address: str = "local"


def cluster(executor: str, address: str) -> Ray | None:
    """Where jobs run, one of ``EXECUTORS``: None is this machine without Ray."""
    return Ray(address) if executor == "ray" else None


def cores() -> int:
    """Cores that this process is to take: those that PyTorch works on, where it is loaded, else all."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch is not None else os.cpu_count() or 1


def is_worker() -> bool:
    """Whether this is a process that does jobs for another one, which shows how far all have come."""
    return multiprocessing.parent_process() is not None


def finish(
    make: Callable[..., None], jobs: Sequence[tuple[Any, ...]], workers: int, *, ray: Ray | None = None
) -> Iterator[int]:
    """Run every job, and yield the number of each as it finishes.

    Args:
        make: Called with a job's values; where processes work, they import it, of a library and not of a stage's own
            file, and the values travel to them.
        jobs: What to do; never more than one beyond ``workers`` has been handed out.
        workers: Most processes, among which the cores are shared out; fewer where there are not 3 jobs for each, to
            make up for its start, and none at all besides this one where two would be too many.
        ray: Cluster whose actors do the jobs: one for each of its GPUs, or as many as ``workers`` where it has none. A
            job whose actor or node dies is done again by another.

    Raises:
        Exception: What a job raises; those that have not begun are dropped.
        Failure: If three actors die of one job, or as they start.
    """
    if ray is not None:
        yield from _finish_on_ray(make, jobs, workers, ray)
        return
    workers = min(workers, len(jobs) // _WORTH_A_PROCESS)
    if workers <= 1:
        for number, job in enumerate(jobs):
            make(*job)
            yield number
        return
    own = partial(_do, make, max(cores() // workers, 1))
    with _processes(workers) as pool:
        waiting: dict[Future[None], int] = {}
        try:
            for number, job in enumerate(jobs):
                waiting[pool.submit(own, *job)] = number
                if len(waiting) > workers:
                    yield from _done(waiting)
            while waiting:
                yield from _done(waiting)
        finally:
            pool.shutdown(cancel_futures=True)


def gather(work: Callable[..., Result], jobs: Sequence[tuple[Any, ...]], workers: int) -> Iterator[Result]:
    """Run jobs of some seconds each, and yield what each gives, in their order.

    Args:
        work: Called with a job's values; where processes work, they import it, and values and results travel.
        jobs: What to do.
        workers: Most processes; one for two jobs at most, and none besides this one where two would be too many.

    Raises:
        Exception: What a job raises; those that have not begun are dropped.
    """
    workers = min(workers, len(jobs) // 2)
    if workers <= 1:
        yield from (work(*job) for job in jobs)
        return
    own = partial(_do, work, max(cores() // workers, 1))
    with _processes(workers) as pool:
        try:
            for future in [pool.submit(own, *job) for job in jobs]:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


class _Process(SpawnProcess):
    """A process that imports what it is to call, but not the stage that starts it, with all of its libraries."""

    def start(self) -> None:
        """Start while the stage, if the program is one, has no name and no file to be imported by."""
        program: dict[str, Any] = vars(sys.modules["__main__"])
        with _STARTING:
            stage = str(getattr(program.get("__spec__"), "name", "")).startswith("entrypoints.")
            named: dict[str, Any] = {
                name: program[name] for name in ("__spec__", "__file__") if stage and name in program
            }
            program.update(dict.fromkeys(named))
            try:
                super().start()
            finally:
                program.update(named)


class _Spawn(SpawnContext):
    Process = _Process


def _processes(count: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(count, mp_context=_Spawn(), initializer=_begin)


def _do(work: Callable[..., Result], threads: int, *job: Any) -> Result:
    """Do a job on a share of the cores; what it calls was imported as it came."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(threads)
    return work(*job)


def _done(waiting: dict[Future[None], int]) -> Iterator[int]:
    """Wait until one is done or more are; a shard that failed raises here."""
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        future.result()
        yield waiting.pop(future)


class _Actor:
    """Does jobs one after the other; what ``make`` holds is opened once for all of them."""

    def __init__(self, make: Callable[..., None]) -> None:
        self.make = make

    def ready(self) -> None:
        """Answer as soon as what ``make`` holds is open."""

    def do(self, *job: Any) -> None:
        self.make(*job)


def _finish_on_ray(
    make: Callable[..., None], jobs: Sequence[tuple[Any, ...]], workers: int, place: Ray
) -> Iterator[int]:
    import ray  # takes seconds

    silent = {"log_to_driver": False, "logging_level": logging.ERROR}
    if place.address == "local":
        env: dict[str, Any] = {"env_vars": {"PYTHONPATH": str(PROJECT)}}
        # One more than the actors take: Ray's own tasks want a place too.
        ray.init(address="local", num_cpus=workers + 1, include_dashboard=False, runtime_env=env, **silent)
    else:
        env = {"working_dir": str(PROJECT), "excludes": _NOT_SENT}
        ray.init(address=place.address, runtime_env=env, **silent)
    try:
        there = ray.cluster_resources()
        gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 1))
        count = min(gpus or min(workers, max(cpus - 1, 1)), len(jobs))
        maker = ray.put(make)
        actor = ray.remote(num_cpus=1, num_gpus=min(gpus, 1))(_Actor)
        waiting, deaths, left = list(reversed(range(len(jobs)))), Counter[int | None](), len(jobs)
        idle: list[Any] = []
        running: dict[Any, tuple[Any, int | None]] = {}  # what is waited for: an actor, and its job, None as it starts
        new = count
        while left:
            for own in [actor.remote(maker) for _ in range(new)]:
                running[own.ready.remote()] = own, None
            new = 0
            while idle and waiting:
                own, job = idle.pop(), waiting.pop()
                running[own.do.remote(*jobs[job])] = own, job
            done = ray.wait(list(running))[0][0]
            own, number = running.pop(done)
            try:
                ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
                deaths[number] += 1
                if deaths[number] == _DEATHS:
                    what = "as they began" if number is None else f"of job {number} of {len(jobs)}"
                    raise Failure(f"{_DEATHS} actors died {what}: {error}") from error
                waiting += [] if number is None else [number]
                new = 1
            else:
                idle.append(own)
                if number is not None:
                    left -= 1
                    yield number
    finally:
        ray.shutdown()


def _begin() -> None:
    """Be quiet, and end with the parent.

    A worker whose parent was killed would wait for ever, and write what a resumed run writes.
    """
    quiet.libraries()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait_for([parent.sentinel]), os._exit(1)), daemon=True).start()
