"""Whether a sentence is put together as learnt ones are: runs of words, in which a tag's word stands for its kind.

A small model fills a phrase that it has learnt with the wrong kind of thing ("rounded out by indie rock", "from folk
and strings"). In the learnt text, where "rounded out by" has instruments behind it, no such run of words occurs.
"""

import re
from collections.abc import Iterable
from functools import cache

from conceptcaps.captions.planning import KINDS
from conceptcaps.tags.phrases import sentences
from conceptcaps.tags.taxonomy import Taxonomy

_WORD = re.compile(r"[\w'-]+|[,;.!?]")
_LENGTH = 3  # words of a run
_PLURAL = re.compile(r"(?:[^s]|^)s$")
_PITCHED = ("guitar", "bass", "keys", "melodic")  # kinds that stand in the same places
_BEGIN, _END = "^", "$"


class Idiom:
    """The runs of three words that stand in captions."""

    def __init__(self, captions: Iterable[str], *, taxonomy: Taxonomy) -> None:
        """Read captions; ``taxonomy`` tells which words stand for a tag."""
        self._taxonomy = taxonomy
        self._word = cache(self._masked)
        self._runs = {run for caption in captions for sentence in sentences(caption) for run in self._of(sentence)}
        self._words = {word for run in self._runs for word in run}

    def foreign(self, sentence: str) -> int:
        """How many words of a sentence stand in no caption and are no tag's.

        >>> Idiom(["A jazz tune led by a piano."], taxonomy=Taxonomy.load()).foreign("A jazz mermaid led by a violin.")
        1
        """
        words = {word for run in self._of(sentence) for word in run} - self._words
        return sum(not word.startswith("<") for word in words)

    def strange(self, sentence: str) -> int:
        """How many runs of a sentence stand in no caption.

        >>> idiom = Idiom(["A jazz tune led by a piano."], taxonomy=Taxonomy.load())
        >>> idiom.strange("A rock tune led by a violin."), idiom.strange("A rock tune led by a tempo.")
        (0, 3)
        """
        return sum(run not in self._runs for run in self._of(sentence))

    def _of(self, sentence: str) -> list[tuple[str, ...]]:
        words = [_BEGIN]
        for word in map(self._word, _WORD.findall(sentence.lower())):
            if not word.startswith("<") or word != words[-1]:  # "steel guitar", or two moods in a row, are one
                words.append(word)
        words.append(_END)
        return [tuple(words[place : place + _LENGTH]) for place in range(len(words) - _LENGTH + 1)]

    def _masked(self, word: str) -> str:
        """A word, or the first of the kinds of its tags in the alphabet, several of it apart from one."""
        kinds = [KINDS.get(tag, self._taxonomy.category(tag)) for tag in self._taxonomy.find(word)]
        kind = min(("pitched" if kind in _PITCHED else kind for kind in kinds), default="")
        return f"<{kind}{'s' if _PLURAL.search(word) else ''}>" if kind else word
