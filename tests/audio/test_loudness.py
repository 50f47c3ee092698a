"""Loudness and true peak against pyloudnorm, scipy and the standard's own tones; one rule that all clips reach."""

import hashlib
import os
import subprocess
import sys
import time

import numpy as np
import pyloudnorm
import pytest
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import resample_poly

from conceptcaps.audio import loudness, waveform

RATE = 32_000
PLAIN = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"}


def tone(frequency: float = 997, *, seconds: float = 2, level: float = 0.1, rate: int = RATE, channels: int = 2):
    at = np.arange(round(seconds * rate)) / rate
    return np.tile(level * np.sin(2 * np.pi * frequency * at), (channels, 1)).astype(np.float32)


def music(*, rate: int = RATE, channels: int = 2, seconds: float = 7.3) -> np.ndarray:
    """Noise whose level and colour change, with two seconds of near silence that the gate leaves out."""
    random = np.random.default_rng(1)
    sound = random.normal(size=(channels, round(seconds * rate))) * 0.05
    sound[:, 1:] += sound[:, :-1] * np.linspace(0, 1, sound.shape[1] - 1)
    sound[:, 2 * rate : 4 * rate] *= 1e-3
    return (sound - sound.mean(1, keepdims=True)).astype(np.float32)


def taps(*, level: float = 0.9, seconds: float = 6) -> np.ndarray:
    """Claps that die away in a millisecond, three a second: high peaks for their loudness."""
    sound = np.zeros((1, round(seconds * RATE)), dtype=np.float32)
    clap = level * np.random.default_rng(2).uniform(-1, 1, RATE // 5) * np.exp(-np.arange(RATE // 5) / (0.001 * RATE))
    for at in range(0, sound.shape[1] - len(clap), RATE // 3):
        sound[0, at : at + len(clap)] = clap
    return sound


def true_peak(sound: np.ndarray) -> float:
    """By another filter, eight times oversampled (dBTP)."""
    return 20 * np.log10(np.abs(resample_poly(sound.astype(np.float64), 8, 1, axis=1)).max())


def test_loudness_of_the_standards_reference_tone():
    """BS.1770: a full-scale sine near 1 kHz in one channel reads -3.01 LUFS."""
    assert loudness.loudness(tone(level=1, channels=1), RATE) == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize("rate", [16_000, 32_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_loudness_is_pyloudnorms(rate, channels):
    sound = music(rate=rate, channels=channels)
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    assert loudness.loudness(sound, rate) == pytest.approx(meter.integrated_loudness(sound.T), abs=0.05)


def test_energies_do_not_depend_on_where_the_lanes_begin():
    """Sixteen stretches are filtered side by side: the energy of a hop is the same wherever it falls."""
    sound = music(channels=1, seconds=6)
    whole = loudness.energies(sound, RATE)
    part = loudness.energies(np.ascontiguousarray(sound[:, 13 * RATE // 10 :]), RATE)
    np.testing.assert_allclose(part[2:], whole[15:], rtol=1e-5)


def test_silence_after_sound_takes_no_longer_than_sound():
    """Filters that ring out must not go on with numbers so small that processors take a hundredfold time for them."""
    lasting = music(channels=1, seconds=30)
    dying = lasting * (np.arange(lasting.shape[1]) < RATE // 10)
    spent = {}
    for name, sound in (("lasting", lasting), ("dying", dying)) * 3:
        started = time.process_time()
        found = loudness.energies(sound, RATE)
        spent[name] = min(time.process_time() - started, spent.get(name, np.inf))
    assert found[0] > 0 and found[-1] == 0 and spent["dying"] < 2.5 * spent["lasting"]


def test_limiting_near_peaks_alone_is_limiting_everywhere():
    """Against whole-length filters of scipy; peaks at both ends too."""
    sound = taps(level=3.0, seconds=2)
    sound[:, :50], sound[:, -50:] = 2.0, -2.5
    peaks = np.abs(sound).max(0)
    for ceiling, look in ((0.9, 160), (0.3, 221)):
        needed = np.minimum(ceiling / np.maximum(peaks, 1e-9), 1.0)
        gain = minimum_filter1d(needed.astype(np.float64), 2 * look + 1)
        for _ in range(2):
            gain = uniform_filter1d(gain, look | 1, mode="nearest")
        np.testing.assert_allclose(loudness._limited(sound, peaks, ceiling, look), sound * gain, rtol=1e-6)


@pytest.mark.parametrize("frequency", [997, 5003, 8000 + 1e-3, 11_001])
def test_true_peak_is_the_tones_amplitude_between_its_samples_too(frequency):
    sound = tone(frequency, level=0.5, seconds=0.5)
    sound *= np.minimum(1, np.minimum(np.arange(16_000), np.arange(16_000)[::-1]) / 2000).astype(np.float32)
    assert 20 * np.log10(loudness.true_peak(sound) / 0.5) == pytest.approx(0, abs=0.35)


@pytest.mark.parametrize("level", [0.02, 0.1, 1.0, 30.0])
def test_normalised_loudness_does_not_depend_on_the_level_that_came_in(level):
    found = loudness.normalise(music() * np.float32(level), RATE)
    assert loudness.loudness(found, RATE) == pytest.approx(loudness.LOUDNESS, abs=0.01)


def test_without_peaks_the_rule_is_one_gain():
    sound = music()
    found = loudness.normalise(sound, RATE)
    np.testing.assert_allclose(found, sound * (found[0, 5000] / sound[0, 5000]), rtol=1e-4, atol=1e-7)


def test_peaks_are_limited_and_the_loudness_is_reached_all_the_same():
    """One gain to -20 LUFS alone would lift these taps far above full scale."""
    sound = taps() + music(channels=1, seconds=6) * np.float32(1e-3)
    free = sound * np.float32(10 ** ((loudness.LOUDNESS - loudness.loudness(sound, RATE)) / 20))
    assert true_peak(free) > 1
    found = loudness.normalise(sound, RATE)
    assert true_peak(found) < loudness.CEILING + 0.3
    assert loudness.loudness(found, RATE) == pytest.approx(loudness.LOUDNESS, abs=0.1)


@pytest.mark.parametrize(
    ("sound", "message"),
    [
        (np.zeros((2, RATE), dtype=np.float32), "got silence"),
        (np.full((2, RATE), np.inf, dtype=np.float32), "finite"),
        (tone(seconds=0.2), "at least 0.4 s"),
        (tone()[0], r"\(channels, samples\)"),
        (tone().astype(np.float64), "float64"),
        (np.zeros((2, 0), dtype=np.float32), r"\(2, 0\)"),
    ],
)
def test_what_has_no_loudness_is_refused(sound, message):
    with pytest.raises(ValueError, match=message):
        loudness.normalise(sound, RATE)


def test_bytes_of_a_clip_are_the_same_in_another_process_and_on_a_plain_processor():
    """A shard made again after a kill must match: no time stamp, no state and no processor feature in the FLAC file."""
    script = (
        "import hashlib; from conceptcaps.audio import loudness, waveform; from tests.audio.test_loudness import *;"
        "sound = taps() + music(channels=1, seconds=6) / 100;"
        "print(hashlib.sha256(waveform.encode_flac(loudness.normalise(sound, RATE), RATE)).hexdigest())"
    )
    sound = taps() + music(channels=1, seconds=6) / 100
    here = hashlib.sha256(waveform.encode_flac(loudness.normalise(sound, RATE), RATE)).hexdigest()
    plain = {
        **os.environ,
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    }
    for environment in (dict(os.environ), plain):
        there = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        )
        assert there.stdout.strip() == here
