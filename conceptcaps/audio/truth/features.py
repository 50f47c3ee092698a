"""All features of a clip by name: what the rules of truth.yaml refer to besides tags."""

from collections.abc import Iterable

import numpy as np

from conceptcaps.audio.truth.harmony import Harmony
from conceptcaps.audio.truth.lines import Strokes, line, melody
from conceptcaps.audio.truth.rhythm import rhythm
from conceptcaps.audio.truth.sounding import Indices, Sounding, Source

VOICES = (52, 53, 54, 85)
ACOUSTIC_KITS, ELECTRONIC_KITS = (0, 8, 16, 32, 40, 48), (24, 25)
KIT = (35, 36, 37, 38, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 55, 57, 59)
FAMILIES = {
    "strings": (40, 41, 42, 43, 44, 45, 48, 49),
    "woodwind": (68, 69, 70, 71, 72, 73, 74),
    "brass": (56, 57, 58, 60, 61),
    "timpani": (47,),
    "harp": (46,),
    "choir": (52,),
}
PULSE = (35, 36, 41, 43, 45, 47, 48, 50, 60, 61, 62, 63, 64)  # kicks, toms and hand drums: what feet follow
_BASS = 52


Lines = list[tuple[Source, dict[str, float]]]


def part_lines(music: Sounding) -> Lines:
    """Parts of tones with the features of their lines."""
    return [(source, line(music, source.notes)) for source in music.sources if source.pitched]


def features(music: Sounding, tones: Harmony, lines: Lines) -> dict[str, float]:
    """Numbers by name; NaN where there is nothing to measure.

    Those of ``rhythm``, ``melody`` and ``Harmony``, and: ``tempo`` (as ``bpm``), ``sources`` (instruments that are
    heard, a kit counted once), ``others`` (those that are no voices and not silent), ``singers`` (different pitches
    that voices sing together, at most), ``families`` (of the orchestra), ``acoustic`` and ``electronic`` (pieces of
    such a kit), ``drone`` (share of the clip for which one pitch is held), ``pulse`` (kicks, toms and skins a
    beat), ``drive`` (strokes a beat of the steadiest part), ``arpeggio`` (share of moves between chord tones, of
    the part that does so most), ``sixteenths`` (share of strokes on the second and fourth sixteenth), ``walking``
    (share of beats on which the bass moves), ``glides`` (share of notes that slide, of the part that does so most),
    ``bottom`` (mean pitch of the lowest part, inf without one), ``sleigh`` (sleigh bells a beat), ``odd`` (a meter of 5
    or 7).
    """
    found = rhythm(music) | melody(music) | tones.numbers | _players(music) | _patterns(music, lines)
    return found | {"tempo": found["bpm"], "odd": float(music.meter in (5, 7))}


def _players(music: Sounding) -> dict[str, float]:
    heard = [source for source in music.sources if source.audible() > 0]
    tones = {source.program for source in heard if source.key is None}
    pieces = [source for source in heard if source.key is not None]
    silent = [source for source in music.sources if source.audible() < 0]
    others = [source for source in music.sources if source not in silent and _is_other(source)]
    struck = {source.key for source in pieces if source.key not in KIT}
    kit = any(source.key in KIT for source in pieces)
    voices = music.heard & ~music.percussion & np.isin(music.program, VOICES)
    return {
        "sources": float(len(tones) + kit + len(struck)),
        "others": float(len(others)),
        "singers": float(_together(music, np.flatnonzero(voices))),
        "families": float(sum(bool(tones & set(programs)) for programs in FAMILIES.values())),
        "acoustic": float(_pieces(pieces, ACOUSTIC_KITS)),
        "electronic": float(_pieces(pieces, ELECTRONIC_KITS)),
        "sleigh": sum(len(source.notes) for source in pieces if source.key == 83) / music.beats,
    }


def _is_other(source: Source) -> bool:
    return source.key is not None or source.program not in VOICES


def _pieces(heard: Iterable[Source], kits: tuple[int, ...]) -> int:
    """How many pieces of such a kit are heard, hats and cymbals of one kind counted once."""
    groups = [{35, 36}, {37, 38, 40}, {42, 44, 46}, {49, 52, 55, 57}, {51, 53, 59}, {41, 43, 45, 47, 48, 50}, {39}]
    keys = {source.key for source in heard if source.program in kits}
    return sum(bool(keys & group) for group in groups)


def _together(music: Sounding, notes: Indices) -> int:
    """Most different pitches that sound at once for a tenth of the clip in all."""
    times = np.arange(0.05, music.duration, 0.1)
    sounding = (music.start[notes][:, None] <= times) & (music.end[notes][:, None] > times)
    pitches = np.unique(music.pitch[notes])
    of_pitch = (music.pitch[notes] == pitches[:, None]).astype(np.float32)
    counts = ((of_pitch @ sounding.astype(np.float32)) > 0).sum(axis=0)
    return int(np.sort(counts)[-max(int(0.1 * len(times)), 1)])


def _patterns(music: Sounding, lines: Lines) -> dict[str, float]:
    told = [line for source, line in lines if source.audible() > 0]
    pieces = [source for source in music.sources if source.key is not None and source.audible() > 0]
    pulse = [source for source in pieces if source.key in PULSE]
    beats = np.unique(np.round(np.concatenate([music.beat[each.notes] for each in pulse] or [np.zeros(0)]), 2))
    phase = music.beat[music.heard] % 1
    places = np.unique(np.round(music.beat[music.heard], 2)) % 1
    fine = (np.abs(places - 0.25) < 0.06) | (np.abs(places - 0.75) < 0.09)
    return {
        "drone": max((one["held"] for one in told), default=0.0),
        "bottom": min((one["register"] for source, one in lines if source.audible() >= 0), default=float("inf")),
        "arpeggio": max((one["broken"] for one in told), default=0.0),
        "pulse": len(beats) / music.beats,
        "drive": max((_drive(music, each.notes) for each in music.sources if each.audible() > 0), default=0.0),
        "sixteenths": float(fine.mean()) if len(phase) else 0.0,
        "walking": _walking(music),
        "glides": max((one["glides"] for one in told), default=0.0),
    }


def _drive(music: Sounding, notes: Indices) -> float:
    """Strokes a beat once the part has begun, the lower quartile over bars: one that pauses does not drive."""
    strokes = Strokes(music, notes).beat
    whole = max(int(music.beats // music.meter), 1)
    bars = np.bincount((strokes // music.meter).astype(np.int64), minlength=whole)[:whole]
    begun = bars[int((bars > 0).argmax()) :]
    return float(np.quantile(begun, 0.25)) / music.meter * min(1.5 * len(begun) / whole, 1)


def _walking(music: Sounding) -> float:
    low = [
        each for each in music.sources if each.pitched and each.audible() > 0 and music.pitch[each.notes].mean() < _BASS
    ]
    shares = [0.0]
    for each in low:
        strokes = Strokes(music, each.notes)
        on = np.abs(strokes.beat - np.round(strokes.beat)) < 0.08
        moved = np.concatenate([[True], np.diff(strokes.low) != 0])
        shares.append(len(np.unique(np.round(strokes.beat[on & moved]))) / max(music.beats, 1.0))
    return max(shares)
