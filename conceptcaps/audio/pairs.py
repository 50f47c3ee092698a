"""Counterfactual pairs: a piece with a tag and one without it, from one seed, with little else changed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from conceptcaps.audio import composition, rewriting
from conceptcaps.audio.composing.plan import TEMPI
from conceptcaps.audio.score import Part, Piece
from conceptcaps.audio.truth import Truth, truth
from conceptcaps.audio.truth.rules import PRESENT, Judge
from conceptcaps.audio.truth.sounding import sounding_notes
from conceptcaps.audio.truth.ties import tied
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace.hashing import row_seed

_OPPOSITES = 3  # excluded tags that are tried on the other side


class Side(NamedTuple):
    """One side of a pair: what was asked for, the piece, and what it holds by its notes alone."""

    tags: list[str]
    piece: Piece
    truth: Truth


class Pair(NamedTuple):
    """Two pieces of one seed.

    Attributes:
        holding: The side on which the tag is present.
        lacking: The side on which it is absent.
        means: What was changed: ``stems`` (parts or pieces of the kit taken out, all other notes the same), ``tempo``
            (the same notes at another tempo), ``rhythm`` (the same parts with some strokes moved or left out),
            ``request`` (composed without the tag), or the tag that was asked for in its place.
        changed: Other tags that are present on one side only, see ``changed``.
    """

    holding: Side
    lacking: Side
    means: str
    changed: list[str]


def make(tag: str, context: Sequence[str], *, duration: float, seed: int, taxonomy: Taxonomy) -> Pair | None:
    """The pair of a tag in a context, with as little else changed as possible.

    An instrument's stems are taken out of the piece, another tempo is given to the same notes, a rhythm loses its
    strokes; otherwise the piece is composed again, without the tag or with one that excludes it. Truth decides whether
    it is a pair, never the request.

    Args:
        tag: The tag that the sides differ in.
        context: Other tags that are asked for on both sides; those that the tag implies or excludes are left out.
        duration: Length of the clip (s).
        seed: Seed of both pieces.
        taxonomy: Gives ancestors and exclusions.

    Returns:
        The pair, or None if no two such pieces are found in this context.
    """
    asked = fitting(context, tag, taxonomy)
    best: Pair | None = None
    for holding, lacking, means in _attempts(tag, asked, duration=duration, seed=seed, taxonomy=taxonomy):
        if tag in holding.truth.present and tag in lacking.truth.absent:
            found = Pair(holding, lacking, means, changed(tag, holding.truth, lacking.truth, taxonomy))
            if best is None or len(found.changed) < len(best.changed):
                best = found
            if not best.changed:
                break
    return best


def fitting(context: Sequence[str], tag: str, taxonomy: Taxonomy) -> list[str]:
    """Tags of a context that neither imply nor exclude a tag or one another, nor are implied by it; sorted."""
    kin = related(tag, taxonomy)
    kept: list[str] = []
    for one in sorted(set(context) - kin):
        if not taxonomy.contradictions([*kept, one, tag]):
            kept.append(one)
    return kept


def _sounding(found: Truth, taxonomy: Taxonomy) -> list[str]:
    """Instruments and tempo that sound, without those that others imply: asked for, they stay when the rest changes."""
    named = [tag for tag in found.present if taxonomy.category(tag) in ("instrument", "tempo")]
    implied = {above for tag in named for above in taxonomy.ancestors(tag)}
    return [tag for tag in named if tag not in implied]


def related(tag: str, taxonomy: Taxonomy) -> set[str]:
    """The tag, its ancestors and descendants, and all that it excludes: what must change when it does."""
    below = {other for other in taxonomy.tags if tag in taxonomy.ancestors(other)}
    excluded = {other for group in taxonomy.exclusions if tag in group for other in group}
    return {tag, *taxonomy.ancestors(tag)} | below | excluded


def changed(tag: str, one: Truth, other: Truth, taxonomy: Taxonomy) -> list[str]:
    """Tags, other than those related to ``tag``, that are present on one side only, sorted."""
    return sorted((set(one.present) ^ set(other.present)) - related(tag, taxonomy))


def untied(tags: Sequence[str], tag: str) -> list[str]:
    """The tags that could have stayed as they were: those that the rules of truth do not tie to ``tag``."""
    return [other for other in tags if other not in tied(tag)]


def _attempts(
    tag: str, asked: list[str], *, duration: float, seed: int, taxonomy: Taxonomy
) -> Iterator[tuple[Side, Side, str]]:
    def side(tags: list[str], piece: Piece | None = None) -> Side:
        piece = piece or composition.compose(tags, duration=duration, seed=seed, taxonomy=taxonomy)
        return Side(tags, piece, truth(piece, duration=duration, taxonomy=taxonomy))

    if tag in TEMPI:
        for other in sorted(set(TEMPI) - {tag}):
            if _fits(other, asked, taxonomy):
                slow, fast = sorted((tag, other), key=TEMPI.__getitem__)
                faster = side([*asked, fast])
                slower = side([*asked, slow], slowed(faster.piece, fast, slow))
                yield (*((slower, faster) if tag == slow else (faster, slower)), "tempo")
        return
    holding = side([*asked, tag])
    instrument = taxonomy.category(tag) == "instrument"
    opposites = _opposites(tag, asked, seed=seed, taxonomy=taxonomy)
    if taxonomy.polarity(tag) == "present" and tag not in holding.truth.present:
        return  # another context is found sooner than another way in this one
    if instrument and taxonomy.polarity(tag) == "present":
        rest = without(holding.piece, tag, duration=duration)
        if rest is not None:
            yield holding, side(asked, rest), "stems"
    rewritten = rewriting.without(tag, holding.piece)
    if rewritten is not None:
        yield holding, side(asked, rewritten), "rhythm"
    pinned = fitting([*asked, *_sounding(holding.truth, taxonomy)], tag, taxonomy)
    if not instrument and pinned != asked:
        fuller = side([*pinned, tag])
        yield fuller, side(pinned), "request"
    if asked:
        yield holding, side(asked), "request"
    for other in opposites:
        lacking = side([*asked, other])
        yield holding, lacking, other
        rest = without(lacking.piece, other, duration=duration)
        if instrument and rest is not None:
            yield side([*asked, tag], rest), lacking, "stems"


def _fits(tag: str, tags: list[str], taxonomy: Taxonomy) -> bool:
    return not taxonomy.contradictions([*tags, tag])


def slowed(piece: Piece, fast: str, slow: str) -> Piece:
    """A piece slowed from one tempo class to the same relative tempo in a slower class, its notes unchanged."""
    (low, high), (least, most) = TEMPI[fast], TEMPI[slow]
    place = (piece.tempi[0][1] - low) / (high - low)
    ratio = (least + place * (most - least)) / piece.tempi[0][1]
    return replace(piece, tempi=[(beat, bpm * ratio) for beat, bpm in piece.tempi])


def _opposites(tag: str, asked: list[str], *, seed: int, taxonomy: Taxonomy) -> list[str]:
    """Some tags that exclude a tag and fit the context, in an order drawn by seed."""
    others = {other for group in taxonomy.exclusions if tag in group for other in group} - {tag}
    free = [other for other in sorted(others) if _fits(other, asked, taxonomy)]
    return sorted(free, key=lambda other: row_seed(f"{tag} {other}", seed))[:_OPPOSITES]


def without(piece: Piece, tag: str, *, duration: float) -> Piece | None:
    """The piece without the stems that make a tag true by themselves, all other notes untouched.

    Returns:
        The rest, or None if no stem does, or nothing else would sound.
    """
    kept: list[Part] = []
    for part in piece.parts:
        keys = sorted({note.pitch for note in part.notes}) if part.percussion else [None]
        carriers = {key for key in keys if _carries(piece, part, key, tag, duration)}
        if part.percussion:
            kept.append(replace(part, notes=[note for note in part.notes if note.pitch not in carriers]))
        elif not carriers:
            kept.append(part)
    kept = [part for part in kept if any(float(piece.seconds(note.start)) < duration for note in part.notes)]
    before = sum(len(part.notes) for part in piece.parts)
    after = sum(len(part.notes) for part in kept)
    return replace(piece, parts=kept) if 0 < after < before else None


def _carries(piece: Piece, part: Part, key: int | None, tag: str, duration: float) -> bool:
    stem = part if key is None else replace(part, notes=[note for note in part.notes if note.pitch == key])
    music = sounding_notes(replace(piece, parts=[stem]), duration=duration, levels=None)
    return len(music.start) > 0 and Judge(music).tag(tag) == PRESENT


def summarise(rows: pd.DataFrame, *, taxonomy: Taxonomy) -> dict[str, float]:
    """How little else changes.

    Args:
        rows: Columns ``tag``, ``changed`` and ``error`` of pairs, two rows a pair.
        taxonomy: Gives categories.

    Returns:
        ``pairs/count``, ``pairs/failed``, ``pairs/clean`` (share in which nothing else changes), ``pairs/untied`` (in
        which nothing changes but what is tied to the tag by the rules of truth), and by category
        ``pairs/same_<category>`` (share in which no other tag of it does).
    """
    good = rows[rows["error"].isna()]
    found = {"pairs/count": len(good) / 2, "pairs/failed": (len(rows) - len(good)) / 2}
    found["pairs/clean"] = float((good["changed"].map(len) == 0).mean())
    free = [untied(tags, tag) for tags, tag in zip(good["changed"], good["tag"], strict=True)]
    found["pairs/untied"] = float(np.mean([not tags for tags in free])) if free else float("nan")
    for name in taxonomy.categories:
        same = [all(taxonomy.category(tag) != name for tag in tags) for tags in good["changed"]]
        found[f"pairs/same_{name}"] = float(np.mean(same)) if same else float("nan")
    return found
