"""A piece in another rhythm: the strokes that make one rhythm true are moved or left out, the others stay."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import pairwise
from math import inf

from conceptcaps.audio.score import Note, Part, Piece
from conceptcaps.audio.truth.features import PULSE
from conceptcaps.audio.truth.rhythm import KICK
from conceptcaps.audio.truth.sounding import NOISES

_OFF = (0.15, 0.9)  # places within a beat that are off it
_BETWEEN = (0.43, 0.72)  # and halfway through it
_SPREAD = 0.08  # beats over which the strings of one stroke begin
_SWUNG = {1 / 3: 0.25, 2 / 3: 0.5, 5 / 6: 0.75}  # where eighths and sixteenths fall in a swung beat and in an even one
_NEAR = 0.02
_SHORTEST = 0.1  # beats that a stroke that comes later still sounds


def without(tag: str, piece: Piece) -> Piece | None:
    """The piece with a rhythm taken out, or None where no rule of this file does that.

    ``syncopated`` and ``groovy`` lose their anticipations and off-beat chords, ``swing rhythm`` its long and short
    eighths, ``danceable`` all but the first low stroke of each bar, ``four-on-the-floor`` every second kick.
    """
    return _RULES[tag](piece) if tag in _RULES else None


def _straightened(piece: Piece) -> Piece:
    """Strokes that come before a beat and sound over it begin on that beat, chords between beats on the one before.

    A kit and noises, such as surf, keep their strokes. Where two would begin at once the first one stays.
    """
    kept = [part if part.percussion or part.program >= NOISES else _on_the_beat(part) for part in piece.parts]
    return replace(piece, parts=kept)


def _on_the_beat(part: Part) -> Part:
    strokes = _strokes(part.notes)
    starts = [stroke[0].start for stroke in strokes]
    moves = [_move(*both, together=len(stroke)) for both, stroke in zip(pairwise([*starts, inf]), strokes, strict=True)]
    taken = {round(start) for start, move in zip(starts, moves, strict=True) if not move and start % 1 < _SPREAD}
    notes: list[Note] = []
    for stroke, start, move in zip(strokes, starts, moves, strict=True):
        if move and (beat := round(start + move)) in taken:
            continue
        if move:
            taken.add(beat)
        notes += [_later(note, move) if move > 0 else note._replace(start=note.start + move) for note in stroke]
    return replace(part, notes=notes)


def _strokes(notes: list[Note]) -> list[list[Note]]:
    """Notes that begin together, strings of a chord that is strummed included, in order of time."""
    found: list[list[Note]] = []
    for note in sorted(notes):
        if found and note.start - found[-1][0].start <= _SPREAD:
            found[-1].append(note)
        else:
            found.append([note])
    return found


def _move(start: float, following: float, *, together: int) -> float:
    """Beats by which a stroke has to move."""
    off = start % 1
    if together > 1 and _BETWEEN[0] < off < _BETWEEN[1]:
        return -off
    return 1 - off if _OFF[0] < off < _OFF[1] and following > start - off + 1 + _NEAR else 0.0


def _later(note: Note, move: float) -> Note:
    """A note that begins later and ends where it did."""
    return note._replace(start=note.start + move, length=max(note.length - move, _SHORTEST))


def _unswung(piece: Piece) -> Piece:
    """Eighths and sixteenths of parts that swing fall evenly."""

    def even(beat: float) -> float:
        whole, part = divmod(beat, 1)
        return whole + next((place for swung, place in _SWUNG.items() if abs(part - swung) < _NEAR), part)

    def played(part: Part) -> Part:
        if not any(abs(note.start % 1 - 2 / 3) < _NEAR for note in part.notes):
            return part
        spans = [(even(note.start), even(note.start + note.length), note) for note in part.notes]
        return replace(part, notes=[note._replace(start=start, length=end - start) for start, end, note in spans])

    return replace(piece, parts=[played(part) for part in piece.parts])


def _once_a_bar(piece: Piece) -> Piece:
    firsts: dict[int, float] = {}
    for start in sorted(note.start for note in _struck(piece, PULSE)):
        firsts.setdefault(int(start // piece.meter), start)
    kept = set(firsts.values())
    return _keeping(piece, lambda note: note.pitch not in PULSE or note.start in kept)


def _every_second(piece: Piece) -> Piece:
    return _keeping(piece, lambda note: note.pitch not in KICK or int(note.start) % 2 == 0)


def _struck(piece: Piece, keys: Collection[int]) -> list[Note]:
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
