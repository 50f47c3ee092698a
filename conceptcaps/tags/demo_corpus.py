"""The demo corpus: rows in MusicCaps' schema, written from a table of which sounds, moods and tempi go together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

TABLE = Path(__file__).with_name("demo_corpus.yaml")
ROWS_PER_GENRE = 9

_LEAD = ("carries the melody", "plays the main theme", "takes the lead", "plays a winding tune", "rises above the rest")
_CHORDS = (
    "fills in the harmony",
    "lays down wide chords",
    "plays underneath",
    "supports the melody",
    "answers in the gaps",
)
_LOW = ("plays the roots", "holds the bottom", "moves in simple lines", "follows the chords")
_BEAT = ("keeps time", "marks the pulse", "pushes the music on", "accents the bars")
_VOICE = ("can be heard up front", "delivers the verses", "joins in the chorus", "tells of everyday things")
_COLOUR = ("Nothing else is added.", "The parts leave each other room.", "The arrangement grows step by step.")
_OTHER = (
    "well balanced mix",
    "clear recording",
    "low quality",
    "amateur recording",
    "noisy",
    "studio take",
    "short clip",
)
_QUALITY = {
    "low quality": "The low quality recording was made in one take.",
    "amateur recording": "This is an amateur recording.",
    "noisy": "The recording is noisy.",
}
_IRREGULAR = {"carries": "carry", "pushes": "push"}
_SINGULAR = frozenset(
    "brass percussion chanting rapping growling humming whistling beatboxing".split()
    + ["hand percussion", "wooden percussion", "turntable scratching", "DJ scratching", "group chanting"]
    + ["vocal percussion", "spoken word", "busy guitar strumming"]
)


def demo_corpus(seed: int = 0) -> pd.DataFrame:
    """A few hundred rows in MusicCaps' schema, our own words, every tag of a row said in its caption.

    The default seed is the corpus that ships: it does not follow the seed of a run.

    Args:
        seed: Seed of the draws.

    Returns:
        Columns ``ytid``, ``aspect_list`` (text of a list), ``caption``, ``is_audioset_eval``.
    """
    table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    generator = np.random.default_rng(seed)
    rows = [
        _Row(table, genre, generator).record(f"demo-{len(table['genres']) * turn + place:04d}")
        for turn in range(ROWS_PER_GENRE)
        for place, genre in enumerate(table["genres"])
    ]
    return pd.DataFrame(rows)


class _Row:
    """One piece of music: what sounds in it, and sentences that say so."""

    def __init__(self, table: Mapping[str, Any], genre: str, generator: np.random.Generator) -> None:
        self._table = table
        self._generator = generator
        pools = table["genres"][genre]
        self._noun = self._pick(pools["nouns"])
        instrumental = generator.random() < pools["instrumental"] or not pools["voice"]
        bare = not pools["beat"] or generator.random() < pools["bare"]
        self._lead = self._draw(pools["lead"], 1, 2)
        self._chords = [tag for tag in self._draw(pools["chords"], 1, 1) if tag not in self._lead]
        self._low = self._draw(pools["low"], 0, 1)
        self._beat = [] if bare else self._draw(pools["beat"], 1, 1)
        self._voice = [] if instrumental else self._draw(pools["voice"], 1, 1)
        self._mood = self._draw(pools["mood"], 1, 2)
        self._tempo = self._pick(table["tempi"][self._pick(pools["tempo"])])
        rhythms = [tag for tag in pools["rhythm"] if self._beat or tag != "four-on-the-floor"]
        self._rhythm = [self._pick(table["rhythms"][tag]) for tag in self._draw(rhythms, 0, 1)]
        self._said = {tag: self._pick(table["sounds"][tag]) for tag in self._sounding()}
        self._moods = [self._pick(table["moods"][tag]) for tag in self._mood]
        self._absent = self._absences(silent_voice=instrumental, silent_percussion=bare)
        self._other = self._draw(_OTHER, 0, 1)

    def record(self, row_id: str) -> dict[str, object]:
        sounds = [phrase.removeprefix("a ").removeprefix("an ") for phrase in self._said.values()]
        aspects = [self._noun, *sounds, *self._moods, f"{self._tempo} tempo"]
        aspects += [phrase.removeprefix("a ") for phrase in self._rhythm] + self._absent + self._other
        shuffled = [aspects[place] for place in self._generator.permutation(len(aspects))]
        return {
            "ytid": row_id,
            "aspect_list": repr(shuffled),
            "caption": self._caption(),
            "is_audioset_eval": bool(self._generator.random() < 0.1),
        }

    # --- draws ---

    def _pick(self, values: Sequence[str]) -> str:
        return values[int(self._generator.integers(len(values)))]

    def _draw(self, values: Sequence[str], least: int, most: int) -> list[str]:
        size = min(int(self._generator.integers(least, most + 1)), len(values))
        return [values[place] for place in sorted(self._generator.permutation(len(values))[:size])]

    def _sounding(self) -> list[str]:
        return list(dict.fromkeys(self._lead + self._chords + self._low + self._beat + self._voice))

    def _absences(self, *, silent_voice: bool, silent_percussion: bool) -> list[str]:
        struck = {"xylophone", "vibraphone", "bells", "beatboxing"} & set(self._sounding())
        absent = []
        if silent_voice and "processed vocals" not in self._said and self._generator.random() < 0.6:
            absent.append(self._pick(("no vocals", "no singer", "no voices")))
        if silent_percussion and not struck and self._generator.random() < 0.5:
            absent.append(self._pick(("no percussion", "no drums")))
        return absent

    # --- sentences ---

    def _caption(self) -> str:
        plan = int(self._generator.integers(4))
        moods = list(self._moods)
        feeling = f"{moods.pop(0)} " if " " not in moods[0] and plan < 3 else ""
        piece = f"{feeling}{self._noun}"
        sentences = self._clauses()
        if plan == 0:
            opening = [f"This is {_article(piece)} at a {self._tempo} tempo."]
        elif plan == 1:
            opening = [f"{_article(piece).capitalize()} at a {self._tempo} tempo{self._with_rhythm()}."]
        elif plan == 2:
            opening = [sentences.pop(0), f"It is {_article(piece)}, and the tempo is {self._tempo}."]
        else:
            opening = [f"The tempo is {self._tempo} in this {piece}{self._with_rhythm()}."]
        closing = [f"The piece has {self._rhythm[0]}."] if self._rhythm and plan in (0, 2) else []
        if moods:
            closing.append(f"{self._pick(('It sounds', 'The mood is', 'The whole thing feels'))} {_listed(moods)}.")
        if self._absent:
            closing.append(f"It has {_listed(self._absent)}.")
        if self._generator.random() < 0.2:
            closing.append(self._pick(_COLOUR))
        closing += [_QUALITY[aspect] for aspect in self._other if aspect in _QUALITY]
        return " ".join(opening + sentences + closing)

    def _with_rhythm(self) -> str:
        return f", with {self._rhythm[0]}" if self._rhythm else ""

    def _clauses(self) -> list[str]:
        """Sentences that name every sound once."""
        clauses = []
        for tags, verbs in ((self._lead, _LEAD), (self._chords, _CHORDS), (self._low, _LOW), (self._beat, _BEAT)):
            fresh = [self._said[tag] for tag in tags]
            if fresh:
                clauses.append(f"{_listed(fresh)} {_agree(self._pick(verbs), fresh)}")
        sentences = []
        while clauses:
            if len(clauses) > 1 and self._generator.random() < 0.6:
                link = self._pick(("while", "and", "as"))
                sentences.append(f"{_capital(clauses.pop(0))} {link} {clauses.pop(0)}.")
            else:
                sentences.append(f"{_capital(clauses.pop(0))}.")
        if self._voice:
            fresh = [self._said[tag] for tag in self._voice]
            place = int(self._generator.integers(len(sentences) + 1))
            sentences.insert(place, f"{_capital(_listed(fresh))} {_agree(self._pick(_VOICE), fresh)}.")
        return sentences


def _listed(phrases: Sequence[str]) -> str:
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def _agree(verb: str, subjects: Sequence[str]) -> str:
    """The verb in the plural where its subject is."""
    singular = len(subjects) == 1 and (subjects[0].startswith(("a ", "an ")) or subjects[0] in _SINGULAR)
    if singular or verb.startswith("can "):
        return verb
    head, _, rest = verb.partition(" ")
    return f"{_IRREGULAR.get(head, head.removesuffix('s'))} {rest}"


def _article(piece: str) -> str:
    vowel = (piece[0] in "aeiou" and not piece.startswith(("one", "uni"))) or piece.startswith(("r&b", "8"))
    return f"{'an' if vowel else 'a'} {piece}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
