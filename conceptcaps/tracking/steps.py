"""One step of a pipeline: a nested run of an entry point, or a finished run of the very same step."""

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import mlflow

from conceptcaps.errors import Failure, one_line
from conceptcaps.tracking import lineage, session
from conceptcaps.tracking.registry import resolve
from conceptcaps.tracking.runs import active
from conceptcaps.tracking.store import artifacts_of, client, search, tags
from conceptcaps.workspace import project


class StageFailed(Failure):
    """A stage that a pipeline started has failed; ``kind`` is ``input``, ``machine``, ``refused`` or ``bug``."""

    def __init__(self, entry_point: str, run_id: str, reason: str, kind: str) -> None:
        """Name the stage and its run."""
        where = f"run {run_id}, {artifacts_of(run_id)}/traceback.txt" if kind != "refused" else f"run {run_id}"
        super().__init__(f"stage {entry_point} failed: {reason} ({where})")
        self.reason = reason
        self.kind = kind


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
    name = label or entry_point
    texts = {key: json.dumps(value) if isinstance(value, dict) else str(value) for key, value in parameters.items()}
    resolved = {key: resolve(text) for key, text in texts.items()}
    key = project.step_key(entry_point, resolved) if reuse else None
    if key is not None:
        found = search(f"tags.step_key = '{key}' AND attributes.status = 'FINISHED'")
        if found:
            reused = str(found[0].info.run_id)
            reason = "same parameters, code and lock file"
            mlflow.set_tag(f"reused.{entry_point}.{reused[:8]}", f"{reused}: {reason}")
            print(f"{name}: reused run {reused} ({reason})", file=sys.stderr)
            return reused
    here = str(Path(sys.executable).parent)
    if os.environ["PATH"].split(os.pathsep)[0] != here:
        os.environ["PATH"] = os.pathsep.join([here, os.environ["PATH"]])
    try:
        submitted = mlflow.projects.run(
            uri=str(project.PROJECT),
            entry_point=entry_point,
            parameters=resolved,
            run_name=name,
            experiment_id=mlflow.get_run(active()).info.experiment_id,
            env_manager="local",
            storage_dir=str(session.scratch()),
        )
    except mlflow.exceptions.ExecutionException as error:
        failed = re.search(r"ID '(\w+)'", str(error))
        if failed is None:
            raise
        said = tags(failed[1])
        reason, kind = said.get("error", one_line(error)), said.get("failure", "bug")
        raise StageFailed(entry_point, failed[1], reason, kind) from None
    if key is not None:
        client().set_tag(submitted.run_id, "step_key", key)
    return str(submitted.run_id)
