"""Tables of pairs and of designed concept sets: found by composing alone, then played and judged as they sound."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from tqdm import tqdm

from conceptcaps.audio import balance, contexts, pairs, soundfont, table
from conceptcaps.audio.contexts import Source
from conceptcaps.audio.pairs import Pair
from conceptcaps.audio.sf2 import Bank
from conceptcaps.audio.truth import Truth, ties
from conceptcaps.hashing import row_seed
from conceptcaps.tags.taxonomy import tag_set_id

SIDES = ("with", "without")
TRIES = 24
_POOL = 1.6  # candidates for each clip of a designed set
_VAIN = 4  # times as many are looked for where contexts yield none
_TEST = 0.25
_STRINGS = pa.list_(pa.string())
PAIR_FIELDS = [
    ("id", pa.string()), ("pair_id", pa.string()), ("tag", pa.string()), ("side", pa.string()), ("tags", _STRINGS),
    ("split", pa.string()), ("means", pa.string()), ("changed", _STRINGS), *table.SOUND,
]  # fmt: skip
CONCEPT_FIELDS = [
    ("id", pa.string()), ("concept", pa.string()), ("positive", pa.bool_()), ("part", pa.string()),
    ("group", pa.string()), ("tags", _STRINGS), *table.SOUND,
]  # fmt: skip


class Found(NamedTuple):
    """A pair, the seed of its pieces, the part of its context, and which of the tries it was."""

    pair: Pair
    seed: int
    part: str
    place: int


class _Candidate(NamedTuple):
    """How many other tags change in a pair, its number, part and place, and what its sides hold once mixed."""

    changes: int
    number: int
    part: str
    place: int
    held: list[str]
    lacked: list[str]


def find(source: Source, tag: str, number: int, part: str | None) -> Found | None:
    """The ``number``-th pair of a tag: of several contexts the one in which least else changes, or None."""
    best: Found | None = None
    for place in range(source.tries):
        found = attempt(source, tag, number, place, part)
        if found and (best is None or len(found.pair.changed) < len(best.pair.changed)):
            best = found
        if best and not best.pair.changed:
            break
    return best


@lru_cache(maxsize=256)
def attempt(source: Source, tag: str, number: int, place: int, part: str | None) -> Found | None:
    """The pair of a tag in one context, if there is one."""
    own = row_seed(f"{tag} {number} {place}", source.seed)
    context = contexts.draw(source.known, source.possible, tag=tag, seed=own, wanted=part, taxonomy=source.taxonomy)
    pair = pairs.make(tag, context, duration=source.duration, seed=own, taxonomy=source.taxonomy)
    return Found(pair, own, contexts.part(context), place) if pair else None


def pair_rows_wanted(tags: Sequence[str], *, count: int, seed: int) -> pd.DataFrame:
    """Two rows for each pair to be made: ``id``, ``pair_id``, ``tag``, ``side`` and ``number``."""
    rows = [
        {"id": f"{pair_id}-{side}", "pair_id": pair_id, "tag": tag, "side": side, "number": number}
        for tag in tags
        for number in range(count)
        for pair_id in [tag_set_id([tag], seed=seed, caption=f"pair {number}")]
        for side in SIDES
    ]
    return pd.DataFrame(rows)


def play_pairs(
    rows: pd.DataFrame, *, source: Source, fonts: Sequence[Path], sample_rate: int, channels: int
) -> pd.DataFrame:
    """Clips of both sides of pairs: columns of ``PAIR_FIELDS``.

    A pair's rows stand next to each other. Both sides are played with one font; ``changed`` compares what sounds. A
    pair that is not found or does not sound, or whose tag is not present on one side and absent on the other, says why
    in ``error``.
    """
    made: list[dict[str, Any]] = []
    for _, both in rows.groupby("pair_id", sort=False):
        made += _play_pair(_records(both), source, fonts, sample_rate, channels)
    order = {row_id: place for place, row_id in enumerate(rows["id"])}
    return _frame(sorted(made, key=lambda row: order[row["id"]]))


def _play_pair(
    rows: list[dict[str, Any]], source: Source, fonts: Sequence[Path], sample_rate: int, channels: int
) -> list[dict[str, Any]]:
    tag, number = rows[0]["tag"], int(rows[0]["number"])
    found = find(source, tag, number, None)
    shared: dict[str, Any] = {
        "split": found.part if found else None,
        "means": found.pair.means if found else None,
        "changed": [],
    }
    if found is None:
        reason = f"expected a context in which {tag} can be put in and left out, got none in {source.tries} tries"
        return [row | shared | {"tags": [tag]} | table.failed([tag], seed=source.seed, reason=reason) for row in rows]
    font = fonts[row_seed(f"{tag} {number} font", source.seed) % len(fonts)]
    sides = {"with": found.pair.holding, "without": found.pair.lacking}
    form = {"sample_rate": sample_rate, "channels": channels}

    def rows_that(sound: Callable[[dict[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
        return [row | shared | {"tags": sides[row["side"]].tags} | sound(row) for row in rows]

    def failing(reason: str) -> list[dict[str, Any]]:
        return rows_that(lambda row: table.failed(sides[row["side"]].tags, seed=found.seed, reason=reason))

    try:
        clips = {name: _perform(side, source, font, **form) for name, side in sides.items()}
    except ValueError as error:
        return failing(str(error))
    held, lacked = clips["with"].truth, clips["without"].truth
    shared["changed"] = pairs.changed(tag, held, lacked, source.taxonomy)
    if tag not in held.present or tag not in lacked.absent:
        return failing(f"expected {tag} to tell the sides apart once mixed")
    told: dict[str, Any] = {
        "seed": found.seed,
        "font": font.name,
        "sample_rate": sample_rate,
        "taxonomy": source.taxonomy,
    }
    return rows_that(lambda row: table.sound(clips[row["side"]], sides[row["side"]].tags, name=row["id"], **told))


def _perform(side: pairs.Side, source: Source, font: Path, *, sample_rate: int, channels: int) -> soundfont.Clip:
    return soundfont.perform(
        side.piece, duration=source.duration, taxonomy=source.taxonomy, soundfont=font, sample_rate=sample_rate,
        channels=channels,
    )  # fmt: skip


def design(
    source: Source, tags: Sequence[str], *, count: int, fonts: Sequence[Path], sample_rate: int, channels: int
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """Choose positives and negatives for each concept whose other tags are equally frequent.

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

    Returns:
        The rows to play (``id``, ``concept``, ``positive``, ``part``, ``group``, ``number``, ``place``), the table of
        balance as ``balance.table``, with the tags that are not compared in ``apart``, and of concepts for which too
        few pairs are found the reason.

    Raises:
        ValueError: If no concept has enough pairs.
    """
    for font in fonts:
        Bank.load(font)  # a font that cannot be read is no fault of the pairs
    rows, tables, short = [], [], {}
    form = {"sample_rate": sample_rate, "channels": channels}
    parts = {"test": round(count * _TEST), "train": count - round(count * _TEST)}
    for tag in tqdm(tags, desc="find pairs", unit="concept"):
        try:
            found = _candidates(source, tag, parts, fonts, form)
        except contexts.NoContext as error:
            short[tag] = str(error)
            continue
        strata = [one.part for one in found]
        if few := [
            f"{strata.count(part)} of {most} pairs to {part}"
            for part, most in parts.items()
            if strata.count(part) < most
        ]:
            short[tag] = f"found {' and '.join(few)}: give more --tries, or contexts in which it can be left out"
            continue
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
        raise ValueError(
            f"expected a concept with enough pairs, {'; '.join(f'{tag}: {why}' for tag, why in short.items())}"
        )
    return pd.DataFrame(rows), pd.concat(tables, ignore_index=True), short


@lru_cache(maxsize=512)
def _kin(source: Source, tag: str) -> frozenset[str]:
    return frozenset(pairs.related(tag, source.taxonomy) | ties.alike(tag))


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
            one = find(source, tag, number, part)
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
        held, lacked = (_perform(side, source, font, **form).truth for side in (found.pair.holding, found.pair.lacking))
    except ValueError:
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
    for row in _records(rows):
        tag, part = row["concept"], row["part"]
        font = _font(fonts, source, tag, int(row["number"]), part)
        found = attempt(source, tag, int(row["number"]), int(row["place"]), part)
        if found is None:
            raise AssertionError("a pair that was found once is found again")
        side = found.pair.holding if row["positive"] else found.pair.lacking
        try:
            clip = _perform(side, source, font, sample_rate=sample_rate, channels=channels)
            if tag not in (clip.truth.present if row["positive"] else clip.truth.absent):
                raise ValueError(f"expected {tag} to be as designed once mixed, got otherwise")
            sound = table.sound(
                clip, side.tags, name=row["id"], seed=found.seed, font=font.name, sample_rate=sample_rate,
                taxonomy=source.taxonomy,
            )  # fmt: skip
        except ValueError as error:
            sound = table.failed(side.tags, seed=found.seed, reason=str(error))
        done.append(row | {"tags": side.tags} | sound)
    return _frame(done)


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in rows[0]})
