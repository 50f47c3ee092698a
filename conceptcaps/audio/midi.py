"""Scores as standard MIDI files, the same bytes for the same piece."""

import io
from collections.abc import Iterator

import mido
import numpy as np

from conceptcaps.audio.score import Note, Part, Piece

TICKS = 480  # in a quarter note
_DRUM_CHANNEL = 9
_MELODIC = [channel for channel in range(16) if channel != _DRUM_CHANNEL]
_BEND = 12  # semitones that a full pitch bend spans
_SLIDE = 0.18  # seconds that a slide takes at most
_STEPS = 8

Event = tuple[int, int, mido.Message]  # tick, order among those of a tick, message


def write(piece: Piece, *, duration: float) -> bytes:
    """A type 1 file of the notes that begin within the first ``duration`` seconds, cut where the clip ends.

    Each melodic part has a track and a channel of its own (from the sixteenth on they share); percussion shares channel
    10, where a kit is chosen anew whenever it changes. A beat is a quarter note.

    Args:
        piece: The score.
        duration: Length of the clip (s).
    """
    end = max(round(float(piece.beats(duration)) * TICKS), 1)
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS)
    file.tracks.append(_track("", _conductor(piece, end), end))
    melodic = [part for part in piece.parts if not part.percussion]
    for number, part in enumerate(melodic):
        channel = _MELODIC[number % len(_MELODIC)]
        file.tracks.append(_track(part.tag, _melodic(piece, part, channel, end), end))
    struck = [part for part in piece.parts if part.percussion]
    if struck:
        file.tracks.append(_track("percussion", _percussion(struck, end), end))
    target = io.BytesIO()
    file.save(file=target)
    return target.getvalue()


def _conductor(piece: Piece, end: int) -> list[Event]:
    events: list[Event] = [(0, 0, mido.MetaMessage("time_signature", numerator=piece.meter, denominator=4))]
    for beat, bpm in piece.tempi:
        if round(beat * TICKS) < end:
            events.append((round(beat * TICKS), 1, mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))))
    return events


def _melodic(piece: Piece, part: Part, channel: int, end: int) -> list[Event]:
    events: list[Event] = [(0, 0, mido.Message("program_change", channel=channel, program=part.program))]
    volume = int(np.clip(round(100 * 10 ** (part.level / 40)), 1, 127))
    events.append((0, 0, mido.Message("control_change", channel=channel, control=7, value=volume)))
    if any(note.glide for note in part.notes):
        for control, value in ((101, 0), (100, 0), (6, _BEND), (38, 0)):  # the range of bends, by its registered number
            events.append((0, 0, mido.Message("control_change", channel=channel, control=control, value=value)))
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
            events.append((start, 2, mido.Message("program_change", channel=_DRUM_CHANNEL, program=program)))
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
    on = mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)
    off = mido.Message("note_off", channel=channel, note=pitch, velocity=0)
    return [(start, 2, on), (stop, 0, off)]


def _slide(piece: Piece, start: int, stop: int, note: Note, channel: int) -> list[Event]:
    """Bends from ``glide`` semitones off to none."""
    begin, half = piece.seconds([start / TICKS, (start + stop) / 2 / TICKS]).tolist()
    last = round(float(piece.beats(min(begin + _SLIDE, half))) * TICKS)
    events: list[Event] = []
    for step in range(_STEPS + 1):
        bend = round(note.glide * (1 - step / _STEPS) / _BEND * 8191)
        tick = start + round((last - start) * step / _STEPS)
        events.append((tick, 1, mido.Message("pitchwheel", channel=channel, pitch=int(np.clip(bend, -8191, 8191)))))
    return events


def _track(name: str, events: list[Event], end: int) -> mido.MidiTrack:
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)] if name else [])
    now = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=min(tick, end) - now))
        now = min(tick, end)
    track.append(mido.MetaMessage("end_of_track", time=end - now))
    return track
