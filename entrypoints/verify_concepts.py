"""Give each clip and tag a probability, a verdict, and the truth where it is known."""

import argparse
from collections.abc import Sequence

import pandas as pd

from conceptcaps import tracking
from conceptcaps.audio.clips import Clips
from conceptcaps.listening import hearing, ratings, verification, verifier
from conceptcaps.tags.carried import taxonomy_of
from conceptcaps.workspace import cache, shards


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--audio", required=True, help="runs:/<id>/audio of generate_audio, or a folder of recordings")
    parser.add_argument(
        "--verifier", default="models:/conceptcaps-verifier@champion", help="models:/conceptcaps-verifier@<alias>"
    )
    parser.add_argument("--labels", default="none", help="recordings: a CSV with columns id, tag, truth, or none")
    parser.add_argument("--ratings", default="none", help="CSV of answers to listening_test, or none")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("verify_concepts", vars(args)):
        model = verifier.load(tracking.fetch(args.verifier))
        folder = tracking.fetch(args.audio)
        taxonomy, clips = taxonomy_of(folder), Clips.open(folder)
        rows = pd.DataFrame({"id": clips.ids, "tags": [[] for _ in clips.ids]})
        if (folder / shards.MANIFEST).exists():
            rows = shards.read(str(folder), columns=["id", "tags", "present", "absent"])
        elif args.labels != "none":
            rows = verification.labelled(rows, pd.read_csv(tracking.fetch(args.labels)), taxonomy=taxonomy)
        else:
            rows = rows.assign(present=rows["tags"], absent=rows["tags"])
        tracking.log_dataset(rows[["id", "tags"]], name="audio", source=args.audio, context="evaluation")
        good, bad = clips.readable()
        frame = verification.verify(
            rows["id"].tolist(),
            rows["tags"].tolist(),
            verification.labels(rows["present"], rows["absent"], tags=taxonomy.tags),
            hearing.features(good, cache=cache.embeddings()),
            verifier=model,
            taxonomy=taxonomy,
            bad=bad,
        )
        table = verification.evaluate(frame, taxonomy=taxonomy)
        tracking.log_frame(frame, "verification/verification.parquet")
        tracking.log_frame(table, "verification/detectors.parquet")
        tracking.log_metrics(verification.summarise(frame, table, seed=args.seed))
        if args.ratings != "none":
            agreed, answers = ratings.agreement(ratings.read(tracking.fetch(args.ratings)), rows, frame, seed=args.seed)
            tracking.log_metrics(agreed)
            tracking.log_frame(answers, "verification/ratings.parquet")
        tracking.log_figure(verification.detectors_figure(table), "detectors")
        tracking.log_figure(verification.reliability_figure(frame), "reliability")


if __name__ == "__main__":
    tracking.execute(main)
