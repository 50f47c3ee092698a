"""A second reading of what a caption mentions: by the parse of its sentences and by sentence embeddings.

It shares neither code nor words with the taxonomy's matcher, which helps to write captions, so that it may judge them.
What is negated, supposed or only compared is no mention: "no piano", "it could hold a piano", "like a piano".

References:
    Honnibal and Johnson, An improved non-monotonic transition system for dependency parsing (2015), as in spaCy's
    en_core_web_sm 3.8; Reimers and Gurevych, Sentence-BERT (2019), arXiv 1908.10084.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import spacy
import yaml
from spacy.language import Language
from spacy.tokens import Doc, Token

from conceptcaps.captions import metrics, scope
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets

_CHUNK = 1024  # texts whose parses are held at once
TABLE = Path(__file__).with_suffix(".yaml")
_MODIFIERS = frozenset("amod compound nmod poss nummod advmod npadvmod quantmod".split())
_LINKS = frozenset("be sound feel remain stay seem keep".split())
_NOUNS = ("NOUN", "PROPN")
_DESCRIBING = ("NOUN", "PROPN", "ADJ", "ADV")


class Reading(NamedTuple):
    """What a text says.

    Attributes:
        mentioned: Tags that it asserts, sorted.
        denied: Tags that it names only to say that they are not there, sorted.
    """

    mentioned: list[str]
    denied: list[str]


class MentionReader:
    """Reads texts with a parser, words of ``mentions.yaml`` and, for phrases without any of them, embeddings.

    Attributes:
        readable: Tags of the taxonomy that it has words for; of others it says nothing that may be relied on.
    """

    def __init__(self, taxonomy: Taxonomy, *, similarity: float = 0.72) -> None:
        """Load parser and encoder, both embedded assets.

        Args:
            taxonomy: Its tags and their definitions.
            similarity: Cosine from which a phrase without a known word counts as the tag whose definition is nearest;
                above 1 none does. From 0.72 on MiniLM finds "exhilarating"; at 0.69 it takes "subtle" for mysterious.
        """
        table = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
        self._taxonomy = taxonomy
        self.readable: frozenset[str] = frozenset(taxonomy.tags) & table["tags"].keys()
        self._parser = _parser()
        self._music = frozenset(table["music"])
        self._fixed = [(re.compile(rf"\b(?:{key})(?!\w)", re.IGNORECASE), word) for key, word in table["fixed"].items()]
        self._absent: dict[str, str] = table["absent"]
        self._by_head: dict[str, list[tuple[tuple[str, ...], str, str]]] = defaultdict(list)
        for tag, kinds in table["tags"].items():
            for kind, patterns in kinds.items():
                for pattern in patterns if tag in taxonomy.tags else ():
                    *others, head = pattern.replace(">", " > ").split()
                    self._by_head[head].append((tuple(others), kind, tag))
        self._similarity = similarity
        self._near: dict[str, tuple[str, ...]] = {}

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """What each text mentions and denies; in order."""
        readings: list[Reading] = []
        for start in range(0, len(texts), _CHUNK):
            joined = map(self._joined, texts[start : start + _CHUNK])
            docs = list(self._parser.pipe(joined, batch_size=64))
            self._learn({token.lower_ for doc in docs for token in doc if self._unknown(token)})
            readings += map(self._read, docs)
        return readings

    # --- one text ---

    def _joined(self, text: str) -> str:
        plain = " ".join(text.replace("’", "'").split())
        for pattern, word in self._fixed:
            plain = pattern.sub(word, plain)
        return re.sub(r"(?<=[a-z])[-](?!like\b)(?=[a-z])", " ", plain)

    def _read(self, doc: Doc) -> Reading:
        named: dict[int, set[str]] = {}
        used: set[int] = set()  # by a longer phrase: no "string" in "a nylon-string guitar"
        for token in doc:
            tags, others = self._named(token)
            named[token.i] = tags
            used |= others
        mentioned: set[str] = set()
        denied: set[str] = set()
        for token in doc:
            tags = named[token.i]
            if (
                not tags
                or token.i in used
                or self._qualifies(token, named)
                or scope.compared(token)
                or scope.supposed(token)
            ):
                continue
            if scope.denied(token):
                denied |= tags
                mentioned |= {self._absent[tag] for tag in tags if tag in self._absent and not scope.specific(token)}
            else:
                mentioned |= tags
        return Reading(sorted(mentioned & set(self._taxonomy.tags)), sorted(denied - mentioned))

    def _qualifies(self, token: Token, named: dict[int, set[str]]) -> bool:
        """Whether an instrument only says which sort another one is: the bass of a bass clarinet."""

        def instruments(tags: set[str]) -> bool:
            return bool(tags) and all(self._taxonomy.category(tag) == "instrument" for tag in tags)

        head = token.head
        near = token.dep_ in ("compound", "nmod", "amod") and 0 < head.i - token.i <= 2
        return near and instruments(named[token.i]) and instruments(named[head.i]) and not named[head.i] & {"vocals"}

    def _named(self, token: Token) -> tuple[set[str], set[int]]:
        """Tags that a token heads a phrase of, the longest phrases only; and the other words of those."""
        found: list[tuple[int, str, frozenset[int]]] = []
        modifiers: dict[str, int] | None = None
        for form in {token.lemma_.lower(), token.lower_, _singular(token.lower_)}:
            for others, kind, tag in self._by_head.get(form, ()):
                if kind == "verb":
                    if token.pos_ in ("VERB", "AUX") and token.dep_ != "amod" and self._has_subject(token, others):
                        found.append((len(others), tag, frozenset()))
                elif others:
                    modifiers = _modifier_forms(token) if modifiers is None else modifiers
                    if modifiers.keys() >= set(others):
                        found.append((len(others), tag, frozenset(modifiers[other] for other in others)))
                elif (kind == "noun" and _is_name(token)) or (kind == "adj" and _describes(token)):
                    found.append((0, tag, frozenset()))
                elif kind == "kind" and self._of_music(token):
                    found.append((0, tag, frozenset()))
        if not found and self._unknown(token):
            found += [(0, tag, frozenset()) for tag in self._near[token.lower_]]
        longest = max((size for size, _, _ in found), default=0)
        kept = [(tag, others) for size, tag, others in found if size == longest]
        return {tag for tag, _ in kept}, {place for _, others in kept for place in others}

    def _has_subject(self, verb: Token, others: tuple[str, ...]) -> bool:
        if not others:
            return True
        if others[-1] != ">":
            return any(form in others for child in verb.children for form in (child.lemma_.lower(), child.lower_))
        agents = [child for child in verb.children if child.dep_ in ("nsubj", "nsubjpass")]
        agents += [verb.head] if verb.dep_ in ("acl", "relcl", "pcomp", "advcl") else []
        agents += [other for agent in agents for other in agent.conjuncts]
        return any(others[0] in (agent.lemma_.lower(), *_modifier_forms(agent)) for agent in agents)

    def _of_music(self, token: Token) -> bool:
        """Whether a word of a kind of music is used as such, and not "house" or "rock" of something else."""
        head = token
        while head.dep_ in (*_MODIFIERS, "conj") and head.head != head:
            head = head.head
            if head.lemma_.lower() in self._music or head.lower_ in self._music:
                return True
        following = token.nbor() if token.i + 1 < len(token.doc) else None
        if following is not None and (following.lemma_.lower() in self._music or following.lower_ in self._music):
            return True
        if token.dep_ in ("attr", "acomp", "oprd") and token.head.lemma_ in _LINKS:
            return not any(child.dep_ == "det" for child in token.children)
        if token.pos_ == "ADJ" and any(other.pos_ == "ADJ" for other in token.conjuncts):
            return True
        siblings = [*token.conjuncts, *([token.head] if token.dep_ in _MODIFIERS else [])]
        return any(sibling.lemma_.lower() in self._music for sibling in siblings) or self._joined_with_kind(token)

    def _joined_with_kind(self, token: Token) -> bool:
        named = [pattern for other in token.conjuncts for pattern in self._by_head.get(other.lemma_.lower(), ())]
        return any(kind in ("kind", "noun") and self._taxonomy.category(tag) == "genre" for _, kind, tag in named)

    # --- what no list holds ---

    def _unknown(self, token: Token) -> bool:
        """Whether a token is an adjective that the table has not."""
        told = {token.lemma_.lower(), token.lower_} & self._by_head.keys()
        return not told and token.pos_ not in _NOUNS and _describes(token) and token.dep_ in ("amod", "acomp", "conj")

    def _learn(self, words: set[str]) -> None:
        """Find the mood whose definition is nearest to each new word, if it is near enough."""
        new = sorted(words - self._near.keys())
        if not new or self._similarity > 1:
            self._near |= dict.fromkeys(new, ())
            return
        moods = [tag for tag in self._taxonomy.tags if self._taxonomy.category(tag) == "mood"]
        texts = [f"{tag} music. {self._taxonomy.definition(tag)}" for tag in moods]
        vectors = metrics.embed([*texts, *(f"{word} music" for word in new)], model=str(assets.fetch("minilm")))
        cosines = vectors[len(texts) :] @ vectors[: len(texts)].T
        for word, row in zip(new, cosines, strict=True):
            self._near[word] = (moods[int(row.argmax())],) if moods and row.max() >= self._similarity else ()


@lru_cache(maxsize=1)
def _parser() -> Language:
    return spacy.load(assets.fetch("spacy_en"), exclude=["ner"])


def _is_name(token: Token) -> bool:
    """Whether a word stands for a thing: not "scratched" or "marches" as what somebody does."""
    if token.pos_ in ("VERB", "AUX"):
        if token.i and token.nbor(-1).pos_ == "DET":
            return True
        return token.tag_ in ("VBG", "VBN") and token.dep_ not in ("ROOT", "conj", "advcl", "relcl")
    return token.pos_ in (*_DESCRIBING, "X", "INTJ", "NUM")


def _describes(token: Token) -> bool:
    return token.pos_ in _DESCRIBING or token.tag_ in ("VBN", "VBG")


def _modifier_forms(head: Token) -> dict[str, int]:
    """Lower-case forms of all words that modify a noun, before it or behind "is", with their places."""
    return {form: word.i for word in _modifiers(head) for form in (word.lemma_.lower(), word.lower_)}


def _modifiers(head: Token) -> Iterator[Token]:
    for child in head.lefts:
        between = head.doc[child.i + 1 : head.i]
        if child.dep_ in _MODIFIERS and not (child.pos_ in _NOUNS and any(word.lower_ == "," for word in between)):
            yield from _spread(child)
    verb = head.head
    if head.dep_ in ("nsubj", "nsubjpass") and verb.lemma_ in _LINKS and not _negated(verb):
        for child in verb.rights:
            if child.dep_ in ("acomp", "attr", "oprd"):
                yield from _spread(child)
    before = head.nbor(-1) if head.i > head.sent.start else None  # the parser errs most on runs of nouns
    if before is not None and before.pos_ in (*_DESCRIBING, "VERB"):
        yield before


def _negated(verb: Token) -> bool:
    return any(child.dep_ == "neg" for child in verb.children)


def _spread(word: Token) -> Iterator[Token]:
    yield word
    for child in word.children:
        if child.dep_ in _MODIFIERS or (child.dep_ == "conj" and child.pos_ in (*_DESCRIBING, "VERB")):
            yield from _spread(child)


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
