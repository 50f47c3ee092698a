"""What is asked for besides a concept: tag sets drawn from a table, or by seed from what the backend can make."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from conceptcaps.audio import makeable, pairs
from conceptcaps.errors import InputError
from conceptcaps.tags import carried
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import hashing, shards

_DRAWS = 1000  # of contexts, until one belongs to a part
_TEST = 4  # one context in so many belongs to the test part
_SHARES = {"genre": 0.7, "mood": 0.5, "tempo": 0.4}
_INSTRUMENTS = (1, 3)


class NoContext(InputError):
    """No context of a tag belongs to the part that is asked for."""


class Source(NamedTuple):
    """Where pairs come from: everything that a pair depends on besides its tag and its number.

    Attributes:
        known: Tag sets to draw contexts from; empty to put them together.
        possible: Tags that the backend can make.
        duration: Length of a clip (s).
        seed: Of every draw.
        taxonomy: Of all tags.
        tries: How many contexts are tried for a pair in which nothing else changes.
    """

    known: tuple[tuple[str, ...], ...]
    possible: tuple[str, ...]
    duration: float
    seed: int
    taxonomy: Taxonomy
    tries: int

    @classmethod
    def open(cls, folder: Path | None, *, duration: float, seed: int, tries: int) -> "Source":
        """Tag sets and taxonomy of a folder; without one, contexts are put together and the taxonomy is built in."""
        taxonomy = Taxonomy.load() if folder is None else carried.taxonomy_of(folder)
        known = () if folder is None else tuple(tuple(tags) for tags in read(folder))
        return cls(known, tuple(makeable.makeable(taxonomy)), duration, seed, taxonomy, tries)

    def digest(self) -> str:
        """Sha256 (hex) of the tag sets and of what can be made: a folder may hold others under the same name."""
        return hashing.digest([self.known, self.possible])


def read(folder: Path) -> list[list[str]]:
    """Tag sets of a folder: of finished shards, or of Parquet files with a column ``tags``.

    Those whose ``split`` is ``test`` are left out: detectors are trained on clips of contexts.

    Raises:
        InputError: If there are none.
    """
    if (folder / shards.MANIFEST).exists():
        there = [name for name in ("tags", "split") if name in shards.schema(str(folder)).names]
        tables, count = [shards.read(str(folder), columns=there)], 1
    else:
        files = sorted(folder.glob("*.parquet"))
        columns = {path: {"tags", "split"} & {*pq.read_schema(path).names} for path in files if path.stem != "test"}
        tables, count = [pd.read_parquet(path, columns=sorted(own)) for path, own in columns.items()], len(files)
    learnt = [table[table["split"] != "test"] if "split" in table else table for table in tables]
    found = [list(tags) for table in learnt if "tags" in table for tags in table["tags"]]
    if not found:
        raise InputError(
            f"expected shards or Parquet files with a column tags, and rows that are not of split test, in {folder}, "
            f"got {count} files"
        )
    return found


def part(context: Sequence[str]) -> str:
    """``train`` or ``test``: the same for equal contexts, one in four is for testing."""
    return "test" if int(hashing.digest(sorted(context))[:8], 16) % _TEST == 0 else "train"


def draw(
    known: Sequence[Sequence[str]],
    possible: Sequence[str],
    *,
    tag: str,
    seed: int,
    wanted: str | None,
    taxonomy: Taxonomy,
) -> list[str]:
    """One context of a tag, cut to what the backend can make and to what fits the tag (``pairs.fitting``).

    Args:
        known: Tag sets to draw from; empty to put one together of a genre, a mood, a tempo and instruments.
        possible: Tags that the backend can make.
        tag: What the context is for.
        seed: Decides.
        wanted: ``train`` or ``test`` to draw until the context, as cut, belongs to that part, None for any.
        taxonomy: Gives categories, ancestors and exclusions.

    Raises:
        NoContext: If none of many that are drawn belongs to the part.
    """
    generator = np.random.default_rng(seed)
    for _ in range(_DRAWS):
        if known:
            drawn = sorted(set(known[int(generator.integers(len(known)))]) & set(possible))
        else:
            drawn = _put_together(possible, generator, taxonomy)
        found = pairs.fitting(drawn, tag, taxonomy)
        if wanted is None or part(found) == wanted:
            return found
    raise NoContext(
        f"expected contexts of {tag} that belong to {wanted}, got none in {_DRAWS} draws from {len(known)}; give more "
        "--contexts, or auto"
    )


def _put_together(possible: Sequence[str], generator: np.random.Generator, taxonomy: Taxonomy) -> list[str]:
    by_category = {name: [tag for tag in possible if taxonomy.category(tag) == name] for name in taxonomy.categories}
    found: list[str] = []
    for name, tags in by_category.items():
        low, high = _INSTRUMENTS
        many = generator.random() < _SHARES.get(name, 1.0)
        count = int(generator.integers(low, high + 1)) if name == "instrument" else int(many)
        for tag in generator.permutation(tags)[:count].tolist():
            if not taxonomy.contradictions([*found, tag]):
                found.append(tag)
    return sorted(found)
