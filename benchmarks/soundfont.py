"""Clips of 30 s by the soundfont backend, with truth, MIDI and Parquet: CPU time of one, and what it is made of.

Tag sets are drawn from the taxonomy, a genre, a mood, a tempo and two instruments each. One process; the first clips,
whose tones are not cached yet, are left out of the time. 21,433 clips are the published set.
"""

import argparse
import cProfile
import pstats
import resource
import tempfile
import time
from functools import partial

import numpy as np
import pandas as pd

from conceptcaps import assets, shards
from conceptcaps.audio import table
from conceptcaps.tags.taxonomy import Taxonomy

PUBLISHED, WARM = 21_433, 64
KINDS = ("genre", "mood", "tempo", "instrument", "instrument")


def drawn(count: int, taxonomy: Taxonomy) -> pd.DataFrame:
    """Rows of tag sets."""
    generator = np.random.default_rng(0)
    groups = {kind: [tag for tag in taxonomy.tags if taxonomy.category(tag) == kind] for kind in set(KINDS)}
    sets = [sorted({str(generator.choice(groups[kind])) for kind in KINDS}) for _ in range(count)]
    return pd.DataFrame({"id": [f"row-{n}" for n in range(count)], "tags": sets, "caption": "", "split": "train"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=64, help="clips that are timed")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    args = parser.parse_args()
    taxonomy = Taxonomy.load()
    rows = drawn(WARM + args.count, taxonomy)
    for rate, channels in ((32_000, 1), (44_100, 2)):
        play = partial(
            table.play_rows, taxonomy=taxonomy, duration=30.0, seed=0, fonts=[assets.fetch("soundfont")],
            sample_rate=rate, channels=channels,
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            write = partial(shards.map_shards, play, schema=table.SCHEMA, shard_size=64, settings={}, description="")
            write(rows[:WARM], out=f"{folder}/warm")
            profile = cProfile.Profile(time.process_time)
            wall, started = time.perf_counter(), time.process_time()
            if args.profile:
                profile.runcall(write, rows[WARM:], out=f"{folder}/timed")
            else:
                write(rows[WARM:], out=f"{folder}/timed")
            each = (time.process_time() - started) / args.count
            wall = (time.perf_counter() - wall) / args.count
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"soundfont, {args.count} clips of 30 s, {rate} Hz, {channels} channels: {1000 * each:.1f} ms of CPU and "
            f"{1000 * wall:.1f} ms of wall time a clip; {PUBLISHED} clips: {PUBLISHED * each / 120:.1f} minutes of 2 "
            f"cores (extrapolated); peak {peak:.2f} GB"
        )
        if args.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
