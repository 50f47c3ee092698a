"""Steps of a pipeline: nested runs of entry points, or finished runs of the very same step."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import mlflow

from conceptcaps import project
from conceptcaps.tracking.registry import registered_by, resolve
from conceptcaps.tracking.runs import active, one_line
from conceptcaps.tracking.store import children, client, search, tags


class Pipeline:
    """The steps of a pipeline under the active run; ``runs`` holds their run ids by label, in order."""

    def __init__(self, *, pull: str) -> None:
        """Begin without steps.

        Args:
            pull: Which model later steps use: ``trained``, the pipeline's own, or ``champion``, whichever that is.
        """
        self.runs: dict[str, str] = {}
        self.pull = pull

    def step(self, entry_point: str, artifact: str = "", *, label: str | None = None, **parameters: object) -> str:
        """Submit a step, and give the URI of one of its artifacts.

        Args:
            entry_point: Name in MLproject.
            artifact: Name of the artifact.
            label: Name of the step in ``runs``; the entry point's if None.
            parameters: Those that differ from the defaults.
        """
        name = label or entry_point
        self.runs[name] = submit(entry_point, parameters)
        return f"runs:/{self.runs[name]}/{artifact}"

    def promoted(self, model: str, *, trained_by: str, metric: str) -> str:
        """Offer the model that a step registered for promotion, and give the URI that later steps use.

        Args:
            model: Name in the registry.
            trained_by: Label of the step that registered a version.
            metric: What the gate compares.
        """
        trained = registered_by(self.runs[trained_by])
        self.step("promote", label=f"promote_{model}", model=trained, metric=metric)
        return trained if self.pull == "trained" else resolve(f"models:/{model}@champion")


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
        found = search(f"tags.step_key = '{key}' AND attributes.status = 'FINISHED'")
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
            experiment_id=mlflow.get_run(active()).info.experiment_id,
            env_manager="local",
        )
    except mlflow.exceptions.ExecutionException as error:
        _, failed, _ = children(active())[-1]
        reason = tags(failed).get("error", one_line(error))
        raise RuntimeError(f"stage {entry_point} failed: {reason}") from None
    if key is not None:
        client().set_tag(submitted.run_id, "step_key", key)
    return str(submitted.run_id)
