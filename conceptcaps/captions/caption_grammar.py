"""A grammar of captions: who leads, accompanies and keeps time in a piece, how it feels and moves, and sentences of it.

Its words stand in ``caption_corpus.yaml``. A tag set is given or drawn and cast as a piece, whose sounds have roles;
then sentences are drawn whose slots the piece can fill, until it is told. Which tags a caption holds is read from its
text afterwards.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from conceptcaps.captions import readability
from conceptcaps.captions.casting import ROLES, Casting, Piece, table
from conceptcaps.captions.english import capital, indefinite, inflect, listed
from conceptcaps.captions.planning import MOST_TAGS

_SLOT = re.compile(r"\{([a-z]+)(?:\.([a-z]+))?\}|<([a-z]+)(\^?)>")
_MANNER = re.compile(
    r"\b(?:at|in|with|without|on|until|near|between|from|through|throughout|by|behind|beneath|below|above|over|to|into|off|after|before|"
    r"now|never|all|alone|again|along|away|slowly)\b|\*"
)
_TWICE = re.compile(r"\b(over|with|and|while|beneath|in the)\b(?=[^,;:]*\b\1\b)")  # in one clause
_MOOD_SLOTS = ("mood", "adj", "feel")
_NEEDS = (*ROLES, "any", "style", "moods", "tempo", "rhythm", "feel")
_TOLD = _NEEDS.index("feel")
_OWN = 0.3  # share of sounds that do what only they do, and not what any in their role does
_TRIES = 4  # at a sentence without a doubled word
_SENTENCES = 7
_NOUN_ENDINGS = ("ness", "ion", "ment", "ity", "ance", "ence", "dom")


class Grammar:
    """Draws captions. Of a list of phrases the k-th is drawn in proportion to 1/k, as in texts (Zipf, 1949).

    So the tables begin with what is plain and fits everywhere. A small model learns from few captions what stands often
    in them; where all phrases were equally rare, it gave them to the wrong players.
    """

    def __init__(self, generator: np.random.Generator) -> None:
        """Read the tables; ``generator`` makes every draw."""
        self._table = table()
        self._casting = Casting(generator)
        self._generator = generator
        self._frames = {kind: (texts, _matrix(texts)) for kind, texts in self._table["frames"].items()}

    def caption(self, tags: Iterable[str] | None = None, *, called: Mapping[str, str] | None = None) -> str:
        """One caption of one to seven sentences; of a tag set, as far as it knows the tags, or of one that it draws.

        Args:
            tags: Built-in tags.
            called: What sounds, moods and tempi are called in another taxonomy.
        """
        piece = self._casting.piece(self._casting.draw() if tags is None else tags)
        piece.called = dict(called or {})
        dense = piece.genre and self._generator.random() < 0.3
        opening = (self._sentence("dense", piece) if dense else "") or self._sentence("opening", piece)
        order = ["style"] * 2 + ["parts"] * 5 + ["feel"] * 4
        if self._generator.random() < 0.4:
            self._generator.shuffle(order)
        sentences = [opening, *filter(None, (self._sentence(kind, piece) for kind in order))][:_SENTENCES]
        for tag in piece.says:
            last = self._generator.random() < 0.5
            place = len(sentences) if last else int(self._generator.integers(1, len(sentences) + 1))
            sentences.insert(place, self._pick(self._table["says"][tag]))
        return " ".join(filter(None, sentences))

    # --- sentences ---

    def _sentence(self, kind: str, piece: Piece) -> str:
        """A sentence of a kind that the piece can fill; "" where it has nothing left for one."""
        texts, needs = self._frames[kind]
        left = sum(map(len, piece.parts.values()))
        told = np.array([text in piece.frames for text in texts])
        fits = (needs <= self._has(piece, left)).all(1) & ~told
        # An opening says one tag where no genre names the piece: else a small model calls the singer the piece.
        alone = kind == "opening" and not piece.genre
        open_ones = np.flatnonzero(fits & (needs[:, -1] == 1) if alone else fits)
        if not len(open_ones):
            return ""
        tells = needs[open_ones, :_TOLD].sum(1) + needs[open_ones, 0] * 2 + needs[open_ones, 1]
        heights = ((1.0 + tells) ** (2 if left > 4 else 1) * _zipf(len(open_ones))).cumsum()
        for _ in range(_TRIES):
            text = texts[open_ones[self._drawn(heights)]]
            then = piece.copy()
            said = self._fill(text, _needs(text), then, alone=alone)
            if not (_TWICE.search(said) or readability.doubled_words(said) or readability.role_faults(said)):
                vars(piece).update(vars(then), frames=piece.frames | {text})
                return said
        return ""

    def _has(self, piece: Piece, left: int) -> NDArray[np.int64]:
        """What a piece has of each of ``_NEEDS``."""
        parts = [len(piece.parts[role]) for role in ROLES]
        others = [len(piece.styles), len(piece.moods), len(piece.tempo), len(piece.rhythms)]
        nouns = sum("noun" in self._table["moods"][mood] for mood in piece.moods)
        return np.array([*parts, left, *others, nouns, MOST_TAGS - piece.genre, MOST_TAGS])

    def _fill(self, text: str, needs: Counter[str], piece: Piece, *, alone: bool) -> str:
        piece.room = 0 if alone else _room(text, needs, piece)
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
            tempo = piece.tempo.pop()
            ways, own = self._table["tempi"][tempo]["np" if name == "tempo" else "pace"], piece.called.get(tempo, "")
            return self._pick(_called(ways, own) if name == "tempo" and own.endswith(" tempo") else ways), False
        if name == "rhythm":
            said = self._pick(self._table["rhythms"][piece.rhythms.pop()][form])
            return said, _plural(said)
        if name == "style":
            return self._styles(piece)
        if name == "feel":
            return self._pick(self._table["moods"][piece.felt]["noun"]), False
        return self._mood(name, piece), False

    def _part(self, name: str, form: str, piece: Piece) -> tuple[str, bool]:
        role = name if name != "any" else self._pick([role for role in ROLES if piece.parts[role]])
        tag = piece.parts[role].pop(0)
        sound = self._table["sounds"][tag]
        ways = _called(sound["as"], piece.called.get(tag))
        if form == "bare":
            return re.sub(r"^(an? |~)", "", ways[0]), False
        said = self._pick(ways)
        plural, said = _plural(said), said.removeprefix("~")
        if form == "np":
            return said, plural
        shared = self._table["shared"]
        common = shared["lead in a song"] if role == "lead" and piece.sung else shared[role]
        does = self._pick(sound[role] if sound.get("own") or self._generator.random() < _OWN else common)
        if len(does.split()) < 5 and not _MANNER.search(does) and self._generator.random() < 0.35:
            does = f"{does} {self._pick(self._table['how'][role])}"
        return f"{said} {inflect(does, plural=plural, participle=form == 'ing')}", plural

    def _styles(self, piece: Piece) -> tuple[str, bool]:
        """Further genres, and whether it is more than one thing."""
        taken = [piece.styles.pop(0)]
        while piece.styles and piece.room > 0 and self._generator.random() < 0.6:
            taken.append(piece.styles.pop(0))
            piece.room -= 1
        said = [self._pick(self._table["genres"][genre]["style"]) for genre in taken]
        return listed(said), len(said) > 1 or (said[0].endswith("s") and not said[0].endswith("blues"))

    def _described(self, needs: Counter[str], piece: Piece) -> str:
        """The noun with adjectives of what the rest of the sentence will not say, while there is room for them."""
        said: list[str] = []

        def take(share: float) -> bool:
            wanted = piece.room > 0 and self._generator.random() < share
            piece.room -= wanted
            return wanted

        if not needs["tempo"] and piece.tempo and take(0.25):
            said.append(self._pick(self._table["tempi"][piece.tempo.pop()]["adj"]))
        adjectives = [name for name in piece.rhythms[needs["rhythm"] :] if "adj" in self._table["rhythms"][name]]
        if adjectives and take(0.3):
            piece.rhythms.remove(adjectives[0])
            said.append(self._pick(self._table["rhythms"][adjectives[0]]["adj"]))
        spare = len(piece.moods) - needs["moods"] + needs["feel"]
        if spare > 0 and take(0.65):
            two = spare > 1 and self._alike(piece.moods[:2]) and take(0.35)
            for _ in range(1 + two):
                said.insert(0, self._attribute(piece))
        return f"{', '.join(said)} {piece.noun}".strip()

    def _attribute(self, piece: Piece) -> str:
        name = piece.moods.pop(0)
        mood = self._table["moods"][name]
        return self._pick(_adjectives([*mood["adj"], *mood.get("attr", [])], piece.called.get(name)))

    def _mood(self, name: str, piece: Piece) -> str:
        if name == "adj":
            return self._attribute(piece)
        taken = [piece.moods.pop(0)]
        while piece.room > 0 and len(taken) < 3 and self._generator.random() < 0.6:
            alike = [mood for mood in piece.moods if self._alike([*taken, mood])]
            if not alike:
                break
            piece.room -= 1
            piece.moods.remove(alike[0])
            taken.append(alike[0])
        moods = self._table["moods"]
        return listed([self._pick(_adjectives(moods[mood]["adj"], piece.called.get(mood))) for mood in taken])

    def _alike(self, moods: Sequence[str]) -> bool:
        return any(set(moods) <= set(group) for group in self._table["mood_groups"])

    def _pick(self, values: Sequence[str]) -> str:
        return values[self._drawn(_zipf(len(values)).cumsum())]

    def _drawn(self, heights: NDArray[np.float64]) -> int:
        """A place, drawn by its share of the sum that ``heights`` climb."""
        return int((heights / heights[-1]).searchsorted(self._generator.random(), side="right"))


@lru_cache
def _zipf(count: int) -> NDArray[np.float64]:
    weights = 1 / np.arange(1, count + 1)
    return weights / weights.sum()


@cache
def _needs(frame: str) -> Counter[str]:
    """What a frame takes from a piece: parts by role, styles, moods, tempo, rhythm."""
    names = [match[1] for match in _SLOT.finditer(frame) if match[1]]
    needs = Counter(name for name in names if name in (*ROLES, "any", "rhythm", "style"))
    if tempi := sum(name in ("tempo", "pace") for name in names):
        needs["tempo"] = tempi
    if moods := sum(name in _MOOD_SLOTS for name in names):
        needs["moods"] = moods
    if "feel" in names:  # one of the moods
        needs["feel"] = 1
    return needs


def _matrix(frames: Sequence[str]) -> NDArray[np.int64]:
    """What each frame needs of ``_NEEDS``, "any" counting all parts; then its tags if it names the piece; its tags."""
    rows = []
    for frame in frames:
        needs = _needs(frame)
        parts = sum(needs[role] for role in (*ROLES, "any")) if needs["any"] else 0
        tags = sum(needs.values()) - needs["feel"]
        row = [needs[name] for name in _NEEDS]
        row[_NEEDS.index("any")] = parts
        rows.append([*row, tags if _names(frame) else 0, tags])
    return np.array(rows)


def _names(frame: str) -> bool:
    return "{piece}" in frame or "{this}" in frame


def _room(frame: str, needs: Counter[str], piece: Piece) -> int:
    """Tags that a sentence may have beside those of its slots and its noun."""
    return MOST_TAGS - (piece.genre and _names(frame)) - sum(needs.values()) + needs["feel"]


def _called(ways: Sequence[str], name: str | None) -> Sequence[str]:
    """Noun phrases with a name of another taxonomy: those that hold it, or else the name itself.

    >>> _called(["a drum kit", "~percussion"], "percussion"), _called(["a bass guitar"], "e-bass")
    (['~percussion'], ['a e-bass'])
    """
    if name is None:
        return ways
    plural = name.endswith("s") and not name.endswith("ss")
    article = "" if plural else "~" if name.endswith("ing") and not name.endswith("string") else "a "
    return [way for way in ways if re.search(rf"\b{re.escape(name)}$", way)] or [article + name]


def _adjectives(ways: Sequence[str], name: str | None) -> Sequence[str]:
    """The name of another taxonomy in place of adjectives, if it is a word and no noun.

    >>> _adjectives(["calm"], "calming"), _adjectives(["sad"], "loneliness"), _adjectives(["happy"], "happy mood")
    (['calming'], ['sad'], ['happy'])
    """
    return [name] if name is not None and name.isalpha() and not name.endswith(_NOUN_ENDINGS) else ways


def _plural(phrase: str) -> bool:
    return not phrase.startswith(("a ", "an ", "~", "one ", "plenty ", "the "))
