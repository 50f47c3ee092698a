"""What is played, measured: length, loudness, tempo, pitch, silence where there should be some."""

from collections.abc import Sequence

import numpy as np
import pyloudnorm
import pytest

from conceptcaps.audio import composition, loudness, soundfont
from conceptcaps.audio.score import Note, Part, Piece
from conceptcaps.audio.sf2 import DRUMS
from conceptcaps.audio.voices import NEVER
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets

TAXONOMY = Taxonomy.load()
RATE = 32_000


def play(*tags: str, duration: float = 6, seed: int = 0, sample_rate: int = RATE, channels: int = 1) -> soundfont.Clip:
    score = composition.compose(list(tags), duration=duration, seed=seed, taxonomy=TAXONOMY)
    return perform(score, duration=duration, sample_rate=sample_rate, channels=channels)


def perform(score: Piece, *, duration: float, sample_rate: int = RATE, channels: int = 1) -> soundfont.Clip:
    font, form = assets.fetch("soundfont"), {"sample_rate": sample_rate, "channels": channels}
    return soundfont.perform(score, duration=duration, taxonomy=TAXONOMY, soundfont=font, **form)


def test_clips_have_the_length_and_loudness_that_was_asked_for():
    for tags in (["piano"], ["techno", "dark"], ["strings", "calm"], ["claps"]):
        clip = play(*tags, duration=5.5)
        assert clip.waveform.shape == (1, round(5.5 * RATE))
        meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
        assert meter.integrated_loudness(clip.waveform.T) == pytest.approx(loudness.LOUDNESS, abs=0.2)
        assert loudness.true_peak(clip.waveform) < 10 ** ((loudness.CEILING + 0.2) / 20)


def test_rate_and_channels_are_what_was_asked_for():
    clip = play("piano", duration=2, sample_rate=44_100, channels=2)
    assert clip.waveform.shape == (2, 88_200)
    with pytest.raises(ValueError, match="expected 1 or 2 channels, got 6"):
        play("piano", duration=2, channels=6)


def piece(*parts: Part, tempi: Sequence[tuple[float, float]] = ((0.0, 120.0),)) -> Piece:
    return Piece(list(parts), list(tempi), meter=4)


def part(program: int, pitch: int, *, velocity: int = 90, percussion: bool = False, level: float = 0.0, first=0):
    notes = [Note(float(beat), 0.9, pitch, velocity) for beat in range(first, 12)]
    return Part("", program, percussion, notes, level)


def render(*parts: Part, tempi: Sequence[tuple[float, float]] = ((0.0, 120.0),), seconds: int = 6) -> soundfont.Sound:
    return soundfont.render(
        piece(*parts, tempi=tempi),
        soundfont=assets.fetch("soundfont"),
        length=seconds * RATE,
        sample_rate=RATE,
        channels=1,
    )


def test_levels_are_those_of_the_stems_and_do_not_hang_on_velocity_or_program():
    """Measured by pyloudnorm on each part alone; what a part is lifted by does not depend on the others."""
    meter = pyloudnorm.Meter(RATE, filter_class="DeMan")
    parts = [part(0, 60), part(73, 76, velocity=40, level=-6.0), part(33, 38, level=-3.0)]
    together = render(*parts)
    alone = [render(each).waveform for each in parts]
    np.testing.assert_allclose(together.waveform, sum(alone), atol=1e-5)
    loud = [meter.integrated_loudness(each.T) for each in alone]
    assert np.diff(loud).tolist() == pytest.approx([-6.0, 3.0], abs=0.1)
    whole = meter.integrated_loudness(together.waveform.T)
    assert together.levels == pytest.approx([each - whole for each in loud], abs=0.5)


def test_a_part_outside_of_the_clip_or_of_the_presets_range_is_silent_and_says_so():
    found = render(part(0, 60), part(73, 76, first=100), part(0, 36, percussion=True), part(0, 10, percussion=True))
    assert found.levels[0] > -5 and found.levels[1] == -np.inf and found.levels[3] == -np.inf
    assert set(found.pieces) == {(2, 36), (3, 10)} and found.pieces[3, 10] == -np.inf
    assert found.pieces[2, 36] == pytest.approx(found.levels[2], abs=1e-6)


def test_a_level_is_that_of_the_time_in_which_something_sounds():
    """By BS.1770's gates: a drum that plays for a quarter of the clip is no softer than one that plays throughout."""
    tone = part(16, 60)
    kits = [Part("", 0, True, [Note(float(beat), 0.2, 38, 90) for beat in range(beats)]) for beats in (3, 12)]
    short, throughout = (render(tone, kit).levels[1] for kit in kits)
    assert short == pytest.approx(throughout, abs=2.0) and short > -15


def test_soft_pieces_of_a_kit_are_lifted_towards_the_loudest():
    kit = Part("", 0, True, [*part(0, 36, velocity=120).notes, *part(0, 42, velocity=20).notes])
    found = render(kit)
    assert found.pieces[0, 42] - found.pieces[0, 36] == pytest.approx(-6, abs=0.1)


def test_drums_of_one_class_end_each_other_across_parts():
    open_hat = Part("", 0, True, [Note(0.0, 0.2, 46, 100)])
    closed_hat = Part("", 0, True, [Note(1.0, 0.2, 42, 100)])
    sampler = soundfont._sampler(assets.fetch("soundfont"), RATE)
    first, second = soundfont._strokes(piece(open_hat, closed_hat), sampler)
    assert first[0].choked == RATE // 2 and second[0].choked == NEVER


def test_a_kit_that_the_font_lacks_is_told_as_the_one_that_plays(monkeypatch):
    """A font of the standard kit alone plays its acoustic drums for an electronic kit."""
    score = composition.compose(["electronic drums", "techno"], duration=6, seed=1, taxonomy=TAXONOMY)
    assert 25 in {each.program for each in score.parts if each.percussion}
    whole = perform(score, duration=6)
    bank = soundfont._sampler(assets.fetch("soundfont"), RATE).bank
    few = {place: zones for place, zones in bank._zones.items() if place[0] != DRUMS or place[1] == 0}
    monkeypatch.setattr(bank, "_zones", few)
    soundfont._sampler(assets.fetch("soundfont"), RATE).voices.cache_clear()
    clip = perform(score, duration=6)
    soundfont._sampler.cache_clear()
    assert "electronic drums" in whole.truth.present and "electronic drums" in clip.truth.absent
    assert "acoustic drums" in clip.truth.present and clip.midi != whole.midi


def test_same_seed_same_bytes_whatever_was_played_before():
    first = play("jazz", "piano", seed=3).waveform
    play("metal", "distorted guitar")
    again = play("jazz", "piano", seed=3).waveform
    assert np.array_equal(first, again)
    assert not np.array_equal(first, play("jazz", "piano", seed=4).waveform)


@pytest.mark.parametrize("tag", ["slow tempo", "medium tempo", "fast tempo"])
def test_the_pulse_of_the_sound_is_the_tempo(tag):
    """Autocorrelation of the energy's rises peaks at the beat, one kick each."""
    piece = composition.compose(["kick drum", "four-on-the-floor", tag], duration=12, seed=1, taxonomy=TAXONOMY)
    sound = render(*(part for part in piece.parts if part.tag == "kick drum"), tempi=piece.tempi, seconds=12)
    hop = 320
    frames = sound.waveform.mean(0)[: RATE * 12 // hop * hop].reshape(-1, hop)
    rises = np.maximum(np.diff(np.sqrt((frames**2).mean(1))), 0)
    rises -= rises.mean()
    correlation = np.correlate(rises, rises, "full")[len(rises) - 1 :]
    lags = np.arange(len(correlation)) * hop / RATE
    beat = 60 / piece.tempi[0][1]
    near = np.abs(lags - beat) < 0.04 * beat
    between = (lags > 0.3 * beat) & (lags < 0.9 * beat)
    assert correlation[near].max() > 3 * correlation[between].max(), "a kick on each beat, none between"
    assert lags[near][correlation[near].argmax()] == pytest.approx(beat, abs=hop / RATE)


def centroid(clip: soundfont.Clip) -> float:
    power = np.abs(np.fft.rfft(clip.waveform.mean(0))) ** 2
    return float((np.fft.rfftfreq(clip.waveform.shape[1], 1 / RATE) * power).sum() / power.sum())


def test_a_flute_is_higher_than_a_bass_and_cymbals_brighter_than_a_kick():
    assert centroid(play("flute")) > 2 * centroid(play("cello"))
    assert centroid(play("hi-hats")) > 1.5 * centroid(play("kick drum"))


def test_calm_is_thinner_than_aggressive():
    onsets = [
        sum(len(part.notes) for part in composition.compose(
            ["rock", mood, "medium tempo"], duration=10, seed=0, taxonomy=TAXONOMY).parts)
        for mood in ("calm", "aggressive")
    ]  # fmt: skip
    assert onsets[0] < onsets[1]


def test_refuses_a_clip_that_is_too_short():
    with pytest.raises(ValueError, match="expected a duration of at least 0.5 s, got 0.1"):
        play("piano", duration=0.1)
