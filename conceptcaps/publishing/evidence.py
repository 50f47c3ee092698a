"""Score, ear and text side by side: what sounds in a clip, what a detector hears, what its caption says."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

KINDS = {
    "unrealised": "asked for, and does not sound",
    "unheard": "sounds, or is named by the caption where no score tells, and its detector says absent",
    "misheard": "does not sound, and its detector says present",
    "missaid": "does not sound, and the caption names it",
}


@dataclass(frozen=True)
class Evidence:
    """What is known of one row.

    Attributes:
        contradictions: ``<kind>: <tag>``, kinds as in ``KINDS``, sorted.
        verified: Whether all that the row claims, by its tags and its caption, holds: every asked tag is shown to
            sound, and of no tag that is asked for or said a witness contradicts another. Where there is a score, it
            shows it; where there is none (a text-to-audio model), a detector has to hear the tag. A detector that hears
            what nobody claims is a contradiction and no claim: of a hundred detectors that are each wrong in 5 % of the
            clips without their tag, several are in nearly every clip.
    """

    contradictions: list[str]
    verified: bool


def weigh(
    *,
    asked: Collection[str],
    present: Collection[str],
    absent: Collection[str],
    verdicts: Mapping[str, str],
    said: Collection[str],
) -> Evidence:
    """Compare the three witnesses of a row.

    Args:
        asked: Tags that the row was made for.
        present: Tags that sound, by the score; empty with ``absent`` where there is no score.
        absent: Tags that do not sound, by the score.
        verdicts: ``present``, ``absent``, ``uncertain`` or ``none`` by tag, of the detectors.
        said: Tags that the caption names.

    >>> weigh(asked=["piano"], present=["piano"], absent=["drums"], verdicts={"drums": "present"}, said=["piano"])
    Evidence(contradictions=['misheard: drums'], verified=True)
    """
    heard = {tag for tag, verdict in verdicts.items() if verdict == "present"}
    unheard = {tag for tag, verdict in verdicts.items() if verdict == "absent"}
    scored = bool(present or absent)
    shown = set(present) if scored else heard
    found = {
        "unrealised": set(asked) & set(absent),
        "unheard": ((set(present) if scored else set(asked)) | (set(said) - set(absent))) & unheard,
        "misheard": set(absent) & heard,
        "missaid": set(absent) & set(said),
    }
    contradictions = sorted(f"{kind}: {tag}" for kind, tags in found.items() for tag in tags)
    doubted = set().union(*found.values()) & {*asked, *said}
    return Evidence(contradictions, not doubted and bool(asked) and set(asked) <= shown)


def verdicts_by_row(verification: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Verdict by tag by row id, of a table with columns ``id``, ``tag`` and ``verdict``."""
    found: dict[str, dict[str, str]] = {}
    for row_id, tag, verdict in verification[["id", "tag", "verdict"]].itertuples(index=False):
        found.setdefault(row_id, {})[tag] = verdict
    return found
