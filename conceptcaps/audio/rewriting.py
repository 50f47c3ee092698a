"""The same notes in another rhythm: what makes one rhythm true is moved or left out, all else stays."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise

from conceptcaps.audio.score import Note, Part, Piece

_OFF = (0.15, 0.9)  # places within a beat that are off it
_BETWEEN = (0.43, 0.72)  # and halfway through it
_PULSE = frozenset({35, 36, 41, 43, 45, 47, 48, 50, 60, 61, 62, 63, 64})  # kicks, toms, hand drums
_KICKS = frozenset({35, 36})
_LATE = 2 / 3  # where the second of two swung eighths falls


def without(tag: str, piece: Piece) -> Piece | None:
    """The piece with a rhythm taken out, or None where no rule of this file does that.

    ``syncopated`` and ``groovy`` lose their anticipations and off-beat chords, ``swing rhythm`` its long and short
    eighths, ``danceable`` all but the first low stroke of each bar, ``four-on-the-floor`` every second kick.
    """
    return _RULES[tag](piece) if tag in _RULES else None


def _straightened(piece: Piece) -> Piece:
    """Strokes that come before a beat and sound over it begin on that beat, chords between beats on the one before."""
    return replace(piece, parts=[part if part.percussion else _on_the_beat(part) for part in piece.parts])


def _on_the_beat(part: Part) -> Part:
    starts = sorted({note.start for note in part.notes})
    moved: dict[float, float] = {}
    for start, following in pairwise([*starts, float("inf")]):
        off = start % 1
        together = sum(note.start == start for note in part.notes)
        if _OFF[0] < off < _OFF[1] and following > start - off + 1:
            moved[start] = start - off + 1
        elif together > 1 and _BETWEEN[0] < off < _BETWEEN[1]:
            moved[start] = start - off
    notes = {_placed(note, moved.get(note.start, note.start)) for note in part.notes}
    return replace(part, notes=sorted(notes))


def _placed(note: Note, start: float) -> Note:
    return note._replace(start=start, length=max(note.length - max(start - note.start, 0.0), 0.1))


def _unswung(piece: Piece) -> Piece:
    def even(beat: float) -> float:
        whole, part = divmod(beat, 1)
        return whole + (part * 0.5 / _LATE if part < _LATE else 0.5 + (part - _LATE) * 0.5 / (1 - _LATE))

    def played(note: Note) -> Note:
        start = even(note.start)
        return note._replace(start=start, length=even(note.start + note.length) - start)

    return replace(piece, parts=[replace(part, notes=[played(note) for note in part.notes]) for part in piece.parts])


def _once_a_bar(piece: Piece) -> Piece:
    firsts: dict[int, float] = {}
    for start in sorted(note.start for note in _struck(piece, _PULSE)):
        firsts.setdefault(int(start // piece.meter), start)
    kept = set(firsts.values())
    return _keeping(piece, lambda note: note.pitch not in _PULSE or note.start in kept)


def _every_second(piece: Piece) -> Piece:
    return _keeping(piece, lambda note: note.pitch not in _KICKS or round(note.start) % 2 == 0)


def _struck(piece: Piece, keys: frozenset[int]) -> list[Note]:
    return [note for part in piece.parts if part.percussion for note in part.notes if note.pitch in keys]


def _keeping(piece: Piece, stays: Callable[[Note], bool]) -> Piece:
    """The piece with the strokes that stay."""
    parts = [
        replace(part, notes=[note for note in part.notes if stays(note)]) if part.percussion else part
        for part in piece.parts
    ]
    return replace(piece, parts=[part for part in parts if part.notes])


_RULES: Mapping[str, Callable[[Piece], Piece]] = {
    "syncopated": _straightened,
    "groovy": _straightened,
    "swing rhythm": _unswung,
    "danceable": _once_a_bar,
    "four-on-the-floor": _every_second,
}
