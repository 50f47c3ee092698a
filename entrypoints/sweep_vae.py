"""Search the VAE's hyperparameters with Optuna and register the best trial."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from conceptcaps import sweeps, tracking
from conceptcaps.sweeps import figures as study_figures
from conceptcaps.tags import fidelity, sampling, served, vae, vae_training
from conceptcaps.tags.taxonomy import Taxonomy
from conceptcaps.workspace import project, shards
from entrypoints import train_vae

FIXED = {name: train_vae.command_line().get_default(name) for name in ("head", "batch_size", "warmup")}
DRAWS = {"count": 2000, "condition": [], "min_categories": 1, **vae.DRAWING}


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag_sets", required=True, help="folder or runs:/<id>/tag_sets of distill_tags")
    parser.add_argument("--trials", type=int, default=20, help="trials in the study, earlier ones included")
    parser.add_argument("--study", default="auto", help="name of the study, or auto: a hash of the parameters")
    parser.add_argument("--storage", default="sqlite:///outputs/optuna.db", help="database URL, shared by processes")
    parser.add_argument(
        "--objective", default="val/iwae", help="val/iwae, or several such as val/covariance,val/novelty_error"
    )
    parser.add_argument("--epochs", type=int, default=400, help="most passes over the rows of a trial")
    parser.add_argument("--patience", type=int, default=20, help="epochs without a better bound before a trial stops")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampler and of every training")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("sweep_vae", vars(args)), tempfile.TemporaryDirectory() as scratch:
        folder = tracking.fetch(args.tag_sets)
        taxonomy = Taxonomy.load(folder / "taxonomy.yaml")
        frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in ("train", "validation")}
        rows = {name: taxonomy.encode(frame["tags"].tolist()) for name, frame in frames.items()}
        for name, context in {"train": "training", "validation": "validation"}.items():
            tracking.log_dataset(frames[name], name=f"tag_sets/{name}", source=args.tag_sets, context=context)
        content = shards.content(*frames.values())
        name = project.study_name("sweep_vae", args.study, {**vars(args), "rows": content})
        study = sweeps.open_study(name=name, storage=args.storage, objective=args.objective, rows=content)
        budget = {"epochs": args.epochs, "patience": args.patience, "seed": args.seed}

        def evaluate(trial: sweeps.Trial) -> dict[str, float]:
            dials = FIXED | sweeps.vae_dials(trial)

            def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
                tracking.log_metrics(metrics, epoch)
                sweeps.report(trial, metrics, epoch)

            with tracking.child_run(f"trial {trial.number}", dials, stops=(sweeps.Pruned,)) as run_id:
                model = vae_training.fit(**rows, taxonomy=taxonomy, **budget, on_epoch=on_epoch, **dials)
                found = vae.evaluate(model, rows["validation"], prefix="val", seed=args.seed)
                draws = sampling.sample(model, **DRAWS, seed=args.seed).rows
                found |= fidelity.evaluate_quickly(draws, **rows, prefix="val")
                tracking.log_metrics(found)
                if sweeps.leads(trial, found):
                    vae.save(model, out := Path(scratch, str(trial.number)))
                    tracking.log_folder(out, "vae")
                    sweeps.keep(trial, run_id)
            return found

        best = sweeps.optimise(study, evaluate, trials=args.trials, seed=args.seed)
        model = vae.load(weights := tracking.fetch(f"runs:/{sweeps.kept(best)}/vae"))
        found = dict(zip(sweeps.directions(args.objective), best.values, strict=True))
        drawn = study_figures.figures(study, seed=args.seed)
        tracking.log_sweep(sweeps.table(study), best=FIXED | sweeps.vae_dials(best), values=found, figures=drawn)
        bounds = vae.bounds(model, rows["validation"], seed=args.seed)["iwae"]
        tracking.log_frame(pd.DataFrame({"id": frames["validation"]["id"], "val/iwae": bounds}), "per_item.parquet")
        tracking.register("conceptcaps-vae", weights, **served.REGISTERED)


if __name__ == "__main__":
    tracking.execute(main)
