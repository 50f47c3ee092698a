"""What sounds in a clip, read from the finished piece, never from what was asked for."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from conceptcaps.audio.score import Piece
from conceptcaps.audio.truth import rules
from conceptcaps.audio.truth.harmony import NAMES, Harmony
from conceptcaps.audio.truth.sounding import Levels, Sounding, sounding_notes
from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import Taxonomy

__all__ = ["Levels", "Truth", "truth"]


@dataclass(frozen=True)
class Truth:
    """What a clip holds.

    Attributes:
        present: Tags that hold, their ancestors included, sorted.
        absent: Tags that do not hold, their descendants included, sorted. All others cannot be decided.
        facts: Numbers beside the tags: ``bpm`` (None where it changes), ``key``, ``mode``, ``meter`` (None where
            noises alone sound), ``beats`` (s), ``chords`` (``time`` in s, ``name``), ``instruments`` (``program``,
            ``key`` of a kit's piece or None, ``notes``, ``level`` in LU).
    """

    present: list[str]
    absent: list[str]
    facts: dict[str, Any]


def truth(piece: Piece, *, duration: float, taxonomy: Taxonomy, levels: Levels | None = None) -> Truth:
    """Tell what sounds within the first ``duration`` seconds of a piece, from its notes alone.

    The rules are those of ``truth.yaml``, each with its reason. What the piece says about itself (``tag`` of its parts,
    ``key``, ``mode``, ``chords``) is not read.

    Args:
        piece: The finished piece.
        duration: Length of the clip (s).
        taxonomy: Gives tags, ancestors and exclusions.
        levels: Loudness of the stems as they were mixed; None takes every part for as loud as the mix.

    Raises:
        InputError: If the duration is not above 0.
    """
    if not duration > 0:
        raise InputError(f"expected a duration above 0 s, got {duration}")
    music = sounding_notes(piece, duration=duration, levels=levels)
    judge = rules.Judge(music)
    values = rules.decide(judge, taxonomy)
    return Truth(
        sorted(tag for tag, value in values.items() if value == rules.PRESENT),
        sorted(tag for tag, value in values.items() if value == rules.ABSENT),
        _facts(piece, music, judge.harmony),
    )


def _facts(piece: Piece, music: Sounding, tones: Harmony) -> dict[str, Any]:
    beats = piece.seconds(np.arange(int(np.ceil(music.beats - 1e-9))))
    return {
        "bpm": round(float(music.tempi[0]), 3) if len(np.unique(music.tempi)) == 1 else None,
        "key": None if tones.key is None else NAMES[tones.key],
        "mode": tones.mode or None,
        "meter": music.meter if music.counted else None,
        "beats": [round(time, 4) for time in beats.tolist()],
        "chords": [chord._asdict() for chord in tones.chords],
        "instruments": [
            {"program": each.program, "key": each.key, "notes": len(each.notes), "level": round(each.level, 2)}
            for each in music.sources
        ],
    }
