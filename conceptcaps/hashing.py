"""Hashes of values and files, and the seeds that come out of them."""

import hashlib
import json
from pathlib import Path


def digest(value: object) -> str:
    """Sha256 (hex) of a value's canonical JSON: keys sorted, no white space."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def row_seed(row_id: str, seed: int) -> int:
    """Seed of one row of a run, in [0, 2**32): the same whatever rows are worked on beside it."""
    return int(digest([row_id, seed])[:8], 16)
