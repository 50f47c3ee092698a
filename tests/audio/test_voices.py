"""Notes of a soundfont, measured: pitch, loudness, envelopes, release, and the same bytes whatever is kept."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from conceptcaps.audio import mixing
from conceptcaps.audio.sf2 import DRUMS, Bank
from conceptcaps.audio.voices import NEVER, Note, Sampler
from conceptcaps.workspace import assets
from tests.audio.test_loudness import PLAIN
from tests.audio.test_sf2 import written

RATE = 44_100


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler(Bank.load(assets.fetch("soundfont")), sample_rate=RATE)


def play(sampler, *, bank=0, program=0, key=69, velocity=100, duration=1.0, seconds=2.0, channels=1, **more):
    sound = np.zeros((channels, round(seconds * sampler.sample_rate)), dtype=np.float32)
    note = Note(key, velocity, 0, round(duration * sampler.sample_rate), **more)
    sampler.add(sound, [note], bank=bank, program=program)
    return sound


def made(*, rate: int = RATE, **generators_and_modulators) -> Sampler:
    return Sampler(Bank(written(**generators_and_modulators)), sample_rate=rate)


def decibels(sound, begin: float, end: float) -> float:
    return 10 * np.log10(np.square(sound[:, round(begin * RATE) : round(end * RATE)], dtype=np.float64).mean() + 1e-20)


def frequency(sound, begin: float = 0.2, end: float = 0.9, *, rate: int = RATE) -> float:
    """Of the highest line of the spectrum (Hz), placed between bins by a parabola."""
    part = sound[0, round(begin * rate) : round(end * rate)]
    power = np.log(np.abs(np.fft.rfft(part * np.hanning(len(part)), 1 << 18)) + 1e-12)
    at = int(power.argmax())
    before, here, after = power[at - 1 : at + 2]
    return (at + (before - after) / (2 * (before - 2 * here + after))) * rate / (1 << 18)


@pytest.mark.parametrize("rate", [16_000, 32_000, 44_100])
@pytest.mark.parametrize("key", [57, 69, 70, 81])
def test_pitch_is_exact_at_every_rate(rate, key):
    sound = play(made(rate=rate), key=key)
    expected = 441 * 2 ** ((key - 69) / 12)
    assert 1200 * np.log2(frequency(sound, rate=rate) / expected) == pytest.approx(0, abs=0.5)


def test_all_presets_sound_in_the_middle_of_their_range(sampler):
    for program in range(128):
        sound = play(sampler, program=program, key=60, duration=0.5)
        assert np.isfinite(sound).all() and 0 < np.abs(sound).max() < 4, sampler.bank.presets[0, program]
    for program in (0, 8, 16, 24, 25, 32, 40, 48):
        for key in range(35, 82):
            sound = play(sampler, bank=DRUMS, program=program, key=key)
            assert np.isfinite(sound).all() and np.abs(sound).max() > 0


@pytest.mark.parametrize("velocity", [1, 20, 64, 100])
def test_velocity_is_the_standards_concave_curve(velocity):
    """40 log10(v / 127) dB below full, and no filter with it: within 0.1 dB."""
    sampler = made()
    full, soft = (decibels(play(sampler, velocity=each), 0.2, 0.8) for each in (127, velocity))
    assert soft - full == pytest.approx(40 * np.log10(velocity / 127), abs=0.1)


def test_a_banks_own_modulator_takes_the_place_of_the_default():
    """Velocity to attenuation of 480 instead of 960 centibels: half the decibels."""
    sampler = made(modulators=[(0x0502, 48, 480, 0, 0)])
    full, soft = (decibels(play(sampler, velocity=velocity), 0.2, 0.8) for velocity in (127, 40))
    assert soft - full == pytest.approx(20 * np.log10(40 / 127), abs=0.1)


def test_envelope_decays_and_releases_in_straight_lines_of_decibels():
    """Decay of 96 dB in 1 s to 20 dB below full, then a release of 96 dB in 0.5 s after the key is let go."""
    sampler = made(generators={36: 0, 37: 208, 38: -1200})
    sound = play(sampler, duration=1.0)
    start = decibels(sound, 0.05, 0.06)
    assert decibels(sound, 0.15, 0.16) - start == pytest.approx(-9.6, abs=0.1)
    assert decibels(sound, 0.5, 0.9) - start == pytest.approx(-19.97 + 96 * 0.053, abs=0.15)
    assert decibels(sound, 1.2, 1.21) - decibels(sound, 1.1, 1.11) == pytest.approx(-19.2, abs=0.2)


def test_a_release_is_as_long_as_the_bank_says():
    sound = play(made(generators={38: 1200}), duration=0.5, seconds=4)
    fall = decibels(sound, 0.25, 0.45) - decibels(sound, 1.7, 1.72)
    assert fall == pytest.approx(96 * (1.71 - 0.5) / 2, abs=1)


def test_attack_rises_in_a_straight_line():
    sound = play(made(generators={34: -1200}), duration=1.0)  # 0.5 s
    assert decibels(sound, 0.245, 0.255) - decibels(sound, 0.8, 0.9) == pytest.approx(-6.02, abs=0.1)


def test_a_low_pass_takes_what_is_above_it_and_vibrato_bends():
    plain, dull = (play(made(generators={8: cents}), key=93) for cents in (13_500, 6_900))  # 1764 Hz through 440 Hz
    assert decibels(dull, 0.3, 0.8) - decibels(plain, 0.3, 0.8) == pytest.approx(-24, abs=1.5)
    bent = play(made(generators={6: 100, 23: -12_000, 24: -700}), duration=1.9)  # 100 cents, about 5.4 Hz
    pitches = [frequency(bent, at, at + 0.03) for at in np.arange(0.1, 1.8, 0.01)]
    assert 1200 * np.log2(max(pitches) / min(pitches)) == pytest.approx(185, abs=25)


def test_a_glide_begins_beside_its_pitch_and_ends_on_it():
    sound = play(made(), glide=-2.0, duration=1.5)
    assert frequency(sound, 0.0, 0.03) == pytest.approx(441 * 2 ** (-1.85 / 12), rel=0.01)
    assert frequency(sound, 0.3, 0.9) == pytest.approx(441, rel=1e-4)


def test_pan_and_mono():
    left = play(made(generators={17: -500}), channels=2)
    assert np.abs(left[0]).max() > 0.1 and np.abs(left[1]).max() < 1e-6
    stereo, mono = (play(made(), channels=channels) for channels in (2, 1))
    np.testing.assert_allclose(mono[0], stereo.mean(0), atol=1e-6)


def test_cymbals_ring_out_and_a_closed_hat_chokes_an_open_one(sampler):
    crash = play(sampler, bank=DRUMS, program=0, key=49, duration=0.1, seconds=4)
    assert decibels(crash, 1.0, 1.2) > decibels(crash, 0.0, 0.2) - 30, "no cut where the key is let go"
    classes = [sampler.classes(bank=DRUMS, program=0, key=key, velocity=100) for key in (42, 44, 46, 36)]
    assert classes[0] and classes[0] == classes[1] == classes[2] and not classes[3]
    free, choked = (play(sampler, bank=DRUMS, program=0, key=46, choked=each) for each in (NEVER, round(0.2 * RATE)))
    assert np.array_equal(free[:, : round(0.19 * RATE)], choked[:, : round(0.19 * RATE)])
    assert decibels(choked, 0.4, 0.45) < decibels(free, 0.4, 0.45) - 15


def song(sampler: Sampler) -> np.ndarray:
    random = np.random.default_rng(0)
    sound = np.zeros((2, 3 * RATE), dtype=np.float32)
    for program in (0, 25, 48, 61, 73, 101):
        notes = [
            Note(int(random.integers(50, 72)), int(random.integers(30, 120)), int(random.integers(2 * RATE)),
                 int(random.integers(1, RATE)))
            for _ in range(12)
        ]  # fmt: skip
        sampler.add(sound, notes, bank=0, program=program)
    sampler.add(sound, [Note(46, 90, RATE, 100, 9000), Note(49, 90, 0, 100)], bank=DRUMS, program=0)
    return sound


def test_what_is_kept_changes_no_byte_and_does_not_grow(sampler):
    song(sampler)
    warm, cold = song(sampler), song(Sampler(sampler.bank, sample_rate=RATE))
    none = Sampler(sampler.bank, sample_rate=RATE, limit=1)
    assert np.array_equal(warm, cold) and np.array_equal(warm, song(none))
    assert len(none._kept) == 1
    small = Sampler(sampler.bank, sample_rate=RATE, limit=2_000_000)
    song(small)
    assert small._bytes == sum(kept.bytes for kept in small._kept.values()) <= 2_000_000


@pytest.mark.parametrize("program", [44, 48, 49, 51, 67, 78])
def test_short_notes_have_the_same_bytes_after_long_ones_of_their_keys(sampler, program):
    """Let go while they still rise, or with a release shorter than a block: nothing else ends them."""
    fresh = Sampler(sampler.bank, sample_rate=RATE)
    warm = Sampler(sampler.bank, sample_rate=RATE)
    play(warm, program=program, key=60, duration=1.5)
    for samples in (1000, 2500, 6001):
        short = {"program": program, "key": 60, "duration": samples / RATE}
        assert np.array_equal(play(warm, **short), play(fresh, **short)), samples


def digest() -> str:
    return hashlib.sha256(song(Sampler(Bank.load(assets.fetch("soundfont")), sample_rate=RATE)).tobytes()).hexdigest()


def test_same_bytes_in_another_process_and_on_a_plain_processor():
    script, here = "from tests.audio.test_voices import digest; print(digest())", digest()
    for environment in (dict(os.environ), {**os.environ, **PLAIN}):
        there = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert there.stdout.strip() == here


@pytest.mark.parametrize("split", [0, 1, 64, 100, 6400, 9999, 10_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_tone_in_two_pieces_is_mixed_as_one(sampler, split, channels):
    (voice, *_) = sampler.voices(0, 0, 60, 90)
    tone = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    whole, pieces = (np.zeros((channels, 12_000), np.float32) for _ in range(2))
    event = (voice.numbers, 500, 6001, 9001, 30.0)
    mixing.mix(whole, tone, len(tone), tone[:0], 9500, *event)
    mixing.mix(pieces, tone[: split + 7], split, tone[split:], 9500, *event)
    assert np.any(whole) and np.array_equal(whole, pieces)


@pytest.mark.parametrize("program", [0, 24, 33, 73])
def test_velocities_of_a_key_share_its_tone(sampler, program):
    soft, loud = (sampler.voices(0, program, 60, velocity) for velocity in (40, 120))
    assert [voice.tone for voice in soft] == [voice.tone for voice in loud]
    assert all(one.numbers["attenuation"] > other.numbers["attenuation"] for one, other in zip(soft, loud, strict=True))


@pytest.mark.parametrize("let_go", [0, 50, 300, 900, 2500, 7001, 15_000, NEVER])
@pytest.mark.parametrize("choked", [350, 650, 5003, NEVER])
@pytest.mark.parametrize("decay", [9000.0, 400_000.3])
def test_volume_is_that_of_the_envelope_s_formula(sampler, let_go, choked, decay):
    """Delay, attack, hold, decay to a level, release and choke; decibels fall evenly (SoundFont 2.04, section 8.1)."""
    (voice, *_) = sampler.voices(0, 0, 60, 90)
    numbers = voice.numbers.copy()
    stages = {"delay": 100, "attack": 700.2, "hold": 1000.5, "decay": decay, "sustain": 300, "release": 300_000}
    for name, value in stages.items():
        numbers[name] = value
    time = np.arange(60_000.0)
    held = np.minimum(time, let_go) - 100
    rise = np.clip(held / 700.2, 0, 1)
    fall = np.clip(960 * (held - 1700.7) / decay, 0, 300) + 960 * np.maximum(time - let_go, 0) / 300_000
    fall += 960 * np.maximum(time - choked, 0) / 4000
    expected = rise * 10 ** (-(fall + numbers["attenuation"]) / 200) / np.sqrt(numbers["resonance"]) * (time >= 100)
    sound, tone = np.zeros((2, 60_000), np.float32), np.ones(60_000, np.float32)
    mixing.mix(sound, tone, len(tone), tone[:0], len(tone), numbers, 0, let_go, choked, 4000.0)
    for channel, side in zip(sound, ("left", "right"), strict=True):
        np.testing.assert_allclose(channel, expected * numbers[side], rtol=0.008, atol=1e-4)  # chords of steep falls
    slow = (expected > 0.01) & (time > 1900) & (time < min(choked, 60_000)) & (decay > 10_000)
    np.testing.assert_allclose(sound[0, slow], (expected * numbers["left"])[slow], rtol=1e-4)  # nothing drifts
