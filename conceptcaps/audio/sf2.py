"""SoundFont banks read from files: presets, their zones with generators and modulators, and their samples.

Both SoundFont 2 (16-bit samples) and its compressed kin sf3 (Ogg Vorbis samples) are read.

References:
    SoundFont Technical Specification 2.04, E-mu Systems 2006.
"""

import io
import itertools
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Self

import numpy as np
import soundfile
from numpy.typing import NDArray

from conceptcaps.errors import InputError

DRUMS = 128
INSTRUMENT, KEYS, VELOCITIES, SAMPLE, MODE, SCALE, CLASS, ROOT = 41, 43, 44, 53, 54, 56, 57, 58
_TERMINALS = {INSTRUMENT, SAMPLE}
_NOT_ADDED = {*_TERMINALS, KEYS, VELOCITIES, MODE, SCALE, CLASS, ROOT, 0, 1, 2, 3, 4, 12, 45, 46, 47, 50}
_SHORTEST = -12000  # timecents; a thousandth of a second
_DEFAULTS = dict.fromkeys(range(61), 0) | {
    **dict.fromkeys((21, 23, 25, 26, 27, 28, 30, 33, 34, 35, 36, 38), _SHORTEST),
    8: 13500, 46: -1, 47: -1, SCALE: 100, ROOT: -1,
}  # fmt: skip
_VELOCITY_TO_ATTENUATION = (0x0502, 48, 0)  # the standard's default modulator: concave and falling, 96 dB
_FULL = (0, 127)
_COMPRESSED = 0x10  # bit of a sample's type in sf3
_BEFORE, _AFTER = 1, 4  # zeros around a sample, for interpolation
_OPEN_SAMPLES = 1024
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
_MODULATOR = np.dtype([("source", "<u2"), ("kind", "<u2"), ("amount", "<i2"), ("by", "<u2"), ("transform", "<u2")])

Modulators = dict[tuple[int, int, int], float]


@dataclass(frozen=True)
class Sample:
    """A recording at its own rate.

    Attributes:
        wave: Samples in [-1, 1), ``BEFORE`` zeros before them and a few after.
        first: Index of the first sample in ``wave``.
        length: Number of samples.
        loop: First and last index of the loop, counted from the first sample.
        rate: Hz.
        pitch: MIDI number of the key at which it sounds as recorded, and correction (cents).
    """

    wave: NDArray[np.float32]
    first: int
    length: int
    loop: tuple[int, int]
    rate: int
    pitch: tuple[int, int]


@dataclass(frozen=True)
class Zone:
    """A sample with the keys and velocities that it answers to, its generators and its modulators.

    Attributes:
        keys: Lowest and highest MIDI number.
        velocities: Lowest and highest velocity.
        generators: Amounts by the standard's number, defaults filled in, the preset's added to the instrument's.
        modulators: Amounts by primary source, destination and secondary source.
        sample: Its number in the bank.
    """

    keys: tuple[int, int]
    velocities: tuple[int, int]
    generators: Mapping[int, int]
    modulators: Modulators
    sample: int

    def answers(self, key: int, velocity: int) -> bool:
        """Whether this zone sounds for a key (MIDI number) and a velocity."""
        return self.keys[0] <= key <= self.keys[1] and self.velocities[0] <= velocity <= self.velocities[1]


class Bank:
    """A bank of presets.

    Attributes:
        presets: Names by (bank, program); bank 128 holds the drum kits.
    """

    def __init__(self, content: bytes | mmap.mmap) -> None:
        """Parse a file's content; ``load`` is the usual way in.

        Raises:
            InputError: If it is no SoundFont file.
        """
        if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
            raise InputError(f"expected a SoundFont 2 or 3 file, got one that begins with {content[:12]!r}")
        chunks = dict(_chunks(memoryview(content), 12, len(content)))
        self._data = chunks["smpl"]
        self._headers = np.frombuffer(chunks["shdr"], dtype=_HEADER)
        instruments = _zones(chunks, "inst", "ibag", "igen", "imod", _ENTRY)
        presets = _zones(chunks, "phdr", "pbag", "pgen", "pmod", _PRESET)
        self.presets: dict[tuple[int, int], str] = {}
        self._zones: dict[tuple[int, int], list[Zone]] = {}
        for row, zones in zip(np.frombuffer(chunks["phdr"], dtype=_PRESET), presets, strict=False):
            place = (int(row["bank"]), int(row["program"]))
            self.presets[place] = row["name"].split(b"\0")[0].decode("latin-1")
            self._zones[place] = [zone for outer in zones for zone in _inner(outer, instruments)]
        self.sample = lru_cache(maxsize=_OPEN_SAMPLES)(self._sample)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Open a file; what is not played is not read."""
        with path.open("rb") as file:
            return cls(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    def kit(self, program: int) -> int:
        """Program of the kit that plays for one: its own, or 0 (standard) where the bank lacks it."""
        return program if (DRUMS, program) in self._zones else 0

    def zones(self, *, bank: int, program: int, key: int, velocity: int) -> list[Zone]:
        """Zones that sound for a note; none where the preset has no sample for it.

        A key that no zone answers is played by those of the nearest key that has some, at its own pitch; the pieces of
        a kit are different sounds and stay mute. A kit that the bank lacks is played by the standard kit, as General
        MIDI synthesisers do.

        Raises:
            InputError: If the bank has no such preset, nor a standard kit.
        """
        place = (bank, self.kit(program) if bank == DRUMS else program)
        if place not in self._zones:
            raise InputError(f"expected a preset of the soundfont, got program {program} of bank {bank}")
        if bank != DRUMS:
            ranges = [zone.keys for zone in self._zones[place] if zone.answers(zone.keys[0], velocity)]
            key = min((min(max(key, low), high) for low, high in ranges), key=lambda at: abs(at - key), default=key)
        return [zone for zone in self._zones[place] if zone.answers(key, velocity)]

    def _sample(self, number: int) -> Sample:
        header = self._headers[number]
        start, end = int(header["start"]), int(header["end"])
        loop = int(header["loop_start"]), int(header["loop_end"])
        if int(header["type"]) & _COMPRESSED:  # places are bytes, those of the loop samples from the first
            frames, _ = soundfile.read(io.BytesIO(self._data[start:end]), dtype="float32")
        else:
            frames = np.frombuffer(self._data[2 * start : 2 * end], dtype="<i2").astype(np.float32) / 32768
            loop = loop[0] - start, loop[1] - start
        return Sample(
            wave=np.pad(frames, (_BEFORE, _AFTER)),
            first=_BEFORE,
            length=len(frames),
            loop=loop,
            rate=int(header["rate"]),
            pitch=(int(header["pitch"]), int(header["correction"])),
        )


def _chunks(content: memoryview, start: int, end: int) -> list[tuple[str, memoryview]]:
    """Names and contents of the chunks in a stretch of a RIFF file, those inside LIST chunks included."""
    found: list[tuple[str, memoryview]] = []
    while start + 8 <= end:
        name, size = bytes(content[start : start + 4]), int.from_bytes(content[start + 4 : start + 8], "little")
        inside = start + 8
        if name == b"LIST":
            found += _chunks(content, inside + 4, inside + size)
        else:
            found.append((name.decode("latin-1"), content[inside : inside + size]))
        start = inside + size
        if size % 2 and start < end and content[start] == 0:  # writers of sf3 leave the padding out
            start += 1
    return found


_Part = tuple[dict[int, int], Modulators]


def _zones(
    chunks: Mapping[str, memoryview], entries: str, bags: str, generators: str, modulators: str, kind: np.dtype[np.void]
) -> list[list[_Part]]:
    """Generators and modulators of every zone of every preset or instrument, those of its global zone merged in."""
    starts = np.frombuffer(chunks[entries], dtype=kind)["bag"]
    limits = np.frombuffer(chunks[bags], dtype=_BAG)
    amounts = np.frombuffer(chunks[generators], dtype=_GENERATOR)
    curves = np.frombuffer(chunks[modulators], dtype=_MODULATOR)
    found = []
    for first, last in itertools.pairwise(starts):
        zones: list[_Part] = []
        for bag in range(first, last):
            own = amounts[limits["generator"][bag] : limits["generator"][bag + 1]]
            moving = curves[limits["modulator"][bag] : limits["modulator"][bag + 1]]
            zones.append(
                (
                    {int(row["kind"]): int(row["amount"]) for row in own},
                    {(int(row["source"]), int(row["kind"]), int(row["by"])): float(row["amount"]) for row in moving},
                )
            )
        shared: _Part = zones[0] if zones and not _TERMINALS & set(zones[0][0]) else ({}, {})
        found.append(
            [({**shared[0], **zone[0]}, {**shared[1], **zone[1]}) for zone in zones if _TERMINALS & set(zone[0])]
        )
    return found


def _inner(outer: _Part, instruments: Sequence[Sequence[_Part]]) -> list[Zone]:
    """Zones of the instrument that a preset zone names, with the preset's generators and modulators added."""
    added, curves = outer
    found = []
    for own, moving in instruments[added[INSTRUMENT]]:
        generators, curved = {**_DEFAULTS, **own}, {_VELOCITY_TO_ATTENUATION: 960.0, **moving}
        found.append(
            Zone(
                keys=_overlap(added, own, KEYS),
                velocities=_overlap(added, own, VELOCITIES),
                generators={
                    kind: amount + (0 if kind in _NOT_ADDED else added.get(kind, 0))
                    for kind, amount in generators.items()
                },
                modulators={each: curved.get(each, 0.0) + curves.get(each, 0.0) for each in {**curved, **curves}},
                sample=own[SAMPLE],
            )
        )
    return found


def _overlap(outer: Mapping[int, int], zone: Mapping[int, int], kind: int) -> tuple[int, int]:
    ranges = [(each[kind] & 255, each[kind] >> 8 & 255) if kind in each else _FULL for each in (outer, zone)]
    return max(low for low, _ in ranges), min(high for _, high in ranges)
