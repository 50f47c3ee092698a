"""The percussion channel: grooves drawn piece by piece, thinned or thickened by the mood, with fills and crashes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from conceptcaps.audio.composing import rhythm, tables
from conceptcaps.audio.composing.casting import BEATS, Seat
from conceptcaps.audio.composing.plan import Plan
from conceptcaps.audio.score import Note, Piece

_KIT = ("kick", "snare", "rim", "clap", "hat", "pedal", "ride", "crash", "toms", "cowbell")
_SKINS = ("conga", "bongo", "mute", "taiko")
_HAND = (*_SKINS, "shaker", "guiro", "clave", "block", "timbale", "agogo", "triangle", "sleigh", "castanet", "surdo")
_PULSE = frozenset({"hat", "ride", "shaker"})  # tell the beat where a tempo is asked for
_FREE = frozenset({"hat", "conga", "bongo", "ride", "toms", "block", "shaker"})  # change from bar to bar
_FAMILIES = {"kit": _KIT, "hand": _HAND, "skins": _SKINS}
_WANTED = {"kit": ("kick", "snare", "hat"), "hand": ("conga", "shaker"), "skins": ("conga", "bongo")}
_GHOSTS = ("....x..o.o..x..o", "....x..o....x.o.")  # soft strokes around the backbeat
_FLOOR = "x...x...x...x"  # a kick on every beat
_CYMBALS = {49, 51, 53, 57}
_TOGETHER = ({35, 36}, {38, 40}, {42, 44, 46}, _CYMBALS, {41, 43, 45, 47, 48, 50})  # keys that pass as one
_RING = 2.0  # seconds that a cymbal rings
_RING, _WASH, _HEARD = 0.5, 2.0, 0.1  # seconds that a drum and a cymbal ring; share of the clip
_STROKE = 0.2  # beats that a stroke is written long; drums ring by themselves


def write(plan: Plan, seat: Seat, name: str, *, taken: frozenset[str]) -> list[Note]:
    """What one percussion tag plays; ``taken`` are the pieces that other seats play."""
    lines = _lines(plan, seat, taken)
    changed = {piece: _changed(plan, piece, line) for piece, line in lines.items()}
    whole = "whole" in seat.row
    notes: list[Note] = []
    for bar in range(plan.bars):
        turn = (bar + 1) % plan.form.phrase == 0 and not plan.loops
        bars = dict(changed if bar % 2 else lines)
        if turn and whole and plan.character.density > 0.28 and plan.streams.share("fill", bar) < 0.8:
            bars = _filled(plan, seat, bars, bar, taken)
        fresh = bar % plan.form.phrase == 0
        if fresh and whole and plan.style.get("crash", True) and plan.character.accent > 0.4 and "crash" not in taken:
            if seat.row["whole"] == "kit" and plan.streams.share("crash") < 0.7:
                bars["crash"] = "x" + "." * (plan.meter * rhythm.STEPS - 1)
        notes += _bar(plan, bars, bar, name, late=plan.form.entries.get("kit", 0) if whole else 0.0)
    return notes


def settled(piece: Piece, *, duration: float) -> Piece:
    """The piece without what would be struck once in the clip and be gone: nobody could say whether it plays.

    What rings for a tenth of the clip stays: a cymbal mostly, in short clips a drum.
    """
    drums = [part for part in piece.parts if part.percussion]
    keys = np.array([note.pitch for part in drums for note in part.notes], dtype=np.int64)
    starts = piece.seconds([note.start for part in drums for note in part.notes])
    lone: set[int] = set()
    for group in _TOGETHER:
        struck = starts[np.isin(keys, list(group)) & (starts < duration)]
        ring = _WASH if group is _CYMBALS else _RING
        if len(struck) == 1 and min(duration - struck[0], ring) < _HEARD * duration:
            lone |= group
    if not lone:
        return piece
    parts = [
        replace(part, notes=[note for note in part.notes if note.pitch not in lone]) if part.percussion else part
        for part in piece.parts
    ]
    return replace(piece, parts=[part for part in parts if part.notes])


def pieces_of(seat: Seat) -> frozenset[str]:
    """Pieces that a seat claims for itself: those of a tag that names them."""
    return frozenset(seat.row.get("pieces", ()))


def _lines(plan: Plan, seat: Seat, taken: frozenset[str]) -> dict[str, str]:
    """One bar for each piece, drawn from the genre's beat or, where it has none, from the spare ones."""
    triple = plan.meter == 3
    named = "funk" if "groovy" in plan.asked and plan.genre == "none" else plan.style["beat"]
    beat = tables.rhythms("beats")["waltz3" if triple else named]
    spare = tables.rhythms("spare3" if triple else "spare")
    steps = plan.meter * rhythm.STEPS
    whole = str(seat.row.get("whole", ""))
    names = list(seat.row.get("pieces", ()))
    names = names or [piece for piece in _FAMILIES[whole] if piece in beat and piece not in taken]
    wanted = [piece for piece in _WANTED.get(whole, ()) if piece not in taken]
    if whole and (len(names) < 2 or (whole == "kit" and plan.asked & BEATS)):
        backbeat = {"clap", "rim"} & set(names)
        names += [piece for piece in wanted if piece not in names and not (piece == "snare" and backbeat)]
    lines = {}
    for piece in names:
        options = [line for line in beat.get(piece, spare.get(piece, [])) if whole or set(line) - {"."}]
        options = options or spare[piece]
        if plan.asked & BEATS and piece in wanted:
            options = [line for line in options if set(line) - {"."}] or spare[piece]
        if plan.paced and piece in _PULSE:
            options = [line for line in options if "." not in line[::4]] or options
        lines[piece] = rhythm.fit(plan.streams.pick(options, "beat", piece), steps)
    if whole:
        lines = {piece: _dense(plan, piece, line) for piece, line in lines.items()}
        if not any(set(line) - {"."} for line in lines.values()):
            lines = {piece: rhythm.fit(spare[piece][0], steps) for piece in wanted}
    if "four-on-the-floor" in plan.asked and "kick" in lines:
        lines["kick"] = rhythm.fit("x...", steps)
    if "driving rhythm" in plan.asked and "hat" in lines:
        lines["hat"] = rhythm.fit("xoxo" if plan.bpm < 130 else "x.x.", steps)
    if "groovy" in plan.asked and "snare" in lines and plan.genre != "funk" and not triple:
        lines["snare"] = rhythm.fit(plan.streams.pick(_GHOSTS, "beat", "ghosts"), steps)
    return lines


def _dense(plan: Plan, piece: str, line: str) -> str:
    """A line as full or as sparse as the mood wants it; the genre's own lines stay where no mood is asked for."""
    if not plan.character.moods and "slow tempo" not in plan.asked:
        return line
    density = plan.character.density
    if piece in ("snare", "clap", "rim", "clave") or (piece == "kick" and line.startswith(_FLOOR)):
        return line if density >= 0.4 else line.replace("o", ".")
    thinned = rhythm.thin(line, density)
    if density > 0.88 and piece in ("hat", "shaker") and plan.bpm < 150 and set(thinned) - {"."}:
        return "".join(mark if mark != "." else "o" for mark in thinned)
    return thinned if set(thinned) - {"."} or not set(line) - {"."} else line[:4] + "." * (len(line) - 4)


def _changed(plan: Plan, piece: str, line: str) -> str:
    """The line of every second bar."""
    kick = piece == "kick" and not line.startswith(_FLOOR)
    if plan.loops or "steady beat" in plan.asked or plan.character.density < 0.3:
        return line
    if not (kick or piece in _FREE) or not set(line) - {"."}:
        return line
    generator = plan.streams.of("beat", piece, "change")
    return rhythm.vary(line, generator, changes=generator.choice([0, 0, 1] if piece == "hat" else [0, 1, 1, 2]))


def _filled(plan: Plan, seat: Seat, bars: Mapping[str, str], bar: int, taken: frozenset[str]) -> dict[str, str]:
    """The bar with a fill on its last two beats, or on the last of a long bar."""
    kit = seat.row["whole"] == "kit"
    options: list[Mapping[str, str]] = list(tables.rhythms("fills" if kit else "skin_fills"))
    if plan.style.get("crash", True) is False and kit:
        options = [fill for fill in options if "toms" not in fill]
    options = [fill for fill in options if kit or set(fill) <= set(bars)]
    if not options:
        return dict(bars)
    fill = plan.streams.pick(options, "fill", "figure", bar)
    keep = {"hat", "ride", "shaker", "pedal"}
    steady = {"kick"} if bars.get("kick", "").startswith(_FLOOR) else set()
    width = 8 if plan.meter * 60 / plan.bpm < 2.2 else 4  # of a long bar the last beat only
    cut = {piece: line if piece in keep | steady else line[:-width] + "." * width for piece, line in bars.items()}
    for piece, line in fill.items():
        if piece not in taken and piece not in steady:
            cut[piece] = cut.get(piece, "." * (plan.meter * rhythm.STEPS))[:-width] + line[-width:]
    return cut


def _bar(plan: Plan, lines: Mapping[str, str], bar: int, name: str, *, late: float) -> list[Note]:
    notes = []
    for piece, line in lines.items():
        plain, *opened = tables.pieces()[piece]
        for beat, _, mark in rhythm.events(line):
            start = plan.at(bar, beat)
            light = piece in ("hat", "ride", "shaker", "tambourine", "clap", "conga") and mark == "x"
            if (start < late and not light) or plan.silent(start):
                continue
            key = opened[0] if mark == "O" and opened else plain
            weight = 0.6 if mark == "o" else 1.0 if float(beat).is_integer() else 0.85
            notes.append(Note(start, _STROKE, key, plan.velocity(start, weight, name, piece)))
    return notes
