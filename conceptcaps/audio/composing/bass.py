"""Bass lines: a pattern of the genre, its notes read against the chords."""

from conceptcaps.audio.composing import harmony, rhythm, tables
from conceptcaps.audio.composing.casting import Seat
from conceptcaps.audio.composing.harmony import OCTAVE, Sonority
from conceptcaps.audio.composing.plan import Plan
from conceptcaps.audio.score import Note

_TRIPLE = {"walking": "walking3", "boogie": "walking3", "timpani": "timpani3", "twofeel": "waltz3", "roots": "waltz3"}

_SYNCOPATED = frozenset({"funk", "tumbao", "house", "hiphop", "reggae"})


def write(plan: Plan, seat: Seat, name: str) -> list[Note]:
    """A bass line; ``name`` names its streams."""
    lines, drawn = _lines(plan, seat), plan.streams
    first = drawn.pick(lines, name, "line")
    changes = 0 if plan.loops else drawn.of(name, "size").choice([0, 1, 1, 2])
    changed = rhythm.vary(first, drawn.of(name, "change"), changes=changes)
    first = changed if drawn.share(name, "from the start") < 0.5 else first
    turn = first if plan.loops else drawn.pick(lines, name, "turn")
    notes: list[Note] = []
    for bar in range(plan.bars):
        last = (bar + 1) % plan.form.phrase == 0
        line = turn if last else changed if bar % 2 else first
        for beat, length, mark in rhythm.events(rhythm.fit(line, plan.meter * rhythm.STEPS)):
            start = plan.at(bar, beat)
            if start < plan.form.entries.get("bass", 0) or plan.silent(start):
                continue
            pitch = _pitch(plan, seat, start, length, "1" if mark in "ox" else mark)
            length = min(length, max(plan.chord(start).length, 1.0)) if pitch is not None else length
            weight = 1.0 if beat == 0 else 0.85 if float(beat).is_integer() else 0.75
            sounding = length * (0.55 if plan.character.length < 0.45 else min(plan.character.length + 0.15, 0.98))
            notes.append(Note(start, max(sounding, 0.12), pitch, plan.velocity(start, weight, name)))
    return notes


def _lines(plan: Plan, seat: Seat) -> list[str]:
    """The family of patterns: what a tag or the mood asks for, else one of the genre's."""
    families: list[str] = seat.row.get("lines") or list(plan.style["bass"])
    if not seat.row.get("lines"):
        cue = plan.character
        if "driving rhythm" in plan.asked:
            families = ["rock8", "ostinato"]
        elif "swing rhythm" in plan.asked and not plan.style.get("swing"):
            families = ["walking"]
        elif plan.asked & {"groovy", "syncopated"} and not _SYNCOPATED & set(families):
            families = ["funk", "soul"]
        elif "ostinato" in cue.gestures:
            families = ["ostinato"]
        elif cue.density < 0.38 and cue.moods and {"reggae", "tumbao", "walking"} & set(families):
            pass  # without its bass line the genre is not itself, whatever the mood
        elif cue.density < 0.22:
            families = ["long"]
        elif cue.density < 0.38 and cue.moods:
            families = ["roots", "long", "twofeel"]
        elif cue.density > 0.85 and cue.moods and set(families) <= {"roots", "pop", "rock", "long", "twofeel"}:
            families = ["rock8", "gallop"]
    family = plan.streams.pick(families, "bass", "family")
    if plan.meter == 3:
        family = _TRIPLE.get(family, "lilt3")
    return list(tables.rhythms("basses")[family])


def _pitch(plan: Plan, seat: Seat, beat: float, length: float, mark: str) -> int:
    chord = plan.chord(beat)
    low, high = int(seat.row["low"]), int(seat.row["high"])
    centre = seat.row["pitch"] + max(min(plan.character.register / 3, 2), -3)
    if "pedal" in plan.character.gestures:
        return harmony.inside(harmony.near(plan.key, centre) + (OCTAVE if mark == "8" else 0), low, high)
    root = harmony.near(chord.root, centre)
    if mark in "bu":
        after = plan.chord(beat + length + 0.01).root
        return harmony.inside(harmony.near(after, root) + (1 if mark == "u" else -1), low, high)
    return harmony.inside(root + _above(chord, mark), low, high)


def _above(chord: Sonority, mark: str) -> int:
    """Semitones above the root of a step of the scale over the chord; 3 and 5 are the chord's own."""
    if mark == "1":
        return 0
    if mark == "8":
        return OCTAVE
    tones = {tone % OCTAVE for tone in chord.tones}
    if mark == "3":
        return next((tone for tone in (4, 3, 5, 2) if tone in tones), 7)
    if mark == "5":
        return next((tone for tone in (7, 6, 8) if tone in tones), 7)
    steps = sorted((place - chord.root) % OCTAVE for place in chord.scale)
    wanted = {"2": 2, "4": 5, "6": 9, "7": 10}[mark]
    return min(steps, key=lambda step: (abs(step - wanted), step))
