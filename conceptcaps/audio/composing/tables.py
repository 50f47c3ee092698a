"""The composer's tables, read once."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Row = Mapping[str, Any]


def genres() -> Row:
    """How a piece of each genre goes; ``none`` where no genre is asked for."""
    rows: Row = _read("genres.yaml")["genres"]
    return rows


def moods() -> Row:
    """How each mood is composed."""
    rows: Row = _read("moods.yaml")["moods"]
    return rows


def instruments() -> Row:
    """Pitched instruments, voices and effects by tag."""
    rows: Row = _read("instruments.yaml")["instruments"]
    return rows


def kit() -> Row:
    """Tags of the percussion channel."""
    rows: Row = _read("instruments.yaml")["kit"]
    return rows


def pieces() -> Mapping[str, list[int]]:
    """Notes of the percussion channel by the name of a piece: plain, and open where it has a second."""
    notes: Mapping[str, list[int]] = _read("instruments.yaml")["pieces"]
    return notes


def rhythms(section: str) -> Any:
    """One section of the patterns: ``beats``, ``spare``, ``fills``, ``comps``, ``basses`` or ``cells``."""
    return _read("rhythms.yaml")[section]


@cache
def _read(name: str) -> Row:
    content: Row = yaml.safe_load(Path(__file__).with_name(name).read_text(encoding="utf-8"))
    return content
