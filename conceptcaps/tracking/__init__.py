"""Runs, parameters, metrics, datasets, artifacts, registry, aliases and step reuse: all of MLflow, and nothing else.

No other module imports mlflow. The store is MLflow's own choice: ``MLFLOW_TRACKING_URI``, or ``sqlite:///mlflow.db``.
"""

import importlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import requests
from matplotlib.figure import Figure
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, infer_signature, set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from conceptcaps import project

WEIGHTS = "weights"
_EXPECTED = (ValueError, OSError, MlflowException, RuntimeError)


# --- runs ---------------------------------------------------------------------------------------------------------


def execute(main: Callable[[], None]) -> None:
    """Call a stage's ``main``; an expected failure becomes one line on standard error and exit code 1."""
    try:
        main()
    except _EXPECTED as error:
        print(f"error: {_one_line(error)}", file=sys.stderr)
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
        mlflow.set_tags({"process.host": socket.gethostname(), "process.id": os.getpid()})
        with _closing():
            yield _active()
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
        yield _active()


@contextmanager
def _closing(stops: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    killed: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, *stops)
    try:
        yield
    except killed:
        mlflow.end_run("KILLED")
        raise
    except BaseException as error:
        mlflow.set_tag("error", _one_line(error)[:5000])
        mlflow.log_text(traceback.format_exc(), "traceback.txt")
        mlflow.end_run("FAILED")
        raise
    mlflow.end_run("FINISHED")


def _close_orphans() -> None:
    """Mark runs of this machine KILLED whose process is gone: a process that is killed cannot do it itself."""
    mine = f"tags.process.host = '{socket.gethostname()}' AND attributes.status = 'RUNNING'"
    for orphan in _search(mine):
        try:
            os.kill(int(orphan.data.tags["process.id"]), 0)
        except ProcessLookupError:
            _client().set_terminated(orphan.info.run_id, "KILLED")
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


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _active() -> str:
    run_id = mlflow.active_run()
    assert run_id is not None
    return str(run_id.info.run_id)


# --- what a run records ---------------------------------------------------------------------------------------------


def log_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Log finite or NaN numbers under ``split/name``, at a step (such as an epoch) if given."""
    mlflow.log_metrics({name: float(value) for name, value in metrics.items()}, step=step)


def attempt(log: Callable[..., None], *args: object) -> None:
    """Log something that is not worth stopping a training for: where it fails, a warning says why."""
    try:
        log(*args)
    except (MlflowException, OSError) as error:
        warnings.warn(f"not logged: {_one_line(error)}", stacklevel=2)


def set_tags(tags: Mapping[str, object]) -> None:
    """Set tags of the active run."""
    mlflow.set_tags(dict(tags))


def log_folder(folder: Path, name: str) -> None:
    """Log a folder as artifact ``name/``."""
    mlflow.log_artifacts(str(folder), name)


def log_file(path: Path, folder: str = "") -> None:
    """Log a file as an artifact, inside ``folder`` if given."""
    mlflow.log_artifact(str(path), folder or None)


def log_figure(figure: Figure, name: str) -> None:
    """Log a figure as ``figures/<name>.png``."""
    mlflow.log_figure(figure, f"figures/{name}.png", save_kwargs={"dpi": 150})


def log_json(value: object, name: str) -> None:
    """Log a JSON value as artifact ``name``."""
    mlflow.log_text(json.dumps(value, indent=2, sort_keys=True) + "\n", name)


def log_frame(frame: pd.DataFrame, name: str) -> None:
    """Log a table as Parquet artifact ``name``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, Path(name).name)
        frame.to_parquet(path, index=False)
        log_file(path, str(Path(name).parent) if Path(name).parent != Path(".") else "")


def log_sweep(
    trials: pd.DataFrame, *, best: Mapping[str, object], values: Mapping[str, float], figures: Mapping[str, Figure]
) -> None:
    """Log a sweep's trials and figures, and its best one's parameters as tags ``best.<name>`` and values as metrics."""
    log_frame(trials, "trials.parquet")
    set_tags({f"best.{name}": setting for name, setting in best.items()})
    states = {f"trials/{str(state).lower()}": float(number) for state, number in trials["state"].value_counts().items()}
    log_metrics({**values, **states})
    for name, figure in figures.items():
        log_figure(figure, name)


def log_dataset(frame: pd.DataFrame, *, name: str, source: str, context: str) -> None:
    """Record which data a run used, so that the UI shows it.

    Args:
        frame: The rows; their schema, number and digest are recorded, not the rows themselves.
        name: Name of the dataset, such as ``tag_sets/train``.
        source: URI that it came from.
        context: ``training``, ``validation`` or ``evaluation``.
    """
    text = frame.map(lambda value: json.dumps(value) if isinstance(value, list) else value)
    origin = CodeDatasetSource({"mlflow.source.name": resolve(source)})  # MLflow has no source for runs:/ and models:/
    dataset = mlflow.data.from_pandas(text, source=origin, name=name)
    mlflow.log_input(dataset, context=context)


def fetch(uri: str) -> Path:
    """Local file or folder of a path, ``runs:/<id>/<artifact>`` or ``models:/<name>/<version>`` (or ``@<alias>``).

    An alias is resolved to its version first, and the resolved URI is kept as a tag of the active run. For a model it
    is the folder of weights that was passed to ``register``.

    Raises:
        ValueError: If there is nothing of that name.
    """
    resolved = resolve(uri)
    if mlflow.active_run() is not None and resolved != uri:
        mlflow.set_tag(f"resolved.{uri.removeprefix('models:/').split('@')[0]}", resolved)
    if "://" not in resolved and not resolved.startswith(("runs:/", "models:/")):
        path = Path(resolved)
        if not path.exists():
            raise ValueError(f"expected a local path, runs:/<id>/<artifact> or models:/<name>@<alias>, got {uri!r}")
        return path
    try:
        local = Path(mlflow.artifacts.download_artifacts(artifact_uri=resolved))
    except (MlflowException, OSError) as error:
        raise ValueError(f"expected an artifact at {resolved}, got: {_one_line(error)}") from error
    return local / "artifacts" / WEIGHTS if resolved.startswith("models:/") else local


# --- registry ---------------------------------------------------------------------------------------------------------


def register(
    name: str, weights: Path, *, module: str, example: pd.DataFrame, metrics: Mapping[str, float] | None = None
) -> str:
    """Log a folder of weights as a pyfunc model, register it and give the new version the alias ``candidate``.

    Args:
        name: Name in the registry.
        weights: Folder of safetensors and JSON that ``module.load`` opens.
        module: Library module with ``load(path)`` and ``predict(model, frame)``.
        example: Input example; the signature is inferred from it and from the model's answer.
        metrics: Numbers shown beside the version as tags.

    Returns:
        The version.
    """
    library = importlib.import_module(module)
    answer = library.predict(library.load(weights), example)
    signature: ModelSignature = infer_signature(example, answer)
    with tempfile.TemporaryDirectory() as folder:
        staged = shutil.copytree(weights, Path(folder, WEIGHTS))
        info = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={WEIGHTS: str(staged)},
            code_paths=[str(project.PROJECT / "conceptcaps")],
            model_config={"module": module},
            signature=signature,
            input_example=example,
            pip_requirements=str(project.PROJECT / "requirements.txt"),
            registered_model_name=name,
        )
    version = str(info.registered_model_version)
    move_alias(name, alias="candidate", version=version)
    for key, value in (metrics or {}).items():
        _client().set_model_version_tag(name, version, key, f"{value:.6g}")
    mlflow.set_tag("registered", f"models:/{name}/{version}")
    return version


def resolve(uri: str) -> str:
    """``models:/<name>@<alias>`` as ``models:/<name>/<version>``; any other URI as it is.

    Raises:
        ValueError: If the model has no such alias; names those that exist.
    """
    if not (uri.startswith("models:/") and "@" in uri):
        return uri
    name, alias = uri.removeprefix("models:/").split("@", 1)
    version = alias_version(name, alias)
    if version is None:
        models = _client().search_registered_models(filter_string=f"name = '{name}'")
        aliases = ", ".join(sorted(models[0].aliases)) if models and models[0].aliases else "none"
        raise ValueError(f"expected model {name!r} with alias {alias!r}, got aliases: {aliases}")
    return f"models:/{name}/{version}"


def alias_version(name: str, alias: str) -> str | None:
    """Version that an alias of a registered model points to, or None."""
    models = _client().search_registered_models(filter_string=f"name = '{name}'")
    return str(models[0].aliases[alias]) if models and alias in models[0].aliases else None


def move_alias(name: str, *, alias: str, version: str) -> None:
    """Point an alias of a registered model at a version."""
    _client().set_registered_model_alias(name, alias, version)


def model_version(uri: str) -> tuple[str, str, str]:
    """Name, version and training run id of a registered model's URI."""
    name, version = resolve(uri).removeprefix("models:/").rsplit("/", 1)
    return name, version, str(_client().get_model_version(name, version).run_id)


class LibraryModel(PythonModel):
    """Serves a folder of weights with ``load`` and ``predict`` of the library module that wrote it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights once, when the server starts."""
        self._library = importlib.import_module(context.model_config["module"])
        self._model = self._library.load(Path(context.artifacts[WEIGHTS]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row of the library module's answer for each row of the input."""
        return self._library.predict(self._model, model_input)


def serve() -> None:
    """Hand MLflow the model class; ``served.py`` calls it when a registered model is loaded."""
    set_model(LibraryModel())


# --- reading runs -----------------------------------------------------------------------------------------------------


def latest(entry_point: str) -> str:
    """Id of the newest finished run of an entry point, over all experiments.

    Raises:
        ValueError: If there is none.
    """
    found = _search(f"attributes.run_name = '{entry_point}' AND attributes.status = 'FINISHED'")
    if not found:
        raise ValueError(f"expected a finished run of {entry_point} in {mlflow.get_tracking_uri()}, got none")
    return str(found[0].info.run_id)


def metrics(run_id: str) -> dict[str, float]:
    """Last value of every metric of a run."""
    return dict(_client().get_run(run_id).data.metrics)


def params(run_id: str) -> dict[str, str]:
    """Parameters of a run, as text."""
    return dict(_client().get_run(run_id).data.params)


def tags(run_id: str) -> dict[str, str]:
    """Tags of a run."""
    return dict(_client().get_run(run_id).data.tags)


def info(run_id: str) -> dict[str, Any]:
    """Name, status, start (s since 1970) and duration (s; None while it runs) of a run."""
    found = _client().get_run(run_id).info
    duration = None if found.end_time is None else (found.end_time - found.start_time) / 1000
    return {"name": found.run_name, "status": found.status, "start": found.start_time / 1000, "duration": duration}


def run_of(uri: str) -> str | None:
    """Run id inside ``runs:/<id>/<artifact>``, or None for any other URI."""
    return uri.removeprefix("runs:/").split("/")[0] if uri.startswith("runs:/") else None


def figures(run_id: str) -> list[Path]:
    """Local copies of the figures that a run logged, by name; empty if there are none."""
    if not _client().list_artifacts(run_id, "figures"):
        return []
    return sorted(fetch(f"runs:/{run_id}/figures").glob("*.png"))


def local_path(uri: str) -> str:
    """Where ``runs:/<id>/<artifact>`` lies: a local path if the store is local, its own URI otherwise."""
    run_id, _, artifact = uri.removeprefix("runs:/").partition("/")
    return f"{str(mlflow.get_run(run_id).info.artifact_uri).removeprefix('file://')}/{artifact}"


def ui_command() -> str:
    """The command that opens the tracking UI on the store in use, or the address of its server."""
    uri = mlflow.get_tracking_uri()
    return uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"


def history(run_id: str, metric: str) -> pd.DataFrame:
    """Every value of a metric: columns ``step`` and ``value``."""
    points = _client().get_metric_history(run_id, metric)
    return pd.DataFrame({"step": [point.step for point in points], "value": [point.value for point in points]})


def children(run_id: str) -> list[tuple[str, str, str]]:
    """Name, id and status of the runs nested in a run, oldest first."""
    found = _search(f"tags.mlflow.parentRunId = '{run_id}'")
    return [(str(child.info.run_name), str(child.info.run_id), str(child.info.status)) for child in reversed(found)]


def _search(condition: str) -> list[Run]:
    experiments = [experiment.experiment_id for experiment in _client().search_experiments()]
    return list(_client().search_runs(experiments, condition, order_by=["attributes.start_time DESC"]))


def _client() -> mlflow.MlflowClient:
    return mlflow.MlflowClient()


# --- steps of a pipeline ----------------------------------------------------------------------------------------------


def submit(entry_point: str, parameters: Mapping[str, object]) -> str:
    """Run an entry point as a child of the active run, or reuse a finished run of the very same step.

    Args:
        entry_point: Name in MLproject.
        parameters: Those that differ from MLproject's defaults.

    Returns:
        Id of the run that holds the step's artifacts.

    Raises:
        RuntimeError: If the stage failed.
    """
    resolved = {name: resolve(str(value)) for name, value in parameters.items()}
    key = project.step_key(entry_point, resolved)
    if key is not None:
        found = _search(f"tags.step_key = '{key}' AND attributes.status = 'FINISHED'")
        if found:
            reused = str(found[0].info.run_id)
            reason = "same parameters, code and lock file"
            mlflow.set_tag(f"reused.{entry_point}.{reused[:8]}", f"{reused}: {reason}")
            print(f"{entry_point}: reused run {reused} ({reason})", file=sys.stderr)
            return reused
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    try:
        submitted = mlflow.projects.run(
            uri=str(project.PROJECT),
            entry_point=entry_point,
            parameters=resolved,
            run_name=entry_point,
            experiment_id=mlflow.get_run(_active()).info.experiment_id,
            env_manager="local",
        )
    except mlflow.exceptions.ExecutionException as error:
        _, failed, _ = children(_active())[-1]
        reason = tags(failed).get("error", _one_line(error))
        raise RuntimeError(f"stage {entry_point} failed: {reason}") from None
    if key is not None:
        _client().set_tag(submitted.run_id, "step_key", key)
    return str(submitted.run_id)


def registered_by(run_id: str) -> str:
    """``models:/<name>/<version>`` of the model that a run registered.

    Raises:
        ValueError: If it registered none.
    """
    found = tags(run_id).get("registered")
    if found is None:
        raise ValueError(f"expected run {run_id} to have registered a model, got none")
    return found
