"""Encoded clips of a folder, read again, a few at a time, at every iteration; bad ones are reported, not fatal."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import soundfile
from tqdm import tqdm

from conceptcaps.audio import waveform
from conceptcaps.errors import InputError
from conceptcaps.workspace import shards

ENDINGS = (".wav", ".flac", ".mp3", ".ogg", ".au", ".aiff")
MOST_BAD = 0.1  # share of clips that may be bad
_SHORTEST = 0.5  # seconds
_SILENT = 1e-4  # peak amplitude, -80 dB full scale
_AT_ONCE = 16


@dataclass(frozen=True)
class Clips:
    """Clips of a folder of shards, in its order, or of a folder of recordings, sorted by path.

    Attributes:
        folder: Where they are.
        ids: Their ids; of a recording its path inside the folder.
    """

    folder: Path
    ids: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path) -> "Clips":
        """List the clips of a folder.

        Raises:
            InputError: If it holds neither a manifest nor recordings.
        """
        if (folder / shards.MANIFEST).exists():
            return cls(folder, tuple(shards.read(str(folder), columns=["id"])["id"]))
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
        if not files:
            kinds = ", ".join(ENDINGS)
            raise InputError(f"expected {shards.MANIFEST} or recordings ({kinds}) in {folder}, got neither")
        return cls(folder, tuple(path.relative_to(folder).as_posix() for path in files))

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.ids)

    def __iter__(self) -> Iterator[bytes]:
        """Encoded files of ``ids``; empty for one that is missing."""
        if not (self.folder / shards.MANIFEST).exists():
            yield from ((self.folder / name).read_bytes() for name in self.ids)
            return
        wanted = set(self.ids)
        for batch in shards.batches(str(self.folder), columns=["id", "audio"], size=_AT_ONCE):
            for row, clip in zip(batch["id"], batch["audio"], strict=True):
                if row in wanted:
                    yield (clip or {}).get("bytes") or b""

    def some(self, most: int, *, seed: int) -> "Clips":
        """At most so many of the clips, drawn at random, in their order.

        Raises:
            InputError: If that is fewer than one.
        """
        if most < 1:
            raise InputError(f"expected at least one clip, got {most}")
        drawn = np.sort(np.random.default_rng(seed).permutation(len(self))[:most])
        return replace(self, ids=tuple(self.ids[place] for place in drawn.tolist()))

    def readable(self) -> tuple["Clips", dict[str, str]]:
        """The clips that can be listened to, and the reason for each of the others.

        Raises:
            InputError: If more than a tenth is bad; names the first.
        """
        bad = {}
        for name, clip in tqdm(zip(self.ids, self, strict=True), total=len(self), desc="check clips", unit="clip"):
            reason = fault(clip)
            if reason:
                bad[name] = reason
        require_few(bad, total=len(self))
        return replace(self, ids=tuple(name for name in self.ids if name not in bad)), bad


def files(folder: Path, ids: Collection[str]) -> dict[str, Path]:
    """Which file holds the clip of each id: a shard, or a recording of that name before the ending.

    Raises:
        InputError: As ``Clips.open``; if two recordings have the name, or more than a tenth of the ids have no clip.
    """
    found: dict[str, Path] = {}
    if (folder / shards.MANIFEST).exists():
        for shard in shards.read_manifest(str(folder))["shards"]:
            path = folder / shard["file"]
            found |= dict.fromkeys(set(pq.read_table(path, columns=["id"])["id"].to_pylist()) & set(ids), path)
    else:
        for name in Clips.open(folder).ids:
            path = folder / name
            row_id = path.relative_to(folder).with_suffix("").as_posix()
            if row_id in found:
                raise InputError(
                    f"expected one recording of each name in {folder}, got {found[row_id].name}, {path.name}"
                )
            found[row_id] = path
    require_few({row_id: f"no clip in {folder}" for row_id in ids if row_id not in found}, total=len(ids))
    return {row_id: found[row_id] for row_id in ids if row_id in found}


def fault(clip: bytes) -> str:
    """Why a clip cannot be listened to; empty if it can."""
    if not clip:
        return "no audio"
    try:
        sound, rate = waveform.decode(clip)
    except (soundfile.LibsndfileError, InputError) as error:
        return f"unreadable: {' '.join(str(error).split())}"
    if sound.shape[1] < round(_SHORTEST * rate):
        return f"shorter than {_SHORTEST} s: {sound.shape[1] / rate:.2f} s"
    if not np.isfinite(sound).all():
        return "not all samples are numbers"
    return "silent" if np.abs(sound).max() < _SILENT else ""


def require_few(bad: Mapping[str, str], *, total: int) -> None:
    """Refuse a set of rows if more than a tenth of them are bad.

    Raises:
        InputError: Names the number and the first with its reason.
    """
    if len(bad) > MOST_BAD * total:
        name, reason = next(iter(bad.items()))
        raise InputError(
            f"expected at most {MOST_BAD:.0%} of {total} rows to fail, got {len(bad)}: {name!r} ({reason}) first"
        )
