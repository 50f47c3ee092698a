"""What a run records: metrics, tags, files, tables, figures and the data that it used."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fsspec
import mlflow
import pandas as pd
import yaml
from matplotlib.figure import Figure
from mlflow.data.code_dataset_source import CodeDatasetSource

from conceptcaps.errors import InputError
from conceptcaps.tracking import descent, session
from conceptcaps.tracking.artifacts import URL, fetch
from conceptcaps.tracking.registry import resolve
from conceptcaps.tracking.runs import active
from conceptcaps.tracking.store import tags

_PICKLED = {".pt", ".pth", ".bin", ".pkl", ".ckpt"}


def log_metrics(metrics: Mapping[str, float], step: int | None = None) -> None:
    """Log finite or NaN numbers under ``split/name`` at a step, such as an epoch.

    Without a step they are what a stage ends with: they stand at the last step that was logged, the console shows them,
    and a version that the run registers carries them. Requests are seconds apart, however short the steps are.
    """
    session.sessions[-1].add({name: float(value) for name, value in metrics.items()}, step)


def set_tags(tags: Mapping[str, object]) -> None:
    """Set tags of the active run."""
    mlflow.set_tags(dict(tags))


def log_folder(folder: Path, name: str) -> None:
    """Log a folder as artifact ``name/``, without pickled files (nobody should have to open them) and peft's cards.

    The card that peft writes beside a checkpoint is a form that nobody filled in, with a path of this machine.
    """
    found = descent.of_folder(folder, source=f"runs:/{active()}/{name}")
    if found is not None:
        set_tags(dict(zip(descent.TAGS, found, strict=True)))
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    if not any(_is_left_out(path) for path in files):
        mlflow.log_artifacts(str(folder), name)
        return
    for path in files:
        if not _is_left_out(path):
            log_file(path, (Path(name) / path.relative_to(folder).parent).as_posix())


def _is_left_out(path: Path) -> bool:
    """Whether a file is pickled, or peft's card."""
    return path.suffix in _PICKLED or (path.name == "README.md" and path.with_name("adapter_config.json").exists())


def log_shards(out: str, name: str, *, rows: pd.DataFrame, upload: bool) -> None:
    """Log a finished folder of shards as artifact ``name/``, and its rows as the data of that name.

    Args:
        out: Folder or fsspec URL.
        name: Name of the artifact.
        rows: What ``log_dataset`` describes.
        upload: Whether its bytes go into the store. Otherwise the artifact holds the manifest, the small files beside
            it and the folder's URL, which ``fetch`` follows.
    """
    log_dataset(rows, name=name, source=out, context="output")
    if upload:
        log_folder(fetch(out), name)
        return
    fs, root = fsspec.core.url_to_fs(out)
    with tempfile.TemporaryDirectory() as folder:
        for path in fs.ls(root, detail=False):
            if not path.endswith(".parquet"):
                fs.get_file(path, str(Path(folder, Path(path).name)))
        Path(folder, URL).write_text(f"{fs.unstrip_protocol(root)}\n", encoding="utf-8")
        log_folder(Path(folder), name)


def log_file(path: Path, folder: str = "") -> None:
    """Log a file, or a folder as it is, as an artifact of its name, inside ``folder`` if given."""
    mlflow.log_artifact(str(path), folder or None)


def log_figure(figure: Figure, name: str) -> None:
    """Log a figure as ``figures/<name>.png``."""
    mlflow.log_figure(figure, f"figures/{name}.png", save_kwargs={"dpi": 150})


def log_json(value: object, name: str) -> None:
    """Log a JSON value as artifact ``name``."""
    log_text(json.dumps(value, indent=2, sort_keys=True) + "\n", name)


def log_text(text: str, name: str) -> None:
    """Log a text as artifact ``name``."""
    mlflow.log_text(text, name)


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


def best_dials(uri: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters, with those of a sweep's best trial in place of the given ones; prints which those are.

    Args:
        uri: ``runs:/<id of the sweep>``, which ``log_sweep`` tagged; ``none`` leaves what was given.
        given: Values by name.

    Raises:
        InputError: If the run has no such tags.
    """
    if uri == "none":
        return dict(given)
    named = tags(uri.removeprefix("runs:/").split("/")[0])
    found = {name: yaml.safe_load(named[f"best.{name}"]) for name in given if f"best.{name}" in named}
    if not found:
        raise InputError(f"expected runs:/<id> of a sweep that found {', '.join(given)}, got {uri!r}, which found none")
    session.say(f"  takes      {', '.join(f'{name}={value}' for name, value in found.items())} of {uri}")
    return {**given, **found}


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
