"""Tags that free text asserts: a finder for sentences, and one for aspects, which name one thing in few words."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from conceptcaps.errors import InputError
from conceptcaps.tags.phrases import NEGATORS, PhraseFinder, Phrases, tokenise
from conceptcaps.tags.slips import Slips


class Matcher:
    """Compiled from the entries of a taxonomy: names, aliases, words that count under conditions."""

    def __init__(self, content: Mapping[str, Any], *, ancestors: Mapping[str, tuple[str, ...]]) -> None:
        """Compile.

        Args:
            content: Content of a taxonomy's file.
            ancestors: Of every tag, the nearest first.

        Raises:
            InputError: If a tag or phrase has no letter and no digit.
        """
        self._spelling = {key: tuple(value.split()) for key, value in (content.get("spelling") or {}).items()}
        entries = {entry["name"]: entry for entry in content["tags"]}
        self._ancestors = ancestors
        self._whole = self._table(entries, "bare")
        nouns = [self._phrase(noun)[0] for noun in content.get("music_nouns") or []]
        plain = {self._phrase(word) for word in content.get("not_qualifying") or []}
        named, sounds = (
            {tag: entry for tag, entry in entries.items() if entry["category"] == category}
            for category in ("genre", "instrument")
        )
        kinds: Phrases = {self._phrase(form): (tag,) for tag in named for form in (tag, *named[tag].get("aliases", []))}
        kinds |= {self._phrase(noun): (tag,) for tag, entry in entries.items() for noun in entry.get("noun", [])}
        phrases: Phrases = {}
        for tag, entry in entries.items():
            for phrase in self._forms(entry):
                phrases[phrase] = (*phrases.get(phrase, ()), tag)
        phrases |= {self._phrase(form): () for form in content.get("ignored") or []}
        kinds |= {form: phrases[form] for form in kinds if phrases.get(form)}
        for word, tags in self._whole.items():
            if any(entries[tag]["category"] in ("mood", "tempo") for tag in tags):  # "slow jazz" says both
                phrases = {(*word, *form): (*tags, *of) for form, of in kinds.items()} | phrases
        shared: dict[str, Any] = {
            "comparable": frozenset(sounds),
            "voices": frozenset(tag for tag in entries if "vocals" in (tag, *ancestors[tag])),
        }
        before_nouns = {(*word, noun): tags for word, tags in self._whole.items() for noun in nouns}
        self._sentences = PhraseFinder(phrases, before_nouns=before_nouns, **shared)
        kind_words = self._table(named, "bare")
        qualifiers = {word: tags for word, tags in kind_words.items() if word not in plain}
        qualities = self._table(entries, "qualifying")
        kind_nouns = [self._phrase(noun) for noun in content.get("kind_nouns") or []]
        before_nouns |= {(*word, *noun): tags for word, tags in kind_words.items() for noun in kind_nouns}
        more = self._table(entries, "in_aspects")
        phrases = phrases | {form: (*phrases.get(form, ()), *tags) for form, tags in more.items()}
        self._aspects = PhraseFinder(
            phrases,
            before_nouns=before_nouns,
            qualifiers=qualifiers,
            qualities=qualities,
            heads=self._table(sounds, "bare"),
            **shared,
        )
        self._slips = Slips([*phrases, *self._whole, *qualities, *qualifiers, *before_nouns], tails=nouns)
        self.match = lru_cache(maxsize=1 << 16)(self._match)
        self.find = lru_cache(maxsize=1 << 12)(self._find)

    def _find(self, text: str) -> tuple[str, ...]:
        """Tags that sentences assert, sorted."""
        return tuple(sorted(self._sentences.find(self._tokens(text))))

    def _match(self, aspect: str, *, mended: bool = True) -> tuple[str, ...]:
        """Tags that an aspect asserts, slips mended or not, sorted; of a tag and its ancestor the tag alone."""

        def tokens_of(text: str) -> list[str]:
            return self._slips.mend(self._tokens(text)) if mended else self._tokens(text)

        tokens = tokens_of(aspect)
        found = {*self._whole.get(tuple(tokens), ())}
        if not found:
            found = self._aspects.find(tokens)
            if "/" in aspect and NEGATORS.isdisjoint(tokens):  # "hindi/pop"
                found.update(*(self._whole.get(tuple(tokens_of(part)), ()) for part in aspect.split("/")))
        return tuple(sorted(found - {above for tag in found for above in self._ancestors[tag]}))

    def _table(self, entries: Mapping[str, Mapping[str, Any]], key: str) -> Phrases:
        """The tags of each phrase that stands under a key of an entry."""
        table: Phrases = {}
        for tag, entry in entries.items():
            for word in dict.fromkeys(self._phrase(word) for word in entry.get(key, [])):
                table[word] = (*table.get(word, ()), tag)
        return table

    def _forms(self, entry: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
        """Phrases that assert a tag wherever they stand."""
        bare = {self._phrase(word) for word in entry.get("bare", [])}
        forms = dict.fromkeys(self._phrase(form) for form in (entry["name"], *entry.get("aliases", [])))
        return [phrase for phrase in forms if phrase not in bare]

    def _phrase(self, text: str) -> tuple[str, ...]:
        tokens = tuple(self._tokens(text))
        if not tokens:
            raise InputError(f"expected tags and phrases with latin letters or digits, got {text!r}")
        return tokens

    def _tokens(self, text: str) -> list[str]:
        return tokenise(text, self._spelling)
