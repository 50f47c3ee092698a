"""Plans and seats to write parts from: what a test is about is set by the test, the rest is drawn or plain."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import fields, replace

from conceptcaps.audio.composing import harmony, tables
from conceptcaps.audio.composing.casting import Seat
from conceptcaps.audio.composing.character import Character
from conceptcaps.audio.composing.harmony import Sonority
from conceptcaps.audio.composing.plan import Form, Plan, draw_plan
from conceptcaps.audio.composing.streams import Streams
from conceptcaps.audio.score import Note
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()
STRAIGHT = Form(4, {}, [], contrast=False)
_CUES = {field.name for field in fields(Character)}


def drawn(*tags: str, seed: int = 0, duration: float = 10.0, **changes: object) -> Plan:
    """The plan of some tags, with other cues or other decisions."""
    made = draw_plan(sorted(tags), duration=duration, streams=Streams(seed), taxonomy=TAXONOMY)
    cues = {name: value for name, value in changes.items() if name in _CUES}
    others = {name: value for name, value in changes.items() if name not in _CUES}
    return replace(made, character=replace(made.character, **cues), **others)


def plain(*tags: str, bars: int = 8, meter: int = 4, steps: str = "1 4 5 1", slot: float | None = None, **changes):
    """A plan in C major at 120 beats a minute, straight, without rests, late entries or dynamics."""
    slot = slot or float(meter)
    count, degrees = int(bars * meter / slot), [int(step) - 1 for step in steps.split()]
    chords = []
    for number in range(count):
        root, tones, scale = harmony.chord("major", degrees[number % len(degrees)], "triad", leading=False)
        chords.append(Sonority(number * slot, slot, root, tones, scale))
    settled = {
        "key": 0, "mode": "major", "meter": meter, "tempi": [(0.0, 120.0)], "swing": 0, "bars": bars,
        "form": STRAIGHT, "chords": chords, "shape": "flat", "register": 0.0, "dissonance": 0.0,
    }  # fmt: skip
    return drawn(*(tags or ("piano",)), **settled | changes)


def seat(tag: str, **changes: object) -> Seat:
    """A player that was asked for, with other facts in its row of the table."""
    row = tables.instruments()[tag] if tag in tables.instruments() else tables.kit()[tag]
    role = str(changes.pop("role", row.get("role", "kit")))
    return Seat(tag, role, {**row, **changes}, asked=True)


def bars(notes: Iterable[Note], plan: Plan) -> dict[int, list[Note]]:
    """Notes by bar, in order of time and pitch."""
    found: dict[int, list[Note]] = defaultdict(list)
    for note in sorted(notes):
        found[int((note.start + 0.005) // plan.meter)].append(note)
    return dict(found)


def places(notes: Iterable[Note], plan: Plan, *, nearest: float = 0.25) -> tuple[float, ...]:
    """Distinct beats of the bar at which notes of one bar begin, on a grid; strums and rolls count as one stroke."""
    return tuple(sorted({(note.start % plan.meter + 0.005) // nearest * nearest for note in notes}))


def marks(line: str, *, silent: str = "-.") -> tuple[float, ...]:
    """Beats at which a pattern of sixteenths has a mark."""
    return tuple(place / 4 for place, mark in enumerate(line) if mark not in silent)


def level(plan: Plan, beat: float, weight: float = 1.0) -> float:
    """Mean velocity at a beat, over the small deviations of many streams."""
    return sum(plan.velocity(beat, weight, name) for name in range(400)) / 400
