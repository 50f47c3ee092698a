"""Named random streams: one for every musical decision, so that one decision never shifts another."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Option = TypeVar("Option")


@dataclass(frozen=True)
class Streams:
    """Random numbers by name.

    What is drawn for ``("tempo",)`` or ``("bass", "line")`` depends on the seed and that name alone, never on what else
    was drawn before. Adding a part or a tag therefore leaves every decision that it does not govern as it was.
    """

    seed: int

    def of(self, *names: object) -> random.Random:
        """A new generator at the start of the named stream, the same in every process."""
        return random.Random(self._name(names))

    def share(self, *names: object) -> float:
        """The named number in [0, 1)."""
        return self.of(*names).random()

    def deviation(self, *names: object) -> float:
        """A named number in [0, 1) for every single note: a hash, which takes less time than the start of a stream."""
        return int.from_bytes(hashlib.blake2b(self._name(names).encode(), digest_size=6).digest()) / 2**48

    def pick(self, options: Sequence[Option], *names: object) -> Option:
        """One of the options, by the named number: equal numbers pick equal places of longer and shorter lists."""
        return options[int(self.share(*names) * len(options))]

    def _name(self, names: Sequence[object]) -> str:
        return "/".join(map(str, (self.seed, *names)))
