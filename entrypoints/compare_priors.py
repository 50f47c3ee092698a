"""Compare the priors of a registered VAE with each other and with rival samplers."""

import argparse
from collections.abc import Sequence

import numpy as np
import pandas as pd

from conceptcaps import tracking
from conceptcaps.results import figures
from conceptcaps.tags import fidelity, priors, rivals, sampling, splits, two_sample, vae


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--vae", default="models:/conceptcaps-vae@champion", help="models:/conceptcaps-vae@<alias>, or a folder"
    )
    parser.add_argument("--tag_sets", required=True, help="folder or runs:/<id>/tag_sets of distill_tags")
    parser.add_argument("--count", type=int, default=20000, help="distinct tag sets to draw from each prior")
    parser.add_argument("--temperature", type=float, default=1.0, help="divides the decoder's logits")
    parser.add_argument("--min_categories", type=int, default=3, help="minimum number of categories in a tag set")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("compare_priors", vars(args)):
        model = vae.load(tracking.fetch(args.vae))
        folder = tracking.fetch(args.tag_sets)
        frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in splits.SPLITS}
        for name, frame in frames.items():
            tracking.log_dataset(frame, name=f"tag_sets/{name}", source=args.tag_sets, context="evaluation")
        taxonomy = model.taxonomy
        encoded = {name: taxonomy.encode(frame["tags"].tolist()) for name, frame in frames.items()}
        real, held_out = encoded["train"], np.concatenate([encoded["validation"], encoded["test"]])

        dials = {"count": args.count, "min_categories": args.min_categories}
        everything = np.concatenate([real, held_out])
        size = min(args.count, len(held_out))
        null = two_sample.real_against_real(everything, size=size, seed=args.seed)
        found = {}
        for prior in (*priors.PRIORS, *rivals.RIVALS):
            with tracking.child_run(prior, {"prior": prior, **dials}):
                if prior in rivals.RIVALS:
                    rival = rivals.fit(
                        prior, train=real, validation=encoded["validation"], clashes=model.clashes, seed=args.seed
                    )
                    draw = rivals.drawer(rival, size=sampling.CHUNK, seed=args.seed)
                    drawn = sampling.distinct(draw, taxonomy=taxonomy, **dials, size=sampling.CHUNK)
                    likelihood = rival.log_likelihood(held_out).mean()
                else:
                    drawn = sampling.sample(
                        model, prior=prior, temperature=args.temperature, condition=[], **dials, seed=args.seed
                    )
                    likelihood = priors.log_likelihood(model, held_out, prior=prior, seed=args.seed).mean()
                same = null if len(drawn.rows) >= size else None  # fewer sets than asked for have a null of their size
                found[prior] = {"log_likelihood": likelihood} | fidelity.evaluate(
                    drawn.rows, held_out=held_out, real=real, taxonomy=taxonomy, seed=args.seed, null=same
                )
                tracking.log_metrics({f"samples/{name}": value for name, value in found[prior].items()})
        table = pd.DataFrame(found).T.rename_axis("prior").reset_index()
        tracking.log_frame(table, "priors.parquet")
        tracking.log_figure(figures.priors(table), "priors")
        print(table.set_index("prior").T.to_string(float_format="{:.4f}".format))


if __name__ == "__main__":
    tracking.execute(main)
