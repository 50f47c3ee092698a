"""Reading runs: their metrics, parameters, tags, artifacts and children, and where the store is."""

import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import Experiment, Run

from conceptcaps.errors import InputError, masked
from conceptcaps.tracking import session

_PAGE = 1000  # runs in an answer of the store


def latest(step: str) -> str:
    """Id of the newest finished run of a step, over all experiments.

    Args:
        step: Name of an entry point, or the label under which a pipeline runs it a second time, which begins with that
            name: ``sample_tags`` is not ``sample_tags more``.

    Raises:
        InputError: If there is none.
    """
    stage = step.split()[0]
    for found in search(f"tags.stage = '{stage}' AND attributes.status = 'FINISHED'"):
        called = str(found.info.run_name)
        if called == step or (step == stage and not called.startswith(f"{stage} ")):
            return str(found.info.run_id)
    raise InputError(f"expected a finished run of {step} in {masked(mlflow.get_tracking_uri())}, got none")


def metrics(run_id: str) -> dict[str, float]:
    """Last value of every metric of a run."""
    session.flush()
    return dict(client().get_run(run_id).data.metrics)


def params(run_id: str) -> dict[str, str]:
    """Parameters of a run, as text."""
    return dict(client().get_run(run_id).data.params)


def tags(run_id: str) -> dict[str, str]:
    """Tags of a run."""
    return dict(client().get_run(run_id).data.tags)


def outcome(run_id: str) -> str:
    """What a run decided or registered, in a line; empty if neither."""
    found = tags(run_id)
    said = {"registered": "Registered {}.", "decision": "Decision: {}.", "warning": "Warning: {}."}
    return " ".join(text.format(found[name].rstrip(".")) for name, text in said.items() if name in found)


def left_out(run_id: str) -> dict[str, str]:
    """Why steps of a pipeline were left out, by label.

    Args:
        run_id: The pipeline's run, or that of one of its stages; any other run has left out nothing.
    """
    return _of_pipeline(run_id, "left_out.")


def decisions(run_id: str) -> dict[str, str]:
    """What the promotions of a pipeline decided, by model; ``run_id`` as in ``left_out``."""
    return _of_pipeline(run_id, "decision.")


def _of_pipeline(run_id: str, prefix: str) -> dict[str, str]:
    found = tags(run_id)
    found = tags(found["mlflow.parentRunId"]) if "mlflow.parentRunId" in found else found
    return {name.removeprefix(prefix): text for name, text in found.items() if name.startswith(prefix)}


def info(run_id: str) -> dict[str, Any]:
    """Name, status and duration (s; None while it runs) of a run."""
    found = client().get_run(run_id).info
    duration = None if found.end_time is None else (found.end_time - found.start_time) / 1000
    return {"name": found.run_name, "status": found.status, "duration": duration}


def provenance(run_id: str) -> dict[str, str]:
    """Where a number of a run comes from: ``name``, ``run``, ``commit`` and ``date`` (UTC) of its start.

    Raises:
        InputError: If the run does not say from which commit it was made.
    """
    found = client().get_run(run_id)
    commit = found.data.tags.get("code.commit", "unknown")
    if commit == "unknown":
        raise InputError(f"expected run {run_id} to have been made in a git checkout, got one without a commit")
    date = datetime.fromtimestamp(found.info.start_time / 1000, UTC).strftime("%Y-%m-%d")
    return {"name": str(found.info.run_name), "run": run_id, "commit": commit, "date": date}


def run_of(uri: str) -> str | None:
    """Run id inside ``runs:/<id>/<artifact>``, or None for any other URI."""
    return uri.removeprefix("runs:/").split("/")[0] if uri.startswith("runs:/") else None


def local_path(uri: str) -> str:
    """Where ``runs:/<id>/<artifact>`` lies: a local path if the store is local, its own URI otherwise."""
    run_id, _, artifact = uri.removeprefix("runs:/").partition("/")
    return f"{artifacts_of(run_id)}/{artifact}".rstrip("/")


def artifacts_of(run_id: str) -> str:
    """Where a run's artifacts lie: a local path if the store is local, a URI otherwise."""
    return str(client().get_run(run_id).info.artifact_uri).removeprefix("file://")


def artifacts(run_id: str) -> set[str]:
    """Names of a run's artifacts: files and folders at the top."""
    return {str(found.path) for found in client().list_artifacts(run_id)}


def run_page(run_id: str) -> str:
    """The address of a run in the tracking UI, and for a local store what opens it."""
    experiment = client().get_run(run_id).info.experiment_id
    uri = masked(mlflow.get_tracking_uri())
    root, first = (uri.rstrip("/"), "") if uri.startswith("http") else ("http://127.0.0.1:5000", "make ui; ")
    return f"{first}{root}/#/experiments/{experiment}/runs/{run_id}"


def command(stage: str, settings: Iterable[str], *, run_id: str) -> str:
    """The command that runs a stage, its run in the experiment of another run.

    Args:
        stage: Entry point.
        settings: Its parameters, ``name=value``.
        run_id: The other run.
    """
    experiment = client().get_experiment(client().get_run(run_id).info.experiment_id).name
    named = ["--experiment-name", shlex.quote(experiment)] * (experiment != Experiment.DEFAULT_EXPERIMENT_NAME)
    given = [word for setting in settings for word in ("-P", shlex.quote(setting))]
    return " ".join(["mlflow run . --env-manager uv", *named, "-e", stage, *given])


def ui_command() -> str:
    """The command that opens the tracking UI on the store in use, or the address of its server."""
    uri = masked(mlflow.get_tracking_uri())
    return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"


def history(run_id: str, metric: str) -> pd.DataFrame:
    """Every value of a metric: columns ``step`` and ``value``."""
    session.flush()
    points = client().get_metric_history(run_id, metric)
    return pd.DataFrame({"step": [point.step for point in points], "value": [point.value for point in points]})


def children(run_id: str) -> list[tuple[str, str, str]]:
    """Name, id and status of the runs nested in a run, oldest first."""
    found = search(f"tags.mlflow.parentRunId = '{run_id}'")
    return [(str(child.info.run_name), str(child.info.run_id), str(child.info.status)) for child in reversed(found)]


def search(condition: str) -> list[Run]:
    """Runs of all experiments for which a condition of MLflow's search syntax holds, newest first."""
    experiments = [experiment.experiment_id for experiment in client().search_experiments()]
    order, found, page = ["attributes.start_time DESC"], [], None
    while page != "":
        part = client().search_runs(experiments, condition, max_results=_PAGE, order_by=order, page_token=page)
        found += part
        page = part.token or ""
    return found


def client() -> mlflow.MlflowClient:
    """MLflow's client on the store in use."""
    return mlflow.MlflowClient()
