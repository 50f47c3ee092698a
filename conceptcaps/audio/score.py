"""Music on paper: notes in beats, parts with a program, tempi and meter; where a beat falls in seconds."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Note(NamedTuple):
    """``start`` and ``length`` in beats, ``pitch`` in MIDI numbers, ``velocity`` 1 to 127.

    ``glide`` is how many semitones away from its pitch the note begins (a slide or bend); 0 for a plain note.
    """

    start: float
    length: float
    pitch: int
    velocity: int
    glide: float = 0.0


class Chord(NamedTuple):
    """A chord symbol over the staves: from ``beat`` on, ``root`` as a pitch class (0 is C), and its quality."""

    beat: float
    root: int
    quality: str


@dataclass
class Part:
    """One instrument's notes.

    Attributes:
        tag: The tag that it was written for. What sounds is told from ``program`` and ``notes``, never from this.
        program: General MIDI, counted from 0: of bank 0, or of bank 128 (a kit) where ``percussion``.
        percussion: Whether pitches name the pieces of a kit.
        notes: In any order.
        level: Loudness of the part beside the others (dB); 0 for a leading part.
    """

    tag: str
    program: int
    percussion: bool
    notes: list[Note] = field(default_factory=list)
    level: float = 0.0


@dataclass
class Piece:
    """A piece of music.

    Attributes:
        parts: What sounds.
        tempi: Beat and beats per minute from there on, the first at beat 0.
        meter: Beats in a bar.
        key: Tonic as a pitch class (0 is C), or None: what the composer meant. ``truth`` reads the notes instead.
        mode: Name of the scale, or empty; as ``key``.
        chords: Chord symbols in order; as ``key``.
    """

    parts: list[Part]
    tempi: list[tuple[float, float]]
    meter: int
    key: int | None = None
    mode: str = ""
    chords: list[Chord] = field(default_factory=list)

    def seconds(self, beats: ArrayLike) -> NDArray[np.float64]:
        """When beats fall (s from the start), the shape of ``beats``.

        >>> Piece([], [(0.0, 60.0), (2.0, 120.0)], meter=4).seconds([0, 1, 2, 3]).tolist()
        [0.0, 1.0, 2.0, 2.5]
        """
        starts, tempi, times = self._tempi()
        asked = np.asarray(beats, dtype=np.float64)
        place = np.maximum(np.searchsorted(starts, asked, side="right") - 1, 0)
        return np.asarray(times[place] + (asked - starts[place]) * 60 / tempi[place])

    def beats(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Which beats fall at times (s): the inverse of ``seconds``.

        >>> Piece([], [(0.0, 60.0), (2.0, 120.0)], meter=4).beats([0.5, 2.5]).tolist()
        [0.5, 3.0]
        """
        starts, tempi, times = self._tempi()
        asked = np.asarray(seconds, dtype=np.float64)
        place = np.maximum(np.searchsorted(times, asked, side="right") - 1, 0)
        return np.asarray(starts[place] + (asked - times[place]) * tempi[place] / 60)

    def _tempi(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Beats at which tempi begin, the tempi, and when those beats fall (s)."""
        starts, tempi = (np.array(column, dtype=np.float64) for column in zip(*self.tempi, strict=True))
        return starts, tempi, np.concatenate([[0.0], np.cumsum(np.diff(starts) * 60 / tempi[:-1])])
