"""Fine-tune a language model to caption tag sets and register it as ``conceptcaps-captioner``."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conceptcaps import tracking
from conceptcaps.captions import captioner, finetuning, language_model, lessons, table, writing
from conceptcaps.results import figures
from conceptcaps.workspace import project


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag_sets", required=True, help="folder or runs:/<id>/tag_sets of distill_tags")
    parser.add_argument("--caption_corpus", default="builtin", help=lessons.CORPUS_HELP)
    parser.add_argument("--base_model", default="smollm2", help="smollm2, a folder, or a Hub id with @revision")
    parser.add_argument("--rank", type=int, default=16, help="rank of the LoRA update")
    parser.add_argument("--alpha", type=float, default=32.0, help="LoRA scale; the update is weighted by alpha / rank")
    parser.add_argument("--dropout", type=float, default=0.0, help="dropout on the adapter's input, 0 to 1")
    parser.add_argument("--adapter", choices=finetuning.ADAPTERS, default="lora", help="kind of low-rank update")
    parser.add_argument("--target_modules", default="all-linear", help="adapted layers by name, a,b,c, or all-linear")
    parser.add_argument("--quantization", choices=language_model.QUANTIZATIONS, default="none", help="of the base")
    parser.add_argument("--epochs", type=float, default=1.0, help="passes over the training rows")
    parser.add_argument("--learning_rate", type=float, default=0.002, help="peak learning rate of AdamW")
    parser.add_argument("--batch_size", type=int, default=2, help="examples in a step")
    parser.add_argument("--max_examples", type=int, default=1200, help="captions to learn from; 0 takes all")
    parser.add_argument("--max_tokens", type=int, default=256, help="longest prompt and caption (tokens)")
    parser.add_argument("--params_from", default="none", help="runs:/<id> of a sweep, for its best parameters; or none")
    parser.add_argument("--seed", type=int, default=0, help="seed of rows, adapter, order and dropout")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    args = command_line().parse_args(argv)
    given = {name: getattr(args, name) for name in finetuning.DIALS}
    if not finetuning.first_process():  # of accelerate launch: the first keeps the records, the others only train
        train(args, tracking.best_dials(args.params_from, given), *read(args))
        return
    with tracking.run("finetune_captioner", vars(args)) as run_id, tempfile.TemporaryDirectory() as scratch:
        dials = tracking.best_dials(args.params_from, given)
        tracking.set_tags({f"dial.{name}": value for name, value in dials.items()})
        rows, corpus, model, tokenizer = read(args)
        for name, context in {"train": "training", "validation": "validation"}.items():
            tracking.log_dataset(rows[name], name=f"captions/{name}", source=args.caption_corpus, context=context)
        before = finetuning.caption_losses(model, tokenizer, rows["validation"], batch_size=args.batch_size)
        tracking.log_metrics({"val/loss": before.mean()}, step=0)  # an adapter begins as its base
        tuned, checkpoints = train(args, dials, rows, corpus, model, tokenizer)
        after = finetuning.caption_losses(tuned, tokenizer, rows["validation"], batch_size=args.batch_size)
        losses = rows["validation"][["id"]].assign(**{"val/loss": after, "val/base_loss": before})
        tracking.log_frame(losses, "per_item.parquet")
        tracking.log_metrics(found := losses.drop(columns="id").mean().to_dict())
        facts = {"tokenizer": tokenizer, "base": args.base_model, **corpus}
        captioner.save(weights := Path(scratch, "captioner"), adapter=tuned, **facts)
        tracking.log_folder(checkpoints, "checkpoints")
        curves = {name: tracking.history(run_id, name) for name in ("train/loss", "val/loss")}
        tracking.log_figure(figures.curves(curves, title="captioner", xlabel="step", ylabel="loss (nats)"), "loss")
        tracking.register("conceptcaps-captioner", weights, metrics=found, **writing.SERVED)


def read(args: argparse.Namespace) -> Any:
    dials = {"source": args.caption_corpus, "most": args.max_examples, "seed": args.seed}
    examples = lessons.read_examples(tracking.fetch(args.tag_sets), **dials)
    return *examples, *language_model.load(args.base_model, quantization=args.quantization)


def train(args: Any, dials: Any, rows: Any, corpus: Any, model: Any, tokenizer: Any) -> Any:
    def show(step: int, tuned: Any) -> None:
        writer = captioner.of(tuned, tokenizer, **corpus)
        tracking.attempt(tracking.log_json, table.show(rows["validation"], writer), f"captions/step_{step:06d}.json")

    hooks: Any = {"report": lambda step, found: tracking.attempt(tracking.log_metrics, found, step), "on_epoch": show}
    folder = Path(project.default_folder("finetune_captioner", vars(args)))
    return finetuning.fit(model, tokenizer, **rows, **dials, **hooks, folder=folder), folder


if __name__ == "__main__":
    tracking.execute(main)
