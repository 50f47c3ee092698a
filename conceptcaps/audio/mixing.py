"""The compiled loops of the sampler, second part: tones are mixed with their gain and their volume envelope.

What is said of bytes in ``tones`` holds here too.

References:
    SoundFont Technical Specification 2.04, E-mu Systems 2006, section 8.1.
"""

import numpy as np
from numba import njit

from conceptcaps.audio.tones import BLOCK, FALL, fallen, gain, modulation

_SILENT = 900.0  # centibels below full, where a voice ends


@njit(cache=True, nogil=True)
def _fallen_by(centibels):  # type: ignore[no-untyped-def]
    """Gain of some centibels, so exact that thousands in a row stay right."""
    if centibels > 20:
        return gain(centibels)
    part = -centibels * 0.011512925464970228  # ln(10) / 200
    term = whole = 1.0
    for number in range(1, 8):
        term *= part / number
        whole += term
    return whole


@njit(cache=True, nogil=True)
def lasts(voice, let_go, choked, choking, most):  # type: ignore[no-untyped-def]
    """How long a tone is heard, and whether it changes, besides its volume, when the key is let go.

    The first is samples of at most ``most`` until ``mix`` is done with it, for it falls silent; a block more at most.
    """
    changes = voice.mode == 3
    if not changes and (voice.mod_to_pitch != 0 or voice.mod_to_filter != 0):
        changes = modulation(voice, let_go, let_go) > 0.001
    low, high = 0, int(most)
    while high - low > BLOCK:
        middle = (low + high) // 2
        if fallen(voice, middle, let_go, choked, choking)[1] + voice.attenuation >= _SILENT:
            high = middle
        else:
            low = middle
    return min(high + BLOCK, int(most)), changes


@njit(cache=True, nogil=True)
def _blocks(target, wave, level, ratio, shape):  # type: ignore[no-untyped-def]
    """Add whole blocks of a wave, whose level falls by ``ratio`` from one to the next; give the level behind them."""
    for begin in range(0, len(target), BLOCK):
        now, block, heard = np.float32(level), target[begin : begin + BLOCK], wave[begin : begin + BLOCK]
        for each in range(BLOCK):
            block[each] += now * shape[each] * heard[each]
        level *= ratio
    return level


@njit(cache=True, nogil=True)
def _fall(target, tone, split, rest, place, level, ratio, shape):  # type: ignore[no-untyped-def]
    """Add whole blocks of a tone, from its sample ``place`` on, whose level falls by ``ratio`` from one to the next."""
    of_tone = min(max(split - place, 0), len(target))
    before = of_tone // BLOCK * BLOCK
    level = _blocks(target[:before], tone[place:], level, ratio, shape)
    if before < of_tone:  # a block of both
        seam = np.concatenate((tone[place + before : split], rest[: before + BLOCK - of_tone]))
        level = _blocks(target[before : before + BLOCK], seam, level, ratio, shape)
        before += BLOCK
    _blocks(target[before:], rest[place + before - split :], level, ratio, shape)


@njit(cache=True, nogil=True)
def _lean(target, tone, split, rest, place, level, change):  # type: ignore[no-untyped-def]
    """Add a piece of a tone, from its sample ``place`` on, whose level changes evenly from sample to sample."""
    of_tone = min(max(split - place, 0), len(target))
    begin, end = tone[place : place + of_tone], rest[place + of_tone - split :]
    for each in range(of_tone):
        target[each] += (level + np.float32(np.int32(each)) * change) * begin[each]
    behind = target[of_tone:]
    for each in range(len(behind)):
        behind[each] += (level + np.float32(np.int32(of_tone + each)) * change) * end[each]


@njit(cache=True, nogil=True)
def mix(sound, tone, split, rest, most, voice, first, let_go, choked, choking):  # type: ignore[no-untyped-def]
    """Add a tone to a waveform, with its gain and its volume envelope.

    The envelope is straight while it rises; where it falls by so many decibels a sample, it is straight within a block.
    The tone is the first ``split`` samples of ``tone`` and then ``rest``, of both together the first ``most``.
    """
    begun = int(voice.delay)
    room = min(sound.shape[1] - first, begun + min(split + len(rest), most))
    full = gain(voice.attenuation) / np.sqrt(voice.resonance)
    sides = np.array([voice.left, voice.right] if sound.shape[0] == 2 else [0.5 * (voice.left + voice.right), 0.0])
    raised = voice.delay + voice.attack
    settled = raised + voice.hold + voice.decay * voice.sustain / FALL
    shape = np.empty(BLOCK, dtype=np.float32)
    time, (rise, fall) = begun, fallen(voice, begun, let_go, choked, choking)
    while time < room and fall + voice.attenuation < _SILENT:
        until = room  # where the slope changes next
        for corner in (raised, raised + voice.hold, settled, float(let_go), float(choked)):
            if time < corner < until:
                until = int(np.ceil(corner))
        level, blocks = full * rise * gain(fall), (until - time) // BLOCK
        even = blocks and (rise >= 1 or time >= let_go)
        if even:  # so many decibels a block, or none
            steep = fallen(voice, time + BLOCK, let_go, choked, choking)[1] - fall
            if steep > 1e-9:
                blocks = min(blocks, int((_SILENT - voice.attenuation - fall) / steep) + 1)
            until = time + blocks * BLOCK
            ratio = _fallen_by(steep)
            for each in range(BLOCK):
                shape[each] = 1 + (ratio - 1) * each / BLOCK
        elif time >= min(let_go, choked):  # rising and falling at once
            until = min(until, time + BLOCK)
        rise, fall = fallen(voice, until, let_go, choked, choking)
        change = (full * rise * gain(fall) - level) / (until - time)
        for channel in range(sound.shape[0]):
            target, side = sound[channel, first + time : first + until], sides[channel]
            if even:
                _fall(target, tone, split, rest, time - begun, side * level, ratio, shape)
            else:
                _lean(target, tone, split, rest, time - begun, np.float32(side * level), np.float32(side * change))
        time = until
