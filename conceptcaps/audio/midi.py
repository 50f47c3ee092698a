"""Scores as standard MIDI files, the same bytes for the same piece.

References:
    MIDI Manufacturers Association, Standard MIDI files 1.0 (1996).
"""

import struct
from collections.abc import Iterator

import numpy as np

from conceptcaps.audio.score import Note, Part, Piece
from conceptcaps.errors import InputError

TICKS = 480  # in a quarter note
_DRUM_CHANNEL = 9
_MELODIC = [channel for channel in range(16) if channel != _DRUM_CHANNEL]
_BEND = 12  # semitones that a full pitch bend spans
_SLIDE = 0.18  # seconds that a slide takes at most
_STEPS = 8
_ON, _CONTROL, _PROGRAM, _PITCH_BEND, _META = 0x90, 0xB0, 0xC0, 0xE0, 0xFF  # kinds of messages, four in a channel
_NAME, _END, _TEMPO, _METER = 0x03, 0x2F, 0x51, 0x58  # kinds of meta messages

Event = tuple[int, int, bytes]  # tick, order among those of a tick, message


def write(piece: Piece, *, duration: float) -> bytes:
    """A type 1 file of the notes that begin within the first ``duration`` seconds, cut where the clip ends.

    Each melodic part has a track and a channel of its own (from the sixteenth on they share); percussion shares channel
    10, where a kit is chosen anew whenever it changes. A beat is a quarter note.

    Args:
        piece: The score.
        duration: Length of the clip (s).
    """
    end = max(round(float(piece.beats(duration)) * TICKS), 1)
    tracks = [_track("", _conductor(piece, end), end)]
    melodic = [part for part in piece.parts if not part.percussion]
    for number, part in enumerate(melodic):
        channel = _MELODIC[number % len(_MELODIC)]
        tracks.append(_track(part.tag, _melodic(piece, part, channel, end), end))
    struck = [part for part in piece.parts if part.percussion]
    if struck:
        tracks.append(_track("percussion", _percussion(struck, end), end))
    return b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), TICKS) + b"".join(tracks)


def _conductor(piece: Piece, end: int) -> list[Event]:
    events: list[Event] = [(0, 0, _meta(_METER, bytes((piece.meter, 2, 24, 8))))]  # over 2 ** 2, clocks, 32nds
    for beat, bpm in piece.tempi:
        if round(beat * TICKS) < end:
            events.append((round(beat * TICKS), 1, _meta(_TEMPO, round(60e6 / bpm).to_bytes(3, "big"))))
    return events


def _melodic(piece: Piece, part: Part, channel: int, end: int) -> list[Event]:
    events: list[Event] = [(0, 0, bytes((_PROGRAM | channel, part.program)))]
    volume = int(np.clip(round(100 * 10 ** (part.level / 40)), 1, 127))
    events.append((0, 0, bytes((_CONTROL | channel, 7, volume))))
    if any(note.glide for note in part.notes):
        for control, value in ((101, 0), (100, 0), (6, _BEND), (38, 0)):  # the range of bends, by its registered number
            events.append((0, 0, bytes((_CONTROL | channel, control, value))))
    for start, stop, note in _spans(part, end):
        events += _sounds(start, stop, note.pitch, note.velocity, channel)
        if note.glide:
            events += _slide(piece, start, stop, note, channel)
    return events


def _percussion(parts: list[Part], end: int) -> list[Event]:
    strokes = sorted((start, part.program, note) for part in parts for start, _, note in _spans(part, end))
    events: list[Event] = []
    kit = None
    for start, program, note in strokes:
        if program != kit:
            kit = program
            events.append((start, 2, bytes((_PROGRAM | _DRUM_CHANNEL, program))))
        stop = start + TICKS // 8
        on, off = _sounds(start, min(stop, end), note.pitch, note.velocity, _DRUM_CHANNEL)
        events += [(start, 2, on[2]), (off[0], 0, off[2])]
    return events


def _spans(part: Part, end: int) -> Iterator[tuple[int, int, Note]]:
    """Ticks at which notes begin and end; a note ends where its pitch is struck again."""
    following: dict[int, int] = {}
    found = []
    for note in sorted(part.notes, reverse=True):
        start = round(note.start * TICKS)
        if note.velocity > 0 and 0 <= start < end and start != following.get(note.pitch):
            stop = min(round((note.start + note.length) * TICKS), following.get(note.pitch, end), end)
            found.append((start, max(stop, start + 1), note))
            following[note.pitch] = start
    yield from reversed(found)


def _sounds(start: int, stop: int, pitch: int, velocity: int, channel: int) -> list[Event]:
    """A note's beginning and end; the end is a beginning of no velocity, so that one status serves a whole track."""
    if not (0 <= pitch <= 127 and 1 <= velocity <= 127):
        raise InputError(f"expected a pitch of 0 to 127 and a velocity of 1 to 127, got {pitch} and {velocity}")
    status = _ON | channel
    return [(start, 2, bytes((status, pitch, velocity))), (stop, 0, bytes((status, pitch, 0)))]


def _slide(piece: Piece, start: int, stop: int, note: Note, channel: int) -> list[Event]:
    """Bends from ``glide`` semitones off to none."""
    begin, half = piece.seconds([start / TICKS, (start + stop) / 2 / TICKS]).tolist()
    last = round(float(piece.beats(min(begin + _SLIDE, half))) * TICKS)
    events: list[Event] = []
    for step in range(_STEPS + 1):
        bend = 8192 + int(np.clip(round(note.glide * (1 - step / _STEPS) / _BEND * 8191), -8191, 8191))
        tick = start + round((last - start) * step / _STEPS)
        events.append((tick, 1, bytes((_PITCH_BEND | channel, bend & 127, bend >> 7))))
    return events


def _track(name: str, events: list[Event], end: int) -> bytes:
    """A track's chunk; a status that is that of the message before is left out."""
    found = bytearray()
    if name:
        found += b"\0" + _meta(_NAME, name.encode("latin-1", "replace"))
    now, running = 0, _META
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        tick = min(tick, end)
        found += _variable(tick - now)
        found += message[1:] if message[0] == running != _META else message
        now, running = tick, message[0]
    found += _variable(end - now) + _meta(_END, b"")
    return b"MTrk" + struct.pack(">I", len(found)) + bytes(found)


def _meta(kind: int, data: bytes) -> bytes:
    return bytes((_META, kind)) + _variable(len(data)) + data


def _variable(number: int) -> bytes:
    """Seven bits a byte, the highest first; all bytes but the last have their eighth bit set.

    >>> _variable(127).hex(), _variable(480).hex()
    ('7f', '8360')
    """
    found = [number & 127]
    while number := number >> 7:
        found.append(number & 127 | 128)
    return bytes(reversed(found))
