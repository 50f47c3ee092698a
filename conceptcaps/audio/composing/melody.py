"""Tunes: a motif of one bar, repeated, moved and answered over the chords, in phrases that come to rest."""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from conceptcaps.audio.composing import harmony, rhythm, tables
from conceptcaps.audio.composing.harmony import OCTAVE
from conceptcaps.audio.composing.plan import Plan

_PLAIN = ("----", "x---", "x-x-")  # cells that every family may use, so that any density can be had
_FASTEST = 8.5  # notes a second
_ORDERS = ("abac", "aabc", "abab", "aaba")
_SPAN = 5  # steps that a phrase strays from its centre


class Tone(NamedTuple):
    """One tone of a tune: start and length in beats, step of the scale (0 the tonic), semitones that it is altered."""

    start: float
    length: float
    step: int
    altered: int = 0


class _Bar(NamedTuple):
    events: Sequence[rhythm.Event]
    moves: Sequence[int]


def tune(plan: Plan, name: str, *, density: float | None = None, cells: Sequence[str] | None = None) -> list[Tone]:
    """The tune of a stream: parts that name the same stream play the same tune.

    Args:
        plan: The piece.
        name: Stream of every draw.
        density: 0 to 1; None takes the character's.
        cells: Families of rhythmic cells; None takes the character's.
    """
    cue = plan.character
    density = cue.density if density is None else density
    kinds = list(cue.cells if cells is None else cells)
    if plan.swing == 8:
        kinds = ["swung", *kinds]
    if "syncopated" in plan.asked:
        kinds = ["syncopated"]
    if "fanfare" in cue.gestures:
        kinds = ["dotted"]
    motifs = {
        letter: _motif(plan, plan.streams.of(name, "motif", letter), kinds, density, rests=letter == "c")
        for letter in "abc"
    }
    order = "aaaa" if plan.loops else plan.streams.pick(_ORDERS, name, "order")
    tones: list[Tone] = []
    firsts = [2, 0, 2] if plan.character.moods else [0, 2, 4]  # the third tells the mode
    previous = plan.streams.pick(firsts, name, "first")
    for bar in range(plan.bars):
        place = bar % plan.form.phrase
        letter = order[place * (4 // plan.form.phrase) % 4] if plan.form.phrase < 4 else order[place]
        motif = motifs[letter]
        resting = place == plan.form.phrase - 1 and not plan.loops
        made = _over_chords(plan, motif, bar, previous, plan.streams.of(name, "bar", 0 if plan.loops else bar), name)
        if resting and made:
            made = _cadence(plan, made, bar)
        tones += made
        previous = made[-1].step if made else previous
        if plan.loops:
            previous = plan.streams.pick(firsts, name, "first")
    return tones


def chant(plan: Plan, name: str) -> list[Tone]:
    """Recitation: most tones on one step, the neighbours at the ends of lines."""
    line = plan.streams.pick(["x-x-x-x-x---x---", "x---x-x-x-x-x---", "x-x-x---x-x-x---"], name, "line")
    tones = []
    for bar in range(plan.bars):
        for beat, length, _ in rhythm.events(rhythm.fit(line, plan.meter * rhythm.STEPS)):
            last = beat + length >= plan.meter
            step = plan.streams.pick([4, 4, 3], name, "end", bar % 2) if last else 4 if beat else 3 + bar % 2
            tones.append(Tone(plan.at(bar, beat), length * 0.95, step))
    return tones


def pitches(plan: Plan, tones: Sequence[Tone], *, centre: float, low: int, high: int) -> list[int]:
    """Pitches of a tune around a centre, moved by octaves as a whole, single tones only where the compass ends."""
    raw = []
    for tone in tones:
        chord = plan.chord(tone.start)
        offsets = [(pitch_class - plan.key) % OCTAVE for pitch_class in chord.scale]
        raw.append(plan.key + harmony.degree(offsets, tone.step) + tone.altered)
    if not raw:
        return []
    wanted = min(max(centre, low + 6), high - 6)
    shift = OCTAVE * round((wanted - sum(raw) / len(raw)) / OCTAVE)
    return [harmony.inside(pitch + shift, low, high) for pitch in raw]


def below(plan: Plan, tones: Sequence[Tone]) -> list[Tone]:
    """A second voice: a third below the tune, a fourth where the third is no tone of the chord on a strong beat."""
    found = []
    for tone in tones:
        strong = abs(tone.start - round(tone.start)) < 1e-6
        third = tone.step - 2
        step = third if not strong or _fits(plan, tone.start, third) else tone.step - 3
        found.append(tone._replace(step=step))
    return found


def neighbour(plan: Plan, beat: float, pitch: int, *, up: bool) -> int:
    """The next pitch of the scale over a beat's chord, above or below."""
    scale, step = plan.chord(beat).scale, 1 if up else -1
    return next(pitch + step * far for far in range(1, OCTAVE + 1) if (pitch + step * far) % OCTAVE in scale)


def _motif(plan: Plan, generator: random.Random, kinds: Sequence[str], density: float, *, rests: bool) -> _Bar:
    family = generator.choice(list(kinds))
    cells = [*tables.rhythms("cells")[family], *_PLAIN]
    most = _FASTEST * 60 / plan.bpm
    cells = [cell for cell in cells if _onsets(cell) <= most] or list(_PLAIN)
    target = 0.25 + 2.4 * density
    weights = [math.exp(-((_onsets(cell) - target) ** 2) / 0.8) for cell in cells]
    line = "".join(generator.choices(cells, weights, k=plan.meter))
    if line[0] != "x":
        line = "x" + line[1:]
    if rests and plan.meter > 2:
        line = line[:-4] + "...."
    events = rhythm.events(line)
    leap = plan.character.leap
    moves = [
        generator.choice((1, 1, 2) if generator.random() > leap else (2, 3, 4, 5 if leap > 0.7 else 3))
        * (1 if generator.random() < 0.5 + 0.38 * plan.character.contour else -1)
        for _ in events
    ]
    if "fanfare" in plan.character.gestures:
        moves = [2 * (1 if move > 0 else -1) for move in moves]
    return _Bar(events, moves)


def _onsets(cell: str) -> int:
    return cell.count("x")


def _over_chords(plan: Plan, motif: _Bar, bar: int, previous: int, generator: random.Random, name: str) -> list[Tone]:
    """A motif laid over the chords of a bar: strong tones on chord tones, the line pulled towards the phrase's path."""
    tones, step = [], previous
    whole = plan.meter * (1 if plan.loops else plan.form.phrase)
    for place, (event, move) in enumerate(zip(motif.events, motif.moves, strict=True)):
        start = plan.at(bar, event.beat)
        path = plan.character.contour * _SPAN * ((start % whole) / whole - 0.35) + 2
        wanted = step + move
        if abs(wanted - path) > _SPAN:
            wanted = step + (abs(move) if path > step else -abs(move))
        strong = float(event.beat).is_integer() and (event.length >= 0.5 or event.beat == 0)
        if strong or "fanfare" in plan.character.gestures:
            snapped = _snapped(plan, start, wanted)
            step = snapped if snapped != step or not place else _snapped(plan, start, wanted + (2 if move > 0 else -2))
        else:
            step = wanted
        altered = 0
        if "wander" in plan.character.gestures and plan.streams.share(name, "alter", bar, place) < 0.35:
            altered = generator.choice([-1, 1])
        tones.append(Tone(start, event.length, step, altered))
    return tones


def _snapped(plan: Plan, beat: float, step: int) -> int:
    """The step of a chord tone at or nearest to a step."""
    return next((step + move for move in (0, -1, 1, -2, 2) if _fits(plan, beat, step + move)), step)


def _fits(plan: Plan, beat: float, step: int) -> bool:
    chord = plan.chord(beat)
    return chord.scale[step % len(chord.scale)] in chord.pitch_classes


def _cadence(plan: Plan, tones: list[Tone], bar: int) -> list[Tone]:
    """The bar brought to rest: its last tones give way to one long tone: of the chord, or home where the mode tells."""
    middle = plan.at(bar, plan.meter // 2)
    kept = [tone for tone in tones if tone.start < middle]
    later = [tone for tone in tones if tone.start >= middle]
    if not kept:
        return tones
    anchor = later[0] if later else kept[-1]
    start = plan.at(bar, plan.meter // 2)
    kept[-1] = kept[-1]._replace(length=min(kept[-1].length, start - kept[-1].start))
    length = max((bar + 1) * plan.meter - start - 0.5, 0.5)
    steps = len(plan.chord(start).scale)
    home = steps * round(anchor.step / steps)
    final = home if plan.tells and _fits(plan, start, home) else _snapped(plan, start, anchor.step)
    return [*kept, Tone(start, length, final)]
