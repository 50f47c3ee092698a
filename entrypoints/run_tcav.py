"""Test which concepts a classifier's answers depend on, layer by layer, against random sets of clips."""

import argparse
from collections.abc import Sequence

from conceptcaps import cache, tracking
from conceptcaps.probing import classifier, clips, concepts, networks, tcav
from conceptcaps.tags.taxonomy import Taxonomy


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--classifier",
        default="models:/conceptcaps-classifier@champion",
        help="models:/conceptcaps-classifier/…, musicnn_mtt or musicnn_msd",
    )
    parser.add_argument("--audio", required=True, help="audio of generate_audio, whose tags are the concepts")
    parser.add_argument(
        "--taxonomy", default="builtin", help="builtin, or a taxonomy file: runs:/<id>/tag_sets/taxonomy.yaml"
    )
    parser.add_argument(
        "--concepts", default="auto", help="tags, comma-separated, or auto: the 8 most frequent, no genre"
    )
    parser.add_argument("--targets", default="auto", help="classes, comma-separated, or auto: the 6 with most clips")
    parser.add_argument("--layers", default="auto", help="layers, comma-separated, or auto: three hidden ones")
    parser.add_argument("--random_sets", type=int, default=20, help="runs of each concept, and of its null")
    parser.add_argument("--seed", type=int, default=0, help="seed of random sets and folds")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("run_tcav", vars(args)):
        taxonomy = Taxonomy.load(None if args.taxonomy == "builtin" else tracking.fetch(args.taxonomy))
        if args.classifier in networks.MUSICNN:
            probe = networks.of_musicnn(args.classifier)
        else:
            probe = networks.of_classifier(classifier.load(tracking.fetch(args.classifier)))
        rows, _ = clips.read(tracking.fetch(args.audio))
        tracking.log_dataset(rows.drop(columns="clip"), name="audio", source=args.audio, context="evaluation")
        sounds = list(rows["sounds"])
        chosen = args.concepts.split(",")
        if args.concepts == "auto":
            chosen = concepts.frequent(sounds, taxonomy=taxonomy, most=8)
        scores, runs = tcav.run(
            probe.network,
            probe.inputs(list(rows["clip"]), cache.embeddings()),
            concepts=[concepts.concept(name.strip(), sounds, taxonomy=taxonomy, seed=args.seed) for name in chosen],
            targets=networks.targets(probe, sounds, taxonomy=taxonomy, names=args.targets, most=6, seed=args.seed),
            layers=probe.layers if args.layers == "auto" else [name.strip() for name in args.layers.split(",")],
            random_sets=args.random_sets,
            seed=args.seed,
        )
        tracking.log_frame(scores, "tcav/scores.parquet")
        tracking.log_frame(runs, "tcav/runs.parquet")
        tracking.log_metrics(tcav.summary(scores))
        for layer in scores["layer"].unique():
            tracking.log_figure(tcav.heat_map(scores, layer=layer), f"tcav_{layer}")


if __name__ == "__main__":
    tracking.execute(main)
