"""What a pipeline step is made of: the key under which a finished step may be reused."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

from conceptcaps.hashing import digest

PROJECT = Path(__file__).resolve().parents[1]


def source_hash() -> str:
    """Sha256 (hex) of the library's own files, so that work begun with other code is not gone on with."""
    files = sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in {".py", ".yaml"})
    return digest({str(path.relative_to(PROJECT)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files})


def default_folder(stage: str, parameters: Mapping[str, object]) -> str:
    """Where a stage keeps its shards when ``out`` is ``auto``: ``outputs/<stage>/<hash of parameters and code>``.

    Args:
        stage: Name of the entry point.
        parameters: The stage's parameters, aliases resolved to versions.
    """
    text = {name: str(value) for name, value in parameters.items()}
    return str(Path("outputs", stage, digest([text, source_hash()])[:16]))


def entry_point(name: str, *, project: Path = PROJECT) -> tuple[dict[str, str | None], str]:
    """Parameters of an MLproject entry point with their defaults as text (None where there is none), and its command.

    Raises:
        ValueError: If MLproject has no entry point of that name.
    """
    entry_points = yaml.load((project / "MLproject").read_text(), Loader=yaml.BaseLoader)["entry_points"]
    if name not in entry_points:
        raise ValueError(f"expected an entry point among {', '.join(entry_points)}, got {name!r}")
    spec = entry_points[name]
    defaults = {
        key: value.get("default") if isinstance(value, dict) else None for key, value in spec["parameters"].items()
    }
    return defaults, spec["command"]


def step_key(name: str, parameters: Mapping[str, object], *, project: Path = PROJECT) -> str | None:
    """Key under which a finished run of an entry point may stand for a new one.

    It covers the entry point's name and command, all its parameters as text with MLproject's defaults merged in, the
    contents of parameters that name local files or folders, and the git tree ids of ``conceptcaps/``, the stage's file
    and the lock file.

    Args:
        name: Entry point.
        parameters: Parameters that differ from the defaults, aliases resolved to versions.
        project: Root of the checkout.

    Returns:
        Sha256 (hex), or None where nothing may be reused: the tree is dirty, or is no git checkout.
    """
    defaults, command = entry_point(name, project=project)
    sources = ["conceptcaps", f"entrypoints/{name}.py", "requirements.txt"]
    dirty = _git(project, "status", "--porcelain", "--", *sources, "MLproject")
    trees = _git(project, "rev-parse", *[f"HEAD:{source}" for source in sources])
    if dirty is None or dirty or trees is None:
        return None
    merged = {**defaults, **{key: str(value) for key, value in parameters.items()}}
    contents = {key: _content(project / value) for key, value in merged.items() if value and _is_path(project / value)}
    return digest([name, command, merged, contents, trees.split()])


def _git(project: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _is_path(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a name, such as JSON
        return False


def _content(path: Path) -> str:
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return digest([[str(file.relative_to(path)), hashlib.sha256(file.read_bytes()).hexdigest()] for file in files])


def study_name(subject: str, study: str, parameters: Mapping[str, object]) -> str:
    """A sweep's study: the name that was given, or for ``auto`` one that its parameters, but not its trials, make."""
    if study != "auto":
        return study
    text = {name: str(value) for name, value in parameters.items() if name not in {"trials", "storage", "study"}}
    return f"{subject}-{digest([text, source_hash()])[:12]}"
