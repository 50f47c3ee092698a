"""Phrases in text: tokens that ignore plural and spelling, longest first; negation, comparison, coordination."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

Phrases = dict[tuple[str, ...], tuple[str, ...]]
"""Token tuple to the tags that it asserts; no tags for a phrase that only stands in the way of shorter ones."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_TOKEN = re.compile(r"\d+/\d+|[a-z0-9]+|[,.;:!?()\[\]\"]")
_KEPT_PLURALS = frozenset({"blues", "keys", "strings", "lyrics", "always", "less", "this", "its"})
NEGATORS = frozenset("no not without lack lacking never nor neither non minus devoid isnt arent doesnt dont".split())
_NOT_NEGATING = frozenset({"only", "just", "merely", "stop", "too", "quite", "long", "longer", "tuned"})
_BREAKERS = frozenset(
    "but only just with while although though instead yet except however which that is are play feature featuring "
    "accompanied over so because making leaving apart".split()
)
_ARTICLES = frozenset({"a", "an", "the", "there", "it", "this", "some", "then", "has", "have"})
_PREPOSITIONS = frozenset("in on of to by at for from into over under beneath behind through".split())
_STOPS = frozenset('.;:!?()[]"')
_APART = _STOPS | _BREAKERS | NEGATORS | _ARTICLES | _PREPOSITIONS  # what does not stand inside one thing's name
_LISTING = frozenset({"and", "or", ",", "like"})
_SEXES = frozenset({"male", "female"})
_VOICES = frozenset("voice vocal singer vocalist singing".split())
_NO_SINGERS = frozenset({"child", "rapper"})
_CHILDREN = frozenset({"child", "kid", "boy"})  # whose sex is no grown singer's: "female children's choir"
_REACH = 4  # words between "male" and its "voice", or between "like a" and what something is like
_SEEMING = frozenset("sound sounding feel seem almost much something played".split())  # before "like"
_LIKENESSES = (("similar", "to"), ("resembling",), ("reminiscent", "of"), ("imitating",), ("mimicking",), ("as", "if"))
_EXCEPTIONS = (("except",), ("besides",), ("other", "than"), ("apart", "from"), ("aside", "from"), ("save", "for"))


def sentences(text: str) -> list[str]:
    """The sentences of a text, without those that are empty.

    >>> sentences(" Stop! Is it slow?  Yes, 3.5 times. ")
    ['Stop!', 'Is it slow?', 'Yes, 3.5 times.']
    """
    return [sentence for sentence in _SENTENCE.split(text.strip()) if sentence]


def tokenise(text: str, spelling: Mapping[str, Sequence[str]]) -> list[str]:
    """Lower-case words in the singular, metres such as ``3/4``, and the marks that end a clause.

    Args:
        text: Any text; accents, apostrophes and hyphens do not count, ``&`` is "and".
        spelling: Words to put in place of a word.

    >>> tokenise("Hi-Hats & synthesisers in 3/4, don't they?", {})
    ['hi', 'hat', 'and', 'synthesizer', 'in', '3/4', ',', 'dont', 'they', '?']
    """
    plain = unicodedata.normalize("NFKD", text.lower().replace("’", "'").replace("&", " and "))
    plain = re.sub(r"-less\b", " free", plain)
    plain = re.sub(r"n't\b", "nt", plain).replace("'n'", " n ")
    plain = re.sub(r"'s\b", "", plain).replace("'", "")
    tokens: list[str] = []
    for word in _TOKEN.findall(plain.encode("ascii", "ignore").decode()):
        corrected = spelling.get(word) or spelling.get(_singular(word)) or (word,)
        tokens += [_singular(part) for part in corrected]
    return tokens


class PhraseFinder:
    """Finds the tags that tokens assert: leftmost longest phrases, none that is negated or only compared with.

    "male" belongs to the voice that follows within four words, "female and male voice" are two, and a phrase for what
    sings with a sex in it ("harmonizing female") asserts that sex's voice too; an instrument that "sings" is no voice;
    "no vocals except humming" does not say that there are none.

    In an aspect, which names one thing in few words, more counts: other adjectives of a voice ("background male
    vocal"), the sex of a choir or of what else sings ("female background shouts"), words that qualify what follows
    ("latin brass", "soft low strings"), and what the aspect ends in ("soft keys").
    """

    def __init__(
        self,
        phrases: Phrases,
        *,
        comparable: frozenset[str],
        voices: frozenset[str] = frozenset(),
        before_nouns: Phrases | None = None,
        qualifiers: Phrases | None = None,
        qualities: Phrases | None = None,
        heads: Phrases | None = None,
    ) -> None:
        """Index the phrases.

        Args:
            phrases: Token tuples and their tags.
            comparable: Tags that "-like" or "like a" takes back: "flute like" is no flute, "trance like" is hypnotic.
            voices: Those of them that sing.
            before_nouns: Phrases whose last token may begin another one ("dark sound", "sound effect").
            qualifiers: For aspects: words that assert their tags right before a phrase; None for sentences.
            qualities: For aspects: those that do so with one word between, too.
            heads: For aspects: words that assert their tags at the very end.
        """
        self._led = (before_nouns or {}).keys() - phrases.keys()
        phrases = (before_nouns or {}) | phrases
        self._phrases = {phrase: (*tags, *_sexes(phrase, tags, phrases, voices)) for phrase, tags in phrases.items()}
        self._comparable = comparable
        self._voices, self._silent = voices, comparable - voices
        self._of_aspects = qualifiers is not None
        self._qualities, self._heads = qualities or {}, heads or {}
        self._qualifiers = (qualifiers or {}) | self._qualities
        self._longest: dict[str, int] = {}
        for phrase in (*phrases, *self._qualifiers):
            self._longest[phrase[0]] = max(len(phrase), self._longest.get(phrase[0], 0))

    def find(self, tokens: Sequence[str]) -> set[str]:
        """Tags asserted by tokens of ``tokenise``; "no <phrase>", where it is a phrase itself, also behind "or"."""
        found: set[str] = set()
        negated, place, likened = False, 0, -1
        before: tuple[str, ...] = ()  # tags of the phrase that ends here
        while place < len(tokens):
            negated = negated and tokens[place] not in NEGATORS and not _ends_negation(tokens, place)
            size, tags = self._longest_phrase(tokens, place)
            likened = -1 if tokens[place] in _STOPS else place + _REACH if _likens(tokens, place) else likened
            if not size and not negated and (self._of_aspects or tokens[place] in _SEXES):
                found.update(self._voice_of(tokens, place))
                if place > likened:
                    found.update(self._qualified(tokens, place), self._heads.get(tuple(tokens[place:]), ()))
            if size:
                after = tokens[place + size : place + size + 2]
                if negated or _denied_behind(after):
                    tags = self._phrases.get(("no", *tokens[place : place + size]), ())
                    tags = () if _excepted(tokens[place + size :]) else tags
                elif tokens[place] == "sing" and set(before) & self._silent:
                    tags = ()
                elif tokens[place] in NEGATORS and _excepted(tokens[place + size :]):
                    tags = ()
                elif tags and place <= likened:
                    tags, likened = tuple(tag for tag in tags if tag not in self._comparable), -1
                elif after[:1] == ["like"]:
                    tags = tuple(tag for tag in tags if tag not in self._comparable)
                found.update(tags)
            following = tokens[place + 1] if place + 1 < len(tokens) else ""
            negated = negated or (tokens[place] in NEGATORS and following not in _NOT_NEGATING)
            before = tags if size else ()
            place += max(size - (tuple(tokens[place : place + size]) in self._led), 1)
        return found

    def _voice_of(self, tokens: Sequence[str], place: int) -> tuple[str, ...]:
        """Tags of a word and the next voice, where between stand only its other adjectives, or the other sex."""
        sex, sings = tokens[place] in _SEXES, _VOICES | {"choir"} if self._of_aspects else _VOICES
        for at, token in enumerate(tokens[place + 1 : place + 1 + _REACH], place + 1):
            if token in sings:
                return self._phrases.get((tokens[place], token), ())
            child = sex and self._of_aspects and token in _CHILDREN and tokens[at - 1] not in _LISTING
            if child or token in _APART:
                break
            said = {*self._longest_phrase(tokens, at)[1]}
            if sex and self._of_aspects and said & self._voices and token not in _NO_SINGERS:
                return self._phrases.get((tokens[place], "vocal"), ())
            if not sex and (token in _LISTING or self._silent & said):
                break
        return ()

    def _qualified(self, tokens: Sequence[str], place: int) -> tuple[str, ...]:
        """Tags of a word that qualifies what sounds behind it; of a quality, one word may stand between."""
        for size in range(self._longest.get(tokens[place], 0), 0, -1):
            word = tuple(tokens[place : place + size])
            tags = self._qualifiers.get(word, ())
            if tags and place + size < len(tokens):
                at = place + size
                between = word in self._qualities and tokens[at] not in _APART | _LISTING | {"up"}
                at += between and not self._longest_phrase(tokens, at)[0] and at + 1 < len(tokens)
                long, behind = self._longest_phrase(tokens, at)
                return tags if behind and not _denied_behind(tokens[at + long : at + long + 2]) else ()
        return ()

    def _longest_phrase(self, tokens: Sequence[str], place: int) -> tuple[int, tuple[str, ...]]:
        for size in range(min(self._longest.get(tokens[place], 0), len(tokens) - place), 0, -1):
            tags = self._phrases.get(tuple(tokens[place : place + size]))
            if tags is not None:
                return size, tags
        return 0, ()


def _sexes(phrase: Sequence[str], tags: Sequence[str], phrases: Phrases, voices: frozenset[str]) -> list[str]:
    """Tags of the voices of the sexes in a phrase for grown singers, but for those that it asserts already."""
    if voices.isdisjoint(tags) or not _NO_SINGERS.isdisjoint(phrase):
        return []
    told = [
        tag for sex in phrase if sex in _SEXES for voice in sorted(_VOICES) for tag in phrases.get((sex, voice), ())
    ]
    return [tag for tag in dict.fromkeys(told) if tag not in tags]


def _likens(tokens: Sequence[str], place: int) -> bool:
    """Whether something is only compared with what follows: "like a flute", "sounds like bells"."""
    if tokens[place] == "like":
        listed = tokens[max(place - 1, 0)] in ("instrument", "genre", "effect", "style")
        article = place + 1 < len(tokens) and tokens[place + 1] in ("a", "an", "the")
        return not listed and (article or tokens[max(place - 1, 0)] in _SEEMING)
    return any(tuple(tokens[place : place + len(words)]) == words for words in _LIKENESSES)


def _excepted(after: Sequence[str]) -> bool:
    """Whether what is denied has an exception behind it."""
    return any(tuple(after[: len(words)]) == words for words in _EXCEPTIONS)


def _ends_negation(tokens: Sequence[str], place: int) -> bool:
    token = tokens[place]
    if token == "and":
        return place + 1 < len(tokens) and tokens[place + 1] in _ARTICLES
    if token != ",":
        return token in _STOPS or token in _BREAKERS
    for later in tokens[place + 1 :]:  # a comma goes on with a list that ends in "or"
        if later in ("or", "nor"):
            return False
        if later in _STOPS | _BREAKERS | _ARTICLES | NEGATORS:
            return True
    return True


@lru_cache(maxsize=1 << 14)
def _singular(word: str) -> str:
    """A word without its plural ending, with -ize for -ise; the same on both sides of a comparison."""
    word = re.sub(r"is(ation|ing|er|ed)(s?)$", r"iz\1\2", word) if len(word) > 6 else word
    if len(word) < 4 or word in _KEPT_PLURALS or word.endswith(("ss", "us", "is")) or not word.endswith("s"):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "shes", "ches", "xes", "zes")) else word[:-1]


def _denied_behind(after: Sequence[str]) -> bool:
    """Whether the words behind a phrase take it back: "vocals are absent", "drum free"."""
    absent = ("absent", "missing")
    return after[:1] == ["free"] or after[:1] == ["absent"] or (len(after) == 2 and after[1] in absent)
