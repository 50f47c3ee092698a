"""Waveforms: float32 arrays ``(channels, samples)`` in [-1, 1]; to and from files."""

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

from conceptcaps.errors import InputError

Waveform = NDArray[np.float32]

_FULL = 32_768  # steps of 16 bits


def encode_flac(waveform: Waveform, sample_rate: int) -> bytes:
    """FLAC file (16 bit) of a waveform.

    Args:
        waveform: ``(channels, samples)`` in [-1, 1].
        sample_rate: Hz.

    Raises:
        InputError: If the shape is another, there are no samples, or a sample lies outside [-1, 1] or is no number.
    """
    check(waveform)
    peak = float(max(waveform.max(), -waveform.min()))
    if not peak <= 1:
        raise InputError(f"expected samples in [-1, 1], got a peak of {peak}")
    steps = waveform * np.float32(_FULL)
    np.minimum(np.rint(steps, out=steps), _FULL - 1, out=steps)
    target = io.BytesIO()
    soundfile.write(target, steps.astype(np.int16).T, sample_rate, format="FLAC", subtype="PCM_16")
    return target.getvalue()


def decode(data: bytes) -> tuple[Waveform, int]:
    """Waveform ``(channels, samples)`` and sample rate (Hz) of an encoded file (FLAC, WAV, AU, OGG, MP3).

    Raises:
        InputError: If the bytes are no audio file that libsndfile reads.
    """
    try:
        samples, sample_rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"expected an audio file, got {len(data)} bytes: {error}") from error
    return np.ascontiguousarray(samples.T), int(sample_rate)


def to_mono(waveform: Waveform) -> Waveform:
    """Mean of the channels, ``(1, samples)``.

    >>> to_mono(np.array([[1.0, 0.5], [0.0, -0.5]], dtype=np.float32)).tolist()
    [[0.5, 0.0]]
    """
    check(waveform)
    return waveform.mean(axis=0, keepdims=True, dtype=np.float32)


def check(waveform: Waveform) -> None:
    """Refuse what is no waveform (InputError)."""
    if waveform.ndim != 2 or waveform.size == 0 or waveform.dtype != np.float32:
        raise InputError(f"expected a float32 waveform (channels, samples), got {waveform.dtype} {waveform.shape}")
