"""Chords: rhythms, voices, strums, rolls."""

import itertools
from statistics import mean

import pytest

from conceptcaps.audio.composing import comping, tables
from conceptcaps.audio.composing.casting import Seat
from conceptcaps.audio.composing.plan import Form
from tests.audio.composing.plans import STRAIGHT, bars, drawn, marks, places, plain, seat

LOOP = frozenset({"loop"})
COMPS = tables.rhythms("comps")


def played(plan, *styles: str, tag: str = "piano", **changes: object):
    """What an instrument that knows these rhythms alone plays, bar by bar."""
    return bars(comping.write(plan, seat(tag, styles=list(styles), **changes), "c"), plan)


def families(*tags: str, seed: int, instrument: Seat, **cues: object) -> set[str]:
    """Families of rhythms that a looped bar may come from, struck as they stand or by chords of the bar."""
    cues = {
        "swing": 0,
        "form": STRAIGHT,
        "harmony": "triad",
        **cues,
        "gestures": cues.get("gestures", frozenset()) | LOOP,
    }
    plan = drawn(*tags, seed=seed, **cues)
    plan = plain(
        *tags, seed=seed, meter=plan.meter, style=plan.style, genre=plan.genre, **{"tempi": plan.tempi, **cues}
    )
    first = places(bars(comping.write(plan, instrument, "c"), plan)[0], plan)
    return {family for family, each in COMPS.items() if first in map(marks, each)}


@pytest.mark.parametrize("family", ["beats", "sync", "skank", "stabs", "gallop", "tutti", "montuno", "bossa"])
def test_a_bar_strikes_its_pattern_and_each_stroke_the_chord(family):
    lines = set()
    for seed in range(8):
        plan = plain("piano", seed=seed, gestures=LOOP, genre="none")
        for bar, notes in played(plan, family).items():
            assert places(notes, plan) in map(marks, COMPS[family])
            lines.add(places(notes, plan))
            assert {note.pitch % 12 for note in notes} <= plan.chord(bar * 4).pitch_classes
            for beat in places(notes, plan):
                struck = [note for note in notes if abs(note.start % 4 - beat) < 0.1]
                assert len(struck) in (1, 3) and len({note.pitch for note in struck}) == len(struck)
    assert len(lines) > 1


def test_tones_of_a_broken_chord_rise_with_their_marks():
    def rises(notes, line: str, plan) -> bool:
        heights: dict[str, set[int]] = {}
        for note, mark in zip(notes, line.replace("-", ""), strict=True):
            heights.setdefault(mark, set()).add(note.pitch)
        found = [heights[mark] for mark in "b13580" if mark in heights]
        return (
            all(len(each) == 1 for each in found)
            and found == sorted(found, key=max)
            and ({"1", "8"} - {*heights} or max(heights["8"]) - max(heights["1"]) == 12)
            and {pitch % 12 for pitch in heights.get("b", ())} <= {plan.chords[0].root}
            and {pitch % 12 for each in found for pitch in each} <= plan.chords[0].pitch_classes
        )

    for family in ("chug", "arpeggio", "alberti", "picking"):
        for seed in range(6):
            plan = plain(gestures=LOOP, seed=seed)
            notes = played(plan, family)[0]
            lines = [line for line in COMPS[family] if marks(line) == places(notes, plan)]
            assert any(rises(notes, line, plan) for line in lines), (family, seed)


def test_a_guitar_is_strummed_down_on_beats_and_up_between_them_and_a_piano_is_not():
    plan = plain(gestures=LOOP)
    for tag, spread in (("guitar", 0.02), ("piano", 0.0)):
        for notes in played(plan, "eighths", tag=tag).values():
            for beat in places(notes, plan):
                stroke = [note for note in notes if abs(note.start % 4 - beat) < 0.1]
                assert [round(note.start % 4 - beat, 3) for note in stroke] == [spread * n for n in range(len(stroke))]
                pitches = [note.pitch for note in stroke]
                if spread:
                    assert pitches == sorted(pitches, reverse=not float(beat).is_integer())


def test_rolled_chords_rise_tone_after_tone_to_the_octave():
    plan = plain(gestures=LOOP, length=0.5)
    for seed in range(6):
        plan = plain(gestures=LOOP, length=0.5, seed=seed)
        roll = [note for note in played(plan, "rolled")[0] if note.start < 0.5]
        assert [round(note.start, 3) for note in roll] == [0.0, 0.06, 0.12, 0.18]
        assert roll[-1].pitch - roll[0].pitch == 12 and len({note.length for note in roll}) == 1
        assert roll[0].length in (1.5, 2.0, 4.0), "it rings, however short the mood"
    low = [note.pitch for note in played(plan, "rolled", high=62)[0]]
    assert max(low) <= 62


@pytest.mark.parametrize(("cue", "share"), [(0.1, 0.3), (0.5, 0.5), (0.9, 0.9), (1.1, 1.0)])
def test_chords_sound_for_a_share_of_their_length_and_an_organ_s_long_ones_for_all(cue, share):
    plan = plain(gestures=LOOP, length=cue)
    line = next(line for line in COMPS["beats"] if marks(line) == places(played(plan, "beats")[0], plan))
    held = next((place for place in range(1, 16) if line[place] != "-"), 16) / 4
    assert played(plan, "beats")[0][0].length == pytest.approx(held * share)
    organ = {round(note.length, 6) for note in played(plan, "held", tag="organ")[0]}
    assert organ <= {4.0, 2.0, 2.5, 1.5, 3.0, 1.0}
    short = {round(note.length, 6) for note in played(plan, "gallop", tag="organ")[0]}
    assert min(short) == pytest.approx(max(0.25 * share, 0.1))


def test_accents_soft_strokes_and_off_beats_differ_in_force():
    plan = plain(gestures=LOOP, bars=64, accent=1.0, seed=3)
    loud: dict[str, list[int]] = {"beat": [], "off": [], "soft": []}
    for notes in played(plan, "beats", "strum").values():
        line = next(line for line in (*COMPS["beats"], *COMPS["strum"]) if marks(line) == places(notes, plan))
        for note in notes:
            beat = round((note.start % 4 - 0.001) * 4) / 4
            kind = "soft" if line[int(beat * 4)] == "o" else "beat" if beat.is_integer() else "off"
            loud[kind].append(note.velocity)
    assert mean(loud["beat"]) / 106 == pytest.approx(1 - 0.7 * 0.05, abs=0.02)
    for kind, weight in (("soft", 0.6), ("off", 0.8)):
        if loud[kind]:
            assert mean(loud[kind]) / 106 == pytest.approx(1 - 0.7 * (1 - weight), abs=0.02)


def test_a_chord_held_into_another_is_struck_anew_there():
    plan = plain(gestures=LOOP, slot=2.0, steps="1 5 4 1", length=1.0)
    notes = played(plan, "held")[0]
    assert {0.0, 2.0} <= set(places(notes, plan))
    assert {note.pitch % 12 for note in notes if note.start == 2.0} == plan.chord(2.0).pitch_classes
    assert max(note.length for note in notes) <= 2.0


def test_voices_move_little_from_chord_to_chord_and_stay_about_the_register():
    plan = plain(bars=32, steps="1 4 2 5 3 6", seed=1)
    strokes = [
        sorted({note.pitch for note in notes if note.start % 4 < 0.1}) for notes in played(plan, "tutti").values()
    ]
    moves = [sum(abs(a - b) for a, b in zip(one, other, strict=True)) for one, other in itertools.pairwise(strokes)]
    assert max(moves) <= 12
    centres = [
        mean(note.pitch for notes in played(plain(register=cue, bars=16), "tutti").values() for note in notes)
        for cue in (-10.0, 10.0)
    ]
    assert centres[1] - centres[0] == pytest.approx(12, abs=2.5), "with the register, by three fifths of it"
    high = played(plain(register=60.0), "tutti")
    assert max(note.pitch for notes in high.values() for note in notes) <= 100


def test_a_distorted_guitar_plays_root_fifth_and_octave_and_so_does_everyone_where_the_mood_wants_power():
    for bar, notes in played(plain(gestures=LOOP), "power", tag="distorted guitar").items():
        plan = plain(gestures=LOOP)
        stroke = sorted(note.pitch for note in notes if note.start % 4 < 0.05)
        assert [pitch - stroke[0] for pitch in stroke] == [0, 7, 12] and stroke[0] % 12 == plan.chord(bar * 4).root
        assert 38 <= stroke[0] <= 50
    rough = plain(gestures=LOOP, dissonance=0.6)
    rough = plain(gestures=LOOP, dissonance=0.6, chords=[chord._replace(tones=(0, 4, 6)) for chord in rough.chords])
    stroke = sorted(note.pitch for note in played(rough, "power", tag="distorted guitar")[0] if note.start < 0.05)
    assert [pitch - stroke[0] for pitch in stroke] == [0, 6, 12]
    bare = played(plain(gestures=LOOP, harmony="power"), "tutti")
    assert all(
        {note.pitch % 12 for note in notes} == {root, (root + 7) % 12}
        for notes, root in ((bare[0], 0), (bare[1], 5), (bare[2], 7))
    )


def test_chords_enter_and_rest_with_the_form():
    plan = plain(form=Form(4, {"harmony": 6.0}, [(10.0, 12.0)], contrast=False))
    starts = [note.start for notes in played(plan, "eighths").values() for note in notes]
    assert 6 <= min(starts) < 6.1 and not [start for start in starts if 10 <= start < 12]


def test_bars_change_but_for_a_loop_or_a_broken_chord():
    changed = turned = 0
    for seed in range(40):
        found = [places(each, plain(seed=seed)) for each in played(plain(seed=seed), "skank", "punches").values()]
        assert found[0] == found[2] == found[4] and found[1] == found[5] and found[3] == found[7]
        changed += found[0] != found[1]
        turned += found[3] != found[1]
        broken = [places(each, plain(seed=seed)) for each in played(plain(seed=seed), "alberti", "picking").values()]
        assert broken[0] == broken[1] == broken[2]
        looped = plain(seed=seed, gestures=LOOP, slot=2.0, steps="2 5")
        assert len({tuple(note.pitch for note in each) for each in played(looped, "skank").values()}) == 1, "and voices"
        assert len({places(each, looped) for each in played(looped, "skank").values()}) == 1
    assert 4 < changed < 32 and turned > 15


GUITAR, PIANO = seat("guitar"), seat("piano")


@pytest.mark.parametrize(
    ("tags", "cues", "instrument", "wanted"),
    [
        (("pop", "arpeggio"), {"density": 0.5}, PIANO, {"arpeggio"}),
        (("pop", "arpeggio"), {"density": 0.5}, GUITAR, {"picking"}),
        (("pop", "arpeggio"), {"density": 0.8}, PIANO, {"chug"}),
        (("pop", "arpeggio"), {"density": 0.8, "tempi": [(0.0, 150.0)]}, PIANO, {"arpeggio"}),
        (("pop",), {"gestures": frozenset({"arpeggio"}), "density": 0.5}, PIANO, {"arpeggio"}),
        (("pop", "strummed guitar"), {}, GUITAR, {"strum"}),
        (("pop", "syncopated"), {}, PIANO, {"skank", "offbeat"}),
        (("country", "driving rhythm"), {}, PIANO, {"eighths"}),
        (("country", "driving rhythm"), {}, seat("distorted guitar"), {"power"}),
        (("country", "groovy"), {}, PIANO, {"groove"}),
        (("reggae", "groovy"), {}, PIANO, {"skank"}),
        (("pop", "swing rhythm"), {}, PIANO, {"charleston", "boogie"}),
        (("soft rock",), {"density": 0.5}, GUITAR, {"strum", "picking"}),
        (("techno",), {}, seat("banjo"), {"roll"}),
        (("techno",), {}, seat("accordion"), {*tables.genres()["techno"]["comp"]}),
        (("pop", "calm"), {"density": 0.1}, PIANO, {"drift"}),
        (("pop", "calm"), {"density": 0.2}, PIANO, {"held", "rolled", "picking"}),
        (("funk", "calm"), {"density": 0.2}, PIANO, {"funk"}),
        (("pop", "happy"), {"density": 0.9}, PIANO, {"eighths", "gate"}),
        (("funk", "happy"), {"density": 0.9}, PIANO, {"funk"}),
        (("pop", "happy"), {"density": 0.6}, PIANO, {"beats", "ballad", "sync", "eighths"}),
        (("pop",), {"density": 0.2}, PIANO, {"beats", "ballad", "sync", "eighths"}),
        (("pop",), {"density": 0.9}, PIANO, {"beats", "ballad", "sync", "eighths"}),
    ],
)
def test_the_rhythm_is_what_a_tag_or_the_mood_asks_for_else_one_that_genre_and_instrument_share(
    tags, cues, instrument, wanted
):
    found = [families(*tags, seed=seed, instrument=instrument, **cues) for seed in range(16)]
    assert all(each & wanted for each in found), [each for each in found if not each & wanted]
    if wanted == {"power"}:
        assert any("eighths" not in each for each in found), "some of its patterns are its own"
    if len(wanted) < 4:
        assert all(any(family in each for each in found) for family in wanted), found


@pytest.mark.parametrize(
    ("family", "triple"),
    [("oompah", "waltz3"), ("skank", "waltz3"), ("held", "held3"), ("drift", "held3"), ("funk", "lilt3")],
)
def test_in_three_a_rhythm_has_its_like(family, triple):
    plan = plain(meter=3, gestures=LOOP, genre="none", density=0.5)
    assert places(played(plan, family)[0], plan) in map(marks, COMPS[triple])


@pytest.mark.parametrize(("cue", "share"), [(0.1, 0.4), (0.7, 0.7), (1.1, 0.98)])
def test_low_roots_lie_an_octave_or_more_below_the_chords(cue, share):
    plan = plain(steps="1 4 5 6", length=cue)
    notes = comping.low_roots(plan, PIANO, "g")
    assert [note.start for note in notes] == [4.0 * bar for bar in range(8)]
    for note in notes:
        assert note.pitch % 12 == plan.chord(note.start).root and abs(note.pitch - 40) <= 6
        assert note.length == pytest.approx(4 * share)
    assert all(note.pitch >= 40 for note in comping.low_roots(plan, GUITAR, "g")), "no lower than it can"
