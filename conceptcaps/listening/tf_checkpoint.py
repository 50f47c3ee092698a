"""Reads TensorFlow checkpoints (format V2) without TensorFlow.

A checkpoint is two files. ``<prefix>.index`` is a sorted string table as LevelDB writes it: blocks of entries whose
keys share prefixes, found through an index block that a footer of 48 bytes points to. Its values are protobuf records
that say where a tensor lies in ``<prefix>.data-00000-of-00001``. Only what a plain float32 checkpoint holds is read:
one data file, no compression, no partitioned variables; anything else is refused.
"""

import math
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conceptcaps.errors import InputError

_FOOTER = 48
_MAGIC = 0xDB4775248B80FB57
_FLOAT32 = 1


def read(prefix: str) -> dict[str, NDArray[np.float32]]:
    """Every tensor of a checkpoint by its variable's name.

    Args:
        prefix: What precedes ``.index`` in the file name; a folder's path with a trailing slash where the files have no
            stem, as musicnn's do.

    Returns:
        Arrays in TensorFlow's axis order: convolution kernels ``(height, width, in, out)``, dense ones ``(in, out)``.

    Raises:
        InputError: If the files are no such checkpoint, are truncated, or hold anything but float32 in one data file.
    """
    table = Path(f"{prefix}.index").read_bytes()
    data = Path(f"{prefix}.data-00000-of-00001").read_bytes()
    if len(table) < _FOOTER or struct.unpack("<Q", table[-8:])[0] != _MAGIC:
        raise InputError(f"expected a TensorFlow checkpoint index, got {prefix}.index without its magic number")
    footer = BytesIO(table[-_FOOTER:])
    _, _ = _varint(footer), _varint(footer)  # where the table's own metadata lie; checkpoints have none
    tensors = {}
    for _, handle in _entries(table, footer):
        for key, record in _entries(table, BytesIO(handle)):
            if key:  # the empty key holds the header: number of data files, byte order, version
                tensors[key.decode()] = _tensor(record, data, name=key.decode())
    return tensors


def _tensor(record: bytes, data: bytes, *, name: str) -> NDArray[np.float32]:
    """The tensor that a ``BundleEntryProto`` describes: 1 dtype, 2 shape, 3 data file, 4 offset, 5 size, 7 slices."""
    numbers, messages = _fields(record)
    if numbers.get(1) != _FLOAT32 or 3 in numbers or 7 in messages:
        raise InputError(f"expected {name} as one float32 tensor in the first data file, got fields {numbers}")
    dimensions = _fields(messages[2][0])[1].get(2, []) if 2 in messages else []
    shape = tuple(_fields(dimension)[0][1] for dimension in dimensions)
    offset, size = numbers.get(4, 0), numbers.get(5, 0)
    if size != 4 * math.prod(shape) or offset + size > len(data):
        raise InputError(f"expected {name} of shape {shape} inside {len(data)} bytes, got {size} bytes at {offset}")
    return np.frombuffer(data, dtype="<f4", count=size // 4, offset=offset).reshape(shape).copy()


def _entries(table: bytes, handle: BytesIO) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the block that a handle (offset, size) points to."""
    offset, size = _varint(handle), _varint(handle)
    if offset + size >= len(table) or table[offset + size] != 0:
        raise InputError(f"expected an uncompressed block of {size} bytes at {offset} of {len(table)}, got none")
    block = BytesIO(table[offset : offset + size])
    restarts = struct.unpack("<I", table[offset + size - 4 : offset + size])[0]
    key = b""
    while block.tell() < size - 4 * (restarts + 1):
        shared, fresh, length = _varint(block), _varint(block), _varint(block)
        key = key[:shared] + block.read(fresh)
        yield key, block.read(length)


def _fields(message: bytes) -> tuple[dict[int, int], dict[int, list[bytes]]]:
    """Integers and nested messages of a protobuf message, by field number; checksums (fixed32) are passed over."""
    numbers: dict[int, int] = {}
    messages: dict[int, list[bytes]] = {}
    stream = BytesIO(message)
    while stream.tell() < len(message):
        number, kind = divmod(_varint(stream), 8)
        if kind == 0:
            numbers[number] = _varint(stream)
        elif kind == 2:
            messages.setdefault(number, []).append(stream.read(_varint(stream)))
        elif kind == 5:
            stream.read(4)
        else:
            raise InputError(f"expected protobuf wire types 0, 2 and 5 in a checkpoint index, got {kind}")
    return numbers, messages


def _varint(stream: BytesIO) -> int:
    """An integer in groups of seven bits, lowest first."""
    value = shift = 0
    while True:
        byte = stream.read(1)
        if not byte:
            raise InputError("expected more bytes in a checkpoint index, got its end")
        value |= (byte[0] & 0x7F) << shift
        shift += 7
        if byte[0] < 0x80:
            return value
