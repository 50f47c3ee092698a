"""What moods ask for, computed by hand from the table's rows."""

import pytest

from conceptcaps.audio.composing import character as moods_of
from conceptcaps.audio.composing import tables
from conceptcaps.audio.composing.streams import Streams

STYLE = {
    "modes": ["major"],
    "bpm": [100, 140],
    "cells": ["even"],
    "feel": {"density": 0.6, "length": 0.8, "accent": 0.5},
}


def cues(*moods: str, style=STYLE, tempo=None):
    return moods_of.character(moods, style, tempo=tempo)


def test_without_a_mood_the_genre_s_feel_holds():
    found = cues()
    assert (found.density, found.length, found.accent) == (0.6, 0.8, 0.5)
    assert (found.register, found.leap, found.contour, found.dissonance) == (0.0, 0.35, 0.0, 0.0)
    assert (found.cells, found.harmony, found.shape, found.gestures, found.moods) == (
        ["even"],
        "triad",
        "flat",
        set(),
        (),
    )


def test_a_mood_decides_four_fifths_of_density_length_and_accent_and_all_of_the_rest():
    found = cues("happy")  # density .65, length .6, accent .6, register 5, leap .45, contour .5
    assert found.density == pytest.approx(0.8 * 0.65 + 0.2 * 0.6)
    assert found.length == pytest.approx(0.8 * 0.6 + 0.2 * 0.8)
    assert found.accent == pytest.approx(0.8 * 0.6 + 0.2 * 0.5)
    assert (found.register, found.leap, found.contour, found.dissonance) == (5, 0.45, 0.5, 0)
    assert found.cells == ["even"] and found.shape == "flat" and found.moods == ("happy",)


def test_numbers_of_several_moods_are_means_and_names_the_most_insistent_one_s():
    found = cues("comedic", "sad")  # weights .7 and 1
    assert found.register == pytest.approx((-3 - 5) / 2) and found.contour == pytest.approx((-0.3 - 0.9) / 2)
    assert found.density == pytest.approx(0.8 * (0.5 + 0.25) / 2 + 0.2 * 0.6)
    assert (found.cells, found.shape, found.moods) == (["long"], "fading", ("sad", "comedic"))
    assert found.gestures == {"glide", "stops", "grace", "wander"}
    assert moods_of.strongest(["calm", "gentle", "happy"]) == ["happy", "calm", "gentle"], "by name where equal"


@pytest.mark.parametrize(
    ("own", "mood", "harmony"),
    [
        (None, "happy", "triad"), (None, "sad", "triad"), ("seventh", "happy", "seventh"),
        ("seventh", "gentle", "seventh"),
        ("seventh", "fun", "seventh"), ("ninth", "chaotic", "cluster"), ("open", "gentle", "add9"),
        ("add9", "fun", "sixth"), ("power", "eerie", "augmented"), ("power", None, "power"),
    ],
)  # fmt: skip
def test_a_genre_s_chords_give_way_to_a_mood_s_unless_that_one_s_are_plain(own, mood, harmony):
    style = STYLE if own is None else {**STYLE, "harmony": own}
    assert cues(*([mood] if mood else []), style=style).harmony == harmony


@pytest.mark.parametrize(
    ("tempo", "density", "length"),
    [
        ("slow tempo", 0.55, 1.3),
        ("moderately slow tempo", 0.85, 1.1),
        ("medium tempo", 1, 1),
        ("fast tempo", 1.1, 0.9),
    ],
)
def test_slow_music_has_fewer_and_longer_notes_in_a_beat(tempo, density, length):
    found = cues(tempo=tempo)
    assert found.density == pytest.approx(0.6 * density) and found.length == pytest.approx(0.8 * length)
    assert cues("calm", tempo="slow tempo").length == 1.1, "no note is longer than that"
    sparse = {**STYLE, "feel": {"density": 0.1, "length": 0.8, "accent": 0.5}}
    assert cues(style=sparse, tempo="fast tempo").density == 0.6, "else nobody hears that it is fast"
    assert cues(style=sparse, tempo="slow tempo").density == pytest.approx(0.055)


@pytest.mark.parametrize(
    ("moods", "own", "mode"),
    [
        (["happy"], ["minor", "major"], "major"),
        (["sad"], ["major", "minor"], "minor"),
        (["happy"], ["phrygian", "minor"], "major"),
        (["happy"], ["dorian", "mixolydian"], "mixolydian"),
        (["sad"], ["mixolydian", "dorian", "minor"], "minor"),
        (["sad"], ["mixolydian", "dorian"], "dorian"),
        (["uplifting"], ["minor", "lydian"], "lydian"),
        (["happy", "melancholic"], ["minor", "major"], "major"),
        (["melancholic", "easygoing"], ["major", "minor"], "minor"),
        (["calm", "dramatic"], ["minor", "major"], "major"),
        (["romantic", "intense"], ["major", "minor"], "minor"),
        (["chaotic"], ["major"], "chromatic"),
        (["eerie"], ["major"], "wholetone"),
        (["eerie", "happy"], ["major"], "major"),
        (["eerie", "calm"], ["major"], "wholetone"),
        (["eerie", "calm"], ["dorian", "major"], "major"),
        (["weird", "eerie"], ["major"], "wholetone"),
        (["scary"], ["major"], "phrygian"),
        (["mysterious"], ["hijaz", "minor"], "hijaz"),
    ],
)
def test_moods_vote_for_major_or_minor_and_take_a_mode_that_the_genre_knows(moods, own, mode):
    assert moods_of.mode(moods, {**STYLE, "modes": own}, Streams(0)) == mode


def test_without_a_mood_earlier_modes_are_three_times_as_likely_as_the_next():
    drawn = [moods_of.mode([], {**STYLE, "modes": ["major", "dorian", "minor"]}, Streams(seed)) for seed in range(1300)]
    shares = [drawn.count(mode) / len(drawn) for mode in ("major", "dorian", "minor")]
    assert shares == pytest.approx([9 / 13, 3 / 13, 1 / 13], abs=0.05)
    assert {moods_of.mode([], {**STYLE, "modes": ["dorian"]}, Streams(seed)) for seed in range(9)} == {"dorian"}
    free = [moods_of.mode(["upbeat"], tables.genres()["none"], Streams(seed)) for seed in range(400)]
    assert free.count("mixolydian") / 400 == pytest.approx(1 / 4, abs=0.06) and set(free) == {"major", "mixolydian"}


@pytest.mark.parametrize(
    ("moods", "genre", "bounds"),
    [
        ([], "pop", (100, 140)),
        (["happy"], "none", (120, 140)),
        (["sad", "calm"], "none", (58, 70)),  # what both ranges hold
        (["emotional", "passionate"], "none", (84, 96)),  # what lies between ranges that nearly meet
        (["sad", "exciting"], "none", (54, 70)),  # the most insistent mood's where they do not
        (["sad"], "pop", (94, 94 * 1.03)),  # as slow as the genre can be, a little beyond
        (["exciting"], "pop", (0.97 * (94 + 0.95 * 54.4), 148.4)),
        (["playful"], "pop", (0.97 * 126.64, 1.03 * 126.64)),
        (["happy", "sad"], "pop", (0.97 * 120, 1.03 * 120)),  # the mean place .375, but happy is no slower than 120
    ],
)
def test_moods_lead_the_tempo_within_and_a_little_beyond_the_genre_s(moods, genre, bounds):
    assert moods_of.tempo_range(moods, STYLE, genre=genre) == pytest.approx(bounds, abs=0.01)
