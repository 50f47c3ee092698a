"""What the whole piece agrees on before anyone plays: key, tempo, metre, chords, form, dynamics."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conceptcaps.audio.composing import character as moods_of
from conceptcaps.audio.composing import harmony, tables
from conceptcaps.audio.composing.character import Character
from conceptcaps.audio.composing.harmony import Sonority
from conceptcaps.audio.composing.rhythm import swung
from conceptcaps.audio.composing.streams import Streams
from conceptcaps.tags.taxonomy import Taxonomy

TEMPI: dict[str, tuple[float, float]] = {  # beats per minute, inside the ranges of the taxonomy's definitions
    "slow tempo": (54, 72),
    "moderately slow tempo": (78, 92),
    "medium tempo": (98, 112),
    "moderately fast tempo": (118, 132),
    "fast tempo": (138, 162),
}
_LONG_BAR = 2.7  # seconds; longer bars have two chords
_PHRASE = 5.0  # seconds that a phrase lasts at most


@dataclass(frozen=True)
class Form:
    """How the piece is divided.

    Attributes:
        phrase: Bars in a phrase; a turn (fill, cadence) ends it.
        entries: Beat at which a role enters; 0 where it is not named.
        rests: Stretches (beats) in which the rhythm section is silent.
        contrast: Whether every second phrase has other chords.
    """

    phrase: int
    entries: Mapping[str, float]
    rests: Sequence[tuple[float, float]]
    contrast: bool


@dataclass(frozen=True)
class Plan:
    """Everything that parts share. ``bars`` covers the clip; ``key`` is the tonic as a pitch class."""

    asked: frozenset[str]
    streams: Streams
    genre: str
    others: Sequence[str]
    style: Mapping[str, Any]
    character: Character
    key: int
    mode: str
    meter: int
    tempi: Sequence[tuple[float, float]]
    swing: int
    bars: int
    form: Form
    chords: Sequence[Sonority]

    @property
    def bpm(self) -> float:
        """Beats per minute at the start."""
        return self.tempi[0][1]

    @property
    def paced(self) -> bool:
        """Whether a tempo tag asks for a pulse that can be followed."""
        return bool(self.asked & set(TEMPI))

    @property
    def tells(self) -> bool:
        """Whether a mood is asked for that lives by its mode."""
        keyed = self.mode in harmony.BRIGHT | harmony.DARK
        return keyed and any(tables.moods()[mood]["weight"] >= 0.3 for mood in self.character.moods)

    @property
    def loops(self) -> bool:
        """Whether one short figure repeats throughout."""
        return "repetitive pattern" in self.asked or "loop" in self.character.gestures

    def at(self, bar: int, beat: float) -> float:
        """Start in beats of a beat of a bar, late where the rhythm swings."""
        return bar * self.meter + swung(beat, self.swing)

    def chord(self, beat: float) -> Sonority:
        """What harmony holds at a beat."""
        slot = self.chords[0].length
        return self.chords[min(int(beat / slot + 1e-6), len(self.chords) - 1)]

    def velocity(self, beat: float, weight: float, *names: object) -> int:
        """Velocity of a note: weight 1 is an accent, 0.6 a soft stroke; ``names`` name its own small deviation."""
        cue = self.character
        level = (60 + 46 * cue.accent) * (1 - (0.25 + 0.45 * cue.accent) * (1 - weight)) * self._dynamic(beat)
        return min(max(4 * round((level + 8 * self.streams.deviation("touch", *names, beat) - 4) / 4), 24), 124)

    def _dynamic(self, beat: float) -> float:
        whole, phrase = self.bars * self.meter, self.form.phrase * self.meter
        match self.character.shape:
            case "crescendo":
                return 0.84 + 0.3 * beat / whole
            case "swell":
                return 0.82 + 0.26 * math.sin(math.pi * (beat % phrase) / phrase)
            case "terraces":
                return 1.12 if int(beat / self.meter) % 2 == 0 else 0.62
            case "fading":
                return 1.05 - 0.25 * (beat % phrase) / phrase
        return 1.0

    def silent(self, beat: float) -> bool:
        """Whether the rhythm section rests at a beat."""
        return any(start <= beat < end for start, end in self.form.rests)


def draw_plan(asked: Sequence[str], *, duration: float, streams: Streams, taxonomy: Taxonomy) -> Plan:
    """Decide what the piece is, each decision by its own stream."""
    styles = tables.genres()
    named = [tag for tag in asked if tag in styles]
    named = sorted(named, key=lambda tag: (len(taxonomy.ancestors(tag)), "kit" in styles[tag]["core"]), reverse=True)
    genre = named[0] if named else "none"
    implied = set(taxonomy.ancestors(genre)) if named else set()
    others = [tag for tag in named[1:] if tag not in implied]
    style = styles[genre]
    moods = [tag for tag in asked if tag in tables.moods()]
    cues = moods_of.character(moods, style, tempo=next((tag for tag in asked if tag in TEMPI), None))
    mode = moods_of.mode(moods, style, streams)
    meter = _meter(asked, style, streams)
    ranges = [styles[tag]["bpm"] for tag in others]
    shared = (
        max([style["bpm"][0], *(low for low, _ in ranges)]),
        min([style["bpm"][1], *(high for _, high in ranges)]),
    )
    paced = {**style, "bpm": shared} if shared[0] <= shared[1] else style
    tempi, bars = _tempi(asked, moods, paced, genre, streams, meter, duration)
    swing = 8 if "swing rhythm" in asked else int(style.get("swing", 0))
    form = _form(asked, cues, streams, meter=meter, bar=60 / tempi[0][1] * meter, bars=bars)
    plan = Plan(
        asked=frozenset(asked),
        streams=streams,
        genre=genre,
        others=others,
        style=style,
        character=cues,
        key=int(streams.share("key") * harmony.OCTAVE),
        mode=mode,
        meter=meter,
        tempi=tempi,
        swing=swing,
        bars=bars,
        form=form,
        chords=(),
    )
    return Plan(**{**plan.__dict__, "chords": _chords(plan)})


def _meter(asked: Sequence[str], style: Mapping[str, Any], streams: Streams) -> int:
    if "waltz time" in asked:
        return 3
    straight = {"four-on-the-floor", "march", "swing rhythm", "danceable", "groovy"} & set(asked)
    options = [beats for beats in style.get("meters", [4]) if beats == 4 or not straight]
    return int(streams.pick(options or [4], "meter"))


def _tempi(
    asked: Sequence[str],
    moods: Sequence[str],
    style: Mapping[str, Any],
    genre: str,
    streams: Streams,
    meter: int,
    duration: float,
) -> tuple[list[tuple[float, float]], int]:
    """Beats per minute from which beat on, and the bars that fill the clip."""
    tempo = next((tag for tag in asked if tag in TEMPI), None)
    place = streams.share("tempo")
    if tempo:
        low, high = TEMPI[tempo] if genre == "none" else _nearest(TEMPI[tempo], style["bpm"])
        if moods:
            wished = sum(tables.moods()[mood]["place"] for mood in moods) / len(moods)
            place = 0.35 * place + 0.65 * wished
    else:
        low, high = moods_of.tempo_range(moods, style, genre=genre)
        if {"danceable", "driving rhythm", "groovy"} & set(asked) and genre == "none":
            low, high = max(low, 100.0), max(min(high, 128.0), 108.0)
    bpm = round(low + place * (high - low), 1)
    if "tempo changes" not in asked:
        return [(0.0, bpm)], math.ceil(duration * bpm / 60 / meter) + 1
    bars = max(math.ceil(duration * bpm * 1.45 / 60 / meter) + 1, 3)
    ratio = streams.pick([1.45, 1.4, 0.66, 0.7], "tempo change")
    beats = max(duration * bpm * (1 + ratio) / 2 / 60, 2)  # in which the change is complete
    return [(float(beat), bpm * ratio ** min(beat / beats, 1)) for beat in range(bars * meter)], bars


def _nearest(named: tuple[float, float], own: Sequence[float]) -> tuple[float, float]:
    """What a tempo's range shares with a genre's, or the quarter of it that is nearest to the genre's."""
    low, high = named
    quarter = (high - low) / 4
    first, last = (min(max(bpm, low), high) for bpm in own)
    return min(first, high - quarter), max(last, low + quarter)


def _form(asked: Sequence[str], cues: Character, streams: Streams, *, meter: int, bar: float, bars: int) -> Form:
    phrase = 2 if 4 * bar > _PHRASE * 1.6 else 4
    kind = streams.pick(["whole", "whole", "lead later", "thin start", "thin start", "built up"], "form")
    first = float(meter) if bar < 2.2 else meter / 2
    entries = {
        "lead later": {"lead": first},
        "thin start": {"kit": first, "bass": first},
        "built up": {"kit": first / 2, "bass": first, "lead": first, "pad": first / 2},
    }.get(kind, {})
    if {"repetitive pattern", "steady beat", "four-on-the-floor"} & set(asked) or "loop" in cues.gestures:
        entries = {}
    rests = []
    pulse = {"steady beat", "four-on-the-floor", "danceable", "driving rhythm"} & set(asked)
    if not pulse and ("stops" in cues.gestures or (cues.accent > 0.6 and streams.share("stop") < 0.3)):
        width = 1.0 if "stops" not in cues.gestures or bar > 2.2 else 2.0
        every = phrase if "stops" not in cues.gestures else max(phrase // 2, 1)
        rests = [((number + 1) * meter - width, (number + 1.0) * meter) for number in range(every - 1, bars, every)]
    return Form(phrase, entries, rests, streams.share("contrast") < 0.6)


def _chords(plan: Plan) -> list[Sonority]:
    """The progression laid over the bars, one chord or two to a bar."""
    options = _progressions(plan)
    theme = plan.streams.pick(options, "chords")
    other = plan.streams.pick([line for line in options if line != theme] or options, "chords", "contrast")
    if plan.loops:  # one bar that comes back, of one chord or two
        theme = " ".join(theme.split()[:2])
    long = plan.style.get("pace", 1) == 2 or 60 / plan.bpm * plan.meter > _LONG_BAR
    two = plan.meter == 4 and (long or plan.loops)
    slot = plan.meter / 2 if two and plan.genre not in ("ambient", "new age") else float(plan.meter)
    found: list[Sonority] = []
    number = 0
    while number * slot < plan.bars * plan.meter:
        start = number * slot
        section = int(start / (plan.form.phrase * plan.meter))
        line = other if plan.form.contrast and section % 2 and not plan.loops else theme
        steps = [int(step) - 1 for step in line.split()]
        inside = number - round(section * plan.form.phrase * plan.meter / slot)
        step = steps[inside % len(steps)]
        leading = bool(plan.style.get("functional")) or plan.genre == "none" or (plan.mode == "minor" and plan.tells)
        kind = plan.character.harmony
        if kind in ("diminished", "augmented") and number % 2 == 0 and plan.mode in harmony.DARK:
            kind = "triad"
        ambiguous = kind in _RELATIVE and step == 0 and plan.tells and plan.mode in ("major", "minor")
        if ambiguous or kind == "power":  # power chords are how chords are played; tunes know the third
            kind = "triad"
        if plan.mode == "blues":
            kind = "dominant"
        root, tones, scale = harmony.chord(plan.mode, step, kind, leading=leading)
        if kind == "sus":
            resolved = harmony.chord(plan.mode, step, "triad", leading=leading)[1]
            tones = tones if number % 2 else resolved
        rough = plan.character.dissonance
        if plan.streams.share("dissonance", number) < (1.2 if rough > 0.6 else 0.7) * rough and (number or rough > 0.6):
            tones = (*tones[:3], plan.streams.pick([1, 6, 11], "dissonance", "tone", number))
            tones = tuple(sorted(set(tones)))
        classes = tuple((plan.key + place) % harmony.OCTAVE for place in scale)
        found.append(Sonority(start, slot, (plan.key + root) % harmony.OCTAVE, tones, classes))
        number += 1
    return found


_RELATIVE = ("sixth", "seventh", "ninth")  # of the tonic they hold the triad of another key
_TELLING = {  # progressions that leave no doubt of the tonic and its mode
    True: ["1 4 5 1", "1 5 1 4", "1 4 1 5", "1 5 4 1"],
    False: ["1 4 5 1", "1 4 1 5", "1 6 5 1", "1 5 1 4"],
}
_COLOURED = {  # and those that show what is special to a mode
    "mixolydian": ["1 7 1 7", "1 7 4 1", "1 4 7 1"],
    "dorian": ["1 4 1 4", "1 4 7 1", "1 2 4 1"],
    "phrygian": ["1 2 1 2", "1 1 2 1", "1 2 3 1"],
    "lydian": ["1 2 1 2", "1 2 5 1", "1 1 2 1"],
    "hijaz": ["1 2 1 2", "1 1 2 1", "1 1 1 2"],
}


def _at_home(line: str) -> bool:
    """Whether a progression is on its tonic half of the time."""
    steps = line.split()
    return 2 * steps.count("1") >= len(steps)


def _progressions(plan: Plan) -> list[str]:
    """The genre's progressions; those that show the mode where a mood lives by it, or such from the tables."""
    if "plagal" in plan.character.gestures:
        return ["1 4 1 4", "1 4 1 1", "1 4 2 1"]
    own = list(plan.style["chords"])
    if plan.genre == "none":  # without a genre's habits nothing says that a relative key is not meant
        own = [line for line in own if line.startswith("1") and not (plan.mode in harmony.DARK and "3" in line)]
    if not plan.character.moods or not (plan.tells or plan.mode in _COLOURED):
        return own
    coloured = _COLOURED.get(plan.mode)
    if coloured and (plan.genre == "none" or plan.mode != plan.style["modes"][0]):
        return coloured
    vague = {"3", "6", "2"} if plan.mode in harmony.BRIGHT else {"3", "7"}
    clear = [line for line in own if line.startswith("1") and not vague & set(line.split()) and _at_home(line)]
    return clear or (own if plan.mode in _COLOURED else _TELLING[plan.mode in harmony.BRIGHT])
