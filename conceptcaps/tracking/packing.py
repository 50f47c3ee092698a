"""What a registered model carries: the part of the library that it needs as one archive, and the packages it needs."""

import ast
import re
import sys
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

from conceptcaps.workspace import project

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can say: the same files make the same archive


def pack(module: str, path: Path) -> tuple[Path, ...]:
    """Write an archive of what a module of the project reaches, and return the files that it holds.

    The project's errors are among them: ``served.py`` tells a refused row from a fault by them.

    Args:
        module: Dotted name.
        path: The zip file to write.
    """
    root = project.PROJECT
    file = root.joinpath(*module.split(".")).with_suffix(".py")
    packages = {parent / "__init__.py" for parent in file.parents if parent.is_relative_to(root) and parent != root}
    reached = {*project.closure(file), *project.closure(root / "conceptcaps" / "errors.py")}
    files = tuple(sorted({*reached, *(init for init in packages if init.is_file())}))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(zipfile.ZipInfo(file.relative_to(root).as_posix(), _EPOCH), file.read_bytes())
    return files


def requirements(files: Iterable[Path]) -> list[str]:
    """Pins, from the lock file, of the packages that Python files import, MLflow's server, and what these need."""
    project.require_checkout()
    lock = (project.PROJECT / project.LOCK).read_text(encoding="utf-8").splitlines()
    pins = {canonicalize_name(re.split(r"[=\[ ]", line)[0]): line for line in lock if re.match(r"\w", line)}
    owners = metadata.packages_distributions()
    waiting = {owner for name in _imported(files) for owner in owners.get(name, [])} - {"mlflow"} | {"mlflow-skinny"}
    found: set[NormalizedName] = set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in pins and name not in found:
            found.add(name)
            needs = [Requirement(text) for text in metadata.requires(name) or []]
            waiting |= {need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})}
    return [re.sub(r" *\\$", "", pins[name]) for name in sorted(found)]


def _imported(files: Iterable[Path]) -> set[str]:
    """Top-level packages that files import, the standard library's left out; a served model reads tables."""
    names = {"pandas"}
    for file in files:
        if file.suffix == ".py":
            for node in ast.walk(project.tree(file)):
                if isinstance(node, ast.Import):
                    names |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - {"conceptcaps"}
