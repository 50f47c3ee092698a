"""What moods ask of the music: one set of cues for a piece, from its moods and its genre."""

from collections.abc import Sequence
from dataclasses import dataclass

from conceptcaps.audio.composing import tables
from conceptcaps.audio.composing.harmony import BRIGHT, DARK
from conceptcaps.audio.composing.streams import Streams
from conceptcaps.audio.composing.tables import Row

_NUMBERS = ("register", "density", "length", "leap", "contour", "accent", "dissonance")
_NEUTRAL = {"register": 0.0, "leap": 0.35, "contour": 0.0, "dissonance": 0.0}
_MOOD = 0.8  # share of a cue that moods decide, the genre the rest
_PACE = {  # what a tempo tag does to notes in a beat and to their length: slow music is not fast music in half time
    "slow tempo": (0.55, 1.3),
    "moderately slow tempo": (0.85, 1.1),
    "fast tempo": (1.1, 0.9),
}
_LEAST = 0.6  # density of fast music: with fewer notes nobody hears that it is fast
_NEAR = 14  # beats per minute between the ranges of two moods that a tempo in between still serves
_STRETCH = 0.06  # how far a mood may lead the tempo out of its genre's range


@dataclass(frozen=True)
class Character:
    """The cues of ``moods.yaml``, resolved: numbers are means over the moods, names the strongest mood's."""

    register: float
    density: float
    length: float
    leap: float
    contour: float
    accent: float
    dissonance: float
    cells: Sequence[str]
    harmony: str
    shape: str
    gestures: frozenset[str]
    moods: tuple[str, ...]


def strongest(moods: Sequence[str]) -> list[str]:
    """Moods by how much they insist, the most insistent first."""
    rows = tables.moods()
    return sorted(moods, key=lambda mood: (-rows[mood]["weight"], mood))


def character(moods: Sequence[str], style: Row, *, tempo: str | None) -> Character:
    """Cues of a piece in a genre's ``style`` with some moods, or with none, at a tempo that a tag names or None."""
    rows, feel = tables.moods(), {**_NEUTRAL, **style["feel"]}
    ranked = strongest(moods)
    numbers = dict(feel)
    for cue in _NUMBERS if moods else ():
        asked = sum(rows[mood][cue] for mood in moods) / len(moods)
        numbers[cue] = asked if cue in _NEUTRAL else _MOOD * asked + (1 - _MOOD) * feel[cue]
    fewer, longer = _PACE.get(tempo or "", (1.0, 1.0))
    numbers["density"] = max(numbers["density"] * fewer, _LEAST if tempo == "fast tempo" else 0.0)
    numbers["length"] = min(numbers["length"] * longer, 1.1)
    first = rows[ranked[0]] if ranked else {}
    harmony = style.get("harmony", "triad")
    if first and (harmony in ("triad", "open", "add9") or first["harmony"] not in ("triad", "add9", "sixth")):
        harmony = first["harmony"]
    return Character(
        **{cue: float(numbers[cue]) for cue in _NUMBERS},
        cells=[first["rhythm"]] if first else style["cells"],
        harmony=harmony,
        shape=first.get("shape", "flat"),
        gestures=frozenset(gesture for mood in moods for gesture in rows[mood]["gestures"]),
        moods=tuple(ranked),
    )


def mode(moods: Sequence[str], style: Row, streams: Streams) -> str:
    """The mode that moods and genre can agree on.

    Moods vote for major or minor by how much they insist; of the genre's modes those that the winner likes are taken,
    and where the genre has none the mood's own: a happy salsa is in major, a sad ska in minor, a happy metal in major.
    """
    rows, own = tables.moods(), list(style["modes"])
    if not moods:
        weights = [1 / 3**place for place in range(len(own))]
        return streams.of("mode").choices(own, weights)[0] if len(own) > 1 else own[0]
    ranked = strongest(moods)
    votes = {True: 0.0, False: 0.0}
    for mood in ranked:
        family = _family(rows[mood]["modes"][0])
        if family is not None:
            votes[family] += rows[mood]["weight"]
    if not any(votes.values()):
        return str(rows[ranked[0]]["modes"][0])
    first = rows[ranked[0]]["modes"][0]
    bright = votes[True] > votes[False] or (votes[True] == votes[False] and _family(first) is True)
    winner = next(mood for mood in ranked if _family(rows[mood]["modes"][0]) is bright)
    wished = [name for name in rows[winner]["modes"] if _family(name) in (bright, None)]
    strange = [name for mood in ranked for name in rows[mood]["modes"][:1] if _family(name) is None]
    if strange and style["modes"][0] in ("major", "minor", *strange) and first in strange:
        return strange[0]
    if style is tables.genres()["none"]:
        return str(streams.of("mode").choices(wished, [1 / 3**place for place in range(len(wished))])[0])
    shared = [name for name in wished if name in own] or [name for name in own if _family(name) is bright]
    return str(shared[0] if shared else wished[0])


def tempo_range(moods: Sequence[str], style: Row, *, genre: str) -> tuple[float, float]:
    """Beats per minute where no tempo tag says more: the genre's, led by the moods; the moods' own without a genre."""
    low, high = style["bpm"]
    if not moods:
        return low, high
    rows = tables.moods()
    wished = _agreed([rows[mood]["tempo"] for mood in strongest(moods)])
    if genre == "none":
        return wished
    place = sum(rows[mood]["place"] for mood in moods) / len(moods)
    least, most = low * (1 - _STRETCH), high * (1 + _STRETCH)
    target = least + place * (most - least)
    nearest = min(max(target, wished[0]), wished[1])
    centre = min(max(nearest, least), most)
    return max(centre * 0.97, least), min(centre * 1.03, most)


def _agreed(ranges: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Tempi that moods can share, the most insistent mood's range first.

    A range that overlaps narrows it, one that nearly meets it moves it into the gap, all others are not served.

    >>> _agreed([(66, 84), (70, 92)]), _agreed([(66, 84), (96, 124)]), _agreed([(50, 60), (120, 150)])
    ((70, 84), (84, 96), (50, 60))
    """
    low, high = own = ranges[0][0], ranges[0][1]
    for least, most in ranges[1:]:
        first, last = max(low, least), min(high, most)
        if max(least - own[1], own[0] - most, first - last) <= _NEAR:
            low, high = min(first, last), max(first, last)
    return low, high


def _family(name: str) -> bool | None:
    return True if name in BRIGHT else False if name in DARK else None
