"""Opening and closing runs: FINISHED, FAILED or KILLED, as what happened inside them was."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import mlflow
from mlflow.exceptions import MlflowException

from conceptcaps.errors import Refused, is_expected, masked, one_line
from conceptcaps.tracking import console, processes, server, session, store
from conceptcaps.tracking.session import attempt
from conceptcaps.tracking.store import artifacts_of, client
from conceptcaps.workspace import project

EXPERIMENT = "conceptcaps"


def execute(main: Callable[[], None]) -> None:
    """Call a stage's ``main``: an expected failure becomes one line on standard error, a bug shows its traceback.

    The last line names the run, if there is one, and where its ``traceback.txt`` lies. The exit code is 1, or 3 where a
    gate refused.
    """
    try:
        main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except SystemExit as stopped:
        if stopped.code == 2:  # argparse has said what it did not understand
            _close_unread(stopped)
        raise
    except Exception as error:
        lines = [f"error: {one_line(error)}", *getattr(error, "__notes__", [])]
        if _kind(error) == "bug":
            lines[:1] = [line.rstrip("\n") for line in traceback.format_exception(error)]
            lines = lines[: len(lines) - len(getattr(error, "__notes__", []))]
        print(masked("\n".join(lines)), file=sys.stderr)
        raise SystemExit(getattr(error, "exit_code", 1)) from None


@contextmanager
def run(name: str, params: Mapping[str, object]) -> Iterator[str]:
    """Open the run of a stage and close it as FINISHED, FAILED (an exception) or KILLED (interrupt, SIGTERM).

    Under ``mlflow run`` the run exists and its parameters are logged already; by hand both are done here. A step of a
    pipeline keeps the name that this has given it. The console
    shows what the stage is and reads, and in the end its figures, its artifacts and the next command.

    Args:
        name: Entry point; the run's name too, unless a pipeline has named it.
        params: The stage's parameters.

    Yields:
        The run's id.

    Raises:
        ConnectionError: If the tracking server does not answer, or does not let this user write.
    """
    by_hand = "MLFLOW_RUN_ID" not in os.environ
    server.require(patient=not by_hand)
    nested = not by_hand and "mlflow.parentRunId" in store.tags(os.environ["MLFLOW_RUN_ID"])
    with processes.interruptible():
        processes.close_orphans()
        tags = {**processes.process_tags(), "stage": name, "code.commit": project.commit()}
        called = {} if nested else {"mlflow.runName": name}
        try:
            mlflow.start_run(
                experiment_id=_experiment() if by_hand else None,
                run_name=called.get("mlflow.runName"),
                tags=tags | called,
            )
        except MlflowException as error:
            server.require_permission(error)
            raise
        run_id = active()
        try:
            with _closing(name, label=str(store.info(run_id)["name"]) if nested else ""):
                server.refuse_passwords(params)
                if by_hand:
                    mlflow.log_params(dict(params))
                console.begin(name)
                yield run_id
                console.end(name, params=params)
        except server.PasswordGiven:
            client().delete_run(run_id)
            raise


@contextmanager
def child_run(name: str, params: Mapping[str, object], *, stops: tuple[type[Exception], ...] = ()) -> Iterator[str]:
    """A run nested in the active one, such as a trial of a sweep; closed as ``run`` closes its own.

    Args:
        name: Name of the run.
        params: Its parameters.
        stops: Exceptions that end it on purpose, such as pruning: its run is KILLED, not FAILED.
    """
    parent = mlflow.get_run(active())
    tags = processes.process_tags()
    mlflow.start_run(experiment_id=parent.info.experiment_id, run_name=name, nested=True, tags=tags)
    with _closing(name, stops=stops):
        mlflow.log_params(dict(params))
        yield active()


@contextmanager
def _closing(name: str, *, stops: tuple[type[Exception], ...] = (), label: str = "") -> Iterator[None]:
    """End the run first and log the rest of what is known after that: a store that fails once may fail again."""
    killed: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, *stops)
    current = session.Session(active(), label)
    session.sessions.append(current)
    try:
        yield
        current.flush()
    except killed:
        attempt(mlflow.end_run, "KILLED")
        attempt(current.flush)
        raise
    except BaseException as error:
        attempt(mlflow.end_run, "FAILED")
        attempt(current.flush)
        attempt(client().set_tag, current.run_id, "error", one_line(error)[:5000])
        attempt(client().set_tag, current.run_id, "failure", _kind(error))
        if not isinstance(error, Refused):
            attempt(client().log_text, current.run_id, masked(traceback.format_exc()), "traceback.txt")
            error.add_note(f"run {current.run_id} ({name}) FAILED; see {artifacts_of(current.run_id)}/traceback.txt")
        raise
    else:
        mlflow.end_run("FINISHED")
    finally:
        session.sessions.remove(current)
        if not session.sessions:
            session.clear_scratch(current.run_id)


def _kind(error: BaseException) -> str:
    """Of a failure: ``refused`` by a gate, ``machine`` for it, the network or the store, ``input``, or ``bug``."""
    if isinstance(error, Refused):
        return "refused"
    if isinstance(error, OSError | MlflowException):
        return "machine"
    return "input" if is_expected(error) else "bug"


def _experiment() -> str | None:
    """Where runs by hand go: an experiment of the project's name, unless the environment names one."""
    if {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & set(os.environ):
        return None
    found = client().get_experiment_by_name(EXPERIMENT)
    try:
        return str(found.experiment_id if found else client().create_experiment(EXPERIMENT))
    except MlflowException:  # another process was first
        found = client().get_experiment_by_name(EXPERIMENT)
        if found is None:
            raise
        return str(found.experiment_id)


def _close_unread(stopped: SystemExit) -> None:
    """Name the run that ``mlflow run`` made for a stage whose arguments were not understood, and say what they were.

    If a password is among its parameters, it is deleted.
    """
    run_id, spec = os.environ.get("MLFLOW_RUN_ID"), getattr(sys.modules["__main__"], "__spec__", None)
    if run_id and spec:
        attempt(_name, run_id, spec.name.rpartition(".")[2])
        reason = stopped.__context__ or f"arguments not understood: {' '.join(sys.argv[1:])}"
        attempt(client().set_terminated, run_id, "FAILED")
        attempt(client().set_tag, run_id, "error", masked(str(reason))[:5000])
        attempt(_delete_with_password, run_id)


def _name(run_id: str, stage: str) -> None:
    if "mlflow.parentRunId" not in store.tags(run_id):  # a pipeline has named its own
        client().set_tag(run_id, "mlflow.runName", stage)


def _delete_with_password(run_id: str) -> None:
    if any(masked(value) != value for value in client().get_run(run_id).data.params.values()):
        client().delete_run(run_id)


def active() -> str:
    """Id of the active run."""
    found = mlflow.active_run()
    assert found is not None
    return str(found.info.run_id)
