"""Tempo, beat and patterns of what is heard: where strokes fall in the beat and in the bar."""

import numpy as np

from conceptcaps.audio.truth.lines import Strokes
from conceptcaps.audio.truth.sounding import Flags, Numbers, Sounding

KICK, SNARE, BACK = (35, 36), (38, 40), (37, 38, 39, 40)
TICKS = (42, 44, 46, 51, 53, 59, 69, 70, 82)  # hi-hats, rides, shakers
RIDE = (51, 53, 59)
_NEAR = 0.07  # of a beat


def rhythm(music: Sounding) -> dict[str, float]:
    """Features of time; NaN where there is nothing to measure.

    Returns:
        ``bpm`` (beats a minute over the clip; NaN where too little is struck to tell), ``drift`` (fastest tempo in the
        clip beside the slowest, less 1), ``meter`` (NaN where noises alone sound), ``density`` (distinct onsets a
        second), ``rate`` (distinct onsets a beat), ``regular`` (share of beats on which something begins),
        ``syncopation`` (share of strokes that fall off the beat and sound over the next beat, mean over parts),
        ``offbeats`` (chords struck halfway through the beat beside strokes on the beat, of the part that does so most),
        ``swing`` (share of strokes in the second half of the beat that come late, at two thirds), ``late`` (the same of
        sixteenths), and of the kit: ``kicks`` (a beat), ``four`` (share of beats with a kick), ``one`` (share of first
        beats with one), ``backbeat`` (share of beats 2 and 4 with a snare, rim or clap), ``halftime`` (share of bars
        with one on beat 3 and none on 2 and 4), ``backs`` (snares, rims and claps a beat), ``snares``, ``ticks``
        (hi-hats, rides, shakers) and ``rides``, all a beat.
    """
    strokes = _onsets(music.beat[music.heard])
    bpm = 60 * music.beats / music.duration
    told = len(strokes) >= max(4, music.beats / music.meter * 0.75)
    features = {
        "bpm": bpm if told else float("nan"),
        "drift": float(music.tempi.max() / music.tempi.min() - 1),
        "meter": float(music.meter) if music.counted else float("nan"),
        "density": len(strokes) / music.duration,
        "rate": len(strokes) / max(music.beats, 1e-9),
        "regular": _on_beats(strokes, music.beats),
    }
    features |= _placing(music, strokes)
    return features | _kit(music)


def beat_times(music: Sounding) -> Numbers:
    """Beats inside the clip, counted (0, 1, 2 …)."""
    return np.arange(int(np.ceil(music.beats - 1e-9)), dtype=np.float64)


def _onsets(beats: Numbers) -> Numbers:
    """Distinct onsets (beats), those within a sixteenth of a sixteenth taken for one."""
    ordered = np.sort(beats)
    return ordered[np.concatenate([[True], np.diff(ordered) > _NEAR])] if len(ordered) else ordered


def _on_beats(strokes: Numbers, beats: float) -> float:
    whole = np.arange(int(beats))
    return float(_hit(strokes, whole.astype(np.float64)).mean()) if len(whole) else float("nan")


def _hit(strokes: Numbers, places: Numbers) -> Flags:
    """Whether something is struck at each of the places (beats)."""
    if not len(strokes):
        return np.zeros(len(places), dtype=np.bool_)
    nearest = np.abs(strokes[:, None] - places[None, :]).min(0)
    return np.asarray(nearest < _NEAR)


def _placing(music: Sounding, strokes: Numbers) -> dict[str, float]:
    shares, chords = [], []
    for number in np.unique(music.part[music.tones]).tolist():
        notes = np.flatnonzero(music.tones & (music.part == number))
        part = Strokes(music, notes)
        if len(part.beat) >= 4:
            off = part.beat % 1
            over = np.append(part.beat[1:], music.beats) - part.beat + off
            shares.append(float(((off > 0.15) & (off < 0.9) & (over > 1.05)).mean()))
            struck = part.size >= 2
            if struck.sum() >= 4:
                between = ((off > 0.43) & (off < 0.72) & struck).sum()
                chords.append(float(between / max(between + ((off < 0.2) | (off > 0.93)).sum(), 1)))
    phase = strokes % 1
    late = phase[(phase > 0.42) & (phase < 0.78)]
    eighths = late[(np.abs(late - 0.5) < _NEAR) | (np.abs(late - 2 / 3) < _NEAR)]
    fine = np.concatenate([phase % 0.5])
    sixteenths = fine[(fine > 0.2) & (fine < 0.4)]
    return {
        "syncopation": float(np.mean(shares)) if shares else float("nan"),
        "offbeats": max(chords, default=0.0),
        "swing": float((eighths > 0.58).mean()) if len(eighths) >= 4 else 0.0,
        "late": float((sixteenths > 0.28).mean()) if len(sixteenths) >= 4 else 0.0,
    }


def _kit(music: Sounding) -> dict[str, float]:
    def struck(keys: tuple[int, ...]) -> Numbers:
        return _onsets(music.beat[music.heard & music.percussion & np.isin(music.pitch, keys)])

    kick, back, ticks = struck(KICK), struck(BACK), struck(TICKS)
    beats = np.arange(int(np.ceil(music.beats - 1e-9)), dtype=np.float64)
    place = beats % music.meter
    second = np.isin(place, (1, 3)) if music.meter == 4 else place == 1
    bars = beats[(place == 0) & (beats + music.meter <= music.beats)]
    half = _hit(back, bars + 2) & ~_hit(back, bars + 1) & ~_hit(back, bars + 3)

    return {
        "kicks": len(kick) / music.beats,
        "four": _once_begun(_hit(kick, beats)),
        "one": _once_begun(_hit(kick, beats[place == 0])),
        "backbeat": _once_begun(_hit(back, beats[second])),
        "backs": len(back) / music.beats,
        "halftime": _once_begun(half) if music.meter == 4 else 0.0,
        "ticks": len(ticks) / music.beats,
        "rides": len(struck(RIDE)) / music.beats,
        "snares": len(struck(SNARE)) / music.beats,
    }


def _once_begun(flags: Flags) -> float:
    """Share of hits from the first one on; less where they begin only in the second half of the clip."""
    if not flags.any():
        return 0.0
    rest = flags[int(flags.argmax()) :]
    return float(rest.mean() * min(2 * len(rest) / len(flags), 1))
