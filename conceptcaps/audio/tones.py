"""The compiled loops of the sampler, first part: a sample becomes a tone. ``mixing`` makes a sounding note of it.

A tone is read from a sample with its loop, pitch, vibrato and filter; it is mixed with its gain and volume envelope.
The loops hold additions, multiplications, divisions and roots alone, and read powers and angles from tables of rounded
numbers, so that every processor gives the same bytes.

References:
    SoundFont Technical Specification 2.04, E-mu Systems 2006, sections 8 and 9.
    Bristow-Johnson, Cookbook formulae for audio EQ biquad filter coefficients.
"""

import numpy as np
from numba import njit

BLOCK = 64  # samples for which pitch and filter stay as they are, and a falling volume is a straight line
FALL = 960.0  # centibels in the time that a decay or release is given as
LOWEST, HIGHEST = 1500, 13_500  # cents of a filter
_GAIN = np.float32(10 ** (-np.arange(1442) / 200)).astype(np.float64)  # by centibels
_CENT = np.float32(2 ** (np.arange(1202) / 1200)).astype(np.float64)  # by cents within an octave
_CONVEX = np.zeros(129)  # by 127ths
_CONVEX[1:] = np.maximum(1 + 400 / 960 * np.log10(np.arange(1, 129) / 127), 0).astype(np.float32)
VOICE = np.dtype(
    [
        ("choke", "i8"),
        *((name, "f8") for name in ("left", "right", "attenuation", "attack", "hold", "decay", "sustain", "release")),
        *((name, "i8") for name in ("start", "end", "loop_first", "loop_last", "mode")),
        *((name, "f8") for name in ("step", "delay")),
        *((f"mod_{name}", "f8") for name in ("delay", "attack", "hold", "decay", "sustain", "release")),
        *((name, "f8") for name in ("mod_to_pitch", "mod_to_filter", "cutoff", "resonance")),
        *((name, "f8") for name in ("lfo_delay", "lfo_step", "lfo_to_pitch", "lfo_to_filter", "lfo_to_gain")),
        *((name, "f8") for name in ("vibrato_delay", "vibrato_step", "vibrato_to_pitch")),
    ]
)  # times in samples of the output, gains in centibels, pitch and filter in cents
_FIELDS = dict(VOICE.fields or {})
OF_TONE: int = _FIELDS["start"][1]  # bytes of gain and volume envelope, before what a tone depends on


@njit(cache=True, nogil=True)
def _power(table, value, last):  # type: ignore[no-untyped-def]
    """Between the entries of a table of powers, whose entry ``last`` stands for all beyond."""
    place = int(value)
    if place >= last:
        return table[last]
    return table[place] + (value - place) * (table[place + 1] - table[place])


@njit(cache=True, nogil=True)
def gain(centibels):  # type: ignore[no-untyped-def]
    """Amplitude so many centibels below full."""
    if centibels < 0:
        return 1.0 / _power(_GAIN, -centibels, 1440)
    return 0.0 if centibels >= 1440 else _power(_GAIN, centibels, 1440)


@njit(cache=True, nogil=True)
def _ratio(cents):  # type: ignore[no-untyped-def]
    factor = 1.0
    while cents < 0:
        cents += 1200
        factor *= 0.5
    while cents >= 1200:
        cents -= 1200
        factor *= 2.0
    return factor * _power(_CENT, cents, 1200)


@njit(cache=True, nogil=True)
def _triangle(time, delay, step):  # type: ignore[no-untyped-def]
    """An oscillator between -1 and 1 that rises from 0 after a delay."""
    if time <= delay:
        return 0.0
    phase = (time - delay) * step
    phase -= int(phase)
    return 4 * phase if phase < 0.25 else (2 - 4 * phase if phase < 0.75 else 4 * phase - 4)


@njit(cache=True, nogil=True)
def _held(time, delay, attack, hold, decay, full, bottom):  # type: ignore[no-untyped-def]
    """An envelope before its release: how far it has risen (0 to 1), and fallen (``full`` within ``decay``)."""
    time -= delay
    if time < attack:
        return max(time, 0.0) / attack, 0.0
    time -= attack + hold
    return 1.0, min(full * max(time, 0.0) / decay, bottom)


@njit(cache=True, nogil=True)
def fallen(voice, time, let_go, choked, choking):  # type: ignore[no-untyped-def]
    """The volume envelope: how far it has risen (0 to 1), and fallen (centibels)."""
    rise, fall = _held(min(time, let_go), voice.delay, voice.attack, voice.hold, voice.decay, FALL, voice.sustain)
    if time > let_go:
        fall += FALL * (time - let_go) / voice.release
    if time > choked:
        fall += FALL * (time - choked) / choking
    return rise, fall


@njit(cache=True, nogil=True)
def modulation(voice, time, let_go):  # type: ignore[no-untyped-def]
    """The modulation envelope, 0 to 1; its rise is convex."""
    rise, fall = _held(
        min(time, let_go), voice.mod_delay, voice.mod_attack, voice.mod_hold, voice.mod_decay, 1.0, voice.mod_sustain
    )
    if rise < 1:
        rise = _power(_CONVEX, 127 * rise, 127)
    return max(rise - fall - max(time - let_go, 0) / voice.mod_release, 0.0)


@njit(cache=True, nogil=True)
def _read(out, wave, phase, step, count):  # type: ignore[no-untyped-def]
    """Read a sample at fractional places (32 bits after the point) with a cubic through four of its values."""
    for place in range(count):
        at = phase + place * step
        index = np.uint32(at >> 32)  # without a sign there is no counting from the end, and the loop becomes vectors
        part = np.float32(np.int32((at >> 8) & 0xFFFFFF)) * np.float32(2**-24)
        before, here = wave[index - np.uint32(1)], wave[index]
        after, beyond = wave[index + np.uint32(1)], wave[index + np.uint32(2)]
        slope, rise = np.float32(0.5) * (after - before), after - here
        next_slope = np.float32(0.5) * (beyond - here)
        curve = np.float32(3) * rise - np.float32(2) * slope - next_slope
        bend = slope + next_slope - np.float32(2) * rise
        out[place] = here + part * (slope + part * (curve + part * bend))


@njit(cache=True, nogil=True)
def make(made, wave, voice, angles, let_go, glide, slide, first, places, states):  # type: ignore[no-untyped-def]
    """Fill ``made`` with a tone from sample ``first`` on; give how many there are, all but a block where it goes on.

    ``places`` and ``states`` hold at 0 where the sample is read and what the filter keeps at ``first``; the same of
    later blocks is written behind it, as far as there is room, so that a tone can be gone on with, or let go, there.
    """
    bends = glide != 0 or voice.mod_to_pitch != 0 or voice.lfo_to_pitch != 0 or voice.vibrato_to_pitch != 0
    moves = voice.mod_to_filter != 0 or voice.lfo_to_filter != 0
    limit = angles[HIGHEST - LOWEST, 0]
    lowest = voice.cutoff + min(voice.mod_to_filter, 0.0) - abs(voice.lfo_to_filter)
    place = int(min(max(lowest, LOWEST), HIGHEST)) - LOWEST
    filters = angles[place, 0] != limit or voice.resonance > 0.8
    cutoff = -1
    b0 = a1 = a2 = 0.0
    one, two = states[0, 0], states[0, 1]
    step = int(voice.step * 2.0**32)
    phase, end = places[0], voice.end << 32
    loop, turn = (voice.loop_last - voice.loop_first) << 32, voice.loop_last << 32
    done = 0
    while True:
        if done % BLOCK == 0 and done // BLOCK < len(places):
            places[done // BLOCK], states[done // BLOCK, 0], states[done // BLOCK, 1] = phase, one, two
        if done + BLOCK > len(made):
            break
        count = BLOCK
        time = int(voice.delay) + first + done
        if voice.mode == 3 and time < let_go < time + count:
            count = let_go - time
        middle = time + 0.5 * count
        swing = _triangle(middle, voice.lfo_delay, voice.lfo_step)
        moved = 0.0
        if bends or moves:
            moved = modulation(voice, middle, let_go)
            cents = moved * voice.mod_to_pitch + swing * voice.lfo_to_pitch
            cents += _triangle(middle, voice.vibrato_delay, voice.vibrato_step) * voice.vibrato_to_pitch
            if middle < slide:
                cents += glide * (1 - middle / slide)
            step = int(voice.step * _ratio(cents) * 2.0**32)
        looping = voice.mode == 1 or (voice.mode == 3 and time < let_go)
        block = made[done : done + count]
        filled = 0
        while filled < count:
            while looping and phase >= turn:
                phase -= loop
            run = min(((turn if looping else end) - phase + step - 1) // step, count - filled)
            if run <= 0:
                break
            _read(block[filled:], wave, phase, step, run)
            phase += run * step
            filled += run
        if filters:
            wanted = voice.cutoff
            if moves:
                wanted += moved * voice.mod_to_filter + swing * voice.lfo_to_filter
            place = int(min(max(wanted, LOWEST), HIGHEST)) - LOWEST
            if place != cutoff:
                cutoff = place
                alpha = angles[place, 1] / (2 * voice.resonance)
                a1, a2 = -2 * angles[place, 0] / (1 + alpha), (1 - alpha) / (1 + alpha)
                b0 = 0.5 * (1 - angles[place, 0]) / (1 + alpha)
            for place in range(filled):
                centre = (block[place] - a2 * two) - a1 * one
                block[place] = b0 * (centre + 2 * one + two)
                two, one = one, centre
        if voice.lfo_to_gain != 0:
            tremolo = np.float32(gain(-swing * voice.lfo_to_gain))
            for place in range(filled):
                block[place] *= tremolo
        done += filled
        if filled < count:
            break
    return done
