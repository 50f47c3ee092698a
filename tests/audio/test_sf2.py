"""Banks read from files: presets, zones, samples, in both formats."""

import io
import struct
from itertools import product

import numpy as np
import pytest
import soundfile

from conceptcaps.audio.composing import tables
from conceptcaps.audio.sf2 import DRUMS, KEYS, MODE, SAMPLE, Bank
from conceptcaps.audio.voices import Note, Sampler
from conceptcaps.workspace import assets

RATE = 44_100


@pytest.fixture(scope="module")
def bank() -> Bank:
    return Bank.load(assets.fetch("soundfont"))


def chunk(name: bytes, content: bytes, *, padded: bool = True) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (padded and len(content) % 2)


def written(
    *, compressed: bool = False, generators: dict[int, int] | None = None, modulators=(), padded: bool = True
) -> bytes:
    """A bank of one preset: 441 Hz, looped over ten periods, root key 69 at 44.1 kHz."""
    wave = np.sin(2 * np.pi * np.arange(2000) / 100) * 0.5
    ints = (wave * 32767).astype("<i2")
    if compressed:
        file = io.BytesIO()
        soundfile.write(file, ints, RATE, format="OGG", subtype="VORBIS")
        data, end, loop = file.getvalue(), len(file.getvalue()), (500, 1500)
    else:
        data, end, loop = ints.tobytes() + bytes(92), 2000, (500, 1500)
    own = {**(generators or {}), MODE: 1, SAMPLE: 0}
    header = struct.pack("<20sIIIIIBbHH", b"sine", 0, end, *loop, RATE, 69, 0, 0, 17 if compressed else 1)
    last = struct.pack("<20sIIIIIBbHH", b"EOS", 0, 0, 0, 0, 0, 0, 0, 0, 0)
    body = (
        chunk(b"phdr", b"".join(struct.pack("<20sHHHIII", b"Sine", 0, 0, bag, 0, 0, 0) for bag in (0, 1)))
        + chunk(b"pbag", struct.pack("<HHHH", 0, 0, 1, 0))
        + chunk(b"pmod", bytes(10))
        + chunk(b"pgen", struct.pack("<HhHh", 41, 0, 0, 0))
        + chunk(b"inst", struct.pack("<20sH", b"Sine", 0) + struct.pack("<20sH", b"EOI", 1))
        + chunk(b"ibag", struct.pack("<HHHH", 0, 0, len(own), len(modulators)))
        + chunk(b"imod", b"".join(struct.pack("<HHhHH", *each) for each in modulators) + bytes(10))
        + chunk(b"igen", b"".join(struct.pack("<Hh", *each) for each in own.items()) + bytes(4))
        + chunk(b"shdr", header + last)
    )
    content = chunk(b"LIST", b"INFO") + chunk(b"LIST", b"sdta" + chunk(b"smpl", data, padded=padded), padded=padded)
    return chunk(b"RIFF", b"sfbk" + content + chunk(b"LIST", b"pdta" + body))


def test_a_bank_names_its_presets_and_kits(bank):
    assert len(bank.presets) == 136
    assert bank.presets[0, 73].startswith("Flute") and bank.presets[DRUMS, 0].startswith("Standard")
    assert {program for number, program in bank.presets if number == 0} == set(range(128))


def test_generators_of_preset_and_instrument_are_added_and_defaults_filled_in(bank):
    zones = bank.zones(bank=0, program=0, key=60, velocity=100)
    assert zones and all(zone.generators[56] == 100 and zone.keys[0] <= 60 <= zone.keys[1] for zone in zones)
    assert all((0x0502, 48, 0) in zone.modulators for zone in zones)


def test_a_key_without_a_sample_has_no_zone_and_a_missing_kit_is_the_standard_one(bank):
    assert bank.zones(bank=DRUMS, program=0, key=12, velocity=100) == []
    assert bank.zones(bank=DRUMS, program=77, key=36, velocity=100) == bank.zones(
        bank=DRUMS, program=0, key=36, velocity=100
    )
    with pytest.raises(ValueError, match="expected a preset of the soundfont, got program 0 of bank 9"):
        bank.zones(bank=9, program=0, key=60, velocity=100)


def test_every_instrument_answers_its_whole_compass(bank):
    """The whistle of this bank has no zone for keys 79 to 101, its alto saxophone none for key 64."""
    for tag, rows in ((tag, [row, *row.get("also", [])]) for tag, row in tables.instruments().items()):
        for row in rows:
            for program, key in product(row.get("programs", []), range(row.get("low", 0), row.get("high", 0) + 1)):
                assert bank.zones(bank=0, program=program, key=key, velocity=90), (tag, program, key)
    assert bank.zones(bank=0, program=78, key=84, velocity=90) == bank.zones(bank=0, program=78, key=78, velocity=90)
    assert bank.zones(bank=0, program=78, key=99, velocity=90) == bank.zones(bank=0, program=78, key=102, velocity=90)


def test_a_key_beside_the_samples_sounds_at_its_own_pitch():
    low, high = 60, 69
    sound = np.zeros((1, RATE), dtype=np.float32)
    sampler = Sampler(Bank(written(generators={KEYS: high << 8 | low})), sample_rate=RATE)
    sampler.add(sound, [Note(81, 100, 0, RATE)], bank=0, program=0)
    assert np.abs(np.fft.rfft(sound[0])).argmax() == pytest.approx(2 * 441, abs=2)


@pytest.mark.parametrize("padded", [True, False])
def test_compressed_samples_sound_as_plain_ones(padded):
    """sf3 keeps Ogg Vorbis, counts places in bytes, loops in samples, and its writers leave padding out."""
    plain, packed = (
        Bank(written(compressed=compressed, padded=padded or not compressed)) for compressed in (False, True)
    )
    assert packed.sample(0).length == pytest.approx(2000, abs=64) and packed.sample(0).loop == (500, 1500)
    sounds = []
    for each in (plain, packed):
        sound = np.zeros((1, RATE), dtype=np.float32)
        Sampler(each, sample_rate=RATE).add(sound, [Note(69, 100, 0, RATE)], bank=0, program=0)
        sounds.append(sound[0])
    assert np.abs(sounds[0]).max() > 0.1
    assert np.abs(sounds[0] - sounds[1]).max() < 0.05 * np.abs(sounds[0]).max()


def test_other_files_are_refused():
    with pytest.raises(ValueError, match="expected a SoundFont 2 or 3 file"):
        Bank(b"MThd" + bytes(20))
