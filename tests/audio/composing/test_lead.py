"""What an instrument and a mood do to a tune."""

import itertools
from statistics import mean

import pytest

from conceptcaps.audio.composing import lead, melody
from conceptcaps.audio.composing.plan import Form
from tests.audio.composing.plans import plain, seat


def gesture(*names: str) -> frozenset[str]:
    return frozenset(names)


def tune(plan):
    """The bare tune as a lead plays it: the same plan without gestures, on an instrument without figures."""
    return lead.write(plan, seat("violin", voice="tune", figure=""), "l")


def test_a_lead_plays_the_tune_in_its_register():
    for seed in range(6):
        plan = plain(seed=seed, bars=4, length=0.8, gestures=gesture())
        notes = tune(plan)
        written = melody.tune(plan, "tune")
        assert [note.start for note in notes] == [tone.start for tone in written]
        assert [note.length for note in notes] == pytest.approx([max(0.8 * tone.length, 0.12) for tone in written])
        assert abs(mean(note.pitch for note in notes) - 76) < 7 and all(55 <= note.pitch <= 98 for note in notes)
    assert max(note.length for note in tune(plain(length=1.5, bars=4))) == pytest.approx(
        1.05 * max(tone.length for tone in melody.tune(plain(length=1.5, bars=4), "tune"))
    )
    assert min(note.length for note in tune(plain(length=0.01))) == 0.12
    beats = plain(accent=1.0, bars=64, density=0.8, cells=["running"])
    strong, weak = ([n.velocity for n in tune(beats) if (n.start % 1 == 0) == on] for on in (True, False))
    assert mean(strong) / 106 == pytest.approx(1.0, abs=0.02)
    assert mean(weak) / 106 == pytest.approx(1 - 0.7 * 0.18, abs=0.02)


def test_a_lead_begins_with_the_tune_and_later_phrases_vary_it():
    varied = 0
    for seed in range(12):
        plan = plain(seed=seed, bars=16, gestures=gesture())
        played, written = ([part.start for part in parts] for parts in (tune(plan), melody.tune(plan, "tune")))
        phrase = plan.form.phrase * plan.meter
        assert [start for start in played if start < phrase] == [start for start in written if start < phrase]
        varied += played != written
    assert varied > 6


def test_register_moves_instruments_by_all_of_it_and_voices_by_less():
    def height(tag: str, register: float) -> float:
        plans = [plain(seed=seed, bars=8, register=register) for seed in range(8)]
        return mean(note.pitch for plan in plans for note in lead.write(plan, seat(tag, voice="tune"), "l"))

    assert height("violin", 12.0) - height("violin", 0.0) == pytest.approx(12, abs=1.5)
    assert height("male vocals", 12.0) - height("male vocals", 0.0) < 6
    assert height("vocals", 6.0) > height("vocals", 0.0)


def test_a_chord_instrument_carries_the_tune_above_its_chords():
    plan = plain(bars=8)
    notes = lead.carried(plan, seat("piano"), "c")
    assert [note.start for note in notes] == [tone.start for tone in melody.tune(plan, "tune")]
    assert abs(mean(note.pitch for note in notes) - 74) < 7
    high = [
        mean(n.pitch for seed in range(8) for n in lead.carried(plain(seed=seed, register=cue), seat("piano"), "c"))
        for cue in (0.0, 20.0)
    ]
    assert high[1] - high[0] == pytest.approx(12, abs=1.5)


def test_a_lead_enters_with_the_form_and_who_carries_the_tune_from_the_start():
    plan = plain(form=Form(4, {"lead": 6.0}, [], contrast=False))
    assert min(note.start for note in tune(plan)) >= 6
    assert min(note.start for note in lead.carried(plan, seat("piano"), "c")) == 0


def test_voices_differ_as_their_names_say():
    plan = plain(bars=16, density=0.6)
    theme = {note.start: note.pitch for note in tune(plain(bars=4, density=0.6))}
    under = lead.write(plain(bars=4, density=0.6), seat("violin", voice="under"), "l")
    gaps = {(theme[note.start] - note.pitch) % 12 for note in under}
    assert [note.start for note in under] == [*theme] and gaps <= {3, 4, 5, 8, 9} and {3, 4} & gaps
    counter = lead.write(plan, seat("cello"), "cello")
    assert len(counter) < 0.8 * len(tune(plan))
    chant = lead.write(plan, seat("chant"), "chant")
    assert [note.start for note in chant] == [tone.start for tone in melody.chant(plan, "chant")]


def test_later_phrases_repeat_the_tune_go_below_it_or_answer():
    ways = {"tune": 0, "other rhythm": 0, "below": 0}
    for seed in range(60):
        plan = plain(seed=seed, bars=8)
        theme = [tone for tone in melody.tune(plan, "tune") if tone.start >= 16]
        found = [note for note in tune(plan) if note.start >= 16]
        pitches = melody.pitches(plan, melody.tune(plan, "tune"), centre=76, low=55, high=98)[-len(theme) :]
        if [note.start for note in found] != [tone.start for tone in theme]:
            ways["other rhythm"] += 1
        elif [note.pitch % 12 for note in found] == [pitch % 12 for pitch in pitches]:
            ways["tune"] += 1
        else:
            ways["below"] += 1
        first = [note.start for note in tune(plan) if note.start < 16]
        assert first == [tone.start for tone in melody.tune(plan, "tune") if tone.start < 16]
    assert 18 <= ways["tune"] <= 42 and ways["below"] >= 6 and ways["other rhythm"] >= 6
    looped = plain(bars=8, gestures=gesture("loop"))
    assert [note.start for note in tune(looped)] == [tone.start for tone in melody.tune(looped, "tune")]


def long_notes(seeds: int = 30, **cues: object):
    for seed in range(seeds):
        yield plain(seed=seed, bars=16, density=0.3, length=1.0, **cues)


def share(seat_, *, of, **cues: object) -> float:
    """How often an ornament is there, of the tune's notes."""
    made = [note for plan in long_notes(**cues) for note in lead.write(plan, seat_, "l")]
    return mean(map(of, made))


def test_slides_and_bends_begin_away_from_their_pitch_as_often_as_the_instrument_does():
    def glides(figure: str, *gestures: str) -> dict[float, float]:
        found = [
            note.glide
            for plan in long_notes(gestures=gesture(*gestures))
            for note in lead.write(plan, seat("violin", figure=figure), "l")
        ]
        return {value: found.count(value) / len(found) for value in {*found}}

    sliding = glides("glide")
    assert sliding == pytest.approx({-2.0: 0.55, 2.0: 0.2, 0.0: 0.25}, abs=0.06)
    assert glides("bend") == pytest.approx({-1.0: 0.3, 0.0: 0.7}, abs=0.06)
    assert glides("", "glide") == pytest.approx({3.0: 0.15, -3.0: 0.2, 0.0: 0.65}, abs=0.06)
    assert glides("bend", "glide") == pytest.approx({-1.0: 0.35, 0.0: 0.65}, abs=0.06)
    assert glides("") == {0.0: 1.0}


def graces(figure: str, *gestures: str) -> tuple[float, set[bool]]:
    count = total = 0
    ups = set()
    for plan in long_notes(gestures=gesture(*gestures)):
        notes = sorted(lead.write(plan, seat("violin", figure=figure), "l"))
        small = [note for note in notes if abs(note.length - 0.11) < 1e-9]
        count, total = count + len(small), total + sum(note.length >= 0.3 for note in notes)
        for note in small:
            after = next(each for each in notes if abs(each.start - note.start - 0.11) < 1e-6)
            assert 1 <= abs(after.pitch - note.pitch) <= 2 and after.velocity - note.velocity == 12
            ups.add(note.pitch > after.pitch)
    return count / total, ups


def test_grace_notes_come_just_before_from_the_next_tone_of_the_scale():
    assert graces("grace")[0] == pytest.approx(0.3, abs=0.06) and graces("grace")[1] == {True, False}
    assert graces("", "grace")[0] == pytest.approx(0.45, abs=0.06)
    assert graces("")[0] == 0


def test_a_trill_alternates_with_the_tone_above():
    trilled = whole = 0
    for plan in long_notes(gestures=gesture("trill")):
        notes = sorted(lead.write(plan, seat("violin", figure=""), "l"))
        strokes = [note for note in notes if note.length == 0.12]
        whole += sum(note.length >= 0.9 for note in notes)
        groups: list[list] = []
        for note in strokes:
            if groups and abs(note.start - groups[-1][-1].start - 0.125) < 1e-6:
                groups[-1].append(note)
            else:
                groups.append([note])
        for group in groups:
            low, high = group[0].pitch, group[1].pitch
            assert [note.pitch for note in group[:7]] == [low, high, low, high, low, high, low]
            assert 1 <= high - low <= 2 and len(group) >= 7 and len({note.velocity for note in group[:7]}) == 1
        trilled += len(groups)
    assert trilled / (trilled + whole) == pytest.approx(0.4, abs=0.08)


@pytest.mark.parametrize(
    ("bpm", "step"), [(90.0, 1 / 8), (104.9, 1 / 8), (105.0, 1 / 6), (139.0, 1 / 6), (140.0, 1 / 4)]
)
def test_a_tremolo_strikes_a_note_again_and_again(bpm, step):
    plan = plain(tempi=[(0.0, bpm)], bars=4, density=0.3, length=1.0)
    notes = lead.write(plan, seat("mandolin"), "l")
    bare = lead.write(plan, seat("mandolin", figure=""), "l")
    assert {round(note.length, 6) for note in notes} == {round(step * 0.95, 6)}
    assert len(notes) == sum(max(round(note.length / step), 1) for note in bare)
    first = [note for note in notes if bare[0].start <= note.start < bare[0].start + bare[0].length - step / 2]
    assert [note.start for note in first] == pytest.approx(
        [bare[0].start + step * place for place in range(len(first))]
    )
    assert {note.pitch for note in first} == {bare[0].pitch}
    assert [note.velocity for note in first] == [bare[0].velocity, *[bare[0].velocity - 6] * (len(first) - 1)]
    mood = plain(tempi=[(0.0, bpm)], bars=4, density=0.3, length=1.0, gestures=gesture("repeat"))
    repeated = lead.write(mood, seat("violin", figure=""), "l")
    assert len(repeated) > len(lead.write(plan, seat("violin", figure=""), "l"))


def test_runs_lead_to_every_second_bar_from_below():
    plan = plain(bars=8, gestures=gesture("run"), density=0.3)
    notes, bare = tune(plan), tune(plain(bars=8, gestures=gesture(), density=0.3))
    extra = sorted(set(notes) - set(bare))
    assert {note.start % 8 for note in extra} == {7.5, 7.625, 7.75, 7.875} and len(extra) == 12
    for bar in (8.0, 16.0, 24.0):
        run = [note for note in extra if bar - 1 < note.start < bar]
        target = next(note for note in bare if note.start == bar)
        pitches = [*(note.pitch for note in run), target.pitch]
        assert all(1 <= b - a <= 2 for a, b in itertools.pairwise(pitches))
        assert {target.velocity - note.velocity for note in run} == {10} and {note.length for note in run} == {0.12}


def test_an_echo_comes_back_softer_but_for_singers():
    plan = plain(bars=4, gestures=gesture("echo"), density=0.3, length=1.0)
    bare = tune(plain(bars=4, gestures=gesture(), density=0.3, length=1.0))
    extra = sorted(set(tune(plan)) - set(bare))
    sources = [note for note in bare if note.length >= 0.4]
    assert [note.start for note in extra] == pytest.approx([note.start + 0.75 for note in sources])
    assert [note.pitch for note in extra] == [note.pitch for note in sources]
    assert [note.length for note in extra] == pytest.approx([note.length * 0.8 for note in sources])
    assert [note.velocity for note in extra] == [max(note.velocity - 30, 24) for note in sources]
    sung = lead.write(plan, seat("vocals"), "l")
    assert len(sung) == len(melody.tune(plan, "tune"))


def test_doublings_at_the_octave_or_a_third_but_for_who_plays_one_note_at_a_time():
    for names, gaps in ((("octaves",), {12}), (("thirds",), {3, 4, 5}), (("octaves", "thirds"), {12})):
        plan = plain(bars=4, gestures=gesture(*names), steps="1")
        notes = tune(plan)
        starts = {note.start for note in notes}
        pairs = [sorted(note.pitch for note in notes if note.start == start) for start in starts]
        assert all(len(pair) == 2 and pair[1] - pair[0] in gaps for pair in pairs), names
        single = lead.write(plan, seat("flute"), "l")
        assert len(single) == len({note.start for note in single})
    low = lead.write(plain(bars=4, gestures=gesture("thirds")), seat("violin", low=76), "l")
    assert min(note.pitch for note in low) >= 76
