"""Sounds that are no music, in seconds."""

import itertools

import numpy as np
import pytest

from conceptcaps.audio.composing import effects
from tests.audio.composing.plans import plain, seat

PROGRAMS = {
    "sea": 122, "wind": 122, "birds": 123, "rain": 122, "crowd": 126, "helicopter": 125, "telephone": 124,
    "gunshot": 127, "space": 103,
}  # fmt: skip


def made(sound: str, *, seed: int = 0, bpm: float = 120.0, bars: int = 16):
    plan = plain(seed=seed, bars=bars, tempi=[(0.0, bpm)])
    return plan, effects.write(plan, seat("sound effects", sounds=[sound]), "e")


@pytest.mark.parametrize("sound", ["sea", "wind", "rain", "crowd", "helicopter", "space"])
@pytest.mark.parametrize("bpm", [60.0, 120.0])
def test_what_lasts_is_struck_again_every_four_seconds_before_it_ends(sound, bpm):
    plan, (first, *_) = made(sound, bpm=bpm)
    starts = np.array([note.start for note in first.notes]) * 60 / bpm
    np.testing.assert_allclose(starts, np.arange(len(starts)) * 4.0)
    assert starts[-1] + 4 > plan.bars * 4 * 60 / bpm >= starts[-1], "to the end"
    assert {round(note.length * 60 / bpm, 6) for note in first.notes} == {5.0}
    assert first.program == PROGRAMS[sound] and not first.percussion and len({note.pitch for note in first.notes}) == 1


def test_high_and_low_noises_are_told_by_their_pitch():
    pitches = {sound: made(sound)[1][0].notes[0].pitch for sound in ("sea", "wind", "rain", "space")}
    assert pitches["wind"] < pitches["sea"] < pitches["space"] < pitches["rain"]


def test_nature_goes_together_and_machines_stand_alone():
    together = {}
    for sound in PROGRAMS:
        programs = [tuple(part.program for part in made(sound, seed=seed)[1]) for seed in range(60)]
        together[sound] = {each[1:] for each in programs}
        assert {each[0] for each in programs} == {PROGRAMS[sound]}
    assert together["birds"] == {(122,), ()} and together["sea"] == {(123,), ()} and together["wind"] == {(123,)}
    assert together["rain"] == {(123,), ()}
    assert all(together[sound] == {()} for sound in ("crowd", "helicopter", "telephone", "gunshot", "space"))


@pytest.mark.parametrize("bpm", [60.0, 150.0])
def test_birds_call_two_to_six_times_and_pause(bpm):
    plan, parts = made("birds", bpm=bpm, bars=60)
    times = np.array([note.start for note in parts[0].notes]) * 60 / bpm
    gaps = np.diff(times)
    pauses = gaps > 0.3000001
    assert times[0] < 0.5 * 60 / bpm and times[-1] > plan.bars * 4 * 60 / bpm - 3
    assert gaps[~pauses].min() >= 0.15 and gaps[pauses].min() >= 0.35 and gaps.max() <= 1.0
    calls = [len(list(own)) + 1 for pause, own in itertools.groupby(pauses) if not pause]
    assert set(calls) == {2, 3, 4, 5, 6}
    assert {round(note.length * 60 / bpm, 6) for note in parts[0].notes} == {0.5}
    pitches = {note.pitch for note in parts[0].notes}
    assert pitches <= set(range(64, 82)) and len(pitches) > 12
    assert all(70 <= note.velocity <= 110 for note in parts[0].notes)


def test_a_telephone_rings_for_a_second_and_a_half_and_pauses_for_one():
    _, (ringing,) = made("telephone", bpm=90.0)
    seconds = np.array([(note.start, note.length) for note in ringing.notes]) * 60 / 90
    np.testing.assert_allclose(np.diff(seconds[:, 0]), 2.5)
    np.testing.assert_allclose(seconds[:, 1], 1.5)
    assert {(note.pitch, note.velocity) for note in ringing.notes} == {(62, 96)} and seconds[0, 0] < 1


def test_shots_fall_every_second_or_two():
    _, (shots,) = made("gunshot", bpm=90.0, bars=120)
    seconds = np.array([(note.start, note.length) for note in shots.notes]) * 60 / 90
    gaps = np.diff(seconds[:, 0])
    assert gaps.min() >= 0.8 and gaps.max() <= 1.8 and gaps.max() - gaps.min() > 0.8
    np.testing.assert_allclose(seconds[:, 1], 2.0)
    assert {note.pitch for note in shots.notes} == set(range(52, 63))
    assert min(note.velocity for note in shots.notes) >= 84 and max(note.velocity for note in shots.notes) <= 112


def test_a_turntable_is_pushed_and_pulled_on_sixteenths():
    lines = set()
    for seed in range(12):
        plan = plain(seed=seed, bars=3)
        (part,) = effects.write(plan, seat("turntable scratching"), "t")
        assert part.percussion and part.tag == "turntable scratching"
        assert {note.pitch for note in part.notes} == {29, 30} and {note.length for note in part.notes} == {0.25}
        bars = [tuple((n.start % 4, n.pitch) for n in part.notes if n.start // 4 == bar) for bar in range(3)]
        assert bars[0] == bars[1] == bars[2] and all((beat * 4).is_integer() for beat, _ in bars[0])
        lines.add(bars[0])
    assert len(lines) == 3
    assert any(line[0] == (0.0, 29) and (0.5, 30) in line for line in lines)
