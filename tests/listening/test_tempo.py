import numpy as np
import pytest

from conceptcaps.audio import spectrum
from conceptcaps.listening import tempo
from tests import toy_clips


def rhythm(bpm, *, seconds=10.0, seed=0):
    """Short noise bursts on the beat."""
    generator = np.random.default_rng(seed)
    sound = 0.001 * generator.normal(size=int(seconds * toy_clips.RATE))
    for start in np.arange(0.1, seconds - 0.1, 60 / bpm):
        at = int(start * toy_clips.RATE)
        sound[at : at + 800] += 0.4 * generator.normal(size=800) * np.linspace(1, 0, 800)
    return np.clip(sound, -1, 1).astype(np.float32)


def log_mel(sound):
    return spectrum.spectrum(toy_clips.flac(sound))


@pytest.mark.parametrize("bpm", [60, 84, 105, 125, 160])
def test_pulse_is_strongest_at_the_tempo_of_a_rhythm(bpm):
    found = tempo.pulse(log_mel(rhythm(bpm)))
    assert tempo.BPM[found.argmax()] == pytest.approx(bpm, rel=0.03)
    assert found.shape == (156,) and found.dtype == np.float32 and found.min() >= 0 and found.max() == 1


def test_pulse_does_not_depend_on_loudness():
    loud, soft = (tempo.BPM[tempo.pulse(log_mel(gain * rhythm(105))).argmax()] for gain in (1, 0.2))
    assert loud == pytest.approx(soft, rel=0.02)


def test_silence_has_no_pulse():
    assert not tempo.pulse(log_mel(np.zeros(48_000, np.float32))).any()
