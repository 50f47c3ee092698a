"""Parquet files of bounded size, written as a stream under temporary names."""

from collections.abc import Hashable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from conceptcaps.workspace.files import whole

MOST_BYTES = 500 * 10**6
_ROW_GROUP = 100  # most rows that a reader holds at once
_GROUP_BYTES = 4 * 10**6  # from which on a group is written: many tables wait at once
_FOOTER = 30_000  # bytes at a file's end for its schema and its first group, a third of it for each other: with margin


class ParquetFiles:
    """Files ``<folder>/<name>-<number>.parquet`` of many tables at once; ``close`` ends them all."""

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        """Begin.

        Args:
            folder: Of all files.
            most_bytes: Most bytes of a file; one that holds a single row may be as large as its row.
        """
        self._folder, self._most = folder, most_bytes
        self._waiting: dict[str, list[pa.Table]] = {}
        self._bytes: dict[str, int] = {}
        self._open: dict[str, tuple[pq.ParquetWriter, Path, ExitStack]] = {}
        self._footer: dict[str, int] = {}
        self._numbers: dict[str, int] = {}

    def add(self, name: str, row: Mapping[Hashable, Any], *, schema: pa.Schema) -> None:
        """Append a row to a table; the schema is that of its first row."""
        waiting = self._waiting.setdefault(name, [])
        table = pa.Table.from_pylist([row], schema=waiting[0].schema if waiting else schema)
        if self._bytes.get(name, 0) + table.nbytes + _FOOTER > self._most:
            self._flush(name)
        waiting.append(table)
        self._bytes[name] = self._bytes.get(name, 0) + table.nbytes
        if len(waiting) >= _ROW_GROUP or self._bytes[name] >= _GROUP_BYTES:
            self._flush(name)

    def close(self) -> None:
        """Write what is waiting and give every file its name."""
        for name in self._waiting:
            self._flush(name)
        for name in list(self._open):
            self._open.pop(name)[2].close()

    def _flush(self, name: str) -> None:
        rows = self._waiting[name]
        if not rows:
            return
        if name in self._open:
            self._footer[name] += _FOOTER // 3
            if self._open[name][1].stat().st_size + self._bytes[name] + self._footer[name] > self._most:
                self._open.pop(name)[2].close()
        if name not in self._open:
            number = self._numbers[name] = self._numbers.get(name, -1) + 1
            end = ExitStack()
            path = end.enter_context(whole(self._folder / f"{name}-{number:05d}.parquet"))
            writer = end.enter_context(pq.ParquetWriter(path, rows[0].schema, compression="zstd"))
            self._open[name], self._footer[name] = (writer, path, end), _FOOTER
        self._open[name][0].write_table(pa.concat_tables(rows))
        rows.clear()
        self._bytes[name] = 0
        pa.default_memory_pool().release_unused()
