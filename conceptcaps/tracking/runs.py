"""Opening and closing runs: FINISHED, FAILED or KILLED, as what happened inside them was."""

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import mlflow
import requests
from mlflow.exceptions import MlflowException

from conceptcaps import project
from conceptcaps.tracking.store import client, search

_EXPECTED = (ValueError, OSError, MlflowException, RuntimeError)


def execute(main: Callable[[], None]) -> None:
    """Call a stage's ``main``; an expected failure becomes one line on standard error and exit code 1."""
    try:
        main()
    except _EXPECTED as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None


@contextmanager
def run(name: str, params: Mapping[str, object]) -> Iterator[str]:
    """Open the run of a stage and close it as FINISHED, FAILED (an exception) or KILLED (interrupt, SIGTERM).

    Under ``mlflow run`` the run exists and its parameters are logged already; by hand both are done here.

    Args:
        name: Entry point, which is the run's name too.
        params: The stage's parameters.

    Yields:
        The run's id.

    Raises:
        ConnectionError: If the tracking server does not answer.
    """
    require_server()
    _close_orphans()
    started_by_hand = "MLFLOW_RUN_ID" not in os.environ
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        mlflow.start_run(run_name=name if started_by_hand else None)
        if started_by_hand:
            mlflow.log_params(dict(params))
        else:
            mlflow.set_tag("mlflow.runName", name)
        mlflow.set_tags(
            {"process.host": socket.gethostname(), "process.id": os.getpid(), "code.commit": project.commit()}
        )
        with _closing():
            yield active()
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def child_run(name: str, params: Mapping[str, object], *, stops: tuple[type[Exception], ...] = ()) -> Iterator[str]:
    """A run nested in the active one, such as a trial of a sweep; closed as ``run`` closes its own.

    Args:
        name: Name of the run.
        params: Its parameters.
        stops: Exceptions that end it on purpose, such as pruning: its run is KILLED, not FAILED.
    """
    mlflow.start_run(run_name=name, nested=True)
    mlflow.log_params(dict(params))
    with _closing(stops):
        yield active()


@contextmanager
def _closing(stops: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    killed: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, *stops)
    try:
        yield
    except killed:
        mlflow.end_run("KILLED")
        raise
    except BaseException as error:
        mlflow.set_tag("error", one_line(error)[:5000])
        mlflow.log_text(traceback.format_exc(), "traceback.txt")
        mlflow.end_run("FAILED")
        raise
    mlflow.end_run("FINISHED")


def _close_orphans() -> None:
    """Mark runs of this machine KILLED whose process is gone: a process that is killed cannot do it itself."""
    mine = f"tags.process.host = '{socket.gethostname()}' AND attributes.status = 'RUNNING'"
    for orphan in search(mine):
        try:
            os.kill(int(orphan.data.tags["process.id"]), 0)
        except ProcessLookupError:
            client().set_terminated(orphan.info.run_id, "KILLED")
        except PermissionError:
            continue  # alive, and another user's


def require_server() -> None:
    """Fail at once where a tracking server is named that does not answer, before any work is done.

    Raises:
        ConnectionError: If ``/health`` of the server gives no answer within five seconds.
    """
    uri = mlflow.get_tracking_uri()
    if uri.startswith(("http://", "https://")):
        try:
            requests.get(f"{uri.rstrip('/')}/health", timeout=5).raise_for_status()
        except requests.RequestException as error:
            raise ConnectionError(
                f"expected a tracking server at MLFLOW_TRACKING_URI={uri}, got {type(error).__name__}; "
                "start it (mlflow server) or unset the variable to use the local store"
            ) from None


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def one_line(error: BaseException) -> str:
    """An error's message without line breaks, or the name of its class if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def active() -> str:
    """Id of the active run."""
    run_id = mlflow.active_run()
    assert run_id is not None
    return str(run_id.info.run_id)
