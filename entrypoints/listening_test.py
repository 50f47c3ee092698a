"""Write a blind listening test: one HTML page that saves people's answers."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from conceptcaps import tracking
from conceptcaps.audio.clips import Clips
from conceptcaps.listening import trials
from conceptcaps.tags.carried import taxonomy_of
from conceptcaps.workspace import shards


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", required=True, help="runs:/<id>/audio of clips whose truth is known")
    parser.add_argument(
        "--tags", default="auto", help="tags to ask about, comma-separated, or auto: those with enough clips"
    )
    parser.add_argument("--count", type=int, default=40, help="trials, without hidden repeats and catch trials")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("listening_test", vars(args)), tempfile.TemporaryDirectory() as scratch:
        folder = tracking.fetch(args.audio)
        clips, bad = Clips.open(folder).readable()
        rows = shards.read(str(folder), columns=["id", "present", "absent"])
        rows = rows[~rows["id"].isin(bad)]
        tracking.log_dataset(rows[["id"]], name="audio", source=args.audio, context="evaluation")
        taxonomy = taxonomy_of(folder)
        chosen = trials.choose(rows, tags=args.tags, count=args.count, taxonomy=taxonomy, seed=args.seed)
        wanted = set(chosen["id"])
        sounds = {name: clip for name, clip in zip(clips.ids, clips, strict=True) if name in wanted}
        page = Path(scratch, "listening_test.html")
        page.write_text(trials.page(chosen, sounds, title="What do you hear?"), encoding="utf-8")
        tracking.log_file(page)
        tracking.log_frame(chosen, "trials.parquet")
        asked = chosen[~chosen["id"].isin(list(trials.CATCH))]
        metrics = {
            "trials/all": len(chosen),
            "trials/clips": asked["id"].nunique(),
            "trials/tags": asked["tag"].nunique(),
        }
        tracking.log_metrics(metrics)


if __name__ == "__main__":
    tracking.execute(main)
