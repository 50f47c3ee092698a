"""Designed concept sets: sides of pairs, chosen so that all other tags are balanced, and played."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from conceptcaps.audio import balance, contexts, paired, pairs, table
from conceptcaps.audio.contexts import Source
from conceptcaps.audio.paired import SIDES, Found
from conceptcaps.audio.sf2 import Bank
from conceptcaps.audio.truth import Truth, ties
from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import tag_set_id
from conceptcaps.workspace import executor
from conceptcaps.workspace.hashing import row_seed

_POOL = 1.6  # candidates for each clip of a designed set
_VAIN = 4  # times as many are looked for where contexts yield none
_TEST = 0.25
CONCEPT_FIELDS = [
    ("id", pa.string()), ("concept", pa.string()), ("positive", pa.bool_()), ("part", pa.string()),
    ("group", pa.string()), ("tags", pa.list_(pa.string())), *table.SOUND,
]  # fmt: skip


class _Candidate(NamedTuple):
    """How many other tags change in a pair, its number, part and place, and what its sides hold once mixed."""

    changes: int
    number: int
    part: str
    place: int
    held: list[str]
    lacked: list[str]


def design(
    source: Source,
    tags: Sequence[str],
    *,
    count: int,
    fonts: Sequence[Path],
    sample_rate: int,
    channels: int,
    workers: int,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Choose for each concept positives and negatives in which all other tags are equally frequent.

    Candidates are the sides of pairs, a quarter of them in contexts kept for testing. They are compared by what is
    present once they are mixed, as ``play_concepts`` will play them. Tags that the concept implies or excludes, and
    those that are the same event in a score (``ties.alike``), must differ and are not compared.

    Args:
        source: Where pairs come from.
        tags: The concepts.
        count: Positives, and negatives, of each.
        fonts: As for ``play_concepts``, as are ``sample_rate`` and ``channels``.
        sample_rate: Hz.
        channels: 1 or 2.
        workers: Most processes that look for pairs at once, a concept each.

    Returns:
        The rows to play (``id``, ``concept``, ``positive``, ``part``, ``group``, ``number``, ``place``), the table of
        balance as ``balance.table``, with the tags that are not compared in ``apart``, and of concepts for which too
        few pairs are found the reason.

    Raises:
        InputError: If no concept has enough pairs.
    """
    for font in fonts:
        Bank.load(font)  # a font that cannot be read is no fault of the pairs
    rows, tables, short = [], [], {}
    form = {"sample_rate": sample_rate, "channels": channels}
    parts = {"test": round(count * _TEST), "train": count - round(count * _TEST)}
    jobs = [(source, tag, parts, tuple(fonts), form) for tag in tags]
    looked = tqdm(executor.gather(_looked, jobs, workers), desc="find pairs", unit="concept", total=len(jobs))
    for tag, found in zip(tags, looked, strict=True):
        if isinstance(found, str):
            short[tag] = found
            continue
        strata = [one.part for one in found]
        others = [place for place, other in enumerate(source.taxonomy.tags) if other not in _kin(source, tag)]
        sides = [one.held for one in found], [one.lacked for one in found]
        held, lacked = (source.taxonomy.encode(side)[:, others] for side in sides)
        chosen = balance.choose(held, lacked, strata=(strata, strata), counts=parts)
        named = [source.taxonomy.tags[place] for place in others]
        compared = balance.table(held[chosen[0]], lacked[chosen[1]], concept=tag, tags=named)
        tables.append(compared.assign(apart=", ".join(sorted(_kin(source, tag) - {tag}))))
        for positive, picked in zip((True, False), chosen, strict=True):
            for one in (found[place] for place in picked.tolist()):
                group = tag_set_id([tag], seed=source.seed, caption=f"{one.part} {one.number}")
                row = {"id": f"{group}-{SIDES[not positive]}", "concept": tag, "positive": positive}
                rows.append(row | {"part": one.part, "group": group, "number": one.number, "place": one.place})
    if not rows:
        raise InputError(
            f"expected a concept with enough pairs, {'; '.join(f'{tag}: {why}' for tag, why in short.items())}"
        )
    return pd.DataFrame(rows), pd.concat(tables, ignore_index=True), short


@lru_cache(maxsize=512)
def _kin(source: Source, tag: str) -> frozenset[str]:
    return frozenset(pairs.related(tag, source.taxonomy) | ties.alike(tag))


def _looked(
    source: Source, tag: str, parts: dict[str, int], fonts: Sequence[Path], form: dict[str, int]
) -> list[_Candidate] | str:
    """Pairs to choose from, or why there are too few."""
    try:
        found = _candidates(source, tag, parts, fonts, form)
    except contexts.NoContext as error:
        return str(error)
    strata = [one.part for one in found]
    few = [
        f"{strata.count(part)} of {most} pairs to {part}" for part, most in parts.items() if strata.count(part) < most
    ]
    if few:
        return f"found {' and '.join(few)}: give more --tries, or contexts in which it can be left out"
    return found


def _candidates(
    source: Source, tag: str, parts: dict[str, int], fonts: Sequence[Path], form: dict[str, int]
) -> list[_Candidate]:
    """Pairs that stand once they are mixed, those in which nothing else changes first.

    Of these as many as are wanted are enough: pairs are balanced by themselves. Where contexts are drawn in vain, more
    are drawn, up to a bound.
    """
    found = []
    for part, count in parts.items():
        clean, here, pool = 0, 0, int(np.ceil(count * _POOL)) + 2
        for number in range(_VAIN * pool):
            one = paired.find(source, tag, number, part)
            told = one and _mixed(one, source, tag, _font(fonts, source, tag, number, part), form)
            if one and told:
                changes = len(set(pairs.changed(tag, *told, source.taxonomy)) - _kin(source, tag))
                found.append(_Candidate(changes, number, part, one.place, *(side.present for side in told)))
                clean += changes == 0
                here += 1
            if clean == count or (number + 1 >= pool and here >= count):
                break
    return sorted(found, key=lambda one: one[:3])


def _font(fonts: Sequence[Path], source: Source, tag: str, number: int, part: str) -> Path:
    """The font of a pair; of several the last is kept for the test part."""
    own = fonts[-1:] if part == "test" else fonts[:-1] or fonts
    return own[row_seed(f"{tag} {number} font", source.seed) % len(own)]


def _mixed(found: Found, source: Source, tag: str, font: Path, form: dict[str, int]) -> tuple[Truth, Truth] | None:
    """What both sides hold once they are mixed, or None where they no longer differ in the tag."""
    try:
        held, lacked = (
            paired.perform(side, source, font, **form).truth for side in (found.pair.holding, found.pair.lacking)
        )
    except InputError:
        return None
    return (held, lacked) if tag in held.present and tag in lacked.absent else None


def play_concepts(
    rows: pd.DataFrame, *, source: Source, fonts: Sequence[Path], sample_rate: int, channels: int
) -> pd.DataFrame:
    """Clips of designed sets: columns of ``CONCEPT_FIELDS``.

    Of several fonts the last is kept for the test part. A clip that is silent, or in which the concept does not stand
    as designed once it is mixed, has a reason in ``error``.
    """
    done = []
    for row in paired.records(rows):
        tag, part = row["concept"], row["part"]
        font = _font(fonts, source, tag, int(row["number"]), part)
        found = paired.attempt(source, tag, int(row["number"]), int(row["place"]), part)
        if found is None:
            raise AssertionError("a pair that was found once is found again")
        side = found.pair.holding if row["positive"] else found.pair.lacking
        try:
            clip = paired.perform(side, source, font, sample_rate=sample_rate, channels=channels)
            if tag not in (clip.truth.present if row["positive"] else clip.truth.absent):
                raise InputError(f"expected {tag} to be as designed once mixed, got otherwise")
            sound = table.sound(
                clip, side.tags, name=row["id"], seed=found.seed, font=font.name, sample_rate=sample_rate,
                taxonomy=source.taxonomy,
            )  # fmt: skip
        except InputError as error:
            sound = table.failed(side.tags, seed=found.seed, reason=str(error))
        done.append(row | {"tags": side.tags} | sound)
    return paired.frame(done)
