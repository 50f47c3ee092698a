"""What a piece agrees on: tempo, metre, form, chords, dynamics."""

from dataclasses import replace

import numpy as np
import pytest

from conceptcaps.audio.composing import harmony, tables
from conceptcaps.audio.composing.plan import TEMPI, Form
from conceptcaps.audio.score import Piece
from tests.audio.composing.plans import drawn, level, plain


def test_an_accent_s_force_and_a_soft_stroke_s_come_from_the_mood():
    for accent in (0.0, 0.5, 1.0):
        plan = plain(accent=accent)
        full = 60 + 46 * accent
        assert level(plan, 0.0) == pytest.approx(full, abs=0.8)
        assert level(plan, 1.0, 0.6) == pytest.approx(full * (1 - 0.4 * (0.25 + 0.45 * accent)), abs=0.8)
    found = {plain(accent=0.5).velocity(0.0, 1.0, name) for name in range(200)}
    assert {value % 4 for value in found} == {0} and 2 <= len(found) <= 3, "a small deviation, in steps of four"
    assert plain(accent=0.5).velocity(0.0, 1.0, "a") == plain(accent=0.5).velocity(0.0, 1.0, "a")
    assert plain(accent=0.0, shape="terraces").velocity(4.0, 0.0, 0) >= 24
    assert max(plain(accent=1.6).velocity(0.0, 1.0, name) for name in range(50)) == 124
    assert min(plain(accent=0.0, shape="terraces").velocity(4.0, -3.0, name) for name in range(9)) >= 24


@pytest.mark.parametrize(
    ("shape", "levels"),
    [  # at the beginning, a quarter, half a phrase, its last beat, and the beginning of the last bar of eight
        ("flat", {0.0: 1, 8.0: 1, 28.0: 1}),
        ("crescendo", {0.0: 0.84, 16.0: 0.99, 32.0: 1.14}),
        ("swell", {0.0: 0.82, 8.0: 1.08, 16.0: 0.82, 4.0: 0.82 + 0.26 * 0.5**0.5}),
        ("terraces", {0.0: 1.12, 3.5: 1.12, 4.0: 0.62, 8.0: 1.12, 28.0: 0.62}),
        ("fading", {0.0: 1.05, 8.0: 0.925, 12.0: 0.8625, 16.0: 1.05}),
    ],
)
def test_dynamics_have_the_mood_s_shape(shape, levels):
    plan = plain(accent=0.5, shape=shape)
    for beat, factor in levels.items():
        assert level(plan, beat) / 83 == pytest.approx(factor, abs=0.015), beat


def test_chords_hold_until_the_next_and_rests_are_rests():
    plan = plain(slot=2.0, form=Form(4, {}, [(3.0, 4.0), (7.0, 8.0)], contrast=False))
    assert [plan.chord(beat) for beat in (0.0, 1.99, 2.0, 63.0)] == [
        *[plan.chords[0]] * 2,
        plan.chords[1],
        plan.chords[-1],
    ]
    assert plan.chord(2.0 - 1e-9) == plan.chords[1], "rounding does not put a beat into the chord before"
    assert [plan.silent(beat) for beat in (2.9, 3.0, 3.9, 4.0, 7.5)] == [False, True, True, False, True]
    assert plan.at(2, 1.5) == 9.5 and replace(plan, swing=8).at(2, 1.5) == pytest.approx(9 + 2 / 3)


@pytest.mark.parametrize("tempo", TEMPI)
def test_a_tempo_tag_s_range_is_used_and_moods_choose_the_part_of_it(tempo):
    low, high = TEMPI[tempo]
    place = lambda bpm: (bpm - low) / (high - low)  # noqa: E731
    free = [place(drawn("piano", tempo, seed=seed).bpm) for seed in range(60)]
    assert 0 <= min(free) < 0.15 and 0.85 < max(free) <= 1
    for moods, wished in ((("happy",), 0.75), (("calm",), 0.0), (("happy", "calm"), 0.375)):
        found = [place(drawn("piano", tempo, *moods, seed=seed).bpm) for seed in range(60)]
        least, most = 0.65 * wished, 0.65 * wished + 0.35
        assert least - 0.01 <= min(found) < least + 0.07 and most - 0.07 < max(found) <= most + 0.01


def test_without_a_tempo_tag_the_genres_or_the_mood_s_hold():
    def tempi(*tags: str) -> tuple[float, float]:
        found = [drawn(*tags, seed=seed).bpm for seed in range(60)]
        return min(found), max(found)

    assert tempi("pop") == pytest.approx((96, 124), abs=2) and tempi("piano", "happy") == pytest.approx(
        (120, 140), abs=2
    )
    assert tempi("pop", "disco") == pytest.approx((114, 124), abs=2), "what both genres know"
    low, high = tempi("disco", "ballad")
    assert (low, high) in (pytest.approx((114, 126), abs=2), pytest.approx((60, 76), abs=2)), "else the first one's"
    assert tempi("piano", "danceable") == pytest.approx((100, 118), abs=2)
    assert tempi("piano", "groovy", "calm") == pytest.approx((100, 108), abs=2)
    assert tempi("piano", "driving rhythm", "exciting") == pytest.approx((138, 128), abs=11)


def test_bars_cover_the_clip_and_little_more():
    for tags in (["pop"], ["waltz time", "piano"], ["sad"], ["drum and bass"], ["progressive rock"]):
        for duration in (4.0, 10.0, 31.0):
            for seed in range(4):
                plan = drawn(*tags, seed=seed, duration=duration)
                bar = plan.meter * 60 / plan.bpm
                assert duration + bar - 1e-6 <= plan.bars * bar <= duration + 2 * bar
                assert plan.chords[-1].start + plan.chords[-1].length >= plan.bars * plan.meter


def test_a_tempo_that_changes_has_done_so_by_the_end_of_the_clip():
    ratios = set()
    for seed in range(40):
        plan = drawn("tempo changes", "piano", seed=seed)
        piece = Piece([], list(plan.tempi), plan.meter)
        bpm = np.array([value for _, value in plan.tempi])
        assert [beat for beat, _ in plan.tempi] == [float(beat) for beat in range(plan.bars * plan.meter)]
        ratio = bpm[-1] / bpm[0]
        assert ratio == pytest.approx(min((1.45, 1.4, 0.66, 0.7), key=lambda each: abs(each - ratio)))
        ratios.add(round(float(ratio), 2))
        steps = bpm[1:] / bpm[:-1]
        assert (steps >= 1).all() if ratio > 1 else (steps <= 1).all(), "one way"
        reached = next(place for place, value in enumerate(bpm) if np.isclose(value, bpm[-1]))
        seconds = float(piece.seconds(float(reached)))
        assert 6 < seconds < 13 and float(piece.seconds(float(plan.bars * plan.meter))) >= 10
    assert ratios == {1.45, 1.4, 0.66, 0.7}
    assert drawn("tempo changes", "piano", duration=0.5).bars >= 3


def test_metre():
    assert {drawn("waltz time", "rock", seed=seed).meter for seed in range(6)} == {3}
    assert {drawn("progressive rock", seed=seed).meter for seed in range(40)} == {4, 5, 7}
    for word in ("four-on-the-floor", "swing rhythm", "danceable", "groovy"):
        assert {drawn("progressive rock", word, seed=seed).meter for seed in range(20)} == {4}
    assert {drawn("progressive rock", "march", seed=seed).meter for seed in range(20)} == {4}
    assert {drawn("piano", seed=seed).meter for seed in range(20)} == {4}


def test_of_two_genres_the_more_exact_one_is_played_and_the_other_known():
    plan = drawn("rock", "punk rock", "jazz")
    assert plan.genre == "punk rock" and plan.others == ["jazz"], "rock is implied"
    assert drawn("piano").genre == "none" and drawn("piano").others == []
    assert drawn("swing rhythm", "pop").swing == 8 and drawn("pop").swing == 0 and drawn("r&b").swing == 16


def test_phrases_have_four_bars_but_two_where_bars_are_long():
    for bpm_tags, phrase in (
        (("slow tempo",), 2),
        (("fast tempo",), 4),
        (("medium tempo",), 2),
        (("moderately fast tempo",), 4),
    ):
        phrases = {drawn("piano", *bpm_tags, seed=seed).form.phrase for seed in range(20)}
        bars = {240 / drawn("piano", *bpm_tags, seed=seed).bpm for seed in range(20)}
        assert phrases == {phrase} or min(bars) <= 2.0 <= max(bars), bpm_tags


def test_parts_enter_late_in_some_forms_but_never_where_it_repeats_or_beats_steadily():
    forms = [drawn("fast tempo", "piano", seed=seed).form.entries for seed in range(120)]
    kinds = [tuple(sorted(entries.items())) for entries in forms]
    whole, later = (), (("lead", 4.0),)
    thin = (("bass", 4.0), ("kit", 4.0))
    built = (("bass", 4.0), ("kit", 2.0), ("lead", 4.0), ("pad", 2.0))
    assert set(kinds) == {whole, later, thin, built}
    for kind, share in ((whole, 2 / 6), (later, 1 / 6), (thin, 2 / 6), (built, 1 / 6)):
        assert kinds.count(kind) / 120 == pytest.approx(share, abs=0.13)
    slow = {tuple(sorted(drawn("slow tempo", "piano", seed=seed).form.entries.items())) for seed in range(60)}
    assert (("lead", 2.0),) in slow, "half a bar where bars are long"
    for word in ("repetitive pattern", "steady beat", "four-on-the-floor", "hypnotic"):
        assert all(not drawn("piano", word, seed=seed).form.entries for seed in range(20)), word
    contrast = [drawn("piano", seed=seed).form.contrast for seed in range(120)]
    assert sum(contrast) / 120 == pytest.approx(0.6, abs=0.12)


def test_a_mood_with_stops_has_rests_at_the_ends_of_phrases():
    for seed in range(12):
        plan = drawn("dramatic", "fast tempo", "piano", seed=seed)
        every = max(plan.form.phrase // 2, 1)
        ends = [end for _, end in plan.form.rests]
        assert ends == [float((number + 1) * plan.meter) for number in range(every - 1, plan.bars, every)]
        assert {end - start for start, end in plan.form.rests} == {2.0}
        slow = drawn("dramatic", "slow tempo", "piano", seed=seed)
        assert {end - start for start, end in slow.form.rests} == {1.0}
    for word in ("steady beat", "four-on-the-floor", "danceable", "driving rhythm"):
        assert all(not drawn("dramatic", word, "piano", seed=seed).form.rests for seed in range(12)), word
    assert all(not drawn("calm", "piano", seed=seed).form.rests for seed in range(30)), "soft music does not stop"
    stopped = [drawn("powerful", "fast tempo", "piano", seed=seed) for seed in range(120)]
    with_rests = [plan for plan in stopped if plan.form.rests]
    assert len(with_rests) / 120 == pytest.approx(0.3, abs=0.12)
    for plan in with_rests:
        assert [end for _, end in plan.form.rests] == [
            float((n + 1) * plan.meter) for n in range(plan.form.phrase - 1, plan.bars, plan.form.phrase)
        ]
        assert {end - start for start, end in plan.form.rests} == {1.0}


def degrees(plan) -> list[int]:
    """Steps of the scale on which the chords stand, 1 for the tonic's."""
    scale = harmony.MODES[harmony.CHORD_SCALE.get(plan.mode, plan.mode)]
    return [scale.index((chord.root - plan.key) % 12) + 1 for chord in plan.chords]


def test_chords_follow_a_progression_of_the_genre_and_contrast_in_every_second_phrase():
    themes, others = set(), set()
    known = [[int(step) for step in line.split()] for line in tables.genres()["pop"]["chords"]]
    for seed in range(30):
        plan = drawn("pop", seed=seed, duration=20)
        found = degrees(plan)
        assert {chord.length for chord in plan.chords} == {4.0}
        assert [chord.start for chord in plan.chords] == [4.0 * n for n in range(plan.bars)]
        width = plan.form.phrase
        theme = next(line for line in known if line[:width] == found[:width])
        themes.add(tuple(theme[:width]))
        second = found[width : 2 * width]
        same = second == theme[:width]
        others.add(same)
        assert second in [line[:width] for line in known]
        if not plan.form.contrast:
            assert same
        assert found[2 * width : 3 * width] in (theme[:width], theme[: len(found[2 * width : 3 * width])])
    assert len(themes) > 2 and others == {True, False}


def test_long_bars_have_two_chords_and_loops_one_figure():
    assert {chord.length for chord in drawn("ballad").chords} == {2.0}
    assert {chord.length for chord in drawn("pop", "slow tempo").chords} == {2.0}
    assert {chord.length for chord in drawn("ambient", "slow tempo").chords} == {4.0}
    assert {chord.length for chord in drawn("waltz time", "piano", "slow tempo").chords} == {3.0}
    assert {chord.length for chord in drawn("pop", "fast tempo").chords} == {4.0}
    for seed in range(12):
        plan = drawn("repetitive pattern", "pop", seed=seed)
        found = degrees(plan)
        assert {chord.length for chord in plan.chords} == {2.0} and len({*found[0::2]}) == len({*found[1::2]}) == 1


@pytest.mark.parametrize(
    ("tags", "kinds"),
    [
        (("jazz",), {5}), (("pop",), {3}), (("blues",), {4}), (("gentle", "piano"), {4}), (("hard rock",), {3}),
        (("chaotic", "piano"), {4}), (("dreamy", "piano"), {5}), (("meditative", "piano"), {3}),
    ],
)  # fmt: skip
def test_chords_have_as_many_tones_as_genre_or_mood_ask_for(tags, kinds):
    for seed in range(6):
        plan = drawn(*tags, seed=seed)
        rough = plan.character.dissonance > 0
        assert rough or {len(chord.tones) for chord in plan.chords} <= kinds | {3}, tags
        assert rough or max(len(chord.tones) for chord in plan.chords) in kinds


def test_colours_that_blur_the_key_are_left_out_where_a_mood_lives_by_it():
    for seed in range(12):
        plan = drawn("melancholic", "piano", seed=seed)  # sevenths, but for the tonic
        for chord in plan.chords:
            assert len(chord.tones) == (3 if chord.root == plan.key else 4)
        scary = drawn("suspenseful", "piano", seed=seed, duration=20)
        assert all(set(chord.tones) >= {0, 3} for chord in scary.chords)
    suspended = drawn("emotional", "pop", duration=20)
    assert all(
        (5 in chord.tones) or number % 2 == 0 or len(chord.tones) > 3 for number, chord in enumerate(suspended.chords)
    )
    assert any(5 in chord.tones for chord in suspended.chords[1::2])
    assert all({3, 4} & {*chord.tones} for chord in suspended.chords[::2])


def test_rough_moods_add_tones_that_rub():
    def rough(value: float) -> float:
        found = []
        for seed in range(30):
            plan = drawn("piano", "suspenseful", seed=seed)
            made = drawn("piano", "chaotic" if value > 0.6 else "suspenseful", seed=seed)
            found += [len(chord.tones) > 3 or bool({1, 6, 11} & {*chord.tones}) for chord in made.chords[1:]]
            assert plan.chords
        return float(np.mean(found))

    assert rough(0.9) > rough(0.45) > 0.2
    added = {
        tone for seed in range(40) for chord in drawn("ominous", "piano", seed=seed).chords for tone in chord.tones
    }
    assert {1, 6, 11} <= added
    smooth = [chord.tones for seed in range(10) for chord in drawn("happy", "piano", seed=seed).chords]
    assert {len(tones) for tones in smooth} == {3}
    firsts = [drawn("ominous", "piano", seed=seed).chords[0].tones for seed in range(40)]
    assert all(len(tones) == 3 for tones in firsts), "the first chord is plain unless the mood is harsh"


@pytest.mark.parametrize(
    ("tags", "mode", "allowed"),
    [
        (("spiritual", "piano"), "major", {(1, 4, 1, 4), (1, 4, 1, 1), (1, 4, 2, 1)}),
        (("dreamy", "piano"), "lydian", {(1, 2, 1, 2), (1, 2, 5, 1), (1, 1, 2, 1)}),
        (("ominous", "piano"), "phrygian", {(1, 2, 1, 2), (1, 1, 2, 1), (1, 2, 3, 1)}),
        (("happy", "piano"), "major", {(1, 4, 5, 1)}),
        (("sad", "piano"), "minor", {(1, 4, 5, 1), (1, 5, 6, 4), (1, 6, 4, 5)}),
        (("happy", "pop"), "major", {(1, 4, 5, 1), (1, 5, 1, 4), (1, 4, 1, 5), (1, 5, 4, 1)}),
        (("sad", "ballad"), "minor", {(1, 4, 5, 1), (1, 4, 1, 5), (1, 6, 5, 1), (1, 5, 1, 4)}),  # half of it is at home
    ],
)
def test_progressions_of_moods_leave_no_doubt_of_the_mode(tags, mode, allowed):
    seen = set()
    for seed in range(40):
        plan = drawn(*tags, seed=seed, duration=30)
        found, phrase = degrees(plan), plan.form.phrase
        per_phrase = int(phrase * plan.meter / plan.chords[0].length)
        if per_phrase >= 4 and plan.mode == mode:
            seen.add(tuple(found[:4]))
    assert seen and seen <= allowed, seen - allowed


def test_a_minor_dominant_leads_where_the_mode_is_told_and_keys_are_all_used():
    for seed in range(20):
        sad = drawn("sad", "piano", seed=seed, duration=20)
        for chord in sad.chords:
            if (chord.root - sad.key) % 12 == 7 and len(chord.tones) == 3:
                assert chord.tones[1] == 4 and (sad.key + 11) % 12 in chord.scale
    assert {drawn("pop", seed=seed).key for seed in range(120)} == set(range(12))


@pytest.mark.parametrize(
    ("tags", "range_"),
    [
        (("reggae", "medium tempo"), (98, 101.5)),  # the genre's own end at 90
        (("metal", "moderately fast tempo"), (128.5, 132)),
        (("pop", "moderately fast tempo"), (118, 124)),
        (("pop", "medium tempo"), (98, 112)),
    ],
)
def test_a_tempo_that_is_asked_for_is_drawn_as_near_to_the_genre_s_as_it_allows(tags, range_):
    found = [drawn(*tags, seed=seed).bpm for seed in range(60)]
    assert range_[0] <= min(found) and max(found) <= range_[1]
    assert max(found) - min(found) > 0.6 * (range_[1] - range_[0])


def test_a_mode_is_told_where_a_mood_insists_on_one_and_there_is_one():
    assert drawn("piano", "happy").tells and drawn("piano", "sad").tells
    assert not drawn("piano", "energetic").tells and not drawn("piano", "chaotic").tells and not drawn("piano").tells


def test_the_tonic_of_a_plain_key_is_a_triad_where_the_mode_is_told():
    for seed in range(20):
        plan = drawn("piano", "romantic", seed=seed)
        tonics = [chord for chord in plan.chords if chord.root == plan.key]
        assert plan.mode == "major" and tonics and all(chord.tones == (0, 4, 7) for chord in tonics)
        assert any(len(chord.tones) > 3 for chord in plan.chords if chord.root != plan.key)
