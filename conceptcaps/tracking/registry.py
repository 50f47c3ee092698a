"""Registered models: versions, aliases, and fetching what a URI names."""

import importlib
import inspect
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature, infer_signature, set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from conceptcaps import project
from conceptcaps.tracking.runs import one_line
from conceptcaps.tracking.store import client, tags

WEIGHTS = "weights"


def register(
    name: str, weights: Path, *, module: str, example: pd.DataFrame, metrics: Mapping[str, float] | None = None
) -> str:
    """Log a folder of weights as a pyfunc model, register it and give the new version the alias ``candidate``.

    Args:
        name: Name in the registry.
        weights: Folder of safetensors and JSON that ``module.load`` opens.
        module: Library module with ``load(path)`` and ``predict(model, frame)``; where that takes a ``seed``, so does
            the served model, as a parameter of the request.
        example: Input example; the signature is inferred from it and from the model's answer.
        metrics: Numbers shown beside the version as tags.

    Returns:
        The version.
    """
    library = importlib.import_module(module)
    answer = library.predict(library.load(weights), example)
    seeded = "seed" in inspect.signature(library.predict).parameters
    signature: ModelSignature = infer_signature(example, answer, params={"seed": 0} if seeded else None)
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
        client().set_model_version_tag(name, version, key, f"{value:.6g}")
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
        models = client().search_registered_models(filter_string=f"name = '{name}'")
        aliases = ", ".join(sorted(models[0].aliases)) if models and models[0].aliases else "none"
        raise ValueError(f"expected model {name!r} with alias {alias!r}, got aliases: {aliases}")
    return f"models:/{name}/{version}"


def alias_version(name: str, alias: str) -> str | None:
    """Version that an alias of a registered model points to, or None."""
    models = client().search_registered_models(filter_string=f"name = '{name}'")
    return str(models[0].aliases[alias]) if models and alias in models[0].aliases else None


def move_alias(name: str, *, alias: str, version: str) -> None:
    """Point an alias of a registered model at a version."""
    client().set_registered_model_alias(name, alias, version)


def model_version(uri: str) -> tuple[str, str, str]:
    """Name, version and training run id of a registered model's URI."""
    name, version = resolve(uri).removeprefix("models:/").rsplit("/", 1)
    return name, version, str(client().get_model_version(name, version).run_id)


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
        return self._library.predict(self._model, model_input, **(params or {}))


def serve() -> None:
    """Hand MLflow the model class; ``served.py`` calls it when a registered model is loaded."""
    set_model(LibraryModel())


def registered_by(run_id: str) -> str:
    """``models:/<name>/<version>`` of the model that a run registered.

    Raises:
        ValueError: If it registered none.
    """
    found = tags(run_id).get("registered")
    if found is None:
        raise ValueError(f"expected run {run_id} to have registered a model, got none")
    return found


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
        raise ValueError(f"expected an artifact at {resolved}, got: {one_line(error)}") from error
    return local / "artifacts" / WEIGHTS if resolved.startswith("models:/") else local


def figures(run_id: str) -> list[Path]:
    """Local copies of the figures that a run logged, by name; empty if there are none."""
    if not client().list_artifacts(run_id, "figures"):
        return []
    return sorted(fetch(f"runs:/{run_id}/figures").glob("*.png"))
