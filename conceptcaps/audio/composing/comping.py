"""Chords: comping in a rhythm, strumming, broken chords, and pads whose voices move."""

from collections.abc import Mapping, Sequence
from typing import Any

from conceptcaps.audio.composing import harmony, rhythm, tables
from conceptcaps.audio.composing.casting import Seat
from conceptcaps.audio.composing.harmony import OCTAVE, Sonority
from conceptcaps.audio.composing.plan import Plan
from conceptcaps.audio.score import Note

_TRIPLE = dict.fromkeys(("oompah", "strum", "beats", "stride", "skank", "stabs", "charleston"), "waltz3")
_TRIPLE |= dict.fromkeys(("held", "drift", "rolled", "halves"), "held3")
_RIGID = frozenset(
    {"power", "punches", "roll", "rolled", "island", "oompah", "alberti"}
)  # an instrument's own way, in any genre
_DEFINING = frozenset({"skank", "montuno", "funk", "gallop"})  # without which a genre is not itself, whatever the mood
_ROLL = 0.06  # beats between the tones of a rolled chord
_STRUM = 0.02
_PADS = range(88, 96)  # programs that hold a chord as long as it lasts, however short the mood is


def write(plan: Plan, seat: Seat, name: str) -> list[Note]:
    """Chords of a comping instrument; ``name`` names its streams."""
    lines, drawn = _lines(plan, seat), plan.streams
    first = drawn.pick(lines, name, "line")
    chordal = set(first) <= set("xo-.")
    changes = 0 if plan.loops or not chordal else drawn.of(name, "size").choice([0, 1, 1, 2])
    second = rhythm.vary(first, drawn.of(name, "change"), changes=changes)
    first = second if drawn.share(name, "from the start") < 0.5 else first
    turn = first if plan.loops else drawn.pick(lines, name, "turn")
    notes: list[Note] = []
    before: list[int] = []
    for bar in range(plan.bars):
        last = (bar + 1) % plan.form.phrase == 0
        line = turn if last and ("x" in turn) == ("x" in first) else second if bar % 2 else first
        line = line if any(mark not in ".-" for mark in line) else first
        for beat, length, mark in _struck(plan, bar, rhythm.fit(line, plan.meter * rhythm.STEPS)):
            start = plan.at(bar, beat)
            if start < plan.form.entries.get(seat.role, 0) or plan.silent(start):
                continue
            voiced = _voiced(plan, seat, start, before)
            before = [] if plan.loops else voiced
            notes += _play(plan, seat, name, start=start, length=length, mark=mark, voiced=voiced, beat=beat)
    return notes


def pad(plan: Plan, seat: Seat, name: str) -> list[Note]:
    """Held chords whose voices move as little as they can; the top voice leaves its tone half way, as a line would."""
    cue, notes = plan.character, []
    before: list[int] = []
    way = "tremolo" if "tremolo" in cue.gestures and seat.row["programs"][0] in range(40, 52) else "held"
    if way == "held" and cue.density > 0.62 and seat.row["programs"][0] in (*range(40, 52), 60):
        way = "pulse"
    pulses = plan.streams.pick(tables.rhythms("comps")["sync" if plan.meter == 4 else "waltz3"], name, "pulse")
    for chord in plan.chords:
        if chord.start < plan.form.entries.get("pad", 0):
            continue
        voiced = _voiced(plan, seat, chord.start, before)
        before = [] if plan.loops else voiced
        if way == "tremolo":
            grid = [(chord.start + step / 8, 0.125) for step in range(int(chord.length * 8))]
        elif way == "pulse":
            line = rhythm.fit(pulses, int(chord.length * rhythm.STEPS))
            grid = [(chord.start + event.beat, event.length) for event in rhythm.events(line)]
        else:
            grid = [(chord.start, chord.length)]
        for start, length in grid:
            least = 0.3 if way != "held" else 1.0 if seat.row["programs"][0] in _PADS else 0.5
            sounding = min(length * max(cue.length, least), length * 1.02)
            for place, pitch in enumerate(voiced):
                weight = 0.75 if start == chord.start else 0.6
                if way == "held" and place == len(voiced) - 1 and chord.length >= 2:
                    half = chord.length / 2
                    upper = _neighbour(plan, chord, pitch, name)
                    notes.append(Note(start, half, pitch, plan.velocity(start, weight, name)))
                    notes.append(Note(start + half, sounding - half, upper, plan.velocity(start + half, weight, name)))
                else:
                    notes.append(Note(start, sounding, pitch, plan.velocity(start, weight, name)))
    return [note for note in notes if note.length > 0.02]


def drone(plan: Plan, seat: Seat, name: str) -> list[Note]:
    """Tonic, and the fifth with some seeds, throughout; struck anew at each bar where the sound dies away."""
    root = harmony.inside(harmony.near(plan.key, seat.row["pitch"]), seat.row["low"], seat.row["high"])
    pitches = [root, root + 7] if plan.streams.share(name, "fifth") < 0.6 else [root]
    whole = float(plan.bars * plan.meter)
    if seat.row["programs"][0] == 104:
        return [
            Note(float(beat), plan.meter * 1.0, pitch, plan.velocity(float(beat), 0.7, name))
            for beat in range(0, plan.bars * plan.meter, plan.meter)
            for pitch in pitches
        ]
    return [Note(0.0, whole, pitch, plan.velocity(0.0, 0.7, name)) for pitch in pitches]


def low_roots(plan: Plan, seat: Seat, name: str) -> list[Note]:
    """The ground where nobody plays a bass: roots of the chords, an octave or more below."""
    notes = []
    for chord in plan.chords:
        pitch = harmony.near(chord.root, max(seat.row["pitch"] - 20, seat.row["low"] + 5))
        pitch = harmony.inside(pitch, seat.row["low"], seat.row["high"])
        length = chord.length * min(max(plan.character.length, 0.4), 0.98)
        notes.append(Note(chord.start, length, pitch, plan.velocity(chord.start, 0.8, name, "left")))
    return notes


def _lines(plan: Plan, seat: Seat) -> list[str]:
    family = _family(plan, seat)
    if plan.meter == 3:
        family = _TRIPLE.get(family, "lilt3")
    return list(tables.rhythms("comps")[family])


def _family(plan: Plan, seat: Seat) -> str:
    """Which comping: what a tag or the mood asks for, else what genre and instrument share."""
    own, genre, cue = list(seat.row.get("styles", [])), list(plan.style["comp"]), plan.character
    if "arpeggio" in plan.asked or ("arpeggio" in cue.gestures and "arpeggio" not in own):
        return "chug" if cue.density > 0.7 and plan.bpm < 140 else "picking" if "picking" in own else "arpeggio"
    if "strummed guitar" in plan.asked and seat.row.get("strum"):
        return "strum"
    if "syncopated" in plan.asked:
        return plan.streams.pick(["skank", "offbeat"], seat.tag, "family")
    if "driving rhythm" in plan.asked:
        return "power" if "power" in own else "eighths"
    if "groovy" in plan.asked and not {"funk", "skank", "montuno", "house"} & set(genre):
        return "sync" if "sync" in genre else "groove"
    if "swing rhythm" in plan.asked and not plan.style.get("swing"):
        return plan.streams.pick(["charleston", "boogie"], seat.tag, "family")
    if seat.role == "extra":
        return str(plan.style.get("extra", genre[0]))
    shared = [name for name in genre if name in own]
    if _RIGID & set(own) and "oompah" not in own:
        return str(plan.streams.pick(shared or own, seat.tag, "family"))
    if cue.moods and cue.density < 0.3 and not _DEFINING & set(genre):
        return "drift" if cue.density < 0.15 else plan.streams.pick(["held", "rolled", "picking"], seat.tag, "family")
    if cue.moods and cue.density > 0.85 and not _DEFINING & set(genre):
        return plan.streams.pick(["eighths", "gate"], seat.tag, "family")
    return str(plan.streams.pick(shared or (own if plan.genre == "none" and own else genre), seat.tag, "family"))


def _struck(plan: Plan, bar: int, line: str) -> list[rhythm.Event]:
    """Events of a bar; one that is held into another chord is struck anew there."""
    slot, found = plan.chords[0].length, []
    for event in rhythm.events(line):
        start, end = event.beat, event.beat + event.length
        while start < end - 1e-6:
            edge = (int((bar * plan.meter + start) / slot + 1e-6) + 1) * slot - bar * plan.meter
            stop = min(end, edge)
            found.append(rhythm.Event(start, stop - start, event.mark))
            start = stop
            if event.mark not in "xor":
                break
    return found


def _voiced(plan: Plan, seat: Seat, beat: float, before: Sequence[int]) -> list[int]:
    chord = plan.chord(beat)
    if seat.row.get("harmony") == "power":
        root = harmony.near(chord.root, seat.row["pitch"])
        root = harmony.inside(root, seat.row["low"], seat.row["low"] + OCTAVE)
        rough = [tone for tone in (1, 6, 11) if tone in chord.tones and plan.character.dissonance > 0.5]
        return sorted({root, root + (rough[0] if rough else 7), root + 12})
    if plan.character.harmony == "power":
        chord = chord._replace(tones=(0, 7))
    centre = seat.row["pitch"] + plan.character.register * (0.6 if seat.role != "pad" else 0.8)
    low, high = seat.row["low"], seat.row["high"]
    return sorted({harmony.inside(pitch, low, high) for pitch in harmony.lay_out(chord, centre, before)})


def _neighbour(plan: Plan, chord: Sonority, pitch: int, name: str) -> int:
    """Another tone of the chord near the top voice's, or a step of the scale, drawn by seed."""
    stepwise = chord.root != plan.key and plan.streams.share(name, "step", chord.start % (2 * plan.meter)) < 0.5
    classes = chord.scale if stepwise else chord.pitch_classes
    options = [pitch + step for step in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5) if (pitch + step) % OCTAVE in classes]
    options = [each for each in options if abs(each - pitch) < 3] or options if stepwise else options
    place = chord.start % plan.meter if plan.loops else chord.start
    rises = plan.character.contour + plan.streams.share(name, "top", place) - 0.5
    return (max if rises > 0 else min)(options, default=pitch)


def _play(
    plan: Plan, seat: Seat, name: str, *, start: float, length: float, mark: str, voiced: list[int], beat: float
) -> list[Note]:
    weight = 0.6 if mark == "o" else 0.95 if float(beat).is_integer() else 0.8
    short = plan.character.length
    sounding = length if seat.row.get("sustained") and length >= 1 else length * min(max(short, 0.3), 1.0)
    sounding = max(min(sounding, length * 1.02), 0.1)
    if mark in "xo":
        spread = _STRUM if seat.row.get("strum") and length > 0.2 else 0.0
        order = voiced if float(beat * 2).is_integer() and int(beat * 2) % 2 == 0 else voiced[::-1]
        return [
            Note(start + spread * place, sounding, pitch, plan.velocity(start, weight, name, place))
            for place, pitch in enumerate(order)
        ]
    if mark == "r":
        tones = [*voiced, voiced[0] + OCTAVE]
        return [
            Note(start + _ROLL * place, length, pitch, plan.velocity(start, weight, name, place))
            for place, pitch in enumerate(tones)
            if pitch <= seat.row["high"]
        ]
    pitch = _single(plan, seat.row, voiced, start, mark)
    return [Note(start, max(sounding, 0.2), pitch, plan.velocity(start, weight, name))]


def _single(plan: Plan, row: Mapping[str, Any], voiced: Sequence[int], start: float, mark: str) -> int:
    """One tone of a broken chord."""
    if mark == "b":
        low = harmony.near(plan.chord(start).root, voiced[0] - 9)
        return harmony.inside(low, row["low"], row["high"])
    ladder = [*voiced[:3], voiced[0] + OCTAVE, voiced[min(1, len(voiced) - 1)] + OCTAVE]
    place = {"1": 0, "3": 1, "5": 2, "7": 2, "8": 3, "0": 4}[mark]
    return harmony.inside(ladder[min(place, len(ladder) - 1)], row["low"], row["high"])
