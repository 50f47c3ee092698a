"""Tags to music on paper: who plays what, when and how loudly."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from conceptcaps.audio.composing import bass, comping, effects, lead, percussion
from conceptcaps.audio.composing.casting import Seat, cast
from conceptcaps.audio.composing.plan import Plan, draw_plan
from conceptcaps.audio.composing.streams import Streams
from conceptcaps.audio.score import Chord, Note, Part, Piece
from conceptcaps.errors import InputError
from conceptcaps.tags import dialect
from conceptcaps.tags.taxonomy import Taxonomy

_LEVELS = {  # decibels beside a leading part
    "lead": 0.0,
    "harmony": -3.0,
    "extra": -6.0,
    "pad": -6.0,
    "bass": -5.0,
    "drone": -8.0,
    "effect": -5.0,
    "kit": 1.0,
}
_PIECE = -4.0  # a single piece of the kit
_TUNE = 3.0  # more, for a chord instrument that carries the tune
_BITING = frozenset({29, 30, 62, 81, 84, 87})  # overdriven guitars, synthesized brass, saw waves
_SOFT = 0.35  # accent of a piece that is played softly
_UNASKED = -2.0  # more, for a part that nobody asked for; a kit keeps its place, so that hats and cymbals are heard
_WRITERS: Mapping[str, Callable[[Plan, Seat, str], list[Note]]] = {
    "harmony": comping.write,
    "extra": comping.write,
    "pad": comping.pad,
    "bass": bass.write,
    "lead": lead.write,
    "drone": comping.drone,
}


def compose(tags: Iterable[str], *, duration: float, seed: int, taxonomy: Taxonomy) -> Piece:
    """Write a piece in which the tags hold as far as a score can make them hold.

    Genre gives beat, bass, comping, chords and who cannot be missing; moods give mode, register, density, articulation,
    rhythm, harmony, contour and gestures; tempo tags the beats per minute; instruments the parts. Where a mood's mode
    and a genre's fight, the mode is one that the genre knows and the mood can live in. What the piece holds in the end
    is read from its notes by ``truth``, not claimed here.

    Every decision draws from a stream of its own, named by the decision and the part (``composing.streams``), so that
    with the same seed a tag changes what it governs and nothing else: an instrument its own part (and the genre's part
    that it replaces), a tempo tag the beats per minute, a mood its cues. A part is written from the plan and its own
    streams, without a look at other parts; five things depend on who else plays: the genre's own parts join where no
    asked part fills their role, a chord instrument carries the tune where no part leads, it plays roots where there is
    no bass, it joins a lone tune whose mood lives by its mode, and a piece of the kit that would be struck once is left
    out. To remove an instrument with all else equal note for note, drop its parts from the piece.

    Args:
        tags: Canonical tags; those of another taxonomy in its own words, see ``tags.dialect``.
        duration: Length to fill (s).
        seed: Seed of every draw.
        taxonomy: Gives categories and ancestors.

    Raises:
        InputError: If there are no tags or none that means anything here, the duration is not above 0, or the tags
            contradict each other.
    """
    asked = sorted(set(tags))
    if not asked or duration <= 0:
        raise InputError(f"expected tags and a duration above 0 s, got {asked} and {duration}")
    clashes = taxonomy.contradictions(asked)
    if clashes:
        raise InputError(f"expected tags without contradictions, got {' with '.join(clashes[0])}")
    meant, taxonomy = dialect.translated(asked, taxonomy)
    if not meant:
        raise InputError(f"expected tags that mean something to the composer, got {asked}")
    plan = draw_plan(meant, duration=duration, streams=Streams(seed), taxonomy=taxonomy)
    seats = cast(plan, taxonomy)
    taken = frozenset().union(*(percussion.pieces_of(seat) for seat in seats))
    parts = [part for seat in seats for part in _parts(plan, seat, taken=taken) if part.notes]
    chords = [Chord(chord.start, chord.root, chord.quality) for chord in plan.chords]
    piece = Piece(parts, list(plan.tempi), plan.meter, plan.key, plan.mode, chords)
    return percussion.settled(piece, duration=duration)


def _parts(plan: Plan, seat: Seat, *, taken: frozenset[str]) -> list[Part]:
    level = _level(seat)
    if seat.role == "effect":
        return [replace(part, level=level) for part in effects.write(plan, seat, seat.tag)]
    program = _program(plan, seat.row, seat.tag)
    if seat.role == "kit":
        return [Part(seat.tag, program, True, percussion.write(plan, seat, seat.tag, taken=taken), level)]
    notes = _WRITERS[seat.role](plan, _playing(seat, program), seat.tag)
    if seat.tune:
        notes = notes + lead.carried(plan, seat, seat.tag)
    if seat.ground:
        notes = notes + comping.low_roots(plan, seat, seat.tag)
    parts = [Part(seat.tag, program, False, notes, level)]
    for place, row in enumerate(seat.row.get("also", [])):
        if row.get("struck") and "no percussion" in plan.asked:
            continue
        other = Seat(seat.tag, row["role"], row, seat.asked)
        name = f"{seat.tag}/{place}"
        own = _program(plan, row, name)
        notes = _WRITERS[row["role"]](plan, _playing(other, own), name)
        parts.append(Part(seat.tag, own, False, notes, level + row.get("level", 0.0)))
    return parts


def _program(plan: Plan, row: Mapping[str, Any], name: str) -> int:
    """The sound of an instrument: one of its programs, for soft music none that bites if there is another."""
    programs: list[int] = row["programs"]
    soft = [program for program in programs if program not in _BITING or plan.character.accent >= _SOFT]
    return int(plan.streams.pick(soft or programs, name, "program"))


def _playing(seat: Seat, program: int) -> Seat:
    """The seat with the one program that was drawn for it."""
    row: Mapping[str, Any] = {**seat.row, "programs": [program]}
    return replace(seat, row=row)


def _level(seat: Seat) -> float:
    level = _PIECE if "pieces" in seat.row else _LEVELS[seat.role]
    return level + (_TUNE if seat.tune else 0.0) + (0.0 if seat.asked or "whole" in seat.row else _UNASKED)
