"""Hashes of values and files, and the seeds made from them."""

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


def share_of(value: object) -> float:
    """A fixed number in [0, 1) for a value, uniform over values: draws that do not change when values are added."""
    return int(digest(value)[:8], 16) / 2**32


def row_seed(row_id: str, seed: int) -> int:
    """Seed of one row of a run, in [0, 2**32): the same whichever other rows are processed."""
    return int(digest([row_id, seed])[:8], 16)


def content(path: Path) -> str:
    """Sha256 (hex) of a file's bytes, or of the names and bytes of all files in a folder."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    return digest([[str(file.relative_to(path)), file_sha256(file)] for file in files])
