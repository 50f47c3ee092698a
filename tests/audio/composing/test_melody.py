"""Tunes: how many notes, where they rest, which tones they take."""

import itertools
from statistics import mean

import pytest

from conceptcaps.audio.composing import harmony, melody
from conceptcaps.audio.composing.melody import Tone
from tests.audio.composing.plans import drawn, plain

LOOP = frozenset({"loop"})


def tune(plan, **changes: object) -> list[Tone]:
    return melody.tune(plan, "tune", **changes)


def rate(**cues: object) -> float:
    """Tones a beat, of many tunes."""
    plans = [plain(seed=seed, bars=16, **cues) for seed in range(12)]
    return mean(len(tune(plan)) for plan in plans) / 64


@pytest.mark.parametrize("density", [0.3, 0.5, 0.7])
def test_a_tune_has_as_many_notes_as_its_density_asks_for(density):
    tempi = [(0.0, 100.0)]
    found = rate(density=density, cells=["even", "running"], tempi=tempi)
    assert found == pytest.approx(0.25 + 2.4 * density, rel=0.4)
    assert rate(density=density + 0.25, cells=["even", "running"], tempi=tempi) > found + 0.1
    by_name = mean(len(tune(plain(seed=seed, bars=16), density=density, cells=["even"])) for seed in range(12)) / 64
    assert by_name == pytest.approx(rate(density=density, cells=["even"]), abs=0.01)


def test_no_tune_is_faster_than_can_be_played():
    for bpm in (100.0, 160.0, 250.0, 520.0):
        plan = plain(density=1.0, cells=["running"], tempi=[(0.0, bpm)], bars=32)
        tones = [tone for tone in tune(plan) if tone.start % 1 == 0]
        per_beat = max(
            sum(1 for tone in tune(plan) if int(tone.start) == beat) for beat in {int(tone.start) for tone in tones}
        )
        assert per_beat <= 8.5 * 60 / bpm or per_beat == 1


def test_phrases_begin_on_their_beat_and_end_with_a_long_tone_of_the_chord():
    for seed in range(20):
        plan = plain(seed=seed, bars=8, density=0.7, steps="1 4 5 6")
        tones = tune(plan)
        assert all(any(tone.start == 4 * bar for tone in tones) for bar in range(8)), "each bar has its first beat"
        assert tones == sorted(tones, key=lambda tone: tone.start)
        for bar in (3, 7):
            last = [tone for tone in tones if bar * 4 <= tone.start < bar * 4 + 4][-1]
            assert last.start == bar * 4 + 2 and last.length == 1.5
            chord = plan.chord(last.start)
            assert chord.scale[last.step % 7] in chord.pitch_classes
        ends = [(tone.start + tone.length, after.start) for tone, after in itertools.pairwise(tones)]
        assert all(end <= begin + 1e-6 for end, begin in ends), "one tone at a time"


def test_strong_tones_are_the_chord_s():
    fitting = []
    for seed in range(20):
        plan = plain(seed=seed, bars=16, steps="1 4 5 6", cells=["even"], density=0.4)
        for tone in tune(plan):
            if tone.start % 1 == 0 and tone.length >= 0.5:
                chord = plan.chord(tone.start)
                fitting.append(chord.scale[tone.step % 7] in chord.pitch_classes)
    assert all(fitting)
    weak = plain(bars=32, steps="1 4 5 6", cells=["running"], density=0.9)
    off = [tone for tone in tune(weak) if tone.start % 1]
    chords = [weak.chord(tone.start) for tone in off]
    inside = mean(chord.scale[tone.step % 7] in chord.pitch_classes for chord, tone in zip(chords, off, strict=True))
    assert 0.2 < inside < 0.75, "between the beats it passes"


def test_bars_of_a_phrase_share_motifs():
    orders = set()
    for seed in range(40):
        plan = plain(seed=seed, bars=4)
        rhythms = [
            tuple((tone.start % 4, tone.length) for tone in tune(plan) if tone.start // 4 == bar) for bar in range(3)
        ]
        orders.add((rhythms[0] == rhythms[1], rhythms[0] == rhythms[2]))
    assert {(False, True), (True, False)} <= orders
    assert (True, True) not in orders or len(orders) > 2


def test_contour_and_leaps_follow_the_mood():
    def climbs(contour: float) -> float:
        return mean(
            mean(tone.step for tone in tones if tone.start % 16 >= 8)
            - mean(tone.step for tone in tones if tone.start % 16 < 6)
            for tones in (tune(plain(seed=seed, bars=16, contour=contour, density=0.6)) for seed in range(20))
        )

    rising, level, falling = climbs(1.0), climbs(0.0), climbs(-1.0)
    assert rising > 1.2 and falling < -1.2 and abs(level) < 0.8

    def widths(leap: float) -> float:
        found = []
        for seed in range(16):
            tones = tune(plain(seed=seed, bars=16, leap=leap, cells=["running"], density=0.8, contour=0.0))
            found += [abs(b.step - a.step) for a, b in itertools.pairwise(tones)]
        return mean(found)

    small, medium, wide = widths(0.0), widths(0.5), widths(1.0)
    assert small + 0.3 < medium < wide - 0.3
    steps = [tone.step for seed in range(20) for tone in tune(plain(seed=seed, bars=32, leap=1.0, contour=0.0))]
    assert -8 < min(steps) and max(steps) < 12, "a tune does not stray"


def test_a_tune_begins_on_the_third_where_a_mood_lives_by_it():
    def firsts(*moods: str) -> set[int]:
        found = set()
        for seed in range(60):
            plan = plain("piano", *moods, seed=seed, bars=1, steps="1", gestures=frozenset(), cells=["even"])
            found.add(tune(plan)[0].step % 7)
        return found

    assert firsts("happy") <= {0, 2, 4} and firsts() <= {0, 2, 4}
    assert {2, 4} & firsts("happy")


def test_phrases_come_home_where_a_mood_lives_by_its_mode():
    def ends(*moods: str) -> set[int]:
        plans = [plain("piano", *moods, seed=seed, steps="1", density=0.6, gestures=frozenset()) for seed in range(20)]
        return {tone.step % 7 for plan in plans for tone in tune(plan) if tone.start % 16 == 14}

    assert ends("happy") == {0} and {2, 4} & ends()


def test_a_loop_repeats_its_bar_a_fanfare_its_chord_and_wandering_leaves_the_scale():
    looped = plain(gestures=LOOP, bars=8, steps="1", density=0.6)
    each = [[(t.start % 4, t.length, t.step) for t in tune(looped) if t.start // 4 == bar] for bar in range(8)]
    assert all(bar == each[0] for bar in each)
    fanfare = plain(gestures=frozenset({"fanfare"}), bars=16, steps="1 4 5 1", seed=4)
    for tone in tune(fanfare):
        chord = fanfare.chord(tone.start)
        assert chord.scale[tone.step % 7] in chord.pitch_classes
    altered = [
        tone.altered
        for seed in range(20)
        for tone in tune(plain(seed=seed, bars=16, gestures=frozenset({"wander"}), density=0.6))
        if not (tone.start % 16 == 14)
    ]
    assert mean(map(abs, altered)) == pytest.approx(0.35, abs=0.05) and {*altered} == {-1, 0, 1}
    assert {tone.altered for tone in tune(plain(bars=16))} == {0}


def test_words_and_feel_choose_the_cells():
    def offbeat(*tags: str, **cues: object) -> float:
        starts = [
            t.start % 1
            for seed in range(16)
            for t in tune(plain("piano", *tags, seed=seed, bars=16, density=0.5, **cues))
        ]
        return mean(0.1 < start < 0.9 for start in starts)

    assert offbeat("syncopated", cells=["long"]) > 0.4 > offbeat(cells=["long"]) + 0.1
    swung = [
        t.start % 1 for seed in range(16) for t in tune(plain(seed=seed, bars=16, swing=8, cells=["long"], density=0.5))
    ]
    assert any(abs(start - 2 / 3) < 0.01 for start in swung)
    dotted = [t for t in tune(plain(gestures=frozenset({"fanfare"}), bars=32, density=0.5)) if t.length == 0.75]
    assert dotted


def test_recitation_stays_on_one_step_and_leaves_it_at_ends():
    ends = set()
    for seed in range(40):
        plan = plain(seed=seed, bars=4)
        tones = melody.chant(plan, "chant")
        assert len(tones) >= 16
        for bar in range(4):
            own = [tone for tone in tones if tone.start // 4 == bar]
            assert own[0].start == 4 * bar and own[0].step == 3 + bar % 2
            assert {tone.step for tone in own[1:-1]} == {4} and own[-1].step in (3, 4)
            ends.add(own[-1].step)
            assert all(tone.length in (0.475, 0.95) for tone in own)
    assert ends == {3, 4}


@pytest.mark.parametrize(
    ("centre", "low", "high"), [(60.0, 30, 90), (76.0, 30, 90), (60.0, 58, 80), (90.0, 50, 70), (66.0, 62, 74)]
)
def test_a_tune_moves_by_octaves_into_its_compass(centre, low, high):
    plan = plain(key=2, chords=[harmony.Sonority(0.0, 32.0, 2, (0, 4, 7), (2, 4, 6, 7, 9, 11, 1))])
    tones = [Tone(float(place), 1.0, step) for place, step in enumerate((0, 2, 4, 7, 1))]
    found = melody.pitches(plan, tones, centre=centre, low=low, high=high)
    assert [pitch % 12 for pitch in found] == [2, 6, 9, 2, 4] and all(low <= pitch <= high for pitch in found)
    if high - low > 40:
        assert abs(mean(found) - centre) <= 6.5 and found[3] - found[0] == 12
    assert melody.pitches(plan, [Tone(0.0, 1.0, 0, -1)], centre=60, low=0, high=127)[0] % 12 == 1
    assert melody.pitches(plan, [], centre=60, low=0, high=127) == []


def test_a_tune_s_octave_is_the_nearest_to_its_centre():
    plan = plain()
    for centre in range(40, 90, 5):
        (pitch,) = melody.pitches(plan, [Tone(0.0, 1.0, 0)], centre=centre, low=0, high=127)
        assert abs(pitch - centre) <= 6 and pitch % 12 == 0
    (clear,) = melody.pitches(plan, [Tone(0.0, 1.0, 4)], centre=40, low=60, high=96)
    assert clear == 67, "away from the end of the compass"
    (clear,) = melody.pitches(plan, [Tone(0.0, 1.0, 4)], centre=99, low=60, high=84)
    assert clear == 79


def test_a_second_voice_is_a_third_below_or_a_fourth_where_the_chord_wants_it():
    plan = plain(steps="1")
    tones = [Tone(0.0, 1.0, 4), Tone(1.0, 0.5, 2), Tone(1.5, 0.5, 3), Tone(2.0, 1.0, 3), Tone(3.0, 1.0, 7)]
    assert [tone.step for tone in melody.below(plan, tones)] == [2, 0, 1, 0, 4]


def test_neighbours_are_tones_of_the_scale():
    plan = plain()
    assert [melody.neighbour(plan, 0.0, pitch, up=True) for pitch in (60, 64, 61, 71)] == [62, 65, 62, 72]
    assert [melody.neighbour(plan, 0.0, pitch, up=False) for pitch in (60, 65, 61, 62)] == [59, 64, 60, 60]


def test_in_three_a_tune_has_three_beats_and_rests_after_the_first():
    plan = plain(meter=3, bars=8, seed=2)
    tones = tune(plan)
    assert max(tone.start for tone in tones) < 24 and all(any(t.start == 3 * bar for t in tones) for bar in range(8))
    last = [tone for tone in tones if 9 <= tone.start < 12][-1]
    assert (last.start, last.length) == (10.0, 1.5)
    assert len(melody.tune(drawn("piano", "waltz time"), "tune")) > 5
