"""A sampler for SoundFont 2 banks: one note of one preset as a waveform, the same bytes on every call.

Volume envelope, loops, tuning, stereo samples and velocity are done, and a low-pass filter that stays as far open as
its envelope takes it. LFOs and the bank's own modulators are not.

References:
    SoundFont Technical Specification 2.04, E-mu Systems 2006.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter

from conceptcaps.audio.waveform import Waveform

DRUMS = 128
_FILTER_RISE = 11
_FILTER, _PAN, _ATTACK, _HOLD, _DECAY, _SUSTAIN, _RELEASE, _KEY_TO_DECAY = 8, 17, 34, 35, 36, 37, 38, 40
_INSTRUMENT, _KEYS, _VELOCITIES, _LOOP_START, _LOOP_END = 41, 43, 44, 2, 3
_ATTENUATION, _COARSE, _FINE, _SAMPLE, _MODE, _SCALE, _ROOT = 48, 51, 52, 53, 54, 56, 58
_DEFAULTS = {_FILTER: 13500, _ATTACK: -12000, _HOLD: -12000, _DECAY: -12000, _RELEASE: -12000, _SCALE: 100, _ROOT: -1}
_NOT_ADDED = {_INSTRUMENT, _KEYS, _VELOCITIES, _SAMPLE, _MODE, _ROOT, _SCALE}
_FULL = (0, 127)
_HEADER = np.dtype(
    [
        ("name", "S20"),
        *((field, "<u4") for field in ("start", "end", "loop_start", "loop_end", "rate")),
        ("pitch", "u1"),
        ("correction", "i1"),
        ("link", "<u2"),
        ("type", "<u2"),
    ]
)
_PRESET = np.dtype([("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "S12")])
_ENTRY = np.dtype([("name", "S20"), ("bag", "<u2")])
_BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
_GENERATOR = np.dtype([("kind", "<u2"), ("amount", "<i2")])

Generators = dict[int, int]


@dataclass(frozen=True)
class Zone:
    """A sample with the keys and velocities that it answers to, and its generators."""

    keys: tuple[int, int]
    velocities: tuple[int, int]
    generators: Mapping[int, int]
    sample: int

    def answers(self, key: int, velocity: int) -> bool:
        """Whether this zone sounds for a key (MIDI number) and a velocity."""
        return self.keys[0] <= key <= self.keys[1] and self.velocities[0] <= velocity <= self.velocities[1]


class Sampler:
    """Presets and samples of one bank, played at one sample rate.

    Attributes:
        sample_rate: Hz.
        presets: Names by (bank, program); bank 128 holds the drum kits.
    """

    def __init__(self, content: bytes, *, sample_rate: int) -> None:
        """Parse a SoundFont 2 file's content; ``load`` is the usual way in.

        Raises:
            ValueError: If it is no SoundFont 2 file.
        """
        if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
            raise ValueError(f"expected a SoundFont 2 file, got one that begins with {content[:12]!r}")
        chunks = dict(_chunks(content, 12, len(content)))
        self.sample_rate = sample_rate
        self._data = np.frombuffer(chunks["smpl"], dtype="<i2")
        self._headers = np.frombuffer(chunks["shdr"], dtype=_HEADER)
        instruments = _zones(chunks, "inst", "ibag", "igen", _ENTRY)
        self.presets: dict[tuple[int, int], str] = {}
        self._zones: dict[tuple[int, int], list[Zone]] = {}
        for row, zones in zip(
            np.frombuffer(chunks["phdr"], dtype=_PRESET), _zones(chunks, "phdr", "pbag", "pgen", _PRESET), strict=False
        ):
            place = (int(row["bank"]), int(row["program"]))
            self.presets[place] = row["name"].split(b"\0")[0].decode("latin-1")
            self._zones[place] = [zone for outer in zones for zone in _inner(outer, instruments)]
        self.note = lru_cache(maxsize=512)(self._note)

    @classmethod
    def load(cls, path: Path, *, sample_rate: int) -> Self:
        """Read a bank from a file."""
        return cls(path.read_bytes(), sample_rate=sample_rate)

    def plays(self, *, bank: int, program: int, key: int) -> bool:
        """Whether a preset has a sample for a key (MIDI number)."""
        return any(zone.answers(key, 100) for zone in self._zones.get((bank, program), ()))

    def _note(
        self,
        *,
        bank: int,
        program: int,
        key: int,
        velocity: int,
        duration: float,
    ) -> Waveform:
        """One note with its release, ``(2, samples)``, before any normalisation.

        Args:
            bank: 0 for melodic presets, 128 for drum kits.
            program: 0 to 127.
            key: MIDI number; 69 is 440 Hz.
            velocity: 1 to 127.
            duration: Seconds until the key is let go; drum samples play to their end.

        Raises:
            ValueError: If the preset has no sample for the key.
        """
        zones = [zone for zone in self._zones.get((bank, program), ()) if zone.answers(key, velocity)]
        if not zones:
            raise ValueError(f"expected a key that preset {program} of bank {bank} plays, got {key} at {velocity}")
        voices = [self._voice(zone, key, velocity, duration) for zone in zones]
        mixed = np.zeros((2, max(voice.shape[1] for voice in voices)), dtype=np.float32)
        for voice in voices:
            mixed[:, : voice.shape[1]] += voice
        mixed.flags.writeable = False
        return mixed

    def _voice(self, zone: Zone, key: int, velocity: int, duration: float) -> Waveform:
        read = zone.generators
        release = min(max(_seconds(read[_RELEASE]), 0.05), 1.2)
        envelope = self._envelope(read, key, duration, release)
        header = self._headers[zone.sample]
        root = read[_ROOT] if read[_ROOT] >= 0 else int(header["pitch"])
        cents = (key - root) * read[_SCALE] + 100 * read[_COARSE] + read[_FINE] + int(header["correction"])
        ratio = 2 ** (cents / 1200) * int(header["rate"]) / self.sample_rate
        position = ratio * np.arange(len(envelope))
        wave = self._interpolate(header, read, position)
        envelope = envelope[: len(wave)]
        brightness = read[_FILTER] + read[_FILTER_RISE] - 2400 * (1 - velocity / 127)
        cutoff = 8.176 * 2 ** (brightness / 1200)
        if cutoff < 0.4 * self.sample_rate:
            wave = lfilter(*butter(2, cutoff, fs=self.sample_rate), wave).astype(np.float32)
        gain = 10 ** (-0.4 * read[_ATTENUATION] / 200) * (velocity / 127) ** 2
        angle = (np.clip(read[_PAN] / 500, -1, 1) + 1) * np.pi / 4
        sides = np.array([[np.cos(angle)], [np.sin(angle)]], dtype=np.float32) * np.float32(gain)
        return sides * (envelope * wave).astype(np.float32)

    def _envelope(self, read: Mapping[int, int], key: int, duration: float, release: float) -> NDArray[np.float32]:
        """Amplitude of delay-free attack, hold, decay to sustain, and release (dB-linear as the standard has it)."""
        time = np.arange(int((duration + release) * self.sample_rate)) / self.sample_rate
        attack, hold = _seconds(read[_ATTACK]), _seconds(read[_HOLD])
        decay = _seconds(read[_DECAY] + (60 - key) * read[_KEY_TO_DECAY])
        fall = np.minimum(100 * np.clip((time - attack - hold) / decay, 0, None), np.clip(read[_SUSTAIN], 0, 1000) / 10)
        fall += 100 * np.clip((time - duration) / release, 0, None)
        level = (
            np.clip(time / attack, 0, 1) * np.exp(-np.log(10) / 20 * fall) * np.clip((time[-1] - time) / 0.005, 0, 1)
        )
        return level.astype(np.float32)

    def _interpolate(
        self, header: np.void, read: Mapping[int, int], position: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Cubic (Hermite) reading of a sample at fractional positions from its start, looped if its zone says so."""
        start, end = int(header["start"]), int(header["end"])
        first = int(header["loop_start"]) + read[_LOOP_START] - start
        last = int(header["loop_end"]) + read[_LOOP_END] - start
        if read[_MODE] & 1 and last - first > 8:
            looping = position.searchsorted(last)
            position = np.concatenate([position[:looping], first + (position[looping:] - first) % (last - first)])
        else:
            position = position[: position.searchsorted(end - start - 3)]
        whole = position.astype(np.int64)
        part = (position - whole).astype(np.float32)
        whole += start
        before, here, after, beyond = (
            self._data[np.maximum(whole + shift, 0)].astype(np.float32) / 32768 for shift in (-1, 0, 1, 2)
        )
        slope, next_slope, rise = (after - before) / 2, (beyond - here) / 2, after - here
        wave = 3 * rise - 2 * slope - next_slope + part * (slope + next_slope - 2 * rise)
        return (here + part * (slope + part * wave)).astype(np.float32)


def _seconds(timecents: int) -> float:
    return float(2 ** (max(timecents, -12000) / 1200))


def _chunks(content: bytes, start: int, end: int) -> list[tuple[str, bytes]]:
    """Names and contents of the chunks in a stretch of a RIFF file, those inside LIST chunks included."""
    found: list[tuple[str, bytes]] = []
    while start + 8 <= end:
        name, size = content[start : start + 4], int.from_bytes(content[start + 4 : start + 8], "little")
        inside = start + 8
        if name == b"LIST":
            found += _chunks(content, inside + 4, inside + size)
        else:
            found.append((name.decode("latin-1"), content[inside : inside + size]))
        start = inside + size + size % 2
    return found


def _zones(
    chunks: Mapping[str, bytes], entries: str, bags: str, generators: str, kind: np.dtype[np.void]
) -> list[list[Generators]]:
    """Generators of every zone of every preset or instrument, those of its global zone merged in."""
    starts = np.frombuffer(chunks[entries], dtype=kind)["bag"]
    limits = np.frombuffer(chunks[bags], dtype=_BAG)["generator"]
    content = np.frombuffer(chunks[generators], dtype=_GENERATOR)
    terminal = _INSTRUMENT if kind is _PRESET else _SAMPLE
    found = []
    for first, last in zip(starts[:-1], starts[1:], strict=True):
        zones: list[Generators] = [
            {int(row["kind"]): int(row["amount"]) for row in content[limits[bag] : limits[bag + 1]]}
            for bag in range(first, last)
        ]
        shared = zones[0] if zones and terminal not in zones[0] else {}
        found.append([{**shared, **zone} for zone in zones if terminal in zone])
    return found


def _inner(outer: Generators, instruments: Sequence[Sequence[Generators]]) -> list[Zone]:
    """Zones of the instrument that a preset zone names, with the preset's generators added."""
    return [
        Zone(
            keys=_overlap(outer, zone, _KEYS),
            velocities=_overlap(outer, zone, _VELOCITIES),
            generators=_summed(zone, outer),
            sample=zone[_SAMPLE],
        )
        for zone in instruments[outer[_INSTRUMENT]]
    ]


def _summed(zone: Generators, outer: Generators) -> Generators:
    """An instrument zone's generators with a preset's added; 0 where neither says anything."""
    zone = {**dict.fromkeys(range(61), 0), **_DEFAULTS, **zone}
    return {kind: zone[kind] + (0 if kind in _NOT_ADDED else outer.get(kind, 0)) for kind in zone}


def _overlap(outer: Generators, zone: Generators, kind: int) -> tuple[int, int]:
    ranges = [(each[kind] & 255, each[kind] >> 8 & 255) if kind in each else _FULL for each in (outer, zone)]
    return max(low for low, _ in ranges), min(high for _, high in ranges)
