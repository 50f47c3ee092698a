"""How lines move: register, leaps, articulation, accents, repeats; of one instrument or of all that is heard."""

import numpy as np

from conceptcaps.audio.truth.sounding import Flags, Indices, Numbers, Sounding

_TOGETHER = 0.08  # notes that begin within this many beats form one stroke: strums and arpeggiated chords too
_BASS = 48
_QUICK, _LONG = 0.22, 0.95  # s
_RUN = 4  # strokes
_STEP = 0.7  # beats from one tone of a broken chord to the next: half a beat, or two thirds of one that swings
_LINE = (
    "voices register lowest highest pitches strokes tremolo glides longest held length chords repeats broken sustained"
)


class Strokes:
    """Notes of one line gathered by when they begin.

    Attributes:
        beat: When each stroke begins (beats).
        start: The same in seconds.
        size: Notes in the stroke.
        top: Highest pitch.
        low: Lowest pitch.
    """

    def __init__(self, music: Sounding, notes: Indices) -> None:
        """Gather the notes (indices in order of time)."""
        beat = music.beat[notes]
        first = np.concatenate([[True], np.diff(beat) > _TOGETHER]) if len(notes) else np.zeros(0, dtype=np.bool_)
        places = np.flatnonzero(first)
        pitch = music.pitch[notes]
        self.beat: Numbers = beat[places]
        self.start: Numbers = music.start[notes][places]
        self.size = np.diff(np.append(places, len(notes)))
        self.top = np.maximum.reduceat(pitch, places) if len(places) else pitch
        self.low = np.minimum.reduceat(pitch, places) if len(places) else pitch


def line(music: Sounding, notes: Indices) -> dict[str, float]:
    """Features of one line; NaN where there is nothing to measure.

    Returns:
        ``voices`` (notes in a stroke), ``register`` (mean pitch), ``lowest``, ``highest``, ``pitches`` (distinct ones),
        ``strokes`` (in a beat), ``tremolo`` (share of strokes that repeat the last pitch within 0.22 s), ``glides``
        (share of notes that slide), ``longest`` (seconds that one pitch is held, repeats that touch included),
        ``held`` (that, as a share of the clip), ``length`` (mean length of a note in seconds), ``chords`` (share of
        strokes of three notes or more), ``repeats`` (share of strokes on the last one's pitch), ``broken`` (share of
        strokes in runs of four chord tones, taken one after the other in steps of half a beat or less, straight or
        swung), ``sustained`` (share of the sound that comes from notes of a second or more).
    """
    strokes = Strokes(music, notes)
    pitch, count = music.pitch[notes], len(strokes.beat)
    if not count:
        return dict.fromkeys(_LINE.split(), float("nan"))
    gaps, moves = np.diff(strokes.start), np.diff(strokes.top)
    lengths = music.end[notes] - music.start[notes]
    longest = max(_longest(music, notes[pitch == each]) for each in np.unique(pitch).tolist())
    return {
        "voices": len(notes) / count,
        "register": float(pitch.mean()),
        "lowest": float(pitch.min()),
        "highest": float(pitch.max()),
        "pitches": float(len(np.unique(pitch))),
        "strokes": count / max(music.beats, 1e-9),
        "tremolo": float(((gaps < _QUICK) & (moves == 0)).mean()) if count > 1 else 0.0,
        "glides": float((music.glide[notes] != 0).mean()),
        "longest": longest,
        "held": longest / music.duration,
        "length": float(lengths.mean()),
        "chords": float((strokes.size >= 3).mean()),
        "repeats": float((moves == 0).mean()) if count > 1 else 0.0,
        "broken": _broken(strokes),
        "sustained": float(lengths[lengths >= _LONG].sum() / max(lengths.sum(), 1e-9)),
    }


def _broken(strokes: Strokes) -> float:
    """Share of strokes whose lowest notes run through three pitch classes or more by leaps."""
    low, count = strokes.low, len(strokes.low)
    if count < _RUN + 4:
        return 0.0
    moves, steps = np.abs(np.diff(low)), np.diff(strokes.beat)
    leaps = (moves >= 3) & (moves <= 16) & (steps < _STEP)
    inside = np.zeros(count, dtype=np.bool_)
    for first in range(count - _RUN + 1):
        if leaps[first : first + _RUN - 1].all() and len(set((low[first : first + _RUN] % 12).tolist())) >= 3:
            inside[first : first + _RUN] = True
    return float(inside.mean())


def melody(music: Sounding) -> dict[str, float]:
    """Features of all that is heard and has a pitch; NaN where there is nothing to measure.

    Returns:
        ``register`` (mean pitch, bass parts left out where there are others), ``legato`` (length of a note beside the
        gap to the next stroke of its part, median), ``leap`` (mean step of the top line, semitones), ``contour``
        (share of its steps that rise, less those that fall), ``accent`` (spread of velocity), ``force`` (mean
        velocity), ``swell`` (trend of velocity over the clip, as a correlation), ``contrast`` (spread of the bars'
        mean velocity), ``repetition`` (share of bars in which a moving part plays exactly what it played one or two
        bars before, of the part that does so most; under three bars: share of beats that equal the same beat of the bar
        before; NaN under two bars).
    """
    pitched = music.tones
    parts = {number: np.flatnonzero(pitched & (music.part == number)) for number in np.unique(music.part[pitched])}
    upper = {number: notes for number, notes in parts.items() if np.median(music.pitch[notes]) >= _BASS} or parts
    names = ("register", "legato", "leap", "contour", "repetition")
    found = dict.fromkeys(names, float("nan"))
    if upper:
        weight = np.concatenate([music.end[notes] - music.start[notes] for notes in upper.values()])
        pitch = np.concatenate([music.pitch[notes] for notes in upper.values()])
        found["register"] = float(np.average(pitch, weights=np.maximum(weight, 1e-3)))
        lead = _lead(music, upper)
        found |= _moves(Strokes(music, lead))
        found["legato"] = _legato(music, lead)
        if music.beats >= 2 * music.meter:
            found["repetition"] = max(_repetition(music, notes) for notes in parts.values())
    return found | _dynamics(music)


def _lead(music: Sounding, parts: dict[int, Indices]) -> Indices:
    """The part that carries the tune: the one with most different moves, then the higher one."""

    def weight(notes: Indices) -> tuple[float, float]:
        strokes = Strokes(music, notes)
        single = float((strokes.size <= 2).mean())
        return (round(single * min(len(strokes.beat) / max(music.beats, 1), 2), 1), float(music.pitch[notes].mean()))

    return max(parts.values(), key=weight)


def _moves(strokes: Strokes) -> dict[str, float]:
    moves = np.diff(strokes.top).astype(np.float64)
    if not len(moves):
        return {"leap": float("nan"), "contour": float("nan")}
    return {"leap": float(np.abs(moves).mean()), "contour": float((moves > 0).mean() - (moves < 0).mean())}


def _legato(music: Sounding, notes: Indices) -> float:
    strokes = Strokes(music, notes)
    if len(strokes.start) < 2:
        return float("nan")
    place = np.searchsorted(strokes.start, music.start[notes], side="right")
    inner = place < len(strokes.start)
    gaps = strokes.start[np.minimum(place, len(strokes.start) - 1)] - music.start[notes]
    shares = (music.end[notes] - music.start[notes])[inner] / np.maximum(gaps[inner], 0.05)
    return float(np.median(np.minimum(shares, 1.5)))


def _dynamics(music: Sounding) -> dict[str, float]:
    names = ("accent", "force", "swell", "contrast")
    velocity, start = music.velocity[music.heard], music.start[music.heard]
    if len(velocity) < 4:
        return dict.fromkeys(names, float("nan"))
    bars = (music.beat[music.heard] // music.meter).astype(np.int64)
    means = np.array([velocity[bars == bar].mean() for bar in np.unique(bars).tolist()])
    still = velocity.std() < 1e-9 or start.std() < 1e-9
    return {
        "accent": float(velocity.std()),
        "force": float(velocity.mean()),
        "swell": 0.0 if still else float(np.corrcoef(start, velocity)[0, 1]),
        "contrast": float(means.std()),
    }


def _repetition(music: Sounding, notes: Indices) -> float:
    """Share of a part's bars that equal the one, or else the two, before; 0 with fewer than three strokes a bar.

    With fewer than three whole bars the beats are compared, each with that of the bar before.
    """
    bar = (music.beat[notes] // music.meter).astype(np.int64)
    place = np.round((music.beat[notes] - bar * music.meter) * 12).astype(np.int64)
    whole = int(music.beats // music.meter)
    bars = [
        frozenset(zip(place[bar == one].tolist(), music.pitch[notes][bar == one].tolist(), strict=True))
        for one in range(whole)
    ]
    if np.mean([len({at for at, _ in one}) for one in bars]) < 3:
        return 0.0
    if whole < 3:
        at, pitch = np.round(music.beat[notes] * 12).astype(np.int64), music.pitch[notes]
        beats = [
            frozenset(zip(at[at // 12 == beat] % 12, pitch[at // 12 == beat], strict=True))
            for beat in range(int(music.beats))
        ]
        return float(np.mean([one == before for one, before in zip(beats[music.meter :], beats, strict=False)]))
    shares = [
        np.mean([bars[one] == bars[one - back] for one in range(back, whole)]) for back in (1, 2) if whole > back + 1
    ]
    return float(max(shares))


def _longest(music: Sounding, notes: Indices) -> float:
    """Longest stretch (s) over which notes of one pitch sound on, gaps under a tenth of a second closed."""
    start, end = music.start[notes], np.maximum.accumulate(music.end[notes])
    fresh: Flags = np.concatenate([[True], start[1:] > end[:-1] + 0.1])
    heads = np.flatnonzero(fresh)
    tails = np.append(heads[1:] - 1, len(notes) - 1)
    return float((end[tails] - start[heads]).max())
