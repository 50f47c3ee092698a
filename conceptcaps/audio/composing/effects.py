"""Sounds that are no music: audiences, nature, machines, a turntable. They last, as what they stand for does."""

from conceptcaps.audio.composing import rhythm
from conceptcaps.audio.composing.casting import Seat
from conceptcaps.audio.composing.plan import Plan
from conceptcaps.audio.score import Note, Part

_BED = 4.0  # seconds after which a lasting sound is struck again, under its own end
_SCRATCHES = ("x.O.x.Oxx.O.xOxO", "xOxO....x.O.xx..", "..xO..xOx.O.xOxO")
_PROGRAMS = {"sea": 122, "wind": 122, "birds": 123, "rain": 122, "crowd": 126, "helicopter": 125, "telephone": 124}
_PROGRAMS |= {"gunshot": 127, "space": 103}
_PITCHES = {"sea": 60, "wind": 48, "rain": 79, "crowd": 60, "helicopter": 60, "space": 64}
_TOGETHER = {"birds": ("sea", "wind", ""), "sea": ("birds", ""), "wind": ("birds",), "rain": ("birds", "")}


def write(plan: Plan, seat: Seat, name: str) -> list[Part]:
    """One part for each sound that is drawn."""
    sound = plan.streams.pick(seat.row["sounds"], name, "sound")
    if sound == "scratch":
        return [Part(seat.tag, 0, True, _scratches(plan, name))]
    sounds = [sound, *(other for other in (plan.streams.pick(_TOGETHER.get(sound, ("",)), name, "with"),) if other)]
    return [Part(seat.tag, _PROGRAMS[each], False, _sounding(plan, each, name)) for each in sounds]


def _sounding(plan: Plan, sound: str, name: str) -> list[Note]:
    whole = plan.bars * plan.meter
    if sound in _PITCHES:
        bed = _BED * plan.bpm / 60
        starts = [number * bed for number in range(int(whole / bed) + 1)]
        return [Note(start, bed * 1.25, _PITCHES[sound], plan.velocity(start, 0.8, name)) for start in starts]
    generator = plan.streams.of(name, sound)
    notes, start = [], generator.uniform(0, 0.5)
    second = plan.bpm / 60
    while start < whole:
        if sound == "birds":  # a call of two to six chirps, then a pause
            base = generator.choice([66, 70, 74, 78])
            for _ in range(generator.randint(2, 6)):
                notes.append(Note(start, 0.5 * second, base + generator.randint(-2, 3), generator.randint(70, 110)))
                start += generator.uniform(0.15, 0.3) * second
            start += generator.uniform(0.2, 0.7) * second
        elif sound == "telephone":  # rings of a second and a half
            notes.append(Note(start, 1.5 * second, 62, 96))
            start += 2.5 * second
        else:  # shots, one or two a bar
            notes.append(Note(start, 2.0 * second, generator.randint(52, 62), generator.randint(84, 112)))
            start += generator.uniform(0.8, 1.8) * second
    return notes


def _scratches(plan: Plan, name: str) -> list[Note]:
    """Pushes and pulls of a record, the kit's notes 29 and 30, on the beat's sixteenths."""
    line = plan.streams.pick(_SCRATCHES, name, "line")
    notes = []
    for bar in range(plan.bars):
        for beat, _, mark in rhythm.events(rhythm.fit(line, plan.meter * rhythm.STEPS)):
            start = plan.at(bar, beat)
            notes.append(Note(start, 0.25, 29 if mark == "x" else 30, plan.velocity(start, 0.9, name)))
    return notes
