"""Scores to sound, played by a General MIDI soundfont."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conceptcaps.audio import loudness, midi
from conceptcaps.audio.score import Part, Piece
from conceptcaps.audio.sf2 import DRUMS, Bank
from conceptcaps.audio.truth import Levels, Truth, truth
from conceptcaps.audio.voices import Note, Sampler
from conceptcaps.audio.waveform import Waveform
from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets

_FADE = 0.05
_STEM = -23.0  # LUFS of a part at level 0, before the mix is brought to its own loudness
_SPREAD = 6.0  # LU that a piece of a kit stands at most below the part's loudest
_MOST = 30.0  # LU that a part is lifted at most, so that no dying note is blown up
_OPEN_FONTS = 4


@dataclass(frozen=True)
class Clip:
    """What was played, and what sounds in it.

    Attributes:
        waveform: ``(channels, samples)``, at the loudness of ``loudness.normalise``.
        truth: Read from the finished piece and the levels of its stems, never from what was asked for.
        midi: The notes of the clip as a standard MIDI file.
    """

    waveform: Waveform
    truth: Truth
    midi: bytes


@dataclass(frozen=True)
class Sound:
    """A mix, and how loud each of its parts is in it.

    Attributes:
        waveform: ``(channels, samples)``, before the loudness rule.
        levels: Integrated loudness of each of the piece's parts, by itself, above that of the mix (LU): -15 is 15 LU
            below the mix, ``-inf`` where nothing of the part sounds within the clip. It is gated, as the standard has
            it, so that a cymbal struck twice counts as loud as it is while it rings.
        pieces: The same by part and key of a kit, for percussion parts.
    """

    waveform: Waveform
    levels: list[float]
    pieces: dict[tuple[int, int], float]


def named(text: str) -> list[str]:
    """Soundfonts of a list ``a,b,c``, in which ``embedded`` stands for TimGM6mb."""
    return [str(assets.fetch("soundfont")) if name == "embedded" else name for name in text.split(",")]


def perform(
    piece: Piece, *, duration: float, taxonomy: Taxonomy, soundfont: Path, sample_rate: int, channels: int
) -> Clip:
    """Play a piece and say what sounds in it; nothing is drawn at random.

    A kit that the soundfont lacks is reported as the standard kit, which plays in its place.

    Args:
        piece: The score.
        duration: Length of the clip (s), at least 0.5.
        taxonomy: Tags to decide.
        soundfont: A General MIDI soundfont (sf2, sf3).
        sample_rate: Hz.
        channels: 1 or 2.

    Raises:
        InputError: If the duration is below 0.5 s, or nothing sounds within it.
    """
    piece, sound, heard = _hear(
        piece, duration=duration, taxonomy=taxonomy, soundfont=soundfont, sample_rate=sample_rate, channels=channels
    )
    fade = round(_FADE * sample_rate)
    sound.waveform[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    finished = loudness.normalise(sound.waveform, sample_rate)
    return Clip(finished, heard, midi.write(piece, duration=duration))


def foresee(
    piece: Piece, *, duration: float, taxonomy: Taxonomy, soundfont: Path, sample_rate: int, channels: int
) -> Truth:
    """The truth of the clip that ``perform`` would make; arguments and errors as there."""
    return _hear(
        piece, duration=duration, taxonomy=taxonomy, soundfont=soundfont, sample_rate=sample_rate, channels=channels
    )[2]


def _hear(
    piece: Piece, *, duration: float, taxonomy: Taxonomy, soundfont: Path, sample_rate: int, channels: int
) -> tuple[Piece, Sound, Truth]:
    """The piece in the kits that the soundfont has, its mix before fade and loudness, and what sounds in that."""
    if duration < 0.5:
        raise InputError(f"expected a duration of at least 0.5 s, got {duration}")
    length = round(duration * sample_rate)
    bank = _sampler(soundfont, sample_rate).bank
    kits = [replace(part, program=bank.kit(part.program)) if part.percussion else part for part in piece.parts]
    piece = replace(piece, parts=kits)
    sound = render(piece, soundfont=soundfont, length=length, sample_rate=sample_rate, channels=channels)
    levels = Levels(sound.levels, sound.pieces)
    return piece, sound, truth(piece, duration=duration, taxonomy=taxonomy, levels=levels)


def render(piece: Piece, *, soundfont: Path, length: int, sample_rate: int, channels: int) -> Sound:
    """Play the first ``length`` samples of a piece.

    Every part is played by itself and brought to one loudness plus its ``level``, so that the balance does not hang on
    the soundfont's programs; a part's gain does not depend on the other parts. Within a kit soft pieces are lifted too.

    Args:
        piece: What to play.
        soundfont: A soundfont's file.
        length: Samples.
        sample_rate: Hz.
        channels: 1 or 2.

    Raises:
        InputError: If there are other channels, the soundfont lacks a program, or nothing sounds.
    """
    if channels not in (1, 2):
        raise InputError(f"expected 1 or 2 channels, got {channels}")
    sampler = _sampler(soundfont, sample_rate)
    mix = np.zeros((channels, length), dtype=np.float32)
    parts: list[float] = []
    pieces: dict[tuple[int, int], float] = {}
    for number, (part, strokes) in enumerate(zip(piece.parts, _strokes(piece, sampler), strict=True)):
        stem, keys = _stem(part, strokes, sampler=sampler, like=mix)
        hops = loudness.energies(stem, sample_rate)
        lift = 10 ** (min(_STEM + part.level - loudness.integrated(hops), _MOST) / 20)
        mix += np.multiply(stem, np.float32(lift), out=stem)
        parts.append(loudness.integrated(lift**2 * hops))
        pieces |= {(number, key): loudness.integrated(lift**2 * energies) for key, energies in keys.items()}
    whole = loudness.integrated(loudness.energies(mix, sample_rate))
    if not np.isfinite(whole):
        raise InputError(f"expected a piece that sounds within {length / sample_rate:.1f} s, got silence")
    return Sound(mix, [each - whole for each in parts], {place: each - whole for place, each in pieces.items()})


def _stem(
    part: Part, strokes: Sequence[Note], *, sampler: Sampler, like: Waveform
) -> tuple[Waveform, dict[int, NDArray[np.float64]]]:
    """A part by itself and, for a kit, the energies of each of its pieces, soft ones lifted towards the loudest."""
    stem = np.zeros_like(like)
    if not part.percussion:
        sampler.add(stem, strokes, bank=0, program=part.program)
        return stem, {}
    groups: dict[int, list[Note]] = defaultdict(list)
    for stroke in strokes:
        groups[stroke.key].append(stroke)
    alone = {key: np.zeros_like(like) for key in groups}
    for key, sound in alone.items():
        sampler.add(sound, groups[key], bank=DRUMS, program=part.program)
    hops = {key: loudness.energies(sound, sampler.sample_rate) for key, sound in alone.items()}
    heard = {key: loudness.integrated(each) for key, each in hops.items()}
    energies = {}
    for key, sound in alone.items():
        lift = 10 ** (max(max(heard.values()) - _SPREAD - heard[key], 0) / 20) if np.isfinite(heard[key]) else 0.0
        stem += np.multiply(sound, np.float32(lift), out=sound)
        energies[key] = lift**2 * hops[key]
    return stem, energies


def _strokes(piece: Piece, sampler: Sampler) -> list[list[Note]]:
    """The notes of every part in samples; drums of an exclusive class end each other across parts."""
    found: list[list[Note]] = []
    drums = []
    for part in piece.parts:
        starts = piece.seconds([note.start for note in part.notes])
        lengths = piece.seconds([note.start + note.length for note in part.notes]) - starts
        begins, durations = (np.rint(times * sampler.sample_rate).astype(int).tolist() for times in (starts, lengths))
        found.append(
            [
                Note(note.pitch, note.velocity, begin, max(held, 1), glide=note.glide)
                for note, begin, held in zip(part.notes, begins, durations, strict=True)
            ]
        )
        if part.percussion:
            for place, note in enumerate(found[-1]):
                classes = sampler.classes(bank=DRUMS, program=part.program, key=note.key, velocity=note.velocity)
                drums.append((note.first, len(found) - 1, place, classes))
    ringing: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for first, number, place, classes in sorted(drums, key=lambda drum: drum[:3]):
        for each in classes:
            for begun, other, there in ringing[each]:
                if begun < first:
                    found[other][there] = found[other][there]._replace(choked=first - begun)
            ringing[each] = [other for other in ringing[each] if other[0] == first] + [(first, number, place)]
    return found


@lru_cache(maxsize=_OPEN_FONTS)
def _sampler(soundfont: Path, sample_rate: int) -> Sampler:
    return Sampler(Bank.load(soundfont), sample_rate=sample_rate)
