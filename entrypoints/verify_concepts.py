"""Check in the audio whether each asked tag is present, absent or uncertain, and how well the detectors do."""

import argparse
from collections.abc import Sequence

from conceptcaps import cache, shards, tracking
from conceptcaps.audio.clips import Clips
from conceptcaps.listening import verification
from conceptcaps.tags.taxonomy import Taxonomy


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", required=True, help="folder or runs:/<id>/audio of generate_audio")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("verify_concepts", vars(args)):
        folder = str(tracking.fetch(args.audio))
        rows = shards.read(folder, columns=["id", "tags", "added", "duration"])
        tracking.log_dataset(rows, name="audio", source=args.audio, context="evaluation")
        scores = verification.hear(Clips(folder), cache=cache.embeddings())
        frame, table = verification.judge(
            rows["id"].tolist(), rows["tags"].tolist(), rows["added"].tolist(), scores, taxonomy=Taxonomy.load()
        )
        tracking.log_frame(frame, "verification/verification.parquet")
        tracking.log_frame(table, "verification/detectors.parquet")
        tracking.log_metrics(verification.summarise(frame, table))
        tracking.log_figure(verification.figure(table), "detectors")


if __name__ == "__main__":
    tracking.execute(main)
