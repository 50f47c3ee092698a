"""How well a caption reads, by counts that need no model: words doubled inside a sentence, roles that make no sense."""

import re
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from nltk.stem.porter import PorterStemmer

from conceptcaps.tags.phrases import sentences

TABLE = Path(__file__).with_suffix(".yaml")
_WORD = re.compile(r"[a-z0-9&]+(?:['’-][a-z0-9&]+)*")
_STEMMER = PorterStemmer()
_EMPTY = frozenset(
    "a about above across after again all along also always an and another any are around as at away back be been "
    "before behind being below beneath between both but by can each either else even every few first for from fully "
    "further get gets give gives go goes had has have he her here him his how i if in into is it its itself just keep "
    "keeps kind last least less like made make makes many may more most much never next no nor not now of off on once "
    "one only onto or other others our out over own part per quite rather s same she so some something sort still such "
    "t than that the their them then there these they this those through throughout to together too top toward towards "
    "two under underneath until up upon us very was we well were what when where which while who whole with within "
    "without yet you your somewhat three four features featuring featured style music sound sounds sounding".split()
)
_PIECE = frozenset("piece tune song track number composition feel mood tempo pace".split())
_JOINED = re.compile(r"drum and bass|rock and roll|rock n roll|call and response")
_PARALLEL = re.compile(r"\b(\w+)(?: (?:by|after|to|(?<=er )and|(?<=round )and) \1\b)")  # "louder and louder"


def doubled_words(text: str) -> list[str]:
    """Content words that stand twice in one sentence under the same stem, in order of their second place.

    Short words, names such as "drum and bass" and pairs such as "step by step" do not count.

    >>> doubled_words("A soft guitar and two guitars. A guitar."), doubled_words("Drums grow step by step.")
    (['guitars'], [])
    >>> doubled_words("It grows louder and louder."), doubled_words("It is sad and sad.")
    ([], ['sad'])
    """
    found: list[str] = []
    for sentence in sentences(text):
        plain = _JOINED.sub(" ", _PARALLEL.sub(r"\1", sentence.lower()))
        seen: set[str] = set()
        for word in re.split(r"-|\s+", " ".join(_WORD.findall(plain))):
            if word in _EMPTY or len(word) < 3 or word[0].isdigit():
                continue
            if _stem(word) in seen:
                found.append(word)
            seen.add(_stem(word))
    return found


def phrases(text: str) -> set[tuple[str, ...]]:
    """Runs of three words inside its sentences that tell something: not "the tune is", but "plays the hook".

    >>> sorted(phrases("The tune is slow. A flute plays."))
    [('a', 'flute', 'plays'), ('tune', 'is', 'slow')]
    """
    lines = [_WORD.findall(sentence.lower()) for sentence in sentences(text)]
    runs = {run for words in lines for run in zip(words, words[1:], words[2:], strict=False)}
    return {run for run in runs if not set(run) <= _EMPTY | _PIECE}


def role_faults(text: str) -> list[str]:
    """Roles that make no sense in a caption: the faults of ``readability.yaml`` that it shows.

    >>> role_faults("A cymbal plays the chords. A harp plays the melody.")
    ['percussion without pitch has the tune']
    """
    plain = [" ".join(sentence.lower().split()) for sentence in sentences(text)]
    return [name for name, pattern in _role_patterns().items() if any(map(pattern.search, plain))]


def parts(text: str) -> Counter[str]:
    """How often a text tells who does what one alone should do, by the ``parts`` of ``readability.yaml``.

    >>> parts("A flute carries the melody. A harp fills in the harmony. A violin takes the tune.")
    Counter({'tune': 2, 'harmony': 1})
    """
    plain = " ".join(text.lower().split())
    found = {name: len(pattern.findall(plain)) for name, pattern in _part_patterns().items()}
    return Counter({name: count for name, count in found.items() if count})


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return content


@lru_cache(maxsize=1)
def _part_patterns() -> dict[str, re.Pattern[str]]:
    return {name: re.compile(rf"\b(?:{pattern})\b") for name, pattern in _table()["parts"].items()}


@lru_cache(maxsize=1)
def _role_patterns() -> dict[str, re.Pattern[str]]:
    table = _table()
    groups = {name: f"(?:{words})" for name, words in table["words"].items()}
    groups["tune"] = f"(?:{groups['filler']} )*{groups['tune']}"

    def compiled(parts: list[str]) -> re.Pattern[str]:
        named = [re.sub(r"\{([a-z_]+)\}", lambda match: groups[match[1]], part) for part in parts]
        return re.compile("|".join(rf"\b{part}\b" for part in named))

    return {name: compiled(parts) for name, parts in table["faults"].items()}


@lru_cache(maxsize=1 << 14)
def _stem(word: str) -> str:
    return _STEMMER.stem(word)
