"""Which process a run belongs to, so that a run whose process is gone does not stay RUNNING."""

import os
import signal
import socket
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from mlflow.entities import Run

from conceptcaps.tracking import session
from conceptcaps.tracking.store import client, search
from conceptcaps.workspace import project

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SAME = 2.0  # seconds by which two readings of one process's start may differ


def machine() -> str:
    """This host since it was started: its name and boot id, since two hosts may share a name."""
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else str(round(psutil.boot_time()))
    return f"{socket.gethostname()}/{boot}"


def process_tags() -> dict[str, str]:
    """Tags that say which process a run belongs to."""
    started = psutil.Process().create_time()
    return {"process.machine": machine(), "process.id": str(os.getpid()), "process.started": f"{started:.2f}"}


def close_orphans() -> None:
    """Mark runs KILLED whose process on this machine is gone: a process that is killed cannot do it itself.

    With it go the runs that have no process yet, of a stage which never began: those below it, which a pipeline made,
    and those that an ``mlflow run`` of this checkout made, if no such command is as old. One that begins nevertheless
    is RUNNING again. Copies that a killed process made of its inputs are removed.
    """
    for orphan in search(f"tags.process.machine = '{machine()}' AND attributes.status = 'RUNNING'"):
        if not _lives(orphan):
            client().set_terminated(orphan.info.run_id, "KILLED")
            below = search(f"tags.mlflow.parentRunId = '{orphan.info.run_id}' AND attributes.status = 'RUNNING'")
            for child in below:
                if "process.id" not in child.data.tags:
                    client().set_terminated(child.info.run_id, "KILLED")
    for copying in search(f"tags.process.machine = '{machine()}' AND tags.{session.SCRATCH} LIKE '%'"):
        if not _lives(copying):  # the command that started it may have ended its run
            session.clear_scratch_of(copying)
    for begun in search("tags.mlflow.project.backend = 'local' AND attributes.status = 'RUNNING'"):
        if _is_abandoned(begun):
            client().set_terminated(begun.info.run_id, "KILLED")


def _is_abandoned(run: Run) -> bool:
    """Whether a run was made by a command of this checkout that was gone before its stage began."""
    tags = run.data.tags
    if run.info.run_id == os.environ.get("MLFLOW_RUN_ID") or {"process.id", "mlflow.parentRunId"} & set(tags):
        return False
    if tags.get("mlflow.source.name", "").removeprefix("file://") != str(project.PROJECT):
        return False
    return not any(
        process.info["create_time"] < run.info.start_time / 1000 and _is_launcher(process.info["cmdline"] or [])
        for process in psutil.process_iter(["create_time", "cmdline"])
    )


def _is_launcher(command: list[str]) -> bool:
    """Whether a command line is one of ``mlflow run``.

    >>> _is_launcher(["python", "-m", "mlflow", "run", "."]), _is_launcher(["bin/mlflow", "ui"])
    (True, False)
    """
    return "run" in command and any(Path(word).name == "mlflow" for word in command)


def _lives(run: Run) -> bool:
    tags = run.data.tags
    try:
        process = psutil.Process(int(tags["process.id"]))
        started = process.create_time()
    except psutil.NoSuchProcess:
        return False
    return abs(started - float(tags["process.started"])) < _SAME and process.status() != psutil.STATUS_ZOMBIE


def end_stages(told: Set[int]) -> set[int]:
    """Ask the stages that this process has started to end, but those told already; gives their process ids."""
    found = set()
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.pid not in told and any("entrypoints." in word for word in child.cmdline()):
                child.terminate()
                found.add(child.pid)
    return found


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside it, SIGTERM and the death of the pipeline that started this process act as an interrupt."""
    previous = signal.signal(signal.SIGTERM, _interrupt)
    done = threading.Event()
    if "MLFLOW_RUN_ID" in os.environ:
        threading.Thread(target=_watch, args=(os.getppid(), done), daemon=True).start()
    try:
        yield
    finally:
        done.set()
        signal.signal(signal.SIGTERM, previous)


def _watch(parent: int, done: threading.Event) -> None:
    while not done.wait(0.5):
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)
            return


def _interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt
