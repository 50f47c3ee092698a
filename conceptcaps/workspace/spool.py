"""Arrays of many rows that are needed again, in a file in place of memory."""

import math
import os
import tempfile
from threading import Lock

import torch
from torch import Tensor


class Spool:
    """Tensors that are written one after another to a temporary file, and read back by number.

    The file has no name and is gone with its last holder. Several threads may write and read at once.
    """

    def __init__(self) -> None:
        """Open an empty file."""
        self._file = tempfile.TemporaryFile()
        self._lock = Lock()
        self._entries: list[tuple[int, torch.dtype, torch.Size]] = []
        self._end = 0

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self._entries)

    def append(self, values: Tensor) -> int:
        """Write a tensor of any type, and give its number."""
        data = values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        with self._lock:
            start, self._end = self._end, self._end + len(data)
            self._file.seek(start)
            self._file.write(data)
            self._file.flush()
            self._entries.append((start, values.dtype, values.shape))
            return len(self._entries) - 1

    def __getitem__(self, number: int) -> Tensor:
        """A tensor as it was written, on the CPU, the reader's own."""
        start, dtype, shape = self._entries[number]
        data = bytearray(dtype.itemsize * math.prod(shape))
        if not data:
            return torch.empty(shape, dtype=dtype)
        if (got := os.preadv(self._file.fileno(), [data], start)) != len(data):
            raise OSError(f"expected {len(data)} bytes of a temporary file, got {got}")
        return torch.frombuffer(data, dtype=dtype).view(shape)
