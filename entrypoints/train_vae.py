"""Train the tag-set beta-VAE and register it as ``conceptcaps-vae``."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from conceptcaps import tracking
from conceptcaps.results import figures
from conceptcaps.tags import served, vae, vae_training
from conceptcaps.tags.splits import SPLITS
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import project


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag_sets", required=True, help="folder or runs:/<id>/tag_sets of distill_tags")
    parser.add_argument("--latent_dim", type=int, default=32, help="latent variables")
    parser.add_argument("--hidden_dim", type=int, default=128, help="units of the hidden layers")
    parser.add_argument("--dropout", type=float, default=0.25, help="dropout of the hidden layers, 0 to 1")
    parser.add_argument("--beta", type=float, default=0.7, help="weight of the KL term")
    parser.add_argument("--warmup", type=int, default=0, help="epochs over which beta rises to its value")
    parser.add_argument("--learning_rate", type=float, default=0.001, help="learning rate of AdamW")
    parser.add_argument("--batch_size", type=int, default=32, help="rows in a step")
    parser.add_argument("--epochs", type=int, default=400, help="maximum number of passes over the rows")
    parser.add_argument("--patience", type=int, default=20, help="epochs without a better bound before training stops")
    parser.add_argument("--head", type=int, choices=[0, 1], default=1, help="1 lets each tag depend on those before it")
    parser.add_argument("--penalty", type=float, default=0.001, help="weight of the L2 penalty on the head's links")
    parser.add_argument("--batch_norm", type=int, choices=[0, 1], default=0, help="1 normalises the hidden layers")
    parser.add_argument("--params_from", default="none", help="runs:/<id> of a sweep, for its best parameters; or none")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, order, latents and dropout")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("train_vae", vars(args)) as run_id, tempfile.TemporaryDirectory() as scratch:
        given = {name: value for name, value in vars(args).items() if name not in ("tag_sets", "params_from")}
        dials = tracking.best_dials(args.params_from, given)
        tracking.set_tags({f"dial.{name}": value for name, value in dials.items()})
        folder = tracking.fetch(args.tag_sets)
        taxonomy = Taxonomy.load(folder / "taxonomy.yaml")
        frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in SPLITS}
        for name, context in {"train": "training", "validation": "validation", "test": "evaluation"}.items():
            tracking.log_dataset(frames[name], name=f"tag_sets/{name}", source=args.tag_sets, context=context)
        rows = {name: taxonomy.encode(frame["tags"].tolist()) for name, frame in frames.items()}
        checkpoints = Path(project.default_folder("train_vae", vars(args)))
        model = vae_training.fit(
            train=rows["train"],
            validation=rows["validation"],
            taxonomy=taxonomy,
            folder=checkpoints,
            on_epoch=lambda epoch, metrics: tracking.log_metrics(metrics, epoch),
            **dials,
        )
        tracking.log_folder(checkpoints, "checkpoints")
        found: dict[str, float] = {}
        for name, prefix in {"validation": "val", "test": "test"}.items():
            found |= vae.evaluate(model, rows[name], prefix=prefix, seed=args.seed)
        tracking.log_metrics(found)
        bounds = vae.bounds(model, rows["validation"], seed=args.seed)["iwae"]
        tracking.log_frame(pd.DataFrame({"id": frames["validation"]["id"], "val/iwae": bounds}), "per_item.parquet")

        curves = {name: tracking.history(run_id, name) for name in ("val/elbo", "val/iwae")}
        tracking.log_figure(figures.curves(curves, title="tag VAE", xlabel="epoch", ylabel="bound (nats)"), "bounds")
        genres = [[tag for tag in tags if taxonomy.category(tag) == "genre"] for tags in frames["train"]["tags"]]
        tracking.log_figure(figures.latent_map(model.means.numpy(), genres, seed=args.seed), "latents")
        weights = Path(scratch, "vae")
        vae.save(model, weights)
        tracking.register("conceptcaps-vae", weights, metrics=found, **served.REGISTERED)


if __name__ == "__main__":
    tracking.execute(main)
