"""Which tags the soundfont backend makes true when it is asked for them: computed from what it composes."""

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conceptcaps.audio import composition
from conceptcaps.audio.truth import ties, truth
from conceptcaps.errors import InputError
from conceptcaps.tags import dialect
from conceptcaps.tags.sampling import split_tags
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import cache, files, hashing, project

_SEEDS = (101, 102, 103)
_DURATION = 10.0


def makeable(taxonomy: Taxonomy) -> list[str]:
    """Tags of a taxonomy that hold in two of three pieces composed for them alone, in the taxonomy's order.

    What was found is kept in the cache until the composer, the rules or the taxonomy change.
    """
    shape = [[tag, taxonomy.category(tag), taxonomy.ancestors(tag)] for tag in taxonomy.tags]
    key = hashing.digest([project.code_hash(__file__), shape, [list(group) for group in taxonomy.exclusions]])
    path = cache.root() / "makeable" / f"{key}.json"
    if not path.exists():
        strange = dialect.meaningless(taxonomy)
        found = [tag for tag in taxonomy.tags if tag not in strange and _holds(tag, taxonomy)]
        with files.whole(path) as target:
            target.write_text(json.dumps(found), encoding="utf-8")
    names: list[str] = json.loads(path.read_text(encoding="utf-8"))
    return names


def unmakeable(taxonomy: Taxonomy) -> list[str]:
    """The other tags, of which the soundfont backend makes no true clip, in the taxonomy's order."""
    possible = set(makeable(taxonomy))
    return [tag for tag in taxonomy.tags if tag not in possible]


def fighting(taxonomy: Taxonomy) -> list[tuple[str, str]]:
    """Pairs of a taxonomy's tags that no clip can hold together by the rules of truth, in the taxonomy's order."""
    meant = dialect.meanings(taxonomy) or {tag: (tag,) for tag in taxonomy.tags}
    opposed = {tag: {name for own in meaning for name in ties.opposed(own)} for tag, meaning in meant.items()}
    return [(one, other) for one, other in combinations(taxonomy.tags, 2) if not opposed[one].isdisjoint(meant[other])]


def limits(condition: Sequence[str], taxonomy: Taxonomy) -> dict[str, Any]:
    """``condition`` and ``never_together`` of ``sampling.sample`` for sets that the backend can make true."""
    barred = [f"-{tag}" for tag in unmakeable(taxonomy)]
    return {"condition": [*condition, *barred], "never_together": fighting(taxonomy)}


def restricted(rows: NDArray[np.bool_], condition: Sequence[str], taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """Real rows ``(n, tags)`` without tags that are not makeable, but for those rows in which tags fight.

    Pairs that the condition asks for do not count.
    """
    possible = rows & ~np.isin(taxonomy.tags, unmakeable(taxonomy))
    wanted = {taxonomy.resolve(tag) for tag in condition if not tag.startswith("-")}
    pairs = [pair for pair in fighting(taxonomy) if not {*pair} <= wanted]
    for one, other in taxonomy.encode(pairs).nonzero()[1].reshape(-1, 2):
        possible = possible[~(possible[:, one] & possible[:, other])]
    return possible


def _holds(tag: str, taxonomy: Taxonomy) -> bool:
    hits = 0
    for seed in _SEEDS:
        piece = composition.compose([tag], duration=_DURATION, seed=seed, taxonomy=taxonomy)
        hits += tag in truth(piece, duration=_DURATION, taxonomy=taxonomy).present
    return hits >= 2


def chosen(text: str, possible: Sequence[str]) -> list[str]:
    """Tags of a list ``piano,violin``, all of them possible; ``all`` stands for every possible tag.

    Raises:
        InputError: Names those that are not possible, or says that there are none.

    >>> chosen("piano, violin", ["violin", "piano", "rock"])
    ['piano', 'violin']
    """
    tags = list(possible) if text == "all" else split_tags(text)
    missing = sorted(set(tags) - set(possible))
    if missing or not tags:
        raise InputError(f"expected tags that the soundfont backend can make true, got {missing or 'none'}")
    return tags
