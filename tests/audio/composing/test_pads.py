"""Chords that are held: pads, bowed strings, drones."""

from statistics import mean

import pytest

from conceptcaps.audio.composing import comping, tables
from conceptcaps.audio.composing.plan import Form
from tests.audio.composing.plans import bars, marks, places, plain, seat

COMPS = tables.rhythms("comps")


def test_a_pad_holds_its_chords_and_its_top_voice_moves_half_way():
    plan = plain(steps="1 4 5 2", length=1.0, density=0.5, bars=16)
    moved = set()
    for bar, notes in bars(comping.pad(plan, seat("synth pad"), "p"), plan).items():
        chord = plan.chord(bar * 4)
        held = [note for note in notes if note.start == bar * 4]
        later = [note for note in notes if note.start != bar * 4]
        assert {note.pitch % 12 for note in held} == chord.pitch_classes and len(held) == 3 and len(later) == 1
        assert later[0].start == bar * 4 + 2 and later[0].length == pytest.approx(2.0)
        top = max(held, key=lambda note: note.pitch)
        assert top.length == 2.0 and sorted(note.length for note in held) == [2.0, 4.0, 4.0]
        step = later[0].pitch - top.pitch
        moved.add(step > 0)
        assert 0 < abs(step) <= 5 and later[0].pitch % 12 in {*chord.scale}
    assert moved == {True, False}
    rising = plain(steps="1 4 5 2", contour=1.0, bars=16)
    for notes in bars(comping.pad(rising, seat("synth pad"), "p"), rising).values():
        assert notes[-1].pitch > max(note.pitch for note in notes[:-1])
    short = comping.pad(plain(length=0.1), seat("choir"), "p")
    assert {note.length for note in short if note.start % 4 == 0} == {2.0}, "a pad sounds for half at least"
    held = comping.pad(plain(length=0.1), seat("synth pad"), "p")
    assert {note.length for note in held if note.start % 4 == 0} == {2.0, 4.0}, "one of a synthesizer throughout"
    assert max(note.length for note in comping.pad(plain(length=1.5), seat("synth pad"), "p")) == pytest.approx(4.08)


def test_a_pad_of_short_chords_stays_and_enters_with_the_form():
    plan = plain(slot=1.0, form=Form(4, {"pad": 4.0}, [], contrast=False))
    notes = comping.pad(plan, seat("synth pad"), "p")
    assert min(note.start for note in notes) == 4.0 and all(note.start.is_integer() for note in notes)


def test_bowed_strings_tremble_or_pulse_where_the_mood_wants_it():
    trembling = comping.pad(plain(gestures=frozenset({"tremolo"})), seat("strings", programs=[48]), "p")
    assert sorted({note.start for note in trembling})[:17] == [step / 8 for step in range(17)]
    assert {round(note.length, 4) for note in trembling} <= {0.125, 0.1275} or max(n.length for n in trembling) < 0.13
    still = comping.pad(plain(gestures=frozenset({"tremolo"})), seat("synth pad", programs=[88]), "p")
    assert {note.start % 2 for note in still} == {0.0}
    sync = [marks(line) for line in COMPS["sync"]]
    bowed = {(48, 0.63), (60, 0.63), (51, 0.63)}
    for program, density in (*bowed, (48, 0.6), (88, 0.9), (52, 0.9), (39, 0.9)):
        plan = plain(density=density, gestures=frozenset(), length=0.9)
        first = bars(comping.pad(plan, seat("strings", programs=[program]), "p"), plan)[0]
        assert (places(first, plan) in sync) == ((program, density) in bowed), program
    triple = plain(meter=3, density=0.7)
    first = bars(comping.pad(triple, seat("strings", programs=[48]), "p"), triple)[0]
    assert places(first, triple) in [marks(line) for line in COMPS["waltz3"]]
    loud = plain(density=0.7, bars=64, accent=1.0)
    notes = comping.pad(loud, seat("strings", programs=[48]), "p")
    first, rest = ([n.velocity for n in notes if (n.start % 4 == 0) == begins] for begins in (True, False))
    assert mean(first) / 106 == pytest.approx(1 - 0.7 * 0.25, abs=0.02)
    assert mean(rest) / 106 == pytest.approx(1 - 0.7 * 0.4, abs=0.02)


def test_a_drone_is_the_tonic_throughout_with_its_fifth_in_three_of_five():
    fifths = 0
    for seed in range(60):
        plan = plain(key=2, seed=seed)
        notes = comping.drone(plan, seat("drone", programs=[89]), "d")
        assert notes[0].pitch % 12 == 2 and 31 <= notes[0].pitch <= 62
        assert all((note.start, note.length) == (0.0, 32.0) for note in notes)
        fifths += len(notes) == 2
        assert len(notes) == 1 or notes[1].pitch - notes[0].pitch == 7
    assert 26 <= fifths <= 46
    plucked = comping.drone(plain(), seat("drone", programs=[104]), "d")
    assert sorted({note.start for note in plucked}) == [4.0 * bar for bar in range(8)]
    assert {note.length for note in plucked} == {4.0}
