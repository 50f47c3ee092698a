"""Which tags the soundfont backend makes true when it is asked for them: computed from what it composes."""

import json
from collections.abc import Sequence

from conceptcaps.audio import composition
from conceptcaps.audio.truth import truth
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
