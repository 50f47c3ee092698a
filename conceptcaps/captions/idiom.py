"""Whether a sentence is worded like those of a corpus: runs of words, and the words beside each tag.

A small model fills a phrase that it has learnt with the wrong kind of thing ("rounded out by indie rock", "a snare drum
holds the bottom"). In the corpus, where "rounded out by" has instruments behind it and a bass holds the bottom, no such
run of words occurs, and no such tie of a tag and a word.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from conceptcaps.captions.planning import KINDS
from conceptcaps.tags.phrases import sentences
from conceptcaps.tags.taxonomy import Taxonomy

_WORD = re.compile(r"[\w'-]+|[,;.!?]")
_LENGTH = 3  # words of a run
_EDGE = 5  # words of the runs with which a sentence begins and ends: there a piece is named, and a phrase is closed
_NAME = 3  # words of a tag's name at most
_AHEAD = 5  # words behind a tag that are tied to it
_OFTEN = 50  # times that a tag stands in a corpus, for which its ties are known
_PLURAL = re.compile(r"(?:[^s]|^)s$")
_PITCHED = ("guitar", "bass", "keys", "melodic")  # kinds that stand in the same places
_TOGETHER = ("choir", "vocal harmony", "chant")  # what many sing, who also accompany, is apart from one who sings
_BEGIN, _END = "^", "$"
_LOOSE = set("a an the in of is at to it by this that has there are its one for on as".split())  # tied to anything
_CLOSES = set(", ; . ! ? and over while with".split())  # behind these something else is told

Unit = tuple[str, list[str]]
"""A word, or the words of one name, and the tags that it names."""


class Idiom:
    """The word trigrams of captions, a tag's name standing for its kind, and the ties of each tag to its neighbours."""

    def __init__(self, runs: Iterable[str], ties: Iterable[str], *, taxonomy: Taxonomy) -> None:
        """Take runs and ties; ``taxonomy`` tells which words of a sentence name a tag."""
        self._find = cache(taxonomy.find)
        self._category = taxonomy.category
        self._one_name, self._masked = cache(self._is_one_name), cache(self._mask)
        self._runs, self._ties = set(runs), set(ties)
        self._words = {word for run in self._runs for word in run.split()}
        self._tied = {tie.partition(":")[0] for tie in self._ties}

    @classmethod
    def of(cls, captions: Iterable[str], *, taxonomy: Taxonomy) -> "Idiom":
        """The idiom of captions; the ties of tags that they rarely name are not kept."""
        reader = cls([], [], taxonomy=taxonomy)
        texts = [reader._units(sentence) for caption in captions for sentence in sentences(caption)]
        often = Counter(tags[0] for units in texts for _, tags in units if tags)
        ties = {tie for units in texts for tie in reader._ties_of(units)}
        known = {tie for tie in ties if often[tie.partition(":")[0]] >= _OFTEN}
        return cls({run for units in texts for run in reader._runs_of(units)}, known, taxonomy=taxonomy)

    def save(self, file: Path) -> None:
        """Write it as JSON."""
        file.write_text(json.dumps({"runs": sorted(self._runs), "ties": sorted(self._ties)}, indent=0) + "\n")

    @classmethod
    def load(cls, file: Path, *, taxonomy: Taxonomy) -> "Idiom":
        """Read what ``save`` wrote."""
        return cls(**json.loads(file.read_text(encoding="utf-8")), taxonomy=taxonomy)

    def foreign(self, sentence: str) -> int:
        """How many words of a sentence occur in no caption and name no tag.

        >>> idiom = Idiom.of(["A jazz tune led by a piano."], taxonomy=Taxonomy.load())
        >>> idiom.foreign("A jazz mermaid led by a violin.")
        1
        """
        words = {word for run in self._runs_of(self._units(sentence)) for word in run.split()} - self._words
        return sum(not word.startswith("<") for word in words)

    def strange(self, sentence: str) -> int:
        """How many runs and ties of a sentence stand in no caption.

        >>> idiom = Idiom.of(["A jazz tune led by a piano."], taxonomy=Taxonomy.load())
        >>> idiom.strange("A rock tune led by a violin."), idiom.strange("A rock tune led by a tempo.")
        (0, 4)
        """
        units = self._units(sentence)
        ties = {tie for tie in self._ties_of(units) if tie.partition(":")[0] in self._tied}
        return sum(run not in self._runs for run in self._runs_of(units)) + len(ties - self._ties)

    def _units(self, sentence: str) -> list[Unit]:
        found = [part for word in _WORD.findall(sentence.lower()) for part in self._parts(word)]
        units, place = [], 0
        while place < len(found):
            sizes = range(min(_NAME, len(found) - place), 1, -1)
            size = next((size for size in sizes if self._one_name(tuple(found[place : place + size]))), 1)
            name = " ".join(found[place : place + size])
            units.append((name, self._find(name)))
            place += size
        return units

    def _parts(self, word: str) -> list[str]:
        """The word, or its parts where one of them is the name alone: "funk-rhymable" is no name, "hi-hat" is one."""
        parts = word.split("-")
        return [word] if len(parts) == 1 or not self._find(word) or self._one_name(tuple(parts)) else parts

    def _is_one_name(self, words: tuple[str, ...]) -> bool:
        """Whether words name together what they do not name apart ("hard rock")."""
        whole = set(self._find(" ".join(words)))
        return bool(whole.difference(*(self._find(" ".join(part)) for part in (words[:-1], words[1:]))))

    def _runs_of(self, units: Sequence[Unit]) -> list[str]:
        words = [_BEGIN]
        for name, _ in units:
            word = self._masked(name)
            if not word.startswith("<") or word != words[-1]:  # two moods in a row are one
                words.append(word)
        words.append(_END)
        if not units:
            return []
        inner = [words[place : place + _LENGTH] for place in range(len(words) - _LENGTH + 1)]
        return [" ".join(run) for run in (*inner, words[:_EDGE], words[-_EDGE:])]

    def _mask(self, name: str) -> str:
        """A word, or the first of the kinds of a name's tags in the alphabet, several of it apart from one."""
        tags = self._find(name)
        kinds = ["choir" if tag in _TOGETHER else KINDS.get(tag, self._category(tag)) for tag in tags]
        kind = min(("pitched" if kind in _PITCHED else kind for kind in kinds), default="")
        return f"<{kind}{'s' if _PLURAL.search(name) else ''}>" if kind else name

    def _ties_of(self, units: Sequence[Unit]) -> Iterator[str]:
        """Of each tag the word before it, the words behind it, and an instrument right before an instrument."""
        for place, (_, tags) in enumerate(units):
            if not tags:
                continue
            before, known = units[place - 1] if place else ("", [])
            if known and {self._category(known[0]), self._category(tags[0])} == {"instrument"}:
                yield f"{tags[0]}: {known[0]} <"
            if before and not known and before not in _LOOSE | _CLOSES:
                yield f"{tags[0]}: {before} <"
            for word, other in units[place + 1 : place + 1 + _AHEAD]:
                if other or word in _CLOSES:
                    break
                if word not in _LOOSE:
                    yield f"{tags[0]}: > {word}"
