"""How strongly a clip pulses at each tempo."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

BPM = np.exp2(np.linspace(np.log2(40), np.log2(240), 156))  # a sixtieth of an octave, about 1 %, apart
_FRAME_RATE = 62.5  # Hz, of musicnn's spectra


def pulse(log_mel: ArrayLike) -> NDArray[np.float32]:
    """How strongly a clip pulses at each tempo of ``BPM``: ``(156,)`` in [0, 1], 1 at the likeliest tempo.

    In six bands the onset strength, the rise of log-mel energy over its surroundings, is correlated with itself. A
    tempo counts by the mean correlation one to four beats later, a little less where half a beat later is as good, and
    by how usual it is (log-normal around 120, one octave wide). Half and double of the right tempo stand out too, and
    one of them often wins. Without any onset, as in silence, it is 0 everywhere.

    Args:
        log_mel: Spectrum ``(frames, 96)`` of ``clips.spectrum``, of 3 s or more: slow beats need length.

    References:
        Ellis, Beat tracking by dynamic programming, 2007. Scheirer, Tempo and beat analysis, 1998 (onsets in bands).
    """
    rises = np.maximum(np.diff(np.asarray(log_mel, dtype=np.float64), axis=0), 0)
    onsets = np.stack([band.sum(1) for band in np.array_split(rises, 6, axis=1)])
    size, reach = onsets.shape[1], round(_FRAME_RATE / 2)
    sums = np.cumsum(np.pad(onsets, ((0, 0), (1, 0))), axis=1)
    first, last = np.maximum(np.arange(size) - reach, 0), np.minimum(np.arange(size) + reach, size)
    onsets = np.maximum(onsets - (sums[:, last] - sums[:, first]) / (last - first), 0)
    onsets -= onsets.mean(1, keepdims=True)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(onsets, 2 * size)) ** 2)[:, :size]
    correlation = correlation[correlation[:, 0] > 1e-6 * size]
    if not len(correlation):
        return np.zeros(len(BPM), np.float32)
    overlap = np.maximum(size - np.arange(size), size / 8) / size
    mean = (correlation / correlation[:, :1]).mean(0) / overlap
    lag = 60 * _FRAME_RATE / BPM

    def at(lags: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.max([np.interp(lags + shift, np.arange(size), mean, right=0.0) for shift in (-1, 0, 1)], axis=0)

    beats = np.stack([np.where(count * lag < 0.9 * size, at(count * lag), np.nan) for count in (1, 2, 3, 4)])
    usual = np.exp(-0.5 * np.log2(BPM / 120) ** 2)
    strength = np.maximum(np.nanmean(beats, axis=0) - 0.1 * at(lag / 2), 0) * usual
    return (strength / max(strength.max(), 1e-9)).astype(np.float32)
