"""Words as people type them: run together, or with letters swapped, doubled or left single."""

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

_LEAST = 6  # letters of a word that is mended; shorter ones are too near to others
_PART = 4  # letters of each part of a word that is taken apart


class Slips:
    """Mends words that no phrase holds, where one that a phrase holds is meant, or two that have run together."""

    def __init__(self, phrases: Iterable[Sequence[str]], *, tails: Collection[str]) -> None:
        """Keep the words.

        Args:
            phrases: Of words that stand as they are, and that others may be meant for; phrases of two may have run
                together, and any two phrases of one word.
            tails: Words that may have run into a phrase of one word before them.
        """
        known = {tuple(phrase) for phrase in phrases}
        self._words = {word for phrase in known for word in phrase}
        self._pairs = {phrase for phrase in known if len(phrase) == 2}
        self._single = {phrase[0] for phrase in known if len(phrase) == 1}
        self._tails = self._single.union(tails)
        self._mend = lru_cache(maxsize=1 << 14)(self._meant)

    def mend(self, tokens: Sequence[str]) -> list[str]:
        """Tokens with what was meant in place of slips.

        >>> slips = Slips([["guitar"], ["melody"], ["jazz"], ["uplifting"], ["brass", "band"]], tails={"music"})
        >>> slips.mend(["gutiar", "mellody", "uplifitng", "jazzmusic", "brassband", "guitarra"])
        ['guitar', 'melody', 'uplifting', 'jazz', 'music', 'brass', 'band', 'guitarra']
        """
        return [part for token in tokens for part in self._mend(token)]

    def _meant(self, word: str) -> tuple[str, ...]:
        if word in self._words or len(word) < _LEAST or not word.isalpha():
            return (word,)
        meant = _near(word) & self._words
        parts = {(word[:at], word[at:]) for at in range(1, len(word))}
        apart = (parts & self._pairs) or {
            (head, tail) for head, tail in parts if head in self._single and tail in self._tails and _long(head, tail)
        }
        ways: list[tuple[str, ...]] = [(one,) for one in meant] or [*apart]
        return ways[0] if len(ways) == 1 else (word,)


def _long(*parts: str) -> bool:
    return min(map(len, parts)) >= _PART


def _near(word: str) -> set[str]:
    """A word with two neighbouring letters swapped, a letter doubled, or one of two equal letters left out."""
    swapped = {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}
    doubled = {word[:at] + word[at] + word[at:] for at in range(len(word))}
    single = {word[:at] + word[at + 1 :] for at in range(len(word) - 1) if word[at] == word[at + 1]}
    return swapped | doubled | single
