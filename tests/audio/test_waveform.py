"""Waveforms: round trips, band limits, and one loudness rule that never clips."""

import hashlib
import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from conceptcaps.audio import waveform

RATE = 32_000


def tone(frequency: float = 997, *, seconds: float = 2, level: float = 0.1, rate: int = RATE, channels: int = 2):
    time = np.arange(round(seconds * rate)) / rate
    return np.tile(level * np.sin(2 * np.pi * frequency * time), (channels, 1)).astype(np.float32)


def test_flac_keeps_samples_within_one_step_of_16_bits():
    sound = np.stack([tone()[0], -0.5 * tone(220)[0]])
    found, rate = waveform.decode(waveform.encode_flac(sound, RATE))
    assert rate == RATE and found.dtype == np.float32 and found.shape == sound.shape
    assert np.abs(found - sound).max() <= 1 / 32_768


def test_encoding_a_decoded_clip_again_gives_the_same_bytes():
    data = waveform.encode_flac(tone(), RATE)
    assert waveform.encode_flac(*waveform.decode(data)) == data


def test_full_scale_is_encoded_and_anything_above_refused():
    waveform.encode_flac(np.ones((1, 100), dtype=np.float32), RATE)
    with pytest.raises(ValueError, match="peak of"):
        waveform.encode_flac(np.full((1, 100), 1.01, dtype=np.float32), RATE)
    with pytest.raises(ValueError, match="peak of nan"):
        waveform.encode_flac(np.full((1, 100), np.nan, dtype=np.float32), RATE)


def test_decode_reads_wav_with_one_channel_and_refuses_text():
    file = io.BytesIO()
    soundfile.write(file, tone()[0], RATE, format="WAV", subtype="PCM_16")
    found, rate = waveform.decode(file.getvalue())
    assert found.shape == (1, 2 * RATE) and rate == RATE
    with pytest.raises(ValueError, match="expected an audio file"):
        waveform.decode(b"no audio at all")


def test_resampling_keeps_a_low_tone_and_drops_one_above_the_new_limit():
    low = waveform.resample(tone(440), RATE, 16_000)
    assert low.shape == (2, 32_000)
    np.testing.assert_allclose(low[:, 500:-500], tone(440, rate=16_000)[:, 500:-500], atol=1e-3)
    high = waveform.resample(tone(12_000), RATE, 16_000)
    assert np.abs(high[:, 500:-500]).max() < 1e-3
    sound = tone()
    assert waveform.resample(sound, RATE, RATE) is sound


def test_mono_is_the_mean_of_the_channels_not_the_first():
    sound = np.stack([tone()[0], 3 * tone()[0]])
    np.testing.assert_allclose(waveform.to_mono(sound), 2 * tone(channels=1), atol=1e-7)


def test_loudness_of_the_standards_reference_tone():
    """BS.1770: a full-scale sine near 1 kHz in one channel reads -3.01 LUFS."""
    assert waveform.loudness(tone(level=1, channels=1), RATE) == pytest.approx(-3.01, abs=0.1)


@pytest.mark.parametrize("level", [1e-3, 0.02, 0.1, 1.0])
def test_normalised_loudness_does_not_depend_on_the_level_that_came_in(level):
    found = waveform.normalise_loudness(tone(level=level), RATE)
    assert waveform.loudness(found, RATE) == pytest.approx(waveform.LOUDNESS, abs=0.1)


def test_a_peak_is_scaled_below_the_ceiling_not_clipped():
    sound = tone(level=0.01)
    sound[:, RATE] = 0.9
    found = waveform.normalise_loudness(sound, RATE)
    assert np.abs(found).max() == pytest.approx(waveform.CEILING, abs=1e-5)
    assert waveform.loudness(found, RATE) < waveform.LOUDNESS - 1
    np.testing.assert_allclose(found, sound * (found[0, RATE] / sound[0, RATE]), rtol=1e-5)


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
        waveform.normalise_loudness(sound, RATE)


def test_bytes_of_a_clip_are_the_same_in_another_process():
    """A shard made again after a kill must match, so that no time stamp or state may be in the FLAC file."""
    script = (
        "import hashlib, numpy as np; from conceptcaps.audio import waveform;"
        "sound = (np.random.default_rng(0).normal(size=(2, 32000)) / 10).astype(np.float32);"
        "print(hashlib.sha256(waveform.encode_flac(waveform.normalise_loudness(sound, 32000), 32000)).hexdigest())"
    )
    sound = (np.random.default_rng(0).normal(size=(2, RATE)) / 10).astype(np.float32)
    here = hashlib.sha256(waveform.encode_flac(waveform.normalise_loudness(sound, RATE), RATE)).hexdigest()
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here
