"""Which tags hang together by the rules of truth.yaml: where one changes, the other may have to."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from conceptcaps.audio.truth.rules import table

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
