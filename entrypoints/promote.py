"""Make a version the champion if it beats the current one on the same validation rows."""

import argparse
from collections.abc import Sequence

import pandas as pd

from conceptcaps import tracking
from conceptcaps.errors import Refused
from conceptcaps.results import promotion


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="models:/<name>/<version> or models:/<name>@candidate")
    parser.add_argument("--metric", required=True, help="column of both runs' per_item.parquet; must begin with val/")
    parser.add_argument("--margin", type=float, default=0.0, help="gain that is required, in the metric's unit")
    parser.add_argument(
        "--replace", type=int, choices=[0, 1], default=0, help="1: replace any champion, without a comparison"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("promote", vars(args)):
        promotion.require_validation(args.metric)
        name, version, training_run = tracking.model_version(args.model)
        candidate_items = items(training_run)
        with tracking.turn(name):
            champion = tracking.alias_version(name, "champion")
            if champion in (None, version):
                decision = promotion.first(args.metric, candidate_items)
            elif args.replace:
                decision = promotion.replacement(args.metric, candidate_items, champion=champion)
            else:
                both = [tracking.lineage_of(f"models:/{name}/{one}") for one in (version, champion)]
                _, _, champion_run = tracking.model_version(f"models:/{name}/{champion}")
                decision = promotion.foreign(*both) or promotion.decide(
                    args.metric, candidate_items, items(champion_run), margin=args.margin, seed=args.seed
                )
            if decision.promoted and champion != version:
                tracking.crown(name, version)
        tracking.set_tags({"decision": decision.reason, "candidate": version, "champion_before": champion or "none"})
        tracking.log_metrics({"promoted": float(decision.promoted), **decision.metrics})
        if not decision.promoted:
            raise Refused(f"{name} version {version} is not promoted, {champion} stays champion: {decision.reason}")
        tracking.say(f"  promoted   {name} version {version}: {decision.reason}")


def items(run: str) -> pd.DataFrame:
    return pd.read_parquet(tracking.fetch(f"runs:/{run}/per_item.parquet", foreign=True))


if __name__ == "__main__":
    tracking.execute(main)
