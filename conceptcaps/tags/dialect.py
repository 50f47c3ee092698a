"""What the tags of another taxonomy mean in the built-in one, whose tags the composer and its rules know."""

from collections.abc import Iterable, Sequence
from functools import cache

from conceptcaps.tags.taxonomy import Taxonomy


@cache
def native() -> Taxonomy:
    """The built-in taxonomy."""
    return Taxonomy.load()


def meanings(taxonomy: Taxonomy) -> dict[str, tuple[str, ...]] | None:
    """Built-in tags that each tag of a taxonomy means, by its name or by the matcher; none for one that means nothing.

    A name of which the matcher understands a part means that part: "flat male vocal" means male vocals.

    None for a taxonomy of the built-in tags.
    """
    if set(taxonomy.tags) == set(native().tags):
        return None
    return {tag: _meaning(tag) for tag in taxonomy.tags}


@cache
def _meaning(tag: str) -> tuple[str, ...]:
    return (tag,) if tag in native().tags else tuple(native().match(tag))


def meaningless(taxonomy: Taxonomy) -> list[str]:
    """Tags of a taxonomy that mean nothing in the built-in one."""
    return [tag for tag, meaning in (meanings(taxonomy) or {}).items() if not meaning]


def translated(tags: Iterable[str], taxonomy: Taxonomy) -> tuple[list[str], Taxonomy]:
    """Tags of a taxonomy in built-in tags, sorted, with the built-in taxonomy; built-in ones as they are, with theirs.

    Another taxonomy need not know what excludes what: of meanings that contradict each other the first one stays, in
    the order of the tags.

    >>> names = ["e-guitar", "no voices", "male vocal"]
    >>> other = Taxonomy({"tags": [{"name": name, "category": "instrument"} for name in names]})
    >>> translated(names, other)[0]
    ['electric guitar', 'instrumental']
    """
    known = meanings(taxonomy)
    if known is None:
        return sorted(set(tags)), taxonomy
    kept: list[str] = []
    for own in (own for tag in tags for own in known.get(tag, ())):
        if own not in kept and not _contradicted(own, kept):
            kept.append(own)
    return sorted(kept), native()


def _contradicted(tag: str, others: Sequence[str]) -> bool:
    return bool(native().contradictions([*native().closure(others), tag, *native().ancestors(tag)]))
