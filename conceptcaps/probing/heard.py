"""Clips that several networks read, decoded once."""

from collections.abc import Callable, Iterator
from threading import Lock

from torch import Tensor

from conceptcaps.errors import InputError
from conceptcaps.probing.activations import Several
from conceptcaps.workspace.spool import Spool

_ROOM = 4_000_000_000  # bytes of windows that are kept for a second network


class Heard:
    """Clips that several networks read: decoded once, up to 4 GB of their windows kept on disk.

    What does not fit is decoded anew each time; networks see the same.
    """

    def __init__(self, clips: Several[bytes], windows: Callable[[bytes], Tensor]) -> None:
        """Take clips ``(n,)`` that can be iterated again, and what makes a network's input of one."""
        self._clips, self._windows = clips, windows
        self._spool, self._room, self._lock = Spool(), _ROOM, Lock()
        self._kept: dict[int, int | str] = {}  # places in the spool, or reasons

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._clips)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Numbers and encoded files, or numbers alone where no file is needed any more."""
        if len(self._kept) == len(self._clips):
            return ((number, b"") for number in range(len(self._clips)))
        return iter(enumerate(self._clips))

    def windows(self, clip: tuple[int, bytes]) -> Tensor:
        """The network's input; ``InputError`` for a clip that gives none."""
        number, data = clip
        kept = self._kept.get(number)
        if kept is None:
            try:
                found = self._windows(data)
            except InputError as error:
                kept = self._kept[number] = str(error)
            else:
                with self._lock:
                    fits = found.nbytes <= self._room
                    self._room -= found.nbytes if fits else 0
                if fits:
                    self._kept[number] = self._spool.append(found)
                return found
        if isinstance(kept, str):
            raise InputError(kept)
        return self._spool[kept]
