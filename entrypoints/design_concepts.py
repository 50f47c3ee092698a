"""Design concept sets balanced over all other tags."""

import argparse
from collections.abc import Sequence
from functools import partial

import pyarrow as pa

from conceptcaps import tracking
from conceptcaps.audio import balance, clips, designed, makeable, paired, soundfont, table
from conceptcaps.audio.contexts import Source
from conceptcaps.tags import carried
from conceptcaps.workspace import project, shards
from conceptcaps.workspace.hashing import file_sha256


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tags", required=True, help="concepts, comma-separated, or all")
    parser.add_argument("--count", type=int, default=100, help="positives, and negatives, of each concept")
    parser.add_argument(
        "--contexts", default="auto", help="samples, tag sets or captions to take contexts from; auto: drawn by seed"
    )
    parser.add_argument("--soundfont", default="embedded", help="embedded, or files a,b,c; the last is for testing")
    parser.add_argument("--balance", type=float, default=balance.MOST, help="largest standardised difference allowed")
    parser.add_argument(
        "--unbalanced", choices=["fail", "leave_out"], default="fail", help="what to do with concepts that exceed it"
    )
    parser.add_argument(
        "--tries", type=int, default=paired.TRIES, help="contexts tried for a pair in which nothing else changes"
    )
    parser.add_argument("--duration", type=float, default=10.0, help="length of a clip (s)")
    parser.add_argument("--sample_rate", type=int, default=32_000, help="samples a second (Hz)")
    parser.add_argument("--channels", type=int, choices=[1, 2], default=1, help="1 for mono, 2 for stereo")
    parser.add_argument("--shard_size", type=int, default=64, help="clips in a shard")
    parser.add_argument("--workers", type=int, default=2, help="maximum number of processes")
    parser.add_argument("--out", default="auto", help="folder or URL of the shards, resumable after a kill, or auto")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("design_concepts", vars(args)):
        folder = tracking.fetch_unless(args.contexts, "auto")
        source = Source.open(folder, duration=args.duration, seed=args.seed, tries=args.tries)
        tags = makeable.chosen(args.tags, source.possible)
        fonts = [tracking.fetch(name) for name in soundfont.named(args.soundfont)]
        form = {"fonts": fonts, "sample_rate": args.sample_rate, "channels": args.channels}
        rows, compared, short = designed.design(source, tags, count=args.count, workers=args.workers, **form)
        left_out = balance.left_out(short, allowed=args.unbalanced == "leave_out")
        tracking.log_frame(compared, "balance.parquet")
        tracking.say(left_out + balance.report(compared))
        kept = balance.balanced(compared, most=args.balance, leave_out=args.unbalanced == "leave_out")
        rows = rows[rows["concept"].isin(kept)]
        read = {"fonts": [file_sha256(font) for font in fonts], "drawn": source.digest()}
        settings = {name: value for name, value in (vars(args) | read).items() if name not in {"out", "workers"}}
        out = project.out_folder("design_concepts", args.out, settings)
        shards.map_shards(
            partial(designed.play_concepts, source=source, **form),
            rows,
            out=out,
            schema=pa.schema(designed.CONCEPT_FIELDS),
            shard_size=args.shard_size,
            settings=settings,
            description="design_concepts",
            files=carried.files(source.taxonomy),
            workers=args.workers,
        )
        made = shards.read(out, columns=["id", "error"])
        clips.require_few(table.failures(made), total=len(made))
        largest = compared.loc[compared["concept"].isin(kept), "difference"].max()
        counts = {"concepts/count": len(kept), "concepts/left_out": len(tags) - len(kept), "concepts/clips": len(made)}
        tracking.log_metrics(counts | {"concepts/largest_difference": largest})
        tracking.log_folder(tracking.fetch(out), "concepts")


if __name__ == "__main__":
    tracking.execute(main)
