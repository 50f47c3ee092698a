"""Concepts as sets of clips: those that have a tag, those that surely lack it, and random sets to hold against both."""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conceptcaps.tags.taxonomy import Taxonomy

LEAST = 12  # clips of a concept that `frequent` takes
MOST = 100  # clips that stand for a concept; more of them move its CAV little
_FEWEST = 5
_TEMPERATURE = 0.1  # of the draw of negatives, in units of the Jaccard index

Draw = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Concept:
    """A tag, the clips that stand for it and those that may stand against it.

    Attributes:
        name: The tag.
        positives: Row numbers ``(n,)`` of clips in which the tag sounds, said or implied.
        candidates: Row numbers ``(m,)``, m >= 2n, of clips in which neither it, nor an ancestor, a descendant or a tag
            with a phrase in common sounds: where the concept is ``electric guitar``, one with ``guitar`` is on no side.
        similarity: Jaccard index ``(rows, rows)`` of the clips' tags in the other categories.
    """

    name: str
    positives: NDArray[np.int64]
    candidates: NDArray[np.int64]
    similarity: NDArray[np.float64]

    def draws(self, sets: int, *, seed: int) -> list[Draw]:
        """The positives against ``sets`` random sets of as many negatives, matched to them in the other categories."""
        generator = self._generator(seed, "concept")
        return [(self.positives, self._match(self.positives, self.candidates, generator)) for _ in range(sets)]

    def null_draws(self, sets: int, *, negatives: int, seed: int) -> list[Draw]:
        """As ``draws``, for each of ``sets`` random sets of clips in place of the concept's: ``negatives`` draws each.

        Were the concept a meaningless choice of clips, it would be one more of these: the test of TCAV rests on that.
        """
        generator = self._generator(seed, "null")
        everyone = np.concatenate([self.positives, self.candidates])
        found: list[Draw] = []
        for _ in range(sets):
            chosen = np.sort(generator.choice(everyone, len(self.positives), replace=False))
            others = np.setdiff1d(everyone, chosen)
            found += [(chosen, self._match(chosen, others, generator)) for _ in range(negatives)]
        return found

    def _generator(self, seed: int, purpose: str) -> np.random.Generator:
        """A generator of its own, so that which other concepts are probed changes nothing."""
        return np.random.default_rng([seed, zlib.crc32(f"{purpose}:{self.name}".encode())])

    def _match(
        self, chosen: NDArray[np.int64], others: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """One of ``others`` for each chosen clip, likelier the more alike (a softmax over those not yet taken)."""
        keys = self.similarity[np.ix_(chosen, others)] / _TEMPERATURE
        keys = keys + generator.gumbel(size=keys.shape)  # the largest key is a draw from the softmax
        partners = np.empty(len(chosen), dtype=np.int64)
        for row in generator.permutation(len(chosen)):
            partners[row] = keys[row].argmax()
            keys[:, partners[row]] = -np.inf
        return others[partners]


def frequent(tag_sets: Sequence[Collection[str]], *, taxonomy: Taxonomy, most: int) -> list[str]:
    """The most frequent tags that are no genre and have clips enough on both sides, at most ``most``, at least one.

    Raises:
        ValueError: If no tag qualifies.
    """
    sounding = taxonomy.encode([taxonomy.closure(tags) for tags in tag_sets])
    counts = dict(zip(taxonomy.tags, sounding.sum(0).tolist(), strict=True))
    ranked = sorted((tag for tag in taxonomy.tags if taxonomy.category(tag) != "genre"), key=lambda tag: -counts[tag])
    found: list[str] = []
    for tag in ranked:
        positives, candidates = _sides(tag, sounding, taxonomy)
        if min(len(positives), len(candidates) // 2) >= LEAST and len(found) < most:
            found.append(tag)
    if not found:
        best = ", ".join(f"{tag} ({counts[tag]})" for tag in ranked[:5])
        raise ValueError(
            f"expected a tag with {LEAST} clips and twice as many without it, got {len(tag_sets)} clips: {best}"
        )
    return found


def concept(name: str, tag_sets: Sequence[Collection[str]], *, taxonomy: Taxonomy, seed: int) -> Concept:
    """The concept of a tag among clips.

    Args:
        name: The tag.
        tag_sets: Tags that sound in each clip.
        taxonomy: What tags imply.
        seed: Seed of the choice where there are more clips than needed.

    Raises:
        ValueError: If fewer than 5 clips have the tag, or fewer than twice as many surely lack it.
    """
    sounding = taxonomy.encode([taxonomy.closure(tags) for tags in tag_sets])
    positives, candidates = _sides(name, sounding, taxonomy)
    size = min(len(positives), len(candidates) // 2, MOST)
    if size < _FEWEST:
        raise ValueError(
            f"expected {_FEWEST} clips or more with {name!r} and {2 * _FEWEST} without it and its relatives, "
            f"got {len(positives)} and {len(candidates)}"
        )
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    chosen = np.sort(generator.choice(positives, size, replace=False))
    others = [taxonomy.category(tag) != taxonomy.category(name) for tag in taxonomy.tags]
    return Concept(name, chosen, candidates, jaccard(sounding[:, others]))


def jaccard(sets: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Jaccard index of every pair of rows of a binary matrix; 0 for two empty ones.

    >>> jaccard(np.array([[True, True, False], [True, False, True]])).tolist()
    [[1.0, 0.3333333333333333], [0.3333333333333333, 1.0]]
    """
    members = sets.astype(np.float64)
    shared = members @ members.T
    sizes = members.sum(1)
    return shared / np.maximum(sizes[:, None] + sizes - shared, 1)


def related(tag: str, *, taxonomy: Taxonomy) -> set[str]:
    """The tag with its ancestors, its descendants and the tags that share a phrase with it.

    >>> sorted(related("violin", taxonomy=Taxonomy.load()))
    ['strings', 'violin']
    """
    family = {other for other in taxonomy.tags if tag in taxonomy.closure([other])} | taxonomy.closure([tag])
    phrases = set(taxonomy.surface_forms(tag))
    return family | {other for other in taxonomy.tags if phrases & set(taxonomy.surface_forms(other))}


def _sides(tag: str, sounding: NDArray[np.bool_], taxonomy: Taxonomy) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows with the tag, and rows with no tag related to it."""
    relatives = taxonomy.encode([related(tag, taxonomy=taxonomy)])[0]
    positives = np.flatnonzero(sounding[:, taxonomy.tags.index(tag)])
    return positives, np.flatnonzero(~sounding[:, relatives].any(1))
