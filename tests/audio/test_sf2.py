"""Notes of a soundfont, measured: pitch, loudness, length, and the same bytes on every call."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from conceptcaps import assets
from conceptcaps.audio.sf2 import DRUMS, Sampler

RATE = 44_100


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return Sampler.load(assets.fetch("soundfont"), sample_rate=RATE)


def note(sampler: Sampler, *, bank=0, program=73, key=69, velocity=100, duration=1.0, **bends):
    return sampler.note(bank=bank, program=program, key=key, velocity=velocity, duration=duration, **bends)


def strength(sound, frequency: float) -> float:
    """Share of the spectrum's power within 2 % of a frequency (Hz)."""
    power = np.abs(np.fft.rfft(sound[0, 8000:40_000] * np.hanning(32_000))) ** 2
    bins = np.fft.rfftfreq(32_000, 1 / RATE)
    return float(power[np.abs(bins / frequency - 1) < 0.02].sum() / power[bins > 20].sum())


@pytest.mark.parametrize("key", [60, 69, 76, 81])
def test_a_flute_sounds_at_the_pitch_of_its_key(sampler, key):
    frequency = 440 * 2 ** ((key - 69) / 12)
    assert sum(strength(note(sampler, key=key), n * frequency) for n in (1, 2, 3)) > 0.8


def test_all_melodic_presets_and_kits_give_finite_sound_in_the_middle_of_their_range(sampler):
    assert len(sampler.presets) == 136
    for program in range(128):
        sound = note(sampler, program=program, key=60, duration=0.5)
        assert np.isfinite(sound).all() and 0 < np.abs(sound).max() < 4, sampler.presets[0, program]
    for program in (0, 8, 16, 24, 25, 32, 40, 48):
        for key in range(35, 82):
            sound = note(sampler, bank=DRUMS, program=program, key=key)
            assert np.isfinite(sound).all() and np.abs(sound).max() > 0


def test_a_soft_stroke_is_quieter_as_the_standard_has_it(sampler):
    """Velocity v plays 40 log10(v / 127) dB below full: 64 is 11.9 dB down; the filter may take a little more."""
    loud, soft = (np.sqrt(np.square(note(sampler, velocity=velocity)).mean()) for velocity in (127, 64))
    assert 20 * np.log10(soft / loud) == pytest.approx(-11.9, abs=3)


def test_a_note_lasts_its_duration_and_dies_away(sampler):
    sound = note(sampler, program=48, duration=1.0)
    at_end, after = (np.abs(sound[:, int(t * RATE) : int(t * RATE) + 2000]).max() for t in (0.95, 1.02))
    assert 0 < after and sound.shape[1] > 1.04 * RATE and np.abs(sound[:, -50:]).max() < 0.02 * at_end
    assert np.abs(np.diff(sound, axis=1)).max() < np.abs(sound).max()  # no cut that clicks


def test_same_bytes_in_any_order_and_in_another_process(sampler):
    order = [(0, 60), (78, 71), (40, 76), (48, 50)]

    def digest(places) -> str:
        found = {place: note(sampler, program=place[0], key=place[1], duration=0.5).tobytes() for place in places}
        return hashlib.sha256(b"".join(found[place] for place in order)).hexdigest()

    here = digest(order)
    sampler.note.cache_clear()
    assert digest(order[::-1]) == here
    script = f"""
import hashlib; from conceptcaps import assets; from conceptcaps.audio.sf2 import Sampler
s = Sampler.load(assets.fetch("soundfont"), sample_rate={RATE})
n = [s.note(bank=0, program=p, key=k, velocity=100, duration=0.5, ).tobytes() for p, k in {order}]
print(hashlib.sha256(b"".join(n)).hexdigest())"""
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here


def test_what_the_bank_does_not_hold_is_refused(sampler):
    assert not sampler.plays(bank=DRUMS, program=0, key=25)
    with pytest.raises(ValueError, match="expected a key that preset 0 of bank 128 plays"):
        note(sampler, bank=DRUMS, program=0, key=25)
    with pytest.raises(ValueError, match="expected a SoundFont 2 file"):
        Sampler(b"MThd" + bytes(20), sample_rate=RATE)
