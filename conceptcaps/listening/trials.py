"""A blind listening test on one page: what is asked, of which clip, and how to tell a listener from a guesser.

Each trial is one clip and one question, whether a tag is heard. Half of each tag's clips truly have it. Some trials
come back later, hidden, and some are obvious: a plain tone, and noise without one.
"""

import base64
import io
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from conceptcaps.audio import waveform
from conceptcaps.errors import InputError
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import hashing

CATCH = {"catch:tone": True, "catch:noise": False}  # ids of obvious clips, and whether a beep is heard
QUESTION = "a steady beep"  # of these
CATCHES = 8  # trials with an obvious answer
REPEATED = 0.2  # of the others that come back
_APART = 5  # trials at least between a trial and its return
_FEWEST = 2  # clips with a tag, and without it


def choose(rows: pd.DataFrame, *, tags: str, count: int, taxonomy: Taxonomy, seed: int) -> pd.DataFrame:
    """Draw the trials.

    Args:
        rows: Columns ``id``, ``present`` and ``absent``, the truth of each clip.
        tags: Comma-separated tags; ``auto`` takes all with clips enough, as many as ``count`` has room for.
        count: Trials without repeats and catch trials; at least 4.
        taxonomy: Its tags may be asked for.
        seed: Seed of every draw.

    Returns:
        A row for each trial, in order: ``id``, ``tag`` and ``repeat``, whether it stood before. Of each tag as many
        clips have it as lack it; a clip is asked about once as long as others are left.

    Raises:
        InputError: If a tag is unknown, or too few clips have or lack it.
    """
    generator = np.random.default_rng(seed)
    sides: dict[str, dict[bool, list[str]]] = {}
    for row_id, present, absent in rows[["id", "present", "absent"]].itertuples(index=False):
        for side, names in ((True, present), (False, absent)):
            for tag in names:
                sides.setdefault(tag, {True: [], False: []})[side].append(row_id)
    enough = {tag for tag, own in sides.items() if min(map(len, own.values())) >= _FEWEST}
    asked = [tag.strip() for tag in tags.split(",")] if tags != "auto" else list(taxonomy.tags)
    if tags == "auto":
        asked = [str(tag) for tag in generator.permutation([tag for tag in asked if tag in enough])][: count // 4]
    lacking = [tag for tag in asked if tag not in enough]
    if lacking or not asked or count < 4:
        raise InputError(
            f"expected 4 trials or more, and {_FEWEST} clips with each tag and {_FEWEST} that surely lack it, "
            f"got {count} trials and too few clips of {', '.join(lacking) or 'every tag'}"
        )
    used: Counter[str] = Counter()
    trials: list[tuple[str, str]] = []
    rounds = [(turn, tag) for turn in range(count) for tag in asked if turn < min(map(len, sides[tag].values()))]
    for _, tag in rounds[: count // 2]:
        for own in sides[tag].values():
            left = [row_id for row_id in own if (row_id, tag) not in trials]
            least = min(used[row_id] for row_id in left)
            drawn = str(generator.choice([row_id for row_id in left if used[row_id] == least]))
            used[drawn] += 1
            trials.append((drawn, tag))
    order = [trials[place] for place in generator.permutation(len(trials))]
    again = [order[place] for place in generator.permutation(len(order))[: round(REPEATED * len(order))]]
    return _mixed(order, again, generator)


def _mixed(order: list[tuple[str, str]], again: list[tuple[str, str]], generator: np.random.Generator) -> pd.DataFrame:
    """The trials with their returns and catch trials among them."""
    found = [(row_id, tag, False) for row_id, tag in order]
    for row_id, tag in again:
        first = found.index((row_id, tag, False))
        found.insert(int(generator.integers(min(first + _APART, len(found)), len(found) + 1)), (row_id, tag, True))
    for number in range(CATCHES):
        row_id = list(CATCH)[number % len(CATCH)]
        found.insert(int(generator.integers(len(found) + 1)), (row_id, QUESTION, False))
    return pd.DataFrame(found, columns=["id", "tag", "repeat"])


def page(trials: pd.DataFrame, clips: Mapping[str, bytes], *, title: str) -> str:
    """The test as HTML that needs no other file.

    Answers are kept in the browser under the test's own name and saved as CSV: ``listener``, ``id``, ``tag``,
    ``repeat``, ``answer`` (1 heard, 0 not) and ``seconds`` until the answer. Neither what is shown nor a clip's name
    gives its truth away.

    Args:
        trials: Of ``choose``.
        clips: Encoded audio by id, of all ids but the catch trials'.
        title: Heading.
    """
    sounds = {**clips, **{row_id: _catch(heard) for row_id, heard in CATCH.items()}}
    players = {str(row_id): _sound(sounds[str(row_id)]) for row_id in trials["id"].unique()}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    rows = trials.to_dict("records")
    name = hashing.digest([title, rows])[:12]
    data = json.dumps({"name": name, "trials": rows, "clips": players}).replace("<", "\\u003c")
    return environment.get_template("trials.html.j2").render(title=title, data=data, count=len(trials))


def _catch(heard: bool) -> bytes:
    """Three seconds of a plain tone, or of noise."""
    count = 3 * 16_000
    tone = 0.3 * np.sin(2 * np.pi * 880 * np.arange(count) / 16_000)
    return _encoded(tone if heard else 0.1 * np.random.default_rng(0).normal(size=count), 16_000)


def _sound(clip: bytes) -> str:
    """A whole clip, as the truth is of all of it, small enough for a page that holds many: mono Ogg in base64."""
    sound, rate = waveform.decode(clip)
    return base64.b64encode(_encoded(waveform.to_mono(sound)[0], rate)).decode()


def _encoded(sound: NDArray[np.floating], rate: int) -> bytes:
    target = io.BytesIO()
    soundfile.write(target, sound, rate, format="OGG", subtype="VORBIS")
    return target.getvalue()
