"""Rows of a dataset to look at and to listen to: picture, player, and what score, ear and text say of each tag."""

import base64
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from matplotlib.figure import Figure

from conceptcaps.audio import spectrum

_SHOWN = ("sounds", "silent", "unknown")


def choose(folder: Path, *, split: str, most: int) -> Iterator[dict[str, Any]]:
    """Rows of a split of the config ``audio``, spread evenly; one row group is in memory at a time.

    Args:
        folder: Of the dataset.
        split: Which part.
        most: Most rows.
    """
    groups = [
        (path, group, metadata.row_group(group).num_rows)
        for path in sorted((folder / "data" / "audio").glob(f"{split}-*.parquet"))
        for metadata in [pq.read_metadata(path)]
        for group in range(metadata.num_row_groups)
    ]
    total = sum(rows for *_, rows in groups)
    wanted = {place * total // min(most, total) for place in range(min(most, total))} if total else set()
    before = 0
    for path, group, rows in groups:
        own = sorted(place - before for place in wanted if before <= place < before + rows)
        before += rows
        if own:
            with pq.ParquetFile(path) as file:
                yield from file.read_row_group(group).take(own).to_pylist()


def describe(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the report shows of a row.

    Keys: ``id``, ``caption``, ``facts``, ``contradictions``, ``verified``, ``tags``, and in base64 ``picture`` (PNG)
    and ``player`` (FLAC). ``tags`` has for each tag that was asked for, is named or is contradicted: ``tag``,
    ``asked``, ``score`` (sounds, silent, unknown), ``ear`` (present, absent, –) and ``text`` (named, –).
    """
    asked = list(row["aspect_list"])
    named = (set(row["asked"]) - set(row["missed"])) | set(row["hallucinated"])
    disputed = {text.split(": ", 1)[1] for text in row["contradictions"]}
    tags = []
    for tag in [*asked, *sorted((named | disputed) - set(asked))]:
        score = _SHOWN[0] if tag in row["present"] else _SHOWN[1] if tag in row["absent"] else _SHOWN[2]
        ear = next((verdict for verdict in ("present", "absent") if tag in row[f"heard_{verdict}"]), "–")
        text = "named" if tag in named else "–"
        tags.append({"tag": tag, "asked": tag in asked, "score": score, "ear": ear, "text": text})
    known = {"bpm": "{:.0f} BPM", "key": "{}", "mode": "{}", "meter": "{} beats in a bar"}
    return {
        "id": row["id"],
        "caption": row["caption"],
        "facts": ", ".join(form.format(row[name]) for name, form in known.items() if row[name] is not None),
        "contradictions": list(row["contradictions"]),
        "verified": row["verified"],
        "tags": tags,
        "picture": picture(row["audio"]["bytes"], duration=row["duration"]),
        "player": base64.b64encode(row["audio"]["bytes"]).decode(),
    }


def picture(clip: bytes, *, duration: float) -> str:
    """Log-mel spectrum of a clip as a PNG in base64."""
    figure = Figure(figsize=(8, 1.8), layout="constrained")
    axes = figure.subplots()
    frames = spectrum.spectrum(clip).T
    axes.imshow(frames, origin="lower", aspect="auto", cmap="magma", extent=(0, duration, 0, len(frames)))
    axes.set(xlabel="time (s)", ylabel="mel band")
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=90)
    return base64.b64encode(target.getvalue()).decode()
