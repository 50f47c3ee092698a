"""The one folder for what is costly to get but can be fetched or made again: packages, models, embeddings."""

import os
from pathlib import Path

import platformdirs

LIMIT = 20 * 2**30  # bytes of computed arrays


def root() -> Path:
    """The cache: what ``CONCEPTCAPS_CACHE`` names, else the platform's folder for caches."""
    named = os.environ.get("CONCEPTCAPS_CACHE")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("conceptcaps")


def embeddings() -> Path:
    """Where arrays computed from clips are kept, bounded by ``prune``."""
    return root() / "embeddings"


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def prune(folder: Path, *, limit: int = LIMIT) -> int:
    """Remove the least recently used files until a folder holds at most ``limit`` bytes; return how many were removed.

    Whoever reads a file of the folder touches it, so that its time of change says when it was used.
    """
    files = [(path.stat(), path) for path in folder.rglob("*") if path.is_file()]
    total, removed = sum(stat.st_size for stat, _ in files), 0
    for stat, path in sorted(files, key=lambda file: (file[0].st_mtime_ns, str(file[1]))):
        if total <= limit:
            break
        path.unlink(missing_ok=True)
        total -= stat.st_size
        removed += 1
    return removed
