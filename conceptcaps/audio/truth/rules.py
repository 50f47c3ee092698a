"""Rules of truth.yaml applied to what sounds: each tag is present, absent or unknown (Kleene's three values)."""

import math
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from conceptcaps.audio.truth.features import Lines, features, part_lines
from conceptcaps.audio.truth.harmony import Harmony, tonality
from conceptcaps.audio.truth.sounding import AUDIBLE, LOST, Sounding, Source
from conceptcaps.tags import dialect
from conceptcaps.tags.taxonomy import Taxonomy

TABLE = Path(__file__).with_name("truth.yaml")
PRESENT, UNKNOWN, ABSENT = 1, 0, -1
_MOST, _FEW = 2 / 3, 1 / 3

Rule = Mapping[str, Any]


@cache
def table() -> Mapping[str, Any]:
    """Content of ``truth.yaml``."""
    content: Mapping[str, Any] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return content


def decide(judge: "Judge", taxonomy: Taxonomy) -> dict[str, int]:
    """1, 0 or -1 (present, unknown, absent) for every tag of a taxonomy.

    A tag without a rule is unknown; one of another taxonomy holds if all that it means does. Presence is handed up to
    ancestors, absence down to descendants; of tags that exclude each other the presence of one is the absence of the
    others. Where nothing sounds everything is absent.
    """
    if not len(judge.music.start):
        return dict.fromkeys(taxonomy.tags, ABSENT)
    foreign = dialect.meanings(taxonomy)
    if foreign is None:
        values = {tag: judge.tag(tag) for tag in taxonomy.tags}
    else:
        own = decide(judge, dialect.native())
        values = {tag: min((own[each] for each in meant), default=UNKNOWN) for tag, meant in foreign.items()}
    for tag in taxonomy.tags:
        if values[tag] == PRESENT:
            values |= dict.fromkeys(taxonomy.ancestors(tag), PRESENT)
    for tag in taxonomy.tags:
        if any(values[above] == ABSENT for above in taxonomy.ancestors(tag)):
            values[tag] = ABSENT
    for group in taxonomy.exclusions:
        if any(values[tag] == PRESENT for tag in group):
            values |= {tag: ABSENT for tag in group if values[tag] == UNKNOWN}
    return values


class Judge:
    """Decides tags of one clip one by one; what a rule does not ask for is not computed."""

    def __init__(self, music: Sounding) -> None:
        """Judge what sounds."""
        self.music = music
        self._rules, self._tolerance = table()["tags"], table()["features"]
        self._found: dict[str, int] = {}

    @cached_property
    def lines(self) -> Lines:
        """Melodic parts with the features of their lines."""
        return part_lines(self.music)

    @cached_property
    def harmony(self) -> Harmony:
        """Key and chords."""
        return tonality(self.music)

    @cached_property
    def numbers(self) -> dict[str, float]:
        """Features of the whole."""
        return features(self.music, self.harmony, self.lines)

    def tag(self, tag: str) -> int:
        """Value of a tag by its own rule; what its children say is added in the end."""
        if tag not in self._found:
            self._found[tag] = self._rule(self._rules[tag]) if tag in self._rules else UNKNOWN
        return self._found[tag]

    def _rule(self, rule: Rule) -> int:
        values = [UNKNOWN, *(self.tag(tag) for tag in rule.get("needs", []))] if rule.get("undecided") else []
        if "any" in rule:
            values.append(max(self._rule(each) for each in rule["any"]))
        elif "programs" in rule or "keys" in rule:
            values.append(self._sounds(rule))
        values += [self._condition(name, wanted) for name, wanted in rule.get("all", {}).items()]
        if "cues" in rule:
            values.append(_mostly([self._condition(*each) for each in rule["cues"].items()]))
        return min(values)

    def _sounds(self, rule: Rule) -> int:
        """Whether an instrument is heard, and does what its line should."""
        programs, keys = rule.get("programs", []), rule.get("keys", [])
        if "line" in rule:
            played = [
                min(
                    [
                        source.audible(),
                        *(self._within(line[name], wanted, name) for name, wanted in rule["line"].items()),
                    ]
                )
                for source, line in self.lines
                if source.program in programs
            ]
            return max(played, default=ABSENT)
        found = [source for source in self.music.sources if _among(source, programs, keys)]
        others, other_keys = rule.get("maybe", []), rule.get("maybe_keys", [])
        maybe = [source for source in self.music.sources if _among(source, others, other_keys)]
        sure = _heard(found, lasting=bool(rule.get("lasting")))
        return max(sure, min(UNKNOWN, _heard(maybe, lasting=False)))

    def _condition(self, name: str, wanted: object) -> int:
        if isinstance(wanted, bool):
            value = max(self.tag(one) for one in name.split(" or "))
            return value if wanted else -value
        assert isinstance(wanted, Sequence)
        if name == "tempo" and not math.isnan(self.numbers[name]):
            reached = {self._within(bpm, wanted, name) for bpm in self.music.tempi.tolist()}
            return reached.pop() if len(reached) == 1 else UNKNOWN  # a tempo that changes has no class of its own
        return self._within(self.numbers[name], wanted, name)

    def _within(self, value: float, wanted: Sequence[float], name: str) -> int:
        low, high = wanted
        if math.isnan(value):
            return UNKNOWN
        if low - 1e-6 <= value <= high + 1e-6:
            return PRESENT
        near = low - self._tolerance[name] <= value <= high + self._tolerance[name]
        return UNKNOWN if near else ABSENT


def _among(source: Source, programs: Sequence[int], keys: Sequence[int]) -> bool:
    return source.program in programs if source.key is None else source.key in keys


def _heard(sources: Sequence[Source], *, lasting: bool) -> int:
    """Whether sources that count as one instrument can be heard: one is loud enough, together they are enough."""
    if not sources:
        return ABSENT
    level = max(source.level for source in sources)
    if level < LOST:
        return ABSENT
    covered = sum(source.covered for source in sources)
    enough = covered >= 0.1 or (not lasting and sum(len(source.notes) for source in sources) >= 2)
    return PRESENT if enough and level >= AUDIBLE else UNKNOWN


def _mostly(values: Sequence[int]) -> int:
    """Present where two thirds of the cues hold, absent where under a third do; a cue that is unknown counts half."""
    share = sum((value + 1) / 2 for value in values) / len(values)
    return PRESENT if share >= _MOST - 1e-9 else ABSENT if share < _FEW else UNKNOWN
