"""Test which concepts a classifier depends on, with permutation and intervention controls."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from conceptcaps import tracking
from conceptcaps.probing import cav, clips, concepts, experiment, registered
from conceptcaps.probing.heat_map import heat_map
from conceptcaps.tags.carried import taxonomy_of


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", default=registered.CHAMPION, help=registered.HELP)
    parser.add_argument("--audio", required=True, help="clips of the concepts: runs:/<id>/audio, /concepts or /pairs")
    parser.add_argument("--target_audio", default="none", help="clips of the classes, or a GTZAN folder; none: --audio")
    parser.add_argument("--interventions", default="none", help="interventions.parquet of the same classifier, or none")
    parser.add_argument(
        "--concepts", default="auto", help="tags, or tag|other tag, comma-separated; auto: 8 with most clips"
    )
    parser.add_argument("--targets", default="auto", help="classes, comma-separated, or auto: the 6 with most clips")
    parser.add_argument("--layers", default="auto", help="layers, comma-separated, or auto: three of the network's")
    parser.add_argument("--random_sets", type=int, default=100, help="permutations of each concept's label")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("run_tcav", vars(args)), tempfile.TemporaryDirectory() as folder:
        probe, interpretable, learnt = registered.probe(args.classifier, fetch=tracking.fetch)
        audio = clips.read(tracking.fetch(args.audio))
        taxonomy = taxonomy_of(audio.folder)
        target_audio = None if args.target_audio == "none" else clips.read(tracking.fetch(args.target_audio))
        for name, used, source in (("audio", audio, args.audio), ("target_audio", target_audio, args.target_audio)):
            if used is not None:
                tracking.log_dataset(used.rows, name=name, source=source, context="evaluation")
        auto = args.concepts == "auto"
        found = experiment.run(
            probe,
            audio,
            target_audio,
            names=concepts.frequent(audio.rows, taxonomy=taxonomy, most=8)
            if auto
            else concepts.names(args.concepts, taxonomy=taxonomy),
            targets=args.targets,
            most_targets=6,
            layers=probe.layers if args.layers == "auto" else [name.strip() for name in args.layers.split(",")],
            intervened=None if args.interventions == "none" else pd.read_parquet(tracking.fetch(args.interventions)),
            interpretable=interpretable,
            learnt=learnt,
            taxonomy=taxonomy,
            random_sets=args.random_sets,
            seed=args.seed,
        )
        for name in ("scores", "random", "local", "balance", "knows"):
            tracking.log_frame(getattr(found, name), f"tcav/{name}.parquet")
        cav.save(found.cavs, Path(folder, "cavs.safetensors"))
        tracking.log_file(Path(folder, "cavs.safetensors"), "tcav")
        tracking.log_json(audio.unreadable | found.unreadable, "unreadable.json")
        tracking.log_metrics(found.metrics)
        for layer in found.scores["layer"].unique():
            tracking.log_figure(heat_map(found.scores, layer=layer), f"tcav_{layer.replace('.', '_')}")


if __name__ == "__main__":
    tracking.execute(main)
