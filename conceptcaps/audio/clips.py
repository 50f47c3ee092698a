"""Encoded clips of a folder, read again, a few at a time, at every iteration; bad ones are reported, not fatal."""

from collections.abc import Iterator, Mapping, Set
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

    def encoded(self, ids: Set[str]) -> dict[str, bytes]:
        """Encoded files of some ids, those that are there; of a folder of shards only those are read that hold one.

        A recording answers to its name without the ending too.
        """
        if not (self.folder / shards.MANIFEST).exists():
            named = {Path(name).with_suffix("").as_posix(): name for name in self.ids} | {
                name: name for name in self.ids
            }
            return {name: (self.folder / named[name]).read_bytes() for name in sorted(ids & named.keys())}
        found: dict[str, bytes] = {}
        for shard in shards.read_manifest(str(self.folder))["shards"]:
            path = self.folder / shard["file"]
            if ids & set(pq.read_table(path, columns=["id"])["id"].to_pylist()):
                rows = pq.read_table(path, columns=["id", "audio"]).to_pylist()
                found |= {row["id"]: (row["audio"] or {}).get("bytes") or b"" for row in rows if row["id"] in ids}
        return found

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
