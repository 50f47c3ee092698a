"""Waveforms at another sample rate."""

import numpy as np

from conceptcaps.audio import resampling
from tests.audio.test_waveform import RATE, tone


def test_resampling_keeps_a_low_tone_and_drops_one_above_the_new_limit():
    low = resampling.resample(tone(440), RATE, 16_000)
    assert low.shape == (2, 32_000)
    np.testing.assert_allclose(low[:, 500:-500], tone(440, rate=16_000)[:, 500:-500], atol=1e-3)
    high = resampling.resample(tone(12_000), RATE, 16_000)
    assert np.abs(high[:, 500:-500]).max() < 1e-3
    sound = tone()
    assert resampling.resample(sound, RATE, RATE) is sound
