"""Which tags the rules of truth.yaml tie together: where one changes, the other may change too, or must."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from conceptcaps.audio.truth.rules import table

_SURE = 0.4  # bound of the third of a mood that lives by its mode
_SHARED = 0.4  # of two ranges of tempo
_COUNTS = {"sources", "others", "families"}  # features that any instrument moves
_SOUNDS = {"programs": "program", "maybe": "program", "keys": "key", "maybe_keys": "key"}


@cache
def tied(tag: str) -> frozenset[str]:
    """Tags whose rule shares evidence with that of a tag, the tag itself left out.

    A rule names the other tag, or one that sounds like it; both ask for one program or piece of the kit; one counts
    players and the other is a player; or both bound the tempo and no tempo fits both. What hangs together by degrees,
    as moods do that look at the same cues, is not tied.

    >>> "keyboard" in tied("electric piano"), "ballad" in tied("fast tempo"), "violin" in tied("piano")
    (True, True, False)
    """
    rules = table()["tags"]
    return frozenset(other for other in rules if other != tag and _together(tag, other))


@cache
def alike(tag: str) -> frozenset[str]:
    """Tags that are the same event as a tag in a score, so that neither can be balanced over the other.

    Sounds of which one's programs and pieces hold the other's, and moods that ask for the same third and mostly the
    same tempi: they differ in degrees only (happy, youthful, upbeat; sad, melancholic).

    >>> sorted(alike("sad")), "keyboard" in alike("electric piano")
    (['dark', 'emotional', 'melancholic', 'ominous'], True)
    """
    rules = table()["tags"]
    return frozenset(other for other in rules if other != tag and _same(rules.get(tag, {}), rules[other]))


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    sounds, others = _sounds(one), _sounds(other)
    if sounds and others:
        return sounds <= others or others <= sounds
    conditions = one.get("all", {}), other.get("all", {})
    if not all({"third", "bpm"} <= set(each) for each in conditions):
        return False
    (low, high), (least, most) = (each["bpm"] for each in conditions)
    shared = (min(high, most) - max(low, least)) / (max(high, most) - min(low, least))
    thirds = [low if low > 0 else high for low, high in (each["third"] for each in conditions)]
    sure = all(abs(bound) >= _SURE for bound in thirds)
    return bool(sure and thirds[0] * thirds[1] > 0 and shared > _SHARED)


def _together(one: str, other: str) -> bool:
    rules = table()["tags"]
    first, second = rules.get(one, {}), rules[other]
    if _speaks(second, one) or _speaks(first, other):
        return True
    if _sounds(first) & _sounds(second):
        return True
    if (_sounds(first) and _counts(second)) or (_sounds(second) and _counts(first)):
        return True
    pace, bound = _tempo(first), _tempo(second)
    return bool(pace and bound and (pace[1] < bound[0] or bound[1] < pace[0]))


def _speaks(rule: Mapping[str, Any], tag: str) -> bool:
    """Whether a rule names a tag, or a tag with a program or piece in common."""
    rules, named = table()["tags"], _named(rule)
    sounds = _sounds(rules.get(tag, {}))
    return tag in named or any(sounds & _sounds(rules[each]) for each in named if each in rules)


def _parts(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield rule
    for each in rule.get("any", []):
        yield from _parts(each)


def _named(rule: Mapping[str, Any]) -> set[str]:
    conditions = [name for part in _parts(rule) for name in {**part.get("all", {}), **part.get("cues", {})}]
    return {tag for name in conditions for tag in name.split(" or ")} | set(rule.get("needs", []))


def _sounds(rule: Mapping[str, Any]) -> set[tuple[str, int]]:
    return {(kind, each) for part in _parts(rule) for name, kind in _SOUNDS.items() for each in part.get(name, [])}


def _counts(rule: Mapping[str, Any]) -> bool:
    return bool(_COUNTS & {name for part in _parts(rule) for name in part.get("all", {})})


def _tempo(rule: Mapping[str, Any]) -> tuple[float, float] | None:
    conditions = rule.get("all", {})
    found = conditions.get("tempo") or conditions.get("bpm")
    return (float(found[0]), float(found[1])) if found else None
