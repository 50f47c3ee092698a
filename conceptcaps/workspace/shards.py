"""Resumable maps over rows: Parquet shards written whole or not at all, the manifest last.

A folder of shards holds ``plan.json`` (what is being made, written first), ``part-00000.parquet`` and so on, and
``manifest.json`` (every shard with its sha256, written last). A folder without a manifest is unfinished: the same
map, run again, keeps the shards that are there and makes the others, so that a run resumed after a kill ends with the
same bytes as one that was never killed.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem
from tqdm import tqdm

from conceptcaps.errors import InputError
from conceptcaps.workspace import executor, hashing, project

MANIFEST = "manifest.json"
PLAN = "plan.json"
_GROUP = 16  # rows with files of a row group


def map_shards(
    function: Callable[[pd.DataFrame], pd.DataFrame],
    rows: pd.DataFrame,
    *,
    out: str,
    schema: pa.Schema,
    shard_size: int,
    settings: Mapping[str, object],
    description: str,
    workers: int = 1,
    cluster: executor.Ray | None = None,
    shard_range: tuple[int, int] | None = None,
    files: Mapping[str, bytes] | None = None,
) -> dict[str, Any] | None:
    """Apply ``function`` to ``rows`` shard by shard and keep every finished shard in ``out``.

    Args:
        function: Takes the rows of one shard and returns as many rows, in the same order, with the columns of
            ``schema``. Its result must not depend on which rows share a shard. The files that its module reaches are
            part of the fingerprint: other code begins anew.
        rows: The input; its column ``id`` must be unique. All its columns are part of the fingerprint.
        out: Folder or fsspec URL that outlives a crash.
        schema: Arrow schema of the result, the same for all shards.
        shard_size: Rows in a shard, at least 1. A kill loses at most one shard of work a worker.
        settings: Everything besides ``rows`` that the result depends on, as JSON values; of files that the function
            reads, their hash (``hashing.content``). Written into the manifest; a folder that was begun with other
            settings or other rows is refused.
        description: Label of the progress bar.
        workers: Processes that make shards at once, where enough shards are missing to make up for their start; they
            need a ``function`` that other processes can import.
        cluster: Ray cluster whose actors make shards, as ``executor.finish``; all its machines reach ``out``.
        shard_range: First shard that is made and the one after the last; all if None. Machines that make a range each
            share ``out``; whoever finds all shards there writes the manifest.
        files: Small files that travel with the rows, by name, such as their taxonomy.

    Returns:
        The manifest: ``rows``, ``settings``, ``fingerprint`` and ``shards`` (``file``, ``rows``, ``sha256``); None
        where shards outside of ``shard_range`` are missing.

    Raises:
        InputError: If there are no rows, ids repeat, ``shard_size`` is below 1, the range holds no shard, ``out`` holds
            another map, or ``function`` returns another number of rows.
    """
    if shard_size < 1:
        raise InputError(f"expected shard_size of at least 1, got {shard_size}")
    if rows.empty:
        raise InputError("expected at least one row to map, got none")
    repeated = rows["id"][rows["id"].duplicated()].unique()
    if len(repeated):
        raise InputError(f"expected unique ids, got {len(repeated)} repeated ones, {repeated[0]!r} among them")
    count = -(-len(rows) // shard_size)
    first, last = shard_range or (0, count)
    if not 0 <= first < min(last, count):
        raise InputError(f"expected a range within the {count} shards, got {first}:{last}")

    fs, root = fsspec.core.url_to_fs(out)
    work = {
        "settings": dict(settings),
        "rows": content(rows),
        "shard_size": shard_size,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in (files or {}).items()},
        "code": project.code_hash(inspect.getfile(_inner(function))),
    }
    fingerprint = hashing.digest(work)
    plan = {"fingerprint": fingerprint, "rows": len(rows), "settings": dict(settings)}
    fs.makedirs(root, exist_ok=True)
    if fs.exists(f"{root}/{PLAN}"):
        found = json.loads(fs.cat_file(f"{root}/{PLAN}"))
        if found["fingerprint"] != fingerprint:
            raise InputError(
                f"expected {out} to be empty or begun with the same rows, settings and code, "
                f"got a folder begun with {found['rows']} rows and {found['settings']}; name another folder"
            )
    else:
        _write(fs, f"{root}/{PLAN}", _json(plan))

    names = [f"part-{number:05d}.parquet" for number in range(count)]
    parts = [rows.iloc[number * shard_size : (number + 1) * shard_size] for number in range(count)]
    there = [
        _is_whole(fs, f"{root}/{name}", rows=len(part), schema=schema) for name, part in zip(names, parts, strict=True)
    ]
    missing = [number for number in range(first, min(last, count)) if not there[number]]
    make = partial(_make, function, fs.unstrip_protocol(root), schema)
    with tqdm(total=len(rows), desc=description, unit="row") as progress:
        progress.update(sum(len(part) for part, whole in zip(parts, there, strict=True) if whole))
        for number in executor.finish(make, [(names[each], parts[each]) for each in missing], workers, ray=cluster):
            there[missing[number]] = True
            progress.update(len(parts[missing[number]]))
    if not all(there):
        return None
    for name, data in (files or {}).items():
        _write(fs, f"{root}/{name}", data)
    manifest = {
        **plan,
        "shards": [
            {"file": name, "rows": len(part), "sha256": _sha256(fs, f"{root}/{name}")}
            for name, part in zip(names, parts, strict=True)
        ],
    }
    _write(fs, f"{root}/{MANIFEST}", _json(manifest))
    return manifest


def parse_range(text: str) -> tuple[int, int] | None:
    """``shard_range`` of ``map_shards`` from text: ``0:100``, or ``all``.

    >>> parse_range("0:100"), parse_range("all")
    ((0, 100), None)
    """
    if text == "all":
        return None
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal()):
        raise InputError(f"expected all, or a range of shards such as 0:100, got {text!r}")
    return int(first), int(last)


def content(rows: pd.DataFrame, *more: pd.DataFrame) -> str:
    """Sha256 (hex) of everything in a table, or in several in this order: names, values and order."""
    if more:
        return hashing.digest([content(each) for each in (rows, *more)])
    values = pa.Table.from_pandas(rows, preserve_index=False).to_pylist()
    return hashlib.sha256(json.dumps([rows.columns.tolist(), values], default=bytes.hex).encode()).hexdigest()


def _make(
    function: Callable[[pd.DataFrame], pd.DataFrame], out: str, schema: pa.Schema, name: str, part: pd.DataFrame
) -> None:
    """Make one shard and write it."""
    fs, root = fsspec.core.url_to_fs(out)
    result = function(part.reset_index(drop=True))
    if len(result) != len(part):
        raise InputError(f"expected {len(part)} rows back for {root}/{name}, got {len(result)}")
    sink, records = pa.BufferOutputStream(), result.to_dict("records")
    packed = [path for path, type_ in _leaves(schema) if pa.types.is_binary(type_)]  # files, compressed as they are
    compression = {path: "none" if path in packed else "zstd" for path, _ in _leaves(schema)}
    with pq.ParquetWriter(sink, schema, compression=compression) as writer:
        size = _GROUP if packed else len(records)  # the table of all files would fill the memory once more
        for begin in range(0, len(records), size):
            writer.write_table(pa.Table.from_pylist(records[begin : begin + size], schema=schema))
    _write(fs, f"{root}/{name}", sink.getvalue())


def _leaves(fields: pa.Schema | pa.StructType, prefix: str = "") -> Iterator[tuple[str, pa.DataType]]:
    """Parquet's paths of all columns, with their types."""
    for field in fields:
        path, type_ = prefix + field.name, field.type
        while pa.types.is_list(type_):
            path, type_ = f"{path}.list.element", type_.value_type
        if pa.types.is_struct(type_):
            yield from _leaves(type_, f"{path}.")
        else:
            yield path, type_


def read_manifest(folder: str) -> dict[str, Any]:
    """The manifest of a finished folder of shards.

    Raises:
        InputError: If there is none: the map that makes the folder has not finished.
    """
    fs, root = fsspec.core.url_to_fs(folder)
    if not fs.exists(f"{root}/{MANIFEST}"):
        raise InputError(
            f"expected a finished folder of shards with {MANIFEST}, got {folder} without one; "
            "run the stage that writes it again with the same parameters and it will resume there"
        )
    return json.loads(fs.cat_file(f"{root}/{MANIFEST}"))


def read(folder: str, *, columns: list[str] | None = None) -> pd.DataFrame:
    """All rows of a finished folder of shards, checked against the manifest's hashes.

    Args:
        folder: Folder or fsspec URL.
        columns: Columns to read; all if None.

    Returns:
        One row per item, in order; list and struct columns as Python lists and dicts.

    Raises:
        InputError: If the folder is unfinished, or a shard is missing or differs from its hash.
    """
    found = list(batches(folder, columns=columns))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)


def schema(folder: str) -> pa.Schema:
    """Arrow schema of a finished folder of shards."""
    fs, root = fsspec.core.url_to_fs(folder)
    with fs.open(f"{root}/{read_manifest(folder)['shards'][0]['file']}", "rb") as file:
        return pq.read_schema(file)


def batches(folder: str, *, columns: list[str] | None = None, size: int = 256) -> Iterator[pd.DataFrame]:
    """The rows of ``read``, some at a time, so that a folder of any length needs the memory of one batch.

    Args:
        folder: Folder or fsspec URL.
        columns: Columns to read; all if None. What is not named is not read.
        size: Most rows in a batch, at least 1.

    Yields:
        Batches in order; none is empty.

    Raises:
        InputError: As ``read``.
    """
    fs, root = fsspec.core.url_to_fs(folder)
    for shard in read_manifest(folder)["shards"]:
        path = f"{root}/{shard['file']}"
        if not fs.exists(path):
            raise InputError(f"expected shard {path} named in {MANIFEST}, got no such file")
        found = _sha256(fs, path)
        if found != shard["sha256"]:
            raise InputError(
                f"expected shard {path} with sha256 {shard['sha256'][:12]}…, got {found[:12]}…; "
                "it is truncated or changed: delete it with manifest.json and run its stage again"
            )
        with fs.open(path, "rb") as file, pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=size, columns=columns):
                yield pd.DataFrame(batch.to_pydict())


def _sha256(fs: AbstractFileSystem, path: str) -> str:
    with fs.open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inner(function: Callable[..., object]) -> Callable[..., object]:
    """The function inside of ``functools.partial``."""
    return _inner(function.func) if isinstance(function, partial) else function


def _is_whole(fs: AbstractFileSystem, path: str, *, rows: int, schema: pa.Schema) -> bool:
    """Whether a readable shard with these rows and columns is there already."""
    if not fs.exists(path):
        return False
    try:
        with fs.open(path, "rb") as file:
            metadata = pq.ParquetFile(file)
            return metadata.metadata.num_rows == rows and metadata.schema_arrow.equals(schema)
    except pa.ArrowInvalid:
        return False


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def _write(fs: AbstractFileSystem, path: str, data: bytes | pa.Buffer) -> None:
    """Write under a temporary name in the same folder, then rename; nothing is left of a failed write."""
    temporary = f"{path}.tmp"
    try:
        with fs.open(temporary, "wb") as file:
            file.write(data)
        fs.mv(temporary, path)
    except FileNotFoundError:
        if not fs.exists(path):  # otherwise another run that shares the folder was first, with the same bytes
            raise
    finally:
        if fs.exists(temporary):
            fs.rm_file(temporary)
