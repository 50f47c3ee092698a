"""Make a version the champion if it is better, beyond doubt, than the present one on the same validation rows."""

import argparse
from collections.abc import Sequence

import pandas as pd

from conceptcaps import promotion, tracking


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="models:/<name>/<version> or models:/<name>@candidate")
    parser.add_argument("--metric", required=True, help="column of both runs' per_item.parquet; must begin with val/")
    parser.add_argument("--margin", type=float, default=0.0, help="gain that is asked for, in the metric's unit")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("promote", vars(args)):
        promotion.require_validation(args.metric)
        name, version, training_run = tracking.model_version(args.model)
        champion = tracking.alias_version(name, "champion")
        candidate_items = pd.read_parquet(tracking.fetch(f"runs:/{training_run}/per_item.parquet"))
        if champion in (None, version):
            decision = promotion.first(args.metric, candidate_items)
        else:
            _, _, champion_run = tracking.model_version(f"models:/{name}/{champion}")
            champion_items = pd.read_parquet(tracking.fetch(f"runs:/{champion_run}/per_item.parquet"))
            decision = promotion.decide(
                args.metric, candidate_items, champion_items, margin=args.margin, seed=args.seed
            )
        if decision.promoted and champion != version:
            if champion is not None:
                tracking.move_alias(name, alias="previous", version=champion)
            tracking.move_alias(name, alias="champion", version=version)
        tracking.set_tags({"decision": decision.reason, "candidate": version, "champion_before": champion or "none"})
        tracking.log_metrics({"promoted": float(decision.promoted), **decision.metrics})


if __name__ == "__main__":
    tracking.execute(main)
