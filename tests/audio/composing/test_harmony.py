"""Chords, their names and how they are laid out."""

import itertools

import pytest

from conceptcaps.audio.composing import harmony
from conceptcaps.audio.composing.harmony import Sonority


@pytest.mark.parametrize(
    ("tones", "name"),
    [
        ((0, 4, 7), "maj"), ((0, 3, 7), "min"), ((0, 3, 6), "dim"), ((0, 4, 8), "aug"), ((0, 7, 12), "5"),
        ((0, 5, 7), "sus4"), ((0, 2, 7), "sus2"), ((0, 4, 7, 10), "maj7"),
        ((0, 4, 7, 11), "majmaj7"), ((0, 3, 7, 10), "min7"), ((0, 4, 7, 9), "maj6"), ((0, 3, 6, 9), "dim"),
        ((0, 3, 6, 10), "dim7"), ((0, 3, 7, 9), "min6"), ((0, 4, 7, 8), "maj"), ((0, 3, 6, 7), "min"),
        ((0, 16, 7), "maj"), ((0, 2, 4, 7), "maj"),
    ],
)  # fmt: skip
def test_a_chord_is_named_by_its_third_fifth_and_seventh(tones, name):
    assert Sonority(0, 4, 0, tones, ()).quality == name


def test_its_pitch_classes_are_those_of_its_tones_above_the_root():
    assert Sonority(0, 4, 9, (0, 3, 7, 14), ()).pitch_classes == {9, 0, 4, 11}


@pytest.mark.parametrize(
    ("mode", "step", "kind", "leading", "root", "tones"),
    [
        ("major", 0, "triad", False, 0, (0, 4, 7)),
        ("major", 1, "seventh", False, 2, (0, 3, 7, 10)),
        ("major", 6, "triad", False, 11, (0, 3, 6)),
        ("major", 4, "ninth", False, 7, (0, 4, 7, 10, 14)),
        ("major", 0, "sixth", False, 0, (0, 4, 7, 9)),
        ("major", 3, "add9", False, 5, (0, 4, 7, 14)),
        ("major", 0, "sus", False, 0, (0, 5, 7)),
        ("major", 0, "open", False, 0, (0, 7, 16)),
        ("major", 0, "quartal", False, 0, (0, 5, 11)),
        ("minor", 4, "triad", False, 7, (0, 3, 7)),
        ("minor", 4, "triad", True, 7, (0, 4, 7)),
        ("dorian", 4, "triad", True, 7, (0, 4, 7)),
        ("minor", 11, "triad", True, 7, (0, 4, 7)),
        ("minor", 3, "triad", True, 5, (0, 3, 7)),
        ("phrygian", 4, "triad", True, 7, (0, 3, 6)),
        ("blues", 3, "dominant", False, 5, (0, 4, 7, 10)),
        ("pentatonic", 4, "triad", False, 7, (0, 4, 7)),
        ("minorpentatonic", 2, "triad", False, 3, (0, 4, 7)),
        ("major", 9, "power", False, 4, (0, 7, 12)),
        ("chromatic", 3, "triad", False, 3, (0, 1, 6, 11)),
        ("chromatic", 3, "augmented", False, 3, (0, 4, 8)),
        ("minor", 2, "diminished", False, 3, (0, 3, 6, 9)),
    ],
)
def test_chords_on_the_steps_of_a_mode(mode, step, kind, leading, root, tones):
    found = harmony.chord(mode, step, kind, leading=leading)
    assert found[:2] == (root, tones)
    raised = leading and step % 7 == 4 and mode in ("minor", "dorian")
    assert found[2] == ((*harmony.MODES[mode][:-1], 11) if raised else harmony.MODES[mode]), "the tune's own scale"


def test_a_chord_lies_close_about_its_centre_and_moves_little():
    before: list[int] = []
    for root, centre in itertools.product(range(12), (48, 60, 67.5)):
        chord = Sonority(0, 4, root, (0, 4, 7), ())
        alone = harmony.lay_out(chord, centre)
        assert {pitch % 12 for pitch in alone} == chord.pitch_classes and alone == sorted(alone)
        assert alone[-1] - alone[0] < 12 and abs(sum(alone) / 3 - centre) <= 2.5
    for root in (0, 5, 7, 9, 2, 4, 11):
        chord = Sonority(0, 4, root, (0, 4, 7), ())
        stack = harmony.lay_out(chord, 60, before)
        if before:
            assert sum(abs(one - other) for one, other in zip(stack, before, strict=True)) <= 9
        before = stack
    ninth = harmony.lay_out(Sonority(0, 4, 0, (0, 4, 7, 10, 14), ()), 60)
    assert {pitch % 12 for pitch in ninth} == {0, 4, 10, 2}, "of five tones the fifth is left out"
    assert {pitch % 12 for pitch in harmony.lay_out(Sonority(0, 4, 0, (0, 4, 7, 10), ()), 60)} == {0, 4, 7, 10}
    tonic = Sonority(0, 4, 0, (0, 4, 7), ())
    assert harmony.lay_out(tonic, 60) == [55, 60, 64] and harmony.lay_out(tonic, 60, [60, 64, 69]) == [60, 64, 67]


@pytest.mark.parametrize(("pitch", "placed"), [(60, 60), (47, 59), (35, 59), (48, 48), (72, 72), (73, 61), (97, 61)])
def test_octaves_bring_a_pitch_into_a_compass(pitch, placed):
    assert harmony.inside(pitch, 48, 72) == placed


def test_nearest_pitch_of_a_class():
    for pitch_class, pitch in itertools.product(range(12), (40, 59.4, 66)):
        found = harmony.near(pitch_class, pitch)
        assert found % 12 == pitch_class and abs(found - pitch) <= 6
