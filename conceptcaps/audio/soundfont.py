"""Tag sets to sound: a score in which the tags hold, played by a General MIDI soundfont."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from conceptcaps import assets
from conceptcaps.audio import composition, waveform
from conceptcaps.audio.score import Piece
from conceptcaps.audio.sf2 import DRUMS, Sampler
from conceptcaps.audio.waveform import Waveform
from conceptcaps.tags.taxonomy import Taxonomy

SAMPLE_RATE = 44_100
_STROKE = 1.0  # seconds that a drum may ring
_FADE = 0.05


@dataclass(frozen=True)
class Clip:
    """What was played.

    Attributes:
        waveform: ``(2, samples)`` at ``SAMPLE_RATE``, at the loudness of ``audio.normalise_loudness``.
        unrealised: Tags that were asked for and do not sound.
        added: Tags that sound though nobody asked for them.
    """

    waveform: Waveform
    unrealised: list[str]
    added: list[str]


def play(tags: Sequence[str], *, duration: float, seed: int, taxonomy: Taxonomy, soundfont: Path | None = None) -> Clip:
    """Compose a piece for a tag set and play it.

    Args:
        tags: Canonical tags.
        duration: Length of the clip (s), at least 0.5.
        seed: Seed of the composition; playing draws nothing.
        taxonomy: Gives categories and ancestors.
        soundfont: A General MIDI soundfont; TimGM6mb if None.

    Raises:
        ValueError: As ``composition.compose``, or if the duration is below 0.5 s.
    """
    if duration < 0.5:
        raise ValueError(f"expected a duration of at least 0.5 s, got {duration}")
    piece = composition.compose(tags, duration=duration, seed=seed, taxonomy=taxonomy)
    length = round(duration * SAMPLE_RATE)
    sound = render(piece, soundfont=soundfont or assets.fetch("soundfont"), length=length)
    fade = round(_FADE * SAMPLE_RATE)
    sound[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return Clip(waveform.normalise_loudness(sound, SAMPLE_RATE), piece.unrealised, piece.added)


def render(piece: Piece, *, soundfont: Path, length: int) -> Waveform:
    """Play the first ``length`` samples of a piece: ``(2, length)`` at ``SAMPLE_RATE``."""
    player = _sampler(soundfont)
    sound = np.zeros((2, length), dtype=np.float32)
    for part in piece.parts:
        times = piece.seconds([(note.start, note.start + note.length) for note in part.notes])
        for note, (begin, end) in zip(part.notes, times.tolist(), strict=True):
            first = round(begin * SAMPLE_RATE)
            if first < length:
                wave = player.note(
                    bank=DRUMS if part.percussion else 0,
                    program=part.program,
                    key=note.pitch,
                    velocity=note.velocity,
                    duration=_STROKE if part.percussion else round(min(end - begin, length / SAMPLE_RATE), 2),
                )[:, : length - first]
                sound[:, first : first + wave.shape[1]] += wave
    return sound


@cache
def _sampler(soundfont: Path) -> Sampler:
    return Sampler.load(soundfont, sample_rate=SAMPLE_RATE)
