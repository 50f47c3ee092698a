"""Which of several candidates for a sentence to keep: the one whose faults weigh least, then the likeliest.

What speaks against one is counted by cheap measures; what judges captions in the end is another instrument
(``evaluate_captions``).
"""

import re
from collections.abc import Callable, Collection, Sequence

from conceptcaps.captions import caption_corpus, casting, english, readability
from conceptcaps.captions.decoding import Answer
from conceptcaps.captions.idiom import Idiom
from conceptcaps.captions.planning import Plan
from conceptcaps.tags import phrases
from conceptcaps.tags.taxonomy import Taxonomy

_WEIGHTS = {"cut": 5, "denied": 5, "doubled": 4, "role": 4, "supposed": 3, "invented": 3, "alone": 3, "shared": 3}
_WEIGHTS |= {"missed": 3, "elsewhere": 2, "twice": 2, "article": 2, "bare": 3, "again": 1}  # a gap can be good English
_SPOILING = ("denied", "doubled", "role", "supposed", "invented", "bare", "shared")
_ONLY = re.compile(
    r"\bthe only (?:other )?(?:\w+ )?(?:thing|sounds?|instruments?|players?|element|company|accompaniment)\b",
    re.IGNORECASE,
)
_PACE = re.compile(r"\b(?:tempo|paced?|speed)\b[^.;]*\b(?:tempo|pace|speed)\b", re.IGNORECASE)
_BEGINNING = 3  # words that two sentences should not begin with alike


def faults(
    sentence: str, *, asked: Collection[str], others: Collection[str], said: str, ended: bool, taxonomy: Taxonomy
) -> dict[str, int]:
    """The faults of a sentence of a caption, counted by kind.

    Args:
        sentence: The sentence.
        asked: Tags that its plan gives it.
        others: Tags that the plan gives to other sentences.
        said: The sentences before it.
        ended: Whether it came to its end.
        taxonomy: Finds what it says.

    Returns:
        How many of each: ``cut`` off; tags that are ``denied``; content words ``doubled`` inside it, those aside that
        several of its tags share, and a pace told twice; ``role`` faults; a thing that is said to be the only one,
        ``alone``, where other sentences have instruments; things ``supposed``, not heard; tags ``missed``; tags
        ``invented``; tags of other sentences, ``elsewhere``, and a whole sentence that stood before; of these what an
        earlier sentence said already, ``twice``; a wrong ``article``; a beginning or a phrase of three words that an
        earlier one had, ``again``; and whether it says neither what the piece is nor what anything does, ``bare``;
        what one part should do alone (``readability.parts``) and two do, or what is told twice, ``shared``.

    >>> dials = {"others": [], "said": "", "ended": True, "taxonomy": Taxonomy.load()}
    >>> found = faults("No piano plays, but a cymbal.", asked=["piano"], **dials)
    >>> {name: count for name, count in found.items() if count}
    {'denied': 1, 'missed': 1, 'invented': 1}
    """
    found = set(taxonomy.find(sentence))
    whole = taxonomy.closure([*asked, *others])
    shared = " ".join(asked).replace("-", " ").split()
    before = readability.parts(said)
    doubled = [word for word in readability.doubled_words(sentence) if shared.count(word) < 2]
    return {
        "cut": int(not ended),
        "denied": len(caption_corpus.denied(sentence, taxonomy=taxonomy)),
        "doubled": len(doubled) + bool(_PACE.search(sentence)),
        "role": len(readability.role_faults(sentence)),
        "supposed": int(bool(caption_corpus.beside_the_music(sentence))),
        "missed": len(set(asked) - taxonomy.closure(found)),
        "invented": len(found - whole),
        "alone": int(bool(_ONLY.search(sentence)) and any(taxonomy.category(tag) == "instrument" for tag in others)),
        "twice": len((found & set(others) & set(taxonomy.find(said))) - taxonomy.closure(asked)),
        "article": int(english.indefinite(sentence) != sentence),
        "again": int(
            _beginning(sentence) in map(_beginning, phrases.sentences(said))
            or not readability.phrases(sentence).isdisjoint(readability.phrases(said))
        ),
        "bare": int(casting.bare(sentence)),
        "shared": sum(count + before[name] > 1 for name, count in readability.parts(sentence).items()),
        "elsewhere": len((found & set(others)) - taxonomy.closure(asked)) + int(sentence in said),
    }


def _beginning(sentence: str) -> str:
    return " ".join(sentence.lower().split()[:_BEGINNING])


def weight(counts: dict[str, int]) -> int:
    """Weight of all faults together, worse ones counting more; 0 is a sentence with nothing against it."""
    return sum(_WEIGHTS[name] * count for name, count in counts.items())


def spoilt(text: str, *, asked: Collection[str], taxonomy: Taxonomy) -> int:
    """Weight of what should not stand in a caption of some tags, whatever its plan; what it misses is left aside.

    >>> spoilt("A shaker holds the bottom. It is slow.", asked=["shaker", "slow tempo"], taxonomy=Taxonomy.load())
    4
    """
    sentences = phrases.sentences(text)
    found = [
        faults(sentence, asked=asked, others=(), said=" ".join(sentences[:place]), ended=True, taxonomy=taxonomy)
        for place, sentence in enumerate(sentences)
    ]
    return sum(weight({name: counts[name] for name in _SPOILING}) for counts in found)


def whole(text: str, *, asked: Collection[str], taxonomy: Taxonomy) -> int:
    """Weight of all that speaks against a caption of some tags: ``spoilt``, missed tags, a missing end."""
    missed = set(asked) - taxonomy.closure(taxonomy.find(text))
    counts = {"missed": len(missed), "cut": int(not text.rstrip().endswith((".", "!", "?")))}
    return spoilt(text, asked=asked, taxonomy=taxonomy) + weight(counts)


def by_plan(
    plans: Sequence[Plan], *, taxonomy: Taxonomy, idiom: Idiom | None
) -> Callable[[int, int, str, Sequence[Answer]], tuple[int, bool]]:
    """The function that chooses among candidate sentences of planned texts, for ``decoding.generate``.

    With an ``idiom``, words that it does not hold and combinations of words that it does not hold are faults too.
    """

    def choose(row: int, part: int, said: str, found: Sequence[Answer]) -> tuple[int, bool]:
        asked = plans[row][part]
        others = [tag for place, tags in enumerate(plans[row]) if place != part for tag in tags]

        def against(one: Answer) -> int:
            counts = faults(one.text, asked=asked, others=others, said=said, ended=one.ended, taxonomy=taxonomy)
            unlike = idiom.foreign(one.text) + idiom.strange(one.text) if idiom is not None else 0
            return weight(counts) + unlike

        weights = [against(one) for one in found]
        best = min(range(len(found)), key=lambda place: (weights[place], -found[place].likelihood))
        return best, weights[best] == 0

    return choose
