"""Which tags the rules of truth.yaml tie together: where one changes, the other may change too, or must."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

from conceptcaps.audio.truth.rules import table
from conceptcaps.tags import dialect

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


@cache
def opposed(tag: str) -> frozenset[str]:
    """Tags that no clip can hold together with a tag: the rule of one leaves nothing to that of the other.

    A feature has two ranges without a common value (the thirds of a major and a minor mood, the tempi of a genre and of
    a tempo's tag), or one rule forbids what the other tag is or needs. Since a tag also holds where one below it does,
    the rules of all tags below the two have to be opposed.

    >>> "slow tempo" in opposed("happy"), "sad" in opposed("happy"), "piano" in opposed("happy")
    (True, True, False)
    """
    return frozenset(
        other
        for other in dialect.native().tags
        if all(_opposed(*sorted(pair)) for pair in product(_below(tag), _below(other)))
    )


@cache
def _below(tag: str) -> tuple[str, ...]:
    native = dialect.native()
    return tuple(name for name in native.tags if tag in (name, *native.ancestors(name)))


@cache
def _opposed(one: str, other: str) -> bool:
    bounds, others = _bounds(one), _bounds(other)
    shared = bounds.keys() & others.keys()
    apart = any(max(bounds[name][0], others[name][0]) > min(bounds[name][1], others[name][1]) for name in shared)
    return apart or _forbids(one, other) or _forbids(other, one)


def _bounds(tag: str) -> dict[str, tuple[float, float]]:
    """Ranges of features that a tag's rule demands; the tempo is one, whatever it is called."""
    rule = table()["tags"].get(tag, {})
    pace = _tempo(rule)
    ranges = {name: (float(low), float(high)) for name, (low, high) in _demands(rule, Sequence)}
    return {name: bound for name, bound in ranges.items() if name != "tempo"} | ({"bpm": pace} if pace else {})


def _forbids(one: str, other: str) -> bool:
    """Whether a tag's rule wants the absence of another tag, or of each of several of which that one needs one."""
    rules = table()["tags"]
    barred = [tag for names, wanted in _demands(rules.get(one, {}), bool) if not wanted for tag in names.split(" or ")]
    absent = {below for tag in barred for below in _below(tag)}
    needed = [{tag} for tag in (other, *dialect.native().ancestors(other))]
    needed += [set(names.split(" or ")) for names, wanted in _demands(rules.get(other, {}), bool) if wanted]
    return any(names <= absent for names in needed)


def _demands(rule: Mapping[str, Any], kind: type) -> list[tuple[str, Any]]:
    return [(name, wanted) for name, wanted in rule.get("all", {}).items() if isinstance(wanted, kind)]


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
