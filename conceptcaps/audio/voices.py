"""Notes of a bank as sound: every zone that answers a note becomes a voice.

Envelopes, both oscillators, loops, resonant filter, stereo, exclusive classes and modulators follow the standard where
FluidSynth does.

References:
    SoundFont Technical Specification 2.04, E-mu Systems 2006, sections 8 and 9.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conceptcaps.audio.mixing import lasts, mix
from conceptcaps.audio.sf2 import CLASS, DRUMS, MODE, ROOT, SCALE, Bank, Sample, Zone
from conceptcaps.audio.tones import BLOCK, FALL, HIGHEST, LOWEST, OF_TONE, VOICE, make
from conceptcaps.audio.waveform import Waveform

NEVER = 1 << 60  # samples
_VOICES = 2**15  # notes whose voices are kept: a program has some fifty keys, of up to thirty velocities
_CHOKED = 2 ** (-200 / 1200)  # seconds of that fall where another voice of its class ends one
_SHORTEST_RELEASE = 2**-6  # seconds
_PAN, _ATTENUATION, _FILTER, _RESONANCE = 17, 48, 8, 9
_LOWEST_HERTZ = 8.1757989156  # of MIDI number 0
_VELOCITY_TO_FILTER = (0x0102, _FILTER)
_CONTROLLERS = {7: 100, 10: 64, 11: 127, 91: 40}  # as a General MIDI synthesiser has them after a reset; others 0

_Tone = tuple[int, bytes, int, float, float]
_Sounding = tuple[NDArray[np.float32], int, NDArray[np.float32]]
"""A tone in two pieces: one whose first samples count, how many, and what follows on them."""
_NOTHING = np.zeros(0, dtype=np.float32)


class Note(NamedTuple):
    """A note in samples of the output.

    Attributes:
        key: MIDI number; 69 is 440 Hz.
        velocity: 1 to 127.
        first: Sample at which it begins.
        duration: Samples until the key is let go.
        choked: Samples until another note of its exclusive class ends it.
        glide: Semitones from which its pitch slides to its own, within 0.18 s or half of its duration.
    """

    key: int
    velocity: int
    first: int
    duration: int
    choked: int = NEVER
    glide: float = 0.0


class Voice(NamedTuple):
    """What sounds when one zone answers.

    Attributes:
        wave: Its sample.
        numbers: Its ``VOICE``.
        tone: What tells its tone from those of others.
        release: Samples in which it falls by 96 dB once the key is let go.
        rings: Whether it sounds on to its end, whatever the key does, as a drum without a loop.
    """

    wave: NDArray[np.float32]
    numbers: np.void
    tone: tuple[int, bytes]
    release: float
    rings: bool


class _Kept(NamedTuple):
    """The beginning of a tone, or all of it, and where each of its blocks begins: in the sample and in the filter."""

    wave: NDArray[np.float32]
    ended: bool
    places: NDArray[np.int64]
    states: NDArray[np.float64]

    @property
    def bytes(self) -> int:
        return self.wave.nbytes + self.places.nbytes + self.states.nbytes


class Sampler:
    """Presets of one bank, played at one sample rate.

    A tone, which is a voice without its gain and its volume envelope, is made once for all notes of a call and mixed as
    often as it is played. Up to ``limit`` bytes are kept for later calls, but not what follows when a key is let go;
    what is kept changes no byte of what is played.
    """

    def __init__(self, bank: Bank, *, sample_rate: int, limit: int = 2**27) -> None:
        """Play a bank at a sample rate (Hz)."""
        self.bank = bank
        self.sample_rate = sample_rate
        hertz = _LOWEST_HERTZ * 2 ** (np.arange(LOWEST, HIGHEST + 1) / 1200)
        angles = 2 * np.pi * np.minimum(hertz, 0.45 * sample_rate) / sample_rate
        self._angles = np.stack([np.cos(angles), np.sin(angles)], axis=1).round(12)
        self.voices = lru_cache(maxsize=_VOICES)(self._voices)
        self._limit = limit
        self._kept: OrderedDict[_Tone, _Kept] = OrderedDict()
        self._bytes = 0

    def add(self, sound: Waveform, notes: Sequence[Note], *, bank: int, program: int) -> None:
        """Add notes to a waveform in place; nothing is added where the preset has no sample for one.

        Args:
            sound: ``(1 or 2, samples)``; one channel gets the mean of both.
            notes: What to play.
            bank: 0 for melodic presets, 128 for drum kits.
            program: 0 to 127.
        """
        played = []
        longest: dict[_Tone, tuple[Voice, int]] = {}
        choking = _CHOKED * self.sample_rate
        for note in notes:
            for voice in self.voices(bank, program, note.key, note.velocity):
                let_go = NEVER if voice.rings else note.duration
                most = int(min(sound.shape[1] - note.first, let_go + voice.release + 1, note.choked + choking + 1))
                if most > 0:
                    length, hears = lasts(voice.numbers, let_go, note.choked, choking, most)
                    slide = min(0.18 * self.sample_rate, note.duration / 2) if note.glide else 0.0
                    tone = (*voice.tone, let_go if hears else NEVER, 100 * note.glide, slide)
                    played.append((note, voice, let_go, tone, length))
                    if tone not in longest or longest[tone][1] < length:
                        longest[tone] = (voice, length)
        sounding = {tone: self._sounding(voice, tone, length) for tone, (voice, length) in longest.items()}
        for note, voice, let_go, tone, length in played:
            mix(sound, *sounding[tone], length, voice.numbers, note.first, let_go, note.choked, choking)

    def _sounding(self, voice: Voice, tone: _Tone, length: int) -> _Sounding:
        """At least ``length`` samples of a tone, or all of it."""
        let_go = tone[2]
        if let_go == NEVER:
            wave = self._made(voice, tone, length).wave
            return wave, len(wave), _NOTHING
        # Until the key is let go it is the tone of a key that is held; what follows is made from there, and not kept:
        # another note seldom has the same length to the sample.
        split = max(let_go - int(voice.numbers["delay"]), 0) // BLOCK * BLOCK
        held = self._made(voice, (*tone[:2], NEVER, *tone[3:]), min(split, length))
        if length <= split or len(held.wave) < split:
            return held.wave, len(held.wave), _NOTHING
        return held.wave, split, self._rest(held, split, voice, tone, length - split)

    def _made(self, voice: Voice, tone: _Tone, length: int) -> _Kept:
        """What is kept of a tone, made longer where it has fewer than ``length`` samples and goes on."""
        kept = self._kept.pop(tone, None)
        self._bytes -= kept.bytes if kept else 0
        if kept is None or (len(kept.wave) < length and not kept.ended):
            kept = self._more(voice, tone, length, kept)
        self._kept[tone] = kept
        self._bytes += kept.bytes
        while self._bytes > self._limit and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].bytes
        return kept

    def _more(self, voice: Voice, tone: _Tone, length: int, kept: _Kept | None) -> _Kept:
        """A tone from its beginning, or what is kept of it gone on with, in whole blocks."""
        blocks, done = -(-length // BLOCK), len(kept.wave) // BLOCK if kept else 0
        wave = np.empty(blocks * BLOCK, dtype=np.float32)
        places, states = np.zeros(blocks + 1, dtype=np.int64), np.zeros((blocks + 1, 2))
        places[0] = int(voice.numbers["start"]) << 32
        if kept:
            wave[: len(kept.wave)], places[: done + 1], states[: done + 1] = kept.wave, kept.places, kept.states
        first = done * BLOCK
        more = make(
            wave[first:], voice.wave, voice.numbers, self._angles, *tone[2:], first, places[done:], states[done:]
        )
        ended = first + more < len(wave)
        return _Kept(wave[: first + more].copy() if ended else wave, ended, places, states)

    def _rest(self, held: _Kept, split: int, voice: Voice, tone: _Tone, length: int) -> NDArray[np.float32]:
        """What follows on the first ``split`` samples of a tone whose key is let go."""
        here = slice(split // BLOCK, split // BLOCK + 1)
        places, states = held.places[here].copy(), held.states[here].copy()
        wave = np.empty(length + BLOCK, dtype=np.float32)
        count = make(wave, voice.wave, voice.numbers, self._angles, *tone[2:], split, places, states)
        return wave[: min(count, length)]

    def classes(self, *, bank: int, program: int, key: int, velocity: int) -> frozenset[int]:
        """Exclusive classes that a note belongs to: it ends earlier notes of them."""
        voices = self.voices(bank, program, key, velocity)
        return frozenset(int(voice.numbers["choke"]) for voice in voices) - {0}

    def _voices(self, bank: int, program: int, key: int, velocity: int) -> list[Voice]:
        found = []
        for zone in self.bank.zones(bank=bank, program=program, key=key, velocity=velocity):
            sample = self.bank.sample(zone.sample)
            if sample.length:
                numbers = self._voice(zone, sample, key, velocity)
                tone = (zone.sample, numbers.tobytes()[OF_TONE:])
                rings = bank == DRUMS and not numbers["mode"]
                found.append(Voice(sample.wave, numbers, tone, float(numbers["release"]), rings))
        return found

    def _voice(self, zone: Zone, sample: Sample, key: int, velocity: int) -> np.void:
        own = zone.generators
        key = own[46] if own[46] >= 0 else key
        velocity = own[47] if own[47] > 0 else velocity
        read = dict(own) | {_ATTENUATION: 0.4 * own[_ATTENUATION]}  # as every synthesiser since E-mu's own reads it
        for kind, amount in _modulated(zone, key, velocity).items():
            read[kind] = read.get(kind, 0) + amount
        rate, voice = self.sample_rate, np.zeros(1, dtype=VOICE)[0]
        first = sample.first
        voice["start"] = first + own[0] + 32768 * own[4]
        voice["end"] = min(first + sample.length + own[1] + 32768 * own[12], len(sample.wave) - 3)
        loop = [first + place + own[fine] + 32768 * own[coarse]
                for place, fine, coarse in zip(sample.loop, (2, 3), (45, 50), strict=True)]  # fmt: skip
        voice["loop_first"], voice["loop_last"] = loop[0], min(loop[1], voice["end"])
        looped = own[MODE] & 1 and voice["loop_last"] - voice["loop_first"] >= 2 and loop[0] >= first
        voice["mode"] = own[MODE] & 3 if looped else 0
        voice["choke"] = own[CLASS]
        root = own[ROOT] if own[ROOT] >= 0 else sample.pitch[0]
        cents = (key - root) * own[SCALE] + 100 * read[51] + read[52] + sample.pitch[1]
        voice["step"] = 2 ** (cents / 1200) * sample.rate / rate
        angle = (min(max(read[_PAN] / 500, -1), 1) + 1) * math.pi / 4
        voice["left"], voice["right"] = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        voice["attenuation"] = max(read[_ATTENUATION], 0)
        for prefix, shift in (("mod_", 0), ("", 8)):
            stretch = {2: own[31 + shift] * (60 - key), 3: own[32 + shift] * (60 - key)}
            for place, name in enumerate(("delay", "attack", "hold", "decay")):
                given = read[25 + shift + place] + stretch.get(place, 0)
                voice[prefix + name] = 0.0 if name == "delay" and given <= -12000 else rate * _seconds(given)
            voice[prefix + "sustain"] = min(max(read[29 + shift], 0), 1000)
            voice[prefix + "release"] = rate * _seconds(read[30 + shift])
        voice["mod_sustain"] /= 1000
        voice["sustain"] *= FALL / 1000
        voice["release"] = max(voice["release"], rate * _SHORTEST_RELEASE)
        voice["mod_to_pitch"], voice["mod_to_filter"] = read[7], read[11]
        voice["cutoff"], voice["resonance"] = read[_FILTER], 10 ** (min(max(read[_RESONANCE], 0), 960) / 200 - 0.1505)
        voice["lfo_to_pitch"], voice["lfo_to_filter"], voice["lfo_to_gain"] = read[5], read[10], read[13]
        voice["vibrato_to_pitch"] = read[6]
        for name, at in (("lfo", 21), ("vibrato", 23)):
            voice[f"{name}_delay"] = rate * _seconds(read[at])
            voice[f"{name}_step"] = _LOWEST_HERTZ * 2 ** (min(max(read[at + 1], -16000), 4500) / 1200) / rate
        return voice


def _seconds(timecents: float) -> float:
    return float(2 ** (min(max(timecents, -12000), 8000) / 1200))


def _modulated(zone: Zone, key: int, velocity: int) -> dict[int, float]:
    """What the zone's modulators add to its generators for a note, controllers being at rest.

    The standard's default from velocity to the filter is left out, as FluidSynth does; it would jump in mid-range.
    """
    found: dict[int, float] = {}
    for (source, kind, by), amount in zone.modulators.items():
        if (source, kind) != _VELOCITY_TO_FILTER and source & 127 != 127:
            added = amount * _source(source, key, velocity) * _source(by, key, velocity)
            found[kind] = found.get(kind, 0.0) + added
    return found


def _source(source: int, key: int, velocity: int) -> float:
    """Value of a modulator's source (section 8.2), 0 to 1, or -1 to 1 where it is bipolar."""
    number, curve = source & 127, source >> 10
    is_controller, backwards, bipolar = source & 128, source & 256, source & 512
    if not is_controller and number == 0:
        return 1.0
    value = _CONTROLLERS.get(number, 0) if is_controller else {2: velocity, 3: key, 14: 64, 16: 2}.get(number, 0)
    share = (127 - value) / 128 if backwards else value / 128
    if bipolar:
        share = 2 * share - 1
        return math.copysign(_curve(curve, abs(share)), share)
    return _curve(curve, share)


def _curve(curve: int, share: float) -> float:
    place = min(round(128 * share), 127)
    if curve == 1:  # concave
        return min(-400 / 960 * math.log10((127 - place) / 127), 1.0) if place < 127 else 1.0
    if curve == 2:  # convex
        return max(1 + 400 / 960 * math.log10(place / 127), 0.0) if place else 0.0
    return float(share >= 0.5) if curve == 3 else share
