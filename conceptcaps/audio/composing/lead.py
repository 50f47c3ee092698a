"""Leading parts: a tune on an instrument, with the instrument's figures and the mood's gestures."""

from collections.abc import Sequence

from conceptcaps.audio.composing import melody
from conceptcaps.audio.composing.casting import Seat
from conceptcaps.audio.composing.harmony import OCTAVE, inside
from conceptcaps.audio.composing.melody import Tone
from conceptcaps.audio.composing.plan import Plan
from conceptcaps.audio.score import Note

_GRACE = 0.11  # beats of a grace note
_ECHO = 0.75  # beats until a tone comes back softer
_WAYS = ("tune", "tune", "below", "answer")  # what a part does in later phrases


def write(plan: Plan, seat: Seat, name: str) -> list[Note]:
    """A leading part; ``name`` names its streams, the tune itself is the piece's."""
    tones = _tones(plan, seat, name)
    register = plan.character.register * (1.0 if seat.tag not in ("male vocals", "female vocals") else 0.3)
    return _played(plan, seat, name, tones, centre=seat.row["pitch"] + register)


def carried(plan: Plan, seat: Seat, name: str) -> list[Note]:
    """The tune on a chord instrument that nobody leads, above its chords."""
    tones = melody.tune(plan, "tune")
    return _played(plan, seat, name, tones, centre=seat.row["pitch"] + 14 + 0.6 * plan.character.register)


def _tones(plan: Plan, seat: Seat, name: str) -> list[Tone]:
    voice, cue = seat.row.get("voice", "tune"), plan.character
    if voice == "chant":
        return melody.chant(plan, "chant")
    theme = melody.tune(plan, "tune")
    if voice == "under":
        return melody.below(plan, theme)
    if voice == "counter":
        return melody.tune(plan, name, density=max(0.75 * cue.density, 0.12), cells=["long", "even"])
    answers = melody.tune(plan, f"{name}/answer")
    chosen = []
    for phrase in range(-(-plan.bars // plan.form.phrase)):
        way = "tune" if phrase == 0 or plan.loops else plan.streams.pick(_WAYS, name, "way", phrase)
        first, last = (number * plan.form.phrase * plan.meter for number in (phrase, phrase + 1))
        source = {"below": melody.below(plan, theme), "answer": answers}.get(way, theme)
        chosen += [tone for tone in source if first <= tone.start < last]
    return chosen


def _played(plan: Plan, seat: Seat, name: str, tones: Sequence[Tone], *, centre: float) -> list[Note]:
    entry = plan.form.entries.get("lead", 0) if seat.role == "lead" else 0.0
    tones = [tone for tone in tones if tone.start >= entry]
    written = melody.pitches(plan, tones, centre=centre, low=seat.row["low"], high=seat.row["high"])
    notes: list[Note] = []
    for place, (tone, pitch) in enumerate(zip(tones, written, strict=True)):
        strong = float(tone.start).is_integer()
        velocity = plan.velocity(tone.start, 1.0 if strong else 0.82, name)
        sounding = max(tone.length * min(plan.character.length, 1.05), 0.12)
        note = Note(tone.start, sounding, pitch, velocity)
        notes += _ornamented(plan, seat, name, place, note, tone)
    return notes


def _ornamented(plan: Plan, seat: Seat, name: str, place: int, note: Note, tone: Tone) -> list[Note]:
    """A note with what the instrument and the mood do to it."""
    figure, gestures = seat.row.get("figure", ""), plan.character.gestures
    drawn = plan.streams.share(name, "ornament", place)
    if figure == "repeat" or ("repeat" in gestures and note.length >= 0.4):
        return _repeated(plan, note)
    if "trill" in gestures and note.length >= 0.9 and drawn < 0.4:
        strokes = range(int(note.length * 8))
        pair = (note.pitch, melody.neighbour(plan, note.start, note.pitch, up=True))
        return [Note(note.start + step / 8, 0.12, pair[step % 2], note.velocity) for step in strokes]
    notes = [note]
    if figure == "glide" and drawn < 0.75:
        notes = [note._replace(glide=-2.0 if drawn < 0.55 else 2.0)]
    elif (figure == "bend" and drawn < 0.3) or ("glide" in gestures and drawn < 0.35):
        notes = [note._replace(glide=-1.0 if figure == "bend" else 3.0 if drawn < 0.15 else -3.0)]
    graced = (figure == "grace" and drawn < 0.3) or ("grace" in gestures and drawn < 0.45)
    if graced and note.length >= 0.3 and note.start >= _GRACE:
        near = melody.neighbour(plan, note.start, note.pitch, up=drawn < 0.2)
        notes = [Note(note.start - _GRACE, _GRACE, near, note.velocity - 12), *notes]
    if "run" in gestures and tone.start % (plan.meter * 2) == 0 and tone.start >= 1:
        pitch, run = note.pitch, []
        for back in range(1, 5):
            pitch = melody.neighbour(plan, note.start, pitch, up=False)
            run.append(Note(note.start - back / 8, 0.12, pitch, note.velocity - 10))
        notes = run + notes
    if "echo" in gestures and note.length >= 0.4 and not seat.row.get("sung"):
        notes.append(Note(note.start + _ECHO, note.length * 0.8, note.pitch, max(note.velocity - 30, 24)))
    if seat.row.get("single"):
        return notes
    if "octaves" in gestures:
        notes.append(note._replace(pitch=inside(note.pitch - OCTAVE, seat.row["low"], 127)))
    elif "thirds" in gestures:
        under = melody.pitches(plan, melody.below(plan, [tone]), centre=note.pitch - 4, low=0, high=127)[0]
        under += OCTAVE * round((note.pitch - 4 - under) / OCTAVE)
        notes.append(note._replace(pitch=under if under >= seat.row["low"] else note.pitch))
    return notes


def _repeated(plan: Plan, note: Note) -> list[Note]:
    """A tremolo: the note struck again eight to fourteen times a second."""
    step = 1 / 8 if plan.bpm < 105 else 1 / 6 if plan.bpm < 140 else 1 / 4
    count = max(round(note.length / step), 1)
    return [
        Note(note.start + number * step, step * 0.95, note.pitch, max(note.velocity - (6 if number else 0), 24))
        for number in range(count)
    ]
