"""Probe which encoder layers hold which concepts."""

import argparse
from collections.abc import Sequence

from conceptcaps import tracking
from conceptcaps.probing import clips, encoders, linear_probes, zoo
from conceptcaps.probing.probe_map import probe_map
from conceptcaps.tags.carried import taxonomy_of
from conceptcaps.workspace import cache


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoders", default="musicnn_mtt,musicnn_msd", help=encoders.HELP)
    parser.add_argument("--concepts", required=True, help="folder or runs:/<id>/concepts of design_concepts")
    parser.add_argument(
        "--random_weights", type=int, choices=[0, 1], default=1, help="1: probe each network with random weights too"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("probe_encoders", vars(args)):
        listeners = encoders.named(args.encoders, fetch=tracking.fetch, cache=cache.embeddings())
        sounds = clips.read(tracking.fetch(args.concepts)).readable()
        tracking.log_dataset(sounds.rows, name="concepts", source=args.concepts, context="evaluation")
        tracking.log_json(sounds.unreadable, "unreadable.json")
        tasks = linear_probes.tasks(sounds.rows, taxonomy=taxonomy_of(sounds.folder))
        table = zoo.run(listeners, sounds, tasks, random_weights=bool(args.random_weights), seed=args.seed)
        tracking.log_frame(table, "probes.parquet")
        metrics, best = zoo.summarise(table)
        tracking.log_metrics(metrics)
        tracking.set_tags({f"best_layer.{title}": layer for title, layer in best.items()})
        tracking.log_json({encoder.name: encoder.version for encoder in listeners}, "encoders.json")
        tracking.log_figure(probe_map(table), "probes")


if __name__ == "__main__":
    tracking.execute(main)
