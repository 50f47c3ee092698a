"""What the stages need on this machine: whether it is there, and what to do if it is not."""

import importlib.util
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import torch

from conceptcaps.errors import one_line
from conceptcaps.workspace import assets, cache, project
from conceptcaps.workspace.hashing import file_sha256

_SPACE = 10 * 2**30  # bytes that a demo and its environment take
_FONTS = ("/usr/share/sounds/sf2", "/usr/share/soundfonts")
STATES = ("ok", "missing", "broken")  # missing: something that not everybody needs


class Check(NamedTuple):
    """One thing that was looked at: ``state`` is of ``STATES``; ``mend`` says what to do where it is not ok."""

    what: str
    state: str
    found: str
    mend: str = ""


def checks() -> Iterator[Check]:
    """Python, packages against the lock, the checkout, space, GPU, assets and soundfonts."""
    version = platform.python_version()
    yield Check("python", "ok" if sys.version_info[:2] == (3, 11) else "broken", version, "use Python 3.11")
    yield _packages()
    commit = project.commit()
    state, mend = (
        ("missing", "without a git checkout no step is reused; git clone") if commit == "unknown" else ("ok", "")
    )
    yield Check("checkout", state, f"{project.PROJECT} at {project.short(commit)}", mend)
    free = shutil.disk_usage(Path.cwd()).free
    mend = "" if free > _SPACE else f"a demo needs {_SPACE / 2**30:.0f} GB; free some, or set CONCEPTCAPS_CACHE"
    yield Check("disk", "broken" if mend else "ok", f"{free / 2**30:.0f} GB free here", mend)
    kept = cache.size(cache.root()) if cache.root().exists() else 0
    yield Check("cache", "ok", f"{cache.root()}, {kept / 2**30:.2f} GB; it can be removed at any time")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    yield Check(
        "gpu", "ok" if gpu else "missing", gpu or "none", "" if gpu else "nf4, MusicGen-large and vLLM need one"
    )
    vllm = importlib.util.find_spec("vllm") is not None or (project.PROJECT / ".vllm").exists()
    yield Check("vllm", "ok" if vllm else "missing", "installed" if vllm else "none", "make vllm")
    yield from map(_asset, assets.ASSETS)
    fonts = sorted(font.name for folder in _FONTS for font in Path(folder).glob("*.sf2"))
    mend = "" if fonts else "a second soundfont calibrates verdicts: apt-get install fluid-soundfont-gm"
    yield Check("soundfonts", "ok" if fonts else "missing", ", ".join(fonts) or "the embedded one only", mend)


def _packages() -> Check:
    """Installed versions against the lock file."""
    if not (project.PROJECT / project.LOCK).is_file():
        return Check("packages", "missing", "no lock file", "git clone the repository; stages run in a checkout")
    lines = (project.PROJECT / project.LOCK).read_text(encoding="utf-8").splitlines()
    pinned = (re.match(r"([\w.-]+)(?:\[[^]]*\])?==([^\s;\\]+)", line) for line in lines)
    pins = {match[1]: match[2] for match in pinned if match}
    wrong = [f"{name} {have or 'missing'} for {pin}" for name, pin in pins.items() if (have := _version(name)) != pin]
    if not wrong:
        return Check("packages", "ok", f"{len(pins)} as locked")
    found = f"{len(wrong)} of {len(pins)} differ from the lock: {', '.join(wrong[:3])}"
    return Check("packages", "broken", found, "make .venv/.done, or mlflow run --env-manager uv")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _asset(name: str) -> Check:
    asset = assets.ASSETS[name]
    place = cache.root() / "packages" / asset.package / asset.path
    files = {file: place / file if file else place for file in asset.sha256}
    there = {file: path for file, path in files.items() if path.is_file()}
    what, folder = f"asset {name}", cache.root() / "packages" / asset.package
    if not there:
        return Check(what, "missing", "not fetched yet", f"the first stage that uses it fetches {asset.package}")
    bad = [file for file, path in there.items() if file_sha256(path) != asset.sha256[file]]
    if bad or len(there) < len(files):
        return Check(what, "broken", "incomplete or changed", f"rm -r {folder}")
    return Check(what, "ok", asset.package)


def attempted(what: str, look: Callable[[], str], *, mend: str) -> Check:
    """A check that passes if ``look`` says what it found, and fails if it raises an OSError or ValueError."""
    try:
        return Check(what, "ok", look())
    except (OSError, ValueError) as error:
        return Check(what, "broken", one_line(error), mend)
