"""Scales, chords and how chords are laid out."""

from collections.abc import Sequence
from typing import NamedTuple

from conceptcaps.audio import scales

OCTAVE = 12
MODES = scales.HEPTATONIC | {
    "pentatonic": (0, 2, 4, 7, 9),
    "minorpentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "wholetone": tuple(range(0, OCTAVE, 2)),
    "chromatic": tuple(range(OCTAVE)),
}
CHORD_SCALE = {"pentatonic": "major", "minorpentatonic": "minor", "blues": "mixolydian"}
BRIGHT = frozenset({"major", "lydian", "mixolydian", "pentatonic"})
DARK = frozenset({"minor", "phrygian", "dorian", "minorpentatonic"})
_IN_SCALE = {  # steps of the scale above the root
    "triad": (0, 2, 4),
    "sixth": (0, 2, 4, 5),
    "seventh": (0, 2, 4, 6),
    "ninth": (0, 2, 4, 6, 8),
    "add9": (0, 2, 4, 8),
    "sus": (0, 3, 4),
    "open": (0, 4, 9),
    "quartal": (0, 3, 6),
}
_FIXED = {  # semitones above the root
    "power": (0, 7, 12),
    "dominant": (0, 4, 7, 10),
    "diminished": (0, 3, 6, 9),
    "augmented": (0, 4, 8),
    "cluster": (0, 1, 6, 11),
}
KINDS = frozenset({*_IN_SCALE, *_FIXED})


class Sonority(NamedTuple):
    """One chord: when (beats), root (pitch class), tones (semitones above it), the scale over it (pitch classes)."""

    start: float
    length: float
    root: int
    tones: tuple[int, ...]
    scale: tuple[int, ...]

    @property
    def pitch_classes(self) -> frozenset[int]:
        """Pitch classes of the chord."""
        return frozenset((self.root + tone) % OCTAVE for tone in self.tones)

    @property
    def quality(self) -> str:
        """Name of the chord's kind, as in chord symbols: maj, min, dim, aug, sus2, sus4, 5, with 6, 7 or maj7."""
        inside = {tone % OCTAVE for tone in self.tones}
        if 4 in inside:
            name = "aug" if 8 in inside and 7 not in inside else "maj"
        elif 3 in inside:
            name = "dim" if 6 in inside and 7 not in inside else "min"
        else:
            name = "sus4" if 5 in inside else "sus2" if 2 in inside else "5"
        sixth = "6" if 9 in inside and name != "dim" else ""
        return name + ("maj7" if 11 in inside else "7" if 10 in inside else sixth)


def degree(scale: Sequence[int], step: int) -> int:
    """Semitones of a step of a scale, 0 the first note, below and above the octave too.

    >>> degree(MODES["major"], 9), degree(MODES["major"], -1)
    (16, -1)
    """
    octave, place = divmod(step, len(scale))
    return scale[place] + OCTAVE * octave


def chord(mode: str, step: int, kind: str, *, leading: bool) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Root (semitones above the tonic), tones above it, and the scale over it, of the chord on a step of a mode.

    Args:
        mode: One of ``MODES``.
        step: 0 for the tonic's chord.
        kind: One of ``KINDS``.
        leading: Whether a minor dominant has its third raised to the leading note.
    """
    harmonic = MODES[CHORD_SCALE.get(mode, mode)]
    melodic = MODES[mode]
    if leading and step % len(harmonic) == 4 and mode in ("minor", "dorian"):
        harmonic = melodic = (*harmonic[:-1], 11)
    root = degree(harmonic, step)
    tones = _FIXED[kind] if kind in _FIXED else tuple(degree(harmonic, step + up) - root for up in _IN_SCALE[kind])
    if len(harmonic) == OCTAVE and kind in _IN_SCALE:
        tones = _FIXED["cluster"]
    return root % OCTAVE, tones, melodic


def lay_out(sonority: Sonority, centre: float, before: Sequence[int] = ()) -> list[int]:
    """Pitches of a chord around a centre, the inversion that moves least from the chord before.

    Of chords with more than four tones the fifth is left out: it tells least.
    """
    tones = [tone for place, tone in enumerate(sonority.tones) if place != 2 or len(sonority.tones) < 5]
    classes = [(sonority.root + tone) % OCTAVE for tone in tones]
    candidates = []
    for first in range(len(classes)):
        stack = [classes[first]]
        for place in range(1, len(classes)):
            above = classes[(first + place) % len(classes)]
            stack.append(above + OCTAVE * -(-(stack[-1] + 1 - above) // OCTAVE))
        shift = OCTAVE * round((centre - sum(stack) / len(stack)) / OCTAVE)
        candidates.append([pitch + shift for pitch in stack])
    if len(before) == len(classes):
        return min(candidates, key=lambda stack: _moved(stack, before) + abs(sum(stack) / len(stack) - centre))
    return min(candidates, key=lambda stack: abs(sum(stack) / len(stack) - centre))


def _moved(stack: Sequence[int], before: Sequence[int]) -> float:
    return sum(abs(one - other) for one, other in zip(stack, before, strict=True))


def near(pitch_class: int, pitch: float) -> int:
    """The pitch of a class that is nearest to a pitch.

    >>> near(0, 59), near(7, 60)
    (60, 55)
    """
    return pitch_class + OCTAVE * round((pitch - pitch_class) / OCTAVE)


def inside(pitch: int, low: int, high: int) -> int:
    """The pitch moved by octaves into a compass of an octave or more."""
    while pitch < low:
        pitch += OCTAVE
    while pitch > high:
        pitch -= OCTAVE
    return pitch
