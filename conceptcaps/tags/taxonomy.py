"""Canonical tags: their categories, aliases and exclusions; matching of free text; encoding as binary rows."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import yaml

from conceptcaps.errors import InputError
from conceptcaps.tags.matcher import Matcher

CATEGORIES = ("genre", "mood", "instrument", "tempo")
BUILTIN = Path(__file__).with_name("taxonomy.yaml")


def tag_set_id(tags: Iterable[str], *, seed: int | None = None, caption: str | None = None) -> str:
    """First 16 hex digits of the SHA-256 of a tag set, and of its seed and caption where given.

    Args:
        tags: Tag names; order and repetition do not count.
        seed: Seed that the row was made with.
        caption: Caption of the row.

    >>> tag_set_id(["piano", "jazz"]) == tag_set_id(["jazz", "piano"])
    True
    >>> tag_set_id(["jazz"], seed=0) == tag_set_id(["jazz"], seed=1)
    False
    """
    identity = json.dumps([sorted(set(tags)), seed, caption], ensure_ascii=False)
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


class Taxonomy:
    """Canonical tags with category, definition, aliases, parent and exclusions, and a matcher compiled from them.

    Attributes:
        tags: Tag names in the file's order; the columns of ``encode``.
        categories: The four category names.
        exclusions: Groups of tags of which at most one may hold. A tag of absence makes one pair with each tag that it
            negates and with each descendant of those.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        """Compile a taxonomy from the content of its file; ``load`` is the usual way in."""
        self._content = content
        self._entries = _entries(content)
        self.tags: tuple[str, ...] = tuple(self._entries)
        self.categories = CATEGORIES
        self._index = {tag: column for column, tag in enumerate(self.tags)}
        self._ancestors = {tag: _ancestors(tag, self._entries) for tag in self.tags}
        self.exclusions: list[tuple[str, ...]] = self._all_exclusions()
        self._matcher = Matcher(content, ancestors=self._ancestors)

    def __reduce__(self) -> tuple[type["Taxonomy"], tuple[Mapping[str, Any]]]:
        """Travel to another process as content: what was found so far stays here."""
        return type(self), (self._content,)

    @classmethod
    def load(cls, path: str | Path | None = None) -> Self:
        """Read a taxonomy.

        Args:
            path: YAML in the schema of the built-in file, or JSON that maps each category to a list of names (the
                reference implementation's schema). None reads the 200 built-in tags.

        Raises:
            InputError: If a category, parent, exclusion or name is not what it should be.
        """
        source = BUILTIN if path is None else Path(path)
        content = yaml.safe_load(source.read_text(encoding="utf-8"))  # YAML contains JSON
        if not isinstance(content, dict):
            raise InputError(f"expected a taxonomy with categories or a list of tags in {source}, got {content!r:.60}")
        if "tags" not in content:
            content = {"tags": [{"name": name, "category": key} for key, names in content.items() for name in names]}
        return cls(content)

    def save(self, path: str | Path) -> None:
        """Write the taxonomy as YAML that ``load`` reads back to an equal one."""
        Path(path).write_text(self.to_yaml(), encoding="utf-8")

    def to_yaml(self) -> str:
        """The text that ``save`` writes."""
        return yaml.safe_dump(dict(self._content), sort_keys=False, allow_unicode=True, width=120)

    # --- facts about a tag ---

    def category(self, tag: str) -> str:
        """Category of a tag: genre, mood, instrument or tempo."""
        return str(self._entry(tag)["category"])

    def definition(self, tag: str) -> str:
        """What a listener must hear for the tag to hold; empty if the file does not say."""
        return str(self._entry(tag).get("definition", ""))

    def parent(self, tag: str) -> str | None:
        """The broader tag that a tag implies (``alternative rock`` implies ``rock``), or None."""
        return self._entry(tag).get("parent")

    def ancestors(self, tag: str) -> list[str]:
        """Parent, parent's parent and so on, nearest first."""
        self._column(tag)
        return list(self._ancestors[tag])

    def polarity(self, tag: str) -> Literal["present", "absent"]:
        """``absent`` for tags that say something is not there, such as ``no percussion``."""
        return "absent" if self._entry(tag).get("negates") else "present"

    def surface_forms(self, tag: str) -> list[str]:
        """Name and phrases that assert the tag anywhere, the name first."""
        entry = self._entry(tag)
        return list(dict.fromkeys([tag, *entry.get("aliases", [])]))

    def closure(self, tags: Iterable[str]) -> set[str]:
        """The tags and all their ancestors: what a set asserts, said or implied.

        A caption misses ``set(tags) - closure(find(caption))`` and invents ``set(find(caption)) - closure(tags)``.
        """
        present = set(tags)
        return present.union(*map(self.ancestors, present))

    def implied(self, tags: Iterable[str]) -> list[str]:
        """Ancestors of the tags that are not among them, sorted: true of the row, though nobody named them.

        >>> Taxonomy.load().implied(["alternative rock", "jazz"])
        ['rock']
        """
        present = set(tags)
        return sorted(self.closure(present) - present)

    # --- text to tags ---

    def resolve(self, name: str) -> str:
        """The tag of a name as somebody types it: itself, or the only tag that the matcher finds in it as it stands.

        Raises:
            InputError: If there is no such tag, or more than one.

        >>> Taxonomy.load().resolve("Jazz"), Taxonomy.load().resolve("hip-hop")
        ('jazz', 'hip hop')
        """
        found = [name] if name in self._index else self._matcher.match(name, mended=False)
        return found[0] if len(found) == 1 else self.tags[self._column(name)]

    def match(self, aspect: str) -> list[str]:
        """Tags that a free-form aspect asserts, sorted; empty if it maps to none.

        Of a tag and its ancestor the tag alone is given.

        >>> taxonomy = Taxonomy.load()
        >>> taxonomy.match("sustained strings melody"), taxonomy.match("no guitar"), taxonomy.match("drum and bass")
        (['strings'], [], ['drum and bass'])
        """
        return list(self._matcher.match(aspect))

    def find(self, text: str) -> list[str]:
        """Tags that a caption asserts, sorted. Negated ones are left out, or found as a tag of absence.

        >>> Taxonomy.load().find("A waltz for solo piano, without drums or vocals. No guitar.")
        ['instrumental', 'no percussion', 'piano', 'waltz time']
        """
        return list(self._matcher.find(text))

    # --- tags to arrays ---

    def encode(self, tag_sets: Sequence[Iterable[str]]) -> npt.NDArray[np.bool_]:
        """Binary matrix ``(n, len(tags))``: row i is True in the columns of the i-th set.

        Raises:
            InputError: If a tag is not in the taxonomy.
        """
        matrix = np.zeros((len(tag_sets), len(self.tags)), dtype=np.bool_)
        pairs = [(row, self._column(tag)) for row, tags in enumerate(tag_sets) for tag in tags]
        if pairs:
            rows, columns = np.asarray(pairs).T
            matrix[rows, columns] = True
        return matrix

    def decode(self, matrix: npt.ArrayLike) -> list[list[str]]:
        """Sorted tag names of each row of a binary matrix ``(n, len(tags))``; the inverse of ``encode``."""
        array = np.asarray(matrix, dtype=np.bool_)
        if array.ndim != 2 or array.shape[1] != len(self.tags):
            raise InputError(f"expected a matrix (n, {len(self.tags)}), got {array.shape}")
        alphabetical = np.argsort(self.tags)
        rows, columns = np.nonzero(array[:, alphabetical])
        names = np.asarray(self.tags, dtype=object)[alphabetical][columns]
        starts = np.searchsorted(rows, np.arange(len(array) + 1))
        return [names[start:end].tolist() for start, end in itertools.pairwise(starts)]

    def contradictions(self, tags: Iterable[str]) -> list[tuple[str, ...]]:
        """Exclusion groups of which more than one tag is in the set, each cut to those tags."""
        present = set(tags)
        clashes = (tuple(tag for tag in group if tag in present) for group in self.exclusions)
        return [clash for clash in clashes if len(clash) > 1]

    # --- compilation ---

    def _entry(self, tag: str) -> Mapping[str, Any]:
        self._column(tag)
        return self._entries[tag]

    def _column(self, tag: str) -> int:
        if tag not in self._index:
            near = [*self.match(tag), *get_close_matches(tag, self.tags, n=3)]
            hint = f"; near: {', '.join(dict.fromkeys(near))}" if near else ""
            raise InputError(f"expected one of the taxonomy's {len(self.tags)} tags, got {tag!r}{hint}")
        return self._index[tag]

    def _all_exclusions(self) -> list[tuple[str, ...]]:
        groups = [tuple(group) for group in self._content.get("exclusions") or []]
        for tag in self.tags:
            negated = self._entries[tag].get("negates", [])
            groups += [(tag, other) for other in self.tags if {other, *self.ancestors(other)} & set(negated)]
        for group in groups:
            for tag in group:
                self._column(tag)
        return list(dict.fromkeys(groups))


def _ancestors(tag: str, entries: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    found = [tag]
    while (above := entries[found[-1]].get("parent")) is not None:
        if above in found:
            raise InputError(f"expected parents that lead to a tag without one, got {' -> '.join([*found, above])}")
        found.append(above)
    return tuple(found[1:])


def _entries(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    entries: dict[str, Mapping[str, Any]] = {}
    for entry in content["tags"]:
        if entry["category"] not in CATEGORIES:
            raise InputError(f"expected a category of {', '.join(CATEGORIES)}, got {entry['category']!r}")
        if entry["name"] in entries:
            raise InputError(f"expected each tag once, got {entry['name']!r} again")
        entries[entry["name"]] = entry
    if not entries:
        raise InputError("expected at least one tag, got none")
    for name, entry in entries.items():
        for other in (entry.get("parent", name), *entry.get("negates", [])):
            if other not in entries:
                raise InputError(f"expected a tag of the taxonomy as parent or negated by {name!r}, got {other!r}")
    return entries
