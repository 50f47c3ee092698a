"""Registered models: versions and their aliases."""

import contextlib
import importlib
import inspect
import io
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types.schema import ColSpec, Schema

from conceptcaps.errors import InputError
from conceptcaps.tracking import console, descent, packing, session
from conceptcaps.tracking.served import ARCHIVE, WEIGHTS
from conceptcaps.tracking.store import client, command, tags
from conceptcaps.workspace.hashing import digest, file_sha256

CONTENT = "content"  # tag of a version: the hash of all that it holds


def register(
    name: str, weights: Path, *, module: str, example: pd.DataFrame, metrics: Mapping[str, float] | None = None
) -> str:
    """Log a folder of weights as a pyfunc model, register it and give the version the alias ``candidate``.

    A version with the same weights and the same code is used again: a training that ended and was not registered, or
    that is run a second time, makes one version.

    Args:
        name: Name in the registry.
        weights: Folder of safetensors and JSON that ``module.load`` opens.
        module: Library module with ``load(path)`` and ``predict(model, frame)``; its ``DEFAULTS``, if it has them, are
            the columns that a request may leave out and their values. Where ``predict`` takes a ``seed``, so does the
            served model, as a parameter of the request.
        example: Input example; the signature is inferred from it and from the model's answer.
        metrics: Numbers shown beside the version as tags; the run's figures on validation and test rows if None.

    Returns:
        The version.
    """
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, ARCHIVE)
        files = packing.pack(module, archive)
        held = {str(path.relative_to(weights)): file_sha256(path) for path in weights.rglob("*") if path.is_file()}
        content = digest([held, module, file_sha256(archive)])
        version = _same(name, content)
        if version is None:
            staged = shutil.copytree(weights, Path(folder, WEIGHTS))
            signature, shown = _signature(module, staged, example)
            info = mlflow.pyfunc.log_model(
                name=name,
                python_model=str(Path(__file__).with_name("served.py")),
                artifacts={WEIGHTS: str(staged)},
                code_paths=[str(archive)],
                model_config={"module": module},
                signature=signature,
                input_example=shown,
                pip_requirements=packing.requirements(files),
            )
            version = _create(name, str(info.model_uri), content=content, metrics=metrics)
            session.say(f"  registers  models:/{name}/{version}")
        else:
            session.say(f"  registers  nothing: models:/{name}/{version} has the same weights and code")
    move_alias(name, alias="candidate", version=version)
    mlflow.set_tag("registered", f"models:/{name}/{version}")
    return version


def _same(name: str, content: str) -> str | None:
    found = client().search_model_versions(f"name = '{name}' AND tags.{CONTENT} = '{content}'")
    return str(max(int(one.version) for one in found)) if found else None


def _signature(module: str, weights: Path, example: pd.DataFrame) -> tuple[ModelSignature, pd.DataFrame]:
    """Signature and whole example: columns with a default may be left out."""
    library = importlib.import_module(module)
    defaults = getattr(library, "DEFAULTS", {})
    whole = example.assign(**{column: value for column, value in defaults.items() if column not in example})
    seeded = "seed" in inspect.signature(library.predict).parameters
    answer = library.predict(library.load(weights), whole)
    inferred = infer_signature(whole, answer, params={"seed": 0} if seeded else None)
    columns = [ColSpec(one.type, one.name, required=one.name not in defaults) for one in inferred.inputs.inputs]
    return ModelSignature(inputs=Schema(columns), outputs=inferred.outputs, params=inferred.params), whole


def _create(name: str, uri: str, *, content: str, metrics: Mapping[str, float] | None) -> str:
    """Register a logged model with tags and a description."""
    current = session.sessions[-1]
    run = tags(current.run_id)
    figures = current.figures if metrics is None else metrics
    kept = {key: value for key, value in figures.items() if metrics is not None or key.startswith(("val/", "test/"))}
    about = {tag: run[tag] for tag in descent.TAGS if tag in run}
    numbers = {key: f"{value:.6g}" for key, value in kept.items()}
    with contextlib.redirect_stderr(io.StringIO()):  # MLflow tells what the console is about to say
        version = str(mlflow.register_model(uri, name, tags={CONTENT: content, **about, **numbers}).version)
    gate = [f"model=models:/{name}/{version}", "metric=val/…"]
    text = [
        f"From run {current.run_id} of {run['stage']}: {console.purpose(run['stage'])}",
        f"Data: {run['lineage.of']}" if "lineage.of" in run else "",
        *console.shown(kept),
        f"Use: `mlflow models serve -m models:/{name}/{version}`; "
        f"next: `{command('promote', gate, run_id=current.run_id)}`",
    ]
    client().update_model_version(name, version, description="\n\n".join(line for line in text if line))
    return version


def resolve(uri: str) -> str:
    """``models:/<name>@<alias>`` as ``models:/<name>/<version>``; any other URI as it is.

    Raises:
        InputError: If the model has no such alias; names those that exist.
    """
    if not (uri.startswith("models:/") and "@" in uri):
        return uri
    name, alias = uri.removeprefix("models:/").split("@", 1)
    version = alias_version(name, alias)
    if version is None:
        models = client().search_registered_models(filter_string=f"name = '{name}'")
        aliases = ", ".join(sorted(models[0].aliases)) if models and models[0].aliases else "none"
        raise InputError(f"expected model {name!r} with alias {alias!r}, got aliases: {aliases}")
    return f"models:/{name}/{version}"


def alias_version(name: str, alias: str) -> str | None:
    """Version that an alias of a registered model points to, or None."""
    models = client().search_registered_models(filter_string=f"name = '{name}'")
    return str(models[0].aliases[alias]) if models and alias in models[0].aliases else None


def move_alias(name: str, *, alias: str, version: str) -> None:
    """Point an alias of a registered model at a version."""
    client().set_registered_model_alias(name, alias, version)


def crown(name: str, version: str) -> None:
    """Make a version the champion, and the present champion ``previous``; call it within ``turn(name)``."""
    before = alias_version(name, "champion")
    if before not in (None, version):
        move_alias(name, alias="previous", version=str(before))
    move_alias(name, alias="champion", version=version)


def lineage_of(uri: str) -> tuple[str, str] | None:
    """The corpus and taxonomy that a model version comes from: a hash and words; None if it does not say."""
    found = descent.of_tags(descent.version_tags(resolve(uri)), source=uri)
    return (found.key, found.of) if found else None


def model_version(uri: str) -> tuple[str, str, str]:
    """Name, version and training run id of a registered model's URI.

    Raises:
        InputError: If it is none.
    """
    parts = re.fullmatch(r"models:/([^/]+)/(\d+)", resolve(uri))
    if parts is None:
        raise InputError(f"expected models:/<name>/<version> or models:/<name>@<alias>, got {uri!r}")
    name, version = parts.groups()
    return name, version, str(client().get_model_version(name, version).run_id)


def registered_by(run_id: str) -> str:
    """``models:/<name>/<version>`` of the model that a run registered.

    Raises:
        InputError: If it registered none.
    """
    found = tags(run_id).get("registered")
    if found is None:
        raise InputError(f"expected run {run_id} to have registered a model, got none")
    return found
