"""Clips of a folder: what sounds in them, read a few at a time; and their classes and splits."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from conceptcaps.audio import waveform
from conceptcaps.audio.clips import fault, require_few
from conceptcaps.errors import InputError
from conceptcaps.tags.splits import SPLITS, split_clips
from conceptcaps.tags.taxonomy import Taxonomy, tag_set_id
from conceptcaps.workspace import shards

_ENDINGS = {".wav", ".au", ".flac", ".mp3", ".ogg"}
_AT_ONCE = 16
_TAGS = ("tags", "present", "absent", "unrealised", "added")
_CARRIED = ("split", "concept", "positive", "part", "pair_id", "tag", "side")
_READ = {"id", "error", "group", *_TAGS, *_CARRIED}
_LISTS = {"train": "train_filtered.txt", "validation": "valid_filtered.txt", "test": "test_filtered.txt"}


@dataclass(frozen=True)
class Clips:
    """Encoded clips of a folder, read anew, a few at a time, whenever they are iterated.

    Attributes:
        folder: Folder of shards, or of genres.
        rows: A row for each clip, in the order of iteration: ``id``; ``present``, the tags that sound (a genre folder's
            name); ``asked``, those that were asked for; ``group``, which clips that are no independent evidence
            share; of shards ``known``, whether anything is known of what sounds; where the folder says so ``absent``,
            tags that surely do not sound, ``split``, and the columns of pairs and designed concepts.
        unreadable: Why clips that stand in the folder are left out, by id.
    """

    folder: Path
    rows: pd.DataFrame
    unreadable: dict[str, str]

    def __iter__(self) -> Iterator[bytes]:
        """Encoded files, in the order of ``rows``."""
        if not (self.folder / shards.MANIFEST).exists():
            for name in self.rows["id"]:
                yield (self.folder / name).read_bytes()
            return
        wanted = set(self.rows["id"])
        for batch in shards.batches(str(self.folder), columns=["id", "audio"], size=_AT_ONCE):
            for name, data in zip(batch["id"], batch["audio"], strict=True):
                if name in wanted:
                    yield (data or {}).get("bytes") or b""

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.rows)

    def only(self, chosen: NDArray[np.bool_]) -> "Clips":
        """Some of the clips, by a mask over the rows."""
        return replace(self, rows=self.rows[chosen].reset_index(drop=True))

    def readable(self) -> "Clips":
        """The clips that can be listened to; the others' reasons join ``unreadable``.

        Raises:
            InputError: If more than a tenth cannot.
        """
        waiting = iter(tqdm(self, desc="check clips", unit="clip", total=len(self)))
        reasons: list[str] = []
        with ThreadPoolExecutor() as pool:
            while some := list(islice(waiting, _AT_ONCE)):
                reasons += pool.map(fault, some)
        bad = {name: reason for name, reason in zip(self.rows["id"], reasons, strict=True) if reason}
        require_few(bad, total=len(self))
        return replace(self.only(np.array([not reason for reason in reasons])), unreadable=self.unreadable | bad)


def read(folder: Path, *, split_file: Path | None = None) -> Clips:
    """Clips of a folder of shards (``generate_audio``, ``make_pairs``, ``design_concepts``), or of genres as GTZAN's.

    What sounds is the column ``present``. Where neither that nor ``absent`` says anything, as of models whose music
    nobody knows, it is what was asked for, less what is known not to be realised, and what was added.

    Args:
        folder: One with ``manifest.json``, or one whose subfolders are genres (``<genre>/*.wav``, .au, .flac, .mp3,
            .ogg). Files of equal content are one group there.
        split_file: For a folder of genres: a CSV with columns ``file`` and ``split``, or a folder with the lists
            ``train_filtered.txt``, ``valid_filtered.txt`` and ``test_filtered.txt`` in which no artist stands twice.
            Files that it does not name are left out.

    Raises:
        InputError: If there are no clips, none that can be read, or more than a tenth of a folder of shards failed.
    """
    found = _read_shards(folder) if (folder / shards.MANIFEST).exists() else _read_genres(folder, split_file)
    if not len(found):
        raise InputError(
            f"expected {shards.MANIFEST} or <genre>/*.wav, .au, .flac, .mp3 or .ogg in {folder}, got no clip that can "
            f"be used and {len(found.unreadable)} that cannot: {list(found.unreadable.items())[:3]}"
        )
    return found


def _read_shards(folder: Path) -> Clips:
    first = folder / shards.read_manifest(str(folder))["shards"][0]["file"]
    columns = [name for name in pq.read_schema(first).names if name in _READ]
    rows = shards.read(str(folder), columns=columns)
    failed = rows["error"].notna() & (rows["error"] != "") if "error" in rows else pd.Series(False, index=rows.index)
    unreadable = dict(zip(rows["id"][failed], rows["error"][failed] if failed.any() else (), strict=True))
    require_few(unreadable, total=len(rows))
    rows = rows[~failed].reset_index(drop=True)
    lists = {name: _lists(rows, name) for name in _TAGS}
    asked, present, known = [], [], []
    for tags, sounding, silent, unrealised, added in zip(*lists.values(), strict=True):
        asked.append(sorted({*tags} - {*unrealised}))
        known.append(bool(sounding or silent))  # else what was asked for is taken at its word
        present.append(sorted(sounding if known[-1] else {*asked[-1], *added}))
    group = next((name for name in ("group", "pair_id") if name in rows), None)
    together = [tag_set_id(tags) for tags in rows["tags"]] if group is None else rows[group]
    table = pd.DataFrame(
        {"id": rows["id"], "present": present, "asked": asked, "known": known, "group": list(together)}
    )
    carried = [name for name in (*_CARRIED, "absent") if name in rows]
    return Clips(folder, pd.concat([table, rows[carried]], axis=1), unreadable)


def _lists(rows: pd.DataFrame, column: str) -> list[list[str]]:
    """Each row's list of tags; empty where it has none."""
    found = rows[column].tolist() if column in rows else [None] * len(rows)
    return [[] if tags is None else [*tags] for tags in found]


def _read_genres(folder: Path, split_file: Path | None) -> Clips:
    splits = None if split_file is None else _splits(split_file)
    rows, unreadable = [], {}
    for path in sorted(path for path in folder.glob("*/*") if path.suffix.lower() in _ENDINGS):
        name = str(path.relative_to(folder))
        if splits is not None and name not in splits:
            continue
        content = path.read_bytes()
        try:
            sound, _ = waveform.decode(content)
        except InputError as error:
            unreadable[name] = str(error)
            continue
        if not np.abs(sound).max(initial=0) > 0:
            unreadable[name] = "expected sound, got silence"
            continue
        genre = [path.parent.name]
        rows.append({"id": name, "present": genre, "asked": genre, "group": hashlib.sha256(content).hexdigest()})
        if splits is not None:
            rows[-1]["split"] = splits[name]
    return Clips(folder, pd.DataFrame(rows), unreadable)


def _splits(path: Path) -> dict[str, str]:
    """Split by file name."""
    if path.is_dir():
        lists = {split: (path / name).read_text(encoding="utf-8").split() for split, name in _LISTS.items()}
        return {name: split for split, names in lists.items() for name in names}
    table = pd.read_csv(path, dtype=str)
    if not {"file", "split"} <= set(table.columns) or not set(table["split"]) <= set(SPLITS):
        raise InputError(
            f"expected columns file and split ({', '.join(SPLITS)}) in {path}, got {', '.join(table.columns)} with "
            f"{', '.join(sorted(set(map(str, table.get('split', [])))))}"
        )
    return dict(zip(table["file"], table["split"], strict=True))


# --- their genres and splits ------------------------------------------------------------------------------------------


def genres_of(tags: Sequence[str], *, taxonomy: Taxonomy) -> list[str]:
    """The genres among tags, without those that another of them implies, in the taxonomy's order.

    A clip whose only tag is no tag of the taxonomy (a folder of GTZAN) stands for that one.

    >>> genres_of(["piano", "rock", "metal", "jazz"], taxonomy=Taxonomy.load())
    ['metal', 'jazz']
    """
    if len(tags) == 1 and tags[0] not in taxonomy.tags:
        return list(tags)
    genres = [tag for tag in taxonomy.tags if tag in set(tags) and taxonomy.category(tag) == "genre"]
    implied = {above for genre in genres for above in taxonomy.ancestors(genre)}
    return [genre for genre in genres if genre not in implied]


def merge_rare(genres: Sequence[str | None], *, taxonomy: Taxonomy, min_clips: int) -> list[str]:
    """Classes: a genre with fewer than ``min_clips`` clips joins its parent, and is left out if it has none.

    Args:
        genres: Genre of each training clip; only these choose, so that every class has clips to learn from.
        taxonomy: Where parents are found.
        min_clips: Least number of clips of a class.

    Returns:
        Names of the classes, sorted; ``class_of`` finds a clip's.

    Raises:
        InputError: If fewer than two classes remain.
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
        raise InputError(f"expected two genres or more with {min_clips} training clips each, got {most}")
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

    clips: Clips
    classes: list[str]
    counts: dict[str, float]


def label(clips: Clips, *, taxonomy: Taxonomy, min_clips: int, seed: int, genres: Sequence[str]) -> Labelled:
    """Give every clip its class and its split; those of no class are left out and counted.

    A clip's genre is the one that it was asked for and that sounds: other genres often hold in the same notes (a metal
    piece is rock, and may pass as disco), but this one shaped them. A clip with two or more is left out. Where clips
    were made for some genres, one in each, a clip in which its own does not sound has no genre, whatever else it holds.

    A split that the clips carry is kept. Where they carry none, one is made: groups stay together, and every genre has
    its share of each part (80, 10 and 10 %) before rare ones are merged.

    Args:
        clips: Of ``read``.
        taxonomy: What genres there are.
        min_clips: Training clips that a class needs (``merge_rare``).
        seed: Seed of the split.
        genres: Those that clips were made for; empty where any counts.

    Raises:
        InputError: If a genre is unknown, or fewer than two classes or an empty split remain.
    """
    counted = {taxonomy.resolve(genre) for genre in genres}
    held = [
        genres_of([tag for tag in asked if tag in present and (not counted or tag in counted)], taxonomy=taxonomy)
        for asked, present in zip(clips.rows["asked"], clips.rows["present"], strict=True)
    ]
    own = [found[0] if len(found) == 1 else None for found in held]
    rows = clips.rows.copy()
    rows["genre"] = own
    if "split" not in rows:
        rows["split"] = split_clips(own, rows["group"].tolist(), seed=seed)
    training = [genre for genre, split in zip(own, rows["split"], strict=True) if split == "train"]
    classes = merge_rare(training, taxonomy=taxonomy, min_clips=min_clips)
    rows["class"] = [class_of(genre, classes=classes, taxonomy=taxonomy) for genre in own]
    kept = replace(clips, rows=rows).only(rows["class"].notna().to_numpy())
    sizes = {name: int((kept.rows["split"] == name).sum()) for name in SPLITS}
    if not all(sizes.values()):
        raise InputError(f"expected clips in every split, got {sizes} of {len(rows)} clips")
    counts = {f"data/{name}": float(size) for name, size in sizes.items()}
    left = {
        "data/without_genre": sum(not found for found in held),
        "data/several_genres": sum(len(found) > 1 for found in held),
        "data/rare_genre": len(rows) - len(kept) - own.count(None),
    }
    unreadable = {"data/unreadable": len(clips.unreadable)}
    return Labelled(kept, classes, {**counts, **left, **unreadable, "data/classes": len(classes)})
