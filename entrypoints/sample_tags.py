"""Sample new tag sets from a registered VAE and measure how like real ones, and how new, they are."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from conceptcaps import figures, tracking
from conceptcaps.tags import fidelity, sampling, splits
from conceptcaps.tags.taxonomy import tag_set_id


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--vae", default="models:/conceptcaps-vae@champion", help="models:/conceptcaps-vae@<alias>, or a folder"
    )
    parser.add_argument(
        "--tag_sets", required=True, help="folder or runs:/<id>/tag_sets; what samples are held against"
    )
    parser.add_argument("--count", type=int, default=1000, help="distinct tag sets to draw")
    parser.add_argument("--prior", choices=sampling.PRIORS, default="aggregate", help="where latents come from")
    parser.add_argument("--temperature", type=float, default=1.0, help="divides the decoder's logits")
    parser.add_argument("--condition", default="none", help="tags that each set contains, by commas, or none")
    parser.add_argument("--min_categories", type=int, default=3, help="categories that a set touches")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("sample_tags", vars(args)), tempfile.TemporaryDirectory() as scratch:
        model = sampling.load(tracking.fetch(args.vae))
        taxonomy = model.taxonomy
        folder = tracking.fetch(args.tag_sets)
        frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "validation", "test")}
        for name, frame in frames.items():
            tracking.log_dataset(frame, name=f"tag_sets/{name}", source=args.tag_sets, context="evaluation")
        real = taxonomy.encode(frames["train"]["tags"].tolist())
        held_out = np.concatenate([taxonomy.encode(frames[name]["tags"].tolist()) for name in ("validation", "test")])

        dials = {name: getattr(args, name) for name in ("prior", "temperature", "min_categories", "seed")}
        condition = sampling.split_tags(args.condition)
        rows = sampling.sample(model, count=args.count, condition=condition, **dials)
        tags = taxonomy.decode(rows)
        samples = pd.DataFrame({"id": [tag_set_id(one, seed=args.seed) for one in tags], "tags": tags})
        samples = samples.assign(seed=args.seed, split=splits.split_samples(rows))
        path = Path(scratch, "samples.parquet")
        samples.to_parquet(path, index=False)
        parts = dict(list(samples.groupby("split")))
        splits.write_certificate(path.parent, splits.certificate([path], parts, taxonomy=taxonomy, facts=vars(args)))
        tracking.log_folder(Path(scratch), "samples")

        tracking.log_metrics({"samples/count": len(rows)})
        if not condition and len(rows) >= fidelity.LEAST:
            found = fidelity.evaluate(rows, held_out=held_out, real=real, taxonomy=taxonomy, seed=args.seed)
            tracking.log_metrics({f"samples/{name}": value for name, value in found.items()})
            tracking.log_figure(figures.frequencies(rows.mean(0), held_out.mean(0), taxonomy.tags), "tag_frequencies")
            sizes = {"samples": rows.sum(1), "held-out rows": held_out.sum(1)}
            tracking.log_figure(figures.sizes(sizes), "tags_per_row")


if __name__ == "__main__":
    tracking.execute(main)
