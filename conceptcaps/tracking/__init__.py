"""Runs, parameters, metrics, datasets, artifacts, registry, aliases and step reuse: all of MLflow, and nothing else.

No other room imports mlflow. The store is MLflow's own choice: ``MLFLOW_TRACKING_URI``, or ``sqlite:///mlflow.db``.
"""

from conceptcaps.tracking.artifacts import fetch, fetch_unless, figures
from conceptcaps.tracking.lineage import ancestors, origin
from conceptcaps.tracking.pipeline import Pipeline
from conceptcaps.tracking.records import (
    best_dials,
    log_dataset,
    log_figure,
    log_file,
    log_folder,
    log_frame,
    log_json,
    log_metrics,
    log_shards,
    log_sweep,
    log_text,
    set_tags,
)
from conceptcaps.tracking.registry import (
    alias_version,
    crown,
    lineage_of,
    model_version,
    move_alias,
    register,
    registered_by,
    resolve,
)
from conceptcaps.tracking.runs import child_run, execute, run
from conceptcaps.tracking.server import state
from conceptcaps.tracking.session import attempt, say, scratch
from conceptcaps.tracking.steps import repeat, submit
from conceptcaps.tracking.store import (
    children,
    decisions,
    history,
    info,
    latest,
    left_out,
    local_path,
    metrics,
    outcome,
    params,
    provenance,
    run_of,
    tags,
    ui_command,
)
from conceptcaps.tracking.turns import turn

__all__ = [
    "Pipeline",
    "alias_version",
    "ancestors",
    "attempt",
    "best_dials",
    "child_run",
    "children",
    "crown",
    "decisions",
    "execute",
    "fetch",
    "fetch_unless",
    "figures",
    "history",
    "info",
    "latest",
    "left_out",
    "lineage_of",
    "local_path",
    "log_dataset",
    "log_figure",
    "log_file",
    "log_folder",
    "log_frame",
    "log_json",
    "log_metrics",
    "log_shards",
    "log_sweep",
    "log_text",
    "metrics",
    "model_version",
    "move_alias",
    "origin",
    "outcome",
    "params",
    "provenance",
    "register",
    "registered_by",
    "repeat",
    "resolve",
    "run",
    "run_of",
    "say",
    "scratch",
    "set_tags",
    "state",
    "submit",
    "tags",
    "turn",
    "ui_command",
]
