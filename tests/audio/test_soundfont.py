"""What is played, measured: length, loudness, tempo, pitch, silence where there should be some."""

import numpy as np
import pytest

from conceptcaps.audio import soundfont, waveform
from conceptcaps.tags.taxonomy import Taxonomy

TAXONOMY = Taxonomy.load()


def play(*tags: str, duration: float = 6, seed: int = 0) -> soundfont.Clip:
    return soundfont.play(list(tags), duration=duration, seed=seed, taxonomy=TAXONOMY)


def test_clips_have_the_length_and_loudness_that_was_asked_for():
    for tags in (["piano"], ["techno", "dark"], ["strings", "calm"]):
        clip = play(*tags, duration=5.5)
        assert clip.waveform.shape == (2, round(5.5 * 44_100)) and np.abs(clip.waveform).max() < 1
        found = waveform.loudness(clip.waveform, 44_100)
        at_ceiling = np.abs(clip.waveform).max() == pytest.approx(waveform.CEILING, abs=1e-3)
        assert found == pytest.approx(waveform.LOUDNESS, abs=0.1) or (at_ceiling and found < waveform.LOUDNESS)


def test_same_seed_same_bytes_whatever_was_played_before():
    first = play("jazz", "piano", seed=3).waveform
    play("metal", "distorted guitar")
    again = play("jazz", "piano", seed=3).waveform
    assert np.array_equal(first, again)
    assert not np.array_equal(first, play("jazz", "piano", seed=4).waveform)


@pytest.mark.parametrize("tag", ["slow tempo", "medium tempo", "fast tempo"])
def test_the_pulse_of_the_sound_is_the_tempo(tag):
    """Autocorrelation of the energy's rises peaks at the beat, one kick each."""
    clip = soundfont.play(["kick drum", "four-on-the-floor", tag], duration=12, seed=1, taxonomy=TAXONOMY)
    piece = soundfont.composition.compose(
        ["kick drum", "four-on-the-floor", tag], duration=12, seed=1, taxonomy=TAXONOMY
    )
    hop = 441
    frames = clip.waveform.mean(0)[: 44_100 * 12 // hop * hop].reshape(-1, hop)
    rises = np.maximum(np.diff(np.sqrt((frames**2).mean(1))), 0)
    rises -= rises.mean()
    correlation = np.correlate(rises, rises, "full")[len(rises) - 1 :]
    lags = np.arange(len(correlation)) * hop / 44_100
    beat = 60 / piece.tempi[0][1]
    near = np.abs(lags - beat) < 0.04 * beat
    between = (lags > 0.3 * beat) & (lags < 0.9 * beat)
    assert correlation[near].max() > 3 * correlation[between].max(), "a kick on each beat, none between"
    assert lags[near][correlation[near].argmax()] == pytest.approx(beat, abs=hop / 44_100)


def centroid(clip: soundfont.Clip) -> float:
    power = np.abs(np.fft.rfft(clip.waveform.mean(0))) ** 2
    return float((np.fft.rfftfreq(clip.waveform.shape[1], 1 / 44_100) * power).sum() / power.sum())


def test_a_flute_is_higher_than_a_bass_and_cymbals_brighter_than_a_kick():
    assert centroid(play("flute")) > 2 * centroid(play("cello"))
    assert centroid(play("hi-hats")) > 1.5 * centroid(play("kick drum"))


def test_calm_is_thinner_than_aggressive():
    onsets = [
        sum(len(part.notes) for part in soundfont.composition.compose(
            ["rock", mood, "medium tempo"], duration=10, seed=0, taxonomy=TAXONOMY).parts)
        for mood in ("calm", "aggressive")
    ]  # fmt: skip
    assert onsets[0] < onsets[1]


def test_refuses_a_clip_that_is_too_short():
    with pytest.raises(ValueError, match="expected a duration of at least 0.5 s, got 0.1"):
        play("piano", duration=0.1)
