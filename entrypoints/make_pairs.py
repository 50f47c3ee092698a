"""Make pairs of clips with and without a tag, all else equal."""

import argparse
from collections.abc import Sequence
from functools import partial

import pyarrow as pa

from conceptcaps import tracking
from conceptcaps.audio import clips, makeable, paired, pairs, soundfont, table
from conceptcaps.audio.contexts import Source
from conceptcaps.tags import carried
from conceptcaps.workspace import project, shards
from conceptcaps.workspace.hashing import file_sha256


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tags", required=True, help="tags that the pairs differ in, comma-separated, or all")
    parser.add_argument("--count", type=int, default=10, help="pairs of each tag")
    parser.add_argument(
        "--contexts", default="auto", help="samples, tag sets or captions to take contexts from; auto: drawn by seed"
    )
    parser.add_argument("--soundfont", default="embedded", help="embedded, or sf2 and sf3 files a,b,c")
    parser.add_argument(
        "--tries", type=int, default=paired.TRIES, help="contexts tried for a pair in which nothing else changes"
    )
    parser.add_argument("--duration", type=float, default=10.0, help="length of a clip (s)")
    parser.add_argument("--sample_rate", type=int, default=32_000, help="samples a second (Hz)")
    parser.add_argument("--channels", type=int, choices=[1, 2], default=1, help="1 for mono, 2 for stereo")
    parser.add_argument("--shard_size", type=int, default=16, help="pairs in a shard")
    parser.add_argument("--workers", type=int, default=2, help="maximum number of processes")
    parser.add_argument("--out", default="auto", help="folder or URL of the shards, resumable after a kill, or auto")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("make_pairs", vars(args)):
        folder = tracking.fetch_unless(args.contexts, "auto")
        source = Source.open(folder, duration=args.duration, seed=args.seed, tries=args.tries)
        tags = makeable.chosen(args.tags, source.possible)
        fonts = [tracking.fetch(name) for name in soundfont.named(args.soundfont)]
        read = {"fonts": [file_sha256(font) for font in fonts], "drawn": source.digest()}
        settings = {name: value for name, value in (vars(args) | read).items() if name not in {"out", "workers"}}
        out = project.out_folder("make_pairs", args.out, settings)
        shards.map_shards(
            partial(
                paired.play_pairs, source=source, fonts=fonts, sample_rate=args.sample_rate, channels=args.channels
            ),
            paired.pair_rows_wanted(tags, count=args.count, seed=args.seed),
            out=out,
            schema=pa.schema(paired.PAIR_FIELDS),
            shard_size=2 * args.shard_size,
            settings=settings,
            description="make_pairs",
            files=carried.files(source.taxonomy),
            workers=args.workers,
        )
        made = shards.read(out, columns=["id", "tag", "changed", "means", "error"])
        tracking.log_metrics(pairs.summarise(made, taxonomy=source.taxonomy))
        clips.require_few(table.failures(made), total=len(made))
        tracking.log_folder(tracking.fetch(out), "pairs")


if __name__ == "__main__":
    tracking.execute(main)
