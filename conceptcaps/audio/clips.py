"""Encoded clips of a folder of shards, read anew, a few at a time, whenever they are iterated."""

from collections.abc import Iterator
from dataclasses import dataclass

from conceptcaps import shards

_AT_ONCE = 16


@dataclass(frozen=True)
class Clips:
    """The ``audio`` column of a folder of shards, in order, as bytes of encoded files."""

    folder: str

    def __iter__(self) -> Iterator[bytes]:
        """Read them from the first."""
        for batch in shards.batches(self.folder, columns=["audio"], size=_AT_ONCE):
            yield from (clip["bytes"] for clip in batch["audio"])

    def __len__(self) -> int:
        """Number of clips."""
        return int(shards.read_manifest(self.folder)["rows"])
