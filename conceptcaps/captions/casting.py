"""Who plays what: tag sets, and the roles of their sounds in a piece that the grammar of captions can tell."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from conceptcaps.captions.english import inflect
from conceptcaps.tags import demo_corpus

TABLE = Path(__file__).with_name("caption_corpus.yaml")
ROLES = ("voice", "lead", "back", "low", "beat", "extra")
_FROM_DEMO = {"lead": "lead", "chords": "back", "low": "low", "beat": "beat", "voice": "voice"}
_COMPANY = 0.85  # share of sounds and moods that are those usual in the genre; the others are any that fit the role
_GENRES, _MOODS = [0.18, 0.47, 0.25, 0.08, 0.02], [0.1, 0.3, 0.25, 0.2, 0.1, 0.05]  # shares of 0, 1, 2 … of them
_SOUNDS = {"lead": (1, 2), "back": (0, 3), "low": (0, 1), "voice": (1, 2)}
_LEADS, _VOICES = 2, 2
_WORD = re.compile(r"[\w&'-]+")
_VERBS = set(
    "is was has sounds feels features moves sings hears blends combines includes consists starts ends owes does "
    "borrows leans draws comes gives stays rests unfolds turns leaves happens pushes pulls begins appears relies "
    "crosses brings belongs completes crowds points nods changes sways".split()
)


@dataclass
class Piece:
    """A piece to describe: its noun, and what has not been said of it yet."""

    noun: str
    genre: bool = False
    parts: dict[str, list[str]] = field(default_factory=lambda: {role: [] for role in ROLES})
    moods: list[str] = field(default_factory=list)
    tempo: list[str] = field(default_factory=list)
    rhythms: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    says: list[str] = field(default_factory=list)
    sung: bool = False
    felt: str = ""
    room: int = 0
    frames: set[str] = field(default_factory=set)
    called: dict[str, str] = field(default_factory=dict)

    def copy(self) -> "Piece":
        """A copy to describe in another way: what is said of the one still has to be said of the other."""
        lists: dict[str, Any] = {name: [*value] for name, value in vars(self).items() if isinstance(value, list)}
        return replace(self, **lists, parts={role: [*tags] for role, tags in self.parts.items()})


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The words of the grammar."""
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def bare(sentence: str) -> bool:
    """Whether a sentence names neither a piece nor what anything does: no noun of the tables, none of their verbs.

    >>> bare("A fun, male vocalist."), bare("A fun song."), bare("A male vocalist sings.")
    (True, False, False)
    """
    return not _telling() & set(_WORD.findall(sentence.lower()))


@lru_cache(maxsize=1)
def _telling() -> frozenset[str]:
    words = table()
    roles = [words["shared"], *words["sounds"].values()]
    phrases = [phrase for own in roles for role, texts in own.items() if role in (*ROLES, "lead in a song")
               for phrase in texts]  # fmt: skip
    verbs = {phrase.split()[0] for phrase in phrases} | _VERBS
    forms = {inflect(verb, plural=True, participle=part) for verb in verbs for part in (False, True)}
    nouns = {noun.split()[-1].lower() for genre in words["genres"].values() for noun in genre["nouns"]}
    return frozenset(verbs | forms | nouns | {*words["plain"], *words["genres"], "music"})


class Casting:
    """Draws tag sets and gives their sounds roles; tags that were drawn seldom are drawn sooner."""

    def __init__(self, generator: np.random.Generator) -> None:
        """Read the tables; ``generator`` makes every draw."""
        self._demo = yaml.safe_load(demo_corpus.TABLE.read_text(encoding="utf-8"))["genres"]
        self._generator = generator
        self._drawn: Counter[str] = Counter()
        self._sounds: dict[str, Any] = table()["sounds"]
        self._by_role = {role: [tag for tag, sound in self._sounds.items() if role in sound] for role in ROLES}

    def draw(self) -> list[str]:
        """A tag set as corpora have them: mostly one genre or two, and what usually goes with the first."""
        genres: list[str] = []
        for _ in range(int(self._generator.choice(len(_GENRES), p=_GENRES))):
            genres.append(self._seldom([genre for genre in table()["genres"] if genre not in genres]))
        first = table()["genres"][genres[0]].get("like", genres[0]) if genres else ""
        pools: Mapping[str, Any] = self._demo.get(first, {})
        if self._generator.random() < 0.01:
            return [*genres, "a cappella", *{self._seldom(self._by_role["voice"]) for _ in range(2)}]
        sizes = dict(_SOUNDS)
        silent = self._generator.random() < pools.get("instrumental", 0.4)
        struck = self._generator.random() >= pools.get("bare", 0.15)
        sizes |= {"voice": (0, 0)} if silent else {}
        sizes |= {"beat": (1, 3) if struck else (0, 0), "extra": (1, 1) if self._generator.random() < 0.12 else (0, 0)}
        sounds: set[str] = set()
        for role in ROLES:
            usual = [tag for key, value in _FROM_DEMO.items() if value == role for tag in pools.get(key, [])]
            for _ in range(int(self._generator.integers(*sizes[role], endpoint=True))):
                sounds.add(
                    self._one_of([tag for tag in usual if role in self._sounds.get(tag, {})], self._by_role[role])
                )
        moods = {
            self._one_of(pools.get("mood", []), list(table()["moods"]))
            for _ in range(int(self._generator.choice(len(_MOODS), p=_MOODS)))
        }
        pace = []
        if self._generator.random() < 0.8:
            pace.append(self._one_of(pools.get("tempo", []), list(table()["tempi"])))
        if self._generator.random() < 0.5:
            rhythm = self._one_of(pools.get("rhythm", []), list(table()["rhythms"]))
            pace += [rhythm] if struck or rhythm in ("arpeggio", "waltz time", "repetitive pattern") else []
        return [*genres, *sorted(sounds), *sorted(moods), *pace, *self._absences(sounds)]

    def piece(self, tags: Iterable[str]) -> Piece:
        """A piece of these tags; those that the tables do not name are left out.

        Voices come first, of other sounds two at most lead, and what has no tune keeps time.
        """
        words = table()
        order = [tag for tag in self._shuffled(tags) if tag in self._sounds]
        sung = any("voice" in self._sounds[tag] for tag in order)
        genres = [tag for tag in self._shuffled(tags) if tag in words["genres"]]
        piece = Piece(self._noun(genres[0] if genres else None, sung=sung), bool(genres), sung=sung)
        for tag in order:
            piece.parts[self._role(self._sounds[tag], piece)].append(tag)
        piece.styles = genres[1:]
        for name, found in {
            "moods": piece.moods,
            "tempi": piece.tempo,
            "rhythms": piece.rhythms,
            "says": piece.says,
        }.items():
            found += [tag for tag in self._shuffled(tags) if tag in words[name]]
        return piece

    def _role(self, sound: Mapping[str, Any], piece: Piece) -> str:
        full = {"voice": _VOICES, "lead": _LEADS, "low": 1}
        prefer = ["voice", "beat", "low", *(("lead", "back") if self._generator.random() < 0.6 else ("back", "lead"))]
        roles = [role for role in (*prefer, "extra") if role in sound]
        return next((role for role in roles if len(piece.parts[role]) < full.get(role, 9)), roles[-1])

    def _absences(self, sounds: set[str]) -> list[str]:
        vocal = any("voice" in self._sounds[tag] or "beatboxing" in tag for tag in sounds)
        struck = any("beat" in self._sounds[tag] for tag in sounds) | bool(
            sounds & {"xylophone", "vibraphone", "bells", "steel drums"}
        )
        found = ["instrumental"] if not vocal and self._generator.random() < 0.35 else []
        found += ["no percussion"] if not struck and self._generator.random() < 0.4 else []
        return found + (["sparse arrangement"] if len(sounds) <= 2 and self._generator.random() < 0.6 else [])

    def _noun(self, genre: str | None, *, sung: bool) -> str:
        nouns = table()["plain"] if genre is None else table()["genres"][genre]["nouns"]
        fitting = [noun for noun in nouns if sung or not noun.endswith(("song", "ballad", "carol", "bhajan"))]
        return self._pick(fitting or ["piece" if genre is None else nouns[0].replace("song", "tune")])

    # --- draws ---

    def _shuffled(self, tags: Iterable[str]) -> list[str]:
        ordered = sorted(set(tags))
        return [ordered[place] for place in self._generator.permutation(len(ordered))]

    def _pick(self, values: Sequence[str]) -> str:
        return values[int(self._generator.integers(len(values)))]

    def _one_of(self, usual: Sequence[str], others: Sequence[str]) -> str:
        return self._seldom(usual if len(usual) and self._generator.random() < _COMPANY else others)

    def _seldom(self, tags: Sequence[str]) -> str:
        weights = np.array([1.0 / (1 + self._drawn[tag]) for tag in tags])
        tag = tags[int(self._generator.choice(len(tags), p=weights / weights.sum()))]
        self._drawn[tag] += 1
        return tag
