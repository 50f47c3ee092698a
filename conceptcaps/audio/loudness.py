"""Loudness of ITU-R BS.1770-4, and one rule for all clips: the same loudness, true peaks below one ceiling.

References:
    ITU-R BS.1770-4, Algorithms to measure audio programme loudness and true-peak audio level (2015).
"""

import math
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.signal import firwin

from conceptcaps.audio.waveform import Waveform, check
from conceptcaps.errors import InputError

LOUDNESS = -20.0  # LUFS
CEILING = -1.0  # dBTP
_SILENCE = -70.0
_HOP = 0.1  # seconds; a gating block is four
_BLOCK = 4
_GATE = -10.0
_LANES, _TILE = 32, 128
_NOTHING = 1e-30
_OVERSAMPLING, _TAPS = 4, 12
_LOOK = 0.005  # seconds on each side in which a peak is approached and left
_NEAR = 0.02  # LU
_ROUNDS = 8
_LEAST_SLOPE = 0.1


def energies(waveform: Waveform, sample_rate: int) -> NDArray[np.float64]:
    """Mean square of the K-weighted waveform in every whole 0.1 s, the channels' added: ``(hops,)``."""
    check(waveform)
    hop = round(_HOP * sample_rate)
    return _energies(waveform, *_weights(sample_rate), hop, waveform.shape[1] // hop)


def integrated(hops: NDArray[np.float64]) -> float:
    """Integrated loudness (LUFS, gated) of ``energies``; -inf for silence.

    Raises:
        InputError: If there are fewer than four hops, one gating block of 0.4 s.
    """
    if len(hops) < _BLOCK:
        raise InputError(f"expected at least 0.4 s of audio, got {_HOP * len(hops):.1f} s")
    blocks = np.lib.stride_tricks.sliding_window_view(hops, _BLOCK).mean(axis=1)
    kept = blocks[blocks > _energy(_SILENCE)]
    if not len(kept):
        return -math.inf
    return level(float(kept[kept > kept.mean() * 10 ** (_GATE / 10)].mean()))


def level(energy: float) -> float:
    """Loudness (LUFS) of a K-weighted mean square; -inf for silence."""
    return 10 * math.log10(energy) - 0.691 if energy > 0 else -math.inf


def loudness(waveform: Waveform, sample_rate: int) -> float:
    """Integrated loudness (LUFS, gated); -inf for silence.

    Raises:
        InputError: If the waveform is shorter than one gating block of 0.4 s.
    """
    return integrated(energies(waveform, sample_rate))


def true_peak(waveform: Waveform) -> float:
    """Highest magnitude of the waveform between its samples too, four times oversampled; 1 is full scale."""
    check(waveform)
    return float(_peaks(waveform, _between(), 0.0).max())


def normalise(waveform: Waveform, sample_rate: int, *, target: float = LOUDNESS) -> Waveform:
    """The waveform at one loudness, no true peak above -1 dBTP; the rule for every backend.

    One gain lifts or lowers the whole clip. Where peaks would then pass the ceiling, a limiter that looks 5 ms ahead
    turns them down, and the gain makes up for what that takes from the loudness.

    Args:
        waveform: ``(channels, samples)``, at least 0.4 s.
        sample_rate: Hz.
        target: Integrated loudness (LUFS).

    Raises:
        InputError: If the waveform is silent (below -70 LUFS), too short, or holds something that is no number.
    """
    check(waveform)
    if not np.isfinite(waveform).all():
        raise InputError("expected finite samples, got NaN or infinity")
    found = loudness(waveform, sample_rate)
    if not found > _SILENCE:
        raise InputError(f"expected sound, got silence ({found:.1f} LUFS)")
    ceiling, look = 10 ** (CEILING / 20), round(_LOOK * sample_rate)
    lift, before, step, slope = target - found, found, target - found, 1.0  # dB, LUFS, dB, and LU that a dB gave
    for _ in range(_ROUNDS):
        raised = waveform * np.float32(10 ** (lift / 20))
        peaks = _peaks(raised, _between(), ceiling)
        if peaks.max() <= ceiling:
            return raised
        limited = _limited(raised, peaks, ceiling, look)
        reached = loudness(limited, sample_rate)
        if abs(target - reached) < _NEAR:
            break
        if lift > target - found:
            slope = min(max((reached - before) / step, _LEAST_SLOPE), 1.0)
        before, step = reached, (target - reached) / slope
        lift += step
    return limited


@lru_cache(maxsize=8)
def _weights(rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The standard's two filters, a shelf and a high-pass, for any rate: b0, b1, b2, a1, a2 of each."""
    turn = math.tan(math.pi * 1681.974450955533 / rate)
    high = 10 ** (3.999843853973347 / 20)
    middle, width = high**0.4996667741545416, turn / 0.7071752369554196
    scale = 1 + width + turn**2
    shelf = [
        (high + middle * width + turn**2) / scale,
        2 * (turn**2 - high) / scale,
        (high - middle * width + turn**2) / scale,
        2 * (turn**2 - 1) / scale,
        (1 - width + turn**2) / scale,
    ]
    turn = math.tan(math.pi * 38.13547087602444 / rate)
    width = turn / 0.5003270373238773
    scale = 1 + width + turn**2
    low_cut = [1.0, -2.0, 1.0, 2 * (turn**2 - 1) / scale, (1 - width + turn**2) / scale]
    return np.array(shelf).round(14), np.array(low_cut).round(14)


@lru_cache(maxsize=1)
def _between() -> NDArray[np.float32]:
    """Low-pass that gives the three values between two samples, ``(3, 12)``."""
    filter_ = firwin(_OVERSAMPLING * _TAPS - 1, 1 / _OVERSAMPLING, window=("kaiser", 5.0)) * _OVERSAMPLING
    phases = np.append(filter_, 0.0).reshape(_TAPS, _OVERSAMPLING).T
    return np.ascontiguousarray(phases[[0, 1, 2]][:, ::-1].astype(np.float32))


def _energy(lufs: float) -> float:
    return float(10 ** ((lufs + 0.691) / 10))


@njit(cache=True, nogil=True)
def _energies(sound, shelf, low_cut, hop, hops):  # type: ignore[no-untyped-def]
    """Stretches of the waveform side by side, each from a hop before, in which the filters settle.

    What a filter still holds after silence is set to nothing: such small numbers take a hundredfold time.
    """
    found = np.zeros(hops)
    each = (hops + _LANES - 1) // _LANES
    tile = np.empty((_TILE, _LANES))
    for channel in range(sound.shape[0]):
        states = np.zeros((5, _LANES))  # two of each filter, and the squares of what comes out
        for past in range(-1, each):
            states[4] = 0.0
            for begin in range(0, hop, _TILE):
                count = min(_TILE, hop - begin)
                for lane in range(_LANES):
                    _column(tile, lane, sound[channel], (lane * each + past) * hop + begin, count)
                _filter(tile, count, shelf, low_cut, states)
            for lane in range(_LANES):
                number = lane * each + past
                if past >= 0 and number < hops:
                    found[number] += states[4, lane] / hop
                if np.abs(states[:4, lane]).max() < _NOTHING:
                    states[:4, lane] = 0.0
    return found


@njit(cache=True, nogil=True)
def _column(tile, lane, sound, at, count):  # type: ignore[no-untyped-def]
    """Copy ``count`` samples from ``at`` on into a column; silence where there are none."""
    first = min(max(-at, 0), count)
    last = max(min(len(sound) - at, count), first)
    column, samples = tile[:, lane], sound[at + first : at + last]
    column[:first] = 0.0
    column[last:count] = 0.0
    for place in range(len(samples)):
        column[np.uint32(first) + np.uint32(place)] = samples[place]


@njit(cache=True, nogil=True)
def _filter(tile, count, shelf, low_cut, states):  # type: ignore[no-untyped-def]
    """Add the squares of filtered columns to ``states[4]``; one array keeps all numbers, so that loops are vectors."""
    b0, b1, b2, a1, a2 = shelf[0], shelf[1], shelf[2], shelf[3], shelf[4]
    c0, c1, c2, d1, d2 = low_cut[0], low_cut[1], low_cut[2], low_cut[3], low_cut[4]
    for place in range(count):
        for lane in range(_LANES):
            value = b0 * tile[place, lane] + states[0, lane]
            states[0, lane] = b1 * tile[place, lane] - a1 * value + states[1, lane]
            states[1, lane] = b2 * tile[place, lane] - a2 * value
            heard = c0 * value + states[2, lane]
            states[2, lane] = c1 * value - d1 * heard + states[3, lane]
            states[3, lane] = c2 * value - d2 * heard
            states[4, lane] += heard * heard


@njit(cache=True, nogil=True)
def _peaks(sound, between, ceiling):  # type: ignore[no-untyped-def]
    """Highest magnitude over the channels at each sample and just after it; between samples only where it can pass."""
    channels, length = sound.shape
    most = np.float32(0)
    for phase in range(between.shape[0]):
        sum_ = np.float32(0)
        for tap in range(_TAPS):
            sum_ += abs(between[phase, tap])
        most = max(most, sum_)
    floor = np.float32(ceiling / most)
    found = np.zeros(length, np.float32)
    for channel in range(channels):
        near = -1  # the last sample that could lift a value beyond the ceiling
        for at in range(length):
            found[at] = max(found[at], abs(sound[channel, at]))
        for ahead in range(length + _TAPS):
            if ahead < length and abs(sound[channel, ahead]) >= floor:
                near = ahead
            at = ahead - _TAPS // 2
            if at < 0 or at >= length or near < 0 or near < at - _TAPS // 2 + 1:
                continue
            for phase in range(between.shape[0]):
                value = np.float32(0)
                for tap in range(_TAPS):
                    place = at + tap - _TAPS // 2 + 1
                    if 0 <= place < length:
                        value += between[phase, tap] * sound[channel, place]
                found[at] = max(found[at], abs(value))
    return found


def _limited(sound: Waveform, peaks: NDArray[np.float32], ceiling: float, look: int) -> Waveform:
    """Peaks turned down: the lowest gain within ``look`` samples on each side, smoothed over as many, twice."""
    found = sound.copy()
    _turn_down(found, peaks, np.float32(ceiling), look)
    return found


@njit(cache=True, nogil=True)
def _turn_down(sound, peaks, ceiling, look):  # type: ignore[no-untyped-def]
    """As ``_limited``, in place and only near peaks: the gain is 1 elsewhere."""
    reach, length, at = 2 * look + 2, len(peaks), 0
    while at < length:
        if not peaks[at] > ceiling:
            at += 1
            continue
        first, place = max(at - reach, 0), at
        while place < min(at + 2 * reach, length):
            if peaks[place] > ceiling:
                at = place
            place += 1
        end = min(at + reach + 1, length)
        needed = np.empty(end - first)
        for place in range(end - first):
            needed[place] = min(ceiling / max(peaks[first + place], np.float32(1e-9)), np.float32(1))
        gain = _smooth(_smooth(_lowest(needed, look), look | 1), look | 1)
        for channel in range(sound.shape[0]):
            for place in range(first, end):
                sound[channel, place] *= np.float32(gain[place - first])
        at = end


@njit(cache=True, nogil=True)
def _lowest(values, look):  # type: ignore[no-untyped-def]
    """The lowest of the values within ``look`` places on each side of each."""
    found, length = np.empty_like(values), len(values)
    waiting = np.empty(length, np.int64)  # places whose values rise: the first is the lowest of the window
    begin = end = 0
    for place in range(length + look):
        if place < length:
            while end > begin and values[waiting[end - 1]] >= values[place]:
                end -= 1
            waiting[end] = place
            end += 1
        if place >= look:
            if waiting[begin] < place - 2 * look:
                begin += 1
            found[place - look] = values[waiting[begin]]
    return found


@njit(cache=True, nogil=True)
def _smooth(values, size):  # type: ignore[no-untyped-def]
    """Means over an odd number of values around each; those at the ends go on beyond them."""
    found, length, half = np.empty_like(values), len(values), size // 2
    mean = 0.0
    for place in range(-half, half + 1):
        mean += values[min(max(place, 0), length - 1)]
    mean /= size
    for place in range(length):
        found[place] = mean
        mean += (values[min(place + half + 1, length - 1)] - values[max(place - half, 0)]) / size
    return found
