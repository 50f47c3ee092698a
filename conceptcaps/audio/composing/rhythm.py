"""Patterns of sixteenths: reading, fitting to a bar, thinning, varying, swinging."""

import random
from typing import NamedTuple

STEPS = 4  # sixteenths in a beat
HOLD, REST = "-", "."


class Event(NamedTuple):
    """What a pattern says at one place: beat in the bar, length in beats, mark."""

    beat: float
    length: float
    mark: str


def fit(line: str, steps: int) -> str:
    """A pattern repeated or cut to so many steps.

    >>> fit("x...o...", 12), fit("x...o...", 4)
    ('x...o...x...', 'x...')
    """
    return (line * -(-steps // len(line)))[:steps]


def events(line: str) -> list[Event]:
    """Marks of a pattern with the lengths that ``-`` gives them.

    >>> [(event.beat, event.length, event.mark) for event in events("x--.1...")]
    [(0.0, 0.75, 'x'), (1.0, 0.25, '1')]
    """
    found = []
    for place, mark in enumerate(line):
        if mark not in (HOLD, REST):
            end = place + 1
            while end < len(line) and line[end] == HOLD:
                end += 1
            found.append(Event(place / STEPS, (end - place) / STEPS, mark))
    return found


def vary(line: str, generator: random.Random, *, changes: int) -> str:
    """The pattern with so many weak places changed: a soft stroke is added where there was silence, or one is dropped.

    Beats of the bar are never touched, so that the pattern keeps its skeleton.
    """
    marks = list(line)
    weak = [place for place in range(1, len(marks)) if place % STEPS and marks[place] in ".-ox"]
    for place in generator.sample(weak, min(changes, len(weak))):
        if marks[place] in (REST, HOLD):
            marks[place] = "o"
        else:
            marks[place] = HOLD if marks[place - 1] == HOLD else REST
    return "".join(marks)


def thin(line: str, density: float) -> str:
    """The pattern as sparse as a density of 0 to 1 wants it: soft strokes go first, then sixteenths, then off-beats."""
    step = 1 if density >= 0.4 else 2 if density >= 0.25 else 4
    kept = [mark if place % step == 0 else REST for place, mark in enumerate(line)]
    return "".join(REST if density < 0.4 and mark == "o" else mark for mark in kept)


def swung(beat: float, swing: int) -> float:
    """Where a straight beat falls when eighths (8) or sixteenths (16) are played long and short; 0 leaves it.

    >>> round(swung(1.5, 8), 3), swung(1.0, 8), swung(1.25, 0)
    (1.667, 1.0, 1.25)
    """
    if not swing:
        return beat
    unit = 8 / swing  # beats that are divided unevenly
    whole, part = divmod(beat / unit, 1)
    turn = 2 / 3 if swing == 8 else 0.58
    part = part * 2 * turn if part < 0.5 else turn + (part - 0.5) * 2 * (1 - turn)
    return (whole + part) * unit
