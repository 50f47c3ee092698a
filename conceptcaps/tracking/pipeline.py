"""Steps of a pipeline: nested runs of entry points, or finished runs of the very same step."""

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import mlflow

from conceptcaps.errors import Failure, one_line
from conceptcaps.tracking import lineage, records, session
from conceptcaps.tracking.registry import registered_by, resolve
from conceptcaps.tracking.runs import RUN_NAME, active
from conceptcaps.tracking.store import artifacts_of, children, client, local_path, metrics, search, tags, ui_command
from conceptcaps.workspace import project

GATES = {  # of each model that a pipeline promotes the step that trains it, and what its gate compares
    "vae": ("train_vae", "val/iwae"),
    "captioner": ("finetune_captioner", "val/loss"),
    "verifier": ("train_verifier", "val/nll"),
    "classifier": ("train_classifier", "val/nll"),
}


class StageFailed(Failure):
    """A stage that a pipeline started has failed; ``kind`` is ``input``, ``machine``, ``refused`` or ``bug``."""

    def __init__(self, entry_point: str, run_id: str, reason: str, kind: str) -> None:
        """Name the stage and its run."""
        where = f"run {run_id}, {artifacts_of(run_id)}/traceback.txt" if kind != "refused" else f"run {run_id}"
        super().__init__(f"stage {entry_point} failed: {reason} ({where})")
        self.reason = reason
        self.kind = kind


class Pipeline:
    """The steps of a pipeline under the active run.

    Attributes:
        runs: Run ids by label, in order.
        left_out: Why an optional step has no run, by label.
    """

    def __init__(self, *, pull: str) -> None:
        """Begin without steps.

        Args:
            pull: Which model later steps use: ``trained``, the pipeline's own, or ``champion``, whichever that is.
        """
        self.runs: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.pull = pull
        self._started = time.monotonic()

    def step(self, entry_point: str, artifact: str = "", *, label: str | None = None, **parameters: object) -> str:
        """Submit a step, and give the URI of one of its artifacts.

        Args:
            entry_point: Name in MLproject.
            artifact: Name of the artifact.
            label: Name of the step and of its run; the entry point's if None.
            parameters: Those that differ from the defaults; one that is None, the result of a step that was left out,
                keeps its default.

        Raises:
            StageFailed: If the stage failed.
        """
        name = label or entry_point
        given = {key: value for key, value in parameters.items() if value is not None}
        self.runs[name] = submit(entry_point, given, label=name)
        return f"runs:/{self.runs[name]}/{artifact}"

    def optional(
        self, entry_point: str, artifact: str = "", *, label: str | None = None, **parameters: object
    ) -> str | None:
        """As ``step``, but a step that its inputs do not allow is left out, with the reason in ``left_out``.

        A parameter that is None is the result of a step that was left out: this one is left out too.

        Raises:
            StageFailed: If the stage failed for any other reason: a fault of its own, or of the machine.
        """
        name = label or entry_point
        missing = [key for key, value in parameters.items() if value is None]
        if missing:
            self.left_out[name] = f"{missing[0]} was left out"
        else:
            try:
                return self.step(entry_point, artifact, label=label, **parameters)
            except StageFailed as failed:
                if failed.kind != "input":
                    raise
                self.left_out[name] = failed.reason
        records.set_tags({f"left_out.{name}": self.left_out[name][:5000]})
        print(f"  left out   {name}: {self.left_out[name]}", flush=True)
        return None

    def promoted(self, model: str) -> str | None:
        """Offer the model that a step registered for promotion, and give the URI that later steps use.

        A gate that refuses is a decision, not a failure; the pipeline's run keeps both as ``decision.<model>``. Nothing
        is reused: what is decided depends on the present champion. None if the step was left out.

        Args:
            model: One of ``GATES``, without ``conceptcaps-``.
        """
        trained_by, metric = GATES[model]
        if trained_by not in self.runs:
            return None
        trained, label = registered_by(self.runs[trained_by]), f"promote {model}"
        try:
            self.runs[label] = submit("promote", {"model": trained, "metric": metric}, label=label, reuse=False)
            decision = "promoted"
        except StageFailed as failed:
            if failed.kind != "refused":
                raise
            decision = failed.reason
        records.set_tags({f"decision.conceptcaps-{model}": decision[:5000]})
        return trained if self.pull == "trained" else resolve(f"models:/conceptcaps-{model}@champion")

    def summarise(self, keys: Iterable[tuple[str, str]], **links: str) -> dict[str, dict[str, float]]:
        """Give the pipeline's own run the figures by which pipelines compare, and links to what it made; print those.

        Args:
            keys: Label of a step and name of a metric; the figure is called ``<label>/<metric>``.
            links: Artifacts by name, such as ``dataset=runs:/<id>/dataset``; they become tags.

        Returns:
            Metrics by label of the step.
        """
        found = {label: metrics(run) for label, run in self.runs.items()}
        numbers = {f"{label}/{name}": found.get(label, {}).get(name) for label, name in keys}
        records.log_metrics({name: value for name, value in numbers.items() if value is not None})
        records.set_tags({name: local_path(uri) for name, uri in links.items()})
        records.log_json(self.runs, "runs.json")
        records.log_metrics({"pipeline/wall_seconds": time.monotonic() - self._started})
        for name, uri in links.items():
            print(f"{name}: {local_path(uri)}")
        print(f"runs: {ui_command()}", flush=True)
        return found


def repeat(run_id: str, **changes: object) -> str:
    """Run a stage again as a child of the active run, with the parameters and models of one of its runs.

    Args:
        run_id: The run.
        changes: Parameters that differ.

    Returns:
        Id of the new run.

    Raises:
        StageFailed: If the stage failed.
    """
    stage = tags(run_id)["stage"]
    return submit(stage, {**lineage.settings(run_id), **changes}, label=f"{stage} again", reuse=False)


def submit(entry_point: str, parameters: Mapping[str, object], *, label: str | None = None, reuse: bool = True) -> str:
    """Run an entry point as a child of the active run, or reuse a finished run of the very same step.

    Args:
        entry_point: Name in MLproject.
        parameters: Those that differ from MLproject's defaults.
        label: Name of the run; the entry point's if None.
        reuse: Whether a finished run may stand for this one, and this one for later ones.

    Returns:
        Id of the run that holds the step's artifacts.

    Raises:
        StageFailed: If the stage failed.
    """
    texts = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in parameters.items()}
    resolved = {name: resolve(text) for name, text in texts.items()}
    key = project.step_key(entry_point, resolved) if reuse else None
    if key is not None:
        found = search(f"tags.step_key = '{key}' AND attributes.status = 'FINISHED'")
        if found:
            reused = str(found[0].info.run_id)
            reason = "same parameters, code and lock file"
            mlflow.set_tag(f"reused.{entry_point}.{reused[:8]}", f"{reused}: {reason}")
            print(f"{label or entry_point}: reused run {reused} ({reason})", file=sys.stderr)
            return reused
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ[RUN_NAME] = label or entry_point
    try:
        submitted = mlflow.projects.run(
            uri=str(project.PROJECT),
            entry_point=entry_point,
            parameters=resolved,
            run_name=label or entry_point,
            experiment_id=mlflow.get_run(active()).info.experiment_id,
            env_manager="local",
            storage_dir=str(session.scratch()),
        )
    except mlflow.exceptions.ExecutionException as error:
        _, failed, _ = children(active())[-1]
        said = tags(failed)
        raise StageFailed(entry_point, failed, said.get("error", one_line(error)), said.get("failure", "bug")) from None
    finally:
        del os.environ[RUN_NAME]
    if key is not None:
        client().set_tag(submitted.run_id, "step_key", key)
    return str(submitted.run_id)
