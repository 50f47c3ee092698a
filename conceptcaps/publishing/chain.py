"""How one row of the dataset was made: tag set, latents, prompt, models, seeds and runs; and the row made again."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from datasets import List, Value

from conceptcaps.errors import InputError
from conceptcaps.workspace import project

CHAIN = {
    "latent_seed": Value("int64"),
    "vae": Value("string"),
    "prompt": Value("string"),
    "captioner": Value("string"),
    "caption_seed": Value("int64"),
    "backend": Value("string"),
    "clip_seed": Value("int64"),
    "runs": List({"stage": Value("string"), "run": Value("string"), "commit": Value("string")}),
}
"""The column ``chain``; ``prompt`` is the sha256 of the chat that asked for the caption."""
MADE = ("tags", "caption", "clip", "score")
ROW_STAGES = ("sample_tags", "write_captions", "generate_audio")  # those that make rows, in order


def of_row(
    caption: Mapping[Hashable, Any], clip: Mapping[Hashable, Any], origin: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The chain of a row.

    Args:
        caption: Row of ``write_captions``.
        clip: Row of ``generate_audio``.
        origin: What all rows share: ``latent_seed``, ``vae``, ``captioner``, ``backend`` and ``runs``; None if unknown.
    """
    seeds = {"caption_seed": caption["seed"], "clip_seed": clip["seed"]}
    return {**dict.fromkeys(CHAIN), "prompt": caption.get("prompt"), **seeds, **(origin or {})}


def find(folder: Path, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a dataset, with their audio, in the order asked for.

    Args:
        folder: Of the dataset.
        ids: Theirs.

    Raises:
        InputError: If an id is not there, or the dataset has no column ``chain``.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("data/audio/*.parquet")):
        if "chain" not in pq.read_schema(path).names:
            raise InputError(f"expected a dataset with a column chain, got {path} without one; build it again")
        rows = pq.read_table(path, filters=[("id", "in", list(ids))]).to_pylist()
        found |= {row["id"]: row for row in rows}
    missing = [row_id for row_id in ids if row_id not in found]
    if missing:
        raise InputError(f"expected ids of rows of {folder}, got {', '.join(missing)}, which it does not hold")
    return [found[row_id] for row_id in ids]


def describe(row: Mapping[str, Any]) -> list[str]:
    """A row's chain, as lines of text.

    Args:
        row: Of ``find``.
    """
    chain = row["chain"]
    runs = {run["stage"]: run for run in chain["runs"] or []}

    def made_by(stage: str) -> str:
        if stage not in runs:
            return "run unknown"
        return f"run {runs[stage]['run']} at commit {project.short(runs[stage]['commit'])}"

    others = [f"{stage} {made_by(stage)}" for stage in runs if stage not in ROW_STAGES]
    return [
        f"row        {row['id']}",
        f"  tags     {', '.join(row['aspect_list'])} (set {row['sample_id']})",
        f"           latents of seed {chain['latent_seed']} through {chain['vae']}; "
        f"sample_tags {made_by('sample_tags')}",
        f"  caption  {row['caption']}",
        f"           prompt {str(chain['prompt'])[:12]}, seed {chain['caption_seed']}, {chain['captioner']}; "
        f"write_captions {made_by('write_captions')}",
        f"  clip     {row['file_name']}, backend {chain['backend']}, seed {chain['clip_seed']}; "
        f"generate_audio {made_by('generate_audio')}",
        *(f"  before   {text}" for text in others),
    ]


def makers(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Runs of ``ROW_STAGES`` that made rows of a dataset, by stage.

    Raises:
        InputError: If one of them is not known, as with captions that came from a file.
    """
    runs = {run["stage"]: run["run"] for run in rows[0]["chain"]["runs"] or []}
    unknown = [stage for stage in ROW_STAGES if stage not in runs]
    if unknown:
        raise InputError(f"expected rows of {', '.join(ROW_STAGES)}, got rows whose {unknown[0]} is not known")
    return {stage: runs[stage] for stage in ROW_STAGES}


def compare(
    rows: Sequence[Mapping[str, Any]], *, samples: pd.DataFrame, captions: pd.DataFrame, clips: pd.DataFrame
) -> pd.DataFrame:
    """Rows against the same rows made again.

    Args:
        rows: Of ``find``.
        samples: Columns ``id`` and ``tags`` of ``sample_tags``.
        captions: Columns ``sample_id`` and ``caption`` of ``write_captions``.
        clips: Columns ``id``, ``audio`` and ``midi`` of ``generate_audio``.

    Returns:
        Column ``id``, and whether ``tags``, ``caption``, ``clip`` (FLAC bytes) and ``score`` (MIDI bytes) are equal;
        what was not made again counts as unequal.
    """
    tags = dict(zip(samples["id"], samples["tags"], strict=True))
    texts = dict(zip(captions["sample_id"], captions["caption"], strict=True))
    sounds = {clip["id"]: clip for clip in clips[["id", "audio", "midi"]].to_dict("records")}
    equal = []
    for row in rows:
        clip = sounds.get(row["id"])
        made = (
            list(tags.get(row["sample_id"], [])) == row["aspect_list"],
            texts.get(row["sample_id"]) == row["caption"],
            clip is not None and (clip["audio"] or {}).get("bytes") == row["audio"]["bytes"],
            clip is not None and clip["midi"] == row["midi"],
        )
        equal.append({"id": row["id"], **dict(zip(MADE, made, strict=True))})
    return pd.DataFrame(equal)


def differences(equal: pd.DataFrame) -> str:
    """What differs, by row.

    >>> differences(pd.DataFrame([{"id": "a", "tags": True, "caption": False, "clip": False, "score": True}]))
    'a (caption, clip)'
    """
    found = {row["id"]: [made for made in MADE if not row[made]] for row in equal.to_dict("records")}
    return "; ".join(f"{row_id} ({', '.join(others)})" for row_id, others in found.items() if others)
