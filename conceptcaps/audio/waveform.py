"""Waveforms: float32 arrays ``(channels, samples)`` in [-1, 1]; FLAC, resampling, loudness."""

import io

import numpy as np
import pyloudnorm
import soundfile
import torch
import torchaudio
from numpy.typing import NDArray

Waveform = NDArray[np.float32]

LOUDNESS = -14.0
CEILING = 10 ** (-1 / 20)
_SILENCE = -70.0
_BLOCK = 0.4


def encode_flac(waveform: Waveform, sample_rate: int) -> bytes:
    """FLAC file (16 bit) of a waveform.

    Args:
        waveform: ``(channels, samples)`` in [-1, 1].
        sample_rate: Hz.

    Raises:
        ValueError: If the shape is another, there are no samples, or a sample lies outside [-1, 1] or is no number.
    """
    _check(waveform)
    peak = float(np.abs(waveform).max())
    if not peak <= 1:
        raise ValueError(f"expected samples in [-1, 1], got a peak of {peak}")
    target = io.BytesIO()
    soundfile.write(target, waveform.T, sample_rate, format="FLAC", subtype="PCM_16")
    return target.getvalue()


def decode(data: bytes) -> tuple[Waveform, int]:
    """Waveform ``(channels, samples)`` and sample rate (Hz) of an encoded file (FLAC, WAV, AU, OGG, MP3).

    Raises:
        ValueError: If the bytes are no audio file that libsndfile reads.
    """
    try:
        samples, sample_rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"expected an audio file, got {len(data)} bytes: {error}") from error
    return np.ascontiguousarray(samples.T), int(sample_rate)


def resample(waveform: Waveform, from_rate: int, to_rate: int) -> Waveform:
    """The waveform at another sample rate (Hz): ``ceil(samples * to_rate / from_rate)`` samples, band-limited."""
    _check(waveform)
    if from_rate == to_rate:
        return waveform
    return torchaudio.functional.resample(torch.from_numpy(waveform), from_rate, to_rate).numpy()


def to_mono(waveform: Waveform) -> Waveform:
    """Mean of the channels, ``(1, samples)``.

    >>> to_mono(np.array([[1.0, 0.5], [0.0, -0.5]], dtype=np.float32)).tolist()
    [[0.5, 0.0]]
    """
    _check(waveform)
    return waveform.mean(axis=0, keepdims=True, dtype=np.float32)


def loudness(waveform: Waveform, sample_rate: int) -> float:
    """Integrated loudness (LUFS, gated; ITU-R BS.1770-4); -inf for silence.

    Raises:
        ValueError: If the waveform is shorter than one gating block of 0.4 s.
    """
    _check(waveform)
    if waveform.shape[1] < _BLOCK * sample_rate:
        raise ValueError(f"expected at least {_BLOCK} s of audio, got {waveform.shape[1] / sample_rate:.3f} s")
    if not np.abs(waveform).max() > 0:
        return float("-inf")
    return float(pyloudnorm.Meter(sample_rate).integrated_loudness(waveform.T.astype(np.float64)))


def normalise_loudness(waveform: Waveform, sample_rate: int, *, target: float = LOUDNESS) -> Waveform:
    """The waveform at one loudness, scaled by a single gain; the rule for every backend.

    Where that gain would lift a peak above -1 dBFS, the whole clip stays quieter instead: nothing is ever clipped or
    compressed.

    Args:
        waveform: ``(channels, samples)``, at least 0.4 s.
        sample_rate: Hz.
        target: Integrated loudness (LUFS).

    Raises:
        ValueError: If the waveform is silent (below -70 LUFS), too short, or holds something that is no number.
    """
    if not np.isfinite(waveform).all():
        raise ValueError("expected finite samples, got NaN or infinity")
    found = loudness(waveform, sample_rate)
    if not found > _SILENCE:
        raise ValueError(f"expected sound, got silence ({found:.1f} LUFS)")
    gain = min(10 ** ((target - found) / 20), CEILING / float(np.abs(waveform).max()))
    return (waveform * gain).astype(np.float32)


def _check(waveform: Waveform) -> None:
    if waveform.ndim != 2 or waveform.size == 0 or waveform.dtype != np.float32:
        raise ValueError(f"expected a float32 waveform (channels, samples), got {waveform.dtype} {waveform.shape}")
