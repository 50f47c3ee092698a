"""Measure how logits change when one tag is added to a piece."""

import argparse
from collections.abc import Sequence

from conceptcaps import tracking
from conceptcaps.probing import clips, interventions, networks, registered
from conceptcaps.tags.carried import taxonomy_of


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classifier", default=registered.CHAMPION, help=registered.HELP)
    parser.add_argument("--pairs", required=True, help="folder or runs:/<id>/pairs of make_pairs")
    parser.add_argument("--targets", default="auto", help="outputs, comma-separated, or auto: all")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("intervene", vars(args)):
        probe, _, _ = registered.probe(args.classifier, fetch=tracking.fetch)
        pairs = clips.read(tracking.fetch(args.pairs))
        taxonomy = taxonomy_of(pairs.folder)
        chosen = networks.named_outputs(probe, args.targets)
        tracking.log_dataset(pairs.rows, name="pairs", source=args.pairs, context="evaluation")
        readings = probe.read(pairs, description="pairs")
        numbers = [probe.outputs.index(name) for name in chosen]
        changed = interventions.changes(pairs.rows, readings.logits[:, numbers], chosen)
        table = interventions.test(changed)
        tracking.log_frame(changed, "changes.parquet")
        tracking.log_frame(table, "interventions.parquet")
        reasons = {str(pairs.rows["id"][clip]): reason for clip, reason in readings.reasons.items()}
        tracking.log_json({**pairs.unreadable, **reasons}, "unreadable.json")
        meanings = {name: networks.meaning(name, taxonomy=taxonomy) for name in chosen}
        tracking.log_metrics(interventions.summarise(table, meanings) | {"data/unreadable": len(reasons)})
        tracking.log_figure(interventions.figure(table), "interventions")


if __name__ == "__main__":
    tracking.execute(main)
