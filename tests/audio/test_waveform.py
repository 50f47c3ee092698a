"""Waveforms: round trips, and band limits."""

import io

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


@pytest.mark.parametrize("level", [0.1, 1.0])
def test_encoding_a_decoded_clip_again_gives_the_same_bytes(level):
    data = waveform.encode_flac(tone(level=level), RATE)
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


def test_mono_is_the_mean_of_the_channels_not_the_first():
    sound = np.stack([tone()[0], 3 * tone()[0]])
    np.testing.assert_allclose(waveform.to_mono(sound), 2 * tone(channels=1), atol=1e-7)
