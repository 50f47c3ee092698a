"""The composer's tables, read once."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

Row = Mapping[str, Any]


@cache
def table(name: str) -> Row:
    """Content of ``genres``, ``instruments``, ``moods`` or ``rhythms``."""
    content: Row = yaml.safe_load(Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8"))
    return content


def genres() -> Row:
    """How a piece of each genre goes; ``none`` where no genre is asked for."""
    rows: Row = table("genres")["genres"]
    return rows


def moods() -> Row:
    """How each mood is composed."""
    rows: Row = table("moods")["moods"]
    return rows


def instruments() -> Row:
    """Pitched instruments, voices and effects by tag."""
    rows: Row = table("instruments")["instruments"]
    return rows


def kit() -> Row:
    """Tags of the percussion channel."""
    rows: Row = table("instruments")["kit"]
    return rows


def pieces() -> Mapping[str, list[int]]:
    """Notes of the percussion channel by the name of a piece: plain, and open where it has a second."""
    notes: Mapping[str, list[int]] = table("instruments")["pieces"]
    return notes


def voices() -> frozenset[str]:
    """Tags that a voice realises."""
    return frozenset(table("instruments")["voices"])


def rhythms(section: str) -> Row:
    """One section of the patterns: ``beats``, ``spare``, ``fills``, ``comps``, ``basses`` or ``cells``."""
    rows: Row = table("rhythms")[section]
    return rows
