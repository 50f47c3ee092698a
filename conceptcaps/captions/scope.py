"""What governs a word in a parsed sentence: whether it is denied, only supposed or only compared with something."""

from collections.abc import Iterator, Sequence
from itertools import takewhile

from spacy.tokens import Token

_SUPPOSING = frozenset("could would might may should can".split())
_DENYING_VERBS = frozenset("lack omit exclude avoid miss forgo eschew".split())
_DENYING_NOUNS = frozenset("absence lack".split())
_DENYING_HEADS = frozenset("without minus sans devoid lacking nothing none".split())
_NEW_START = frozenset("a an the but just only with and".split())
_WISHING = frozenset("imagine expect hope wish".split())
_DENYING = frozenset("no without neither nor minus sans not n't never none nothing devoid free hardly barely".split())
_SOUNDING = frozenset(
    "add appear be bring carry come contain contribute do employ enter exist feature find get have hear hold include "
    "involve join need occur offer play possess present require sing sound take use".split()
)
_THERE = frozenset("absent audible available evident heard here included involved missing present there used".split())
_TRACES = frozenset("bit form hint kind presence sign sort sound trace type use".split())
_ARGUMENTS = ("nsubj", "nsubjpass", "dobj")
_COMPARING = frozenset("resemble imitate mimic evoke emulate suggest recall".split())
_SUITED = frozenset("suitable ideal perfect fit suit fitting appropriate good great".split())
_DENYING_BEFORE = (
    "no",
    "without",
    "nor",
    "neither",
    "rather than",
    "instead of",
    "free of",
    "devoid of",
    "in place of",
)
_PLACING = frozenset("at in on".split())
_PHRASE_WORDS = ("NOUN", "PROPN", "ADJ", "ADV")


def _path(token: Token) -> Iterator[tuple[Token, Token]]:
    """A token and what governs it up to the verb of its clause, each with the one below it.

    A contrast ("but a happy one") and what is known already ("in this song") are out of reach of what governs them.
    """
    below = token
    while True:
        yield token, below
        last = token.pos_ in ("VERB", "AUX") and token.dep_ not in ("xcomp", "acl", "pcomp", "ccomp")
        known = token.dep_ == "pobj" and any(child.lower_ in ("this", "the", "its") for child in token.lefts)
        contrast = token.dep_ == "conj" and any(word.lower_ in ("but", "just", "only") for word in token.head.children)
        if token.head == token or last or known or contrast:
            return
        below, token = token, token.head


def _under_subject(above: Token, below: Token) -> bool:
    return below.dep_ in ("nsubj", "nsubjpass") and below != above


def _is_there(verb: Token) -> bool:
    """Whether a verb says no more of a thing than that it sounds: "plays", "is there"; not "stops", "is loud"."""
    said = [child for child in verb.children if child.dep_ in ("acomp", "attr", "oprd")]
    subject = all(child.dep_ != "expl" for child in verb.children)
    return verb.lemma_ in _SOUNDING and not (subject and any(child.lower_ not in _THERE for child in said))


def denied(token: Token) -> bool:
    """Whether a negation governs a token: before it, over its verb or at the head of its list."""
    for above, below in _path(token):
        outside = above != token
        if outside and (above.lower_ in _DENYING_HEADS or above.lemma_ in _DENYING_NOUNS):
            return not any(child.lower_ in ("doubt", "question") for child in above.children)
        if outside and above.lemma_ in _DENYING_VERBS:
            missing = above.lower_ == "missing" and not any(child.dep_ == "dobj" for child in above.children)
            if missing or not _under_subject(above, below):
                return True
        stays = below != above and below.dep_ in _ARGUMENTS and not _is_there(above)
        for child in above.children:
            last = child.i + 1 == len(child.doc)
            real = child.lower_ in _DENYING and (last or child.nbor().lower_ not in ("only", "just"))
            if (
                real
                and not (stays and child.dep_ == "neg")
                and (child.i < token.i or child.dep_ == "neg")
                and child.dep_ in ("det", "neg", "preconj", "advmod", "cc")
            ):
                trace = above.lemma_ in _TRACES and any(part.lower_ == "of" for part in above.rights)
                if not outside or above.pos_ in ("VERB", "AUX", "ADJ") or trace or _same_list(token, above):
                    return True
            if child.lower_ in ("absent", "missing") and child.i > token.i:
                return True
    after = token.nbor() if token.i + 1 < len(token.doc) else None
    return (after is not None and after.lower_ == "free") or _behind(token, _DENYING_BEFORE)


def _same_list(token: Token, above: Token) -> bool:
    """Whether two nouns stand in one list without an article between: "no drums or bass"."""
    between = token.doc[min(above.i, token.i) + 1 : token.i + 1]
    return token in above.conjuncts and not any(word.lower_ in _NEW_START for word in between)


def _behind(token: Token, triggers: Sequence[str]) -> bool:
    """Whether only words of one phrase or list stand between a trigger and a token: what parsers miss."""
    words = [word.lower_ for word in token.doc[token.sent.start : token.i]]
    listed = any(word.lower_ in ("or", "nor") for word in token.doc[token.i - 1 if token.i else 0 : token.i + 5])
    for place in range(len(words) - 1, max(-1, len(words) - 9), -1):
        text = " ".join(words[: place + 1])
        if any(text == trigger or text.endswith(f" {trigger}") for trigger in triggers):
            return words[place + 1 : place + 3] != ["a", "doubt"] and words[place - 1] != "-"
        word = token.doc[token.sent.start + place]
        if word.lower_ in ("or", "nor") or (word.lower_ == "," and listed):
            continue
        if word.lower_ in _NEW_START - {"a", "an", "the"} or word.pos_ not in (*_PHRASE_WORDS, "DET"):
            return False
        if word.lower_ in ("a", "an", "the") and place + 1 < len(words) - 2:
            return False
    return False


def supposed(token: Token) -> bool:
    """Whether a token stands in what might be: "could", "as if", "if", "suitable for"; not what is so described."""
    for above, below in _path(token):
        if _under_subject(above, below) and any(
            child.lower_ in ("the", "this", "its", "her", "his") for child in below.lefts
        ):
            return False
        auxiliaries = [child for child in above.children if child.dep_ == "aux" and child.lower_ in _SUPPOSING]
        if any(not _hears(auxiliary, token) for auxiliary in auxiliaries):
            return True
        if any(child.dep_ == "mark" and child.lower_ in ("if", "whether") for child in above.children):
            return True
        if above != token and ((above.lemma_ in _SUITED and above.pos_ == "ADJ") or above.lemma_ in _WISHING):
            return True
    before = token.doc[token.sent.start : token.i]
    text = " ".join(word.lower_ for word in before)
    might = any(word.lower_ in _SUPPOSING and not _hears(word, token) for word in before)
    return might or " as if " in f" {text} " or "as though" in text


def _hears(can: Token, token: Token) -> bool:
    """Whether "can" says that a token sounds: "a flute can be heard", not where: "it can be heard in salsa clubs"."""
    below = takewhile(lambda word: word != can.head, (token, *token.ancestors))
    place = any(word.lower_ in _PLACING and word.head.pos_ == "VERB" for word in below)
    return can.lower_ == "can" and can.head.lemma_ == "hear" and not place


def compared(token: Token) -> bool:
    """Whether a token is only what something is compared with: "like a flute", "flute-like", "reminiscent of"."""
    following = token.doc[token.i + 1 : token.i + 3]
    words = [word.lower_ for word in following]
    if words == ["-", "like"] or (words[:1] == ["like"] and not list(following[0].rights)):
        return True
    for above, below in _path(token):
        likened = above.lemma_ in _COMPARING and not _under_subject(above, below)
        if above != token and (likened or above.lower_ in ("like", "reminiscent", "similar", "unlike")):
            return True
    near = [word.lower_ for word in token.doc[max(token.sent.start, token.i - 5) : token.i]]
    return (near.count("as") > 1 and "well" not in near) or _behind(token, ("like", "unlike"))


def specific(token: Token) -> bool:
    """Whether "no" belongs to one sort of a thing only: "no female vocals" leaves others."""
    return any(
        child.dep_ == "amod" and child.lower_ not in ("other", "any", "human", "live") for child in token.children
    )
