"""Sending a dataset's folder to the Hugging Face hub, or listing what would be sent."""

from pathlib import Path

import pandas as pd
from huggingface_hub import HfApi


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

    Args:
        folder: Of the dataset.
        name: Repository on the hub.
        version: Tag of the upload, such as ``v1.0.0``; empty for none.
    """
    client = HfApi()
    client.create_repo(name, repo_type="dataset", exist_ok=True)
    client.upload_folder(folder_path=folder, repo_id=name, repo_type="dataset")
    if version:
        client.create_tag(name, tag=version, repo_type="dataset")
