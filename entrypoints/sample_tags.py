"""Sample new tag sets from a registered VAE and measure their fidelity and novelty."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from conceptcaps import tracking
from conceptcaps.audio import makeable
from conceptcaps.results import figures
from conceptcaps.tags import apart, carried, fidelity, one_of, priors, sampling, splits, vae


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vae", default="models:/conceptcaps-vae@champion", help="models:/<name>@<alias>, or a folder")
    parser.add_argument("--tag_sets", required=True, help="runs:/<id>/tag_sets to compare samples with")
    parser.add_argument("--count", type=int, default=1000, help="distinct tag sets to draw")
    parser.add_argument("--prior", choices=priors.PRIORS, default=vae.DRAWING["prior"], help="where latents come from")
    parser.add_argument("--temperature", type=float, default=vae.DRAWING["temperature"], help="divides logits")
    parser.add_argument("--condition", default="none", help="tags that each set has, or has not: jazz,-piano; or none")
    parser.add_argument("--one_of", default="none", help="tags of which each set has exactly one, in equal shares")
    parser.add_argument("--realisable_by", default="any", help="soundfont: tags that one clip of it can hold; any: all")
    parser.add_argument("--apart_from", default="none", help="runs:/<id>/samples that no set may resemble; or none")
    parser.add_argument("--min_categories", type=int, default=3, help="minimum number of categories in a tag set")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("sample_tags", vars(args)), tempfile.TemporaryDirectory() as scratch:
        model, folder = vae.load(tracking.fetch(args.vae)), tracking.fetch(args.tag_sets)
        taxonomy = model.taxonomy
        frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in splits.SPLITS}
        for name, frame in frames.items():
            tracking.log_dataset(frame, name=f"tag_sets/{name}", source=args.tag_sets, context="evaluation")
        real, *rest = (taxonomy.encode(frame["tags"].tolist()) for frame in frames.values())
        held_out = np.concatenate(rest)
        own = ("count", "prior", "temperature", "min_categories", "seed")
        dials: dict[str, Any] = {name: getattr(args, name) for name in own}
        condition = dials["condition"] = sampling.split_tags(args.condition)
        if args.realisable_by == "soundfont":
            dials |= makeable.limits(condition, taxonomy)
            real, held_out = (makeable.restricted(rows, condition, taxonomy) for rows in (real, held_out))
        shared = sampling.split_tags(args.one_of)
        found = one_of.sample(model, shared, **dials) if shared else sampling.sample(model, **dials)
        found = apart.leave_out(found, tracking.fetch_unless(args.apart_from, "none"), taxonomy=taxonomy)
        facts = {name: value for name, value in vars(args).items() if name not in ("vae", "tag_sets", "apart_from")}
        samples = splits.write_samples(Path(scratch), found.rows, taxonomy=taxonomy, seed=args.seed, facts=facts)
        taxonomy.save(Path(scratch, carried.FILE))
        tracking.log_folder(Path(scratch), "samples")
        if found.reason:
            tracking.say(f"{len(samples)} of {args.count} sets: {found.reason}")
            tracking.set_tags({"fewer_because": found.reason})

        metrics = {"count": len(samples)} | {name: getattr(found, name) for name in ("draws", "effective", "left_out")}
        everything = np.concatenate([real, held_out])
        found_in = {"drawn": found.frequencies, "kept": found.kept, "real": everything}
        table = fidelity.by_tag(found.rows, **found_in, taxonomy=taxonomy)
        tracking.log_frame(table, "tags.parquet")
        metrics["worst_tag_loss"] = table.loc[table["real_rows"] >= fidelity.RARE, "loss"].max()
        if condition:
            holding = sampling.holds(everything, asked=sampling.wish(condition, taxonomy=taxonomy))
            metrics |= fidelity.evaluate_condition(found.rows, real=everything[holding], seed=args.seed)
        elif not shared and min(len(samples), len(held_out)) >= fidelity.LEAST:  # equal shares are unlike real rows
            metrics |= fidelity.evaluate(found.rows, held_out=held_out, real=real, taxonomy=taxonomy, seed=args.seed)
            picture = figures.frequencies(found.rows.mean(0), held_out.mean(0), taxonomy.tags)
            tracking.log_figure(picture, "tag_frequencies")
        tracking.log_metrics({f"samples/{name}": value for name, value in metrics.items()})
        sizes = {name: rows.sum(1) for name, rows in {"samples": found.rows, "held-out": held_out}.items() if len(rows)}
        tracking.log_figure(figures.sizes(sizes), "tags_per_row")


if __name__ == "__main__":
    tracking.execute(main)
