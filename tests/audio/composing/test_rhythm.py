"""Patterns of sixteenths."""

import random

import pytest

from conceptcaps.audio.composing import rhythm

LINE = "x--.o...x.o.x.x."


def test_a_varied_pattern_keeps_its_beats_and_changes_as_many_weak_places_as_asked():
    seen = set()
    for seed in range(200):
        for changes in (0, 1, 3):
            varied = rhythm.vary(LINE, random.Random(seed), changes=changes)
            differing = [place for place in range(16) if varied[place] != LINE[place]]
            assert len(differing) == changes and all(place % 4 for place in differing)
            for place in differing:
                seen.add((LINE[place], varied[place]))
                if LINE[place] in "-.":
                    assert varied[place] == "o"
                else:
                    assert varied[place] == ("-" if varied[place - 1] == "-" else ".")
    assert seen >= {(".", "o"), ("-", "o"), ("o", "."), ("x", ".")}
    assert rhythm.vary("x---1-3-", random.Random(0), changes=9) == "xooo1o3o", "tones of a chord stay"
    held = {rhythm.vary("x--x", random.Random(seed), changes=1) for seed in range(40)}
    assert held == {"xo-x", "x-ox", "x---"}, "a stroke dropped inside a held note lets it sound on"


@pytest.mark.parametrize(
    ("density", "kept"),
    [
        (0.4, "xxoxx.x.oxx."),
        (0.39, "x...x.x...x."),
        (0.25, "x...x.x...x."),
        (0.24, "x...x......."),
        (0.0, "x...x......."),
    ],
)
def test_thinning_takes_soft_strokes_then_sixteenths_then_off_beats(density, kept):
    assert rhythm.thin("xxoxx.x.oxx.", density) == kept


@pytest.mark.parametrize(
    ("swing", "beat", "falls"),
    [
        (8, 0.25, 1 / 3), (8, 0.5, 2 / 3), (8, 0.75, 5 / 6), (8, 2.5, 2 + 2 / 3), (8, 3.0, 3.0),
        (16, 0.25, 0.29), (16, 0.5, 0.5), (16, 0.375, 0.395), (16, 1.75, 1.79), (0, 0.25, 0.25),
    ],
)  # fmt: skip
def test_of_two_swung_notes_the_first_is_the_longer(swing, beat, falls):
    assert rhythm.swung(beat, swing) == pytest.approx(falls)


def test_events_and_fit():
    assert rhythm.events("..x-o-.1") == [(0.5, 0.5, "x"), (1.0, 0.5, "o"), (1.75, 0.25, "1")]
    assert rhythm.fit("x-o.", 10) == "x-o.x-o.x-" and rhythm.fit("x-o.", 4) == "x-o."
