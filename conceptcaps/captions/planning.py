"""Plan, then write: which sentence says which tags, in which order, following the plans of training captions.

References:
    Moryossef et al., Step-by-step: separating planning from realization in neural data-to-text generation (2019),
    arXiv 1904.03396. Puduppully et al., Data-to-text generation with content selection and planning (2019),
    arXiv 1809.00582.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from conceptcaps.captions import readability
from conceptcaps.errors import InputError
from conceptcaps.tags import phrases
from conceptcaps.tags.taxonomy import Taxonomy

Plan = list[list[str]]
"""The tags of each sentence, in the order in which it says them."""

KINDS: dict[str, str] = {
    tag: kind
    for kind, tags in yaml.safe_load(Path(__file__).with_name("kinds.yaml").read_text(encoding="utf-8")).items()
    for tag in tags
}
MARK = " | "  # between the sentences of a plan
MOST_TAGS = 5  # in a sentence: with more, a small model loses some of them
_MOST_AT_FIRST = {True: 3, False: 1}  # tags of an opening, with and without a genre: else the singer becomes the piece
_LEADS = {"voice", "guitar", "keys", "melodic", "instrument"}  # kinds of what can carry a tune
_NEAREST = 12  # plans of which one is drawn
_DRAWS = 8  # of a plan, until no two tags of a sentence share a word


def outline(caption: str, *, taxonomy: Taxonomy) -> tuple[str, Plan]:
    """A caption without the sentences that say no tag for the first time, and the plan that it follows.

    A tag is planned where it is said first. Tags that another one implies are left to it.

    >>> outline("It is a waltz at a slow tempo. Enjoy! A sad violin plays.", taxonomy=Taxonomy.load())
    ('It is a waltz at a slow tempo. A sad violin plays.', [['waltz time', 'slow tempo'], ['sad', 'violin']])
    """
    kept: list[str] = []
    plan: Plan = []
    for sentence, new in first_said(caption, taxonomy.tags, said=taxonomy.find):
        order = in_order(sentence, taxonomy=taxonomy) if new else []
        new -= {above for tag in order for above in taxonomy.ancestors(tag)}
        if new:
            kept.append(sentence)
            plan.append([tag for tag in order if tag in new])
    return " ".join(kept), plan


def first_said(
    text: str, tags: Iterable[str], *, said: Callable[[str], Collection[str]]
) -> Iterator[tuple[str, set[str]]]:
    """Each sentence of a text, and those of ``tags`` that it says and no sentence before it did.

    >>> dict(first_said("A waltz. The waltz is sad.", ["sad", "waltz time"], said=Taxonomy.load().find))
    {'A waltz.': {'waltz time'}, 'The waltz is sad.': {'sad'}}
    """
    left = set(tags)
    for sentence in phrases.sentences(text):
        new = left.intersection(said(sentence))
        left -= new
        yield sentence, new


def in_order(sentence: str, *, taxonomy: Taxonomy) -> list[str]:
    """Tags that a sentence asserts, in the order in which their phrases end."""
    found = set(taxonomy.find(sentence))
    words = sentence.split()
    places: dict[str, int] = {}
    for end in range(len(words), 0, -1):
        said = set(taxonomy.find(" ".join(words[:end])))
        places |= {tag: end for tag in found & said}
        if not said:
            break
    return sorted(found, key=lambda tag: (places.get(tag, len(words)), tag))


def render(plan: Plan) -> str:
    """A plan as the prompt shows it.

    >>> render([["jazz", "slow tempo"], ["piano"]])
    'jazz, slow tempo | piano'
    """
    return MARK.join(", ".join(tags) for tags in plan)


def of(learnt: pd.DataFrame, *, taxonomy: Taxonomy) -> "Planner":
    """A planner that follows the captions of a table, by its column ``plan``."""
    return Planner(learnt["plan"].tolist(), taxonomy=taxonomy)


class _Patterns(NamedTuple):
    """Kinds of sentences' tags, in order; the same as counts ``(n, kinds)``; and how often each stood."""

    orders: list[tuple[str, ...]]
    counts: NDArray[np.int64]
    often: NDArray[np.float64]


class Planner:
    """Plans for tag sets, made of sentences whose kinds of tags stand in captions."""

    def __init__(self, plans: Sequence[Plan], *, taxonomy: Taxonomy) -> None:
        """Keep plans to follow.

        Args:
            plans: At least one.
            taxonomy: Has their tags.

        Raises:
            InputError: If there is none.
        """
        if not plans:
            raise InputError("expected at least one plan to follow, got none")
        self.plans = [*plans]
        self._taxonomy = taxonomy
        self._kind = {tag: KINDS.get(tag, taxonomy.category(tag)) for tag in taxonomy.tags}
        self._kinds = sorted(set(self._kind.values()))

    @cached_property
    def _tags(self) -> NDArray[np.float32]:
        return self._taxonomy.encode([[tag for tags in plan for tag in tags] for plan in self.plans]).astype(np.float32)

    @cached_property
    def _of_kind(self) -> NDArray[np.float32]:
        """``(tags, kinds)``: 1 where a tag is of a kind."""
        kinds = [self._kinds.index(self._kind[tag]) for tag in self._taxonomy.tags]
        return np.eye(len(self._kinds), dtype=np.float32)[kinds]

    @cached_property
    def _genres(self) -> NDArray[np.int64]:
        """``(kinds,)``: 1 for a kind of genre."""
        genres = {self._kind[tag] for tag in self._taxonomy.tags if self._taxonomy.category(tag) == "genre"}
        return np.array([int(kind in genres) for kind in self._kinds])

    @cached_property
    def _patterns(self) -> tuple[_Patterns, _Patterns]:
        """Of sentences that begin a caption, and of all."""
        shared = [[part for sentence in plan for part in _shares(sentence)] for plan in self.plans]
        orders = [[tuple(self._kind[tag] for tag in sentence) for sentence in plan] for plan in shared]
        first, every = (Counter(order for plan in orders for order in plan[:most]) for most in (1, None))
        return self._counted(first), self._counted(every)

    def _counted(self, stood: Counter[tuple[str, ...]]) -> _Patterns:
        counts = [[order.count(kind) for kind in self._kinds] for order in stood]
        return _Patterns([*stood], np.array(counts), np.array([*stood.values()], dtype=float))

    def plan(self, tags: Iterable[str], *, seed: Sequence[int]) -> Plan:
        """A plan for a tag set, after that of a caption with as many tags of each kind, or nearly so.

        Each sentence has the kinds of one that was learnt: the one most like that caption's next sentence of those that
        the tags left can fill, and then those that take most of what is left. Tags that others of the set imply ("rock"
        beside "hard rock") are left to them. Of the captions whose kinds differ least, those that share most tags with
        the set come first, and one of the first is drawn. The opening has one tag, or up to three with a genre among
        them, where such a sentence was learnt. It is no pace alone, where there is something that can carry a tune.
        Where tags of one sentence share a word ("guitar solo" and "bass guitar"), up to seven more plans are drawn.

        Args:
            tags: At least one tag.
            seed: Of the draw.

        Returns:
            Every tag once, no sentence empty, none of more than ``MOST_TAGS``.
        """
        asked = set(tags)
        asked -= {above for tag in asked for above in self._taxonomy.ancestors(tag)}
        row = self._taxonomy.encode([asked])[0].astype(np.float32)
        apart = np.abs(self._tags @ self._of_kind - row @ self._of_kind).sum(1)
        distance = apart - (self._tags @ row) / (len(asked) + 1)
        generator = np.random.default_rng(seed)
        nearest = np.argsort(distance, kind="stable")[:_NEAREST]
        near = nearest[distance[nearest] <= distance[nearest[0]] + 1]
        drawn: list[tuple[int, Plan]] = []
        while len(drawn) < _DRAWS and all(doubled for doubled, _ in drawn):
            plan = self._led(self._filled(self.plans[generator.choice(near)], asked, generator))
            drawn.append((_doubled(plan), plan))
        return min(drawn, key=itemgetter(0))[1]

    def _led(self, plan: Plan) -> Plan:
        """A plan that would open with a pace alone, begun by what leads and closed by the pace.

        Of a piece without a genre a small model has nothing to say but that its pace "follows this tune".
        """
        kinds = [{self._kind[tag] for tag in sentence} for sentence in plan]
        lead = next((place for place, own in enumerate(kinds) if own & _LEADS), 0)
        return [plan[lead], *plan[1:lead], *plan[lead + 1 :], plan[0]] if lead and kinds[0] == {"tempo"} else plan

    def _filled(self, model: Plan, asked: set[str], generator: np.random.Generator) -> Plan:
        places = {tag: place for place, tag in enumerate(tag for sentence in model for tag in sentence)}
        free = sorted(generator.permutation(sorted(asked)).tolist(), key=lambda tag: places.get(tag, len(places)))
        sentences = iter([part for sentence in model for part in _shares(sentence)])
        plan: Plan = []
        while free:
            left = self._count(free)
            like = next(sentences, None)
            wanted = left if like is None else np.minimum(self._count(like), left)
            if not wanted.any():
                continue
            order = self._pattern(wanted, left, opening=not plan, generator=generator)
            if order is None and like is not None:  # what of this sentence can be filled
                kinds = [self._kind[tag] for tag in like]
                room = dict(zip(self._kinds, wanted, strict=True))
                order = tuple(kind for at, kind in enumerate(kinds) if kinds[:at].count(kind) < room[kind])
            if order is None:
                break
            plan.append(
                [free.pop(next(at for at, tag in enumerate(free) if self._kind[tag] == kind)) for kind in order]
            )
        for tag in free:  # of kinds that no sentence has by themselves
            self._insert(plan, tag)
        return plan

    def _count(self, tags: Iterable[str]) -> NDArray[np.int64]:
        kinds = [self._kind[tag] for tag in tags]
        return np.array([kinds.count(kind) for kind in self._kinds])

    def _pattern(
        self, wanted: NDArray[np.int64], left: NDArray[np.int64], *, opening: bool, generator: np.random.Generator
    ) -> tuple[str, ...] | None:
        """Of the learnt sentences that ``left`` can fill, one of those that differ least from ``wanted``, drawn."""
        named = opening and bool(left @ self._genres)
        most = _MOST_AT_FIRST[named] if opening else MOST_TAGS
        for patterns in self._patterns if opening else self._patterns[1:]:
            fits = (patterns.counts <= left).all(1)
            plain = (
                fits & (patterns.counts.sum(1) <= most) & (patterns.counts @ (self._genres if named else wanted) > 0)
            )
            fits = plain if plain.any() else fits & (patterns.counts @ wanted > 0)
            fitting = np.flatnonzero(fits)
            if len(fitting):
                apart = np.abs(patterns.counts[fitting] - wanted).sum(1)
                nearest = fitting[apart == apart.min()]
                often = patterns.often[nearest]
                return patterns.orders[generator.choice(nearest, p=often / often.sum())]
        return None

    def _insert(self, plan: Plan, tag: str) -> None:
        """Put a tag behind the last one of its kind, else of its category, else into the shortest sentence with room.

        Where none has room, it begins a sentence, which others of its kind may join.
        """
        open_ones = [sentence for sentence in plan if len(sentence) < MOST_TAGS]
        for nature in (self._kind.__getitem__, self._taxonomy.category):
            like = [
                (len(sentence), -slot, place)
                for place, sentence in enumerate(open_ones)
                for slot, other in enumerate(sentence)
                if nature(other) == nature(tag)
            ]
            if like:
                _, slot, place = min(like)
                open_ones[place].insert(1 - slot, tag)
                return
        if open_ones:
            min(open_ones, key=len).append(tag)
        else:
            plan.append([tag])


def _doubled(plan: Plan) -> int:
    """How many words several tags of a sentence share; "male and female vocals" is no slip."""
    named = [", ".join(tag for tag in tags if not tag.endswith("vocals")) for tags in plan]
    return sum(len(readability.doubled_words(text)) for text in named)


def _shares(sentence: list[str]) -> Plan:
    """A sentence's tags in as few runs of ``MOST_TAGS`` at most as hold them, of even size; none of an empty one."""
    count = -(-len(sentence) // MOST_TAGS)
    bounds = [len(sentence) * place // count for place in range(count + 1)] if count else []
    return [sentence[begin:end] for begin, end in pairwise(bounds)]
