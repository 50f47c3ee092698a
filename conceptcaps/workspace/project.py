"""The checkout: its entry points, and keys for the code that a stage reaches."""

import ast
import re
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import yaml

from conceptcaps.errors import InputError
from conceptcaps.workspace.hashing import content, digest, file_sha256

PROJECT = Path(__file__).resolve().parents[2]
LOCK = "requirements.txt"
_RECORDS = "conceptcaps/tracking/"  # keeps results and makes none
_PARSING = threading.Lock()
_MODULE = re.compile(r"conceptcaps(\.\w+)+")


def closure(file: Path, *, project: Path = PROJECT) -> tuple[Path, ...]:
    """Files of the project that a Python file reaches: itself, its package, what they import, and data files.

    A module that is named by a string counts as imported; a data file is one that lies beside a module which names it
    or bears its name.
    Code that was typed in has no file and reaches nothing.
    """
    found: set[Path] = set()
    waiting = [path for path in (file, file.parent / "__init__.py") if file.is_file() and path.is_file()]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            if path.suffix == ".py":
                waiting += _mentions(path, project)
    return tuple(sorted(found))


def tree(path: Path) -> ast.Module:
    """The syntax tree of a Python file, for one thread at a time: Python 3.11 counts the depths of all together."""
    with _PARSING:
        return ast.parse(path.read_text(encoding="utf-8"))


def _mentions(path: Path, project: Path) -> Iterator[Path]:
    """Modules of the project and data files that one file names, and the table of its own name beside it."""
    yield from (table for table in [path.with_suffix(".yaml")] if table.is_file())
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield from _files(name.name, project)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for name in node.names:
                yield from _files(f"{node.module}.{name.name}", project)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _MODULE.fullmatch(node.value):
                yield from _files(node.value, project)
            elif re.fullmatch(r"[\w.-]+\.\w+", node.value) and (path.parent / node.value).is_file():
                yield path.parent / node.value


def _files(module: str, project: Path) -> Iterator[Path]:
    """Files of a dotted name: of its packages, and of the module itself; none for what is not the project's."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        place = project.joinpath(*parts[:count])
        yield from (path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file())


def code_hash(file: Path | str, *, project: Path = PROJECT, without: Collection[str] = ()) -> str:
    """Sha256 (hex) of what a Python file reaches (``closure``) and of the lock file.

    Args:
        file: The Python file, such as a module's ``__file__``.
        project: Root of the checkout.
        without: Folders that are left out, relative to the root.
    """
    file = Path(file)
    files = [path for path in closure(file, project=project) if path.is_relative_to(project)]
    names = {path.relative_to(project).as_posix(): path for path in files} | {LOCK: project / LOCK}
    own = {"": file_sha256(file)} if file.is_file() else {}
    kept = {name: path for name, path in names.items() if not name.startswith(tuple(without)) and path.is_file()}
    return digest({name: file_sha256(path) for name, path in kept.items()} | own)


def work_hash(stage: str, *, project: Path = PROJECT) -> str:
    """``code_hash`` of a stage without the room that only records: work begun with other code is not resumed.

    Raises:
        FileNotFoundError: If this is an installed package and no checkout.
    """
    require_checkout(project)
    return code_hash(project / "entrypoints" / f"{stage}.py", project=project, without=(_RECORDS,))


def default_folder(stage: str, parameters: Mapping[str, object]) -> str:
    """Where a stage keeps its work by default: ``outputs/<stage>/<hash of parameters and code>``.

    Args:
        stage: Name of the entry point.
        parameters: The stage's parameters, aliases resolved to versions.
    """
    text = {name: str(value) for name, value in parameters.items()}
    return str(Path("outputs", stage, digest([text, work_hash(stage)])[:16]))


def out_folder(stage: str, out: str, parameters: Mapping[str, object]) -> str:
    """Where a stage writes its shards: the folder or URL that was given, or for ``auto`` its ``default_folder``."""
    return default_folder(stage, parameters) if out == "auto" else out


def study_name(stage: str, study: str, parameters: Mapping[str, object]) -> str:
    """A sweep's study: the given name, or for ``auto`` one made from its parameters except ``trials``."""
    if study != "auto":
        return study
    text = {name: str(value) for name, value in parameters.items() if name not in {"trials", "storage", "study"}}
    return f"{stage}-{digest([text, work_hash(stage)])[:12]}"


def entry_point(name: str, *, project: Path = PROJECT) -> tuple[dict[str, str | None], str]:
    """Parameters of an MLproject entry point with their defaults as text (None where there is none), and its command.

    Raises:
        InputError: If MLproject has no entry point of that name.
        FileNotFoundError: If this is an installed package and no checkout.
    """
    require_checkout(project)
    entry_points = yaml.load((project / "MLproject").read_text(), Loader=yaml.BaseLoader)["entry_points"]
    if name not in entry_points:
        raise InputError(f"expected an entry point among {', '.join(entry_points)}, got {name!r}")
    spec = entry_points[name]
    defaults = {
        key: value.get("default") if isinstance(value, dict) else None for key, value in spec["parameters"].items()
    }
    return defaults, spec["command"]


def step_key(name: str, parameters: Mapping[str, object], *, project: Path = PROJECT) -> str | None:
    """Key under which a finished run of an entry point may be used in place of a new one.

    It covers the entry point's name and command, all its parameters as text with MLproject's defaults merged in, the
    contents of parameters that name local files or folders, the files that the stage reaches, and the lock file. Those
    that only record are among them: a run is used for its records too.

    Args:
        name: Entry point.
        parameters: Parameters that differ from the defaults, aliases resolved to versions.
        project: Root of the checkout.

    Returns:
        Sha256 (hex), or None where nothing may be reused: one of those files is not committed, or there is no git
        checkout.
    """
    defaults, command = entry_point(name, project=project)
    stage = project / "entrypoints" / f"{name}.py"
    sources = [str(path.relative_to(project)) for path in closure(stage, project=project)]
    dirty = _git(project, "status", "--porcelain", "--", *sources, LOCK, "MLproject")
    if dirty is None or dirty:
        return None
    merged = {**defaults, **{key: str(value) for key, value in parameters.items()}}
    contents = {key: content(project / value) for key, value in merged.items() if value and _is_path(project / value)}
    return digest([name, command, merged, contents, code_hash(stage, project=project)])


def commit(*, project: Path = PROJECT) -> str:
    """Commit of the checkout, with ``+`` after it if a file differs from it; ``unknown`` if there is none."""
    found = _git(project, "rev-parse", "HEAD")
    return f"{found}{'+' if _git(project, 'status', '--porcelain') else ''}" if found else "unknown"


def short(name: str) -> str:
    """The first letters of a commit, and its ``+`` where the checkout differed from it.

    >>> short("0123456789abcdef+"), short("unknown")
    ('0123456789ab+', 'unknown')
    """
    return name[:12] + "+" * name.endswith("+")


def require_checkout(project: Path = PROJECT) -> None:
    """Refuse to go on where there is the installed library alone: stages, lock files and data are a checkout's.

    Raises:
        FileNotFoundError: Says so.
    """
    if not (project / "MLproject").is_file():
        raise FileNotFoundError(
            f"expected a checkout of ConceptCaps with MLproject in {project}, got the library alone; "
            "stages run in a clone of the repository"
        )


def _git(project: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", "-C", str(project), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _is_path(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a name, such as JSON
        return False
