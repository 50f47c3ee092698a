"""Clips of the soundfont backend, with truth, MIDI and Parquet: CPU time of one, by part.

Tag sets are drawn from the taxonomy, a genre, a mood, a tempo and two instruments each. One process; the first clips,
whose tones are not cached yet, are left out of the time. 21,433 clips of 30 s are the published set. Times of a part
do not hold those of parts called inside it; a busy machine lengthens all of them, so compare within one run.
"""

import argparse
import functools
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from conceptcaps.audio import composition, loudness, midi, soundfont, table, voices, waveform
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import assets, shards

PUBLISHED, WARM = 21_433, 64
KINDS = ("genre", "mood", "tempo", "instrument", "instrument")
PARTS: list[tuple[str, ModuleType | type, str]] = [
    ("compose", composition, "compose"),
    ("strokes", soundfont, "_strokes"),
    ("mix", voices.Sampler, "add"),
    ("tones", voices.Sampler, "_sounding"),
    ("levels", loudness, "energies"),
    ("truth", soundfont, "truth"),
    ("normalise", loudness, "normalise"),
    ("MIDI", midi, "write"),
    ("FLAC", waveform, "encode_flac"),
    ("Parquet", shards, "_make"),
    ("render", soundfont, "render"),
]


class Clock:
    """CPU time by part, each without the parts that it calls."""

    def __init__(self) -> None:
        """Begin with nothing spent."""
        self.spent: dict[str, float] = {}
        self.stack: list[str] = []
        self.since = time.process_time()

    def turn(self) -> None:
        """Count the time since the last turn to the part that ran."""
        now = time.process_time()
        name = self.stack[-1] if self.stack else "rest"
        self.spent[name] = self.spent.get(name, 0.0) + now - self.since
        self.since = now

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time counted to a part."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self.turn()
            self.stack.append(name)
            try:
                return function(*args, **kwargs)
            finally:
                self.turn()
                self.stack.pop()

        return wrapper


def drawn(count: int, taxonomy: Taxonomy) -> pd.DataFrame:
    """Rows of tag sets."""
    generator = np.random.default_rng(0)
    groups = {kind: [tag for tag in taxonomy.tags if taxonomy.category(tag) == kind] for kind in set(KINDS)}
    sets = [sorted({str(generator.choice(groups[kind])) for kind in KINDS}) for _ in range(count)]
    return pd.DataFrame({"id": [f"row-{n}" for n in range(count)], "tags": sets, "caption": "", "split": "train"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=64, help="clips that are timed")
    parser.add_argument("--duration", type=float, default=30.0, help="length of a clip (s)")
    parser.add_argument("--stereo", action="store_true", help="44.1 kHz stereo in place of 32 kHz mono")
    args = parser.parse_args()
    rate, channels = (44_100, 2) if args.stereo else (32_000, 1)
    taxonomy, clock = Taxonomy.load(), Clock()
    rows = drawn(WARM + args.count, taxonomy)
    for name, place, function in PARTS:
        setattr(place, function, clock.timed(name, getattr(place, function)))
    play = partial(
        table.play_rows, taxonomy=taxonomy, duration=args.duration, seed=0, fonts=[assets.fetch("soundfont")],
        sample_rate=rate, channels=channels,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        write = partial(shards.map_shards, play, schema=table.SCHEMA, shard_size=64, settings={}, description="")
        write(rows[:WARM], out=f"{folder}/warm")
        clock.turn()
        clock.spent.clear()
        started = time.process_time()
        made = write(rows[WARM:], out=f"{folder}/timed")
        each = (time.process_time() - started) / args.count
        clock.turn()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    parts = sorted(clock.spent.items(), key=lambda part: -part[1])
    print(
        f"soundfont, {args.count} clips of {args.duration:.0f} s, {rate} Hz, {channels} channels: {1000 * each:.1f} ms "
        f"of CPU a clip: {', '.join(f'{name} {1000 * spent / args.count:.1f}' for name, spent in parts)}; {PUBLISHED} "
        f"clips: {PUBLISHED * each / 120:.1f} minutes of 2 cores (extrapolated); peak {peak:.2f} GB"
    )
    print(*(shard["sha256"] for shard in (made or {})["shards"]), sep="\n")


if __name__ == "__main__":
    main()
