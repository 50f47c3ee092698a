"""Steers a caption while it is written: towards tags that it has not said, back from words that nobody asked for.

References:
    Lu et al., NeuroLogic decoding (2021), arXiv 2010.12884: rewards for constraints that are still open.
"""

from collections.abc import Mapping, Sequence

from transformers import PreTrainedTokenizerBase

from conceptcaps.captions.faithfulness import check
from conceptcaps.tags.taxonomy import Taxonomy

_LOOK_AHEAD = 2  # words behind a phrase after which it can no longer be the beginning of a longer one
_RETURNS = 16  # times that a caption is taken back, at most
_ENDS = 3  # times that a caption is not let end with tags unsaid; each makes the bonus larger by itself


class Steering:
    """Reviews captions under way, each against its own tag set.

    Rows are steered apart from each other, so that a caption does not depend on its batch.
    """

    def __init__(
        self,
        tag_sets: Sequence[Sequence[str]],
        *,
        taxonomy: Taxonomy,
        tokenizer: PreTrainedTokenizerBase,
        bonus: float,
    ) -> None:
        """Prepare n captions.

        Args:
            tag_sets: n sets of canonical tags.
            taxonomy: Finds what a caption says.
            tokenizer: Of the language model.
            bonus: Added to the logits of tokens that begin a tag not yet said, in nats, at least 0.

        Raises:
            ValueError: If ``bonus`` is below 0.
        """
        if bonus < 0:
            raise ValueError(f"expected a steering bonus of at least 0, got {bonus}")
        self._tag_sets = tag_sets
        self._taxonomy = taxonomy
        self._bonus = bonus
        self._returns = [0] * len(tag_sets)
        self._ends = [0] * len(tag_sets)
        self._begins = {
            tag: tokenizer(f" {tag}", add_special_tokens=False)["input_ids"][0]
            for tag in sorted({tag for tags in tag_sets for tag in tags})
        }

    def bonuses(self, row: int, text: str, tokens: Sequence[int]) -> Mapping[int, float]:
        """What to add to the logits of which tokens, after the text (and tokens) that row ``row`` has so far.

        A beginning that was written and did not say its tag gets nothing more until the caption would end.
        """
        missed = check(text, self._tag_sets[row], taxonomy=self._taxonomy).missed
        begins = {self._begins[tag] for tag in missed}
        tries = 1 + self._ends[row]
        return {token: self._bonus * tries for token in begins if tokens.count(token) < tries}

    def take_back(self, row: int, text: str, *, ended: bool) -> int | None:
        """How many characters of a text to keep and go on from, or None if it may go on, or end, as it is.

        The kept part ends before a phrase that says a tag which nobody asked for; all is kept, but its end, of a
        caption that would end with tags unsaid. A caption that was taken back 16 times stays as it is.
        """
        if self._returns[row] >= _RETURNS:
            return None
        place = self._stray(text if ended else _finished(text), self._tag_sets[row])
        if place is None and ended and self._ends[row] < _ENDS:
            if check(text, self._tag_sets[row], taxonomy=self._taxonomy).missed:
                place = len(text)
                self._ends[row] += 1
        self._returns[row] += place is not None
        return place

    def _stray(self, text: str, tags: Sequence[str]) -> int | None:
        """End of the text before the first phrase that says something else."""
        if not self._foreign(text, tags):
            return None
        starts = [place for place, letter in enumerate(text) if place == 0 or text[place - 1] == " "]
        ends = [*(start - 1 for start in starts[1:]), len(text)]
        last = next(word for word, end in enumerate(ends) if self._foreign(text[:end], tags))
        said = self._foreign(text[: ends[last]], tags)
        first = max(word for word in range(last + 1) if said <= self._foreign(text[starts[word] : ends[last]], tags))
        return max(starts[first] - 1, 0)

    def _foreign(self, text: str, tags: Sequence[str]) -> set[str]:
        return set(check(text, tags, taxonomy=self._taxonomy).hallucinated)


def _finished(text: str) -> str:
    """A text without its last words, which may yet become other phrases; whole up to its last sentence's end.

    >>> _finished("A waltz for electric gui"), _finished("A waltz. Slow and")
    ('A waltz', 'A waltz.')
    """
    end = max(text.rfind(mark) + 1 for mark in ".!?")
    words = text.split(" ")
    return text[: max(end, len(" ".join(words[: -1 - _LOOK_AHEAD])))]
