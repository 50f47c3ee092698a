"""Parquet files of bounded size, written as a stream under temporary names."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MOST_BYTES = 500 * 10**6
_ROW_GROUP = 100  # most rows that a reader holds at once
_GROUP_BYTES = 4 * 10**6  # from which on a group is written: many tables wait at once


class ParquetFiles:
    """Files ``<folder>/<name>-<number>.parquet`` of many tables at once; ``close`` ends them all."""

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        """Begin.

        Args:
            folder: Of all files.
            most_bytes: Size at which a file is ended and the next one begun.
        """
        self._folder, self._most = folder, most_bytes
        self._waiting: dict[str, list[pa.Table]] = {}
        self._open: dict[str, tuple[pq.ParquetWriter, Path]] = {}
        self._numbers: dict[str, int] = {}

    def add(self, name: str, row: Mapping[Hashable, Any], *, schema: pa.Schema) -> None:
        """Append a row to a table; the schema is that of its first row."""
        waiting = self._waiting.setdefault(name, [])
        waiting.append(pa.Table.from_pylist([row], schema=waiting[0].schema if waiting else schema))
        if len(waiting) >= _ROW_GROUP or sum(own.nbytes for own in waiting) >= _GROUP_BYTES:
            self._flush(name)

    def close(self) -> None:
        """Write what waits and give every file its name."""
        for name in self._waiting:
            self._flush(name)
        for name in list(self._open):
            self._end(name)

    def _flush(self, name: str) -> None:
        rows = self._waiting[name]
        if not rows:
            return
        if name not in self._open:
            number = self._numbers[name] = self._numbers.get(name, -1) + 1
            path = self._folder / f"{name}-{number:05d}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            self._open[name] = pq.ParquetWriter(path.with_suffix(".tmp"), rows[0].schema, compression="zstd"), path
        writer, path = self._open[name]
        writer.write_table(pa.concat_tables(rows))
        rows.clear()
        pa.default_memory_pool().release_unused()
        if path.with_suffix(".tmp").stat().st_size >= self._most:
            self._end(name)

    def _end(self, name: str) -> None:
        writer, path = self._open.pop(name)
        writer.close()
        path.with_suffix(".tmp").rename(path)
