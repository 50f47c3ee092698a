"""What a URI names, as a local path: read where it lies if the store is local, else copied for the run."""

from pathlib import Path
from urllib.parse import unquote, urlparse

import fsspec
import mlflow
from mlflow.exceptions import MlflowException

from conceptcaps.errors import InputError, masked, one_line
from conceptcaps.tracking import console, descent, session
from conceptcaps.tracking.registry import resolve
from conceptcaps.tracking.served import WEIGHTS
from conceptcaps.tracking.store import client

URL = "url.txt"  # beside a manifest whose shards lie elsewhere
MANIFEST = "manifest.json"


def fetch(uri: str, *, foreign: bool = False) -> Path:
    """Local file or folder of a path, an fsspec URL, ``runs:/<id>/<artifact>`` or ``models:/<name>/<version>``.

    It is the store's own file if that is local, so treat it as read-only. A model's ``@<alias>`` is resolved to its
    version first, and the resolved URI is kept as a tag of the active run. For a model it is the folder of weights that
    was passed to ``register``; shards that a run only named are read where they lie. What the active run reads must be
    of one corpus and one taxonomy (see ``descent``).

    Args:
        uri: Path or URI.
        foreign: Whether it may be of another corpus, as a reference is that something is compared with.

    Raises:
        InputError: If there is nothing of that name, or it is of another corpus or taxonomy than what was read before.
    """
    resolved = resolve(uri)
    if session.sessions and resolved != uri:
        mlflow.set_tag(f"resolved.{uri.removeprefix('models:/').split('@')[0]}", resolved)
    if "://" in resolved:
        path = _copied(resolved)
    elif not resolved.startswith(("runs:/", "models:/")):
        path = Path(resolved)
        if not path.exists():
            raise InputError(f"expected a local path, runs:/<id>/<artifact> or models:/<name>@<alias>, got {uri!r}")
    else:
        try:
            path = _in_place(resolved) or Path(
                mlflow.artifacts.download_artifacts(artifact_uri=resolved, dst_path=str(session.scratch()))
            )
        except (MlflowException, OSError) as error:
            where = masked(mlflow.get_tracking_uri())
            raise InputError(f"expected an artifact at {resolved} in {where}, got: {one_line(error)}") from error
        path = path / "artifacts" / WEIGHTS if resolved.startswith("models:/") else path
    if (path / URL).is_file():
        path = _elsewhere(path)
    if session.sessions:
        console.read(resolved)
        if not foreign:
            descent.take(resolved, path)
    return path


def fetch_unless(uri: str, word: str) -> Path | None:
    """What ``fetch`` gives, or None for the word that stands for no file, such as ``auto``, ``builtin`` or ``none``."""
    return None if uri == word else fetch(uri)


def _copied(url: str) -> Path:
    """A file or folder of an fsspec URL: itself if it is local, else a copy."""
    fs, root = fsspec.core.url_to_fs(url)
    if not fs.exists(root):
        raise InputError(f"expected a file or folder at {url}, got none")
    if fs.protocol == "file" or "file" in fs.protocol:
        return Path(root)
    target = session.scratch() / Path(root).name
    fs.get(root, str(target), recursive=True)
    return target


def _elsewhere(logged: Path) -> Path:
    """The shards that a run named in place of logging them.

    Raises:
        InputError: If they are others by now.
    """
    url = (logged / URL).read_text(encoding="utf-8").strip()
    path = _copied(url)
    if (path / MANIFEST).read_bytes() != (logged / MANIFEST).read_bytes():
        raise InputError(f"expected the shards at {url} that the run made, got others; run its stage again")
    return path


def _in_place(uri: str) -> Path | None:
    """Where an artifact lies in a local store; None for one that is elsewhere."""
    if uri.startswith("runs:/"):
        run_id, _, artifact = uri.removeprefix("runs:/").partition("/")
        root = str(client().get_run(run_id).info.artifact_uri)
    elif uri.startswith("models:/") and "/" in uri.removeprefix("models:/"):
        name, version = uri.removeprefix("models:/").rsplit("/", 1)
        root, artifact = str(client().get_model_version_download_uri(name, version)), ""
        if root.startswith("models:/"):
            root = str(client().get_logged_model(root.removeprefix("models:/")).artifact_location)
    else:
        return None
    parsed = urlparse(root)
    if parsed.scheme not in {"", "file"}:
        return None
    path = Path(unquote(parsed.path) if parsed.scheme else root, artifact)
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    return path


def figures(run_id: str) -> list[Path]:
    """The figures that a run logged, by name; empty if there are none."""
    if not client().list_artifacts(run_id, "figures"):
        return []
    return sorted(fetch(f"runs:/{run_id}/figures", foreign=True).glob("*.png"))
