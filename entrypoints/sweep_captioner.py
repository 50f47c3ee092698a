"""Search the captioner's LoRA hyperparameters with Optuna and register the best trial."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from conceptcaps import sweeps, tracking
from conceptcaps.captions import captioner, finetuning, language_model, lessons, table, writing
from conceptcaps.sweeps import figures as study_figures
from conceptcaps.workspace import project, shards
from entrypoints import finetune_captioner

of_training = finetune_captioner.command_line().get_default
FIXED = {name: of_training(name) for name in ("max_tokens", "adapter", "target_modules")}


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag_sets", required=True, help="folder or runs:/<id>/tag_sets of distill_tags")
    parser.add_argument("--caption_corpus", default="builtin", help=lessons.CORPUS_HELP)
    parser.add_argument("--base_model", default="smollm2", help="smollm2, a folder, or a Hub id with @revision")
    parser.add_argument("--quantization", choices=language_model.QUANTIZATIONS, default="none", help="of the base")
    parser.add_argument("--trials", type=int, default=8, help="trials in the study, earlier ones included")
    parser.add_argument("--study", default="auto", help="name of the study, or auto: a hash of the parameters")
    parser.add_argument("--storage", default="sqlite:///outputs/optuna.db", help="database URL, shared by processes")
    parser.add_argument("--objective", default="val/loss", help="some of val/loss, val/tag_recall, val/bertscore_f1")
    parser.add_argument("--max_examples", type=int, default=240, help="captions a trial learns from; 0 takes all")
    parser.add_argument("--batch_size", type=int, default=of_training("batch_size"), help="examples in a step")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sampler and of every training")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    with tracking.run("sweep_captioner", vars(args)):
        given = {"source": args.caption_corpus, "most": args.max_examples, "seed": args.seed}
        rows, facts = lessons.read_examples(tracking.fetch(args.tag_sets), **given)
        for part, context in {"train": "training", "validation": "validation"}.items():
            tracking.log_dataset(rows[part], name=f"captions/{part}", source=args.caption_corpus, context=context)
        content = f"{shards.content(*rows.values())}, batches of {args.batch_size}"
        name = project.study_name("sweep_captioner", args.study, {**vars(args), "rows": content})
        study = sweeps.open_study(name=name, storage=args.storage, objective=args.objective, rows=content)
        fixed = FIXED | {"batch_size": args.batch_size}
        work = Path(project.default_folder("sweep_captioner", {"study": name, "storage": args.storage}))

        def evaluate(trial: sweeps.Trial) -> dict[str, float]:
            dials = fixed | sweeps.captioner_dials(trial)

            def report(step: int, metrics: dict[str, float]) -> None:
                tracking.log_metrics(metrics, step)
                sweeps.report(trial, metrics, step)

            out = work / str(trial.number)
            with tracking.child_run(f"trial {trial.number}", dials, stops=(sweeps.Pruned,)) as run_id:
                model, tokenizer = language_model.load(args.base_model, quantization=args.quantization)
                common = {**rows, "folder": out / "checkpoints", "seed": args.seed, "report": report}
                tuned = finetuning.fit(model, tokenizer, **common, **dials)
                losses = finetuning.caption_losses(tuned, tokenizer, rows["validation"], batch_size=dials["batch_size"])
                found = {"val/loss": losses.mean()}
                if args.objective != "val/loss":
                    found |= table.evaluate(rows["validation"], captioner.of(tuned, tokenizer, **facts), seed=args.seed)
                tracking.log_metrics(found)
                if sweeps.leads(trial, found):
                    tracking.log_frame(rows["validation"][["id"]].assign(**{"val/loss": losses}), "per_item.parquet")
                    captioner.save(out / "captioner", adapter=tuned, base=args.base_model, tokenizer=tokenizer, **facts)
                    tracking.log_file(out / "captioner")
                    sweeps.keep(trial, run_id)
            return found

        best = sweeps.optimise(study, evaluate, trials=args.trials, seed=args.seed)
        found = dict(zip(sweeps.directions(args.objective), best.values, strict=True))
        drawn = study_figures.figures(study, seed=args.seed)
        tracking.log_sweep(sweeps.table(study), best=fixed | sweeps.captioner_dials(best), values=found, figures=drawn)
        kept = f"runs:/{sweeps.kept(best)}"
        tracking.log_file(tracking.fetch(f"{kept}/per_item.parquet"))
        tracking.register("conceptcaps-captioner", tracking.fetch(f"{kept}/captioner"), **writing.SERVED)


if __name__ == "__main__":
    tracking.execute(main)
