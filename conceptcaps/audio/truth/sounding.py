"""Which notes of a piece sound within a clip, and which instruments can be heard among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conceptcaps.audio.score import Piece

AUDIBLE = -15.0  # least level of an instrument that counts as present (LU beside the mix)
LOST = -40.0  # least level of one of which something may still be heard
_PIECE = -25.0  # least level (LU) at which strokes of a piece count in patterns, if its kit is present
_RING = 0.5  # a stroke lasts as long as a drum rings (s)
_CYMBALS = (49, 51, 52, 53, 55, 57, 59)
_WASH = 2.0  # or a cymbal (s)
_SHARE = 0.1
NOISES = 115  # programs from here on are struck wood, drums and effects: a key changes their colour, no tone

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]


class Levels(NamedTuple):
    """Loudness of stems beside the mix (LU; 0 is as loud as the mix, -inf silent).

    Attributes:
        parts: One number for each part of the piece.
        pieces: Pieces of kits: index of the part and key (MIDI number) to a number.
    """

    parts: Sequence[float]
    pieces: Mapping[tuple[int, int], float]


@dataclass(frozen=True)
class Source:
    """One instrument or piece of a kit: the notes of one part, or of one key of a percussion part.

    Attributes:
        program: General MIDI, counted from 0.
        key: MIDI number of a kit's piece; None for a melodic instrument.
        notes: Indices into the arrays of ``Sounding``, in order of time.
        covered: Share of the clip in which it sounds.
        level: Loudness beside the mix (LU); 0 where nothing was measured.
    """

    program: int
    key: int | None
    notes: Indices
    covered: float
    level: float

    @property
    def pitched(self) -> bool:
        """Whether its keys are tones."""
        return self.key is None and self.program < NOISES

    def audible(self) -> int:
        """1 if it can be heard (two notes or a tenth of the clip, within 15 LU of the mix), -1 if not, else 0."""
        if self.level < LOST:
            return -1
        return 1 if self.level >= AUDIBLE and (len(self.notes) >= 2 or self.covered >= _SHARE) else 0


@dataclass(frozen=True)
class Sounding:
    """The notes that begin within a clip, as arrays of one length in order of time.

    Attributes:
        duration: Length of the clip (s).
        meter: Beats in a bar.
        beats: Number of beats in the clip.
        tempi: Beats per minute that occur within the clip.
        part: Index of the part.
        program: General MIDI, counted from 0.
        percussion: Whether ``pitch`` names a piece of a kit.
        pitch: MIDI number.
        velocity: 1 to 127.
        glide: Semitones by which the note begins off its pitch.
        start: Seconds.
        end: Seconds, cut at the end of the clip.
        beat: Start in beats.
        heard: Whether its instrument can be heard; strokes of a kit that is present also where their piece is softer.
        sources: Instruments and pieces of kits, those that cannot be heard included.
    """

    duration: float
    meter: int
    beats: float
    tempi: Numbers
    part: Indices
    program: Indices
    percussion: Flags
    pitch: Indices
    velocity: Numbers
    glide: Numbers
    start: Numbers
    end: Numbers
    beat: Numbers
    heard: Flags
    sources: tuple[Source, ...]

    @property
    def tones(self) -> Flags:
        """Notes that are heard and have a pitch: neither of a kit nor of a noise, such as surf or a helicopter."""
        return np.asarray(self.heard & ~self.percussion & (self.program < NOISES))

    @property
    def counted(self) -> bool:
        """Whether a tone or a drum is heard, by which a bar could be counted."""
        return bool((self.tones | (self.heard & self.percussion)).any())


def sounding_notes(piece: Piece, *, duration: float, levels: Levels | None) -> Sounding:
    """Read the notes of a piece that begin within ``duration`` seconds.

    Args:
        piece: The finished piece.
        duration: Length of the clip (s).
        levels: Loudness of the stems as they were mixed; None takes every part for as loud as the mix.
    """
    rows = [
        (number, part.program, part.percussion, *note)
        for number, part in enumerate(piece.parts)
        for note in part.notes
        if note.velocity > 0
    ]
    table = np.array(rows, dtype=np.float64).reshape(-1, 8)
    start = piece.seconds(table[:, 3])
    order = np.argsort(start, kind="stable")
    table, start = table[order], start[order]
    end = piece.seconds(table[:, 3] + table[:, 4])
    inside = start < duration
    table, start, end = table[inside], start[inside], np.minimum(end[inside], duration)
    part, program, pitch = (table[:, column].astype(np.int64) for column in (0, 1, 5))
    percussion = table[:, 2] > 0
    sources = _sources(part, program, percussion, pitch, start, end, duration=duration, levels=levels)
    heard = np.zeros(len(table), dtype=np.bool_)
    for source in sources:
        of_kit = source.key is not None and levels is not None and levels.parts[part[source.notes[0]]] >= AUDIBLE
        heard[source.notes] = source.audible() > 0 or (of_kit and len(source.notes) >= 2 and source.level >= _PIECE)
    last = float(piece.beats(duration))
    changes = [bpm for beat, bpm in piece.tempi[1:] if beat < last]
    return Sounding(
        duration=duration,
        meter=piece.meter,
        beats=last,
        tempi=np.array([piece.tempi[0][1], *changes]),
        part=part,
        program=program,
        percussion=percussion,
        pitch=pitch,
        velocity=table[:, 6],
        glide=table[:, 7],
        start=start,
        end=end,
        beat=table[:, 3],
        heard=heard,
        sources=sources,
    )


def _sources(
    part: Indices,
    program: Indices,
    percussion: Flags,
    pitch: Indices,
    start: Numbers,
    end: Numbers,
    *,
    duration: float,
    levels: Levels | None,
) -> tuple[Source, ...]:
    found = []
    keys = np.where(percussion, pitch, -1)
    for one, key in np.unique(np.stack([part, keys], axis=1), axis=0).tolist():
        notes = np.flatnonzero((part == one) & (keys == key))
        struck = key >= 0
        rings = _WASH if key in _CYMBALS else _RING
        ends = np.minimum(start[notes] + rings, duration) if struck else end[notes]
        level = 0.0 if levels is None else levels.pieces[one, key] if struck else levels.parts[one]
        covered = _covered(start[notes], ends) / duration
        found.append(Source(int(program[notes[0]]), key if struck else None, notes, covered, level))
    return tuple(found)


def _covered(start: Numbers, end: Numbers) -> float:
    """Length of the union of stretches of time, given in order of their starts (s)."""
    reach = np.maximum.accumulate(end)
    begins = np.maximum(start, np.concatenate([[0.0], reach[:-1]]))
    return float(np.clip(end - begins, 0, None).sum())
