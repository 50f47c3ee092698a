"""Sending a dataset's folder to the Hugging Face hub, or listing what would be sent."""

from pathlib import Path

import pandas as pd
from huggingface_hub import HfApi

from conceptcaps.errors import InputError


def to_send(folder: Path) -> pd.DataFrame:
    """What an upload would send: ``file`` and ``bytes``, in order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return pd.DataFrame(
        {
            "file": [path.relative_to(folder).as_posix() for path in files],
            "bytes": [path.stat().st_size for path in files],
        }
    )


def push(folder: Path, name: str, *, version: str) -> None:
    """Upload a dataset folder to the Hugging Face hub as ``<owner>/<name>``; the hub's client reads the token.

    Data and metadata of an earlier upload that this one does not have are deleted in the same commit.

    Args:
        folder: Of the dataset.
        name: Repository on the hub.
        version: Tag of the upload, such as ``v1.0.0``; empty for none.

    Raises:
        InputError: If the repository has that tag; nothing is sent.
    """
    client = HfApi()
    client.create_repo(name, repo_type="dataset", exist_ok=True)
    if version and version in {tag.name for tag in client.list_repo_refs(name, repo_type="dataset").tags}:
        raise InputError(f"expected a version that {name} does not have, got {version}: give the next one as version=")
    sent = client.upload_folder(
        folder_path=folder, repo_id=name, repo_type="dataset", delete_patterns=["data/**", "*.json"]
    )
    if version:
        client.create_tag(name, tag=version, revision=sent.oid, repo_type="dataset")
