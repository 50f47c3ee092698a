"""The little English that a grammar needs: agreement, participles, articles, lists."""

import re
from collections.abc import Sequence

_PLURALS = {"is": "are", "has": "have", "goes": "go", "does": "do", "lies": "lie", "ties": "tie", "dies": "die"}
_DOUBLING = re.compile(r"[^aeiou]*[aeiou][bdgmnprt]")
_SOUNDS_LIKE_YOU = re.compile(r"(?:uni|use|usu|uk|eu|one\b|u-)", re.IGNORECASE)
_VOWEL_SOUND = re.compile(r"(?:[aeiou]|8|R&B|11\b)", re.IGNORECASE)
_PROPER = re.compile(
    r"\b(?:african|afrobeat|american|arabic|bollywood|brazilian|celtic|chinese|christmas|cuban|hawaiian|indian|irish|"
    r"jamaican|japanese|latin|r&b|scottish|spanish)\b"
)


def inflect(phrase: str, *, plural: bool, participle: bool = False) -> str:
    """A verb phrase for its subject.

    Args:
        phrase: First a verb in the third person singular; verbs behind ``*`` are inflected too.
        plural: Whether the subject is; then "its" becomes "their".
        participle: Give the present participle instead, "is" left out.

    >>> inflect("carries the tune and *bends its notes", plural=True)
    'carry the tune and bend their notes'
    >>> inflect("lies low and *hums", plural=False, participle=True)
    'lying low and humming'
    """
    words = [
        _verb(word.removeprefix("*"), plural=plural, participle=participle) if not place or word[0] == "*" else word
        for place, word in enumerate(phrase.split())
    ]
    text = " ".join(word for word in words if word)
    return re.sub(r"\bits\b", "their", text) if plural else text


def _verb(word: str, *, plural: bool, participle: bool) -> str:
    if participle:
        return "" if word == "is" else _participle(_base(word))
    return _base(word) if plural else word


def _base(verb: str) -> str:
    if verb in _PLURALS:
        return _PLURALS[verb]
    if verb.endswith("ies"):
        return verb[:-3] + "y"
    return verb[:-2] if verb.endswith(("sses", "shes", "ches", "xes", "zzes")) else verb.removesuffix("s")


def _participle(base: str) -> str:
    if base == "have":
        return "having"
    if base.endswith("ie"):
        return base[:-2] + "ying"
    if base.endswith("e") and not base.endswith(("ee", "oe")):
        return base[:-1] + "ing"
    return f"{base}{base[-1]}ing" if _DOUBLING.fullmatch(base) else f"{base}ing"


def listed(phrases: Sequence[str]) -> str:
    """Phrases with commas and "and".

    >>> listed(["calm"]), listed(["calm", "sad", "slow"])
    ('calm', 'calm, sad and slow')
    """
    return phrases[0] if len(phrases) == 1 else f"{', '.join(phrases[:-1])} and {phrases[-1]}"


def indefinite(text: str) -> str:
    """Text with "a" or "an" as the word behind it sounds.

    >>> indefinite("a eerie tune, a ukulele and an R&B song, an happy one")
    'an eerie tune, a ukulele and an R&B song, a happy one'
    """

    def article(match: re.Match[str]) -> str:
        word = match[2]
        vowel = _VOWEL_SOUND.match(word) and not _SOUNDS_LIKE_YOU.match(word)
        return f"{match[1]}n {word}" if vowel else f"{match[1]} {word}"

    return re.sub(r"\b([Aa])n? (\S+)", article, text)


def proper(text: str) -> str:
    """Text whose proper names and adjectives have capitals.

    >>> proper("An indian tune with latin drums, r&b singing and Irish bagpipes.")
    'An Indian tune with Latin drums, R&B singing and Irish bagpipes.'
    """
    return _PROPER.sub(lambda match: "R&B" if match[0] == "r&b" else capital(match[0]), text)


def capital(text: str) -> str:
    """Text whose first letter is a capital; the rest stays."""
    return text[:1].upper() + text[1:]
