"""Does a caption say its tags, all of them and nothing else? Judged by the taxonomy's matcher."""

from collections.abc import Iterable
from typing import NamedTuple

from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import Taxonomy


class Faithfulness(NamedTuple):
    """What a caption says of its tag set.

    Attributes:
        tag_recall: Share of the tags that the caption says or implies, 0 to 1 (best).
        missed: Tags that it does not say.
        hallucinated: Tags that it says and that are neither in the set nor implied by it.
    """

    tag_recall: float
    missed: list[str]
    hallucinated: list[str]

    @property
    def faults(self) -> int:
        """Missed and hallucinated tags together: 0 is a caption that needs no second attempt."""
        return len(self.missed) + len(self.hallucinated)


def check(caption: str, tags: Iterable[str], *, taxonomy: Taxonomy) -> Faithfulness:
    """Compare what a caption asserts with what it was asked to assert.

    A tag counts as said under any of its surface forms, or by a tag below it ("alternative rock" says rock); negated
    mentions do not count.

    Args:
        caption: The text.
        tags: At least one canonical tag.
        taxonomy: The matcher.

    Raises:
        InputError: If there are no tags.

    >>> check("A slow tune for solo piano.", ["piano", "jazz"], taxonomy=Taxonomy.load())
    Faithfulness(tag_recall=0.5, missed=['jazz'], hallucinated=['slow tempo'])
    """
    asked = set(tags)
    if not asked:
        raise InputError("expected at least one tag to look for, got none")
    said = taxonomy.find(caption)
    missed = sorted(asked - taxonomy.closure(said))
    hallucinated = sorted(set(said) - taxonomy.closure(asked))
    return Faithfulness(1 - len(missed) / len(asked), missed, hallucinated)
