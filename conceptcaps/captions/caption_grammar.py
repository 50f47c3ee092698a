"""A grammar of captions: who leads, accompanies and keeps time in a piece, how it feels and moves, and sentences of it.

Its words stand in ``caption_corpus.yaml``. A piece is drawn first, as tags with roles; then sentences are drawn whose
slots the piece can fill, until it is told. Which tags a caption holds is read from its text afterwards.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from conceptcaps.captions.english import capital, indefinite, inflect, listed
from conceptcaps.tags import demo_corpus

TABLE = Path(__file__).with_name("caption_corpus.yaml")
ROLES = ("voice", "lead", "back", "low", "beat", "extra")
_FROM_DEMO = {"lead": "lead", "chords": "back", "low": "low", "beat": "beat", "voice": "voice"}
_SLOT = re.compile(r"\{([a-z]+)(?:\.([a-z]+))?\}|<([a-z]+)(\^?)>")
_MOODS = ("mood", "adj", "feel")
_COMPANY = 0.85  # share of sounds and moods that are those usual in the genre; the others are any that fit the role


@dataclass
class Piece:
    """What is to be told: the noun, and what has not been told yet."""

    noun: str
    sung: bool
    parts: dict[str, list[str]] = field(default_factory=lambda: {role: [] for role in ROLES})
    moods: list[str] = field(default_factory=list)
    tempo: list[str] = field(default_factory=list)
    rhythms: list[str] = field(default_factory=list)
    says: list[str] = field(default_factory=list)
    felt: str = ""
    frames: set[str] = field(default_factory=set)


class Grammar:
    """Draws captions; tags that were drawn seldom are drawn sooner."""

    def __init__(self, generator: np.random.Generator) -> None:
        """Read the tables; ``generator`` makes every draw."""
        self._table = _table()
        self._demo = yaml.safe_load(demo_corpus.TABLE.read_text(encoding="utf-8"))["genres"]
        self._generator = generator
        self._drawn: Counter[str] = Counter()
        self._sounds: dict[str, Any] = self._table["sounds"]
        self._by_role = {role: [tag for tag, sound in self._sounds.items() if role in sound] for role in ROLES}
        self._frames = {kind: [(text, _needs(text)) for text in texts] for kind, texts in self._table["frames"].items()}

    def caption(self) -> str:
        """One caption of one to five sentences."""
        piece = self._piece()
        if self._generator.random() < 0.3:
            sentences = [self._sentence("dense", piece) or self._sentence("opening", piece)]
        else:
            sentences = [self._sentence("opening", piece)]
            order = ("parts", "parts", "parts", "feel", "feel")
            feel_last = self._generator.random() < 0.7
            turns = range(len(order)) if feel_last else self._generator.permutation(len(order))
            sentences += [self._sentence(order[turn], piece) for turn in turns]
        closing = [self._pick(self._table["says"][tag]) for tag in piece.says]
        if self._generator.random() < 0.08:
            closing.append(self._pick(self._table["says"]["nothing"]))
        place = (
            len(sentences) if self._generator.random() < 0.7 else int(self._generator.integers(1, len(sentences) + 1))
        )
        sentences[place:place] = closing
        return " ".join(sentence for sentence in sentences if sentence)

    # --- what is told ---

    def _piece(self) -> Piece:
        genre = self._seldom(list(self._table["genres"])) if self._generator.random() < 0.8 else None
        pools: Mapping[str, Any] = self._demo.get(self._usual(genre), {})
        bodiless = self._generator.random() < 0.01
        sung = bodiless or bool(self._generator.random() < (1 - pools.get("instrumental", 0.4)))
        struck = not bodiless and self._generator.random() >= pools.get("bare", 0.15)
        sizes = {"lead": (1, 2), "back": (1, 2), "low": (0, 1), "beat": (1, 2) if struck else (0, 0), "extra": (0, 0)}
        sizes |= {"voice": (1, 1)} if sung else {"voice": (0, 0)}
        if bodiless:
            sizes = dict.fromkeys(ROLES, (0, 0)) | {"voice": (1, 2)}
        elif self._generator.random() < 0.12:
            sizes["extra"] = (1, 1)
        piece = Piece(self._noun(genre, sung=sung), sung)
        for role in ROLES:
            usual = [tag for key, value in _FROM_DEMO.items() if value == role for tag in pools.get(key, [])]
            for _ in range(int(self._generator.integers(*sizes[role], endpoint=True))):
                tag = self._one_of([tag for tag in usual if role in self._sounds.get(tag, {})], self._by_role[role])
                if not any(tag in tags for tags in piece.parts.values()):
                    piece.parts[role].append(tag)
        for _ in range(int(self._generator.choice([0, 1, 2, 3], p=[0.1, 0.45, 0.35, 0.1]))):
            mood = self._one_of(pools.get("mood", []), list(self._table["moods"]))
            piece.moods += [mood] if mood not in piece.moods else []
        if self._generator.random() < 0.8:
            piece.tempo.append(self._one_of(pools.get("tempo", []), list(self._table["tempi"])))
        if self._generator.random() < 0.5:
            rhythm = self._one_of(pools.get("rhythm", []), list(self._table["rhythms"]))
            piece.rhythms += [rhythm] if struck or rhythm in ("arpeggio", "waltz time", "repetitive pattern") else []
        piece.says = self._absences(piece, bodiless=bodiless)
        return piece

    def _absences(self, piece: Piece, *, bodiless: bool) -> list[str]:
        if bodiless:
            return ["a cappella"]
        silent = not piece.parts["voice"] and "vocal" not in " ".join(piece.parts["extra"] + piece.parts["back"])
        found = ["instrumental"] if silent and self._generator.random() < 0.35 else []
        sounding = {tag for tags in piece.parts.values() for tag in tags}
        struck = {"xylophone", "vibraphone", "bells", "steel drums"} & sounding
        if not piece.parts["beat"] and not struck and self._generator.random() < 0.4:
            found.append("no percussion")
        if len(sounding) <= 2 and self._generator.random() < 0.6:
            found.append("sparse arrangement")
        return found

    def _usual(self, genre: str | None) -> str:
        return "" if genre is None else self._table["genres"][genre].get("like", genre)

    def _noun(self, genre: str | None, *, sung: bool) -> str:
        nouns = self._table["plain"] if genre is None else self._table["genres"][genre]["nouns"]
        fitting = [noun for noun in nouns if sung or not noun.endswith(("song", "ballad", "carol", "bhajan"))]
        return self._pick(fitting or ["piece" if genre is None else nouns[0].replace("song", "tune")])

    # --- sentences ---

    def _sentence(self, kind: str, piece: Piece) -> str:
        """A sentence of a kind that the piece can fill; "" where it has nothing left for one."""
        frames = [(text, needs) for text, needs in self._frames[kind] if self._fillable(needs, piece)]
        frames = [(text, needs) for text, needs in frames if text not in piece.frames]
        if not frames or (kind in ("parts", "feel") and self._generator.random() < 0.08):
            return ""
        told = np.array([sum(needs.values()) + 2.0 * needs["voice"] + needs["lead"] for _, needs in frames])
        weights = (1 + told) / np.array([(1 + self._drawn[text]) ** 1.5 for text, _ in frames])
        text, needs = frames[int(self._generator.choice(len(frames), p=weights / weights.sum()))]
        self._drawn[text] += 1
        piece.frames.add(text)
        return self._fill(text, needs, piece)

    def _fillable(self, needs: Counter[str], piece: Piece) -> bool:
        left = {role: len(tags) for role, tags in piece.parts.items()}
        have = left | {"any": sum(left.values()) - sum(needs[role] for role in ROLES)}
        have |= {"moods": len(piece.moods), "tempo": len(piece.tempo), "rhythm": len(piece.rhythms)}
        if needs["feel"] and not any("noun" in self._table["moods"][mood] for mood in piece.moods):
            return False
        return all(have[need] >= count for need, count in needs.items() if need != "feel")

    def _fill(self, text: str, needs: Counter[str], piece: Piece) -> str:
        if needs["feel"]:  # a mood with a noun, kept from slots before its own
            piece.felt = next(mood for mood in piece.moods if "noun" in self._table["moods"][mood])
            piece.moods.remove(piece.felt)
        words: list[str] = []
        pending: list[tuple[int, str]] = []
        plural, place = False, 0
        for slot in _SLOT.finditer(text):
            words.append(text[place : slot.start()])
            place = slot.end()
            name, form, verb, ahead = slot.groups()
            if verb:
                words.append("" if ahead else inflect(verb, plural=plural))
                pending += [(len(words) - 1, verb)] if ahead else []
                continue
            said, plural = self._slot(name, form or "np", needs, piece)
            for where, waiting in pending:
                words[where] = inflect(waiting, plural=plural)
            pending.clear()
            words.append(said)
        return capital(indefinite("".join([*words, text[place:]])))

    def _slot(self, name: str, form: str, needs: Counter[str], piece: Piece) -> tuple[str, bool]:
        """What is said in a slot, and whether it is plural."""
        if name in (*ROLES, "any"):
            return self._part(name, form, piece)
        if name in ("piece", "this"):
            return f"{'a' if name == 'piece' else 'this'} {self._described(needs, piece)}", False
        if name == "it":
            return ("it", False) if self._generator.random() < 0.5 else (f"the {piece.noun.split()[-1]}", False)
        if name in ("tempo", "pace"):
            return self._pick(self._table["tempi"][piece.tempo.pop()]["np" if name == "tempo" else "pace"]), False
        if name == "rhythm":
            said = self._pick(self._table["rhythms"][piece.rhythms.pop()][form])
            return said, _plural(said)
        if name == "feel":
            return self._pick(self._table["moods"][piece.felt]["noun"]), False
        return self._mood(name, piece), False

    def _part(self, name: str, form: str, piece: Piece) -> tuple[str, bool]:
        role = name if name != "any" else self._pick([role for role in ROLES if piece.parts[role]])
        tag = piece.parts[role].pop(0)
        sound = self._sounds[tag]
        if form == "bare":
            return re.sub(r"^(an?|~)\s*", "", sound["as"][0]), False
        said = self._pick(sound["as"])
        plural, said = _plural(said), said.removeprefix("~")
        if form == "np":
            return said, plural
        shared = self._table["shared"]
        common = shared["lead in a song"] if role == "lead" and piece.sung else shared[role]
        own = sound[role] if self._generator.random() < 0.75 or sound.get("own") else common
        return f"{said} {inflect(self._pick(own), plural=plural, participle=form == 'ing')}", plural

    def _described(self, needs: Counter[str], piece: Piece) -> str:
        """The noun with up to three adjectives of what the rest of the sentence will not say."""
        said = []
        if "tempo" not in needs and piece.tempo and self._generator.random() < 0.2:
            said.append(self._pick(self._table["tempi"][piece.tempo.pop()]["adj"]))
        adjectives = [name for name in piece.rhythms if "adj" in self._table["rhythms"][name]]
        if "rhythm" not in needs and adjectives and self._generator.random() < 0.3:
            piece.rhythms.remove(adjectives[0])
            said.append(self._pick(self._table["rhythms"][adjectives[0]]["adj"]))
        spare = len(piece.moods) - needs["moods"] + needs["feel"]
        if spare > 0 and self._generator.random() < 0.65:
            pair = piece.moods[:2] if spare > 1 and self._generator.random() < 0.3 else piece.moods[:1]
            for _ in pair if self._alike(pair) else pair[:1]:
                said.insert(0, self._attribute(piece))
        return f"{', '.join(said)} {piece.noun}".strip()

    def _attribute(self, piece: Piece) -> str:
        mood = self._table["moods"][piece.moods.pop(0)]
        return self._pick([*mood["adj"], *mood.get("attr", [])])

    def _mood(self, name: str, piece: Piece) -> str:
        if name == "adj":
            return self._attribute(piece)
        taken = [piece.moods.pop(0)]
        if piece.moods and self._generator.random() < 0.6:
            taken.append(piece.moods.pop(0))
        said = [self._pick(self._table["moods"][mood]["adj"]) for mood in taken]
        return listed(said) if self._alike(taken) else f" {self._pick(['yet', 'but'])} ".join(said)

    def _alike(self, moods: Sequence[str]) -> bool:
        return any(set(moods) <= set(group) for group in self._table["mood_groups"])

    # --- draws ---

    def _pick(self, values: Sequence[str]) -> str:
        return values[int(self._generator.integers(len(values)))]

    def _one_of(self, usual: Sequence[str], others: Sequence[str]) -> str:
        return self._seldom(usual if len(usual) and self._generator.random() < _COMPANY else others)

    def _seldom(self, tags: Sequence[str]) -> str:
        weights = np.array([1.0 / (1 + self._drawn[tag]) for tag in tags])
        tag = tags[int(self._generator.choice(len(tags), p=weights / weights.sum()))]
        self._drawn[tag] += 1
        return tag


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


def _needs(frame: str) -> Counter[str]:
    """What a frame takes from a piece: parts by role, moods, tempo, rhythm."""
    names = [match[1] for match in _SLOT.finditer(frame) if match[1]]
    needs = Counter(name for name in names if name in (*ROLES, "any", "rhythm"))
    if tempi := sum(name in ("tempo", "pace") for name in names):
        needs["tempo"] = tempi
    if moods := sum(name in _MOODS for name in names):
        needs["moods"] = moods
    if "feel" in names:  # one of the moods
        needs["feel"] = 1
    return needs


def _plural(phrase: str) -> bool:
    return not phrase.startswith(("a ", "an ", "~", "one ", "plenty ", "the "))
