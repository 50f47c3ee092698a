"""Runs, parameters, metrics, datasets, artifacts, registry, aliases and step reuse: all of MLflow, and nothing else.

No other room imports mlflow. The store is MLflow's own choice: ``MLFLOW_TRACKING_URI``, or ``sqlite:///mlflow.db``.
"""

from conceptcaps.tracking.lineage import ancestors
from conceptcaps.tracking.pipeline import Pipeline, submit
from conceptcaps.tracking.records import (
    attempt,
    log_dataset,
    log_figure,
    log_file,
    log_folder,
    log_frame,
    log_json,
    log_metrics,
    log_sweep,
    set_tags,
)
from conceptcaps.tracking.registry import (
    WEIGHTS,
    LibraryModel,
    alias_version,
    fetch,
    figures,
    model_version,
    move_alias,
    register,
    registered_by,
    resolve,
    serve,
)
from conceptcaps.tracking.runs import child_run, execute, require_server, run
from conceptcaps.tracking.store import (
    children,
    history,
    info,
    latest,
    local_path,
    metrics,
    params,
    provenance,
    run_of,
    tags,
    ui_command,
)

__all__ = [
    "Pipeline",
    "LibraryModel",
    "WEIGHTS",
    "alias_version",
    "ancestors",
    "attempt",
    "child_run",
    "children",
    "execute",
    "fetch",
    "figures",
    "history",
    "info",
    "latest",
    "local_path",
    "log_dataset",
    "log_figure",
    "log_file",
    "log_folder",
    "log_frame",
    "log_json",
    "log_metrics",
    "log_sweep",
    "metrics",
    "model_version",
    "move_alias",
    "params",
    "provenance",
    "register",
    "registered_by",
    "require_server",
    "resolve",
    "run",
    "run_of",
    "serve",
    "set_tags",
    "submit",
    "tags",
    "ui_command",
]
