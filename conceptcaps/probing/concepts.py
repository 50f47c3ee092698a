"""Concepts as sets of clips: those that have a tag, those that surely lack it, and what else differs between them."""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from conceptcaps.audio import pairs
from conceptcaps.audio.truth import ties
from conceptcaps.errors import InputError
from conceptcaps.probing import contrasts
from conceptcaps.probing.contrasts import Contrast
from conceptcaps.tags.jaccard import jaccard
from conceptcaps.tags.taxonomy import Taxonomy

_FEWEST = 5  # clips on each side
_MOST = 100  # clips of a side that a CAV's accuracy is measured on
_TEMPERATURE = 0.1  # of the draw of negatives, in units of the Jaccard index

Draw = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Concept:
    """A tag among n clips, or one tag against another.

    Attributes:
        name: The tag, or ``one|other``: clips with the first against clips with the second.
        label: ``(n,)``, 1 where the tag sounds, said or implied; 0 where it surely does not; NaN on no side.
        covariates: ``(n, p)``, whether each other tag sounds.
        tags: Names of these.
        groups: ``(n,)``, number of each clip's group (track, tag set, pair), inside of which clips are alike.
    """

    name: str
    label: NDArray[np.float64]
    covariates: NDArray[np.bool_]
    tags: tuple[str, ...]
    groups: NDArray[np.int64]

    def contrast(self, *, sets: int, resamples: int, seed: int, permuted: bool = False) -> Contrast:
        """The adjusted effect's weights; with ``permuted``, of a label shuffled as the test does it: a control."""
        label = self.label
        if permuted:
            label = contrasts.shuffled(label, self.groups, self.generator(seed, "permuted"))
        own = [seed, zlib.crc32(self.name.encode()), int(permuted)]
        return contrasts.contrast(label, self.covariates, self.groups, sets=sets, resamples=resamples, seed=own)

    def draws(self, sets: int, *, seed: int) -> list[Draw]:
        """Sets of at most 100 clips with the concept, each with as many others that are alike in the other tags."""
        generator = self.generator(seed, "draws")
        sides = [np.flatnonzero(self.label == side) for side in (1, 0)]
        size = min(len(sides[0]), len(sides[1]), _MOST)
        found: list[Draw] = []
        for _ in range(sets):
            chosen = np.sort(generator.choice(sides[0], size, replace=False))
            near = jaccard(*(self.covariates[clips].astype(np.float64) for clips in (chosen, sides[1])))
            keys = near / _TEMPERATURE + generator.gumbel(size=near.shape)  # the largest is a draw from the softmax
            partners = np.empty(size, dtype=np.int64)
            for row in generator.permutation(size):
                partners[row] = keys[row].argmax()
                keys[:, partners[row]] = -np.inf
            found.append((chosen, sides[1][partners]))
        return found

    def without(self, clips: Collection[int]) -> "Concept":
        """The concept with some clips on no side, because they cannot be read."""
        label = self.label.copy()
        label[list(clips)] = np.nan
        return Concept(self.name, label, self.covariates, self.tags, self.groups)

    def generator(self, seed: int, purpose: str) -> np.random.Generator:
        """A generator of its own, so that which other concepts are probed changes nothing."""
        return np.random.default_rng([seed, zlib.crc32(f"{purpose}:{self.name}".encode())])


def names(text: str, *, taxonomy: Taxonomy) -> list[str]:
    """Concepts that a comma-separated text names: tags, or words that the matcher finds one tag in.

    Raises:
        InputError: If a name stands for no tag or for several, or two stand for the same.

    >>> names("piano, slow | fast tempo", taxonomy=Taxonomy.load())
    ['piano', 'slow tempo|fast tempo']
    """

    def tag(word: str) -> str:
        found = [word] if word in taxonomy.tags else taxonomy.match(word)
        if len(found) != 1:
            raise InputError(f"expected a concept that stands for one tag, got {word!r}: {', '.join(found) or 'none'}")
        return found[0]

    chosen = ["|".join(tag(word.strip()) for word in part.split("|")) for part in text.split(",")]
    for name in chosen:
        if name.count("|") > 1 or len(set(name.split("|"))) <= name.count("|"):
            raise InputError(f"expected one tag, or two different ones as one|other, got {name!r}")
    unique(chosen, what="concepts")
    return chosen


def unique(given: Sequence[str], *, what: str) -> None:
    """Refuse a list that holds a name twice.

    Raises:
        InputError: If one does.
    """
    repeated = [name for place, name in enumerate(given) if name in given[:place]]
    if repeated:
        raise InputError(f"expected each of the {what} once, got {repeated[0]!r} again")


def concept(name: str, clips: pd.DataFrame, *, taxonomy: Taxonomy) -> Concept:
    """The concept of a tag, or of ``one|other``, among clips.

    A clip surely lacks a tag if it is known to (column ``absent``) or, where nothing is known of the clip, if neither
    it nor an ancestor, a descendant or a tag with a phrase in common sounds: beside ``electric guitar``, a clip with
    ``guitar`` is on no side. Where clips were made for this concept, as designed sets and pairs are, only those have a
    side. Covariates are all tags but those that must change with the concept: its family, what it excludes, and what is
    the same event in a score (``ties.alike``). Held fixed, they would explain it away.

    Args:
        name: The tag or tags.
        clips: Columns ``present``, ``group`` and, where there is one, ``absent`` (and ``known``, of which clips);
            ``concept`` and ``positive`` of designed sets, or ``tag`` and ``side`` of pairs.
        taxonomy: What tags imply.

    Raises:
        InputError: If fewer than 5 clips are on a side.
    """
    first, _, second = name.partition("|")
    sounding = _sounding(clips, taxonomy)
    label = np.full(len(clips), np.nan)
    made_for = clips.get("concept", clips.get("tag"))  # designed sets, or pairs
    if made_for is not None and (designed := made_for.to_numpy() == name).any():
        positive = clips["positive"].astype(bool) if "concept" in clips else clips["side"] == "with"
        label[designed] = positive.to_numpy(dtype=float)[designed]
    else:
        has = sounding[:, taxonomy.tags.index(first)]
        lacks = sounding[:, taxonomy.tags.index(second)] & ~has if second else _lacks(first, clips, sounding, taxonomy)
        label[lacks] = 0
        label[has if not second else has & ~sounding[:, taxonomy.tags.index(second)]] = 1
    counts = int((label == 1).sum()), int((label == 0).sum())
    if min(counts) < _FEWEST:
        raise InputError(
            f"expected {_FEWEST} clips or more with {name!r} and {_FEWEST} that surely lack it, "
            f"got {counts[0]} and {counts[1]}"
        )
    kin = set.union(
        *(
            related(tag, taxonomy=taxonomy) | pairs.related(tag, taxonomy) | ties.alike(tag)
            for tag in (first, second or first)
        )
    )
    others = [column for column, tag in enumerate(taxonomy.tags) if tag not in kin]
    groups = pd.factorize(clips["group"])[0].astype(np.int64)
    return Concept(name, label, sounding[:, others], tuple(taxonomy.tags[column] for column in others), groups)


def frequent(clips: pd.DataFrame, *, taxonomy: Taxonomy, most: int) -> list[str]:
    """At most ``most`` tags other than genres, those with most clips on their smaller side whose effect can be told.

    Where clips were made for concepts, those concepts with most clips are taken, genres included.

    Raises:
        InputError: If there is none.
    """
    if (made_for := clips.get("concept", clips.get("tag"))) is not None:
        counts = made_for.value_counts().sort_index().sort_values(ascending=False, kind="stable")
        return [str(tag) for tag in counts.index][:most]
    sounding = _sounding(clips, taxonomy)
    smaller = {}
    for tag in taxonomy.tags:
        if taxonomy.category(tag) != "genre":
            has = sounding[:, taxonomy.tags.index(tag)]
            smaller[tag] = min(int(has.sum()), int((_lacks(tag, clips, sounding, taxonomy) & ~has).sum()))
    found: list[str] = []
    for tag in sorted(smaller, key=lambda tag: -smaller[tag]):
        if smaller[tag] < _FEWEST or len(found) == most:
            break
        if concept(tag, clips, taxonomy=taxonomy).contrast(sets=2, resamples=2, seed=0).identifiable:
            found.append(tag)
    if not found:
        best = ", ".join(f"{tag} ({count})" for tag, count in sorted(smaller.items(), key=lambda item: -item[1])[:5])
        raise InputError(f"expected a tag with enough clips with and without it, got {len(clips)} clips: {best}")
    return found


def related(tag: str, *, taxonomy: Taxonomy) -> set[str]:
    """The tag with its ancestors, its descendants and the tags that share a word with it ("symphonic").

    A phrase of several words that asserts two tags ("flamenco guitar") puts two things together.

    >>> sorted(related("violin", taxonomy=Taxonomy.load()))
    ['strings', 'violin']
    """
    family = {other for other in taxonomy.tags if tag in taxonomy.closure([other])} | taxonomy.closure([tag])
    words = {form for form in taxonomy.surface_forms(tag) if form.isalpha()}
    return family | {other for other in taxonomy.tags if words & set(taxonomy.surface_forms(other))}


def lacks(tag: str, clips: pd.DataFrame, *, taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """Whether each clip surely lacks a tag (``concept``)."""
    return _lacks(tag, clips, _sounding(clips, taxonomy), taxonomy)


def _sounding(clips: pd.DataFrame, taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """Whether each tag sounds in each clip; words that are no tags, as a folder's genres may be, are left out."""
    known = set(taxonomy.tags)
    return taxonomy.encode([taxonomy.closure(set(tags) & known) for tags in clips["present"]])


def _lacks(tag: str, clips: pd.DataFrame, sounding: NDArray[np.bool_], taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """Whether each clip surely lacks a tag."""
    free = ~sounding[:, taxonomy.encode([related(tag, taxonomy=taxonomy)])[0]].any(1)
    if "absent" not in clips:
        return np.asarray(free, dtype=bool)
    known = clips["known"].to_numpy(dtype=bool) if "known" in clips else np.ones(len(clips), dtype=bool)
    return np.where(known, [tag in tags for tags in clips["absent"]], free)
