"""Tables of pairs: found by composing alone, then played and judged as they sound."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa

from conceptcaps.audio import contexts, pairs, soundfont, table
from conceptcaps.audio.contexts import Source
from conceptcaps.audio.pairs import Pair
from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import tag_set_id
from conceptcaps.workspace.hashing import row_seed

SIDES = ("with", "without")
TRIES = 24
_STRINGS = pa.list_(pa.string())
PAIR_FIELDS = [
    ("id", pa.string()), ("pair_id", pa.string()), ("tag", pa.string()), ("side", pa.string()), ("tags", _STRINGS),
    ("split", pa.string()), ("means", pa.string()), ("changed", _STRINGS), *table.SOUND,
]  # fmt: skip


class Found(NamedTuple):
    """A pair, the seed of its pieces, the part of its context, and which of the tries it was."""

    pair: Pair
    seed: int
    part: str
    place: int


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
        made += _play_pair(records(both), source, fonts, sample_rate, channels)
    order = {row_id: place for place, row_id in enumerate(rows["id"])}
    return frame(sorted(made, key=lambda row: order[row["id"]]))


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
        clips = {name: perform(side, source, font, **form) for name, side in sides.items()}
    except InputError as error:
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


def perform(side: pairs.Side, source: Source, font: Path, *, sample_rate: int, channels: int) -> soundfont.Clip:
    """Play a side of a pair, and judge what sounds."""
    return soundfont.perform(
        side.piece, duration=source.duration, taxonomy=source.taxonomy, soundfont=font, sample_rate=sample_rate,
        channels=channels,
    )  # fmt: skip


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows by column."""
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """What ``records`` took apart, of any values."""
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in rows[0]})
