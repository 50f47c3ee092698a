"""Bass lines, read against the chords by another rule."""

import re
from statistics import mean

import pytest

from conceptcaps.audio.composing import bass, harmony, tables
from conceptcaps.audio.composing.plan import Form
from tests.audio.composing.plans import STRAIGHT, bars, drawn, marks, places, plain, seat

LOOP = frozenset({"loop"})
SCALE = {"2": 2, "4": 5, "6": 9, "7": 10}  # semitones above the root, or a neighbour where the scale lacks them


def families(*tags: str, seed: int, **cues: object) -> set[str]:
    """Families of patterns that a bar may come from; a looped bar is one of them as it stands."""
    cues = {"swing": 0, "form": STRAIGHT, **cues, "gestures": cues.get("gestures", frozenset()) | LOOP}
    plan = drawn(*tags, seed=seed, **cues)
    first = places(bars(bass.write(plan, seat("bass guitar"), "b"), plan)[0], plan)
    return {family for family, each in tables.rhythms("basses").items() if first in map(marks, each)}


def fits(notes, line: str, plan, bar: int) -> bool:
    """Whether a bar's tones are what a pattern asks for."""
    chord = plan.chord(bar * 4)
    mode, lowest = {(tone - chord.root) % 12 for tone in chord.scale}, min(note.pitch for note in notes)
    strokes = [match for match in re.finditer(r"[^-.]-*", line)]
    if places(notes, plan) != marks(line):
        return False
    for note, stroke in zip(notes, strokes, strict=True):
        above, mark = (note.pitch - chord.root) % 12, stroke[0][0]
        after = (note.pitch - plan.chord(bar * 4 + stroke.end() / 4 + 0.01).root) % 12
        right = {
            "1": above == 0,
            "8": above == 0 and note.pitch > lowest,
            "3": above in chord.tones and above in (3, 4),
            "5": above == 7,
            "b": after == 11,
            "u": after == 1,
        }.get(mark, above in mode and abs(above - SCALE.get(mark, 0)) <= 1)
        if not right:
            return False
    return True


@pytest.mark.parametrize("family", ["walking", "funk", "octave", "rock", "soul", "ska", "boogie", "ostinato", "jungle"])
def test_each_mark_is_a_tone_of_the_chord_or_leads_to_the_next_one(family):
    for seed in range(10):
        plan = plain(steps="1 4 6 5", gestures=LOOP, seed=seed, length=1.0)
        made = bars(bass.write(plan, seat("bass guitar", lines=[family]), "b"), plan)
        lines = tables.rhythms("basses")[family]
        assert any(all(fits(made[bar], line, plan, bar) for bar in range(7)) for line in lines), seed


def test_chords_without_a_third_or_fifth_have_another_tone_in_their_place():
    expected = {
        (0, 5, 7): (5, 7),
        (0, 2, 7): (2, 7),
        (0, 7, 12): (7, 7),
        (0, 3, 6): (3, 6),
        (0, 4, 8): (4, 8),
        (0, 4, 9): (4, 7),
    }
    for tones, (third, fifth) in expected.items():
        chord = harmony.Sonority(0.0, 4.0, 0, tones, harmony.MODES["major"])
        plan = plain(chords=[chord], gestures=LOOP)
        notes = bass.write(plan, seat("bass guitar", lines=["ska"]), "b")
        found = {(note.pitch - notes[0].pitch) % 12 for note in notes} - {0, 9}
        assert found <= {third, fifth} and found, tones


@pytest.mark.parametrize(("cue", "share"), [(0.3, 0.55), (0.44, 0.55), (0.45, 0.6), (0.6, 0.75), (1.0, 0.98)])
def test_notes_sound_for_a_share_of_their_length(cue, share):
    plan = plain(gestures=LOOP, length=cue)
    notes = bass.write(plan, seat("bass guitar", lines=["twofeel"]), "b")
    drawn_line = places(bars(notes, plan)[0], plan)
    line = next(line for line in tables.rhythms("basses")["twofeel"] if marks(line) == drawn_line)
    held = next(place for place in range(1, 16) if line[place] != "-")
    assert notes[0].length == pytest.approx(held / 4 * share)
    short = plain(gestures=LOOP, length=0.05)
    assert min(note.length for note in bass.write(short, seat("bass guitar", lines=["gallop"]), "b")) >= 0.12
    slow = plain(gestures=LOOP, length=1.0, slot=2.0)
    assert bass.write(slow, seat("bass guitar", lines=["long"]), "b")[0].length == pytest.approx(2 * 0.98)


def test_beats_are_louder_than_what_stands_between_them_and_the_first_is_loudest():
    plan = plain(gestures=LOOP, bars=64, accent=1.0)
    loud = {"first": [], "beat": [], "off": []}
    for note in bass.write(plan, seat("bass guitar", lines=["rock8"]), "b"):
        beat = note.start % 4
        loud["first" if beat == 0 else "beat" if beat.is_integer() else "off"].append(note.velocity)
    first, beat, off = (mean(each) for each in loud.values())
    assert first / 106 == pytest.approx(1, abs=0.02)
    assert beat / first == pytest.approx(1 - 0.7 * 0.15, abs=0.02)
    assert off / first == pytest.approx(1 - 0.7 * 0.25, abs=0.02)


def test_it_enters_and_rests_with_the_form_and_stays_in_its_compass():
    plan = plain(form=Form(4, {"bass": 6.0}, [(10.0, 12.0)], contrast=False))
    starts = [note.start for note in bass.write(plan, seat("bass guitar", lines=["rock8"]), "b")]
    assert min(starts) == 6 and not [start for start in starts if 10 <= start < 12] and 12 in starts
    deep, high = (
        bass.write(plain(register=cue, bars=32), seat("bass guitar", lines=["walking"]), "b") for cue in (-30, 30)
    )
    assert all(26 <= note.pitch <= 55 for note in deep + high)
    moved = mean(note.pitch for note in high) - mean(note.pitch for note in deep)
    assert 0 < moved <= 12, "a bass goes no further than a few semitones with the register"


def test_a_pedal_stays_on_the_tonic_whatever_the_chords():
    plan = plain(key=2, gestures=frozenset({"pedal"}), steps="1 4 5 2")
    assert {note.pitch % 12 for note in bass.write(plan, seat("bass guitar", lines=["octave", "walking"]), "b")} == {2}
    notes = bass.write(plan, seat("bass guitar", lines=["octave"]), "b")
    assert max(note.pitch for note in notes) - min(note.pitch for note in notes) == 12


def test_bars_change_but_for_a_loop_and_phrases_end_with_a_turn():
    changed = turned = 0
    for seed in range(40):
        plan = plain(seed=seed)
        found = [
            places(each, plan)
            for each in bars(bass.write(plan, seat("bass guitar", lines=["pop"]), "b"), plan).values()
        ]
        assert found[0] == found[2] == found[4] == found[6] and found[1] == found[5] and found[3] == found[7]
        changed += found[0] != found[1]
        turned += found[3] != found[1]
        looped = plain(seed=seed, gestures=LOOP)
        same = bars(bass.write(looped, seat("bass guitar", lines=["pop"]), "b"), looped).values()
        assert len({places(each, looped) for each in same}) == 1
    assert 5 < changed < 30 and turned > 20


@pytest.mark.parametrize(
    ("tags", "cues", "wanted"),
    [
        (("country", "driving rhythm"), {}, {"rock8", "ostinato"}),
        (("pop", "swing rhythm"), {}, {"walking"}),
        (("country", "groovy"), {}, {"funk", "soul"}),
        (("country", "syncopated"), {}, {"funk", "soul"}),
        (("reggae", "groovy"), {}, {"reggae"}),
        (("pop",), {"gestures": frozenset({"ostinato"})}, {"ostinato"}),
        (("pop", "calm"), {"density": 0.2}, {"long"}),
        (("pop", "calm"), {"density": 0.3}, {"roots", "long", "twofeel"}),
        (("pop",), {"density": 0.3}, {"pop", "roots"}),
        (("reggae", "calm"), {"density": 0.2}, {"reggae"}),
        (("pop", "happy"), {"density": 0.9}, {"rock8", "gallop"}),
        (("pop",), {"density": 0.9}, {"pop", "roots"}),
        (("pop", "happy"), {"density": 0.7}, {"pop", "roots"}),
        (("waltz time", "jazz"), {}, {"walking3"}),
        (("waltz time", "reggae"), {}, {"lilt3"}),
        (("waltz time", "country"), {"density": 0.5}, {"lilt3"}),
    ],
)
def test_the_family_of_a_line_is_what_a_tag_or_the_mood_asks_for_else_the_genre_s(tags, cues, wanted):
    found = [families(*tags, seed=seed, **cues) for seed in range(14)]
    assert all(each & wanted for each in found), found
    assert all(any(family in each for each in found) for family in wanted)
