"""Clips of a folder: what sounds in them, their spectra, genres and splits."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import soundfile

from conceptcaps import shards
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id

SPLITS = {"train": 0.7, "validation": 0.15, "test": 0.15}
_ENDINGS = {".wav", ".au", ".flac"}


def read(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Clips of a folder of shards (``generate_audio``), or of a folder of genres as GTZAN's (``<genre>/*.wav|au``).

    A tag *sounds* if it was asked for and realised, or was added by the backend.

    Args:
        folder: One with ``manifest.json``, or one whose subfolders are genres.

    Returns:
        The clips, sorted by ``id``: ``id``, ``sounds`` (sorted tags; a genre folder's name), ``group`` (clips that must
        stay in one split share it: same tag set, or same file contents) and ``clip`` (bytes of the encoded file). And
        the names of files that cannot be read, as one of GTZAN's cannot; in a folder of shards that is an error.

    Raises:
        ValueError: If there are no clips, or none that can be read.
    """
    if (folder / shards.MANIFEST).exists():
        return _read_shards(folder), []
    files = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in _ENDINGS)
    unreadable = [str(path.relative_to(folder)) for path in files if not _is_readable(path)]
    readable = [path for path in files if str(path.relative_to(folder)) not in set(unreadable)]
    if not readable:
        raise ValueError(
            f"expected {shards.MANIFEST} or <genre>/*.wav, *.au or *.flac in {folder}, got {len(files)} audio files, "
            f"{len(unreadable)} of them unreadable"
        )
    contents = [path.read_bytes() for path in readable]
    frame = pd.DataFrame(
        {
            "id": [str(path.relative_to(folder)) for path in readable],
            "sounds": [[path.parent.name] for path in readable],
            "group": [hashlib.sha256(content).hexdigest() for content in contents],
            "clip": contents,
        }
    )
    return frame.sort_values("id", ignore_index=True), unreadable


def _read_shards(folder: Path) -> pd.DataFrame:
    rows = shards.read(str(folder), columns=["id", "tags", "audio", "unrealised", "added"])
    missing = [row for row, data in zip(rows["id"], rows["audio"], strict=True) if not data or not data["bytes"]]
    if missing:
        raise ValueError(f"expected audio bytes in every row, got {len(missing)} rows without, {missing[0]!r} first")
    sounds = [
        sorted((set(tags) - set(unrealised or ())) | set(added or ()))
        for tags, unrealised, added in zip(rows["tags"], rows["unrealised"], rows["added"], strict=True)
    ]
    return pd.DataFrame(
        {
            "id": rows["id"],
            "sounds": sounds,
            "group": [tag_set_id(tags) for tags in rows["tags"]],
            "clip": [data["bytes"] for data in rows["audio"]],
        }
    ).sort_values("id", ignore_index=True)


def _is_readable(path: Path) -> bool:
    try:
        waveform, _ = soundfile.read(path, dtype="float32")
    except soundfile.LibsndfileError:
        return False
    return len(waveform) > 0


# --- their genres and splits ------------------------------------------------------------------------------------------


def genre_of(tags: Sequence[str], *, taxonomy: Taxonomy) -> str | None:
    """The genre that a clip stands for: its most specific one, the first in the taxonomy's order of several.

    A clip whose only tag is no tag of the taxonomy (a folder of GTZAN) stands for that one; one without a genre for
    none.

    >>> genre_of(["piano", "rock", "metal", "jazz"], taxonomy=Taxonomy.load())
    'metal'
    """
    if len(tags) == 1 and tags[0] not in taxonomy.tags:
        return tags[0]
    genres = [tag for tag in taxonomy.tags if tag in set(tags) and taxonomy.category(tag) == "genre"]
    return max(genres, key=lambda tag: len(taxonomy.ancestors(tag)), default=None)  # max keeps the first of equals


def merge_rare(genres: Sequence[str | None], *, taxonomy: Taxonomy, min_clips: int) -> list[str]:
    """Classes: a genre with fewer than ``min_clips`` clips joins its parent, and is left out if it has none.

    Args:
        genres: ``genre_of`` of each training clip; only these choose, so that every class has clips to learn from.
        taxonomy: Where parents are found.
        min_clips: Least number of clips of a class.

    Returns:
        Names of the classes, sorted; ``class_of`` finds a clip's.

    Raises:
        ValueError: If fewer than two classes remain.
    """
    counts = Counter(genre for genre in genres if genre is not None)
    depth = {genre: len(_above(genre, taxonomy)) for genre in counts}
    for level in range(max(depth.values(), default=0), 0, -1):
        for genre in [genre for genre in counts if len(_above(genre, taxonomy)) == level]:
            if counts[genre] < min_clips:
                counts[_above(genre, taxonomy)[0]] += counts.pop(genre)
    classes = sorted(genre for genre, count in counts.items() if count >= min_clips)
    if len(classes) < 2:
        most = ", ".join(f"{genre} ({count})" for genre, count in counts.most_common(5)) or "no genres at all"
        raise ValueError(f"expected two genres or more with {min_clips} training clips each, got {most}")
    return classes


def class_of(genre: str | None, *, classes: Sequence[str], taxonomy: Taxonomy) -> str | None:
    """The class of a genre: itself or its nearest ancestor among the classes, or None."""
    found = [] if genre is None else [genre, *_above(genre, taxonomy)]
    return next((name for name in found if name in classes), None)


def _above(genre: str, taxonomy: Taxonomy) -> list[str]:
    return taxonomy.ancestors(genre) if genre in taxonomy.tags else []


@dataclass(frozen=True)
class Labelled:
    """Clips with ``class`` and ``split``, the names of the classes, and how many clips are in and left out."""

    rows: pd.DataFrame
    classes: list[str]
    counts: dict[str, float]


def label(rows: pd.DataFrame, *, taxonomy: Taxonomy, min_clips: int, seed: int) -> Labelled:
    """Give every clip of ``read`` its class and its split; those of no class are left out and counted.

    Args:
        rows: Columns ``sounds`` and ``group``.
        taxonomy: What genres there are.
        min_clips: Training clips that a class needs (``merge_rare``).
        seed: Seed of the split.

    Raises:
        ValueError: If fewer than two classes or an empty split remain.
    """
    genres = [genre_of(tags, taxonomy=taxonomy) for tags in rows["sounds"]]
    splits = [split_of(group, seed=seed) for group in rows["group"]]
    training = [genre for genre, split in zip(genres, splits, strict=True) if split == "train"]
    classes = merge_rare(training, taxonomy=taxonomy, min_clips=min_clips)
    labels = [class_of(genre, classes=classes, taxonomy=taxonomy) for genre in genres]
    labelled = pd.concat([rows, pd.DataFrame({"genre": genres, "class": labels, "split": splits})], axis=1)
    kept = labelled[labelled["class"].notna()].reset_index(drop=True)
    sizes = {name: int((kept["split"] == name).sum()) for name in SPLITS}
    if not all(sizes.values()):
        raise ValueError(f"expected clips in every split, got {sizes} of {len(rows)} clips")
    counts = {f"data/{name}": float(size) for name, size in sizes.items()}
    left = {"data/without_genre": genres.count(None), "data/rare_genre": len(rows) - len(kept) - genres.count(None)}
    return Labelled(kept, classes, {**counts, **left, "data/classes": len(classes)})


def split_of(group: str, *, seed: int) -> str:
    """Split of a group of clips (train 70, validation 15, test 15 %): a hash, so that new clips move no old ones."""
    draw = int(hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()[:12], 16) / 16**12
    return "train" if draw < SPLITS["train"] else "validation" if draw < 1 - SPLITS["test"] else "test"
