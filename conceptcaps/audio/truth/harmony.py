"""Key, mode, chords and dissonance, read from the pitches that are heard.

References:
    Temperley, The Cognition of Basic Musical Structures, MIT Press 2001, chapter 7: keys from weighted pitch classes.
    Plomp and Levelt, Tonal consonance and critical bandwidth, 1965: which intervals are rough.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from conceptcaps.audio import scales
from conceptcaps.audio.truth.sounding import Flags, Indices, Numbers, Sounding

NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MODES = scales.HEPTATONIC | {"blues": (0, 3, 4, 5, 6, 7, 10), "wholetone": (0, 2, 4, 6, 8, 10)}
CHORDS = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "5": (0, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "6": (0, 4, 7, 9),
    "sus4": (0, 5, 7),
    "sus2": (0, 2, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
}
_ROOTS = np.repeat(np.arange(12), len(CHORDS))
_TONES = np.array([[(tone - root) % 12 in CHORDS[kind] for tone in range(12)] for root in range(12) for kind in CHORDS])
_SIZES = _TONES.sum(1)
_SCALES = np.array([[step in steps for step in range(12)] for steps in MODES.values()])
_SOFT = _SCALES.astype(np.float64)
_SOFT[list(MODES).index("minor"), 11] = 0.7  # the leading note of harmonic minor
_SOFT[list(MODES).index("dorian"), 11] = 0.5
_MINOR = np.array([3 in steps and 4 not in steps for steps in MODES.values()])
_BRIGHT = {"major": 1, "mixolydian": 1, "lydian": 1, "minor": -1, "dorian": -1, "phrygian": -1}

# Weights of the evidence for a key, from a conditional logit over 768 composed pieces of known key (seeds of no test):
# share of sound inside the scale, on tonic and on fifth; of the bass on tonic and fifth; whether the first bass note is
# the tonic; share of time with the tonic's triad; how many notes of the scale never sound; and what is common.
_WEIGHTS = np.array([4.9, 4.9, 2.6, 1.5, 0.8, 0.5, 3.2, -3.9])
_DOUBT = 0.6  # of the evidence that counts: music of other kinds than those 768 pieces is told less surely
_UNSURE = 0.2  # probability of the likeliest tonic below which a piece has no key: a twelfth is chance
_ALL = 9.5  # ``colours`` from which the twelve tones are nearly equal
_COMMON = np.array([1.7, 1.5, -0.1, 0.0, -1.9, -0.9, -1.4, -0.2, 1.4])  # in the order of MODES
_ROUGH = np.array([0, 1.0, 0.35, 0, 0, 0, 0.6, 0, 0, 0, 0.15, 0.75])  # of an interval within the octave, in semitones
_RICH = {"7", "maj7", "min7", "6", "sus4", "sus2"}
_MODAL = {"dorian", "mixolydian", "lydian", "phrygian", "hijaz"}


class Chord(NamedTuple):
    """A chord from ``time`` (s) on: ``Amin7``, or ``N`` where there is none."""

    time: float
    name: str


@dataclass(frozen=True)
class Harmony:
    """What is heard of key and chords.

    Attributes:
        key: Tonic as a pitch class (0 is C), or None where too little has a pitch or no tone stands out as tonic.
        mode: Name of the scale, one of ``MODES``; empty without a key.
        chords: Chords in order of time.
        numbers: ``third`` (1 where the key is surely one with a major third, -1 with a minor one, less where
            chords lack their third), ``chromatic`` (share of sound outside of the scale), ``roughness`` (mean
            roughness of the intervals that sound together), ``changes`` (chords a bar), ``sevenths`` (share of chords
            with a seventh, sixth or suspension), ``powers`` (share of chords without a third), ``colours`` (pitch
            classes that hold nearly all of the sound), and of the scale ``modal``, ``hijaz``, ``flat second``,
            ``strange`` (1 or 0) and ``blue`` (share of the lesser third); NaN where there is nothing to measure.
    """

    key: int | None
    mode: str
    chords: list[Chord]
    numbers: dict[str, float]


def tonality(music: Sounding) -> Harmony:
    """Read key, mode and chords from what is heard and has a pitch."""
    notes = np.flatnonzero(music.tones)
    if len(notes) < 3:
        names = "third chromatic roughness changes sevenths powers colours modal hijaz strange blue".split()
        return Harmony(None, "", [], dict.fromkeys([*names, "flat second"], float("nan")))
    spans = _spans(music)
    profile, bass, first = _profiles(music, notes, spans)
    chords = _chords(music, notes, spans)
    triads = _triads(chords, music.duration)
    odds = _keys(profile, bass, first, triads)
    key, place = divmod(int(odds.argmax()), len(MODES))
    mode = list(MODES)[place]
    share = np.roll(profile, -key)
    flat = odds[:, [list(MODES).index(name) for name in ("phrygian", "hijaz")]].sum()
    kinds = [chord.name[len(_root(chord.name)) :] for chord in chords if chord.name != "N"]
    colours = float(np.searchsorted(np.sort(profile)[::-1].cumsum(), 0.97) + 1)
    numbers = {
        "third": float(odds.sum(0) @ [_BRIGHT.get(name, 0) for name in MODES]) * min(1.5 - triads.sum() / 2, 1),
        "chromatic": float(share[~_SCALES[list(MODES).index(mode)]].sum()),
        "roughness": _roughness(music, notes),
        "changes": len(kinds) / max(music.beats / music.meter, 1.0),
        "sevenths": float(np.mean([kind in _RICH for kind in kinds or [""]])),
        "powers": float(np.mean([kind == "5" for kind in kinds or [""]])),
        "colours": colours,
        "modal": float(mode in _MODAL),
        "hijaz": float(mode == "hijaz"),
        "flat second": float(flat > 0.4 or share[1] > 0.05),
        "strange": float(mode == "wholetone" or colours >= _ALL or share[1] > 0.03),
        "blue": float(min(share[3], share[4])),
    }
    sure = odds.sum(1).max() >= _UNSURE and colours < _ALL
    return Harmony(key if sure else None, mode if sure else "", chords, numbers)


def _spans(music: Sounding) -> Numbers:
    """Begin and end (s) of half bars, whole bars of an odd meter, ``(n, 2)``."""
    step = music.meter if music.meter % 2 else music.meter / 2
    edges = np.append(np.arange(0, music.beats, step), music.beats)
    times = np.interp(edges, *_clock(music))
    spans = np.stack([times[:-1], times[1:]], axis=1)
    return np.asarray(spans[spans[:, 1] - spans[:, 0] > 0.05])


def _clock(music: Sounding) -> tuple[Numbers, Numbers]:
    """Beats and their seconds, taken from the notes themselves."""
    beat, first = np.unique(np.concatenate([[0.0], music.beat, [music.beats]]), return_index=True)
    return beat, np.concatenate([[0.0], music.start, [music.duration]])[first]


def _root(name: str) -> str:
    return name[:2] if name[1:2] in {"#", "b"} else name[:1]


def _overlaps(music: Sounding, notes: Indices, spans: Numbers) -> Numbers:
    """Seconds for which each note sounds within each span, ``(spans, notes)``."""
    ends = np.minimum(music.end[notes][None], spans[:, 1:])
    return np.asarray((ends - np.maximum(music.start[notes][None], spans[:, :1])).clip(0))


def _chords(music: Sounding, notes: Indices, spans: Numbers) -> list[Chord]:
    """Of each span the template that leaves least over and stands on the bass; equal neighbours are one."""
    within = _overlaps(music, notes, spans)
    pitch = music.pitch[notes]
    heard = within @ np.eye(12)[pitch % 12]
    low = np.where(within > 0.15 * (spans[:, 1:] - spans[:, :1]), pitch[None], 999).min(1)
    share = heard / np.maximum(heard.sum(1, keepdims=True), 1e-9)
    score = share @ _TONES.T - 0.06 * _SIZES + 0.1 * (_ROOTS[None] == low[:, None] % 12)
    weakest = np.where(_TONES[None], share[:, None], 9.0).min(2)
    score -= np.where(weakest < 0.03, 0.35, 0.0)
    found: list[Chord] = []
    for row, begin, lowest in zip(score, spans[:, 0].tolist(), low.tolist(), strict=True):
        best = int(row.argmax())
        name = "N"
        if lowest < 999 and row[best] > 0.35:
            name = NAMES[_ROOTS[best]] + list(CHORDS)[best % len(CHORDS)]
        if not found or found[-1].name != name:
            found.append(Chord(round(begin, 3), name))
    return found


def _profiles(music: Sounding, notes: Indices, spans: Numbers) -> tuple[Numbers, Numbers, int]:
    """Shares of the pitch classes by how long they sound, and in the bass, more at turning points; the first bass."""
    pitch = music.pitch[notes]
    weight = np.minimum(music.end[notes] - music.start[notes], 2.0)
    profile = np.bincount(pitch % 12, weights=weight, minlength=12)
    low = np.where(_overlaps(music, notes, spans) > 0.02, pitch[None], 999).min(1)
    turning = np.ones(len(spans))
    turning[::8] = 2.0
    turning[-1] = 2.0
    turning[0] = 3.0
    there = low < 999
    bass = np.bincount(low[there] % 12, weights=turning[there], minlength=12)
    first = int(low[0]) % 12 if there[0] else -1
    return profile / max(profile.sum(), 1e-9), bass / max(bass.sum(), 1e-9), first


def _triads(chords: list[Chord], duration: float) -> Numbers:
    """Shares of time with a major and with a minor triad on each root, open ones counted as both, ``(12, 2)``."""
    found = np.zeros((12, 2))
    ends = [chord.time for chord in chords[1:]] + [duration]
    for chord, end in zip(chords, ends, strict=True):
        if chord.name != "N":
            root = _root(chord.name)
            kind = chord.name[len(root) :]
            either = kind in {"5", "sus4", "sus2"}
            share = (end - chord.time) / duration
            found[NAMES.index(root)] += (
                share * (either or kind in {"maj", "7", "maj7", "6"}),
                share * (either or kind in {"min", "min7"}),
            )
    return found


def _keys(profile: Numbers, bass: Numbers, first: int, triads: Numbers) -> Numbers:
    """Probabilities of tonics and modes, ``(12, modes)``."""
    evidence = np.zeros((12, len(MODES), len(_WEIGHTS)))
    for key in range(12):
        share, low, chord = np.roll(profile, -key), np.roll(bass, -key), np.roll(triads, -key, axis=0)
        evidence[key, :, 0] = _SOFT @ share
        evidence[key, :, 1] = share[0]
        evidence[key, :, 2] = share[7] * _SCALES[:, 7]
        evidence[key, :, 3:5] = low[[0, 7]]
        evidence[key, :, 5] = first == key
        evidence[key, :, 6] = chord[0][_MINOR.astype(int)]
        evidence[key, :, 7] = _SCALES.sum(1) - _SCALES @ (share >= 0.004).astype(np.float64)
    score = _DOUBT * (evidence @ _WEIGHTS + _COMMON)
    odds = np.exp(score - score.max())
    return np.asarray(odds / odds.sum())


def _roughness(music: Sounding, notes: Indices) -> float:
    """Mean roughness of the pairs of pitches that sound together, at every beat and half beat."""
    times = np.interp(np.arange(0.1, music.beats, 0.5), *_clock(music))
    pitch = music.pitch[notes] - music.pitch[notes].min()
    heard: Flags = np.zeros((len(times), int(pitch.max()) + 1), dtype=np.bool_)
    first, last = np.searchsorted(times, music.start[notes]), np.searchsorted(times, music.end[notes])
    for begin, end, place in zip(first.tolist(), last.tolist(), pitch.tolist(), strict=True):
        heard[begin:end, place] = True
    rough, near = np.zeros(len(times)), np.zeros(len(times))
    for gap in range(1, heard.shape[1]):
        pairs = (heard[:, gap:] & heard[:, :-gap]).sum(1) * (0.3 if gap > 24 else 0.6 if gap > 12 else 1.0)
        near += pairs
        rough += pairs * _ROUGH[gap % 12]
    counted = near > 0
    return float((rough[counted] / near[counted]).mean()) if counted.any() else 0.0
