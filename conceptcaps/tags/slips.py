"""Words as people type them: run together, or with letters swapped, doubled or left single."""

from collections.abc import Collection, Sequence
from functools import lru_cache

_LEAST = 6  # letters of a word that is mended; shorter ones are too near to others
_PART = 3  # letters of a part of a word that is taken apart


class Slips:
    """Mends words that a vocabulary does not hold, where it holds exactly one that is meant."""

    def __init__(self, words: Collection[str], *, tails: Collection[str]) -> None:
        """Keep the vocabulary.

        Args:
            words: Words that stand as they are, and that others may be meant for.
            tails: Words that may have run into the one before them.
        """
        self._words = frozenset(words)
        self._tails = frozenset(tails) & self._words
        self._mend = lru_cache(maxsize=1 << 14)(self._meant)

    def mend(self, tokens: Sequence[str]) -> list[str]:
        """Tokens with what was meant in place of slips.

        >>> slips = Slips({"guitar", "melody", "jazz", "music", "uplifting"}, tails={"music"})
        >>> slips.mend(["gutiar", "mellody", "uplifitng", "jazzmusic", "guitarra"])
        ['guitar', 'melody', 'uplifting', 'jazz', 'music', 'guitarra']
        """
        return [part for token in tokens for part in self._mend(token)]

    def _meant(self, word: str) -> tuple[str, ...]:
        if word in self._words or len(word) < _LEAST or not word.isalpha():
            return (word,)
        meant = sorted(_slips(word) & self._words)
        if len(meant) == 1:
            return (meant[0],)
        parts = [(word[:at], word[at:]) for at in range(_PART, len(word) - _PART + 1)]
        parts = [(head, tail) for head, tail in parts if head in self._words and tail in self._tails]
        return parts[0] if len(parts) == 1 else (word,)


def _slips(word: str) -> set[str]:
    """A word with two neighbouring letters swapped, a letter doubled, or one of two equal letters left out."""
    swapped = {word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(len(word) - 1)}
    doubled = {word[:at] + word[at] + word[at:] for at in range(len(word))}
    single = {word[:at] + word[at + 1 :] for at in range(len(word) - 1) if word[at] == word[at + 1]}
    return swapped | doubled | single
