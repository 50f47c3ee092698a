"""Tag sets to sound: a score in which the tags hold, played by a General MIDI soundfont."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import symusic

from conceptcaps import assets, audio, composition
from conceptcaps.audio import Waveform
from conceptcaps.composition import Piece
from conceptcaps.taxonomy import Taxonomy

SAMPLE_RATE = 44_100
_TICKS = 480
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
    sound = render(piece, soundfont=soundfont or assets.fetch("soundfont"))
    length = round(duration * SAMPLE_RATE)
    sound = np.pad(sound, ((0, 0), (0, max(0, length - sound.shape[1]))))[:, :length]
    fade = round(_FADE * SAMPLE_RATE)
    sound[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return Clip(audio.normalise_loudness(sound, SAMPLE_RATE), piece.unrealised, piece.added)


def render(piece: Piece, *, soundfont: Path) -> Waveform:
    """Play a piece: ``(2, samples)`` at ``SAMPLE_RATE``, as long as its last note and its release."""
    written = symusic.Score(_TICKS)
    for beat, bpm in piece.tempi:
        written.tempos.append(symusic.Tempo(round(beat * _TICKS), bpm))
    for part in piece.parts:
        track = symusic.Track(part.tag, part.program, part.percussion)
        for note in part.notes:
            start, length = round(note.start * _TICKS), max(1, round(note.length * _TICKS))
            track.notes.append(symusic.Note(start, length, note.pitch, note.velocity))
        written.tracks.append(track)
    sound = _synthesizer(soundfont).render(written, stereo=True)
    return np.ascontiguousarray(sound, dtype=np.float32)


@cache
def _synthesizer(soundfont: Path) -> symusic.Synthesizer:
    return symusic.Synthesizer(str(soundfont), sample_rate=SAMPLE_RATE)
